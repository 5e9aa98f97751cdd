-- What researchers may read by SQL: views and functions, each column with its comment, and a role that can read those
-- and nothing else: no signed bytes, keys, tokens, salts.

-- As before, with more columns behind the old ones. The block and the entry are looked up once per series, and only
-- where they are asked for. `series_from` and `series_to` are there for the index: see readings_in.
create or replace view readings as
select device_time(point.time) as time, series.device_id as device, series.metric,
       point.number as value, point.text, point.blob, series.unit,
       series.received_at as arrived, series.statement_id as statement,
       sealed.height as block,
       date_part('epoch', series.received_at) - point.time as lateness_seconds,
       sealed.height is not null as sealed,
       encode(entries.entry, 'hex') as entry,
       series.name, series.kind,
       series.starts_at as series_from, series.ends_at as series_to
from series
left join entries on entries.id = series.statement_id
left join lateral (
  select min(height) as height from blocks where blocks.manifest_id >= series.statement_id
) as sealed on true
cross join lateral (
  select * from unnest(series.times, series.numbers, series.texts, series.blobs) as p(time, number, text, blob)
  where series.kind <> 'waveform'
  union all
  select series.starts_at + (place - 1) * series.period_ms / 1000, sample * series.factor + series.origin, null, null
  from unnest(series.samples) with ordinality as s(sample, place)
  where series.kind = 'waveform'
) as point
where not series.ahead;

comment on view readings is 'A row per reading that a device signed. Nothing is rewritten, and gaps are gaps. What was ahead of its time when it arrived is left out. Ask with bounds by readings_in.';
comment on column readings.time is 'When it was measured, by the device''s clock.';
comment on column readings.device is 'Id of the device: a pseudonym.';
comment on column readings.metric is 'What was measured, such as heart-rate; /v1/metrics explains it.';
comment on column readings.value is 'The number as sent, in unit; of a boolean 0 or 1; null for texts and bytes.';
comment on column readings.text is 'The text as sent; null for all other kinds.';
comment on column readings.blob is 'The bytes as sent; null for all other kinds.';
comment on column readings.unit is 'The unit as sent: SenML''s (RFC 8428, where / and % are ratios), or else UCUM; null where none was sent.';
comment on column readings.arrived is 'When the service took it, by the database''s clock, to the millisecond.';
comment on column readings.statement is 'Number of the signed statement that holds it; ascending in the order of acceptance.';
comment on column readings.block is 'Height of the block that sealed it; null where it is not sealed yet.';
comment on column readings.lateness_seconds is 'arrived - time in seconds: tells what was sent later from what came live. Negative where the device''s clock was ahead.';
comment on column readings.sealed is 'Whether a block has sealed it, so that it can be proven.';
comment on column readings.entry is 'SHA-256 of the signed statement in hex: its name in the log, in receipts and in evidence.';
comment on column readings.name is 'The name as sent, of which metric is the end.';
comment on column readings.kind is 'number, sum, boolean, text, bytes or waveform (a sample of a regular series).';
comment on column readings.series_from is 'Unix seconds of the earliest reading of the series that it came in: a bound on it uses the index.';
comment on column readings.series_to is 'Unix seconds of the latest reading of the series that it came in.';

create view waveforms as
select device_time(series.starts_at) as start, series.device_id as device, series.metric, series.name, series.unit,
       series.period_ms, series.factor, series.origin, series.samples, series.received_at as arrived,
       sealed.height as block, encode(entries.entry, 'hex') as entry,
       series.starts_at as series_from, series.ends_at as series_to
from series
left join entries on entries.id = series.statement_id
left join lateral (
  select min(height) as height from blocks where blocks.manifest_id >= series.statement_id
) as sealed on true
where series.kind = 'waveform' and not series.ahead;

comment on view waveforms is 'A row per stretch of a waveform as it was sent, in the terms of FHIR SampledData: value = sample * factor + origin.';
comment on column waveforms.start is 'Time of the first sample, by the device''s clock.';
comment on column waveforms.device is 'Id of the device: a pseudonym.';
comment on column waveforms.metric is 'What was measured, such as ecg.';
comment on column waveforms.name is 'The name as sent, of which metric is the end.';
comment on column waveforms.unit is 'The unit of the values.';
comment on column waveforms.period_ms is 'Milliseconds from one sample to the next.';
comment on column waveforms.factor is 'What a sample is multiplied by.';
comment on column waveforms.origin is 'What is added then.';
comment on column waveforms.samples is 'The samples as 16-bit whole numbers.';
comment on column waveforms.arrived is 'When the service took it, by the database''s clock.';
comment on column waveforms.block is 'Height of the block that sealed it; null where it is not sealed yet.';
comment on column waveforms.entry is 'SHA-256 of the signed statement in hex.';
comment on column waveforms.series_from is 'Unix seconds of the first sample.';
comment on column waveforms.series_to is 'Unix seconds of the last sample.';

create view research_devices as
select devices.device_id as device, devices.status, chain_heads.seq as statements, devices.attributes
from devices join chain_heads using (device_id);

comment on view research_devices is 'A row per enrolled device.';
comment on column research_devices.device is 'Id of the device: a pseudonym.';
comment on column research_devices.status is 'active, suspended or revoked.';
comment on column research_devices.statements is 'How many statements of it were accepted; its chain has no gap.';
comment on column research_devices.attributes is 'What the operator wrote about it: make, model, firmware.';

create view research_blocks as
select height, to_timestamp(from_ms / 1000.0) as from_time, to_timestamp(to_ms / 1000.0) as to_time,
       blocks.devices, blocks.statements, blocks.readings,
       to_timestamp(earliest_ms / 1000.0) as earliest, to_timestamp(latest_ms / 1000.0) as latest,
       checkpoints.size as tree_size, encode(checkpoints.root, 'base64') as root, checkpoints.note as checkpoint
from blocks join checkpoints using (height);

comment on view research_blocks is 'A row per sealed block of the log.';
comment on column research_blocks.height is 'From 0; blocks tile time.';
comment on column research_blocks.from_time is 'Its beginning, by the database''s clock: the end of the one before.';
comment on column research_blocks.to_time is 'Its end: what had arrived by then, and was not sealed, is in it.';
comment on column research_blocks.devices is 'How many devices said something.';
comment on column research_blocks.statements is 'How many statements of devices it seals.';
comment on column research_blocks.readings is 'How many readings they hold.';
comment on column research_blocks.earliest is 'Earliest reading in it, by the devices'' clocks.';
comment on column research_blocks.latest is 'Latest reading in it, by the devices'' clocks.';
comment on column research_blocks.tree_size is 'Leaves of the tree, the block''s manifest included.';
comment on column research_blocks.root is 'Root of that tree, in base64.';
comment on column research_blocks.checkpoint is 'The signed checkpoint (C2SP tlog-checkpoint) that whoever verifies begins with.';

create view research_refusals as
select device_id as device, code, count, last_at from refusals;

comment on view research_refusals is 'How often which verdict refused a device''s statements. Counters, not evidence, and without the times of each.';
comment on column research_refusals.device is 'Id of the device; empty for devices that were never enrolled, all together.';
comment on column research_refusals.code is 'Number of the verdict.';
comment on column research_refusals.count is 'How often.';
comment on column research_refusals.last_at is 'When for the last time, by the database''s clock.';

-- Plain SQL over the views, so that the planner looks through them and the rights are the caller's.
create function readings_in(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
returns setof readings language sql stable parallel safe as $$
  select * from readings
  where device = of_device and (of_metric is null or metric = of_metric)
    and series_from < date_part('epoch', to_time) and series_to >= date_part('epoch', from_time)
    and time >= from_time and time < to_time
$$;
comment on function readings_in is 'Readings of a device and a metric (null: all) with from_time <= time < to_time, by the index.';

-- `min` and `max` over arrays compare the time first: the earliest and the latest value in constant memory.
create function readings_buckets(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, width interval)
returns table ("time" timestamptz, device text, metric text, unit text, count bigint,
               min float8, max float8, mean float8, first float8, last float8)
language sql stable parallel safe as $$
  select date_bin(width, r.time, '1970-01-01Z'), r.device, r.metric, r.unit, count(*),
         min(r.value), max(r.value), avg(r.value),
         (min(array[date_part('epoch', r.time), r.value]))[2],
         (max(array[date_part('epoch', r.time), r.value]))[2]
  from readings r
  where r.device = of_device and (of_metric is null or r.metric = of_metric) and r.value is not null
    and r.series_from < date_part('epoch', to_time) and r.series_to >= date_part('epoch', from_time)
    and r.time >= from_time and r.time < to_time
  group by 1, 2, 3, 4
$$;
comment on function readings_buckets is 'Count, min, max, mean, first and last of each stretch of width, from 1970-01-01 UTC on. A stretch without readings has no row: gaps are gaps. Each unit stands alone.';

-- For the owner of the tables: lets a role read what is above, and nothing else. Again after a later migration is harmless.
create function grant_research(role_name name) returns void language plpgsql as $$
begin
  execute format('grant usage on schema %I to %I', current_schema(), role_name);
  execute format(
    'grant select on readings, waveforms, research_devices, research_blocks, research_refusals to %I', role_name);
  execute format(
    'grant execute on function readings_in, readings_buckets, device_time to %I', role_name);
end $$;

revoke execute on function grant_research from public;

-- Roles belong to the whole server: another database may have made it, or be making it at this moment. Where the owner
-- may not make roles, an administrator does, and the owner then says select grant_research('researcher').
do $$
begin
  if not exists (select from pg_roles where rolname = 'researcher') then
    begin
      create role researcher nologin;
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        raise notice 'there is no role researcher: % may not create roles', current_user;
        return;
    end;
  end if;
  perform grant_research('researcher');
end $$;

-- What explains missing readings: losses that a device declares, what could not be read, what was ahead of its time.
-- Few rows, and coverage asks for them alone.
create index entries_to_explain on entries (device_id, received_at) where readings = 0 or code <> 1;
