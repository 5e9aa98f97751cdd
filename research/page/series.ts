/** The points of one metric in a range, at the resolution that its chart can show. */
import { type Page, ask, askAll } from "./answer.ts"
import { type Plot, type Point, type Span, chooseBucket, makePlot } from "./plot.ts"
import { parseInstant } from "./time.ts"

/** What `/v1/devices/{id}` says of a metric. */
export interface StoredSeries {
  readonly metric: string
  readonly unit: string | null
  readonly kind: string
  readonly readings: number
  readonly from: string
  readonly to: string
}

/** A row of `/v1/readings`. */
export interface ReadingRow {
  readonly time: string
  readonly metric: string
  readonly value?: number | boolean
  readonly text?: string
  readonly blob?: string
  readonly unit: string | null
  readonly arrived: string
  readonly latenessSeconds: number
  readonly mode: "live" | "backfill"
  readonly ahead?: boolean
  readonly block: number | null
  readonly entry: string
}

interface BucketRow {
  readonly time: string
  readonly unit: string | null
  readonly count: number
  readonly min: number | null
  readonly max: number | null
  readonly mean: number | null
  readonly backfill?: number
}

interface Segment {
  readonly start: string
  readonly periodMs: number
  readonly factor: number
  readonly origin: number
  readonly samples: readonly number[]
  readonly arrived: string
  readonly latenessSeconds?: number
  readonly block: number | null
  readonly entry: string
  readonly unit: string | null
}

export interface Wanted extends Span {
  readonly device: string
  readonly metric: string
  readonly unit: string | null
  /** Pixels of the chart: more buckets than that say nothing. */
  readonly width: number
  /** About how many readings there are in the range. */
  readonly readings: number
  readonly unsealed: boolean
}

/** Up to so many readings are shown each as it was signed; above, by buckets. */
export const rawMax = 6_000

/** What came later than this after its time is marked as late, as the API does. */
const liveWithinSeconds = 900

export async function readSeries(wanted: Wanted, signal: AbortSignal): Promise<Plot> {
  const { device, metric, from, to, unsealed } = wanted
  const query = { device, metric, from: formatBound(from), to: formatBound(to), unsealed: unsealed || null }
  if (wanted.readings <= rawMax) {
    const { items } = await askAll("/v1/readings", { ...query, limit: 5000 }, rawMax * 4, signal)
    return makePlot(
      (items as readonly ReadingRow[]).flatMap((row) =>
        row.unit === wanted.unit ? pointOfReading(row) : [],
      ),
      null,
    )
  }
  const bucket = chooseBucket(to - from, Math.max(wanted.width, 200))
  const { items } = await askAll(
    "/v1/readings",
    { ...query, bucket: bucket.text, limit: 5000 },
    20_000,
    signal,
  )
  const points = (items as readonly BucketRow[]).flatMap((row) =>
    row.unit === wanted.unit ? pointOfBucket(row) : [],
  )
  const plot = makePlot(points, bucket.seconds)
  // The estimate was too high: there is room for each reading.
  if (plot.readings > 0 && plot.readings <= rawMax)
    return readSeries({ ...wanted, readings: plot.readings }, signal)
  return plot
}

function formatBound(seconds: number): string {
  return seconds.toFixed(3)
}

function pointOfReading(row: ReadingRow): Point[] {
  const time = parseInstant(row.time)
  const value = typeof row.value === "boolean" ? Number(row.value) : row.value
  if (time === null || value === undefined) return []
  return [
    {
      time,
      low: value,
      high: value,
      middle: value,
      count: 1,
      late: row.mode === "backfill" ? 1 : 0,
      ahead: row.ahead === true,
      entry: row.entry,
      arrived: parseInstant(row.arrived),
      block: row.block,
    },
  ]
}

function pointOfBucket(row: BucketRow): Point[] {
  const time = parseInstant(row.time)
  const { min, max, mean, count, backfill = 0 } = row
  if (time === null || min === null || max === null) return []
  return [
    {
      time,
      low: min,
      high: max,
      middle: mean ?? (min + max) / 2,
      count,
      late: backfill,
      ahead: false,
      entry: null,
      arrived: null,
      block: null,
    },
  ]
}

/** A waveform is shown as its samples where they fit, and else by the lowest and highest of each pixel. */
export async function readWaveform(wanted: Wanted, signal: AbortSignal): Promise<Plot> {
  const { device, metric, from, to, unsealed, width } = wanted
  const points = wanted.readings <= rawMax * 2 ? null : Math.max(200, Math.round(width))
  const { items } = await askAll(
    "/v1/waveforms",
    { device, metric, from: formatBound(from), to: formatBound(to), unsealed: unsealed || null, points },
    20_000,
    signal,
  )
  const all = (items as readonly Segment[])
    .filter(({ unit }) => unit === wanted.unit)
    .flatMap((segment) => pointsOfSegment(segment, { from, to }))
  all.sort((a, b) => a.time - b.time)
  return makePlot(all, null)
}

function pointsOfSegment(segment: Segment, { from, to }: Span): Point[] {
  const start = parseInstant(segment.start)
  const arrived = parseInstant(segment.arrived)
  if (start === null) return []
  const { periodMs, factor, origin, samples, block, entry } = segment
  const points: Point[] = []
  for (let place = 0; place < samples.length; place += 1) {
    const time = start + (place * periodMs) / 1000
    if (time < from || time > to) continue
    const value = samples[place]! * factor + origin
    const late = arrived !== null && arrived - time > liveWithinSeconds ? 1 : 0
    points.push({
      time,
      low: value,
      high: value,
      middle: value,
      count: 1,
      late,
      ahead: false,
      entry,
      arrived,
      block,
    })
  }
  return points
}

/** Texts of a metric ("Low", "High"), newest last. */
export async function readTexts(
  device: string,
  metric: string,
  signal: AbortSignal,
): Promise<{ readonly rows: readonly ReadingRow[]; readonly isWhole: boolean }> {
  const page = await ask<Page<ReadingRow>>("/v1/readings", { device, metric, limit: 1000 }, signal)
  return { rows: page.items.filter(({ text }) => text !== undefined), isWhole: page.complete }
}
