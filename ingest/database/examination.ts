/** What a Postgres server offers and how a log in it stands: facts, without an opinion. */
import type { Pool } from "pg"
import { type SchemaComparison, examineSchema } from "./catalogue.ts"
import { type ConnectionRoom, readConnectionRoom } from "./connections.ts"
import { inTransaction, isPooled, readSettingFaults } from "./pool.ts"
import type { SettingFault } from "./settings.ts"

export interface ServerFacts {
  readonly version: string
  /** Such as 180004. */
  readonly versionNumber: number
  readonly database: string
  readonly encoding: string
  readonly role: string
  /** Whether the role may make tables in the schema that it would make them in. */
  readonly mayCreate: boolean
  /** A standby takes no statements. */
  readonly isStandby: boolean
  readonly isEncrypted: boolean
  readonly databaseBytes: number
  /** Of all databases, this connection too. */
  readonly connectionsUsed: number
  /** How many connections this role may open here, and what says so. */
  readonly connectionRoom: ConnectionRoom
  /** Through a pooler such as PgBouncer: each transaction brings our settings. */
  readonly isPooled: boolean
  /** Session settings that do not hold, though we set them or need them. */
  readonly settingFaults: readonly SettingFault[]
  /** Where the server's files are; null where this role may not know. */
  readonly dataDirectory: string | null
  /** By name, as `show` gives them in our sessions. */
  readonly settings: ReadonlyMap<string, string>
  readonly timescale: {
    readonly installed: string | null
    readonly available: string | null
    readonly isLoaded: boolean
  }
  /** The server's clock less this machine's, and how well it is known, in ms. */
  readonly clock: { readonly aheadMs: number; readonly withinMs: number }
}

/** Settings on which something rests, or that could be better. */
const settingNames = [
  "fsync",
  "full_page_writes",
  "synchronous_commit",
  "synchronous_standby_names",
  "wal_level",
  "wal_compression",
  "max_connections",
  "superuser_reserved_connections",
  "shared_buffers",
  "max_wal_size",
  "checkpoint_timeout",
  "checkpoint_completion_target",
  "autovacuum",
  "data_checksums",
  "log_statement",
  "log_min_duration_statement",
  "log_min_error_statement",
  "log_error_verbosity",
]

interface ServerRow {
  readonly version: string
  readonly number: number
  readonly database: string
  readonly encoding: string
  readonly role: string
  readonly may_create: boolean
  readonly standby: boolean
  readonly encrypted: boolean | null
  readonly bytes: number
  readonly connections: number
  readonly installed: string | null
  readonly available: string | null
  readonly loaded: boolean
}

export async function examineServer(pool: Pool, nowMs: () => number): Promise<ServerFacts> {
  const { rows } = await pool.query<ServerRow>(
    `select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
            current_database() as database, current_setting('server_encoding') as encoding, current_user as role,
            coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
            pg_is_in_recovery() as standby, (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as encrypted,
            pg_database_size(current_database()) as bytes,
            (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
            (select extversion from pg_extension where extname = 'timescaledb') as installed,
            (select default_version from pg_available_extensions where name = 'timescaledb') as available,
            current_setting('timescaledb.disable_load', true) is not null as loaded`,
  )
  const row = rows[0]!
  const { rows: settings } = await pool.query<{ name: string; value: string }>(
    "select name, current_setting(name) as value from pg_settings where name = any($1)",
    [settingNames],
  )
  return {
    version: row.version,
    versionNumber: row.number,
    database: row.database,
    encoding: row.encoding,
    role: row.role,
    mayCreate: row.may_create,
    isStandby: row.standby,
    isEncrypted: row.encrypted ?? false,
    databaseBytes: row.bytes,
    connectionsUsed: row.connections,
    connectionRoom: await readConnectionRoom(pool),
    // A standby lets nobody begin what may write.
    isPooled: row.standby ? false : await inTransaction(pool, (client) => Promise.resolve(isPooled(client))),
    settingFaults: row.standby ? [] : await readSettingFaults(pool),
    dataDirectory: await readDataDirectory(pool),
    settings: new Map(settings.map(({ name, value }) => [name, value])),
    timescale: { installed: row.installed, available: row.available, isLoaded: row.loaded },
    clock: await compareClocks(pool, nowMs),
  }
}

async function readDataDirectory(pool: Pool): Promise<string | null> {
  try {
    const { rows } = await pool.query<{ path: string }>("select current_setting('data_directory') as path")
    return rows[0]?.path ?? null
  } catch {
    // For superusers only.
    return null
  }
}

/** The best of a few: whatever a query takes, the server read its clock in between. */
async function compareClocks(pool: Pool, nowMs: () => number): Promise<ServerFacts["clock"]> {
  let best = { aheadMs: 0, withinMs: Number.POSITIVE_INFINITY }
  for (let left = 5; left > 0; left--) {
    const before = nowMs()
    const { rows } = await pool.query<{ now: number }>(
      "select (extract(epoch from clock_timestamp()) * 1000)::float8 as now",
    )
    const withinMs = (nowMs() - before) / 2
    if (withinMs < best.withinMs) best = { aheadMs: rows[0]!.now - before - withinMs, withinMs }
  }
  return best
}

export interface StoreFacts {
  readonly origin: string
  /** Of the protocol: in version 1 nothing binds a chain to this log (FORMAT §4, genesis). */
  readonly protocolVersion: number
  /** Migrations that this version knows and the database does not have yet. */
  readonly migrationsMissing: number
  readonly hasHypertables: boolean
  /** Of statements and series, the smaller number: weeks from this one on without a gap that have a partition. */
  readonly weeksAhead: number
  /** Of both default partitions, in bytes; 0 where they are empty. */
  readonly defaultBytes: number
  /** Against the schema of this version; null where it is to be migrated first. */
  readonly schema: SchemaComparison | null
  /** Tables whose trigger against changes is off. */
  readonly unguarded: readonly string[]
  readonly lastBlock: { readonly height: number; readonly leaves: number; readonly endedMsAgo: number } | null
  /** The arrival of the oldest statement of a device that is not sealed; null where all are. */
  readonly unsealedMsAgo: number | null
  /** Sessions of Tidemark's processes on this database, other than this one. */
  readonly sessions: number
}

/** How the log in this database stands; null where there is none. */
export async function examineStore(pool: Pool, migrations: readonly string[]): Promise<StoreFacts | null> {
  const { rows: tables } = await pool.query<{ exists: boolean }>(
    "select to_regclass('log') is not null and to_regclass('schema_migrations') is not null as exists",
  )
  if (tables[0]?.exists !== true) return null
  // As JSON, since the schema may be that of a version without the column.
  const { rows: logs } = await pool.query<{ origin: string; version: number }>(
    "select origin, coalesce((to_jsonb(log) ->> 'version')::int, 1) as version from log",
  )
  if (logs[0] === undefined) return null
  const { rows: done } = await pool.query<{ name: string }>("select name from schema_migrations")
  const known = new Set(done.map(({ name }) => name))
  const { rows } = await pool.query<StoreRow>(storeQuery)
  const row = rows[0]!
  const migrationsMissing = migrations.filter((name) => !known.has(name)).length
  return {
    origin: logs[0].origin,
    protocolVersion: logs[0].version,
    migrationsMissing,
    schema: migrationsMissing > 0 ? null : await examineSchema(pool),
    hasHypertables: !row.partitioned,
    weeksAhead: row.weeks,
    defaultBytes: row.default_bytes,
    unguarded: row.unguarded,
    lastBlock:
      row.height === null
        ? null
        : { height: row.height, leaves: row.leaves!, endedMsAgo: row.now_ms - row.to_ms! },
    unsealedMsAgo: row.unsealed_ms === null ? null : row.now_ms - row.unsealed_ms,
    sessions: row.sessions,
  }
}

interface StoreRow {
  readonly partitioned: boolean
  readonly weeks: number
  readonly default_bytes: number
  readonly unguarded: readonly string[]
  readonly leaves: number | null
  readonly height: number | null
  readonly to_ms: number | null
  readonly now_ms: number
  readonly unsealed_ms: number | null
  readonly sessions: number
}

const storeQuery = `
  with week as (
    select number, date_trunc('week', now() at time zone 'UTC') + number * interval '7 days' as starts
    from generate_series(0, 52) as number
  ), missing as (
    select min(number) as number from week cross join unnest(array['statements', 'series']) as parent
    where to_regclass(parent || to_char(starts, '"_"IYYY"w"IW')) is null
  ), last as (select height, to_ms, size, manifest_id from blocks order by height desc limit 1)
  select (select relkind = 'p' from pg_class where oid = 'statements'::regclass) as partitioned,
         (select coalesce(number, 53) from missing)::int as weeks,
         (select coalesce(sum(pg_relation_size(oid)), 0)::bigint from pg_class
          where relname in ('statements_default', 'series_default') and relkind = 'r') as default_bytes,
         array(select distinct tgrelid::regclass::text from pg_trigger
               where tgname = 'only_added' and tgenabled not in ('O', 'A') order by 1) as unguarded,
         (select height from last) as height, (select size + 1 from last) as leaves, (select to_ms from last) as to_ms,
         (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
         (select (extract(epoch from received_at) * 1000)::bigint from entries join devices using (device_id)
          where id > coalesce((select manifest_id from last), 0) order by id limit 1) as unsealed_ms,
         (select count(*) from pg_stat_activity where datname = current_database() and application_name = 'tidemark'
            and pid <> pg_backend_pid()) as sessions`
