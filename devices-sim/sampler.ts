/** How a run goes over time: equal pieces of wall time, which grow as the run does, so that there are never too many. */
import { type Measures, Trend } from "./measure.ts"
import type { Percentiles, Sample } from "./run-report.ts"
import type { ScenarioClock } from "./scenario-clock.ts"

const samplesMax = 240
const pieceMsMin = 250

export class Sampler {
  private readonly clock: ScenarioClock
  private readonly measures: Measures
  private readonly piece = new Trend()
  private taken: Sample[] = []
  private pieceMs = pieceMsMin
  private before = { made: 0, acknowledged: 0, refused: 0 }
  private takenAtMs = 0
  connected = 0

  constructor(clock: ScenarioClock, measures: Measures) {
    this.clock = clock
    this.measures = measures
  }

  /** A PUBACK that took so long. */
  time(ackMs: number): void {
    this.piece.add(ackMs)
  }

  /** Whether it is time for `take`. */
  get isDue(): boolean {
    return this.clock.wallMs() - this.takenAtMs >= this.pieceMs
  }

  /** Ends a piece. */
  take(): Sample {
    const { measures, piece, before } = this
    this.takenAtMs = this.clock.wallMs()
    const now = {
      made: measures.count("made"),
      acknowledged: measures.count("acknowledged"),
      refused: measures.count("refused"),
    }
    const sample: Sample = {
      atMs: this.clock.nowMs(),
      wallMs: this.takenAtMs,
      connected: this.connected,
      made: now.made - before.made,
      acknowledged: now.acknowledged - before.acknowledged,
      refused: now.refused - before.refused,
      p50: piece.percentile(50),
      p95: piece.percentile(95),
      p99: piece.percentile(99),
    }
    this.before = now
    piece.clear()
    this.taken.push(sample)
    if (this.taken.length > samplesMax) {
      this.pieceMs *= 2
      this.taken = joinPairs(this.taken)
    }
    return sample
  }

  get samples(): readonly Sample[] {
    return this.taken
  }
}

function joinPairs(samples: readonly Sample[]): Sample[] {
  const joined: Sample[] = []
  for (let at = 0; at < samples.length; at += 2) {
    const one = samples[at]!
    const other = samples[at + 1]
    if (other === undefined) {
      joined.push(one)
      continue
    }
    joined.push({
      ...other,
      made: one.made + other.made,
      acknowledged: one.acknowledged + other.acknowledged,
      refused: one.refused + other.refused,
      // Of the two the higher: a chart must not hide a bad second.
      p50: higher(one.p50, other.p50),
      p95: higher(one.p95, other.p95),
      p99: higher(one.p99, other.p99),
    })
  }
  return joined
}

function higher(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b)
}

/** Of a whole run; null where nothing was measured. */
export function percentilesOf(trend: Trend): Percentiles | null {
  const [p50, p90, p95, p99, max] = [50, 90, 95, 99, 100].map((percent) => trend.percentile(percent))
  if (p50 == null || p90 == null || p95 == null || p99 == null || max == null) return null
  return { p50, p90, p95, p99, max }
}
