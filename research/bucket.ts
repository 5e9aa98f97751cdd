/** Readings summed up in buckets of time, as they stream by in order. */
import { type BucketGrid, makeGrid } from "./bucket-grid.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import { Pace } from "./pace.ts"
import { invalidParameter } from "./problem.ts"
import { latenessOf, modeOf } from "./reading-json.ts"
import type { Run, Window } from "./run.ts"
import { Zone, dateSecondsMax, formatOffset, timezoneRule } from "./zone.ts"

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

export const bucketSchema = {
  type: "string",
  pattern: "^[1-9][0-9]{0,5}[smhd]$",
  description:
    "such as 5m: count, min, max, mean, first and last of each 5 minutes of a metric, from full ones by the clock of timezone",
} as const

export const timezoneSchema = {
  type: "string",
  maxLength: 64,
  description:
    "whose clock buckets follow, such as Europe/Berlin, so that 1d is a day of the wearer, of 23, 24 or 25 hours; UTC where it is left out",
} as const

/** Seconds. */
export function parseBucket(text: string): number {
  const seconds = Number(text.slice(0, -1)) * unitSeconds[text.at(-1)!]!
  if (seconds > 366 * 86_400) throw invalidParameter("bucket", "must be at most 366d")
  return seconds
}

/** Null for UTC; a problem for a zone that there is none of. */
export function parseTimezone(text: string | undefined): Zone | null {
  if (text === undefined || text === "UTC") return null
  const zone = Zone.find(text)
  if (zone === null) throw invalidParameter("timezone", timezoneRule)
  return zone
}

/** What one metric of a device, in one unit, said in a bucket. Of texts and bytes only the count. */
export interface Bucket {
  /** Unix seconds. */
  readonly startsAt: number
  readonly endsAt: number
  /** Seconds to add to UTC for the wall's time where it begins; null: no zone was asked for. */
  readonly offset: number | null
  /** Whether `from` or `to` cut it, so that it may have had more readings. */
  readonly isPartial: boolean
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

export interface BucketOptions {
  readonly widthSeconds: number
  /** Null: UTC. */
  readonly zone: Zone | null
  /** What was asked for: a bucket that reaches out of it is partial. */
  readonly window: Window
  readonly liveWithinSeconds: number
}

/**
 * Costs what the readings cost, however far they lie apart: a bucket without readings is never made.
 *
 * @param runs in order of device, metric and time
 */
export async function* bucketsOf(
  runs: AsyncIterable<Run>,
  { widthSeconds, zone, window, liveWithinSeconds }: BucketOptions,
): AsyncGenerator<BucketGroup> {
  const grid = makeGrid(widthSeconds, zone)
  const pace = new Pace()
  let open: Bucket[] = []
  for await (const { series, order, from, to } of runs) {
    const { device, metric, unit, numbers, times } = series
    for (let place = from; place < to;) {
      const time = times[order === null ? place : order[place]!]!
      const [any] = open
      const stretch =
        any !== undefined && time >= any.startsAt && time < any.endsAt ? any : grid.stretchOf(time)
      if (
        any !== undefined &&
        (any.startsAt !== stretch.startsAt || any.metric !== metric || any.device !== device)
      ) {
        yield open
        open = []
        if (pace.isDue) await pace.take()
      }
      let bucket = open.find((one) => one.unit === unit && (one.sum === null) === (numbers === null))
      if (bucket === undefined) {
        const { startsAt, endsAt } = stretch
        bucket = {
          startsAt,
          endsAt,
          offset: offsetIn(grid, startsAt),
          isPartial: isCut(stretch, window),
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
      const next = fill(bucket, { series, order, from: place, to }, liveWithinSeconds)
      // A reading that its own bucket does not hold would be asked about for ever.
      if (next === place) throw new Error(`the bucket of ${time} s does not hold it`)
      place = next
    }
  }
  if (open.length > 0) yield open
}

function offsetIn({ zone }: BucketGrid, startsAt: number): number | null {
  return zone === null || !isDate(startsAt) ? null : zone.offsetAt(startsAt)
}

function isDate(seconds: number): boolean {
  return Math.abs(seconds) <= dateSecondsMax
}

function isCut(
  { startsAt, endsAt }: Pick<Bucket, "startsAt" | "endsAt">,
  { fromSeconds, toSeconds }: Window,
): boolean {
  return (fromSeconds !== null && startsAt < fromSeconds) || (toSeconds !== null && endsAt > toSeconds)
}

/** Adds what lies before the bucket's end; gives the place of the first reading that does not. */
function fill(bucket: Bucket, run: Run, liveWithinSeconds: number): number {
  const { series, order, from, to } = run
  const { times, numbers } = series
  const end = bucket.endsAt
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

/** The time on the wall where a bucket begins, with its offset; null where no zone was asked for. */
export function formatLocal({ startsAt, offset }: Pick<Bucket, "startsAt" | "offset">): string | null {
  if (offset === null) return null
  return formatMs((startsAt + offset) * 1000).replace(/\.000Z$/, formatOffset(offset))
}

/** Seconds from a bucket's beginning to its end; null where no date reaches it, for it is of one instant then. */
export function lengthOf({ startsAt, endsAt }: Pick<Bucket, "startsAt" | "endsAt">): number | null {
  return isDate(endsAt) ? endsAt - startsAt : null
}

export function describeBucket(bucket: Bucket) {
  const { startsAt, device, metric, unit, count, min, max, sum, first, last, backfill, isPartial } = bucket
  const local = formatLocal(bucket)
  return {
    time: formatSeconds(startsAt),
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
    seconds: lengthOf(bucket),
    partial: isPartial,
    ...(local === null ? {} : { local }),
  }
}

export const bucketProperties = {
  time: {
    type: "string",
    description: "of a bucket, where it begins, in UTC; it may be before from, and then it is partial",
  },
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
  seconds: {
    type: ["number", "null"],
    description:
      "from where the bucket begins to where it ends: another on days with 23 or 25 hours; null for a time that no date reaches, which is a bucket of its own",
  },
  partial: {
    type: "boolean",
    description: "true: from or to lies within the bucket, so that only a part of its readings is in it",
  },
  local: {
    type: "string",
    description: "only with timezone: where the bucket begins by the clock on the wall, with its offset",
  },
} as const
