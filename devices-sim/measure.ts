/** What a run measures: counters, times and how they went over the run. Constant memory, however long it runs. */

/** What thresholds can be about. Counters have `rate` per second of wall time. */
export const measureNames = {
  made: { kind: "counter", tags: ["group"] },
  sent: { kind: "counter", tags: ["group"] },
  acknowledged: { kind: "counter", tags: ["group"] },
  /** As the service says. */
  stored: { kind: "counter", tags: ["group"] },
  /** As the service says. */
  sealed: { kind: "counter", tags: ["group"] },
  /** Statements that will never be stored. */
  refused: { kind: "counter", tags: ["group"] },
  /** Statements without a verdict when the run ended. */
  unanswered: { kind: "counter", tags: ["group"] },
  readings: { kind: "counter", tags: ["group"] },
  reconnects: { kind: "counter", tags: ["group"] },
  /** Receipts as they came in. */
  verdicts: { kind: "counter", tags: ["verdict"] },
  faults: { kind: "counter", tags: [] },
  /** From publish to PUBACK. */
  puback_ms: { kind: "trend", tags: ["group"] },
  /** Processor seconds of the simulator per second of wall time: its own cost, not the service's. */
  simulator_cpu: { kind: "gauge", tags: [] },
  simulator_memory_mb: { kind: "gauge", tags: [] },
} as const satisfies Record<string, { kind: "counter" | "trend" | "gauge"; tags: readonly string[] }>

export type MeasureName = keyof typeof measureNames

/** Of times: a histogram whose buckets are 1 % wide, so that a percentile is right to 1 %, and minimum, maximum and mean. */
export class Trend {
  private readonly buckets = new Map<number, number>()
  count = 0
  private sum = 0
  min = Infinity
  max = -Infinity

  add(value: number): void {
    const bucket = Math.round(Math.log(Math.max(value, smallest)) / step)
    this.buckets.set(bucket, (this.buckets.get(bucket) ?? 0) + 1)
    this.count += 1
    this.sum += value
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
  }

  get mean(): number | null {
    return this.count === 0 ? null : this.sum / this.count
  }

  /** By the nearest rank, 0 to 100; null where nothing was added. */
  percentile(percent: number): number | null {
    if (this.count === 0) return null
    const rank = Math.max(1, Math.ceil((percent / 100) * this.count))
    if (rank === this.count) return this.max
    let seen = 0
    for (const bucket of [...this.buckets.keys()].toSorted((a, b) => a - b)) {
      seen += this.buckets.get(bucket)!
      if (seen >= rank) return Math.min(this.max, Math.max(this.min, Math.exp(bucket * step)))
    }
    return this.max
  }

  clear(): void {
    this.buckets.clear()
    this.count = 0
    this.sum = 0
    this.min = Infinity
    this.max = -Infinity
  }
}

const step = Math.log(1.01)
/** A microsecond: below it every time is the same. */
const smallest = 0.001

/** What thresholds and reports ask for. */
export class Measures {
  private readonly counters = new Map<string, number>()
  private readonly trends = new Map<string, Trend>()
  private readonly gauges = new Map<string, number>()
  /** Of the run, ms of wall time; set when it is over. */
  wallMs = 0

  /** @param part such as `group:wrist`; the whole is counted too */
  add(name: MeasureName, count: number, part: string | null = null): void {
    if (count === 0) return
    this.counters.set(name, (this.counters.get(name) ?? 0) + count)
    if (part === null) return
    const key = `${name}{${part}}`
    this.counters.set(key, (this.counters.get(key) ?? 0) + count)
  }

  /** To at least so many. */
  raise(name: MeasureName, count: number): void {
    this.counters.set(name, Math.max(this.count(name), count))
  }

  time(name: "puback_ms", ms: number, part: string): void {
    this.trend(name).add(ms)
    this.trend(`${name}{${part}}`).add(ms)
  }

  set(name: "simulator_cpu" | "simulator_memory_mb", value: number): void {
    this.gauges.set(name, value)
  }

  count(name: MeasureName, part: string | null = null): number {
    return this.counters.get(part === null ? name : `${name}{${part}}`) ?? 0
  }

  /** Of each part that was counted, in the order in which they were first. */
  parts(name: MeasureName): readonly (readonly [string, number])[] {
    return [...this.counters]
      .filter(([key]) => key.startsWith(`${name}{`))
      .map(([key, count]) => [key.slice(name.length + 1, -1), count] as const)
  }

  /** Of `name` or `name{part}`. */
  trend(key: string): Trend {
    let trend = this.trends.get(key)
    if (trend === undefined) this.trends.set(key, (trend = new Trend()))
    return trend
  }

  /** @param aggregate a name of k6's, or a percentile; null: nothing was measured */
  aggregate(name: MeasureName, part: string | null, aggregate: string | number): number | null {
    const key = part === null ? name : `${name}{${part}}`
    if (measureNames[name].kind === "gauge") return this.gauges.get(key) ?? null
    if (measureNames[name].kind === "counter") {
      const count = this.counters.get(key) ?? 0
      return aggregate === "rate" ? (count * 1000) / Math.max(1, this.wallMs) : count
    }
    const trend = this.trend(key)
    if (typeof aggregate === "number") return trend.percentile(aggregate)
    if (trend.count === 0) return null
    switch (aggregate) {
      case "min":
        return trend.min
      case "max":
        return trend.max
      case "med":
        return trend.percentile(50)
      default:
        return trend.mean
    }
  }
}
