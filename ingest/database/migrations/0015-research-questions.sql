-- The functions for researchers refuse what has no answer: a metric that nobody knows, a device that is not enrolled, times
-- that are none. And buckets follow a time zone's clock.

-- The functions ask with their caller's rights, and this is what a caller may know.
create view research_series as select device_id as device, metric, name, unit, kind from series;

comment on view research_series is 'A row per series as it was sent: which metrics a device has. What was ahead of its time when it arrived is here too.';
comment on column research_series.device is 'Id of the device: a pseudonym.';
comment on column research_series.metric is 'What was measured, such as heart-rate.';
comment on column research_series.name is 'The name as sent, of which metric is the end.';
comment on column research_series.unit is 'The unit as sent; null where none was sent.';
comment on column research_series.kind is 'number, sum, boolean, text, bytes or waveform.';

-- The catalogue's names, as research/metric.ts has them (a test compares them); every ecg-… is known too.
create function catalogue_metrics() returns text[] language sql immutable parallel safe as $$
  select array[
    'heart-rate', 'pulse-rate', 'resting-heart-rate', 'rr-interval', 'heart-rate-variability', 'ecg', 'ecg-i',
    'ecg-ii', 'ecg-iii', 'ecg-avr', 'ecg-avl', 'ecg-avf', 'ecg-v1', 'ecg-v2', 'ecg-v3', 'ecg-v4', 'ecg-v5', 'ecg-v6',
    'ppg', 'bvp', 'oxygen-saturation', 'systolic-blood-pressure', 'diastolic-blood-pressure', 'respiration-rate',
    'body-temperature', 'skin-temperature', 'eda', 'glucose', 'glucose-scan', 'glucose-strip', 'glucose-calibration',
    'ketone', 'steps', 'distance', 'ascent', 'speed', 'calories', 'intensity', 'sleep-duration', 'acc-x', 'acc-y',
    'acc-z', 'body-weight', 'body-height', 'battery', 'stress', 'event', 'note'
  ]
$$;

-- Levenshtein's distance. Only ever asked where a name is wrong.
create function edit_distance(one text, other text) returns int language plpgsql immutable parallel safe as $$
declare
  last int[] := array(select generate_series(0, length(other)));
  next int[];
begin
  for line in 1 .. length(one) loop
    next := array[line];
    for place in 1 .. length(other) loop
      next := next || least(last[place + 1] + 1, next[place] + 1,
        last[place] + (substr(one, line, 1) <> substr(other, place, 1))::int);
    end loop;
    last := next;
  end loop;
  return last[length(other) + 1];
end $$;

-- The nearest names that there are, or null.
create function nearest_metric(of_metric text, of_device text) returns text
language plpgsql stable parallel safe as $$
declare
  wanted text := left(lower(regexp_replace(of_metric, '[^[:alnum:]]', '', 'g')), 64);
begin
  return (
    with recursive sent (metric) as (
      (select metric from research_series where device = of_device order by metric limit 1)
      union all
      select (select metric from research_series where device = of_device and metric > sent.metric order by metric limit 1)
      from sent where sent.metric is not null
    ), names (metric, plain) as (
      select metric, left(lower(regexp_replace(metric, '[^[:alnum:]]', '', 'g')), 64)
      from (select unnest(catalogue_metrics()) union (select metric from sent where metric is not null limit 1000)) as known (metric)
    ), ranked as (
      select metric, case when edits <= tolerated then edits else tolerated end as rank
      from names
      cross join lateral (select edit_distance(wanted, plain) as edits, (length(wanted) + 2) / 3 as tolerated) as distance
      where edits <= tolerated
         or length(wanted) >= 3 and length(plain) >= 3 and (strpos(plain, wanted) > 0 or strpos(wanted, plain) > 0)
    )
    select string_agg(metric, ' or ' order by metric) from (
      select metric from ranked where rank = (select min(rank) from ranked) order by metric limit 3
    ) as nearest
  );
end $$;

-- True, or an error that names what is wrong. The functions below ask it in a branch of its own that gives no row: where
-- the planner sees that nothing can be found, as of a device that is null, it leaves out the other branch with all that it asks.
create function research_question(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
returns boolean language plpgsql stable parallel safe as $$
declare
  -- The years -1200 to 5138; the same number of milliseconds would be 1966 to 1976.
  seconds_max constant float8 := 1e11;
  nearest text;
begin
  if of_device is null or from_time is null or to_time is null then
    raise exception using errcode = 'null_value_not_allowed',
      message = 'of_device, from_time and to_time must be given',
      hint = 'for all times give ''-infinity'' and ''infinity''';
  end if;
  if isfinite(from_time) and abs(date_part('epoch', from_time)) >= seconds_max
    or isfinite(to_time) and abs(date_part('epoch', to_time)) >= seconds_max then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('the times are in the years %s to %s', date_part('year', from_time), date_part('year', to_time)),
      hint = 'to_timestamp takes seconds: of milliseconds give to_timestamp(x / 1000.0)';
  end if;
  if to_time < from_time then
    raise exception using errcode = 'invalid_parameter_value', message = 'to_time must not be before from_time';
  end if;
  if not exists (select from research_devices where device = of_device) then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('device %s is not enrolled', of_device),
      hint = 'select device from research_devices shows those that are';
  end if;
  if of_metric is null or of_metric = any(catalogue_metrics()) or starts_with(of_metric, 'ecg-')
    or exists (select from research_series where device = of_device and metric = of_metric)
    or exists (
      select from research_devices as d
      cross join lateral (select from research_series where device = d.device and metric = of_metric limit 1) as one
    ) then
    return true;
  end if;
  nearest := nearest_metric(of_metric, of_device);
  raise exception using errcode = 'invalid_parameter_value',
    message = format('metric %s is not in the catalogue, and no device has sent it', of_metric),
    hint = coalesce('did you mean ' || nearest || '?', '/v1/metrics lists the catalogue');
end $$;

create or replace function readings_in(of_device text, of_metric text, from_time timestamptz, to_time timestamptz)
returns setof readings language sql stable parallel safe as $$
  select * from readings
  where device = of_device and (of_metric is null or metric = of_metric)
    and series_from < date_part('epoch', to_time) and series_to >= date_part('epoch', from_time)
    and time >= from_time and time < to_time
  union all
  select (null::readings).* where not research_question(of_device, of_metric, from_time, to_time)
$$;
comment on function readings_in is 'Readings of a device and a metric (null: all) with from_time <= time < to_time, by the index. A device that is not enrolled, a metric that nobody knows and times in milliseconds are errors. A time without its offset is of the session''s time zone (show timezone).';

create or replace function readings_buckets(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, width interval)
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
  union all
  select null, null, null, null, null, null, null, null, null, null
  where not research_question(of_device, of_metric, from_time, to_time)
$$;
comment on function readings_buckets(text, text, timestamptz, timestamptz, interval) is 'Count, min, max, mean, first and last of each stretch of width, from 1970-01-01 UTC on. A stretch without readings has no row: gaps are gaps. Each unit stands alone. The first may begin before from_time, and holds only what is from then on. With a time zone as the sixth argument, stretches follow its clock and say whether they are cut.';

-- A time zone's clock. Seconds are Unix seconds, whole.

create function zone_offset(zone text, at_seconds float8) returns int language sql stable parallel safe as $$
  select (date_part('epoch', to_timestamp(at_seconds) at time zone zone) - at_seconds)::int
$$;

-- A change of the clock between two instants (the first not included, the second included), the last or the first of
-- them; no row where there is none. Since 1970 no zone changed its clock twice within 6.9 days.
create function zone_shift(zone text, from_seconds float8, to_seconds float8, is_last boolean)
returns table (shift_at float8, shift_before int, shift_after int) language plpgsql stable parallel safe as $$
declare
  step constant float8 := 6 * 86400;
  low float8;
  high float8;
  middle float8;
begin
  for place in 0 .. ceil((to_seconds - from_seconds) / step)::int - 1 loop
    if is_last then
      high := to_seconds - place * step;
      low := greatest(from_seconds, high - step);
    else
      low := from_seconds + place * step;
      high := least(to_seconds, low + step);
    end if;
    shift_before := zone_offset(zone, low);
    shift_after := zone_offset(zone, high);
    continue when shift_before = shift_after;
    while high - low > 1 loop
      middle := floor((low + high) / 2);
      if zone_offset(zone, middle) = shift_before then low := middle; else high := middle; end if;
    end loop;
    shift_at := high;
    return next;
    return;
  end loop;
end $$;

-- The bucket of an instant, by the rule of research/bucket-grid.ts: time that is put back by less than the width makes the
-- bucket longer, by the width or more it begins again; time that is skipped makes it shorter, or leaves it out.
create function zone_bucket(zone text, at_seconds float8, width float8)
returns table (starts_at float8, ends_at float8) language plpgsql stable parallel safe as $$
declare
  -- No clock was ever put by more than a day.
  reach constant float8 := width + 172800;
  t float8 := floor(at_seconds);
  shift record;
  shown float8;
  offset_now int;
  beginning float8;
  ending float8;
begin
  select * into shift from zone_shift(zone, t - reach, t, true);
  offset_now := zone_offset(zone, t);
  shown := t + offset_now;
  if shift.shift_before > shift.shift_after and shift.shift_before - shift.shift_after < width then
    shown := greatest(shown, shift.shift_at + shift.shift_before - 1);
  end if;
  ending := (floor(shown / width) + 1) * width;
  loop
    beginning := floor((t + zone_offset(zone, t)) / width) * width;
    starts_at := beginning - zone_offset(zone, t);
    exit when shift.shift_at is null;
    starts_at := greatest(shift.shift_at, starts_at);
    exit when shift.shift_before - shift.shift_after >= width or beginning >= shift.shift_at + shift.shift_before;
    t := shift.shift_at - 1;
    select * into shift from zone_shift(zone, t - reach, t, true);
  end loop;
  t := floor(at_seconds);
  loop
    ends_at := ending - offset_now;
    select * into shift from zone_shift(zone, t, t + reach, false);
    exit when shift.shift_at is null or ends_at < shift.shift_at;
    ends_at := shift.shift_at;
    exit when case when shift.shift_after < shift.shift_before then shift.shift_before - shift.shift_after >= width
              else shift.shift_at + shift.shift_after >= ending end;
    t := shift.shift_at;
    offset_now := shift.shift_after;
  end loop;
  return next;
end $$;

-- Seconds of a bucket's width, or an error.
create function bucket_seconds(width interval, timezone text) returns float8 language plpgsql stable parallel safe as $$
declare
  seconds constant float8 := extract(epoch from width);
begin
  if width is null or timezone is null then
    raise exception using errcode = 'null_value_not_allowed', message = 'width and timezone must be given';
  end if;
  if extract(year from width) <> 0 or extract(month from width) <> 0 then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('width %s: months and years have no one length', width), hint = 'give days, such as 30 days';
  end if;
  if seconds < 1 or seconds <> floor(seconds) or seconds > 366 * 86400 then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('width %s must be whole seconds, from 1 s to 366 days', width);
  end if;
  -- By name: Postgres takes any word with a number for a zone of POSIX, of which the sign is the other way round.
  if not exists (select from pg_timezone_names where name = timezone) then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('there is no time zone %s', timezone),
      hint = 'give one such as Europe/Berlin; select name from pg_timezone_names lists them';
  end if;
  return seconds;
end $$;

-- Readings are gathered by what the wall shows and its offset, and only these few parts are asked for their bucket.
create function readings_buckets(of_device text, of_metric text, from_time timestamptz, to_time timestamptz, width interval,
                                 timezone text)
returns table ("time" timestamptz, device text, metric text, unit text, count bigint,
               min float8, max float8, mean float8, first float8, last float8,
               seconds float8, partial boolean, "local" timestamp)
language sql stable parallel safe as $$
  with asked as materialized (
    select bucket_seconds(width, timezone) as width
  ), part as (
    select r.device, r.metric, r.unit, min(date_part('epoch', r.time)) as at_seconds, count(*) as count,
           min(r.value) as min, max(r.value) as max, sum(r.value) as sum,
           min(array[date_part('epoch', r.time), r.value]) as first,
           max(array[date_part('epoch', r.time), r.value]) as last
    from asked cross join readings r
    where r.device = of_device and (of_metric is null or r.metric = of_metric) and r.value is not null
      and r.series_from < date_part('epoch', to_time) and r.series_to >= date_part('epoch', from_time)
      and r.time >= from_time and r.time < to_time and isfinite(r.time)
    group by r.device, r.metric, r.unit,
             floor(date_part('epoch', r.time at time zone timezone) / asked.width),
             round(date_part('epoch', r.time at time zone timezone) - date_part('epoch', r.time))
  )
  select to_timestamp(bucket.starts_at), part.device, part.metric, part.unit, sum(part.count)::bigint,
         min(part.min), max(part.max), sum(part.sum) / sum(part.count)::float8,
         (min(part.first))[2], (max(part.last))[2],
         bucket.ends_at - bucket.starts_at,
         to_timestamp(bucket.starts_at) < from_time or to_timestamp(bucket.ends_at) > to_time,
         to_timestamp(bucket.starts_at) at time zone timezone
  from asked cross join part cross join lateral zone_bucket(timezone, part.at_seconds, asked.width) as bucket
  group by part.device, part.metric, part.unit, bucket.starts_at, bucket.ends_at
  union all
  select null, null, null, null, null, null, null, null, null, null, null, null, null
  from asked where not research_question(of_device, of_metric, from_time, to_time)
$$;
comment on function readings_buckets(text, text, timestamptz, timestamptz, interval, text) is 'Count, min, max, mean, first and last of each stretch of width by the clock of a time zone such as Europe/Berlin, so that 1 day is a day there, of 23, 24 or 25 hours. seconds is how long the stretch is, local where it begins by the clock on the wall; partial says that from_time or to_time cut it. A stretch without readings has no row.';

create or replace function grant_research(role_name name) returns void language plpgsql as $$
begin
  execute format('grant usage on schema %I to %I', current_schema(), role_name);
  execute format(
    'grant select on readings, waveforms, research_devices, research_blocks, research_refusals, research_series to %I',
    role_name);
  execute format(
    'grant execute on function readings_in,
       readings_buckets(text, text, timestamptz, timestamptz, interval),
       readings_buckets(text, text, timestamptz, timestamptz, interval, text),
       device_time, research_question, nearest_metric, catalogue_metrics, edit_distance, zone_offset, zone_shift, zone_bucket,
       bucket_seconds to %I', role_name);
end $$;

-- Everyone who was let in before.
do $$
declare
  reader name;
begin
  for reader in
    select distinct pg_roles.rolname
    from pg_class cross join lateral aclexplode(pg_class.relacl) as acl join pg_roles on pg_roles.oid = acl.grantee
    where pg_class.oid = 'readings'::regclass and acl.privilege_type = 'SELECT' and acl.grantee <> pg_class.relowner
  loop
    perform grant_research(reader);
  end loop;
end $$;
