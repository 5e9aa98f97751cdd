/** Connections to Postgres: how each transaction begins, and what a server must promise. */
import { Client, Pool, types } from "pg"
import type { ClientBase, ClientConfig, PoolClient, QueryResult } from "pg"
import {
  type PoolSettings,
  type SettingFault,
  findSettingFaults,
  formatSettingFault,
  readBackQuery,
  settingsQuery,
  settleSession,
} from "./settings.ts"
import { readDatabaseUrl } from "./url.ts"

/** Advisory locks: one number space per database, all of ours here. */
export const locks = {
  /** Held shared by every writer of statements from before its ids to its commit; exclusive for a seal's cut. */
  seal: 7_201_602,
  /** Held by one sealer at a time. */
  sealer: 7_201_603,
  /** Held while the last checkpoint is read and published. */
  publication: 7_201_604,
  /** Held while the published log is written as files: of two the slower would put its older checkpoint over the newer. */
  logExport: 7_201_605,
} as const

// Whole numbers here stay below 2^53 by the protocol, and times are asked for as Unix ms.
types.setTypeParser(types.builtins.INT8, Number)

/** Connections through a pooler. */
const pooled = new WeakSet<ClientBase>()

/** A pooler refuses `options` at the start of a connection, which `pg` would take from PGOPTIONS: we set what is in it. */
class PlainStartClient extends Client {
  constructor(config?: string | ClientConfig) {
    super(config)
    const { connectionParameters } = this as unknown as { connectionParameters: { options?: string } }
    connectionParameters.options = ""
  }
}

/** @throws DatabaseUrlFault where the URL is none */
export function openPool(url: string, connectionsMax = 10): Pool {
  const { connectionString, settings: given } = readDatabaseUrl(url)
  let settings: PoolSettings = given
  const settle = async (client: ClientBase): Promise<void> => {
    const facts = await settleSession(client, settings)
    if (!facts.isPooled) return
    // The first session's path holds for all: another one may have been left with somebody else's.
    settings = { ...settings, schemaPath: facts.schemaPath }
    pooled.add(client)
    settleTransactions(client, settingsQuery(settings, true))
  }
  const pool = new Pool({
    connectionString,
    max: connectionsMax,
    Client: PlainStartClient,
    application_name: "tidemark",
    // A server that went silent is found out by the kernel's probes, and not only when somebody restarts us.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // Awaited, whatever its type says: a connection that cannot be settled is not used.
    onConnect: (client: ClientBase): unknown => settle(client),
  })
  pool.query = queryingSettled(pool)
  // An idle connection that breaks is replaced at the next use, which reports what is wrong then.
  pool.on("error", () => {})
  return pool
}

/** Through a pooler each transaction may run in another session, so it brings our settings with its `begin`. */
function settleTransactions(client: ClientBase, settings: string): void {
  const query = client.query.bind(client) as (text: unknown, ...rest: unknown[]) => unknown
  const settled = (text: unknown, ...rest: unknown[]): unknown => {
    const [, mode, first] = typeof text === "string" ? (/^(begin[^;]*)(.*)$/s.exec(text) ?? []) : []
    return query(mode === undefined ? text : `${mode}; ${settings}${first ?? ""}`, ...rest)
  }
  client.query = settled as ClientBase["query"]
}

/** Through a pooler a query alone is a transaction of its own, with our settings. */
function queryingSettled(pool: Pool): Pool["query"] {
  const query = async (text: string, values?: unknown[]): Promise<QueryResult> => {
    const client = await pool.connect()
    client.on("error", ignore)
    let broken: Error | undefined
    try {
      if (!pooled.has(client)) return await client.query(text, values)
      await begin(client)
      const result = await client.query(text, values)
      await client.query("commit")
      return result
    } catch (error) {
      broken = error as Error
      throw error
    } finally {
      client.off("error", ignore)
      // As `pg` does: a connection whose query failed is not used again.
      client.release(broken)
    }
  }
  return query as Pool["query"]
}

/** Whether this connection goes through a pooler. */
export function isPooled(client: ClientBase): boolean {
  return pooled.has(client)
}

/**
 * Begins a transaction that writes, in one round trip: every one of ours begins by this or by `beginReading`. The
 * isolation level is named, since a default of repeatable read lets a seal miss what was committed while it waited.
 *
 * @param first queries of the same round trip, separated by semicolons
 */
export async function begin(client: ClientBase, first = ""): Promise<void> {
  await client.query(beginning("read committed read write", first))
}

/** Begins a transaction that sees one picture and writes nothing. */
export async function beginReading(client: ClientBase, first = ""): Promise<void> {
  await client.query(beginning("repeatable read read only", first))
}

function beginning(mode: string, first: string): string {
  return `begin isolation level ${mode}; set local synchronous_commit = on${first === "" ? "" : `; ${first}`}`
}

/** What is not as it must be of the settings that something rests on, in a query alone and in a transaction. */
export async function readSettingFaults(pool: Pool): Promise<readonly SettingFault[]> {
  const { rows: inside, isAlike } = await inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ name: string; value: string }>(readBackQuery)
    return { rows, isAlike: isPooled(client) }
  })
  const faults = findSettingFaults(inside, true)
  // Through a pooler a query alone is such a transaction.
  if (isAlike || faults.length > 0) return faults
  const { rows: alone } = await pool.query<{ name: string; value: string }>(readBackQuery)
  return findSettingFaults(alone, false)
}

/** Refuses a server on which a commit is not durable, or on which our settings do not hold. */
export async function checkServer(pool: Pool): Promise<void> {
  const { rows } = await pool.query<{
    fsync: string
    encoding: string
    schema: string | null
    standby: boolean
  }>(
    `select current_setting('fsync') as fsync, current_setting('server_encoding') as encoding,
            current_schema() as schema, pg_is_in_recovery() as standby`,
  )
  const { fsync, encoding, schema, standby } = rows[0]!
  if (standby) throw new Error("this server is a standby, which takes no statements: name the primary")
  if (fsync !== "on")
    throw new Error("the database runs with fsync = off: an acknowledged statement could be lost; turn it on")
  if (encoding !== "UTF8") throw new Error(`the database's encoding is ${encoding}; make it with UTF8`)
  if (schema === null)
    throw new Error(
      "the setting search_path names no schema that is there and open to this role: alter role … set search_path = public, and grant usage on it",
    )
  const [fault] = await readSettingFaults(pool)
  if (fault !== undefined)
    throw new Error(
      `${formatSettingFault(fault)}. Take it back where it was set: alter role … reset ${fault.name}, alter database … reset ${fault.name}, or the pooler's own configuration`,
    )
}

/** Runs `work` between begin and commit. Rolls back and rejects where it rejects. */
export async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  // A connection that dies between two queries says so by an event; the next query reports it.
  client.on("error", ignore)
  let broken: Error | undefined
  try {
    await begin(client)
    const result = await work(client)
    await client.query("commit")
    return result
  } catch (error) {
    broken = error as Error
    await client.query("rollback").then(() => (broken = undefined), ignore)
    throw error
  } finally {
    client.off("error", ignore)
    // A connection that could not roll back is thrown away.
    client.release(broken)
  }
}

function ignore(): void {}
