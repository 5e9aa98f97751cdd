-- Leaves by stretches of consecutive ids instead of one by one: a block of 1,000,000 leaves is a few rows of 60 bytes in
-- place of 90 MB with two indexes. And what makes the proof of an old arrival cheap.

-- A block's leaves are its statements in order of their ids, the manifest last. A row is a stretch as long as it can be
-- that does not go beyond its block: leaves first_leaf to first_leaf + leaf_count - 1 are the statements first_id to
-- first_id + leaf_count - 1.
create table leaf_runs (
  first_leaf bigint primary key check (first_leaf >= 0),
  first_id bigint not null unique references entries,
  leaf_count bigint not null check (leaf_count >= 1)
);

insert into leaf_runs (first_leaf, first_id, leaf_count)
select min(leaf_index), min(statement_id), count(*)
from (select leaf_index, statement_id,
             (select height from blocks where manifest_id >= statement_id order by manifest_id limit 1) as height
      from leaves) l
group by height, statement_id - leaf_index;

drop table leaves;

create trigger only_added before update or delete or truncate on leaf_runs for each statement execute function refuse_change();

-- The leaf of a statement; null where it is not sealed, or no statement. By the index: a look into one row.
create function leaf_of(id bigint) returns bigint language sql stable parallel safe as $$
  select case when id < first_id + leaf_count then first_leaf + id - first_id end
  from (select * from leaf_runs where first_id <= id order by first_id desc limit 1) r
$$;

-- The other way round; null where the log is not that long.
create function statement_of(leaf bigint) returns bigint language sql stable parallel safe as $$
  select case when leaf < first_leaf + leaf_count then first_id + leaf - first_leaf end
  from (select * from leaf_runs where first_leaf <= leaf order by first_leaf desc limit 1) r
$$;

-- A row per leaf, for whoever reads many: a condition on leaf_index or statement_id makes all of them first, so for one
-- leaf take the functions.
create view leaves as
select first_leaf + place as leaf_index, first_id + place as statement_id
from leaf_runs cross join lateral generate_series(0, leaf_count - 1) as place;

-- Of each block's arrivals tree (RFC 9162, over cbor([entry, received_at]) of the block's statements in leaf order,
-- without the manifest) the complete nodes at levels 8, 16 ..., in tiles of 256 like those of the log: tile_index t of
-- level l holds the nodes of tree level 8 * l from 256 * t on, at most 256. What a proof needs of the levels below 8 are
-- the entries of the 256 statements around its own. Level 0 is not kept: it is `entries`. A block of fewer than 256
-- statements has no row.
create table arrival_tiles (
  height bigint not null references blocks,
  level smallint not null check (level >= 1),
  tile_index bigint not null check (tile_index >= 0),
  hashes bytea not null check (octet_length(hashes) between 32 and 8192 and octet_length(hashes) % 32 = 0),
  primary key (height, level, tile_index)
);
alter table arrival_tiles alter column hashes set storage external;

-- Of the blocks that stand already, by the same rules: leaves are SHA-256(00 || cbor), nodes SHA-256(01 || left || right).
do $$
declare
  block record;
  depth integer;
begin
  create temporary table nodes (place bigint, hash bytea) on commit drop;
  create temporary table above (place bigint, hash bytea) on commit drop;
  for block in
    select height, manifest_id, lag(manifest_id, 1, 0::bigint) over (order by height) as after
    from blocks order by height
  loop
    truncate nodes;
    insert into nodes
    select row_number() over (order by id) - 1,
           sha256('\x00825820'::bytea || entry || '\x1b'::bytea || int8send((extract(epoch from received_at) * 1000)::bigint))
    from entries where id > block.after and id < block.manifest_id;
    depth := 0;
    while (select count(*) from nodes) > 1 loop
      depth := depth + 1;
      truncate above;
      insert into above
      select place / 2, sha256('\x01'::bytea || string_agg(hash, ''::bytea order by place))
      from nodes group by place / 2 having count(*) = 2;
      truncate nodes;
      insert into nodes select * from above;
      continue when depth % 8 <> 0;
      insert into arrival_tiles
      select block.height, depth / 8, place / 256, string_agg(hash, ''::bytea order by place) from nodes group by place / 256;
    end loop;
  end loop;
end $$;

create trigger only_added before update or delete or truncate on arrival_tiles for each statement execute function refuse_change();
