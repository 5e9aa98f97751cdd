/**
 * Evidence checked (promise 7): a file that shows what a device said in some blocks, that it is genuine, and that nothing
 * is missing. It trusts the reader's policy and nothing in the file. Pure: bytes come in pieces of any size, nothing is
 * asked for, and memory is that of one item and of a tree's logarithm, so the command, the page and the offline page run
 * this same code.
 *
 * All that is shown is a leaf of one tiling of the log from leaf 0 to the checkpoint: each item is a leaf or a gap, and an
 * index is a position, which cannot lie.
 */
import { FormatFault } from "../chain/cbor.ts"
import { CborSequence } from "../chain/cbor-sequence.ts"
import {
  type EvidenceItem,
  decodeEvidenceItem,
  evidenceItemSizeMax,
  evidenceMembersMax,
} from "../chain/evidence.ts"
import { EvidenceFault } from "./evidence-fault.ts"
import type { EvidenceOptions, EvidenceProgress, EvidenceRefusal, EvidenceResult } from "./evidence-result.ts"
import { EvidenceWalk } from "./evidence-walk.ts"

export type { EvidenceCode } from "./evidence-fault.ts"
export { describeEvidence } from "./evidence-json.ts"
export { type EvidenceReport, formatEvidence, reportEvidence } from "./evidence-report.ts"
export type {
  EvidenceFindings,
  EvidenceOptions,
  EvidenceProgress,
  EvidenceRefusal,
  EvidenceResult,
  EvidencedStatement,
} from "./evidence-result.ts"
export type { EvidencedKey, SeqRange, SpanMs } from "./evidence-tally.ts"
export type { Cosigned, EvidenceTrust } from "./evidence-trust.ts"

/** Reads an evidence file piece by piece. */
export class EvidenceVerifier {
  private readonly options: EvidenceOptions
  private readonly items = new CborSequence(evidenceItemSizeMax, evidenceMembersMax)
  private walk: EvidenceWalk | null = null
  private refusal: EvidenceRefusal | null = null
  private offset = 0
  /** Of the item that is read now, from 1. */
  private number = 1
  private bytes = 0

  constructor(options: EvidenceOptions) {
    this.options = options
  }

  /** Takes the next bytes of the file. After a refusal there is nothing more to find, and they are passed over. */
  push(chunk: Uint8Array): void {
    this.bytes += chunk.length
    if (this.refusal !== null) return
    this.try(() => {
      this.items.push(chunk)
      for (;;) {
        this.offset = this.items.offset
        if (this.walk?.isDone === true && this.items.leftBytes > 0)
          throw new EvidenceFault("trailing", "the file", "goes on behind the last manifest of the log")
        const item = this.items.next()
        if (item === null) return
        this.take(decodeEvidenceItem(item.bytes))
        this.number += 1
      }
    })
  }

  /** The file has ended. */
  end(): EvidenceResult {
    this.try(() => {
      if (this.items.leftBytes > 0) throw new EvidenceFault("cut", "the file", "ends inside an item")
      if (this.walk === null) throw new EvidenceFault("cut", "the file", "is empty")
      if (!this.walk.isDone)
        throw new EvidenceFault("cut", "the file", "ends before the last manifest of the log")
    })
    return this.refusal ?? this.walk!.findings(this.bytes)
  }

  /** What is wrong, as soon as it is known: a caller may stop reading there. */
  get refused(): EvidenceRefusal | null {
    return this.refusal
  }

  get progress(): EvidenceProgress {
    const { walk, bytes } = this
    return {
      bytes,
      statements: walk?.tally.count ?? 0,
      leaves: walk?.tree.size ?? 0,
      leavesTotal: walk?.checkpoint.size ?? 0,
    }
  }

  private take(item: EvidenceItem): void {
    if (this.walk === null) {
      if (item.kind !== "head")
        throw new EvidenceFault("order", "the file", "does not begin with the head of an evidence file")
      this.walk = new EvidenceWalk(item, this.options)
    } else this.walk.take(item)
  }

  private try(work: () => void): void {
    if (this.refusal !== null) return
    try {
      work()
    } catch (error) {
      const { offset } = this
      if (error instanceof EvidenceFault) {
        const { code, what, rule } = error
        this.refusal = { kind: "refused", code, what, rule, offset }
      } else if (error instanceof FormatFault) {
        const what = this.walk === null ? "the file" : `item ${this.number}`
        const rule = `is not as the format has it: ${error.rule}`
        this.refusal = { kind: "refused", code: "format", what, rule, offset }
      } else throw error
    }
  }
}
