/** Receipts as they are given, for people who watch a device. It costs nothing while nobody watches. */
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

type Listener = (told: ReceiptTold) => void

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
