/** What a chart draws, made of rows of the API: pure, so that every shape of data can be tried without a browser. */
import { gapAfter } from "../gap.ts"
import type { Silence } from "./silence.ts"
import type { Span } from "./span.ts"

/** A reading on the chart; of a bucket, its lowest, highest and mean. */
export interface Point {
  /** Unix seconds by the device's clock; of a bucket, its start. */
  readonly time: number
  readonly low: number
  readonly high: number
  readonly middle: number
  /** Readings in it: 1 for a raw one. */
  readonly count: number
  /** How many of them came late. */
  readonly late: number
  /** Whether the device's clock was ahead of the service's. */
  readonly ahead: boolean
  /** Of a raw reading: the statement that says it. */
  readonly entry: string | null
  readonly arrived: number | null
  readonly block: number | null
}

/** A stretch in which a metric was said in words, such as "High". */
export interface Words extends Span {
  readonly text: string
  readonly count: number
}

/** What was found in a range. */
export interface Found {
  /** Seconds of a bucket, or null where each point is a reading as it was signed. */
  readonly bucketSeconds: number | null
  /** In order of time. */
  readonly points: readonly Point[]
  readonly words: readonly Words[]
  readonly readings: number
  /** Of a waveform: each point is the lowest or the highest sample of a pixel. */
  readonly isThinned: boolean
}

export interface Plot extends Found {
  /** As uPlot takes it: times, low, high, middle, in step; nulls break the line. */
  readonly columns: readonly [number[], (number | null)[], (number | null)[], (number | null)[]]
  /** The place in `points` of each place in `columns`; -1 for a break. */
  readonly places: readonly number[]
  /** Null: not known (yet). */
  readonly silence: Silence | null
  /** Stretches that came late, and those that came by an import. */
  readonly late: readonly Span[]
  readonly imported: readonly Span[]
}

/** Steps that people count in. */
export const bucketSteps: readonly { readonly seconds: number; readonly text: string }[] = [
  { seconds: 1, text: "1s" },
  { seconds: 5, text: "5s" },
  { seconds: 15, text: "15s" },
  { seconds: 60, text: "1m" },
  { seconds: 300, text: "5m" },
  { seconds: 900, text: "15m" },
  { seconds: 3600, text: "1h" },
  { seconds: 6 * 3600, text: "6h" },
  { seconds: 86_400, text: "1d" },
  { seconds: 7 * 86_400, text: "7d" },
]

/** The finest step that gives at most this many buckets over the range. */
export function chooseBucket(rangeSeconds: number, bucketsMax: number): { seconds: number; text: string } {
  return bucketSteps.find(({ seconds }) => rangeSeconds / seconds <= bucketsMax) ?? bucketSteps.at(-1)!
}

export function foundOf(
  points: readonly Point[],
  bucketSeconds: number | null,
  words: readonly Words[] = [],
): Found {
  const readings = points.reduce((sum, { count }) => sum + count, 0)
  return { bucketSeconds, points, words, readings, isThinned: false }
}

/**
 * A line breaks where coverage tells of a gap, at every zoom, and nowhere else. Where a metric has no rhythm, nothing
 * says that two readings belong together: each is a point.
 */
export function makePlot(found: Found, silence: Silence | null): Plot {
  const { points, bucketSeconds } = found
  const columns: [number[], (number | null)[], (number | null)[], (number | null)[]] = [[], [], [], []]
  const places: number[] = []
  const late: Span[] = []
  const imported: Span[] = []
  const width = bucketSeconds ?? 0
  const gaps = silence?.gaps ?? []
  const isScattered = silence !== null && silence.rhythmSeconds === null
  const importedDays = silence?.imported ?? []
  let gap = 0
  let day = 0
  let kindBefore: Span[] | null = null
  points.forEach((point, place) => {
    const before = points[place - 1]
    // A bucket is drawn at its middle.
    const time = point.time + width / 2
    let isBroken = false
    if (before !== undefined) {
      // A gap ends with the reading after it, so what overlaps the stretch between two points breaks their line.
      while (gap < gaps.length && gaps[gap]!.to <= before.time + width) gap += 1
      isBroken = isScattered || (gap < gaps.length && gaps[gap]!.from < point.time)
    }
    if (isBroken) {
      columns[0].push((before!.time + width / 2 + time) / 2)
      for (const column of [columns[1], columns[2], columns[3]]) column.push(null)
      places.push(-1)
    }
    columns[0].push(time)
    columns[1].push(bucketSeconds === null ? null : point.low)
    columns[2].push(bucketSeconds === null ? null : point.high)
    columns[3].push(point.middle)
    places.push(place)
    while (day < importedDays.length && importedDays[day]!.to <= point.time) day += 1
    const isImported = day < importedDays.length && importedDays[day]!.from <= point.time
    const kind = isImported ? imported : point.late > 0 ? late : null
    if (kind !== null) {
      const span = { from: point.time, to: point.time + width }
      const last = kind.at(-1)
      if (last !== undefined && kindBefore === kind && !isBroken)
        kind[kind.length - 1] = { from: last.from, to: span.to }
      else kind.push(span)
    }
    kindBefore = kind
  })
  return { ...found, columns, places, silence, late, imported }
}

/**
 * The same text again and again is one stretch.
 *
 * @param isOverGaps also where it paused for longer than its rhythm allows: notes have none
 */
export function joinWords(
  texts: readonly { readonly time: number; readonly text: string }[],
  isOverGaps = false,
): Words[] {
  const steps = texts
    .slice(1)
    .map(({ time }, place) => time - texts[place]!.time)
    .filter((step) => step > 0)
    .toSorted((a, b) => a - b)
  const longest = isOverGaps ? Infinity : gapAfter(steps[Math.floor(steps.length / 2)] ?? 0)
  const joined: Words[] = []
  for (const { time, text } of texts) {
    const last = joined.at(-1)
    if (last?.text === text && time - last.to <= longest)
      joined[joined.length - 1] = { ...last, to: time, count: last.count + 1 }
    else joined.push({ from: time, to: time, text, count: 1 })
  }
  return joined
}

/** A range of values, and what of the points lies outside it. */
export interface Scale {
  readonly low: number
  readonly high: number
  /** How many points lie below or above it. */
  readonly outside: number
  /** The lowest and the highest value there is. */
  readonly lowest: number
  readonly highest: number
}

/** So few of the points may lie outside an axis. */
const outsideShareMax = 0.05

/**
 * The range that an axis shows, or null where there are no points. A few values far from the rest (three times the
 * spread of the middle half) would press everything else flat: where the axis without them is less than half as long,
 * they lie outside it, and are counted.
 */
export function scaleOf({ points }: Pick<Found, "points">): Scale | null {
  if (points.length === 0) return null
  const values = points.flatMap(({ low, middle, high }) => (low === high ? [low] : [low, middle, high]))
  values.sort((a, b) => a - b)
  const lowest = values[0]!
  const highest = values.at(-1)!
  const whole = { low: lowest, high: highest, outside: 0, lowest, highest }
  const at = (share: number): number => values[Math.round((values.length - 1) * share)]!
  const spread = at(0.75) - at(0.25)
  if (spread === 0) return whole
  const fence = { low: at(0.25) - 3 * spread, high: at(0.75) + 3 * spread }
  const inside = values.filter((value) => value >= fence.low && value <= fence.high)
  const low = inside[0]!
  const high = inside.at(-1)!
  const isFew = values.length - inside.length <= values.length * outsideShareMax
  if (!isFew || (high - low) * 2 > highest - lowest) return whole
  const outside = points.filter((point) => point.low < low || point.high > high).length
  return { low, high, outside, lowest, highest }
}

/** The place in `times`, which are in order, that is nearest to `time`; -1 where there are none. */
export function nearestPlace(times: readonly number[], time: number): number {
  if (times.length === 0) return -1
  let low = 0
  let high = times.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (times[middle]! < time) low = middle + 1
    else high = middle
  }
  return low > 0 && time - times[low - 1]! < times[low]! - time ? low - 1 : low
}
