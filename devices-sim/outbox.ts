/** What a device has said, or has to say, and is not yet known to be stored by the service (FORMAT §4). */
import { equalBytes } from "../chain/bytes.ts"
import type { Hash } from "../chain/hash.ts"
import { type Content, contentRegistry } from "../chain/statement.ts"

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
  /** The last acknowledged statement that is still at hand: sent again, it shows whether a service has this chain. */
  readonly lastAccepted?: OutboxEntry
  /** What is known of the chains in other logs, which this outbox was bound to before. */
  readonly left?: readonly LeftChain[]
}

/** What a device knows of its chain in one log. */
export interface LeftChain {
  readonly firstPrev: Hash
  readonly acceptedSeq: number
  readonly acceptedEntry: Hash | null
  readonly lastAccepted: OutboxEntry | null
  /** Signed for places in that log, and perhaps published there: a place is never signed for another content. */
  readonly entries: readonly OutboxEntry[]
}

/** FORMAT §4: no more than these can have been published and not acknowledged. */
const publishedMax = 100

/**
 * The content after its chain begins elsewhere: what was signed for the log before is a draft again. In a log that the
 * outbox was bound to before, the chain goes on with what was signed for it then.
 */
export function boundTo(content: OutboxContent, firstPrev: Hash): OutboxContent {
  const before = content.firstPrev ?? null
  if (before === null) return { ...content, firstPrev }
  if (equalBytes(before, firstPrev)) return content
  const { acceptedSeq, acceptedEntry = null, lastAccepted = null, entries, left = [] } = content
  const request = entries.findIndex((entry) => isRequest(entry))
  const signed = (request < 0 ? entries : entries.slice(0, request)).filter((entry) => entry.signed !== null)
  const leaving: LeftChain = {
    firstPrev: before,
    acceptedSeq,
    acceptedEntry,
    lastAccepted,
    entries: signed.slice(0, publishedMax),
  }
  const again = left.find((one) => equalBytes(one.firstPrev, firstPrev))
  const numbers = new Set(again?.entries.map(({ number }) => number))
  // What is forgotten is stored in some log: only its place in this one kept it here.
  const drafts = entries
    .filter(({ number }) => number > content.forgottenUpTo && !numbers.has(number))
    .map((entry) => ({ ...entry, signed: null }))
  return {
    entries: [...(again?.entries ?? []), ...drafts],
    forgottenUpTo: content.forgottenUpTo,
    acceptedSeq: again?.acceptedSeq ?? 0,
    acceptedEntry: again?.acceptedEntry ?? null,
    firstPrev,
    ...(again?.lastAccepted == null ? {} : { lastAccepted: again.lastAccepted }),
    left: [...left.filter((one) => one !== again), leaving],
  }
}

/** The next key that a device asks for: what it says is made for one log and one place. */
export function isRequest({ content }: Draft): boolean {
  return content === contentRegistry
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
   * Remembers where the chain begins. If it began elsewhere before, this is a chain in another log (`boundTo`). Resolves when a loss of power keeps it. An outbox without
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
  private lastAccepted: OutboxEntry | null = null
  private firstPrev: Hash | null = null
  private left: readonly LeftChain[] = []

  put(entry: OutboxEntry): void {
    const { number } = entry
    if (number > this.forgottenUpTo || this.byNumber.has(number)) this.byNumber.set(number, entry)
  }

  forget(upTo: number, acceptedSeq: number, acceptedEntry: Hash | null = null): void {
    // Numbers were put in their order, and one that is put again keeps its place.
    for (const [number, entry] of this.byNumber) {
      if (number > upTo) break
      if (entry.signed !== null && this.firstPrev !== null) this.lastAccepted = entry
      this.byNumber.delete(number)
    }
    this.forgottenUpTo = Math.max(this.forgottenUpTo, upTo)
    if (acceptedSeq > this.acceptedSeq || (acceptedSeq === this.acceptedSeq && acceptedEntry !== null))
      this.acceptedEntry = acceptedEntry
    this.acceptedSeq = Math.max(this.acceptedSeq, acceptedSeq)
  }

  bind(firstPrev: Hash): void {
    const content = boundTo(this.content(), firstPrev)
    const { entries, acceptedSeq, acceptedEntry = null, lastAccepted = null, left = [] } = content
    this.firstPrev = firstPrev
    this.acceptedSeq = acceptedSeq
    this.acceptedEntry = acceptedEntry
    this.lastAccepted = lastAccepted
    this.left = left
    this.byNumber.clear()
    for (const entry of entries) this.byNumber.set(entry.number, entry)
  }

  /** What is known of the chain that begins here, as `content` told it. */
  keepChain(firstPrev: Hash, acceptedSeq: number, acceptedEntry: Hash | null): void {
    this.changeLeft({ firstPrev, acceptedSeq, acceptedEntry, lastAccepted: null, entries: [] })
  }

  /** A statement of the chain that begins here, which is this one or one that was left. */
  keep(firstPrev: Hash, entry: OutboxEntry, isAccepted: boolean): void {
    if (this.firstPrev !== null && equalBytes(this.firstPrev, firstPrev)) {
      if (isAccepted) this.lastAccepted = entry
      else this.insert(entry)
      return
    }
    const chain = this.left.find((one) => equalBytes(one.firstPrev, firstPrev))
    if (chain === undefined) return
    this.changeLeft(
      isAccepted ? { ...chain, lastAccepted: entry } : { ...chain, entries: [...chain.entries, entry] },
    )
  }

  /** At its place among the others. */
  private insert(entry: OutboxEntry): void {
    const { number } = entry
    const behind = [...this.byNumber].filter(([other]) => other > number)
    for (const [other] of behind) this.byNumber.delete(other)
    this.byNumber.set(number, entry)
    for (const [other, one] of behind) this.byNumber.set(other, one)
  }

  private changeLeft(chain: LeftChain): void {
    const others = this.left.filter(({ firstPrev }) => !equalBytes(firstPrev, chain.firstPrev))
    this.left = [...others, chain]
  }

  content(): OutboxContent {
    return {
      entries: [...this.byNumber.values()],
      forgottenUpTo: this.forgottenUpTo,
      acceptedSeq: this.acceptedSeq,
      acceptedEntry: this.acceptedEntry,
      firstPrev: this.firstPrev,
      ...(this.lastAccepted === null ? {} : { lastAccepted: this.lastAccepted }),
      ...(this.left.length === 0 ? {} : { left: this.left }),
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
