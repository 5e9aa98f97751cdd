/** Which parts of the service work, and since when: what `/readyz` says and `tidemark_ready` counts. */

export interface PartState {
  readonly part: string
  readonly isReady: boolean
  /** ISO time at which it began to be so. */
  readonly since: string
  /** Why it is not ready; null when it is. */
  readonly trouble: string | null
}

export class Readiness {
  readonly #now: () => number
  readonly #parts = new Map<string, PartState>()

  /** @param now the service's clock, Unix ms */
  constructor(parts: readonly string[] = [], now: () => number = Date.now) {
    this.#now = now
    for (const part of parts) this.add(part)
  }

  /** A part that works from now on, until it is said that it does not. */
  add(part: string): void {
    this.#put(part, null)
  }

  get isReady(): boolean {
    return this.troubles().length === 0
  }

  parts(): readonly PartState[] {
    return [...this.#parts.values()]
  }

  troubles(): readonly string[] {
    return this.parts().flatMap(({ trouble }) => (trouble === null ? [] : [trouble]))
  }

  /** The part does not work. Said again, its time stays that of the first. */
  fail(part: string, trouble: string): void {
    const before = this.#parts.get(part)
    this.#put(part, trouble, before?.isReady === false ? before.since : undefined)
  }

  mend(part: string): void {
    if (this.#parts.get(part)?.isReady === false) this.#put(part, null)
  }

  #put(part: string, trouble: string | null, since = new Date(this.#now()).toISOString()): void {
    this.#parts.set(part, { part, isReady: trouble === null, since, trouble })
  }
}
