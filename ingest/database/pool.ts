/** Connections to Postgres: what every session sets, and what a server must promise. */
import { Pool, types } from "pg"
import type { PoolClient } from "pg"

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

export function openPool(url: string, connectionsMax = 10): Pool {
  const pool = new Pool({
    connectionString: url,
    max: connectionsMax,
    // PUBACK means on disk: whatever the server's or the role's default is, our sessions wait for it.
    // And what a lock waited for is read after it by the next query: that is read committed, whatever the default is.
    options:
      "-c synchronous_commit=on -c timezone=UTC -c statement_timeout=0 -c default_transaction_isolation=read\\ committed",
    application_name: "tidemark",
    // A server that went silent is found out by the kernel's probes, and not only when somebody restarts us.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  })
  // An idle connection that breaks is replaced at the next use, which reports what is wrong then.
  pool.on("error", () => {})
  return pool
}

/** Refuses a server on which a commit is not durable. */
export async function checkServer(pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ fsync: string; commit: string; encoding: string }>(
    "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit, current_setting('server_encoding') as encoding",
  )
  const { fsync, commit, encoding } = rows[0]!
  if (fsync !== "on")
    throw new Error("the database runs with fsync = off: an acknowledged statement could be lost; turn it on")
  if (commit === "off" || commit === "local")
    throw new Error("synchronous_commit could not be turned on in this database")
  if (encoding !== "UTF8") throw new Error(`the database's encoding is ${encoding}; make it with UTF8`)
}

/** Runs `work` between begin and commit. Rolls back and rejects where it rejects. */
export async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  // A connection that dies between two queries says so by an event; the next query reports it.
  client.on("error", ignore)
  let broken: Error | undefined
  try {
    await client.query("begin")
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
