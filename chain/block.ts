/** A block: its manifest, and the one way in which sealer and auditor compute it (FORMAT §6). */
import { joinBytes } from "./bytes.ts"
import { CborReader, encodeCbor } from "./cbor.ts"
import { type ChainBinding, emptyHeadOf } from "./genesis.ts"
import { type Hash, type Sha256, hashSize, parseHash, sha256 } from "./hash.ts"
import type { SealedHead } from "./heads.ts"
import { Frontier, type KeepNode, hashLeaf } from "./merkle.ts"

/** `application/vnd.tidemark.block+cbor`, `{1: height, … 10: summary}`. */
export interface Manifest {
  /** From 0. */
  readonly height: number
  /** Unix ms of the database's clock. Blocks tile time: `fromMs` is the last block's `toMs`. */
  readonly fromMs: number
  readonly toMs: number
  /** Index of the block's first statement: the previous manifest's index + 1. */
  readonly firstLeaf: number
  /** Of the tree before the manifest, which makes it the manifest's own leaf index. */
  readonly size: number
  readonly root: Hash
  readonly headsRoot: Hash
  /** Of the tree over the entries of manifests 0 to height - 1. */
  readonly blocksRoot: Hash
  readonly arrivalsRoot: Hash
  readonly summary: Hash
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeCbor(
    new Map<number, number | Hash>([
      [1, manifest.height],
      [2, manifest.fromMs],
      [3, manifest.toMs],
      [4, manifest.firstLeaf],
      [5, manifest.size],
      [6, manifest.root],
      [7, manifest.headsRoot],
      [8, manifest.blocksRoot],
      [9, manifest.arrivalsRoot],
      [10, manifest.summary],
    ]),
  )
}

/** Takes exactly what `encodeManifest` makes. Throws a FormatFault. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterMap("a manifest") !== 10) reader.fault("a manifest has members 1 to 10", 0)
  const label = (expected: number): void => {
    const start = reader.offset
    if (reader.readInt("a label") !== expected) reader.fault(`member ${expected} expected`, start)
  }
  const number = (expected: number, what: string): number => {
    label(expected)
    return reader.readUint(what)
  }
  const hash = (expected: number, what: string): Hash => {
    label(expected)
    const start = reader.offset
    const value = reader.readBytes(what)
    return value.length === 32 ? parseHash(value) : reader.fault(`${what} has 32 bytes`, start)
  }
  const manifest: Manifest = {
    height: number(1, "height"),
    fromMs: number(2, "from"),
    toMs: number(3, "to"),
    firstLeaf: number(4, "first leaf"),
    size: number(5, "size"),
    root: hash(6, "root"),
    headsRoot: hash(7, "heads root"),
    blocksRoot: hash(8, "blocks root"),
    arrivalsRoot: hash(9, "arrivals root"),
    summary: hash(10, "summary"),
  }
  reader.leave()
  reader.end()
  if (manifest.toMs < manifest.fromMs) reader.fault("to is not before from", 0)
  if (manifest.size < manifest.firstLeaf) reader.fault("size is not below the first leaf", 0)
  return manifest
}

/** An array of two, bytes of 32, and an integer of 8 bytes, as every Unix ms from 2^32 on (19 February 1970) is. */
const arrivalHead = Uint8Array.of(0x82, 0x58, 0x20)
const uint64Head = 0x1b

/** A leaf of the arrivals tree: cbor([entry, received_at]). */
export function encodeArrival(entry: Hash, receivedAtMs: number): Uint8Array {
  if (receivedAtMs < 2 ** 32 || !Number.isSafeInteger(receivedAtMs)) return encodeCbor([entry, receivedAtMs])
  // By hand, since a block has one for each statement: 0.1 µs where the encoder takes 1.
  const leaf = new Uint8Array(arrivalHead.length + hashSize + 9)
  leaf.set(arrivalHead)
  leaf.set(entry, arrivalHead.length)
  let offset = arrivalHead.length + hashSize
  leaf[offset++] = uint64Head
  const upper = Math.floor(receivedAtMs / 2 ** 32)
  for (const word of [upper, receivedAtMs >>> 0]) {
    leaf[offset++] = word >>> 24
    leaf[offset++] = word >>> 16
    leaf[offset++] = word >>> 8
    leaf[offset++] = word
  }
  return leaf
}

/** What a block holds of devices' statements, opened to those who may see it. */
export interface Summary {
  /** Devices with a statement in the block. */
  readonly devices: number
  readonly statements: number
  /** Each value and each sample of a waveform is one. */
  readonly readings: number
  /** Unix ms (floor) by the devices' clocks; null where there is no reading. At most 2^53 - 1, as every integer here. */
  readonly earliestMs: number | null
  readonly latestMs: number | null
}

export const saltSize = 16

/** SHA-256(salt ‖ cbor([devices, statements, readings, earliest, latest])) */
export function hashSummary(summary: Summary, salt: Uint8Array, hash: Sha256 = sha256): Hash {
  const { devices, statements, readings, earliestMs, latestMs } = summary
  return hash(joinBytes(salt, encodeCbor([devices, statements, readings, earliestMs, latestMs])))
}

/** A statement as a block takes it in. */
export interface BlockStatement {
  readonly entry: Hash
  readonly receivedAtMs: number
  readonly origin:
    | {
        readonly kind: "operator"
        readonly registry?: { readonly device: string; readonly isEnrolment: boolean }
      }
    | {
        readonly kind: "device"
        readonly device: string
        readonly seq: number
        readonly readings: number
        /** Unix seconds of its earliest and latest reading; null where it has none. */
        readonly times: { readonly startsAt: number; readonly endsAt: number } | null
      }
}

/** Where the block before ended. */
export interface BlockStart {
  /** Where chains of devices that this block enrols begin. */
  readonly binding: ChainBinding
  readonly height: number
  readonly fromMs: number
  /** The log's tree, with the previous manifest. */
  readonly tree: Frontier
  /** The tree over the manifests of all blocks before. */
  readonly blocks: Frontier
  /** Every enrolled device as the block before left it; `moveHeads` takes it to where this block does. */
  readonly heads: Map<string, SealedHead>
}

/** Unix ms of a reading, saturated: a device may claim any time, and an integer has an end. */
export function floorMs(seconds: number): number {
  return Math.min(Math.floor(seconds * 1000), Number.MAX_SAFE_INTEGER)
}

/** Takes a block's statements in order, in memory of the devices and not of the statements. */
export class BlockBuilder {
  private readonly start: BlockStart
  private readonly hash: Sha256
  private readonly firstLeaf: number
  private readonly arrivals: Frontier
  /** Of each device with a statement in the block its last one: what a statement moves, without a new object for it. */
  private readonly tips = new Map<string, { seq: number; entry: Hash }>()
  private statements = 0
  private readings = 0
  private earliestMs: number | null = null
  private latestMs: number | null = null
  private receivedAtMsMax = 0
  /** Devices whose head or registry this block moved. */
  readonly moved = new Set<string>()

  constructor(start: BlockStart, hash: Sha256 = sha256) {
    this.start = start
    this.hash = hash
    this.firstLeaf = start.tree.size
    this.arrivals = new Frontier(hash)
  }

  /**
   * @param keep is given every node of the log's tree that this leaf completes
   * @param keepArrival the same of the block's arrivals tree
   */
  add(statement: BlockStatement, keep?: KeepNode, keepArrival?: KeepNode): void {
    const { entry, receivedAtMs, origin } = statement
    this.start.tree.append(hashLeaf(entry, this.hash), keep)
    this.arrivals.append(hashLeaf(encodeArrival(entry, receivedAtMs), this.hash), keepArrival)
    this.receivedAtMsMax = Math.max(this.receivedAtMsMax, receivedAtMs)
    if (origin.kind === "operator") {
      if (origin.registry !== undefined)
        this.addRegistry(origin.registry.device, origin.registry.isEnrolment, entry)
      return
    }
    const { device, seq, readings, times } = origin
    const tip = this.tips.get(device)
    if (tip === undefined) {
      if (!this.start.heads.has(device))
        throw new Error(`device ${device} has a statement and no enrolment before it`)
      this.tips.set(device, { seq, entry })
      this.moved.add(device)
    } else {
      tip.seq = seq
      tip.entry = entry
    }
    this.statements += 1
    this.readings += readings
    if (times === null) return
    const earliestMs = floorMs(times.startsAt)
    const latestMs = floorMs(times.endsAt)
    this.earliestMs = this.earliestMs === null ? earliestMs : Math.min(this.earliestMs, earliestMs)
    this.latestMs = this.latestMs === null ? latestMs : Math.max(this.latestMs, latestMs)
  }

  summary(): Summary {
    const { tips, statements, readings, earliestMs, latestMs } = this
    return { devices: tips.size, statements, readings, earliestMs, latestMs }
  }

  /** Moves the heads of the block before to where this one leaves them; the heads root is over these. */
  moveHeads(): void {
    const { heads } = this.start
    for (const [device, tip] of this.tips) heads.set(device, { ...heads.get(device)!, ...tip })
  }

  /** No statement may have arrived after its block ended, also where the clock was set back. */
  toMsMin(): number {
    return Math.max(this.start.fromMs, this.receivedAtMsMax)
  }

  manifest(end: { toMs: number; salt: Uint8Array; headsRoot: Hash }): Manifest {
    const { height, fromMs, tree, blocks } = this.start
    return {
      height,
      fromMs,
      toMs: end.toMs,
      firstLeaf: this.firstLeaf,
      size: tree.size,
      root: tree.root(),
      headsRoot: end.headsRoot,
      blocksRoot: blocks.root(),
      arrivalsRoot: this.arrivals.root(),
      summary: hashSummary(this.summary(), end.salt, this.hash),
    }
  }

  private addRegistry(device: string, isEnrolment: boolean, entry: Hash): void {
    const head = this.start.heads.get(device)
    if (isEnrolment && head === undefined) {
      this.start.heads.set(device, {
        device,
        ...emptyHeadOf(this.start.binding, device, this.hash),
        registry: entry,
      })
    } else if (head !== undefined) {
      this.start.heads.set(device, { ...head, registry: entry })
    }
    this.moved.add(device)
  }
}
