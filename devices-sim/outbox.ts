/** What a device has said, or has to say, and is not yet known to be stored by the service (FORMAT §4). */
import { equalBytes } from "../chain/bytes.ts"
import type { Hash } from "../chain/hash.ts"
import type { Content } from "../chain/statement.ts"

/** What is to be said, before it has a place in the chain. Kept so that it can be said again at another place. */
export interface Draft {
  readonly content: Content
  readonly payload: Uint8Array
  /** The device's clock when it was made, Unix seconds: it stays, also where the statement is made anew. */
  readonly iat: number
  readonly sub: string
}

/** The one place for which a draft is signed at the moment, and the bytes that are published as often as needed. */
export interface Signed {
  readonly seq: number
  readonly prev: Hash
  readonly entry: Hash
  readonly bytes: Uint8Array
}

export interface OutboxEntry extends Draft {
  /** Order in which the device took it, from 1: unlike seq it never changes, and never comes twice. */
  readonly number: number
  /** Null while no head is known that it could follow. */
  readonly signed: Signed | null
}

export interface OutboxContent {
  /** In order of their numbers. */
  readonly entries: readonly OutboxEntry[]
  /** The highest number that was forgotten, 0 where there is none. */
  readonly forgottenUpTo: number
  /** The highest seq that the service has acknowledged, 0 where there is none. */
  readonly acceptedSeq: number
  /** The entry at that seq, as far as it was told. */
  readonly acceptedEntry?: Hash | null
  /** Where the chain begins, which names its log (FORMAT §4, genesis); absent or null where that was never told. */
  readonly firstPrev?: Hash | null
}

/**
 * The memory of a device. Entries have numbers besides seqs, since a chain that is made anew is stored statement by
 * statement, and a loss of power in the middle must leave each draft once.
 */
export interface Outbox {
  /** Called once, before everything else. */
  load(): Promise<OutboxContent>
  /** Adds entries, or puts them in the place of those of the same numbers. Resolves when a loss of power keeps them. */
  append(entries: readonly OutboxEntry[]): Promise<void>
  /**
   * Drops the entries up to this number. May be undone by a loss of power: the head then says so again.
   *
   * @param acceptedEntry the entry at `acceptedSeq`, where it is known
   */
  forget(upTo: number, acceptedSeq: number, acceptedEntry?: Hash | null): Promise<void>
  /**
   * Remembers where the chain begins. If it began elsewhere before, this is a chain in another log: every entry becomes
   * a draft again and nothing of the new chain is accepted yet. Resolves when a loss of power keeps it. An outbox without
   * this function notices another log only by a head that contradicts what it remembers.
   */
  bind?(firstPrev: Hash): Promise<void>
  /** Lets go of files. The content stays. */
  close(): Promise<void>
}

/** The rules of an outbox's content, which both kinds of outbox share. */
export class OutboxIndex {
  private readonly byNumber = new Map<number, OutboxEntry>()
  private forgottenUpTo = 0
  private acceptedSeq = 0
  private acceptedEntry: Hash | null = null
  private firstPrev: Hash | null = null

  put(entry: OutboxEntry): void {
    if (entry.number > this.forgottenUpTo) this.byNumber.set(entry.number, entry)
  }

  forget(upTo: number, acceptedSeq: number, acceptedEntry: Hash | null = null): void {
    // Numbers were put in their order, and one that is put again keeps its place.
    for (const number of this.byNumber.keys()) {
      if (number > upTo) break
      this.byNumber.delete(number)
    }
    this.forgottenUpTo = Math.max(this.forgottenUpTo, upTo)
    if (acceptedSeq > this.acceptedSeq || (acceptedSeq === this.acceptedSeq && acceptedEntry !== null))
      this.acceptedEntry = acceptedEntry
    this.acceptedSeq = Math.max(this.acceptedSeq, acceptedSeq)
  }

  bind(firstPrev: Hash): void {
    const isElsewhere = this.firstPrev !== null && !equalBytes(this.firstPrev, firstPrev)
    this.firstPrev = firstPrev
    if (!isElsewhere) return
    for (const [number, entry] of this.byNumber) this.byNumber.set(number, { ...entry, signed: null })
    this.acceptedSeq = 0
    this.acceptedEntry = null
  }

  content(): OutboxContent {
    return {
      entries: [...this.byNumber.values()],
      forgottenUpTo: this.forgottenUpTo,
      acceptedSeq: this.acceptedSeq,
      acceptedEntry: this.acceptedEntry,
      firstPrev: this.firstPrev,
    }
  }
}

/** An outbox without durable storage: it lives as long as the process. Such a device asks for its head before it signs. */
export function makeMemoryOutbox(): Outbox {
  const index = new OutboxIndex()
  return {
    load: () => Promise.resolve(index.content()),
    append(entries) {
      for (const entry of entries) index.put(entry)
      return Promise.resolve()
    },
    forget(upTo, acceptedSeq, acceptedEntry) {
      index.forget(upTo, acceptedSeq, acceptedEntry)
      return Promise.resolve()
    },
    bind(firstPrev) {
      index.bind(firstPrev)
      return Promise.resolve()
    },
    close: () => Promise.resolve(),
  }
}
