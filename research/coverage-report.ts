/** The coverage of a device over days, from the database. */
import { type Days, type MetricCoverage, type Remark, coverMetric } from "./coverage.ts"
import {
  type CoveredDevice,
  type Queries,
  readCoveredDevice,
  readMetricBounds,
  readRemarks,
  readRhythm,
  readRuns,
} from "./coverage-rows.ts"
import { gapAfter } from "./gap.ts"

export interface CoverageRequest {
  readonly device: string
  /** Only this one; null: all. */
  readonly metric: string | null
  readonly days: Days
  /** Seconds from a reading to its arrival up to which it came live. */
  readonly liveWithinSeconds: number
  /** How many gaps each day of a metric lists. */
  readonly gapsPerDay?: number
}

export interface DeviceCoverage extends CoveredDevice {
  readonly days: readonly string[]
  readonly metrics: readonly MetricCoverage[]
  /** What the chain says of missing readings in these days, the latest arrival first. */
  readonly remarks: readonly Remark[]
  /** False where the device has said more than is told here. */
  readonly remarksComplete: boolean
}

/** All of it speaks of one picture of the database. Null: no such device. */
export async function reportCoverage(
  queries: Queries,
  { device, metric, days, liveWithinSeconds, gapsPerDay }: CoverageRequest,
): Promise<DeviceCoverage | null> {
  const known = await readCoveredDevice(queries, device)
  if (known === null) return null
  const { remarks, complete } = await readRemarks(queries, device, days)
  const metrics: MetricCoverage[] = []
  for (const bounds of await readMetricBounds(queries, device)) {
    if (metric !== null && bounds.metric !== metric) continue
    const rhythmSeconds = await readRhythm(queries, device, bounds.metric, days)
    const facts = { ...bounds, rhythmSeconds }
    const gapAfterSeconds = rhythmSeconds === null ? null : gapAfter(rhythmSeconds)
    const runs = readRuns(queries, device, bounds.metric, gapAfterSeconds, days, liveWithinSeconds)
    metrics.push(await coverMetric(facts, runs, days, remarks, gapsPerDay))
  }
  const [start, end] = [days.boundaries[0]!, days.boundaries.at(-1)!]
  return {
    ...known,
    days: days.names,
    metrics,
    remarks: remarks.filter((remark) =>
      remark.kind === "lost" ? remark.to >= start && remark.from < end : true,
    ),
    remarksComplete: complete,
  }
}
