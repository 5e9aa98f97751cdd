/** How many large reads there may be at a time: each holds a connection and a part of the memory. */
import { Problem } from "./problem.ts"

export class Turnstile {
  readonly inMax: number
  private inside = 0

  constructor(inMax: number) {
    this.inMax = inMax
  }

  get count(): number {
    return this.inside
  }

  /** Gives what must be called once when the read has ended; a problem where there is no room. */
  enter(): () => void {
    if (this.inside >= this.inMax) {
      throw new Problem("busy", {
        detail: `${this.inMax} large reads are under way; try again soon`,
        retryAfterSeconds: 2,
      })
    }
    this.inside += 1
    let isIn = true
    return () => {
      if (isIn) this.inside -= 1
      isIn = false
    }
  }
}
