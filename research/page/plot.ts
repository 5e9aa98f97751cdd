/** What a chart draws, made of rows of the API: pure, so that every shape of data can be tried without a browser. */

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

export interface Span {
  readonly from: number
  readonly to: number
}

/** A stretch in which a metric was said in words, such as "High". */
export interface Words extends Span {
  readonly text: string
  readonly count: number
}

export interface Plot {
  /** Seconds of a bucket, or null where each point is a reading as it was signed. */
  readonly bucketSeconds: number | null
  readonly points: readonly Point[]
  /** As uPlot takes it: times, low, high, middle, in step; nulls break the line. */
  readonly columns: readonly [number[], (number | null)[], (number | null)[], (number | null)[]]
  /** The place in `points` of each place in `columns`; -1 for a break. */
  readonly places: readonly number[]
  readonly gaps: readonly Span[]
  readonly late: readonly Span[]
  readonly words: readonly Words[]
  readonly readings: number
  /** Of a waveform: each point is the lowest or the highest sample of a pixel. */
  readonly isThinned: boolean
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

/**
 * @param points in order of time
 * @param bucketSeconds null for readings as they were signed
 */
export function makePlot(
  points: readonly Point[],
  bucketSeconds: number | null,
  words: readonly Words[] = [],
): Plot {
  const stepMax = bucketSeconds === null ? longestStep(points) : bucketSeconds * 1.5
  const columns: [number[], (number | null)[], (number | null)[], (number | null)[]] = [[], [], [], []]
  const places: number[] = []
  const gaps: Span[] = []
  const late: Span[] = []
  const width = bucketSeconds ?? 0
  let readings = 0
  points.forEach((point, place) => {
    const before = points[place - 1]
    // A bucket is drawn at its middle.
    const time = point.time + width / 2
    if (before !== undefined && point.time - before.time > stepMax) {
      gaps.push(...silences({ from: before.time + width, to: point.time }, words, stepMax))
      columns[0].push((before.time + width / 2 + time) / 2)
      for (const column of [columns[1], columns[2], columns[3]]) column.push(null)
      places.push(-1)
    }
    columns[0].push(time)
    columns[1].push(bucketSeconds === null ? null : point.low)
    columns[2].push(bucketSeconds === null ? null : point.high)
    columns[3].push(point.middle)
    places.push(place)
    readings += point.count
    if (point.late > 0) addSpan(late, { from: point.time, to: point.time + width }, stepMax)
  })
  return { bucketSeconds, points, columns, places, gaps, late, words, readings, isThinned: false }
}

/** What of a gap in the numbers nothing was said in, not even in words. */
function silences({ from, to }: Span, words: readonly Words[], stepMax: number): Span[] {
  const found: Span[] = []
  let at = from
  for (const said of words) {
    if (said.to <= from || said.from >= to) continue
    if (said.from - at > stepMax) found.push({ from: at, to: said.from })
    at = Math.max(at, said.to)
  }
  if (to - at > stepMax || at === from) found.push({ from: at, to })
  return found
}

/** The same text again and again is one stretch, while it comes at its usual step. */
export function joinWords(texts: readonly { readonly time: number; readonly text: string }[]): Words[] {
  const steps = texts.slice(1).map(({ time }, place) => time - texts[place]!.time)
  const usual = steps.filter((step) => step > 0).toSorted((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0
  const joined: Words[] = []
  for (const { time, text } of texts) {
    const last = joined.at(-1)
    if (last?.text === text && time - last.to <= usual * 8)
      joined[joined.length - 1] = { ...last, to: time, count: last.count + 1 }
    else joined.push({ from: time, to: time, text, count: 1 })
  }
  return joined
}

/**
 * A step longer than this is a gap: eight times the usual one. Devices of today pause for a beat or two without having
 * lost anything, and a silence that matters is much longer than their step.
 */
function longestStep(points: readonly Point[]): number {
  if (points.length < 3) return Number.POSITIVE_INFINITY
  const steps: number[] = []
  // Some thousand steps say what the usual one is.
  const stride = Math.max(1, Math.floor(points.length / 2000))
  for (let place = stride; place < points.length; place += stride) {
    const step = points[place]!.time - points[place - 1]!.time
    if (step > 0) steps.push(step)
  }
  if (steps.length === 0) return Number.POSITIVE_INFINITY
  steps.sort((a, b) => a - b)
  return 8 * steps[Math.floor(steps.length / 2)]!
}

function addSpan(spans: Span[], span: Span, joinedWithin: number): void {
  const last = spans.at(-1)
  if (last !== undefined && span.from - last.to <= joinedWithin)
    spans[spans.length - 1] = { from: last.from, to: span.to }
  else spans.push(span)
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

/** How a range of time is zoomed about a point in it, and never below a hundredth of a second. */
export function zoomSpan({ from, to }: Span, factor: number, about: number): Span {
  const size = Math.max((to - from) * factor, 0.01)
  const share = to === from ? 0.5 : (about - from) / (to - from)
  return { from: about - size * share, to: about + size * (1 - share) }
}
