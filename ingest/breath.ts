/** Long work beside short: a seal shares its thread with ingest. */
import { setImmediate as turn } from "node:timers/promises"

/**
 * How long the thread is held at a time. A PUBACK needs some eight turns of the loop, the queries of its group commit, and
 * each may have to wait for this.
 */
const heldMsMax = 1

export class Breath {
  private sinceMs = performance.now()

  /** Whether the event loop is due for a turn. */
  get isDue(): boolean {
    return performance.now() - this.sinceMs >= heldMsMax
  }

  async take(): Promise<void> {
    await turn()
    this.sinceMs = performance.now()
  }
}
