/** A throw-away copy of a log's database, made beside a running service: Postgres itself copies only idle databases. */
import { pipeline } from "node:stream/promises"
import type { Pool } from "pg"
import { from as copyFrom, to as copyTo } from "pg-copy-streams"
import { migrate } from "./migration.ts"
import { begin, beginReading, openPool } from "./pool.ts"

export interface DatabaseCopy {
  readonly pool: Pool
  /** Drops the copy. */
  close(): Promise<void>
}

/**
 * Copies the database behind `url` into a new one of this name on the same server, in one snapshot.
 *
 * @param name lower-case letters, digits and underscores; a database of this name is dropped first
 */
export async function duplicateDatabase(source: Pool, url: string, name: string): Promise<DatabaseCopy> {
  if (!/^[a-z][a-z0-9_]{0,50}$/.test(name)) throw new RangeError(`"${name}" cannot be a copy's name`)
  await source.query(`drop database if exists ${name} with (force)`)
  await source.query(`create database ${name} template template0 encoding 'UTF8' locale 'C'`)
  const copyUrl = new URL(url)
  copyUrl.pathname = `/${name}`
  const pool = openPool(copyUrl.href, 4)
  const close = async (): Promise<void> => {
    await pool.end()
    await source.query(`drop database if exists ${name} with (force)`)
  }
  try {
    await migrate(pool)
    await copyTables(source, pool)
    return { pool, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function copyTables(source: Pool, target: Pool): Promise<void> {
  const reader = await source.connect()
  const writer = await target.connect()
  try {
    await beginReading(reader)
    // Rows come in no order that foreign keys would like; the source has checked them.
    await begin(writer, "set local session_replication_role = replica")
    const { rows } = await reader.query<{ name: string }>(
      `select relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition and relname <> 'schema_migrations'`,
    )
    for (const { name } of rows) {
      const from = reader.query(copyTo(`copy (select * from ${name}) to stdout (format binary)`))
      await pipeline(from, writer.query(copyFrom(`copy ${name} from stdin (format binary)`)))
    }
    await writer.query("commit")
    await reader.query("commit")
  } finally {
    // Neither is used again: a half-read copy must not stay in a pool.
    reader.release(true)
    writer.release(true)
  }
}
