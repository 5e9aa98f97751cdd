/** How slowly a reader may take an answer: by bytes, since one byte before each timeout is no reading. */

export interface PaceLimits {
  /** Averaged over the window. Only the time in which we wait for the reader counts. */
  readonly bytesPerSecondMin: number
  /** A reader that takes nothing for so long is given up, and so is one that falls so far behind the least rate. */
  readonly windowMs: number
  /** So long a reader is waited for in all. */
  readonly waitMsMax: number
}

export type PaceFault = "slow-reader" | "long-reader"

/**
 * The time that a reader has left: it starts at the window, each chunk adds what the least rate gives it, waiting spends
 * it, and more than the window is never saved.
 */
export class ReaderPace {
  private readonly limits: PaceLimits
  private readonly cut: (fault: PaceFault) => void
  private readonly clock: () => number
  private leftMs: number
  private waitedMs = 0
  private sinceMs = 0
  private timer: NodeJS.Timeout | null = null

  constructor(
    limits: PaceLimits,
    cut: (fault: PaceFault) => void,
    clock: () => number = () => performance.now(),
  ) {
    this.limits = limits
    this.cut = cut
    this.clock = clock
    this.leftMs = limits.windowMs
  }

  /** From now on the reader is waited for. */
  offer(bytes: number): void {
    const { bytesPerSecondMin, windowMs, waitMsMax } = this.limits
    this.leftMs = Math.min(this.leftMs, windowMs) + (bytes / bytesPerSecondMin) * 1_000
    this.sinceMs = this.clock()
    const longMs = waitMsMax - this.waitedMs
    const fault = longMs < this.leftMs ? "long-reader" : "slow-reader"
    this.timer = setTimeout(() => this.cut(fault), Math.min(longMs, this.leftMs))
    this.timer.unref()
  }

  /** It took what was offered. */
  taken(): void {
    if (this.timer === null) return
    clearTimeout(this.timer)
    this.timer = null
    const waitedMs = this.clock() - this.sinceMs
    this.leftMs -= waitedMs
    this.waitedMs += waitedMs
  }
}
