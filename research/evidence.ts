/**
 * Evidence made (FORMAT.md §8): what a device said in some blocks, and the proof of it, item by item in the order of the
 * log. Rows and stored nodes reach it through a source; blinds are the operator's secret and are given one by one.
 */
import { encodeArrival } from "../chain/block.ts"
import { encodeUtf8 } from "../chain/bytes.ts"
import { type EvidenceItem, type EvidencedHead, encodeEvidenceItem } from "../chain/evidence.ts"
import type { Hash, Sha256 } from "../chain/hash.ts"
import type { SealedHead } from "../chain/heads.ts"
import { HeadsMap, HeadsMaps } from "./heads-map.ts"
import { Pace } from "./pace.ts"
import { Frontier, type NodePlace, coverRange, hashLeaf } from "../chain/merkle.ts"

/** A sealed log as of its last block: the same through the whole of one file. */
export interface EvidenceSource {
  readonly origin: string
  /** Of the last block; null where nothing is sealed yet. */
  readonly checkpoint: { readonly height: number; readonly size: number; readonly note: string } | null
  /** The manifest of a height that there is. */
  readManifest(height: number): Promise<ManifestLeaf>
  /** Entries of the manifests of heights 0 to `count` - 1. */
  readManifestEntries(count: number): Promise<readonly Hash[]>
  /** Every device's head as a block left it. */
  readHeads(height: number): Promise<readonly SealedHead[]>
  /**
   * In the order of the log: the policy; the registry statements about the device, and the device's requests that they
   * answer, wherever they stand; and everything of the device in blocks `first` to `last`.
   */
  readLeaves(device: string, first: ManifestLeaf, last: ManifestLeaf): AsyncIterable<ShownLeaf>
  /** Nodes of the log's tree; asked for in the order of the log. */
  readNodes(places: readonly NodePlace[]): Promise<readonly Hash[]>
  /** Nodes of the arrivals tree of a block, whose leaves count from 0; asked for in order. */
  readArrivalNodes(block: ManifestLeaf, places: readonly NodePlace[]): Promise<readonly Hash[]>
}

export interface ManifestLeaf {
  readonly height: number
  /** Of the block's first statement, and of the manifest itself. */
  readonly firstLeaf: number
  readonly leafIndex: number
  readonly statement: Uint8Array
}

export interface ShownLeaf {
  readonly leafIndex: number
  readonly signer: "operator" | "device"
  readonly statement: Uint8Array
  readonly receivedAtMs: number
}

export interface EvidenceRequest {
  readonly source: EvidenceSource
  readonly device: string
  /** Heights of the first and the last block. */
  readonly from: number
  readonly to: number
  /** The blind of a device's place in a block's heads map. */
  readonly blindOf: (height: number, device: string) => Uint8Array
  readonly sha256?: Sha256
  /** Of the same log: who asks often makes them once. */
  readonly maps?: HeadsMaps
}

export type EvidencePlan =
  | { readonly kind: "plan"; /** The file, in pieces of some 64 KiB. */ write(): AsyncGenerator<Uint8Array> }
  /** What was asked for cannot be shown. */
  | { readonly kind: "refused"; readonly parameter: "device" | "from" | "to"; readonly rule: string }

/** Whether this can be shown, before the first byte is written. */
export async function planEvidence(request: EvidenceRequest): Promise<EvidencePlan> {
  const { source, device, from, to } = request
  const { checkpoint } = source
  if (checkpoint === null) return refuse("to", "nothing is sealed yet")
  if (to > checkpoint.height)
    return refuse("to", `the last sealed block is ${checkpoint.height}, and ${to} is above it`)
  if (from > to) return refuse("from", `block ${from} is above the last one asked for, ${to}`)
  const writer = new EvidenceWriter(request, checkpoint)
  if (!(await writer.isKnown(to)))
    return refuse("device", `device ${device} was not enrolled when block ${to} was sealed`)
  return { kind: "plan", write: () => gather(writer.items()) }
}

function refuse(parameter: "device" | "from" | "to", rule: string): EvidencePlan {
  return { kind: "refused", parameter, rule }
}

/** Pieces that are worth a write. */
const pieceSize = 65_536

async function* gather(items: AsyncIterable<EvidenceItem>): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(2 * pieceSize)
  let length = 0
  const pace = new Pace()
  for await (const item of items) {
    // Where all that is needed is in memory, nothing else would get its turn.
    if (pace.isDue) await pace.take()
    const bytes = encodeEvidenceItem(item)
    if (length + bytes.length > piece.length) {
      yield piece.subarray(0, length)
      piece = new Uint8Array(Math.max(2 * pieceSize, bytes.length))
      length = 0
    }
    piece.set(bytes, length)
    length += bytes.length
  }
  if (length > 0) yield piece.subarray(0, length)
}

class EvidenceWriter {
  private readonly request: EvidenceRequest
  private readonly checkpoint: NonNullable<EvidenceSource["checkpoint"]>
  private readonly maps: HeadsMaps
  private at = 0
  /** The block whose leaves are written now; null outside the range. */
  private block: ManifestLeaf | null = null

  constructor(request: EvidenceRequest, checkpoint: NonNullable<EvidenceSource["checkpoint"]>) {
    this.request = request
    this.checkpoint = checkpoint
    this.maps = request.maps ?? new HeadsMaps()
  }

  async *items(): AsyncGenerator<EvidenceItem> {
    const { source, device, from, to, sha256 } = this.request
    const { height: last, note } = this.checkpoint
    const entries = await source.readManifestEntries(last)
    const shownBefore = Math.max(from - 1, 0)
    yield {
      kind: "head",
      origin: source.origin,
      device,
      from,
      to,
      checkpoint: encodeUtf8(note),
      blocksBefore: await nodesOf(entries, 0, shownBefore, sha256),
    }
    const first = await source.readManifest(from)
    const end = await source.readManifest(to)
    if (from === 0) this.block = first
    let height = shownBefore
    let manifest = await source.readManifest(height)
    for await (const leaf of source.readLeaves(device, first, end)) {
      for (; leaf.leafIndex > manifest.leafIndex && height <= to; height++) {
        yield* this.manifest(manifest, null)
        manifest = height < to ? await this.begin(height + 1) : this.finish(manifest)
      }
      yield* this.gap(leaf.leafIndex)
      const { signer, statement, receivedAtMs } = leaf
      yield { kind: signer, statement, receivedAtMs: this.block === null ? null : receivedAtMs }
      this.at += 1
    }
    for (; height <= to; height++) {
      const isLast = height === last
      yield* this.manifest(manifest, isLast ? [] : null)
      manifest = height < to ? await this.begin(height + 1) : this.finish(manifest)
    }
    if (to < last)
      yield* this.manifest(await source.readManifest(last), await nodesOf(entries, to + 1, last, sha256))
  }

  /** The next block of the range. */
  private async begin(height: number): Promise<ManifestLeaf> {
    this.block = await this.request.source.readManifest(height)
    return this.block
  }

  private finish(manifest: ManifestLeaf): ManifestLeaf {
    this.block = null
    return manifest
  }

  /** Leaves that are not shown, up to the next one that is. */
  private async *gap(leafIndex: number): AsyncGenerator<EvidenceItem> {
    const { source } = this.request
    const { at, block } = this
    if (at === leafIndex) return
    const nodes = await source.readNodes(coverRange(at, leafIndex))
    const arrivals =
      block === null
        ? null
        : await source.readArrivalNodes(block, coverRange(at - block.firstLeaf, leafIndex - block.firstLeaf))
    this.at = leafIndex
    yield { kind: "gap", count: leafIndex - at, nodes, arrivals }
  }

  private async *manifest(
    { height, leafIndex, statement }: ManifestLeaf,
    blocksAfter: readonly Hash[] | null,
  ): AsyncGenerator<EvidenceItem> {
    const { from, to } = this.request
    yield* this.gap(leafIndex)
    const isProven = height < from || height === to || blocksAfter !== null
    yield { kind: "manifest", statement, head: isProven ? await this.head(height) : null, blocksAfter }
    this.at += 1
  }

  /** The device's place in a block's heads map; null where it was not enrolled yet. */
  private async head(height: number): Promise<EvidencedHead | null> {
    const { device, blindOf } = this.request
    const map = await this.map(height)
    const own = map.head(device)
    if (own === undefined) return null
    const { seq, entry, registry } = own
    return { seq, entry, registry, blind: blindOf(height, device), path: await map.prove(device) }
  }

  /** Whether the device was enrolled when this block was sealed. */
  async isKnown(height: number): Promise<boolean> {
    return (await this.map(height)).head(this.request.device) !== undefined
  }

  private map(height: number): Promise<HeadsMap> {
    const { source, blindOf, sha256 } = this.request
    return this.maps.get(height, async () =>
      HeadsMap.make(await source.readHeads(height), (device) => blindOf(height, device), sha256),
    )
  }
}

/** Nodes over entries `from` to `to` - 1 of a tree that is all here. */
async function nodesOf(entries: readonly Hash[], from: number, to: number, sha256?: Sha256): Promise<Hash[]> {
  const pace = new Pace()
  const nodes: Hash[] = []
  for (const { level, index } of coverRange(from, to)) {
    const tree = new Frontier(sha256)
    for (const entry of entries.slice(index * 2 ** level, (index + 1) * 2 ** level)) {
      tree.append(hashLeaf(entry, sha256))
      if (pace.isDue) await pace.take()
    }
    nodes.push(tree.root())
  }
  return nodes
}

/** The root of a complete subtree over these leaf hashes. */
export function subtreeOf(leafHashes: readonly Hash[], sha256?: Sha256): Hash {
  const tree = new Frontier(sha256)
  for (const leafHash of leafHashes) tree.append(leafHash)
  return tree.root()
}

/** A leaf of an arrivals tree. */
export function hashArrival(entry: Hash, receivedAtMs: number, sha256?: Sha256): Hash {
  return hashLeaf(encodeArrival(entry, receivedAtMs), sha256)
}
