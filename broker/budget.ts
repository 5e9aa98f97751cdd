/**
 * Payload bytes of all connections that wait for an answer. Only whole messages count: they are answered for certain,
 * while a peer that sends half a packet and stops could hold what it reserved for as long as it likes.
 */
export class Budget {
  readonly #bytesMax: number
  readonly #waiting = new Set<() => void>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  isFull(): boolean {
    return this.#bytes >= this.#bytesMax
  }

  take(bytes: number): void {
    this.#bytes += bytes
  }

  /** Gives `bytes` back and wakes who waits, the first to come first, until the budget is full again. */
  release(bytes: number): void {
    this.#bytes -= bytes
    for (const wake of this.#waiting) {
      if (this.isFull()) return
      this.#waiting.delete(wake)
      wake()
    }
  }

  /** `wake` is called once, when there is room; it may find the budget full again and wait anew. */
  wait(wake: () => void): void {
    this.#waiting.add(wake)
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }
}
