/** What a device remembers, what can happen to it, and what it then does. */
import { equalBytes } from "../chain/bytes.ts"
import type { Hash } from "../chain/hash.ts"
import type { Head, Receipt } from "../chain/receipt.ts"
import type { Verdict } from "../chain/verdict.ts"
import { noHead } from "../chain/link.ts"
import type { Speaker } from "./device-sign.ts"
import { type Draft, type LeftChain, type OutboxContent, type OutboxEntry, boundTo } from "./outbox.ts"

/**
 * - `idle`: not started, or stopped by its owner.
 * - `offline`: waits until it may connect again.
 * - `connecting`: a connection is being opened.
 * - `asking`: connected and subscribed, waits for its head.
 * - `ready`: the head is known, and everything in the outbox is signed for its place behind it.
 * - `closing`: refused, or out of step: the connection has to go.
 * - `halted`: nothing more until a person has looked.
 */
export type Phase = "idle" | "offline" | "connecting" | "asking" | "ready" | "closing" | "halted"

export interface DeviceState {
  readonly phase: Phase
  /** The service's head of this device, as far as it is known; of use in `ready` only. */
  readonly head: Head
  /** The highest seq that the service has ever acknowledged. */
  readonly acceptedSeq: number
  /** The entry at that seq; null where it was not told. */
  readonly acceptedEntry: Hash | null
  /** Where the chain begins, which names its log; null until it is configured or told. */
  readonly firstPrev: Hash | null
  /** The chain begins elsewhere than the outbox knows: to be written before anything is signed. */
  readonly isRebound: boolean
  /** The last acknowledged statement that is still at hand. */
  readonly lastAccepted: OutboxEntry | null
  /** What the device said in other logs. */
  readonly left: readonly LeftChain[]
  /** What was sent again, of late, to see whether the service has this chain. */
  readonly probe: Probe | null
  readonly entries: readonly OutboxEntry[]
  /** How many of the first entries were published on this connection. */
  readonly inFlight: number
  readonly numberNext: number
  /** Connections in a row that brought nothing into the service. */
  readonly fruitless: number
  /** Whether the next connection waits for minutes. */
  readonly isWaitLong: boolean
  /** Whether it logs in by its next key: the old one may be none any more while the answer to the request is not known. */
  readonly isLoginByNext: boolean
  readonly connectedAtMs: number
  /** Why the last connection ended, until the next head tells which statement it was about. */
  readonly refusedAs: Verdict | null
  /** The entry that was refused last, and how often: for what it is (10, 15, 17), and for its place (20, 21). */
  readonly refused: { readonly number: number; readonly unfit: number; readonly misplaced: number } | null
  /** Readings that found no room; said as `lost` as soon as there is. */
  readonly overflow: Overflow | null
}

export interface Probe {
  readonly number: number
  readonly seq: number
  /** The head that is believed if the service has the statement. */
  readonly head: Head
  /** False once the connection is gone. */
  readonly isPending: boolean
}

export interface Overflow {
  /** Null where a draft did not say how many readings it had. */
  readonly count: number | null
  readonly from: number
  readonly to: number
}

export type DeviceEvent =
  | { readonly kind: "start" }
  | { readonly kind: "stop" }
  | { readonly kind: "timer"; readonly nowMs: number }
  | { readonly kind: "connected" }
  /** The connection is gone, or was refused; `chance` in [0, 1) decides on the delay. */
  | { readonly kind: "closed"; readonly nowMs: number; readonly chance: number }
  | { readonly kind: "receipt"; readonly receipt: Receipt }
  | { readonly kind: "puback"; readonly number: number }
  /** New content; `readings` is how many are in it, null where nobody knows. Its number is the state's `numberNext`. */
  | { readonly kind: "content"; readonly draft: Draft; readonly readings: number | null }
  /** The device shall go on under this key. Its number is the state's `numberNext`; not while another is under way. */
  | { readonly kind: "rotate"; readonly next: Speaker; readonly origin: string; readonly iat: number }

/** Effects are carried out in this order; a `store` must be on disk before a `publish` behind it. */
export type Effect =
  | { readonly kind: "wait"; readonly delayMs: number }
  | { readonly kind: "connect" }
  /** To the device's own receipts: this is also the question for the head. */
  | { readonly kind: "subscribe" }
  /** At once; the event `closed` follows, unless the device is idle or halted. */
  | { readonly kind: "disconnect" }
  | { readonly kind: "store"; readonly entries: readonly OutboxEntry[] }
  | {
      readonly kind: "forget"
      readonly upTo: number
      readonly acceptedSeq: number
      readonly acceptedEntry: Hash | null
    }
  /** On disk before every `store` of this turn. Where the chain began elsewhere before, all that was signed is a draft. */
  | { readonly kind: "bind"; readonly firstPrev: Hash }
  | { readonly kind: "publish"; readonly number: number; readonly bytes: Uint8Array }
  | { readonly kind: "settle"; readonly number: number; readonly outcome: Outcome }
  | { readonly kind: "alarm"; readonly alarm: Alarm }
  /** On disk before every other effect of this turn, stores too. */
  | { readonly kind: "keys"; readonly speaker: Speaker; readonly rotation: Rotation | null }

/** How it ended with what a device had to say. */
export type Outcome =
  /** The service has it. `via` says what told so; only a receipt knows the verdict, else it counts as accepted. */
  | {
      readonly kind: "stored"
      readonly verdict: Verdict
      readonly via: "receipt" | "puback" | "head"
      readonly seq: number
    }
  /** It will never be stored: a `lost` statement stands in its place, or nothing where it never had one. */
  | { readonly kind: "refused"; readonly verdict: Verdict; readonly rule: string }
  /** No room in the outbox: its readings will be said to be lost. */
  | { readonly kind: "overflowed" }

export type Alarm =
  /** Verdict 22: this key has signed two histories. The device halts. */
  | { readonly kind: "fork"; readonly seq: number }
  /** The service does not know what it has acknowledged. Everything is kept, nothing is signed until it does. */
  | { readonly kind: "service-lost-statements"; readonly acceptedSeq: number; readonly headSeq: number }
  /** The service answers for another log than the one that this chain belongs to. Everything is kept, nothing is signed. */
  | { readonly kind: "another-log"; readonly headSeq: number }
  /** The device was configured for another log than before: what was not acknowledged is made again for this one. */
  | { readonly kind: "log-changed"; readonly waiting: number }
  /** Another statement than ours stands where ours should: somebody else signs with this key. */
  | { readonly kind: "another-signer"; readonly seq: number }
  /** Verdicts 12, 13, 14 and 40: for a person or an operator to mend. The device asks again after minutes. */
  | { readonly kind: "waiting"; readonly verdict: Verdict }
  /** The same statement was refused again and again although it follows the head: the device asks after minutes. */
  | { readonly kind: "contradiction"; readonly verdict: Verdict; readonly seq: number | null }
  /** The next key was not granted, or not asked for before the power was lost: the old one goes on. */
  | { readonly kind: "rotation-refused" }

/** A key beside the one with which the device signs. */
export interface Rotation {
  /** `asked`: the request waits in the outbox. `undecided`: it is not there any more, and whether it was granted is not known. */
  readonly stage: "asked" | "undecided"
  readonly other: Speaker
  /** False while the old key signs. */
  readonly isNextCurrent: boolean
  /** The log's. */
  readonly origin: string
}

/** Who speaks, and by which rules. Only a rotation changes it. */
export interface DeviceContext {
  readonly speaker: Speaker
  readonly rotation?: Rotation | null
  /** Where its chain begins in the log that it was configured for; absent or null where it goes by what it is told. */
  readonly firstPrev?: Hash | null
  readonly rules: DeviceRules
}

export interface DeviceRules {
  readonly inFlightMax: number
  /** Entries that the outbox may hold. */
  readonly entriesMax: number
  /** From one attempt to connect to the next. */
  readonly reconnectMsMin: number
  /** The n-th fruitless connection waits from 0 to base * 2^n, at most max ("full jitter"). */
  readonly backoffMsBase: number
  readonly backoffMsMax: number
  /** After verdicts 12, 13, 14 and 40: from min to max. */
  readonly waitLongMsMin: number
  readonly waitLongMsMax: number
  /** So often in a row is one statement made anew after 10 or 15 before its readings are given up as refused. */
  readonly refusalsMax: number
}

export const deviceRulesDefault: DeviceRules = {
  inFlightMax: 100, // FORMAT §4
  entriesMax: 100_000,
  reconnectMsMin: 1_000, // FORMAT §5
  backoffMsBase: 1_000,
  backoffMsMax: 60_000,
  waitLongMsMin: 60_000,
  waitLongMsMax: 300_000,
  refusalsMax: 3,
}

/**
 * A device that was just switched on, with what its outbox held.
 *
 * @param configured where its chain begins in the log that it was configured for. If the outbox is of another log's chain,
 *   what was signed there is made again (`boundTo`).
 */
export function wakeDevice(content: OutboxContent, configured: Hash | null = null): DeviceState {
  const remembered = content.firstPrev ?? null
  const isElsewhere = configured !== null && remembered !== null && !equalBytes(configured, remembered)
  const known = isElsewhere ? boundTo(content, configured) : content
  const { entries, left = [] } = known
  const numbers = [...left.flatMap((chain) => chain.entries), ...entries].map(({ number }) => number)
  return {
    phase: "idle",
    head: noHead,
    acceptedSeq: known.acceptedSeq,
    acceptedEntry: known.acceptedEntry ?? null,
    firstPrev: known.firstPrev ?? null,
    isRebound: isElsewhere,
    lastAccepted: known.lastAccepted ?? null,
    left,
    probe: null,
    entries,
    inFlight: 0,
    numberNext: numbers.reduce((max, number) => Math.max(max, number), known.forgottenUpTo) + 1,
    fruitless: 0,
    isWaitLong: false,
    isLoginByNext: false,
    connectedAtMs: -Infinity,
    refusedAs: null,
    refused: null,
    overflow: null,
  }
}
