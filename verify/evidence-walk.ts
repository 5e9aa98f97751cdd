/** The walk of an evidence file: item by item through the leaves of the log, from the first to the last. */
import { equalBytes, formatHex } from "../chain/bytes.ts"
import { FormatFault } from "../chain/cbor.ts"
import type {
  EvidenceGap,
  EvidenceHead,
  EvidenceItem,
  EvidenceManifest,
  EvidenceStatement,
} from "../chain/evidence.ts"
import { type Hash, type Sha256, sha256 } from "../chain/hash.ts"
import { type PublicKey, thumbprintOf } from "../chain/key.ts"
import { Frontier, hashLeaf } from "../chain/merkle.ts"
import type { Head } from "../chain/receipt.ts"
import { type Registry, decodeRegistry } from "../chain/registry.ts"
import {
  type Statement,
  contentBlock,
  contentRegistry,
  decodeStatement,
  devicePattern,
  entryOf,
} from "../chain/statement.ts"
import { EvidencedBlocks, addGap, checkSealedHead } from "./evidence-blocks.ts"
import { EvidencedDevice } from "./evidence-device.ts"
import { EvidenceFault } from "./evidence-fault.ts"
import { EvidencedOperator } from "./evidence-operator.ts"
import type { EvidenceFindings, EvidenceOptions } from "./evidence-result.ts"
import { EvidenceTally } from "./evidence-tally.ts"
import { type OpenedCheckpoint, openCheckpoint } from "./evidence-trust.ts"

/** Leaf by leaf through the log. */
export class EvidenceWalk {
  readonly tree: Frontier
  readonly checkpoint: OpenedCheckpoint
  readonly tally = new EvidenceTally()
  isDone = false
  private readonly head: EvidenceHead
  private readonly options: EvidenceOptions
  private readonly hash: Sha256
  private readonly blocks: EvidencedBlocks
  private readonly device: EvidencedDevice
  private readonly pins: ReadonlySet<string> | null
  private readonly operator: EvidencedOperator
  private isBehindGap = false
  private headBefore: Head | null = null
  private headAfter: Head | null = null
  private fromMs = 0
  private toMs = 0
  private lastPinned: PublicKey | null = null

  constructor(head: EvidenceHead, options: EvidenceOptions) {
    const { trust, verify, sha256: hash = sha256 } = options
    this.head = head
    this.options = options
    this.hash = hash
    this.checkpoint = openCheckpoint(head.checkpoint, trust, verify)
    if (this.checkpoint.origin !== head.origin)
      throw new EvidenceFault("checkpoint", "the checkpoint", "is of another log than the file")
    if (this.checkpoint.size < 1)
      throw new EvidenceFault("checkpoint", "the checkpoint", "is of an empty log")
    if (!devicePattern.test(head.device))
      throw new EvidenceFault("format", "the file", "is about no device's id")
    this.tree = new Frontier(hash)
    this.blocks = new EvidencedBlocks(head, hash)
    this.device = new EvidencedDevice(head.device, head.origin, verify)
    this.operator = new EvidencedOperator(this.checkpoint, options)
    this.pins = trust?.deviceKeys === undefined ? null : new Set(trust.deviceKeys.map(formatHex))
    if (head.from === 0) this.beginRange()
  }

  take(item: EvidenceItem): void {
    if (item.kind === "head") throw new EvidenceFault("order", "the file", "has a second head")
    if (!this.operator.isKnown && item.kind !== "operator")
      throw new EvidenceFault("policy", "leaf 0", "is not shown, and a log begins with its policy")
    // The last leaf is the last manifest, so everything else ends before it.
    const leaves = item.kind === "gap" ? item.count : 1
    const isLast = item.kind === "manifest" && item.blocksAfter !== null
    const { size } = this.checkpoint
    if (this.tree.size + leaves > (isLast ? size : size - 1))
      throw new EvidenceFault(
        "order",
        this.nameLeaf(),
        `is beyond what a log of ${size} leaves has before its last manifest`,
      )
    if (item.kind === "gap") this.takeGap(item)
    else {
      this.isBehindGap = false
      if (item.kind === "manifest") this.takeManifest(item)
      else this.takeStatement(item)
    }
  }

  private nameLeaf(): string {
    return `leaf ${this.tree.size}`
  }

  private takeGap({ count, nodes, arrivals }: EvidenceGap): void {
    const what = `the gap at leaf ${this.tree.size}`
    // One way to write each file: two gaps beside each other are one.
    if (this.isBehindGap) throw new EvidenceFault("order", what, "follows a gap")
    this.isBehindGap = true
    this.blocks.addGap(count, arrivals, what)
    addGap(this.tree, count, nodes, what)
  }

  private takeStatement(item: EvidenceStatement): void {
    const statement = decodeLeaf(item.statement, this.head.origin, this.nameLeaf())
    const entry = entryOf(item.statement, this.hash)
    const leafIndex = this.tree.size
    if (item.kind === "operator") {
      const what = this.operator.follow(statement, entry)
      if (leafIndex === 0) this.device.begin(this.operator.binding, this.hash)
      this.blocks.addLeaf(entry, item.receivedAtMs, what)
      if (leafIndex > 0) this.takeRegistry(statement, entry, what)
    } else {
      if (statement.iss !== this.head.device)
        throw new EvidenceFault(
          "foreign",
          `statement ${statement.seq} of ${statement.iss}`,
          `is not by device ${this.head.device}`,
        )
      this.blocks.addLeaf(entry, item.receivedAtMs, this.device.name(statement.seq))
      if (item.receivedAtMs === null) this.device.takeRequest(statement, entry)
      else this.takeDevice(statement, entry, item.receivedAtMs)
    }
    this.tree.append(hashLeaf(entry, this.hash))
  }

  private takeDevice(statement: Statement, entry: Hash, receivedAtMs: number): void {
    const { payload, key } = this.device.follow(statement, entry)
    this.checkPin(statement, key)
    const code = this.tally.add(statement, payload, receivedAtMs)
    this.options.onStatement?.({
      seq: statement.seq,
      entry,
      leafIndex: this.tree.size,
      height: this.blocks.height,
      receivedAtMs,
      code,
      statement,
      payload,
    })
  }

  /** Where the reader pins keys, the operator's word is not enough. */
  private checkPin({ seq }: Statement, key: PublicKey): void {
    if (this.pins === null || key === this.lastPinned) return
    if (!this.pins.has(formatHex(thumbprintOf(key, this.hash))))
      throw new EvidenceFault("pin", this.device.name(seq), "is signed by a key that you did not name")
    this.lastPinned = key
  }

  private takeRegistry(statement: Statement, entry: Hash, what: string): void {
    if (statement.content !== contentRegistry)
      throw new EvidenceFault("order", what, "is neither about the device nor the end of a block")
    let registry: Registry
    try {
      registry = decodeRegistry(statement.payload)
    } catch (error) {
      if (!(error instanceof FormatFault)) throw error
      throw new EvidenceFault("registry", what, `is no registry statement: ${error.rule}`)
    }
    const { action, device } = registry
    if (device !== this.head.device || action === "trust-ca" || action === "distrust-ca")
      throw new EvidenceFault("foreign", what, `is not about device ${this.head.device}`)
    if (statement.sub !== device)
      throw new EvidenceFault("registry", what, "is a registry statement whose sub is not its device")
    this.device.applyRegistry(registry, entry, what)
  }

  private takeManifest(item: EvidenceManifest): void {
    const statement = decodeLeaf(item.statement, this.head.origin, this.nameLeaf())
    const entry = entryOf(item.statement, this.hash)
    const what = this.operator.follow(statement, entry)
    if (statement.content !== contentBlock) throw new EvidenceFault("manifest", what, "is no manifest")
    const manifest = this.blocks.close(item, statement, entry, this.tree)
    const { height } = manifest
    const { from, to } = this.head
    const isLast = item.blocksAfter !== null
    const isBefore = height < from
    // Before its enrolment a device has no head; the enrolment is then a leaf of the range.
    const isHeadDue = isBefore ? this.device.record !== null : height === to || isLast
    if (isHeadDue !== (item.head !== null))
      throw new EvidenceFault(
        "heads",
        `block ${height}`,
        isHeadDue
          ? "does not say where it leaves the device"
          : "says where it leaves the device, out of place",
      )
    if (item.head !== null) {
      checkSealedHead(item, manifest, this.head.device, this.hash)
      this.device.meet(item.head, height)
    }
    if (isBefore) {
      this.fromMs = manifest.toMs
      this.beginRange()
    } else if (height === 0) this.fromMs = manifest.fromMs
    if (height === to) this.endRange(manifest.toMs)
    this.tree.append(hashLeaf(entry, this.hash))
    if (isLast) this.finish(manifest.toMs)
  }

  private beginRange(): void {
    this.headBefore = this.device.head
    this.device.beginRange()
  }

  private endRange(toMs: number): void {
    this.toMs = toMs
    this.headAfter = this.device.head
    this.device.endRange()
  }

  /** The whole tiling against the checkpoint. */
  private finish(toMs: number): void {
    const { checkpoint, tree, options } = this
    const { size, root } = checkpoint
    if (tree.size !== size)
      throw new EvidenceFault(
        "order",
        "the last manifest",
        `is leaf ${tree.size - 1}, and the checkpoint has ${size} leaves`,
      )
    if (!equalBytes(tree.root(), root))
      throw new EvidenceFault(
        "root",
        "the checkpoint",
        "has another root than the leaves and gaps of the file",
      )
    const sinceMs = options.trust?.sinceMs
    if (sinceMs !== undefined && toMs < sinceMs)
      throw new EvidenceFault("stale", "the checkpoint", "ends before the time from which on you want it")
    this.isDone = true
  }

  /** Of a walk that is done. */
  findings(bytes: number): EvidenceFindings {
    const { head, device, tally, checkpoint, options } = this
    const record = device.record!
    const { size, root, cosigned } = checkpoint
    const last = this.blocks.manifest!
    return {
      kind: options.trust === null ? "consistent" : "verified",
      origin: head.origin,
      device: head.device,
      blocks: { from: head.from, to: head.to, fromMs: this.fromMs, toMs: this.toMs },
      ...tally.counts(),
      headBefore: this.headBefore!,
      headAfter: this.headAfter!,
      status: record.status,
      keys: tally.keys(record),
      isPinned: this.pins !== null,
      revoked: tally.revoked(record),
      checkpoint: {
        size,
        root,
        height: last.height,
        toMs: last.toMs,
        logVkey: this.operator.logVkey,
        cosigned,
      },
      bytes,
    }
  }
}

/** A statement of either signer; its iss says which. */
function decodeLeaf(bytes: Uint8Array, origin: string, what: string): Statement {
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind === "statement") return decoded.statement
  const rule = decoded.kind === "malformed" ? decoded.rule : `it has ${decoded.sizeBytes} bytes`
  throw new EvidenceFault("malformed", what, `is no statement: ${rule}`)
}
