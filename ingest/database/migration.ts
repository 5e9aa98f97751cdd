/** Plain `.sql` migrations, numbered, only forwards. */
import { readFile, readdir } from "node:fs/promises"
import type { Pool } from "pg"
import { inTransaction } from "./pool.ts"

const folder = new URL("migrations/", import.meta.url)
/** Held while migrating, so that two processes that start at once do not both make a table. */
const migrationLock = 7_201_601

/** Names of all, in the order in which they are applied. */
export async function listMigrations(): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith(".sql")).toSorted()
}

/** Brings a database to the schema of this version. Refuses one that a newer version has migrated. */
export async function migrate(pool: Pool): Promise<void> {
  const names = await listMigrations()
  await inTransaction(pool, async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [migrationLock])
    await client.query(
      "create table if not exists schema_migrations (name text primary key, at timestamptz not null default now())",
    )
    const { rows } = await client.query<{ name: string }>("select name from schema_migrations order by name")
    const unknown = rows.find(({ name }) => !names.includes(name))
    if (unknown !== undefined) {
      throw new Error(
        `the database has migration ${unknown.name}, which this version does not know: use the newer version`,
      )
    }
    const done = new Set(rows.map(({ name }) => name))
    for (const name of names) {
      if (done.has(name)) continue
      await client.query(await readFile(new URL(name, folder), "utf8"))
      await client.query("insert into schema_migrations (name) values ($1)", [name])
    }
  })
  await makePartitions(pool)
}

/**
 * Partitions for now and eight weeks ahead: called at start and at each sealing. A long reader may hold what they need
 * for longer than writers should wait behind us: then the next call makes them, and meanwhile there is the default.
 */
export async function makePartitions(pool: Pool): Promise<void> {
  // TimescaleDB makes its chunks itself.
  if (await hasHypertables(pool)) return
  await unlessHeld(pool, "select make_partitions(now(), 8)")
  for (const parent of ["statements", "series"])
    await unlessHeld(pool, "select settle_default($1, $2)", [parent, settledBytesMax])
}

/**
 * A default partition that is larger stays one: writers wait while it is read through, and 512 MB take half a second from
 * memory and some seconds from a disk. `tidemark doctor` says so.
 */
export const settledBytesMax = 512 * 1024 * 1024

/** Whether statements and series are TimescaleDB's hypertables here. */
export async function hasHypertables(pool: Pool): Promise<boolean> {
  const { rows } = await pool.query<{ has: boolean }>("select has_hypertables() as has")
  return rows[0]!.has
}

/** Compresses the chunks whose whole week is sealed, after a seal. Gives how many; on plain Postgres there are none. */
export async function compressSealed(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ count: number }>("select compress_sealed() as count")
  return rows[0]!.count
}

async function unlessHeld(pool: Pool, sql: string, values: readonly unknown[] = []): Promise<void> {
  const lockNotAvailable = "55P03"
  await inTransaction(pool, async (client) => {
    await client.query("set local lock_timeout = '2s'")
    await client.query(sql, [...values])
  }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== lockNotAvailable) throw error
  })
}
