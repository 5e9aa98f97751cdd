/** What page and worker say to each other. */
import type { EvidenceReport } from "../evidence-report.ts"
import type { EvidenceProgress, EvidenceResult } from "../evidence-result.ts"

/** To the worker. Bytes come in pieces, and each is asked for: a file of any size in little memory. */
export type Order =
  /** `entry`: a statement, in hex, of which everything is to be told. */
  | { readonly kind: "begin"; readonly trust: TrustGiven; readonly entry: string | null }
  | { readonly kind: "piece"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }

/** Whom the reader trusts: a policy file, a log's key as it is written in one, or nobody. */
export type TrustGiven = Demands &
  (
    | { readonly kind: "none" }
    | { readonly kind: "vkey"; readonly text: string }
    | { readonly kind: "policy"; readonly bytes: Uint8Array }
  )

/** What else the reader may demand. */
export interface Demands {
  /** Thumbprints of the device's keys in hex, with anything between them: no other key is believed. */
  readonly deviceKeys?: string
  /** ISO 8601: no checkpoint that ended before is believed, and no cosignature. */
  readonly since?: string
}

/** From the worker. */
export type News =
  /** The trust given is none: nothing was read. */
  | { readonly kind: "trust-fault"; readonly message: string }
  | { readonly kind: "want" }
  | { readonly kind: "progress"; readonly progress: EvidenceProgress }
  | { readonly kind: "verdict"; readonly verdict: Verdict }
  /** What we got wrong. */
  | { readonly kind: "broken"; readonly message: string }

export interface Verdict {
  readonly result: EvidenceResult
  readonly report: EvidenceReport
  readonly progress: EvidenceProgress
  readonly tookMs: number
  /** Per metric the stretches of the device's time that its statements speak of, Unix seconds. */
  readonly spans: ReadonlyMap<string, readonly Span[]>
  /** The statement that was asked for. Nothing of it is to be believed where the result is `refused`. */
  readonly found: FoundStatement | null
}

export interface FoundStatement {
  readonly seq: number
  readonly bytes: Uint8Array
  readonly leafIndex: number
  readonly height: number
  readonly receivedAtMs: number
}

export interface Span {
  readonly from: number
  readonly to: number
}
