-- A week whose partition was missing stands in the default partition, and no partition can be made beside it. Once the
-- week is over, the default partition itself becomes that week's (or those weeks'), and a new one takes its place: no row
-- is moved or written again. Postgres reads the old one through for that, while writers wait: 1 GB takes about a second.
--
-- Returns whether it was done. Not while rows of this week stand there, not where it is larger than `size_max` bytes, and
-- not where its weeks lie on both sides of a partition that is there.
create function settle_default(parent text, size_max bigint) returns boolean language plpgsql as $$
declare
  rest text := parent || '_default';
  this_week timestamptz := date_trunc('week', clock_timestamp() at time zone 'UTC') at time zone 'UTC';
  first_at timestamptz;
  last_at timestamptz;
  first_week timestamptz;
  settled text;
begin
  if to_regclass(rest) is null or pg_table_size(to_regclass(rest)) > size_max then return false; end if;
  -- A look without locks first: at nearly every call it is empty.
  execute format('select min(received_at), max(received_at) from %I', rest) into first_at, last_at;
  if first_at is null or last_at >= this_week then return false; end if;
  execute format('lock table only %I in access exclusive mode', parent);
  execute format('lock table %I in access exclusive mode', rest);
  execute format('select min(received_at), max(received_at) from %I', rest) into first_at, last_at;
  if first_at is null or last_at >= this_week then return false; end if;
  first_week := date_trunc('week', first_at at time zone 'UTC') at time zone 'UTC';
  settled := parent || to_char(first_week at time zone 'UTC', '"_"IYYY"w"IW');
  execute format('alter table %I detach partition %I', parent, rest);
  execute format('alter table %I rename to %I', rest, settled);
  execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, settled, first_week,
    date_trunc('week', last_at at time zone 'UTC') at time zone 'UTC' + interval '7 days');
  execute format('create table %I partition of %I default', rest, parent);
  return true;
exception
  -- A partition that is there lies between its weeks, or has its name: it stays as it is, which is harmless.
  when invalid_object_definition or duplicate_table then return false;
end $$;
