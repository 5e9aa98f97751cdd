-- What witnesses of other organisations say of checkpoints (C2SP tlog-cosignature), and when that was enough.

-- The policy by which blocks are witnessed, as its file was given; the last one is in force.
create table witness_policies (
  policy_id bigint generated always as identity primary key,
  -- C2SP tlog-policy: which witnesses are asked, and which of them must have cosigned.
  policy bytea not null,
  since timestamptz not null default clock_timestamp()
);

-- A witness's first cosignature of a checkpoint. It vouches for every block below too: a witness cosigns only what grows
-- out of what it cosigned before.
create table cosignatures (
  height bigint not null references checkpoints,
  -- The witness: name+hash+key (C2SP signed-note), type 04.
  vkey text not null,
  -- The signature line of the note, with its line feed.
  line text not null,
  -- When the witness says that it was.
  cosigned_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  primary key (height, vkey)
);
-- How far a witness has come.
create index on cosignatures (vkey, height);

-- A checkpoint that was cosigned by a quorum of the policy. A block is witnessed when a checkpoint of its height or above is.
create table witnessed (
  height bigint primary key references checkpoints,
  policy_id bigint not null references witness_policies,
  at timestamptz not null default clock_timestamp()
);

create trigger only_added before update or delete or truncate on witness_policies for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on cosignatures for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on witnessed for each statement execute function refuse_change();

-- The checkpoint of a block as it is published: signed by the log, and cosigned by those who have.
create function cosigned_note(of_height bigint) returns text language sql stable parallel safe as $$
  select note || coalesce((select string_agg(line, '' order by vkey collate "C")
                           from cosignatures where cosignatures.height = of_height), '')
  from checkpoints where checkpoints.height = of_height
$$;

-- When a block was witnessed; null: not yet. By the first such checkpoint, which an index finds: where a later one was
-- faster by a moment, the block is said to have waited that moment longer.
create function witnessed_at(of_height bigint) returns timestamptz language sql stable parallel safe as $$
  select at from witnessed where height >= of_height order by height limit 1
$$;

create or replace view research_blocks as
select height, to_timestamp(from_ms / 1000.0) as from_time, to_timestamp(to_ms / 1000.0) as to_time,
       blocks.devices, blocks.statements, blocks.readings,
       to_timestamp(earliest_ms / 1000.0) as earliest, to_timestamp(latest_ms / 1000.0) as latest,
       checkpoints.size as tree_size, encode(checkpoints.root, 'base64') as root,
       -- Not by the function: a caller of a view calls its functions with rights of his own.
       note || coalesce((select string_agg(line, '' order by vkey collate "C")
                         from cosignatures where cosignatures.height = checkpoints.height), '') as checkpoint,
       (select at from witnessed where witnessed.height >= checkpoints.height order by witnessed.height limit 1) as witnessed
from blocks join checkpoints using (height);
comment on column research_blocks.checkpoint is 'The signed checkpoint (C2SP tlog-checkpoint) that whoever verifies begins with, with the cosignatures of witnesses.';
comment on column research_blocks.witnessed is 'When enough witnesses of other organisations had cosigned it or a later block; null: not yet.';
