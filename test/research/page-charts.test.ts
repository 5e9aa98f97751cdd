import { expect, test } from "vitest"
import { type Point, foundOf, joinWords, makePlot, scaleOf } from "../../research/page/plot.ts"
import { formatRoute, parseRoute } from "../../research/page/route.ts"
import {
  type Coverage,
  type Gap,
  type MetricDay,
  describeDays,
  describeSilence,
  gapsWithin,
  refineSilence,
  silencesOf,
  stretchesOf,
} from "../../research/page/silence.ts"

/** 2020-06-02T00:00:00Z, a midnight. */
const start = 1_591_056_000
const day = 86_400
const hour = 3_600
const rhythm = 900

const pointAt = (time: number, value = 100, late = 0): Point => ({
  time,
  low: value,
  high: value,
  middle: value,
  count: 1,
  late,
  ahead: false,
  entry: "00",
  arrived: null,
  block: 0,
})

const every = (seconds: number, from: number, to: number, late = 0): Point[] =>
  Array.from({ length: Math.ceil((to - from) / seconds) }, (_, at) => pointAt(from + at * seconds, 100, late))

/** An answer of `/v1/coverage` with these gaps, cut at midnight as the service cuts them. */
function coverageOf(gaps: readonly Gap[], days: number, { late = 0, listed = 50 } = {}): Coverage {
  const covered = Array.from({ length: days }, (_, at): MetricDay => {
    const [from, to] = [start + at * day, start + (at + 1) * day]
    const own = gaps.flatMap((gap) =>
      gap.to > from && gap.from < to
        ? [{ ...gap, from: Math.max(from, gap.from), to: Math.min(to, gap.to) }]
        : [],
    )
    const missing = own.reduce((sum, gap) => sum + gap.to - gap.from, 0)
    const readings = Math.round((day - missing) / rhythm)
    return {
      readings,
      late: Math.min(readings, late),
      missingSeconds: {},
      parts: [],
      causes: [],
      gaps: own.slice(0, listed),
      gapsTotal: own.length,
    }
  })
  return {
    days: covered.map((_, at) => String(at)),
    boundaries: Array.from({ length: days + 1 }, (_, at) => start + at * day),
    metrics: [
      {
        metric: "glucose",
        firstAt: start,
        lastAt: start + days * day - rhythm,
        rhythmSeconds: rhythm,
        days: covered,
      },
    ],
  }
}

const silent = { from: start + 28 * day + hour, to: start + 50 * day, cause: "never-sent" }
/** Gaps of half an hour, too short for eight rhythms. */
const short = Array.from({ length: 27 }, (_, at) => ({
  from: start + at * day + 5 * hour,
  to: start + at * day + 5 * hour + 1_800,
  cause: "never-sent",
}))
const seventyDays = silencesOf([coverageOf([...short, silent], 70)], start + 70 * day).get("glucose")!

test("field Q5: 70 days show the 28 gaps that coverage tells of, each once, also where midnights cut it", () => {
  expect(gapsWithin(seventyDays, { from: start, to: start + 70 * day })).toEqual([...short, silent])
  expect(describeSilence(seventyDays, null, { from: start, to: start + 70 * day }, true)).toEqual([
    "28 gaps, the longest 22 days.",
  ])
})

test("field Q5: a range inside a gap of 22 days says why nothing is there, and never that nothing is known", () => {
  const range = { from: silent.from + day, to: silent.from + 2 * day }
  expect(gapsWithin(seventyDays, range)).toEqual([silent])
  expect(describeSilence(seventyDays, null, range, false)).toEqual([
    "This range lies in a gap of 22 days, from 2020-06-30 01:00:00: never sent: later readings came.",
  ])
})

test("field Q5: the line breaks at the gaps of coverage and nowhere else, as readings and as buckets", () => {
  const points = [
    ...every(rhythm, start, start + 5 * hour),
    ...every(rhythm, start + 5 * hour + 1_800, start + day),
  ]
  const raw = makePlot(foundOf(points, null), seventyDays)
  expect(raw.places.filter((place) => place === -1)).toHaveLength(1)
  expect(raw.columns[3].length).toBe(points.length + 1)
  const hours = every(hour, start + 27 * day, start + 28 * day + hour)
  const later = every(hour, start + 50 * day, start + 51 * day)
  const buckets = makePlot(foundOf([...hours, ...later], hour), seventyDays)
  expect(buckets.places.indexOf(-1)).toBe(hours.length)
  expect(buckets.places.filter((place) => place === -1)).toHaveLength(1)
  // Before coverage is known no gap is invented.
  expect(makePlot(foundOf(points, null), null).places).not.toContain(-1)
})

test("field Q5: windows of coverage that follow one another give one gap, and a silence that goes on reaches to now", () => {
  const whole = coverageOf([silent], 70)
  const [one] = whole.metrics
  const part = (from: number, to: number): Coverage => ({
    days: whole.days.slice(from, to),
    boundaries: whole.boundaries.slice(from, to + 1),
    metrics: [{ ...one!, days: one!.days.slice(from, to) }],
  })
  expect(silencesOf([part(0, 40), part(40, 70)], start + 70 * day).get("glucose")!.gaps).toEqual([silent])
  const open = { from: start + day, to: start + 2 * day, cause: "not-yet" }
  const stopped = silencesOf([coverageOf([open], 2)], start + 9 * day).get("glucose")!
  expect(stopped.gaps).toEqual([{ ...open, to: start + 9 * day }])
})

test("field Q5: before the answers begin no gap is known, which is said, and no stretch reaches into it", () => {
  const whole = coverageOf([{ from: start, to: start + 5 * day, cause: "never-sent" }], 10)
  const [metric] = whole.metrics
  const firstAt = start - 9_000 * day
  const late = silencesOf([{ ...whole, metrics: [{ ...metric!, firstAt }] }], start + 10 * day).get(
    "glucose",
  )!
  const told = (from: number) => describeSilence(late, null, { from, to: start + 10 * day }, true)
  expect(told(firstAt)).toEqual(["One gap, of 5 days.", "Gaps before 2020-06-02 00:00:00 are not looked up."])
  expect(told(start)).toEqual(["One gap, of 5 days."])
  expect(stretchesOf([late])).toEqual([
    { from: firstAt, to: firstAt },
    { from: start + 5 * day, to: metric!.lastAt },
  ])
  // Where readings go on into the answers, they are one stretch.
  const dense = coverageOf([], 10)
  const going = silencesOf([{ ...dense, metrics: [{ ...dense.metrics[0]!, firstAt }] }], start).get(
    "glucose",
  )!
  expect(stretchesOf([going])).toEqual([{ from: firstAt, to: metric!.lastAt }])
})

test("field Q12: days of a metric without a rhythm are not said to be whole", () => {
  const [found] = coverageOf([], 2).metrics
  expect(describeDays(found!)).toBe("nothing is missing")
  expect(describeDays({ ...found!, rhythmSeconds: null })).toBe("it has no rhythm to tell gaps by")
})

test("days with more gaps than were listed say so, and show all of them once they are looked at closely", () => {
  const many = Array.from({ length: 40 }, (_, at) => ({
    from: start + day + at * 2_000,
    to: start + day + at * 2_000 + 1_800,
    cause: "never-sent",
  }))
  const rough = silencesOf([coverageOf([...many, silent], 70, { listed: 5 })], start).get("glucose")!
  expect(rough.unlisted).toBe(35)
  const fine = silencesOf([coverageOf([...many, silent], 3)], start).get("glucose")!
  const refined = refineSilence(rough, fine, { from: start, to: start + 3 * day })
  expect(refined).toMatchObject({ unlisted: 0, gaps: [...many, silent] })
})

test("without a rhythm nothing joins two readings, and no gap is told", () => {
  const coverage = coverageOf([], 2)
  const scattered = { ...coverage, metrics: [{ ...coverage.metrics[0]!, rhythmSeconds: null }] }
  const silence = silencesOf([scattered], start).get("glucose")!
  const plot = makePlot(foundOf([pointAt(start), pointAt(start + 60), pointAt(start + day)], null), silence)
  expect(plot.places).toEqual([0, -1, 1, -1, 2])
  expect(describeSilence(silence, null, { from: start, to: start + day }, true)).toEqual([
    "It has no rhythm to tell gaps by.",
  ])
})

test("field Q12: 'No gaps' never stands beside a silence that goes on", () => {
  const open = { from: start + day, to: start + 2 * day, cause: "not-yet" }
  const coverage = coverageOf([open], 2)
  const metrics = [{ ...coverage.metrics[0]!, lastAt: start + day - rhythm }]
  const silence = silencesOf([{ ...coverage, metrics }], start + 3 * day).get("glucose")!
  const said = describeSilence(silence, null, { from: start, to: start + 2 * day }, true)
  expect(said).toEqual(["Nothing has come since 2020-06-02 23:45:00."])
  expect(describeSilence(silence, null, { from: start, to: start + hour }, true)).toEqual(["No gaps."])
})

test("what is not known of gaps is said, with why", () => {
  const range = { from: start, to: start + day }
  expect(describeSilence(null, "Too much at a time.", range, true)).toEqual([
    "Gaps are not known: Too much at a time.",
  ])
  expect(describeSilence(null, null, range, true)).toEqual([])
})

test("field Q12: a historical import is marked as one, and not as late", () => {
  const points = every(rhythm, start, start + 2 * day, 1)
  const imported = silencesOf([coverageOf([], 2, { late: Infinity })], start).get("glucose")!
  expect(imported).toMatchObject({ isImport: true, imported: [{ from: start, to: start + 2 * day }] })
  const plot = makePlot(foundOf(points, null), imported)
  expect(plot.late).toEqual([])
  expect(plot.imported).toEqual([{ from: start, to: start + 2 * day - rhythm }])
})

test("a reading that came late on a day that was not imported is late", () => {
  const points = every(rhythm, start, start + day).map((point, at) =>
    at === 3 ? { ...point, late: 1 } : point,
  )
  const live = silencesOf([coverageOf([], 1, { late: 1 })], start).get("glucose")!
  expect(live).toMatchObject({ isImport: false, imported: [] })
  expect(makePlot(foundOf(points, null), live)).toMatchObject({
    late: [{ from: start + 3 * rhythm, to: start + 3 * rhythm }],
    imported: [],
  })
})

test("field Q12: one value of -1 does not flatten an axis, and is counted as outside it", () => {
  const heart = Array.from({ length: 200 }, (_, at) => pointAt(start + at, 60 + (at % 20)))
  const points = [...heart, pointAt(start + 200, -1)]
  expect(scaleOf({ points })).toEqual({ low: 60, high: 79, outside: 1, lowest: -1, highest: 79 })
})

test.each([
  [
    "a quarter of all values",
    [...Array(30).fill(-1), ...Array.from({ length: 90 }, (_, at) => 60 + (at % 20))],
    -1,
  ],
  [
    "a peak that is not far from the rest",
    [...Array.from({ length: 90 }, (_, at) => 60 + (at % 20)), 95],
    60,
  ],
  ["a flat line but for one value", [...Array(50).fill(5), 9], 5],
  ["one value", [7], 7],
])("an axis leaves out nothing of %s", (_, values, low) => {
  const points = (values as number[]).map((value, at) => pointAt(start + at, value))
  expect(scaleOf({ points })).toMatchObject({ low, outside: 0, high: Math.max(...(values as number[])) })
  expect(scaleOf({ points: [] })).toBeNull()
})

test("stretches with readings are what lies between long silences", () => {
  const stretches = stretchesOf([seventyDays])
  expect(stretches).toEqual([
    { from: start, to: silent.from - rhythm },
    { from: silent.to, to: start + 70 * day - rhythm },
  ])
})

test("the same words again are one stretch while they come at their rhythm; notes have none", () => {
  const texts = [0, 60, 120, 1_000].map((at) => ({ time: start + at, text: "High" }))
  expect(joinWords(texts).map(({ count }) => count)).toEqual([3, 1])
  expect(joinWords(texts, true).map(({ count }) => count)).toEqual([4])
})

test.each([
  "#/",
  "#/?search=heart+rate",
  "#/?search=k7&sort=id&order=asc",
  "#/devices/k7",
  "#/devices/k7?from=1&to=2.5&unsealed=true",
  "#/blocks",
  "#/blocks?count=336",
  "#/blocks/7",
  "#/verify/k7?from=0&to=3",
])("field Q12: the address %s is what its view writes again", (address) => {
  expect(formatRoute(parseRoute(address))).toBe(address)
})
