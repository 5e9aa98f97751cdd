/** Readings summed up in buckets of time, as they stream by in order. */
import { formatMs } from "./instant.ts"
import { invalidParameter } from "./problem.ts"
import { latenessOf, modeOf } from "./reading-json.ts"
import type { Run } from "./run.ts"

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

export const bucketSchema = {
  type: "string",
  pattern: "^[1-9][0-9]{0,5}[smhd]$",
  description:
    "such as 5m: count, min, max, mean, first and last of each 5 minutes of a metric, from full ones in UTC",
} as const

/** Seconds. */
export function parseBucket(text: string): number {
  const seconds = Number(text.slice(0, -1)) * unitSeconds[text.at(-1)!]!
  if (seconds > 366 * 86_400) throw invalidParameter("bucket", "must be at most 366d")
  return seconds
}

/** What one metric of a device, in one unit, said in a bucket. Of texts and bytes only the count. */
export interface Bucket {
  /** Unix seconds. */
  readonly startsAt: number
  readonly device: string
  readonly metric: string
  readonly unit: string | null
  count: number
  min: number | null
  max: number | null
  /** Sum of the values; the mean is sum / count. */
  sum: number | null
  first: number | null
  last: number | null
  /** How many of them arrived late. */
  backfill: number
}

/** The buckets of one time of one metric: one per unit, and another for values that are no numbers. */
export type BucketGroup = readonly Bucket[]

/** @param runs in order of device, metric and time */
export async function* bucketsOf(
  runs: AsyncIterable<Run>,
  { widthSeconds, liveWithinSeconds }: { readonly widthSeconds: number; readonly liveWithinSeconds: number },
): AsyncGenerator<BucketGroup> {
  let open: Bucket[] = []
  for await (const { series, order, from, to } of runs) {
    const { device, metric, unit, numbers, times } = series
    for (let place = from; place < to;) {
      const time = times[order === null ? place : order[place]!]!
      const startsAt = Math.floor(time / widthSeconds) * widthSeconds
      const [any] = open
      if (
        any !== undefined &&
        (any.startsAt !== startsAt || any.metric !== metric || any.device !== device)
      ) {
        yield open
        open = []
      }
      let bucket = open.find((one) => one.unit === unit && (one.sum === null) === (numbers === null))
      if (bucket === undefined) {
        bucket = {
          startsAt,
          device,
          metric,
          unit,
          count: 0,
          min: null,
          max: null,
          sum: null,
          first: null,
          last: null,
          backfill: 0,
        }
        open.push(bucket)
      }
      place = fill(bucket, { series, order, from: place, to }, startsAt + widthSeconds, liveWithinSeconds)
    }
  }
  if (open.length > 0) yield open
}

/** Adds what lies before `end`; gives the place of the first reading that does not. */
function fill(bucket: Bucket, run: Run, end: number, liveWithinSeconds: number): number {
  const { series, order, from, to } = run
  const { times, numbers } = series
  let place = from
  // In order of time: what is late comes first.
  while (place < to && times[order === null ? place : order[place]!]! < end) {
    const late = latenessOf(series, times[order === null ? place : order[place]!]!)
    if (modeOf(late, liveWithinSeconds) === "live") break
    place += 1
  }
  bucket.backfill += place - from
  place = from
  if (numbers === null) {
    while (place < to && times[order === null ? place : order[place]!]! < end) place += 1
    bucket.count += place - from
    return place
  }
  let min = bucket.min ?? Infinity
  let max = bucket.max ?? -Infinity
  let sum = bucket.sum ?? 0
  let last = 0
  const first = numbers[order === null ? place : order[place]!]!
  for (; place < to; place++) {
    const index = order === null ? place : order[place]!
    if (times[index]! >= end) break
    last = numbers[index]!
    if (last < min) min = last
    if (last > max) max = last
    sum += last
  }
  bucket.count += place - from
  bucket.min = min
  bucket.max = max
  bucket.sum = sum
  bucket.first ??= first
  bucket.last = last
  return place
}

export function describeBucket({
  startsAt,
  device,
  metric,
  unit,
  count,
  min,
  max,
  sum,
  first,
  last,
  backfill,
}: Bucket) {
  return {
    time: formatMs(startsAt * 1000),
    device,
    metric,
    unit,
    count,
    min,
    max,
    mean: sum === null ? null : sum / count,
    first,
    last,
    backfill,
  }
}

export const bucketProperties = {
  time: { type: "string", format: "date-time", description: "of a bucket, where it begins" },
  device: { type: "string" },
  metric: { type: "string" },
  unit: { type: ["string", "null"] },
  count: { type: "integer" },
  min: { type: ["number", "null"] },
  max: { type: ["number", "null"] },
  mean: { type: ["number", "null"] },
  first: { type: ["number", "null"], description: "by time" },
  last: { type: ["number", "null"] },
  backfill: { type: "integer", description: "how many of them arrived over liveWithin seconds late" },
} as const
