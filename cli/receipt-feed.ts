/**
 * Receipts as they are given, and refusals of connections that got none, for people who watch a device. It costs nothing
 * while nobody watches.
 */
import type { BrokerEvent } from "../broker/counters.ts"
import { formatHex } from "../chain/bytes.ts"
import { type Receipt, decodeReceipt } from "../chain/receipt.ts"
import { type Verdict, parseVerdictCode, verdictAdvice } from "../chain/verdict.ts"
import type { Intake, IntakeAnswer } from "../ingest/intake.ts"

/** What is told of a receipt: what the device gets, and why. Never a reading, key or payload. */
export interface ReceiptTold {
  readonly kind: "receipt"
  readonly device: string
  readonly verdict: Verdict
  readonly code: number
  /** Which rule spoke, with its numbers. */
  readonly rule: string
  readonly advice: string
  readonly seq: number | null
  readonly headSeq: number
  /** Hex. */
  readonly headEntry: string
  /** The service's clock in the receipt, Unix seconds. */
  readonly now: number
  /** From the message's arrival to its answer. */
  readonly tookMs: number
}

/** A connection that was refused or closed for what its client did, or a subscription that was denied. */
export interface RefusalTold {
  readonly kind: "refusal"
  readonly what: "connection" | "subscription"
  /** Null where the client id has not the form of a device id, or was not read. */
  readonly device: string | null
  /** The client id as it was sent, escaped; null where it was not read. */
  readonly client: string | null
  /** As it is counted. */
  readonly reason: string
  /** What was sent, the rule that it breaks, and what mends it; null where the reason says all. */
  readonly rule: string | null
  /** The service's clock, Unix seconds. */
  readonly now: number
}

export type Told = ReceiptTold | RefusalTold

type Listener = (told: Told) => void

export class ReceiptFeed {
  readonly #listeners = new Set<{ readonly device: string | null; readonly listener: Listener }>()

  get listenerCount(): number {
    return this.#listeners.size
  }

  /** Receipts of this device, or of all where it is null, until the function given back is called. */
  listen(device: string | null, listener: Listener): () => void {
    const one = { device, listener }
    this.#listeners.add(one)
    return () => this.#listeners.delete(one)
  }

  /** The same way in, watched: while nobody listens a message passes as it came, but for one comparison. */
  watch(intake: Intake): Pick<Intake, "open"> {
    return {
      open: (device) => {
        const place = intake.open(device)
        return {
          submit: (message) => {
            if (this.#listeners.size === 0) return place.submit(message)
            const startedAt = performance.now()
            const answered = place.submit(message)
            // What is told of an answer must never change it: this branch ends here.
            void answered.then((answer) => this.#tell(device, answer, performance.now() - startedAt))
            return answered
          },
          close: () => place.close(),
        }
      },
    }
  }

  /** Tells readers of the device; of a client id that is no device's, also those whose device's id is in it. */
  tellEvent(event: BrokerEvent): void {
    if (this.#listeners.size === 0) return
    const told = refusalOf(event)
    if (told === null) return
    for (const { device, listener } of this.#listeners) {
      const isMeant =
        device === null ||
        (told.device === null ? told.client?.includes(device) === true : told.device === device)
      if (isMeant) listener(told)
    }
  }

  #tell(device: string, answer: IntakeAnswer, tookMs: number): void {
    if (answer.kind !== "receipt") return
    const listening = [...this.#listeners].filter((one) => one.device === null || one.device === device)
    if (listening.length === 0) return
    const told = tell(device, decodeReceipt(answer.receipt), answer.rule, tookMs)
    for (const { listener } of listening) listener(told)
  }
}

function tell(device: string, { code, seq, head, now }: Receipt, rule: string, tookMs: number): ReceiptTold {
  const verdict = parseVerdictCode(code)!
  return {
    kind: "receipt",
    device,
    verdict,
    code,
    rule,
    advice: verdictAdvice[verdict],
    seq,
    headSeq: head.seq,
    headEntry: formatHex(head.entry),
    now,
    tookMs: Math.round(tookMs * 10) / 10,
  }
}

function refusalOf(event: BrokerEvent): RefusalTold | null {
  const now = Math.floor(Date.now() / 1000)
  if (event.kind === "refused-connection") {
    const { deviceId: device, clientId: client, reason, detail: rule } = event
    return { kind: "refusal", what: "connection", device, client, reason, rule, now }
  }
  if (event.kind === "denied-subscription") {
    const { deviceId: device, detail: rule } = event
    return { kind: "refusal", what: "subscription", device, client: null, reason: "not-granted", rule, now }
  }
  return null
}
