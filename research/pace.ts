/** Turns of the event loop in the middle of long answers: ingest shares its thread with them. */
import { setImmediate as turn } from "node:timers/promises"

/**
 * How long an answer may hold the thread at a time. Generators that feed one another only ever wait for promises that are
 * there already, so without a turn of its own a long answer lets nothing else run: no PUBACK, no health check.
 */
const heldMsMax = 4

export class Pace {
  #sinceMs = performance.now()

  get isDue(): boolean {
    return performance.now() - this.#sinceMs >= heldMsMax
  }

  async take(): Promise<void> {
    await turn()
    this.#sinceMs = performance.now()
  }
}
