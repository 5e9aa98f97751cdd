/** When a run that waits for answers waits in vain. Without I/O: time is an argument. */

export const stallMsDefault = 60_000
/** A service to which devices are connected may still be at work. */
const factorConnected = 5

export interface StallSigns {
  /** Milliseconds by a clock that only goes forward. */
  readonly nowMs: number
  /** Statements that were answered so far, in any way; it only grows. */
  readonly answered: number
  /** Statements without an answer. */
  readonly waiting: number
  /** Devices that are connected. */
  readonly connected: number
  /** The scenario itself has taken the service or the network away. */
  readonly isPlanned: boolean
}

export class StallWatch {
  private readonly limitMs: number
  private sinceMs: number | null = null
  private answered = 0

  /** @param limitMs without an answer while no device is connected */
  constructor(limitMs: number) {
    this.limitMs = limitMs
  }

  /** @returns why nothing is to be expected any more; null while something is */
  look({ nowMs, answered, waiting, connected, isPlanned }: StallSigns): string | null {
    if (this.sinceMs === null || answered !== this.answered || waiting === 0 || isPlanned) {
      this.sinceMs = nowMs
      this.answered = answered
      return null
    }
    const limitMs = connected === 0 ? this.limitMs : factorConnected * this.limitMs
    if (nowMs - this.sinceMs < limitMs) return null
    const devices = connected === 0 ? "no device is connected" : `${connected} devices are connected`
    return `no statement was answered for ${Math.round(limitMs / 1000)} s, ${waiting} wait and ${devices}`
  }
}
