/** What a verifier of evidence is asked, and what it says. */
import type { Hash, Sha256 } from "../chain/hash.ts"
import type { DeviceStatus } from "../chain/link.ts"
import type { Payload } from "../chain/payload.ts"
import type { Head } from "../chain/receipt.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import type { Statement } from "../chain/statement.ts"
import type { VerdictCode } from "../chain/verdict.ts"
import type { EvidenceCode } from "./evidence-fault.ts"
import type { EvidenceCounts, EvidencedKey, SeqRange, SpanMs } from "./evidence-tally.ts"
import type { Cosigned, EvidenceTrust } from "./evidence-trust.ts"

export interface EvidenceOptions {
  /** Null: then the file is at most `consistent`, signed by a key that it names itself. */
  readonly trust: EvidenceTrust | null
  /** Each statement of the device in the range, in order. Believe nothing of it before `end` has said `verified`. */
  readonly onStatement?: (statement: EvidencedStatement) => void
  /** noble's where nothing is given, here and below. */
  readonly sha256?: Sha256
  readonly verify?: VerifyEquation
}

/** A statement of the device, as it was read. */
export interface EvidencedStatement {
  readonly seq: number
  readonly entry: Hash
  /** Leaf of the log. */
  readonly leafIndex: number
  /** Of its block. */
  readonly height: number
  readonly receivedAtMs: number
  /** 1 accepted, 3 accepted-unread, 4 accepted-ahead; computed again. */
  readonly code: VerdictCode
  readonly statement: Statement
  readonly payload: Payload
}

/** How far the file was read. */
export interface EvidenceProgress {
  readonly bytes: number
  /** Of the device, in the range. */
  readonly statements: number
  /** Of the log, shown or in gaps. */
  readonly leaves: number
  /** Of the checkpoint; 0 before the head was read. */
  readonly leavesTotal: number
}

export type EvidenceResult = EvidenceFindings | EvidenceRefusal

export interface EvidenceRefusal {
  readonly kind: "refused"
  readonly code: EvidenceCode
  /** `statement 118 of device k7` */
  readonly what: string
  /** Reads on after it: `has a signature that does not verify under its key`. */
  readonly rule: string
  /** Byte of the file where the item begins at which this was found. */
  readonly offset: number
}

/** What was shown, of a file that was not refused. */
export interface EvidenceFindings extends EvidenceCounts {
  /** `consistent`: whole in itself, and nobody whom the reader trusts has signed it. */
  readonly kind: "verified" | "consistent"
  readonly origin: string
  readonly device: string
  /** The range: heights, and the time from the first block's beginning to the last one's end. */
  readonly blocks: { readonly from: number; readonly to: number } & SpanMs
  /** The device's heads before and after the range: every statement between is here. */
  readonly headBefore: Head
  readonly headAfter: Head
  /** By the registry as of the checkpoint. */
  readonly status: DeviceStatus
  readonly keys: readonly EvidencedKey[]
  /** Whether the reader named the keys by thumbprint; else they rest on the word of who introduced them. */
  readonly isPinned: boolean
  /** Statements of the range beyond a last good seq: sealed, and by a key that was revoked there. */
  readonly revoked: readonly SeqRange[]
  readonly checkpoint: {
    readonly size: number
    readonly root: Hash
    /** Of its last block. */
    readonly height: number
    readonly toMs: number
    /** Who signed it: name, hash and key, as in the reader's policy. */
    readonly logVkey: string
    readonly cosigned: readonly Cosigned[]
  }
  readonly bytes: number
}
