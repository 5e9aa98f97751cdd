/** One clock and one queue for everything that happens: nothing in a simulation waits for the wall. */

interface Happening {
  readonly atMs: number
  /** Order of what happens at the same instant. */
  readonly number: number
  readonly run: () => void
  isCancelled: boolean
}

/** A run has some 4,000: what goes on and on is a fault, and it ends here. */
const stepsMax = 150_000

export class Clock {
  /** Simulated time in ms, with fractions. */
  nowMs = 0
  /** How many things have happened. */
  steps = 0
  /** What must not go on: the next step throws it. */
  fatal: Error | null = null
  private readonly heap: Happening[] = []
  private count = 0

  /** Calls back once after a delay, and gives a function that prevents it. */
  after(delayMs: number, run: () => void): () => void {
    this.count += 1
    const happening = { atMs: this.nowMs + Math.max(0, delayMs), number: this.count, run, isCancelled: false }
    this.push(happening)
    return () => void (happening.isCancelled = true)
  }

  wait(delayMs: number): Promise<void> {
    return new Promise((done) => void this.after(delayMs, done))
  }

  /** Lets the next thing happen, and everything that follows from it at once; false where nothing is left. */
  async step(): Promise<boolean> {
    for (;;) {
      const next = this.pop()
      if (next === undefined) return false
      if (next.isCancelled) continue
      this.nowMs = next.atMs
      this.steps += 1
      if (this.fatal !== null) throw this.fatal
      if (this.steps > stepsMax) throw new Error(`there is no end to it: ${stepsMax} things have happened`)
      next.run()
      await settle()
      return true
    }
  }

  /** Goes on until `isDone` says so; false where time or happenings ran out before. */
  async runUntil(isDone: () => boolean, untilMs: number): Promise<boolean> {
    for (;;) {
      if (isDone()) return true
      const next = this.heap[0]
      if (next === undefined || next.atMs > untilMs) return false
      await this.step()
    }
  }

  private push(happening: Happening): void {
    const { heap } = this
    let at = heap.push(happening) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(happening, heap[above]!)) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = happening
  }

  private pop(): Happening | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below += 1
      if (!isBefore(heap[below]!, last)) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs === b.atMs ? a.number < b.number : a.atMs < b.atMs
}

/** A turn of the real event loop: all promises that can go on have gone on. Nothing in a simulation does real I/O. */
export function settle(): Promise<void> {
  return new Promise((done) => void setImmediate(done))
}

/** While `work` runs, `performance.now` is the simulated clock, so that nothing yields or gives up by the wall's. */
export async function underClock<T>(clock: Clock, work: () => Promise<T>): Promise<T> {
  Object.defineProperty(performance, "now", { value: () => clock.nowMs, configurable: true })
  try {
    return await work()
  } finally {
    // The prototype's is back.
    Reflect.deleteProperty(performance, "now")
  }
}
