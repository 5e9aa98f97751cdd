/**
 * The evidence file (FORMAT.md §8): what a device said in some blocks, with everything that shows it to be genuine and
 * whole. A CBOR sequence: a head, then the leaves of the log from the first to the last, each of them shown or in a gap.
 * A leaf has no index: its place in the file is its place in the log.
 */
import { encodeUtf8 } from "./bytes.ts"
import { type CborInput, CborReader, encodeCbor, majorText } from "./cbor.ts"
import { type Hash, hashSize, parseHash } from "./hash.ts"

export const evidenceMagic = "tidemark-evidence"
export const evidenceVersion = 1

/** Of an item, in bytes: a manifest's, with the longest path of a heads map. */
export const evidenceItemSizeMax = 131_072
/** Members of an item: those of the head. */
export const evidenceMembersMax = 8

export type EvidenceItem = EvidenceHead | EvidenceGap | EvidenceStatement | EvidenceManifest

/** The first item: what is shown, and by which checkpoint. */
export interface EvidenceHead {
  readonly kind: "head"
  readonly origin: string
  readonly device: string
  /** Heights of the first and the last block that are shown whole. */
  readonly from: number
  readonly to: number
  /** A signed note, UTF-8, with its cosignatures. */
  readonly checkpoint: Uint8Array
  /** Tree of manifests: the subtrees that cover those before block `from` - 1. */
  readonly blocksBefore: readonly Hash[]
}

/** Leaves that are not shown: the maximal complete subtrees that cover them, in order. */
export interface EvidenceGap {
  readonly kind: "gap"
  /** Leaves, at least 1. */
  readonly count: number
  /** Of the log's tree. */
  readonly nodes: readonly Hash[]
  /** Of the block's tree of arrivals; null outside the blocks that are shown. */
  readonly arrivals: readonly Hash[] | null
}

/** A leaf: the policy, or a registry statement about the device, by the operator; or a statement of the device. */
export interface EvidenceStatement {
  readonly kind: "operator" | "device"
  readonly statement: Uint8Array
  /** Unix ms; null outside the blocks that are shown. */
  readonly receivedAtMs: number | null
}

/** A leaf: the end of a block. */
export interface EvidenceManifest {
  readonly kind: "manifest"
  readonly statement: Uint8Array
  /** The device's place in this block's heads map, where the range begins and ends, and where the log does. */
  readonly head: EvidencedHead | null
  /** Of the last manifest only: the subtrees that cover the manifests behind block `to`. */
  readonly blocksAfter: readonly Hash[] | null
}

export interface EvidencedHead {
  readonly seq: number
  readonly entry: Hash
  readonly registry: Hash
  /** 32 bytes. */
  readonly blind: Uint8Array
  /** Siblings from the place up to the root of the heads map. */
  readonly path: readonly Hash[]
}

const kindGap = 1
const kindOperator = 2
const kindDevice = 3
const kindManifest = 4

/** The first bytes of every evidence file: an array of eight, and the magic. */
const beginning = Uint8Array.of(0x80 | 8, 0x60 | evidenceMagic.length, ...encodeUtf8(evidenceMagic))

/** Whether bytes begin as an evidence file does. */
export function isEvidence(bytes: Uint8Array): boolean {
  return bytes.length >= beginning.length && beginning.every((byte, index) => byte === bytes[index])
}

export function encodeEvidenceItem(item: EvidenceItem): Uint8Array {
  return encodeCbor(membersOf(item))
}

function membersOf(item: EvidenceItem): CborInput[] {
  switch (item.kind) {
    case "head": {
      const { origin, device, from, to, checkpoint, blocksBefore } = item
      return [evidenceMagic, evidenceVersion, origin, device, from, to, checkpoint, joinNodes(blocksBefore)]
    }
    case "gap": {
      const { count, nodes, arrivals } = item
      return [kindGap, count, joinNodes(nodes), ...(arrivals === null ? [] : [joinNodes(arrivals)])]
    }
    case "manifest": {
      const { statement, head, blocksAfter } = item
      if (blocksAfter !== null && head === null) throw new RangeError("the last manifest has a head")
      const proof =
        head === null ? [] : [head.seq, head.entry, head.registry, head.blind, joinNodes(head.path)]
      return [kindManifest, statement, ...proof, ...(blocksAfter === null ? [] : [joinNodes(blocksAfter)])]
    }
    default: {
      const { kind, statement, receivedAtMs } = item
      const arrival = receivedAtMs === null ? [] : [receivedAtMs]
      return [kind === "operator" ? kindOperator : kindDevice, statement, ...arrival]
    }
  }
}

/** Takes exactly what `encodeEvidenceItem` makes. Throws a FormatFault. */
export function decodeEvidenceItem(bytes: Uint8Array): EvidenceItem {
  const reader = new CborReader(bytes, "deterministic")
  const members = reader.enterArray("an item of evidence")
  if (members === 0) reader.fault("an item of evidence is not empty", 0)
  const item = reader.peekMajor() === majorText ? readHead(reader, members) : readLeaves(reader, members)
  reader.leave()
  reader.end()
  return item
}

function readHead(reader: CborReader, members: number): EvidenceHead {
  const start = reader.offset
  if (reader.readText("the magic") !== evidenceMagic || members !== evidenceMembersMax)
    reader.fault(
      `an evidence file begins with an array of ${evidenceMembersMax} and "${evidenceMagic}"`,
      start,
    )
  const versionStart = reader.offset
  const version = reader.readUint("the version")
  if (version !== evidenceVersion)
    reader.fault(`this is evidence of version ${version}, and ${evidenceVersion} can be read`, versionStart)
  const origin = reader.readText("the log's origin")
  const device = reader.readText("the device")
  const from = reader.readUint("the first block")
  const toStart = reader.offset
  const to = reader.readUint("the last block")
  if (to < from) reader.fault("the last block is not before the first", toStart)
  const checkpoint = reader.readBytes("the checkpoint")
  return { kind: "head", origin, device, from, to, checkpoint, blocksBefore: readNodes(reader) }
}

function readLeaves(reader: CborReader, members: number): EvidenceItem {
  const start = reader.offset
  const kind = reader.readUint("a kind of item")
  const fault = (rule: string): never => reader.fault(rule, start)
  switch (kind) {
    case kindGap: {
      if (members !== 3 && members !== 4) fault("a gap has 3 items, or 4 inside a block")
      const count = reader.readUint("the leaves of a gap")
      if (count < 1) fault("a gap has at least one leaf")
      const nodes = readNodes(reader)
      return { kind: "gap", count, nodes, arrivals: members === 4 ? readNodes(reader) : null }
    }
    case kindOperator:
    case kindDevice: {
      if (members !== 2 && members !== 3) fault("a statement has 2 items, or 3 inside a block")
      const statement = reader.readBytes("a statement")
      const receivedAtMs = members === 3 ? reader.readUint("an arrival") : null
      return { kind: kind === kindOperator ? "operator" : "device", statement, receivedAtMs }
    }
    case kindManifest: {
      if (members !== 2 && members !== 7 && members !== 8) fault("a manifest has 2, 7 or 8 items")
      const statement = reader.readBytes("a statement")
      if (members === 2) return { kind: "manifest", statement, head: null, blocksAfter: null }
      const seq = reader.readUint("the head's seq")
      const entry = readHash(reader, "the head's entry")
      const registry = readHash(reader, "an entry of the registry")
      const blind = readHash(reader, "a blind")
      const head = { seq, entry, registry, blind, path: readNodes(reader) }
      return { kind: "manifest", statement, head, blocksAfter: members === 8 ? readNodes(reader) : null }
    }
    default:
      return fault("an item is a gap (1), an operator's (2) or device's statement (3), or a manifest (4)")
  }
}

function readHash(reader: CborReader, what: string): Hash {
  const start = reader.offset
  const value = reader.readBytes(what)
  return value.length === hashSize ? parseHash(value) : reader.fault(`${what} has 32 bytes`, start)
}

function readNodes(reader: CborReader): Hash[] {
  const start = reader.offset
  const joined = reader.readBytes("nodes")
  if (joined.length % hashSize !== 0) reader.fault("nodes have 32 bytes each", start)
  const nodes: Hash[] = []
  for (let at = 0; at < joined.length; at += hashSize)
    nodes.push(parseHash(joined.subarray(at, at + hashSize)))
  return nodes
}

function joinNodes(nodes: readonly Hash[]): Uint8Array {
  const joined = new Uint8Array(nodes.length * hashSize)
  for (const [index, node] of nodes.entries()) joined.set(node, index * hashSize)
  return joined
}
