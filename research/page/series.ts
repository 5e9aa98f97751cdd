/** The points of one metric in a range, at the resolution that its chart can show. */
import { askAll } from "./answer.ts"
import { type Found, type Point, type Words, chooseBucket, foundOf, joinWords } from "./plot.ts"
import type { Span } from "./span.ts"
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
  /** Only the lowest and the highest of each pixel. */
  readonly thinned?: boolean
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
  /** What the metric says in words, beside its numbers. */
  readonly words: readonly Words[]
}

/** Up to so many readings are shown each as it was signed; above, by buckets. */
export const rawMax = 6_000

/** What came later than this after its time is marked as late, as the API does. */
const liveWithinSeconds = 900

export async function readSeries(wanted: Wanted, signal: AbortSignal): Promise<Found> {
  const { device, metric, from, to, unsealed } = wanted
  const query = { device, metric, from: formatBound(from), to: formatBound(to), unsealed: unsealed || null }
  if (wanted.readings <= rawMax) {
    const { items } = await askAll(
      "/v1/readings",
      { ...query, ahead: true, limit: 10_000 },
      rawMax * 4,
      signal,
    )
    return foundOf(
      (items as readonly ReadingRow[]).flatMap((row) =>
        row.unit === wanted.unit ? pointOfReading(row) : [],
      ),
      null,
      wanted.words,
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
  const found = foundOf(points, bucket.seconds, wanted.words)
  // The estimate was too high: there is room for each reading.
  if (found.readings > 0 && found.readings <= rawMax)
    return readSeries({ ...wanted, readings: found.readings }, signal)
  return found
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
export async function readWaveform(wanted: Wanted, signal: AbortSignal): Promise<Found> {
  const { device, metric, from, to, unsealed, width, readings } = wanted
  const points = readings <= rawMax * 2 ? null : Math.max(200, Math.round(width))
  const query = { device, metric, from: formatBound(from), to: formatBound(to), unsealed: unsealed || null }
  const { items } = await askAll("/v1/waveforms", { ...query, points, limit: 1_000 }, 20_000, signal)
  const segments = (items as readonly Segment[]).filter(({ unit }) => unit === wanted.unit)
  const all = segments.flatMap((segment) => pointsOfSegment(segment, { from, to }))
  all.sort((a, b) => a.time - b.time)
  const found = foundOf(all, null)
  // What was left out is known only as an estimate.
  return segments.some(({ thinned }) => thinned === true) ? { ...found, isThinned: true, readings } : found
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

const textsMax = 20_000

/** What a metric says in words ("Low", "High"), as stretches in order of time. */
export async function readWords(
  device: string,
  metric: string,
  signal: AbortSignal,
  isOverGaps = false,
): Promise<readonly Words[]> {
  const { items } = await askAll("/v1/readings", { device, metric, limit: 10_000 }, textsMax, signal)
  const texts = (items as readonly ReadingRow[]).flatMap(({ time, text }) => {
    const at = parseInstant(time)
    return text === undefined || at === null ? [] : [{ time: at, text }]
  })
  return joinWords(texts, isOverGaps)
}
