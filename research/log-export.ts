/**
 * The published log as files, for an object store, a CDN or any web server: the same paths and bytes as under `/log`.
 * What is there already is never changed; the checkpoint comes last, so that it never speaks of a tile that is not there.
 */
import { mkdir, readFile, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { encodeUtf8, equalBytes } from "../chain/bytes.ts"
import { type Checkpoint, parseCheckpoint } from "../chain/checkpoint.ts"
import { parseNote, parseVkey, verifyNote } from "../chain/note.ts"
import { tileWidth } from "../chain/tile.ts"
import { type LogPlace, formatTilePath, listPartial, listPlaces, widthOf } from "../chain/tile-path.ts"
import { type PublishedCheckpoint, type PublishedLog, readPlace } from "./log-published.ts"
import { replaceFile, syncFolder } from "../disk/durable.ts"
import { encodeReceiptKeys } from "./receipt-keys.ts"

export interface LogExportOptions {
  /** After each file that was looked at: written, or there already. */
  readonly onFile?: (done: ExportProgress) => void
}

export interface ExportProgress {
  readonly path: string
  readonly files: number
  readonly filesOfAll: number
}

export type LogExportResult =
  | {
      readonly kind: "exported"
      /** Leaves of the checkpoint that the folder had before; 0: none. */
      readonly sizeBefore: number
      readonly size: number
      /** That were not there before; the checkpoint, the policy and the keys are counted where they changed. */
      readonly filesWritten: number
      readonly bytesWritten: number
    }
  | { readonly kind: "refused"; readonly path: string; readonly rule: string }
  /** No block has been published yet. */
  | { readonly kind: "nothing" }

/** Files that are written at a time: the disk has something to do while hashes are checked. */
const parallelFiles = 16

/**
 * Brings a folder up to the published checkpoint. After a crash anywhere the folder is an older, whole log, and the next
 * call goes on. One call at a time for a folder.
 */
export async function exportLog(
  log: PublishedLog,
  folder: string,
  { onFile }: LogExportOptions = {},
): Promise<LogExportResult> {
  const published = await log.readCheckpoint()
  if (published === null) return { kind: "nothing" }
  const { origin, vkey, receiptKey } = await log.readIdentity()
  const before = await readExported(folder, vkey)
  const fault = before === null ? null : await findCheckpointFault(before, published, origin)
  if (fault !== null) return { kind: "refused", path: "checkpoint", rule: fault }
  const sizeBefore = before?.checkpoint?.size ?? 0
  const places = await listExported(log, sizeBefore, published.tree.size)

  const writer = new FolderWriter(folder)
  await writer.begin()
  let files = 0
  for (let at = 0; at < places.length; at += parallelFiles) {
    const refused = await allEnded(
      places.slice(at, at + parallelFiles).map(async (place) => {
        const path = formatTilePath(place)
        const isWritten = await writer.add(path, await readPlace(published.tree, place))
        files += 1
        onFile?.({ path, files, filesOfAll: places.length })
        return isWritten ? null : path
      }),
    )
    const path = refused.find((one) => one !== null)
    if (path !== undefined)
      return { kind: "refused", path, rule: "is there and has other bytes than the log" }
  }
  await writer.replace("policy", await log.readPolicy())
  await writer.replace(".well-known/scitt-keys", encodeReceiptKeys([receiptKey]))
  // A crash up to here: the folder's checkpoint is the old one, and all that it speaks of is there.
  await writer.sync()
  await writer.replace("checkpoint", encodeUtf8(published.note))
  await writer.end()
  return { kind: "exported", sizeBefore, size: published.tree.size, ...writer.written }
}

/** As `Promise.all`, but where one has failed the others have ended too: nothing is written behind the caller's back. */
async function allEnded<Value>(work: readonly Promise<Value>[]): Promise<Value[]> {
  await Promise.allSettled(work)
  return Promise.all(work)
}

interface Exported {
  /** Null where the file is no checkpoint of this log. */
  readonly checkpoint: Checkpoint | null
}

async function readExported(folder: string, vkey: string): Promise<Exported | null> {
  const bytes = await readIfThere(join(folder, "checkpoint"))
  if (bytes === null) return null
  const note = parseNote(new TextDecoder().decode(bytes))
  const isSigned = note !== null && verifyNote(note, [parseVkey(vkey)!])?.length === 1
  return { checkpoint: isSigned ? parseCheckpoint(note.text) : null }
}

async function findCheckpointFault(
  { checkpoint }: Exported,
  { tree }: PublishedCheckpoint,
  origin: string,
): Promise<string | null> {
  if (checkpoint === null || checkpoint.origin !== origin) return `is not one that ${origin} has signed`
  if (checkpoint.size > tree.size)
    return `has ${checkpoint.size} leaves and the published log ${tree.size}: was an old backup restored?`
  return equalBytes(await tree.readRoot(checkpoint.size), checkpoint.root)
    ? null
    : `has another root at ${checkpoint.size} leaves than the log: two histories were signed`
}

/**
 * All that is new, and the partial tiles of the checkpoints in between whose full tile is not there yet: somebody who
 * holds one of those checkpoints needs them (C2SP tlog-tiles, "Partial Tiles").
 */
async function listExported(log: PublishedLog, sizeBefore: number, size: number): Promise<LogPlace[]> {
  const places: LogPlace[] = [...listPlaces(sizeBefore, size)]
  const known = new Set(places.map(formatTilePath))
  for (const between of await log.listSizes(sizeBefore, size)) {
    for (const place of listPartial(between)) {
      const path = formatTilePath(place)
      const level = place.kind === "tile" ? place.level : 0
      if (widthOf(level, place.index, size) === tileWidth || known.has(path)) continue
      known.add(path)
      places.push(place)
    }
  }
  return places
}

/** Files that appear whole or not at all, and stay. */
class FolderWriter {
  private readonly folder: string
  private readonly staging: string
  /** Whose names are not on disk for sure. */
  private readonly unsynced = new Set<string>()
  private filesWritten = 0
  private bytesWritten = 0

  constructor(folder: string) {
    this.folder = folder
    this.staging = join(folder, ".new")
  }

  get written(): { readonly filesWritten: number; readonly bytesWritten: number } {
    const { filesWritten, bytesWritten } = this
    return { filesWritten, bytesWritten }
  }

  async begin(): Promise<void> {
    await rm(this.staging, { recursive: true, force: true })
    await mkdir(this.staging, { recursive: true })
  }

  /** False where a file with other bytes is there: it stays as it is. */
  async add(path: string, bytes: Uint8Array): Promise<boolean> {
    const there = await readIfThere(join(this.folder, path))
    if (there !== null) return equalBytes(there, bytes)
    await this.write(path, bytes)
    return true
  }

  /** A file that changes. */
  async replace(path: string, bytes: Uint8Array): Promise<void> {
    const there = await readIfThere(join(this.folder, path))
    if (there === null || !equalBytes(there, bytes)) await this.write(path, bytes)
  }

  /** What was written is on disk, also after a loss of power. */
  async sync(): Promise<void> {
    for (const path of this.unsynced) await syncFolder(path)
    this.unsynced.clear()
  }

  async end(): Promise<void> {
    await this.sync()
    await rm(this.staging, { recursive: true, force: true })
  }

  private async write(path: string, bytes: Uint8Array): Promise<void> {
    const target = join(this.folder, path)
    await mkdir(dirname(target), { recursive: true })
    // Drafts stay out of the folders that are served.
    await replaceFile(target, bytes, { mode: 0o644, draftFolder: this.staging, isNameSynced: false })
    for (let name = dirname(path); ; name = dirname(name)) {
      this.unsynced.add(join(this.folder, name))
      if (name === ".") break
    }
    this.filesWritten += 1
    this.bytesWritten += bytes.length
  }
}

async function readIfThere(path: string): Promise<Uint8Array | null> {
  try {
    return Uint8Array.from(await readFile(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
}
