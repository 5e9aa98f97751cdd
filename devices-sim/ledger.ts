/** What a simulated device itself knows about its chain: which statement it signed for which place. */
import type { Hash } from "../chain/hash.ts"
import { type Outbox, type OutboxEntry, makeMemoryOutbox } from "./outbox.ts"

export interface SignedPlace {
  readonly seq: number
  readonly entry: Hash
}

/** So many places back: each entry covers the one before it, so that the last one speaks for all. */
const placesMax = 1_024

/** An outbox that remembers the last places of what was forgotten. */
export class Ledger implements Outbox {
  private inner: Outbox
  /** By number, what waits; a place may change until it is forgotten. */
  private readonly waiting = new Map<number, SignedPlace>()
  private readonly entries = new Map<number, Hash>()
  /** Signed, and lost before it was known to be stored. */
  private readonly lost = new Map<number, Hash>()
  private highest = 0
  /** Statements that are known to be stored. */
  known = 0

  constructor(inner: Outbox = makeMemoryOutbox()) {
    this.inner = inner
  }

  load(): ReturnType<Outbox["load"]> {
    return this.inner.load()
  }

  append(entries: readonly OutboxEntry[]): Promise<void> {
    for (const { number, signed } of entries) {
      if (signed === null) this.waiting.delete(number)
      else this.waiting.set(number, { seq: signed.seq, entry: signed.entry })
    }
    return this.inner.append(entries)
  }

  forget(upTo: number, acceptedSeq: number, acceptedEntry: Hash | null = null): Promise<void> {
    for (const [number, { seq, entry }] of this.waiting) {
      if (number > upTo) continue
      this.waiting.delete(number)
      this.known += 1
      this.entries.set(seq, entry)
      this.entries.delete(seq - placesMax)
      this.highest = Math.max(this.highest, seq)
    }
    return this.inner.forget(upTo, acceptedSeq, acceptedEntry)
  }

  async bind(firstPrev: Hash): Promise<void> {
    await this.inner.bind?.(firstPrev)
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  /** What was in it is gone; which statements were signed, is still known here. */
  lose(): void {
    this.inner = makeMemoryOutbox()
    for (const { seq, entry } of this.waiting.values()) this.lost.set(seq, entry)
    this.waiting.clear()
  }

  /** The highest place that the device knows to be stored, and what it signed for it; null: none. */
  get last(): SignedPlace | null {
    const entry = this.entries.get(this.highest)
    return entry === undefined ? null : { seq: this.highest, entry }
  }

  /** What the device signed for a place: known to be stored, or still waiting; null: nothing. */
  entryAt(seq: number): Hash | null {
    const stored = this.entries.get(seq)
    if (stored !== undefined) return stored
    for (const place of this.waiting.values()) if (place.seq === seq) return place.entry
    return this.lost.get(seq) ?? null
  }
}
