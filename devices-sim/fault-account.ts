/** What became of each statement that a device had to say, whatever happened to the device meanwhile. */
import { type Content, contentLost } from "../chain/statement.ts"
import type { Hash } from "../chain/hash.ts"
import type { Verdict } from "../chain/verdict.ts"
import type { Delivery } from "./connection.ts"
import type { Outbox, OutboxEntry } from "./outbox.ts"

/** How it ended: as for any device, or `gone`: lost with the device's outbox. */
export type FaultyDelivery = Delivery | { readonly kind: "gone"; readonly ackMs: null }

export interface Account {
  /** Its number among what the device had to say, from 1. */
  readonly place: number
  readonly payload: Uint8Array
  readonly content: Content
  /** One of these must answer it. */
  readonly expected: readonly Verdict[]
  /** Of the outbox; null where it never came in there. */
  number: number | null
  /** As it was signed last. */
  seq: number | null
  entry: Hash | null
  /** How often it was signed: once, unless its place in the chain changed. */
  signed: number
  /** Of its receipt, where one was heard. */
  verdict: Verdict | null
  delivery: FaultyDelivery | null
}

interface Open {
  readonly account: Account
  readonly resolve: (account: Account) => void
  /** Whoever was told by the device itself is told no other way. */
  isOrphaned: boolean
}

/**
 * Watches an outbox go by. A device that loses its power forgets whom to tell; the outbox that it finds again knows what
 * is stored, and so does this.
 */
export class Accounts {
  private readonly byPayload = new Map<Uint8Array, Open>()
  private readonly byNumber = new Map<number, Open>()

  /** @param said its payload must be the very array that the device gets: it is known by being the same */
  open(
    said: Pick<Account, "place" | "payload" | "content" | "expected">,
    resolve: (account: Account) => void,
  ): void {
    const account: Account = {
      ...said,
      number: null,
      seq: null,
      entry: null,
      signed: 0,
      verdict: null,
      delivery: null,
    }
    this.byPayload.set(said.payload, { account, resolve, isOrphaned: false })
  }

  /** The device itself told. `kept` tells nothing while the outbox has it. */
  tell(payload: Uint8Array, delivery: Delivery): void {
    const open = this.byPayload.get(payload)
    if (open === undefined) return
    if (delivery.kind === "kept") open.isOrphaned = true
    else this.settle(open, delivery)
  }

  accountOf(number: number): Account | null {
    return this.byNumber.get(number)?.account ?? null
  }

  /** All that is in the outbox is lost with it. */
  loseOutbox(): void {
    for (const open of this.byNumber.values()) this.settle(open, { kind: "gone", ackMs: null })
  }

  /** The device stops for good. */
  close(): void {
    for (const open of this.byPayload.values())
      this.settle(open, { kind: "kept", reason: "the device was stopped", ackMs: null })
  }

  watch(outbox: Outbox): Outbox {
    return {
      load: () => outbox.load(),
      append: async (entries) => {
        for (const entry of entries) this.takeEntry(entry)
        await outbox.append(entries)
      },
      forget: async (upTo, acceptedSeq, acceptedEntry) => {
        this.forget(upTo)
        await outbox.forget(upTo, acceptedSeq, acceptedEntry)
      },
      bind: async (firstPrev) => outbox.bind?.(firstPrev),
      close: () => outbox.close(),
    }
  }

  private takeEntry(entry: OutboxEntry): void {
    const { number, signed, payload, content } = entry
    const open = this.byPayload.get(payload) ?? this.byNumber.get(number)
    if (open === undefined) return
    if (content === contentLost && open.account.content !== contentLost) {
      // Given up: that its readings are lost stands in its place.
      this.settle(open, {
        kind: "refused",
        verdict: "malformed",
        rule: "refused again and again",
        ackMs: null,
      })
      return
    }
    open.account.number = number
    this.byNumber.set(number, open)
    if (signed === null || open.account.entry === signed.entry) return
    open.account.seq = signed.seq
    open.account.entry = signed.entry
    open.account.signed += 1
  }

  private forget(upTo: number): void {
    for (const [number, open] of this.byNumber) {
      if (number > upTo) break
      this.byNumber.delete(number)
      if (!open.isOrphaned) continue
      const { seq, verdict } = open.account
      this.settle(open, {
        kind: "stored",
        verdict: verdict ?? "accepted",
        via: "head",
        seq: seq ?? 0,
        ackMs: null,
      })
    }
  }

  private settle(open: Open, delivery: FaultyDelivery): void {
    const { account, resolve } = open
    this.byPayload.delete(account.payload)
    if (account.number !== null) this.byNumber.delete(account.number)
    account.delivery = delivery
    resolve(account)
  }
}
