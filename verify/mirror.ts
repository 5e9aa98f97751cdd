/**
 * A log's copy in a folder, and what its follower must not forget. A reader of a file sees the old one or the new one, also
 * after a loss of power.
 *
 *     log.vkey         the key that the log is held to
 *     latest           the last checkpoint that goes on from all before: the log must go on from it
 *     grown-at         when it last was another one than before, Unix ms by our clock
 *     log/checkpoint   the last one of which all is here; log/ is a log by C2SP tlog-tiles that any server can publish
 *     log/tile/…
 *     split-views/     proof that the log has signed two histories
 *     unproven/        checkpoints that the log has signed and not shown the tiles of
 */
import { mkdir, readFile, readdir, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { formatHex } from "../chain/bytes.ts"
import { type Hash, hashSize, sha256 } from "../chain/hash.ts"
import { type TileReader, entryRecordSize } from "../chain/log-reader.ts"
import { type LogPlace, formatTilePath } from "../chain/tile-path.ts"
import { tileWidth } from "../chain/tile.ts"
import { replaceFile, syncFolder } from "../disk/durable.ts"

/** The folder is not as this program left it. */
export class MirrorFault extends Error {
  override readonly name = "MirrorFault"
}

/** Of a log that signs something else each time somebody asks. */
const unprovenMax = 100

export class Mirror implements TileReader {
  readonly folder: string
  /** Folders in which something was renamed since the copy's last checkpoint. */
  private readonly unsynced = new Set<string>()

  constructor(folder: string) {
    this.folder = folder
  }

  /** Of the log's copy, for who publishes it. */
  get logFolder(): string {
    return join(this.folder, "log")
  }

  readKey(): Promise<string | null> {
    return this.readText("log.vkey")
  }

  writeKey(vkey: string): Promise<void> {
    return this.write("log.vkey", `${vkey}\n`)
  }

  /** As a signed note. */
  readLatest(): Promise<string | null> {
    return this.readText("latest")
  }

  writeLatest(note: string): Promise<void> {
    return this.write("latest", note)
  }

  /** Unix ms; null where it never has. */
  async readGrownAtMs(): Promise<number | null> {
    const text = await this.readText("grown-at")
    return text !== null && /^[0-9]{1,15}\n$/.test(text) ? Number(text) : null
  }

  writeGrownAtMs(atMs: number): Promise<void> {
    return this.write("grown-at", `${Math.floor(atMs)}\n`)
  }

  readMirrored(): Promise<string | null> {
    return this.readText("log/checkpoint")
  }

  /** All that it covers must be written; it is on disk before this is. */
  async writeMirrored(note: string): Promise<void> {
    // At once for all: a sync of the folder with each of 500 files took a third of the time of a copy.
    await Promise.all([...this.unsynced].map(syncFolder))
    this.unsynced.clear()
    await this.write("log/checkpoint", note)
  }

  async readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    return this.readPlace({ kind: "tile", level, index, width }, hashSize)
  }

  async readEntries(index: number, width: number): Promise<Uint8Array> {
    return this.readPlace({ kind: "entries", index, width }, entryRecordSize)
  }

  private async readPlace(place: LogPlace, itemSize: number): Promise<Uint8Array> {
    const path = formatTilePath(place)
    const bytes =
      (await this.readFile(`log/${path}`)) ??
      (place.width === tileWidth
        ? null
        : await this.readFile(`log/${formatTilePath({ ...place, width: tileWidth })}`))
    if (bytes === null || bytes.length < place.width * itemSize)
      throw new MirrorFault(
        `${join(this.folder, "log", path)} is ${bytes === null ? "missing" : "cut off"}: remove ${join(this.folder, "log")} to copy the log anew; what the log is held to stays`,
      )
    return bytes.subarray(0, place.width * itemSize)
  }

  /** A full bundle that is here, whoever wrote it; null where there is none. */
  readFullEntries(index: number): Promise<Uint8Array | null> {
    return this.readFile(`log/${formatTilePath({ kind: "entries", index, width: tileWidth })}`)
  }

  /** Writes a tile or a bundle. With a full one go its partial ones, which C2SP tlog-tiles allows. */
  async writePlace(place: LogPlace, bytes: Uint8Array): Promise<void> {
    const path = `log/${formatTilePath(place)}`
    await this.writeFile(path, bytes)
    // The folders above may be new as well.
    for (let folder = dirname(path); folder !== "."; folder = dirname(folder))
      this.unsynced.add(join(this.folder, folder))
    if (place.width === tileWidth) await rm(join(this.folder, `${path}.p`), { recursive: true, force: true })
  }

  async listSplitViews(): Promise<string[]> {
    return (await this.list("split-views")).map((name) => join(this.folder, "split-views", name))
  }

  /** @returns its path */
  async writeSplitView(text: string, size1: number, size2: number): Promise<string> {
    const path = `split-views/${size1}-${size2}-${nameOf(text)}.split-view`
    await this.write(path, text)
    return join(this.folder, path)
  }

  /** @returns its path; null where there are too many already */
  async writeUnproven(note: string, size: number): Promise<string | null> {
    if ((await this.list("unproven")).length >= unprovenMax) return null
    const path = `unproven/${size}-${nameOf(note)}.checkpoint`
    await this.write(path, note)
    return join(this.folder, path)
  }

  private async list(name: string): Promise<string[]> {
    try {
      return (await readdir(join(this.folder, name))).filter((file) => !file.endsWith(".new")).toSorted()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return []
      throw error
    }
  }

  private async readText(name: string): Promise<string | null> {
    const bytes = await this.readFile(name)
    return bytes === null ? null : new TextDecoder().decode(bytes)
  }

  private async readFile(name: string): Promise<Uint8Array | null> {
    try {
      return await readFile(join(this.folder, name))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === "ENOENT" || code === "ENOTDIR") return null
      throw error
    }
  }

  private async write(name: string, content: Uint8Array | string): Promise<void> {
    await this.writeFile(name, content)
    await syncFolder(dirname(join(this.folder, name)))
  }

  private async writeFile(name: string, content: Uint8Array | string): Promise<void> {
    const path = join(this.folder, name)
    await mkdir(dirname(path), { recursive: true })
    // Of many tiles the folders are synced at once, before the checkpoint that covers them.
    await replaceFile(path, content, { mode: 0o644, isNameSynced: false })
  }
}

function nameOf(text: string): string {
  const digest: Hash = sha256(new TextEncoder().encode(text))
  return formatHex(digest.subarray(0, 4))
}
