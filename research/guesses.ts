/** How many wrong keys an address may try: a token bucket each. */

export interface GuessLimits {
  readonly burstMax: number
  readonly perSecondMax: number
  /** A refusal beyond the limit is answered so late: a loop costs its client time and us little. */
  readonly delayMs: number
}

export const guessLimitsDefault: GuessLimits = { burstMax: 20, perSecondMax: 0.5, delayMs: 1_000 }

interface Bucket {
  tokens: number
  atMs: number
}

/** Sources are forgotten when their bucket is full again, once there are so many. */
const sourcesMax = 10_000

export class Guesses {
  private readonly limits: GuessLimits
  private readonly buckets = new Map<string, Bucket>()

  constructor(limits: GuessLimits) {
    this.limits = limits
  }

  /** Whether this address has guessed too often lately. */
  isOver(source: string, nowMs: number): boolean {
    const bucket = this.buckets.get(source)
    return bucket !== undefined && this.tokensOf(bucket, nowMs) < 1
  }

  /** A wrong key came from there. */
  add(source: string, nowMs: number): void {
    const bucket = this.buckets.get(source) ?? { tokens: this.limits.burstMax, atMs: nowMs }
    const tokens = Math.max(0, this.tokensOf(bucket, nowMs) - 1)
    // Moved to the end: the oldest come first.
    this.buckets.delete(source)
    this.buckets.set(source, { tokens, atMs: nowMs })
    for (const [name, { atMs }] of this.buckets) {
      const isFull = nowMs - atMs >= this.fullAfterMs
      if (this.buckets.size <= sourcesMax && !isFull) break
      this.buckets.delete(name)
    }
  }

  private get fullAfterMs(): number {
    return (this.limits.burstMax / this.limits.perSecondMax) * 1_000
  }

  private tokensOf({ tokens, atMs }: Bucket, nowMs: number): number {
    const { burstMax, perSecondMax } = this.limits
    return Math.min(burstMax, tokens + (Math.max(0, nowMs - atMs) / 1_000) * perSecondMax)
  }
}
