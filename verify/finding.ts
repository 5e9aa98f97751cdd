/** What an audit finds: which row breaks which rule, in words for an operator. Never the value of a reading. */
import type { PublicKey } from "../chain/key.ts"

export interface Finding {
  readonly table: string
  readonly column: string | null
  /** `statement 118 of device k7`, `block 3`, `leaf 17`. */
  readonly row: string
  /** Reads on after the row: `differs from the signed payload`. */
  readonly rule: string
}

/** `series 0 of statement 12 of device k7: column numbers differs from the signed payload` */
export function formatFinding({ column, row, rule }: Finding): string {
  return column === null ? `${row} ${rule}` : `${row}: column ${column} ${rule}`
}

/** More is no help to anybody. */
const findingsMax = 1_000

/** Checks signatures elsewhere, many at a time. */
export interface SignatureQueue {
  /** Takes a copy of all three. The signature's form must be good (`checkSignatureForm`). */
  add(key: PublicKey, message: Uint8Array, signature: Uint8Array): void
  /** Of each that was added since the last call, in order: not 0 where it verifies. */
  send(): Promise<Uint8Array>
}

interface Expected {
  readonly order: number
  readonly row: string
}

/** Signatures that were handed over. */
interface Sent {
  readonly expected: readonly Expected[]
  readonly answers: Promise<Uint8Array>
}

const ruleOfSignature = "has a signature that does not verify under the key that stood at its seq"

/** Collects findings in the order of the rows, and waits for signatures that are still being checked. */
export class Findings {
  readonly remarks: string[] = []
  private readonly isStoppingAtFirst: boolean
  private readonly queue: SignatureQueue | null
  private readonly found: { readonly order: number; readonly finding: Finding }[] = []
  private expected: Expected[] = []
  private sent: Sent | null = null
  private order = 0

  constructor(isStoppingAtFirst: boolean, queue: SignatureQueue | null = null) {
    this.isStoppingAtFirst = isStoppingAtFirst
    this.queue = queue
  }

  /** What is added from now on is about a later row. */
  nextRow(): void {
    this.order += 1
  }

  add(table: string, column: string | null, row: string, rule: string): void {
    this.found.push({ order: this.order, finding: { table, column, row, rule } })
  }

  /** A statement's signature is bad. */
  addSignature(row: string): void {
    this.add("statements", "bytes", row, ruleOfSignature)
  }

  /**
   * The same where the queue says so.
   *
   * @returns false where there is no queue: check it here
   */
  expectSignature(key: PublicKey, message: Uint8Array, signature: Uint8Array, row: string): boolean {
    if (this.queue === null) return false
    this.queue.add(key, message, signature)
    this.expected.push({ order: this.order, row })
    return true
  }

  /**
   * Waits for the signatures that were added before the last call, or for all of them. One page behind, the threads that
   * check them have work while the next page is judged.
   */
  async settle(isAll: boolean): Promise<void> {
    const due = [this.sent]
    this.sent = this.handOver()
    if (isAll) {
      due.push(this.sent)
      this.sent = null
    }
    for (const one of due) {
      if (one === null) continue
      const answers = await one.answers
      for (const [place, { order, row }] of one.expected.entries())
        // Fewer answers than signatures are none that verify.
        if ((answers[place] ?? 0) === 0)
          this.found.push({
            order,
            finding: { table: "statements", column: "bytes", row, rule: ruleOfSignature },
          })
    }
  }

  private handOver(): Sent | null {
    if (this.queue === null || this.expected.length === 0) return null
    const { expected } = this
    this.expected = []
    const answers = this.queue.send()
    // Awaited by a later `settle`; a rejection in between must not count as one that nobody handles.
    answers.catch(() => undefined)
    return { expected, answers }
  }

  get count(): number {
    return this.found.length
  }

  /** Whether there is nothing more to look for. */
  get isDone(): boolean {
    return this.found.length >= (this.isStoppingAtFirst ? 1 : findingsMax)
  }

  /** In the order of the rows; the first one only where the audit stops there. */
  list(): Finding[] {
    const sorted = this.found.toSorted((a, b) => a.order - b.order).map(({ finding }) => finding)
    return this.isStoppingAtFirst ? sorted.slice(0, 1) : sorted.slice(0, findingsMax)
  }
}
