/** What has left the house: until the log is served, `log/checkpoint` in the data folder. It never goes back. */
import { mkdir, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import type { Pool, PoolClient } from "pg"
import { type Checkpoint, parseCheckpoint } from "../chain/checkpoint.ts"
import { equalBytes } from "../chain/bytes.ts"
import { parseHash } from "../chain/hash.ts"
import { parseNote, verifyNote } from "../chain/note.ts"
import { inTransaction, locks } from "./database/pool.ts"
import { type LogKeys, syncFolder, writeDurable } from "./log-keys.ts"
import { verifyNative } from "./native.ts"

/** The database is behind what was published, or tells another history: nothing may be signed on top of it. */
export class LogRolledBack extends Error {
  override readonly name = "LogRolledBack"
}

const checkpointPath = (dataFolder: string): string => join(dataFolder, "log", "checkpoint")

/** The published checkpoint; null where nothing was published. Throws where the file is not one of this log. */
export async function readPublished(dataFolder: string, keys: LogKeys): Promise<Checkpoint | null> {
  let text: string
  try {
    text = await readFile(checkpointPath(dataFolder), "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
  const note = parseNote(text)
  const checkpoint = note === null ? null : parseCheckpoint(note.text)
  const key = { name: keys.origin, publicKey: keys.log.publicKey }
  if (note === null || checkpoint === null || verifyNote(note, [key], verifyNative)?.length !== 1) {
    throw new LogRolledBack(
      `${checkpointPath(dataFolder)} is not a checkpoint signed by this log: restore it, or ask who changed it`,
    )
  }
  return checkpoint
}

/** Written beside, fsynced, renamed: a reader sees the old one or the new one, also after a loss of power. */
async function publishCheckpoint(dataFolder: string, note: string): Promise<void> {
  const folder = join(dataFolder, "log")
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const temporary = join(folder, "checkpoint.new")
  await writeDurable(temporary, note)
  await rename(temporary, checkpointPath(dataFolder))
  await syncFolder(folder)
}

/**
 * Compares the database with what was published. The same size must never be signed twice with different roots, so a
 * database that is behind, or differs, stops the service.
 */
export async function checkPublished(
  database: Pool | PoolClient,
  dataFolder: string,
  keys: LogKeys,
): Promise<void> {
  const published = await readPublished(dataFolder, keys)
  if (published === null) return
  const { rows } = await database.query<{ root: Uint8Array }>(
    "select root from checkpoints where size = $1",
    [published.size],
  )
  const row = rows[0]
  if (row !== undefined && equalBytes(parseHash(row.root), published.root)) return
  const { rows: last } = await database.query<{ size: number | null }>(
    "select max(size) as size from checkpoints",
  )
  const size = last[0]?.size ?? 0
  throw new LogRolledBack(
    size < published.size
      ? `the database is behind the published log: it holds ${size} leaves, and ${published.size} were published. Was an old backup restored? Restore a newer one; nothing is sealed or accepted on top of this one`
      : `the database tells another history than the published log: at ${published.size} leaves their roots differ`,
  )
}

/**
 * Publishes the last checkpoint. Twice is harmless: same name, same bytes. One at a time, from reading it to its rename:
 * of two sealers the one that read an older one would publish it over the newer.
 */
export async function publishLast(pool: Pool, dataFolder: string): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [locks.publication])
    const { rows } = await client.query<{ note: string }>(
      "select note from checkpoints order by height desc limit 1",
    )
    if (rows[0] !== undefined) await publishCheckpoint(dataFolder, rows[0].note)
  })
}
