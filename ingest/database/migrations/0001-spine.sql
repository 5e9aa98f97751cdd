-- The spine: registry, chains, statements, series, the log. Constraints repeat the rules of the protocol.
-- Times: timestamptz by the database's clock, whole milliseconds; a device's times are Unix seconds in float8, as signed.

-- Whose database this is. One row, made by `tidemark log init` together with the policy statement.
create table log (
  only_row boolean primary key default true check (only_row),
  origin text not null,
  vkey text not null,
  operator_key bytea not null,
  receipt_key bytea not null
);

-- One per device, and one for the operator under the log's origin, which no device id can look like.
create table chain_heads (
  device_id text primary key,
  seq bigint not null check (seq >= 0),
  entry bytea not null check (octet_length(entry) = 32),
  -- The fence: raised by each connection's first message and by each registry statement.
  epoch bigint not null default 0
) with (fillfactor = 50);

create table devices (
  device_id text primary key references chain_heads check (device_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$'),
  status text not null check (status in ('active', 'suspended', 'revoked')),
  registry bytea not null check (octet_length(registry) = 32),
  attributes jsonb not null default '{}'
);

create table device_keys (
  device_id text not null references devices,
  kid bytea not null check (octet_length(kid) = 8),
  cose_key bytea not null,
  first_seq bigint not null check (first_seq >= 1),
  last_seq bigint,
  ended_by text check (ended_by in ('rotation', 'revocation')),
  possession_proven boolean not null,
  primary key (device_id, kid),
  unique (device_id, first_seq),
  check ((last_seq is null) = (ended_by is null))
);

-- Ids are taken under the head's lock and under the seal lock: their order is chain order and log order.
create sequence statement_ids;

-- A plain table: a partitioned one could not hold these constraints without its partition key.
create table entries (
  id bigint primary key,
  device_id text not null references chain_heads,
  seq bigint not null check (seq >= 1),
  entry bytea not null unique check (octet_length(entry) = 32),
  received_at timestamptz not null,
  -- Keyed SHA-256 of the signed bytes: tells a duplicate from a fork, also after an erasure.
  signed_digest bytea not null check (octet_length(signed_digest) = 32),
  -- 1 accepted, 3 accepted-unread, 4 accepted-ahead.
  code smallint not null check (code in (1, 3, 4)),
  -- Of code 3: the rule that the payload breaks, never a value.
  fault text check ((fault is not null) = (code = 3)),
  unique (device_id, seq)
);

create table statements (
  id bigint not null,
  received_at timestamptz not null,
  bytes bytea not null check (octet_length(bytes) between 1 and 65535),
  primary key (id, received_at)
) partition by range (received_at);
-- Signed bytes do not compress, and trying costs time.
alter table statements alter column bytes set storage external;

create table series (
  statement_id bigint not null,
  position smallint not null,
  received_at timestamptz not null,
  device_id text not null,
  metric text not null,
  name text not null,
  unit text,
  kind text not null check (kind in ('number', 'sum', 'boolean', 'text', 'bytes', 'waveform')),
  -- Unix seconds of the earliest and latest reading.
  starts_at float8 not null,
  ends_at float8 not null,
  -- Point series: a time for each value.
  times float8[],
  -- Of number, sum, and boolean (0 and 1); of text; of bytes.
  numbers float8[],
  texts text[],
  blobs bytea[],
  -- Waveforms: value = sample * factor + origin, from starts_at on every period_ms.
  period_ms float8,
  factor float8,
  origin float8,
  samples smallint[],
  -- Accepted ahead of its time (code 4): outside the default view.
  ahead boolean not null,
  primary key (statement_id, position, received_at),
  check ((kind = 'waveform') = (samples is not null and period_ms is not null and factor is not null and origin is not null)),
  check ((kind = 'waveform') = (times is null)),
  check (num_nonnulls(numbers, texts, blobs, samples) = 1)
) partition by range (received_at);
create index on series (device_id, metric, starts_at);

-- Partitions are made ahead of time, a week each; a missing one refuses nothing, since there is a default.
create table statements_default partition of statements default;
create table series_default partition of series default;

create function make_partitions(from_time timestamptz, weeks integer) returns void language plpgsql as $$
declare
  week timestamptz;
  parent text;
begin
  for number in 0 .. weeks loop
    -- ISO weeks in UTC, whatever the session's time zone.
    week := date_trunc('week', from_time at time zone 'UTC') at time zone 'UTC' + number * interval '7 days';
    foreach parent in array array['statements', 'series'] loop
      continue when to_regclass(parent || to_char(week at time zone 'UTC', '"_"IYYY"w"IW')) is not null;
      begin
        execute format('create table %I partition of %I for values from (%L) to (%L)',
          parent || to_char(week at time zone 'UTC', '"_"IYYY"w"IW'), parent, week, week + interval '7 days');
      exception
        -- Another process made it, or rows of that week stand in the default partition already: both are harmless.
        when duplicate_table or check_violation or invalid_object_definition then null;
      end;
    end loop;
  end loop;
end $$;

-- Counters: not evidence. Unknown devices share the empty id, so that nobody can fill the table.
create table refusals (
  device_id text not null,
  code smallint not null,
  count bigint not null,
  last_at timestamptz not null,
  primary key (device_id, code)
);

-- Two statements with good signatures by one key for one place: the first pair per seq, at most 16 per device.
create table forks (
  device_id text not null references devices,
  seq bigint not null,
  stored bytea not null,
  other bytea not null,
  found_at timestamptz not null,
  primary key (device_id, seq)
);

create table blocks (
  height bigint primary key check (height >= 0),
  from_ms bigint not null,
  to_ms bigint not null check (to_ms >= from_ms),
  first_leaf bigint not null check (first_leaf >= 0),
  size bigint not null check (size >= first_leaf),
  root bytea not null check (octet_length(root) = 32),
  heads_root bytea not null check (octet_length(heads_root) = 32),
  blocks_root bytea not null check (octet_length(blocks_root) = 32),
  arrivals_root bytea not null check (octet_length(arrivals_root) = 32),
  summary bytea not null check (octet_length(summary) = 32),
  -- The summary, opened.
  salt bytea not null check (octet_length(salt) = 16),
  devices bigint not null,
  statements bigint not null,
  readings bigint not null,
  earliest_ms bigint,
  latest_ms bigint,
  -- The manifest's statement, which is the block's last: all ids up to it that are stored are sealed.
  manifest_id bigint not null unique references entries
);

create table leaves (
  leaf_index bigint primary key check (leaf_index >= 0),
  statement_id bigint not null unique references entries
);

-- Stored nodes of the tree, 256 to a tile, at levels 0, 8, 16 ... (C2SP tlog-tiles).
create table tiles (
  level smallint not null check (level >= 0),
  tile_index bigint not null check (tile_index >= 0),
  hashes bytea not null check (octet_length(hashes) between 32 and 8192 and octet_length(hashes) % 32 = 0),
  primary key (level, tile_index)
);
alter table tiles alter column hashes set storage external;

-- A row where a block moved a device's head or registry; the last row up to a height is what that block committed to.
create table sealed_heads (
  device_id text not null references devices,
  height bigint not null references blocks,
  seq bigint not null,
  entry bytea not null check (octet_length(entry) = 32),
  registry bytea not null check (octet_length(registry) = 32),
  primary key (device_id, height)
);

create table checkpoints (
  height bigint primary key references blocks,
  size bigint not null unique,
  root bytea not null check (octet_length(root) = 32),
  note text not null
);

-- What was accepted and what was sealed is only ever added to. Against mistakes, not against an owner of the database:
-- that is what `tidemark verify` is for.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% on %: rows of this table are only ever added', tg_op, tg_table_name using errcode = 'TM001';
end $$;
create trigger only_added before update or delete or truncate on entries for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on statements for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on series for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on forks for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on blocks for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on leaves for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on sealed_heads for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on checkpoints for each statement execute function refuse_change();

-- Whatever a device claims: seconds that are no timestamp become infinity.
create function device_time(seconds float8) returns timestamptz language sql immutable parallel safe as $$
  select case when seconds < 9e12 then to_timestamp(seconds) else 'infinity'::timestamptz end
$$;

-- A row per reading. `time` is the device's clock, `arrived` the service's; what is ahead of its time is left out.
create view readings as
select device_time(point.time) as time, series.device_id as device, series.metric,
       point.number as value, point.text, point.blob, series.unit,
       series.received_at as arrived, series.statement_id as statement,
       (select min(height) from blocks where blocks.manifest_id >= series.statement_id) as block
from series
cross join lateral (
  select * from unnest(series.times, series.numbers, series.texts, series.blobs) as p(time, number, text, blob)
  where series.kind <> 'waveform'
  union all
  select series.starts_at + (place - 1) * series.period_ms / 1000, sample * series.factor + series.origin, null, null
  from unnest(series.samples) with ordinality as s(sample, place)
  where series.kind = 'waveform'
) as point
where not series.ahead;

-- The same between bounds, by the index: readings of one device and metric with from <= time < to (Unix seconds).
create function readings_between(device text, metric_name text, from_seconds float8, to_seconds float8)
returns table (seconds float8, metric text, kind text, value float8, text_value text, blob bytea, unit text,
               arrived timestamptz, statement bigint, ahead boolean)
language sql stable parallel safe as $$
  select point.time, series.metric, series.kind, point.number, point.text, point.blob, series.unit,
         series.received_at, series.statement_id, series.ahead
  from series
  cross join lateral (
    select * from unnest(series.times, series.numbers, series.texts, series.blobs) as p(time, number, text, blob)
    where series.kind <> 'waveform'
    union all
    select series.starts_at + (place - 1) * series.period_ms / 1000, sample * series.factor + series.origin, null, null
    from unnest(series.samples) with ordinality as s(sample, place)
    where series.kind = 'waveform'
  ) as point
  where series.device_id = device and (metric_name is null or series.metric = metric_name)
    and series.starts_at < to_seconds and series.ends_at >= from_seconds
    and point.time >= from_seconds and point.time < to_seconds
$$;
