/** The blocks of a range: their leaves and arrivals against their manifests, and the manifests against each other. */
import { equalBytes } from "../chain/bytes.ts"
import { type Manifest, decodeManifest, encodeArrival } from "../chain/block.ts"
import { FormatFault } from "../chain/cbor.ts"
import type { EvidenceHead, EvidenceManifest } from "../chain/evidence.ts"
import type { Hash, Sha256 } from "../chain/hash.ts"
import { checkHead, headKey, headValue } from "../chain/heads.ts"
import { Frontier, coverRange, hashLeaf } from "../chain/merkle.ts"
import type { Statement } from "../chain/statement.ts"
import { EvidenceFault } from "./evidence-fault.ts"

/** Adds leaves that are known by their subtrees only. The number of the subtrees must be exactly what covers them. */
export function addGap(tree: Frontier, count: number, nodes: readonly Hash[], what: string): void {
  const places = coverRange(tree.size, tree.size + count)
  if (places.length !== nodes.length)
    throw new EvidenceFault(
      "format",
      what,
      `has ${nodes.length} nodes, and ${places.length} cover its leaves`,
    )
  for (const [index, { level }] of places.entries()) tree.appendSubtree(level, nodes[index]!)
}

interface OpenBlock {
  readonly firstLeaf: number
  readonly arrivals: Frontier
  last: { readonly receivedAtMs: number; readonly what: string } | null
}

export class EvidencedBlocks {
  /** The block whose leaves are read now; null outside the range. */
  private open: OpenBlock | null
  /** The last manifest that was read. */
  manifest: Manifest | null = null
  private readonly head: EvidenceHead
  private readonly hash: Sha256
  private readonly manifests: Frontier
  private firstArrivalMs: number | null = null

  constructor(head: EvidenceHead, hash: Sha256) {
    this.head = head
    this.hash = hash
    this.manifests = new Frontier(hash)
    addGap(
      this.manifests,
      Math.max(head.from - 1, 0),
      head.blocksBefore,
      "the tree of manifests before the range",
    )
    this.open = head.from === 0 ? this.openBlock(0) : null
  }

  /** Whether the leaves that are read now are of a block that is shown. */
  get isShown(): boolean {
    return this.open !== null
  }

  /** The height of the block whose leaves are read now, or of the next one that is shown. */
  get height(): number {
    return this.manifest === null ? Math.max(this.head.from - 1, 0) : this.manifest.height + 1
  }

  private openBlock(firstLeaf: number): OpenBlock {
    return { firstLeaf, arrivals: new Frontier(this.hash), last: null }
  }

  /** A leaf of the open block, and when it arrived. Throws an EvidenceFault where arrivals are given outside or lack inside. */
  addLeaf(entry: Hash, receivedAtMs: number | null, what: string): void {
    const { open } = this
    if ((open === null) !== (receivedAtMs === null)) throw this.misplaced(what)
    if (open === null || receivedAtMs === null) return
    open.arrivals.append(hashLeaf(encodeArrival(entry, receivedAtMs), this.hash))
    this.firstArrivalMs ??= receivedAtMs
    if (open.last === null || receivedAtMs > open.last.receivedAtMs) open.last = { receivedAtMs, what }
  }

  addGap(count: number, arrivals: readonly Hash[] | null, what: string): void {
    const { open } = this
    if ((open === null) !== (arrivals === null)) throw this.misplaced(what)
    if (open !== null && arrivals !== null) addGap(open.arrivals, count, arrivals, what)
  }

  private misplaced(what: string): EvidenceFault {
    const rule = this.isShown
      ? "has no arrival, and is of a block that is shown"
      : "has an arrival outside the blocks that are shown"
    return new EvidenceFault("format", what, rule)
  }

  /**
   * The end of a block: the tree before it, and whether it is the manifest that must stand here. Throws an EvidenceFault.
   *
   * @param tree the log up to the manifest, without it
   */
  close(item: EvidenceManifest, statement: Statement, entry: Hash, tree: Frontier): Manifest {
    const manifest = readManifest(statement)
    const what = `the manifest of block ${manifest.height}`
    const fault = (rule: string): never => {
      throw new EvidenceFault("manifest", what, rule)
    }
    const isLast = item.blocksAfter !== null
    const { from, to } = this.head
    const { manifest: before, open } = this
    const expected = before === null ? Math.max(from - 1, 0) : before.height + 1
    if (before !== null && before.height >= to) {
      if (!isLast) fault("stands behind the range and is not the last of the log")
      if (manifest.height < expected) fault(`stands behind that of block ${before.height}`)
    } else if (manifest.height !== expected)
      throw new EvidenceFault(
        "manifest",
        `the manifest of block ${expected}`,
        `is not here: this is that of block ${manifest.height}`,
      )
    if (isLast && manifest.height < to) fault("is the last of the file, before the end of the range")
    if (statement.sub !== "block") fault("has another sub than block")
    if (statement.iat !== Math.floor(manifest.toMs / 1000)) fault("was not signed as of its end")
    if (manifest.size !== tree.size) fault(`is of leaf ${manifest.size} and stands at leaf ${tree.size}`)
    if (before !== null) this.checkNeighbours(before, manifest, fault)
    else if (from === 0 && manifest.firstLeaf !== 0)
      fault("is that of the first block, which begins at leaf 0")
    if (!equalBytes(manifest.root, tree.root()))
      throw new EvidenceFault(
        "root",
        `block ${manifest.height}`,
        "is not what was sealed: its leaves do not give the root that its manifest signed",
      )
    if (open !== null) this.checkArrivals(open, manifest, fault)
    // The last one's blocks root is over those before it.
    if (!isLast) this.manifests.append(hashLeaf(entry, this.hash))
    this.manifest = manifest
    this.open = manifest.height < to ? this.openBlock(manifest.size + 1) : null
    if (item.blocksAfter !== null) this.checkManifests(manifest, item.blocksAfter)
    return manifest
  }

  /** Blocks tile indices and time. */
  private checkNeighbours(before: Manifest, manifest: Manifest, fault: (rule: string) => never): void {
    const isNext = manifest.height === before.height + 1
    const { firstLeaf, fromMs } = manifest
    if (isNext ? firstLeaf !== before.size + 1 : firstLeaf <= before.size + 1)
      fault(`begins at leaf ${firstLeaf}, and block ${before.height} ends at leaf ${before.size}`)
    if (isNext ? fromMs !== before.toMs : fromMs < before.toMs)
      fault(`does not begin when block ${before.height} ends`)
  }

  private checkArrivals(open: OpenBlock, manifest: Manifest, fault: (rule: string) => never): void {
    if (!equalBytes(open.arrivals.root(), manifest.arrivalsRoot))
      throw new EvidenceFault(
        "arrival",
        `block ${manifest.height}`,
        "has other arrivals than its manifest signed",
      )
    if (open.last !== null && open.last.receivedAtMs > manifest.toMs)
      throw new EvidenceFault(
        "arrival",
        open.last.what,
        `arrived behind the end of its block ${manifest.height}`,
      )
    // FORMAT.md §6: of block 0 `from` is the first arrival, that of the policy.
    if (manifest.height === 0 && manifest.fromMs !== this.firstArrivalMs)
      fault("does not begin with the first arrival")
  }

  /** All manifests that were shown are those of their heights. */
  private checkManifests(last: Manifest, blocksAfter: readonly Hash[]): void {
    const { manifests } = this
    const what = `the manifest of block ${last.height}`
    addGap(manifests, last.height - manifests.size, blocksAfter, what)
    if (!equalBytes(manifests.root(), last.blocksRoot))
      throw new EvidenceFault(
        "blocks",
        what,
        "does not know the manifests of the range as those of their heights",
      )
  }
}

/** Whether a block's heads map has this head for the device. Throws an EvidenceFault. */
export function checkSealedHead(
  item: EvidenceManifest,
  { height, headsRoot }: Manifest,
  device: string,
  hash: Sha256,
): void {
  const { seq, entry, registry, blind, path } = item.head!
  const value = headValue({ device, seq, entry, registry }, blind, hash)
  if (!checkHead({ key: headKey(device, hash), value }, path, headsRoot, hash))
    throw new EvidenceFault(
      "heads",
      `block ${height}`,
      `does not leave device ${device} at statement ${seq} with this registry`,
    )
}

function readManifest({ payload, seq }: Statement): Manifest {
  try {
    return decodeManifest(payload)
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    throw new EvidenceFault("manifest", `statement ${seq} of the operator`, `is no manifest: ${error.rule}`)
  }
}
