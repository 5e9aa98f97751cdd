/**
 * The settings of a session that a promise rests on. The URL, the role, the database and a pooler may each say something
 * else, so we set them ourselves: on a direct connection once, at its beginning; through a pooler in each transaction,
 * since the next one may run in another session. `docs/operate.md` has the same table for people.
 */
import type { ClientBase } from "pg"

export interface SessionSetting {
  readonly name: string
  readonly value: string
  /** What would break under another value. */
  readonly why: string
  /** Not in every version of Postgres that we run on. */
  readonly isOptional?: boolean
  /** Of the transaction itself, so `begin` says it and `set local` does not. */
  readonly isOfTransaction?: boolean
}

export const sessionSettings: readonly SessionSetting[] = [
  {
    name: "synchronous_commit",
    value: "on",
    why: "an acknowledgement means on disk (promise 1)",
  },
  {
    name: "default_transaction_isolation",
    value: "read committed",
    why: "a block's cut must see what a writer committed while it waited for it (promise 5)",
    isOfTransaction: true,
  },
  {
    name: "default_transaction_read_only",
    value: "off",
    why: "statements and the record of reads are written",
    isOfTransaction: true,
  },
  {
    name: "default_transaction_deferrable",
    value: "off",
    why: "a transaction must not wait for others before it begins",
    isOfTransaction: true,
  },
  { name: "statement_timeout", value: "0", why: "a seal of many statements takes as long as it takes" },
  { name: "lock_timeout", value: "0", why: "a second sealer waits for the first one" },
  {
    name: "idle_in_transaction_session_timeout",
    value: "0",
    why: "a seal and an audit compute between two queries",
  },
  { name: "transaction_timeout", value: "0", why: "an audit reads one picture for hours", isOptional: true },
  { name: "TimeZone", value: "UTC", why: "partitions are weeks in UTC" },
  { name: "DateStyle", value: "ISO, MDY", why: "times are read back in this form" },
  { name: "IntervalStyle", value: "postgres", why: "intervals are read back in this form" },
  { name: "extra_float_digits", value: "1", why: "readings are given to the last bit (promise 7)" },
  { name: "bytea_output", value: "hex", why: "signed bytes are read back in this form" },
  { name: "client_encoding", value: "UTF8", why: "texts of devices are UTF-8" },
  { name: "array_nulls", value: "on", why: "NULL in a list is no text" },
  {
    name: "standard_conforming_strings",
    value: "on",
    why: "a backslash in our queries is a backslash",
  },
  { name: "transform_null_equals", value: "off", why: "comparisons with null mean what SQL says" },
  { name: "quote_all_identifiers", value: "off", why: "names are compared as they are" },
  // With on, a policy on a table hides rows in silence; with off, the query fails and names the table.
  { name: "row_security", value: "off", why: "no row may be hidden from us in silence" },
]

/** What we cannot set, since only a superuser may: another value is refused. */
export const requiredSettings: readonly SessionSetting[] = [
  {
    name: "session_replication_role",
    value: "origin",
    why: "under another value no trigger guards evidence and no foreign key is checked (promise 6)",
  },
  { name: "zero_damaged_pages", value: "off", why: "a damaged page would be emptied in silence" },
  { name: "ignore_checksum_failure", value: "off", why: "a damaged page would be taken for a good one" },
]

/** A setting of the operator's own, from the URL's `options`. */
export interface GivenSetting {
  readonly name: string
  readonly value: string
}

/** `search_path`, and what else the URL's options name and we do not set. */
export interface PoolSettings {
  /** Where our tables are, as a value of search_path; null: as the session finds them, or would make them. */
  readonly schemaPath: string | null
  readonly others: readonly GivenSetting[]
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

function setConfig({ name, value, isOptional }: SessionSetting, isLocal: boolean): string {
  const set = `set_config(${literal(name)}, ${literal(value)}, ${isLocal})`
  return isOptional === true
    ? `case when current_setting(${literal(name)}, true) is not null then ${set} end`
    : set
}

/**
 * The schema that holds a log, where the session's own path finds one, or else the one that it would make tables in. And
 * the one with TimescaleDB's functions.
 */
const foundPath = `(
  with own as (
    select coalesce((select nspname from pg_namespace n join pg_class c on c.relnamespace = n.oid
                     where c.oid = to_regclass('schema_migrations')), current_schema()) as name)
  select quote_ident(name) || coalesce(
    (select ', ' || quote_ident(nspname) from pg_extension join pg_namespace n on n.oid = extnamespace
     where extname = 'timescaledb' and nspname <> name), '')
  from own)`

export interface SessionFacts {
  /** Through a pooler: the next transaction may run in another session. */
  readonly isPooled: boolean
  /** For search_path; null where the session's own path leads to no schema. */
  readonly schemaPath: string | null
}

/**
 * Finds out what a new connection is, and sets everything where it is a session of its own. A pooler answers the key that
 * cancels queries itself, so the process number in it is not the one of the server's process: then nothing is set here,
 * since it would stay behind for others.
 */
export async function settleSession(
  client: ClientBase,
  { schemaPath, others }: PoolSettings,
): Promise<SessionFacts> {
  const { processID } = client as ClientBase & { readonly processID: number | null }
  const { rows } = await client.query<{ pid: number; path: string | null }>(
    `select pg_backend_pid() as pid, ${schemaPath === null ? foundPath : literal(schemaPath)} as path`,
  )
  const { pid, path } = rows[0]!
  const isPooled = pid !== processID
  if (!isPooled) await client.query(settingsQuery({ schemaPath: path, others }, false))
  return { isPooled, schemaPath: path }
}

/** One query that sets everything: for the session, or for the transaction that it runs in. */
export function settingsQuery({ schemaPath, others }: PoolSettings, isLocal: boolean): string {
  const settings = [
    ...others,
    ...(schemaPath === null ? [] : [{ name: "search_path", value: schemaPath }]),
    ...sessionSettings.filter(({ isOfTransaction }) => !isLocal || isOfTransaction !== true),
  ]
  return `select ${settings.map((setting) => setConfig({ why: "", ...setting }, isLocal)).join(", ")}`
}

/** A setting that is not what something rests on. */
export interface SettingFault {
  readonly name: string
  readonly value: string
  readonly wanted: string
  readonly why: string
}

/** `name` and `value` of each setting in `sessionSettings` and `requiredSettings`, as the transaction has them. */
export const readBackQuery = `select name, setting as value from pg_settings where name = any(array[${[
  ...sessionSettings,
  ...requiredSettings,
  { name: "transaction_isolation" },
  { name: "transaction_read_only" },
]
  .map(({ name }) => literal(name))
  .join(", ")}])`

/**
 * What of that is not as it must be.
 *
 * @param isInTransaction read after `begin`, which says isolation and read-only by itself
 */
export function findSettingFaults(
  rows: readonly GivenSetting[],
  isInTransaction: boolean,
): readonly SettingFault[] {
  const values = new Map(rows.map(({ name, value }) => [name, value]))
  const faults: SettingFault[] = []
  for (const { name, value: wanted, why, isOptional, isOfTransaction } of [
    ...sessionSettings,
    ...requiredSettings,
  ]) {
    const inForce = isInTransaction ? name.replace(/^default_/, "") : name
    if (isInTransaction && name === "default_transaction_deferrable") continue
    const value = values.get(isOfTransaction === true ? inForce : name)
    if (value === wanted || (value === undefined && isOptional === true)) continue
    faults.push({ name, value: value ?? "not shown", wanted, why })
  }
  return faults
}

/** One line for a person, and what would mend it. */
export function formatSettingFault({ name, value, wanted, why }: SettingFault): string {
  return `the setting ${name} is ${value} in our transactions and must be ${wanted}: ${why}`
}
