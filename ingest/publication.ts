/**
 * What has left the house: `log/checkpoint` in the data folder, and then what is served and exported. It never goes back,
 * and it is published from one folder only.
 */
import { randomBytes } from "node:crypto"
import { mkdir, readFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Pool, PoolClient } from "pg"
import { type Checkpoint, parseCheckpoint } from "../chain/checkpoint.ts"
import { equalBytes } from "../chain/bytes.ts"
import { parseHash } from "../chain/hash.ts"
import { type Note, formatNote, parseNote, verifyNote } from "../chain/note.ts"
import { createFile, replaceFile } from "../disk/durable.ts"
import { inTransaction, locks } from "./database/pool.ts"
import { type CheckpointSigner } from "./log-keys.ts"
import { verifyNative } from "./native.ts"

/** The database is behind what was published, or tells another history: nothing may be signed on top of it. */
export class LogRolledBack extends Error {
  override readonly name = "LogRolledBack"
}

/** The log is sealed from another data folder: this one does not know what was published. */
export class LogSealedElsewhere extends Error {
  override readonly name = "LogSealedElsewhere"
}

const checkpointPath = (dataFolder: string): string => join(dataFolder, "log", "checkpoint")

/** The published checkpoint; null where nothing was published. Throws where the file is not one of this log. */
export async function readPublished(dataFolder: string, keys: CheckpointSigner): Promise<Checkpoint | null> {
  const text = await readText(dataFolder)
  if (text === null) return null
  const note = parseNote(text)
  const checkpoint = note === null ? null : openSigned(note, keys)
  if (checkpoint === null) {
    throw new LogRolledBack(
      `${checkpointPath(dataFolder)} is not a checkpoint signed by this log: restore it, or ask who changed it`,
    )
  }
  return checkpoint
}

function readText(dataFolder: string): Promise<string | null> {
  return readFileText(checkpointPath(dataFolder))
}

/** Null where there is no such file. */
async function readFileText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
}

/** Of the tree in a checkpoint's note, whoever signed it; 0 where it is none. */
function sizeOf(text: string | null): number {
  const note = text === null ? null : parseNote(text)
  return (note === null ? null : parseCheckpoint(note.text))?.size ?? 0
}

/** Replaces a file in the folder of what was published, which is made where it is missing. */
async function publishFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  await replaceFile(path, text)
}

/**
 * Compares the database with what was published. The same size must never be signed twice with different roots, so a
 * database that is behind, or differs, stops the service.
 */
export async function checkPublished(
  database: Pool | PoolClient,
  dataFolder: string,
  keys: CheckpointSigner,
): Promise<void> {
  const published = await readPublished(dataFolder, keys)
  if (published !== null) await checkAgainst(database, published, "the published log", "were published")
  const shown = await readContradiction(dataFolder, keys)
  if (shown !== null)
    await checkAgainst(database, shown, "what witnesses have seen", "were cosigned by a witness")
}

/** Throws a LogRolledBack where this log signed a checkpoint that the database does not lead to. */
async function checkAgainst(
  database: Pool | PoolClient,
  signed: Checkpoint,
  what: string,
  were: string,
): Promise<void> {
  const { rows } = await database.query<{ root: Uint8Array }>(
    "select root from checkpoints where size = $1",
    [signed.size],
  )
  const row = rows[0]
  if (row !== undefined && equalBytes(parseHash(row.root), signed.root)) return
  const { rows: last } = await database.query<{ size: number | null }>(
    "select max(size) as size from checkpoints",
  )
  const size = last[0]?.size ?? 0
  throw new LogRolledBack(
    size < signed.size
      ? `the database is behind ${what}: it holds ${size} leaves, and ${signed.size} ${were}. Was an old backup restored? Restore a newer one; nothing is sealed or accepted on top of this one`
      : `the database tells another history than ${what}: at ${signed.size} leaves their roots differ`,
  )
}

const contradictionPath = (dataFolder: string): string => join(dataFolder, "log", "contradiction")

/** A checkpoint of this log that a witness showed and the database did not lead to; null where there is none. */
async function readContradiction(dataFolder: string, keys: CheckpointSigner): Promise<Checkpoint | null> {
  const text = await readFileText(contradictionPath(dataFolder))
  const note = text === null ? null : parseNote(text)
  return note === null ? null : openSigned(note, keys)
}

/** The checkpoint of a note, if this log signed it. */
export function openSigned(note: Note, { origin, log }: CheckpointSigner): Checkpoint | null {
  const checkpoint = parseCheckpoint(note.text)
  const key = { name: origin, publicKey: log.publicKey }
  const isOurs = checkpoint?.origin === origin && verifyNote(note, [key], verifyNative)?.length === 1
  return isOurs ? checkpoint : null
}

/**
 * Compares the database with a checkpoint that somebody else keeps. What this log signed and the database does not lead
 * to is kept in the data folder: from then on nothing starts or is sealed on top of this database.
 *
 * @throws LogRolledBack
 */
export async function checkShown(
  database: Pool | PoolClient,
  dataFolder: string,
  keys: CheckpointSigner,
  shown: Note,
): Promise<void> {
  const checkpoint = openSigned(shown, keys)
  // Not signed by us: whoever shows it proves nothing.
  if (checkpoint === null) return
  try {
    await checkAgainst(database, checkpoint, "what witnesses have seen", "were cosigned by a witness")
  } catch (error) {
    if (error instanceof LogRolledBack) await publishFile(contradictionPath(dataFolder), formatNote(shown))
    throw error
  }
}

/**
 * Publishes the last checkpoint with the cosignatures that it has. Twice is harmless: same name, and the same bytes but for
 * lines of witnesses. One at a time, from reading it to its rename: of two sealers the one that read an older one would
 * publish it over the newer.
 */
export async function publishLast(pool: Pool, dataFolder: string): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [locks.publication])
    const { rows } = await client.query<{ height: number; note: string }>(
      "select height, cosigned_note(height) as note from checkpoints order by height desc limit 1",
    )
    if (rows[0] === undefined) return
    // The database may have gone back since somebody compared it.
    if (sizeOf(await readText(dataFolder)) > sizeOf(rows[0].note))
      throw new LogRolledBack("the database is behind the published log: was an old backup restored?")
    await publishFile(checkpointPath(dataFolder), rows[0].note)
    // A crash before this row is committed: the note stands in the folder and is not served yet; the next start writes it.
    await client.query(
      `insert into publications (height) select $1 from publisher where folder = $2 on conflict do nothing`,
      [rows[0].height, await readFolderName(dataFolder)],
    )
  })
}

/**
 * The log is sealed and published from one data folder, the first one that seals. It keeps the last published checkpoint,
 * which is how a restored backup is noticed: of two folders that were sealed from in turn, one would notice and the other
 * sign the same size again. Processes that share a folder may all seal.
 *
 * @param isTakenOver a person says that nothing is sealed from the other folder any more
 * @throws LogSealedElsewhere where it is another one
 */
export async function claimPublication(pool: Pool, dataFolder: string, isTakenOver = false): Promise<void> {
  const folder = await nameFolder(dataFolder)
  const taken = isTakenOver ? "do update set folder = excluded.folder, since = now()" : "do nothing"
  const stored = await readPublisher(pool)
  if (stored?.folder === folder) return
  if (stored === null || isTakenOver)
    await pool.query(`insert into publisher (folder) values ($1) on conflict (only_row) ${taken}`, [folder])
  // Of two that came first at once, one did.
  const now = await readPublisher(pool)
  if (now?.folder === folder) return
  throw new LogSealedElsewhere(
    `this log is sealed and published from another data folder than ${dataFolder}, since ${now!.since.toISOString()}: seal there. If nothing is sealed there any more, copy its log/checkpoint to ${join(dataFolder, "log")} and run tidemark seal --take-over`,
  )
}

async function readPublisher(pool: Pool): Promise<{ readonly folder: string; readonly since: Date } | null> {
  const { rows } = await pool.query<{ folder: string; since: Date }>("select folder, since from publisher")
  return rows[0] ?? null
}

/** The name of a data folder, 16 bytes of chance in hex, which it keeps wherever it is moved. */
async function nameFolder(dataFolder: string): Promise<string> {
  const known = await readFolderName(dataFolder)
  if (known !== null) return known
  await mkdir(dataFolder, { recursive: true })
  // Two processes at once both take the first one's name.
  await createFile(folderNamePath(dataFolder), `${randomBytes(16).toString("hex")}\n`)
  return (await readFolderName(dataFolder))!
}

const folderNamePath = (dataFolder: string): string => join(dataFolder, "publisher")

/** Null for a folder that nobody has named: the log is not sealed from it. */
async function readFolderName(dataFolder: string): Promise<string | null> {
  return (await readFileText(folderNamePath(dataFolder)))?.trim() ?? null
}
