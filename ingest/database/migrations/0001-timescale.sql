-- Where the server offers TimescaleDB, `statements` and `series` of a new log are hypertables instead of tables with
-- declarative partitions, which cannot be made into some. What a log that is older than this file has, it keeps.

-- What this server offers: null, or the extension's version if it is installed here, or could be. One that is not
-- preloaded must not be touched: to create it would end the session. Its loader is seen by the setting that it brings.
create function timescale_offered() returns text language sql stable as $$
  select coalesce(
    (select extversion from pg_extension where extname = 'timescaledb'),
    (select default_version from pg_available_extensions
     where name = 'timescaledb' and current_setting('timescaledb.disable_load', true) is not null))
$$;

-- Whether these are hypertables here.
create function has_hypertables() returns boolean language plpgsql stable as $$
begin
  if not exists (select from pg_extension where extname = 'timescaledb') then return false; end if;
  return exists (select from timescaledb_information.hypertables where hypertable_name = 'statements');
end $$;

do $$
declare
  readings text := pg_get_viewdef('readings'::regclass);
  parent text;
begin
  if timescale_offered() is null or (select count(*) from schema_migrations) > 1 then return; end if;
  begin
    create extension if not exists timescaledb;
  exception
    -- Whoever owns this database may not install it: then it is plain Postgres, which `tidemark doctor` says.
    when insufficient_privilege then return;
  end;
  drop view readings;
  foreach parent in array array['statements', 'series'] loop
    execute format('alter table %I rename to %I', parent, parent || '_plain');
    execute format('create table %I (like %I including all)', parent, parent || '_plain');
    execute format('drop table %I', parent || '_plain');
    -- A week each, as the partitions. The primary keys hold what is looked for; an index on the arrival alone would be
    -- for nobody.
    perform create_hypertable(parent::regclass, 'received_at', chunk_time_interval => interval '7 days',
      create_default_indexes => false);
    execute format('create trigger only_added before update or delete or truncate on %I
      for each statement execute function refuse_change()', parent);
  end loop;
  execute 'create view readings as ' || readings;
  -- Compression is not in the build under the Apache licence.
  if current_setting('timescaledb.license', true) is distinct from 'timescale' then return; end if;
  -- One device's metric is read along its own time; the audit reads by statement.
  alter table series set (timescaledb.compress, timescaledb.compress_segmentby = 'device_id, metric',
    timescaledb.compress_orderby = 'starts_at, statement_id, position');
  alter table statements set (timescaledb.compress, timescaledb.compress_segmentby = '',
    timescaledb.compress_orderby = 'id');
end $$;

-- Compresses the chunks whose whole week is sealed, and gives how many. On plain Postgres there are none.
create function compress_sealed() returns integer language plpgsql as $$
declare
  sealed_until timestamptz;
  chunk regclass;
  compressed integer := 0;
begin
  if not has_hypertables() or current_setting('timescaledb.license', true) is distinct from 'timescale' then return 0; end if;
  select to_timestamp(max(to_ms) / 1000.0) into sealed_until from blocks;
  for chunk in
    select format('%I.%I', chunk_schema, chunk_name)::regclass from timescaledb_information.chunks
    where hypertable_name in ('statements', 'series') and not is_compressed and range_end <= sealed_until
    order by range_end
  loop
    perform compress_chunk(chunk);
    compressed := compressed + 1;
  end loop;
  return compressed;
end $$;
