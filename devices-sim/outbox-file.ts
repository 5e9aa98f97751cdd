/** An outbox on disk that a loss of power does not empty: one file, only appended to, now and then written anew. */
import { type FileHandle, open, readFile } from "node:fs/promises"
import { basename, dirname } from "node:path"
import type { Hash } from "../chain/hash.ts"
import { encodeUtf8, equalBytes, joinBytes } from "../chain/bytes.ts"
import { removeDrafts, replaceFile } from "../disk/durable.ts"
import { type Outbox, type OutboxContent, type OutboxEntry, OutboxIndex } from "./outbox.ts"
import { encodeRecord, readRecord, recordsOf, takeRecord } from "./outbox-record.ts"

/** Bytes of records that say nothing any more, above which the file is written anew. */
const compactAboveBytes = 1024 * 1024

export interface FileOutbox extends Outbox {
  /** Records that `load` had to leave out because their bytes had changed on disk; a torn end is not counted. */
  readonly damagedCount: number
}

export interface FileOutboxOptions {
  readonly path: string
  /** An outbox belongs to one device: the file says to which. */
  readonly deviceId: string
  readonly compactAboveBytes?: number
}

/**
 * The outbox in this file, which is made where there is none. One process at a time.
 *
 * `load` rejects where the file is no outbox of this device, or cannot be read.
 */
export function makeFileOutbox({ path, deviceId, ...options }: FileOutboxOptions): FileOutbox {
  return new DiskOutbox(path, deviceId, options.compactAboveBytes ?? compactAboveBytes)
}

class DiskOutbox implements FileOutbox {
  damagedCount = 0
  private readonly path: string
  private readonly magic: Uint8Array
  private readonly deviceId: string
  private readonly staleSizeMax: number
  private readonly index = new OutboxIndex()
  private file: FileHandle | null = null
  private isTorn = false
  private staleSize = 0
  private liveSizes = new Map<number, number>()
  /** Writes go one after the other, whoever calls. */
  private last: Promise<void> = Promise.resolve()

  constructor(path: string, deviceId: string, staleSizeMax: number) {
    this.path = path
    this.deviceId = deviceId
    this.magic = encodeUtf8(`tidemark outbox 1 ${deviceId}\n`)
    this.staleSizeMax = staleSizeMax
  }

  async load(): Promise<OutboxContent> {
    // What a compaction left that did not come to its rename: the old file is still whole.
    await removeDrafts(dirname(this.path), basename(this.path))
    const bytes = await readFile(this.path).catch((error: unknown) => {
      if (isMissing(error)) return null
      if (error instanceof Error && "code" in error && error.code === "EISDIR")
        throw new Error(
          `${this.path} is a folder, and this outbox is a file: the devices in Python, C and shell keep a folder. Give each a path of its own`,
        )
      throw error
    })
    if (bytes !== null && bytes.length > 0) this.read(bytes)
    // Written anew in any case: a torn end must not stay in front of what is appended next.
    await this.compact()
    return this.index.content()
  }

  append(entries: readonly OutboxEntry[]): Promise<void> {
    return this.inTurn(async () => {
      const records = entries.map((entry) => encodeRecord({ kind: "entry", entry }))
      await this.write(joinBytes(...records))
      // Before this returns nothing is published: what the service may hold, this device still holds too.
      await this.handle().datasync()
      for (const [place, entry] of entries.entries()) {
        this.index.put(entry)
        this.staleSize += this.liveSizes.get(entry.number) ?? 0
        this.liveSizes.set(entry.number, records[place]?.length ?? 0)
      }
    })
  }

  forget(upTo: number, acceptedSeq: number, acceptedEntry: Hash | null = null): Promise<void> {
    return this.inTurn(async () => {
      const record = encodeRecord({ kind: "forget", upTo, acceptedSeq, acceptedEntry })
      // Not synced: if it is lost, the head that the service gives covers these entries again.
      await this.write(record)
      this.index.forget(upTo, acceptedSeq, acceptedEntry)
      this.staleSize += record.length
      for (const [number, size] of this.liveSizes) {
        if (number > upTo) break
        this.liveSizes.delete(number)
        this.staleSize += size
      }
      if (this.staleSize > this.staleSizeMax) await this.compact()
    })
  }

  bind(firstPrev: Hash): Promise<void> {
    return this.inTurn(async () => {
      // One record: a loss of power leaves either the old chain with all that was signed for it, or the new one.
      const record = encodeRecord({ kind: "bind", firstPrev })
      await this.write(record)
      await this.handle().datasync()
      this.index.bind(firstPrev)
      this.staleSize += record.length
    })
  }

  close(): Promise<void> {
    return this.inTurn(async () => {
      const file = this.file
      this.file = null
      await file?.close()
    })
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.last.then(work)
    this.last = turn.catch(() => undefined)
    return turn
  }

  private read(bytes: Uint8Array): void {
    if (!equalBytes(bytes.subarray(0, this.magic.length), this.magic)) {
      throw new Error(
        `${this.path}: this is not the outbox of device ${this.deviceId}: give each device a file of its own`,
      )
    }
    for (let offset = this.magic.length; offset < bytes.length;) {
      const found = readRecord(bytes, offset)
      if (found.kind === "torn") return
      offset = found.end
      if (found.kind === "damaged") this.damagedCount += 1
      else takeRecord(this.index, found.record)
    }
  }

  /** Puts the same content into a new file, which replaces the old one. */
  private async compact(): Promise<void> {
    const records = recordsOf(this.index.content())
    const encoded = records.map((record) => encodeRecord(record))
    const isOpen = this.file !== null
    await this.file?.close()
    this.file = null
    try {
      // Power lost meanwhile leaves the old file or the new one. Both say the same.
      await replaceFile(this.path, joinBytes(this.magic, ...encoded))
    } catch (error) {
      // A full disk: the old file is whole, and goes on.
      if (isOpen) this.file = await open(this.path, "a")
      throw error
    }
    this.file = await open(this.path, "a")
    this.isTorn = false
    this.staleSize = 0
    this.liveSizes = new Map(
      records.flatMap((record, place) =>
        record.kind === "entry" ? [[record.entry.number, encoded[place]!.length]] : [],
      ),
    )
  }

  private async write(bytes: Uint8Array): Promise<void> {
    if (this.isTorn) await this.compact()
    // A full disk can leave half a record, behind which nothing would be found again.
    this.isTorn = true
    await this.handle().appendFile(bytes)
    this.isTorn = false
  }

  private handle(): FileHandle {
    if (this.file === null) throw new Error(`${this.path}: the outbox is not open: load() comes first`)
    return this.file
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT"
}
