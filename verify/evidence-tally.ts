/** What the statements of a range add up to, in memory of the device's keys. */
import { floorMs } from "../chain/block.ts"
import { formatHex } from "../chain/bytes.ts"
import type { DeviceRecord, EnrolledKey } from "../chain/device.ts"
import { isAhead } from "../chain/payload.ts"
import type { Payload } from "../chain/payload.ts"
import { verdictOfNext } from "../chain/link.ts"
import { countReadings, timesOf } from "../chain/series.ts"
import type { Statement } from "../chain/statement.ts"
import { type VerdictCode, verdictCodes } from "../chain/verdict.ts"

/** Seqs from a first to a last one, both included. */
export interface SeqRange {
  readonly from: number
  readonly to: number
}

/** Instants, Unix ms, both included. */
export interface SpanMs {
  readonly fromMs: number
  readonly toMs: number
}

export interface EvidencedKey extends EnrolledKey {
  /** The statements of the range that it signed. */
  readonly signed: SeqRange | null
}

export interface EvidenceCounts {
  readonly statements: number
  /** Null where there is none. */
  readonly seqs: SeqRange | null
  /** Each value and each sample of a waveform is one. */
  readonly readings: number
  /** By the device's clock. */
  readonly readingSpan: SpanMs | null
  /** By the database's clock. */
  readonly arrivalSpan: SpanMs | null
  /** Of the statements: those whose payload could not be read (code 3), and those ahead of their time (code 4). */
  readonly unread: number
  readonly ahead: number
  /** Of another content type than this protocol knows, or a digest of something elsewhere. */
  readonly opaque: number
  /** Statements by which the device says that it lost readings. */
  readonly lost: number
}

export class EvidenceTally {
  private statements = 0
  private seqs: SeqRange | null = null
  private readings = 0
  private readingSpan: SpanMs | null = null
  private arrivalSpan: SpanMs | null = null
  private unread = 0
  private ahead = 0
  private opaque = 0
  private lost = 0
  /** By kid, in hex: a key stands for one stretch of seqs. */
  private readonly signed = new Map<string, SeqRange>()

  /** Counts a statement, and gives the code that it has by its payload and its arrival (FORMAT.md §4). */
  add({ seq, iat, kid }: Statement, payload: Payload, receivedAtMs: number): VerdictCode {
    const code = verdictCodes[verdictOfNext(payload.kind === "unread", isAhead(iat, payload, receivedAtMs))]
    this.statements += 1
    this.seqs = { from: this.seqs?.from ?? seq, to: seq }
    const name = formatHex(kid)
    this.signed.set(name, { from: this.signed.get(name)?.from ?? seq, to: seq })
    this.arrivalSpan = widen(this.arrivalSpan, receivedAtMs, receivedAtMs)
    if (code === verdictCodes["accepted-unread"]) this.unread += 1
    if (code === verdictCodes["accepted-ahead"]) this.ahead += 1
    if (payload.kind === "opaque") this.opaque += 1
    if (payload.kind === "lost") this.lost += 1
    if (payload.kind === "readings") {
      for (const series of payload.series) {
        this.readings += countReadings(series)
        const { startsAt, endsAt } = timesOf(series)
        this.readingSpan = widen(this.readingSpan, floorMs(startsAt), floorMs(endsAt))
      }
    }
    return code
  }

  get count(): number {
    return this.statements
  }

  counts(): EvidenceCounts {
    const { statements, seqs, readings, readingSpan, arrivalSpan, unread, ahead, opaque, lost } = this
    return { statements, seqs, readings, readingSpan, arrivalSpan, unread, ahead, opaque, lost }
  }

  keys({ keys }: DeviceRecord): EvidencedKey[] {
    return keys.map((key) => ({ ...key, signed: this.signed.get(formatHex(key.kid)) ?? null }))
  }

  /** The statements of the range that lie beyond the last good seq of their key: sealed, and no longer to be believed. */
  revoked(record: DeviceRecord): SeqRange[] {
    return this.keys(record).flatMap(({ signed, lastSeq, endedBy }) =>
      signed === null || lastSeq === null || endedBy !== "revocation" || signed.to <= lastSeq
        ? []
        : [{ from: Math.max(signed.from, lastSeq + 1), to: signed.to }],
    )
  }
}

function widen(span: SpanMs | null, fromMs: number, toMs: number): SpanMs {
  return span === null
    ? { fromMs, toMs }
    : { fromMs: Math.min(span.fromMs, fromMs), toMs: Math.max(span.toMs, toMs) }
}
