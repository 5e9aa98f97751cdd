import { assert, constantFrom, double, property } from "fast-check"
import { describe, expect, it, test } from "vitest"
import { makeGrid } from "../../research/bucket-grid.ts"
import { bucketsOf, describeBucket } from "../../research/bucket.ts"
import { daysOf } from "../../research/days.ts"
import { runsByTime } from "../../research/run.ts"
import { Zone, formatOffset } from "../../research/zone.ts"
import { makeSeries } from "./stored.ts"

const at = (iso: string): number => Date.parse(iso) / 1000
const zoneOf = (name: string): Zone => Zone.find(name)!
const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(0, 16)

/** Each with a change of its clock in the days around the instant. */
const changes = [
  ["Europe/Berlin", "2026-03-29T01:00Z"],
  ["Europe/Berlin", "2026-10-25T01:00Z"],
  ["America/New_York", "2025-11-02T06:00Z"],
  // Half an hour.
  ["Australia/Lord_Howe", "2026-04-04T15:00Z"],
  ["Australia/Lord_Howe", "2026-10-03T15:30Z"],
  // At midnight, so that 00:00 is skipped or comes twice.
  ["America/Havana", "2025-03-09T05:00Z"],
  ["America/Havana", "2025-11-02T05:00Z"],
  // From 24:00 back to 23:00.
  ["America/Santiago", "2025-04-06T03:00Z"],
  // At 00:01, back into the day before.
  ["America/St_Johns", "2006-10-29T02:31Z"],
  // Two hours.
  ["Antarctica/Troll", "2026-03-29T01:00Z"],
  ["Antarctica/Troll", "2026-10-25T01:00Z"],
  // 30 December 2011 does not exist.
  ["Pacific/Apia", "2011-12-30T10:00Z"],
  // Off for Ramadan, and never a whole hour of offset.
  ["Africa/Casablanca", "2026-02-15T02:00Z"],
  ["Asia/Kathmandu", "2026-03-29T01:00Z"],
] as const

const minute = 60
const widths = [1, 5, 15, 30, 45, 60, 120, 360, 420, 720, 1_440, 2_880, 10_080].map((count) => count * minute)

/** Minutes since 1970 on the wall, by the calendar's own parts. */
function wallReader(name: string): (seconds: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: name,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  })
  return (seconds) => {
    const parts = Object.fromEntries(
      format.formatToParts(seconds * 1000).map(({ type, value }) => [type, Number(value)]),
    )
    const { year, month, day, hour, minute: minutes, second } = parts as Record<string, number>
    return Date.UTC(year!, month! - 1, day, hour, minutes, second) / 1000
  }
}

/** The rule, minute by minute: a bucket ends where the wall shows the next one, or is put back by a whole width. */
function beginningsByMinute(walls: readonly number[], width: number): number[] {
  const beginnings: number[] = []
  let reached = walls[0]!
  for (let place = 1; place < walls.length; place++) {
    const wall = walls[place]!
    const index = Math.floor(reached / width)
    const putBack = walls[place - 1]! + minute - wall
    const isPutBackFar = putBack > 0 && putBack >= width
    reached = isPutBackFar ? wall : Math.max(reached, wall)
    if (isPutBackFar || Math.floor(reached / width) !== index) beginnings.push(place)
  }
  return beginnings
}

function hoursOfDays(name: string, from: string, to: string) {
  const { names, boundaries } = daysOf({ from: at(from), to: at(to), zone: zoneOf(name), now: 0 })
  return names.map((day, index) => [day, (boundaries[index + 1]! - boundaries[index]!) / 3_600])
}

describe("buckets by the clock on the wall", () => {
  test.each(changes)("%s around %s: every width begins where a person would begin it", (name, instant) => {
    const zone = zoneOf(name)
    const [from, to] = [at(instant) - 2 * 86_400, at(instant) + 2 * 86_400]
    const wallAt = wallReader(name)
    const walls = Array.from({ length: (to - from) / minute }, (_, place) => wallAt(from + place * minute))
    for (const width of widths) {
      const grid = makeGrid(width, zone)
      const found: number[] = []
      for (let time = grid.stretchOf(from).endsAt; time < to; time = grid.stretchOf(time).endsAt)
        found.push(time)
      expect({ width, beginnings: found.map(iso) }).toEqual({
        width,
        beginnings: beginningsByMinute(walls, width).map((place) => iso(from + place * minute)),
      })
    }
  })

  it("field Q3: a day has 23 or 25 hours where the clock is changed, and a day that was skipped is none", () => {
    expect(hoursOfDays("Europe/Berlin", "2026-03-28T23:00Z", "2026-03-30T22:00Z")).toEqual([
      ["2026-03-29", 23],
      ["2026-03-30", 24],
    ])
    expect(hoursOfDays("Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T23:00Z")).toEqual([
      ["2026-10-25", 25],
    ])
    expect(hoursOfDays("America/New_York", "2025-11-02T04:00Z", "2025-11-03T05:00Z")).toEqual([
      ["2025-11-02", 25],
    ])
    expect(hoursOfDays("Australia/Lord_Howe", "2026-04-04T13:00Z", "2026-04-05T13:30Z")).toEqual([
      ["2026-04-05", 24.5],
    ])
    expect(hoursOfDays("America/Havana", "2025-11-02T04:00Z", "2025-11-03T05:00Z")).toEqual([
      ["2025-11-02", 25],
    ])
    expect(hoursOfDays("America/Havana", "2025-03-09T05:00Z", "2025-03-10T04:00Z")).toEqual([
      ["2025-03-09", 23],
    ])
    expect(hoursOfDays("Pacific/Apia", "2011-12-29T10:00Z", "2011-12-31T10:00Z")).toEqual([
      ["2011-12-29", 24],
      ["2011-12-31", 24],
    ])
  })

  it("every instant is in the bucket that is given for it, and the next bucket begins where it ends", () => {
    const grids = changes.flatMap(([name]) => widths.map((width) => makeGrid(width, zoneOf(name))))
    assert(
      property(
        constantFrom(...grids, ...widths.map((width) => makeGrid(width, null))),
        double({ noNaN: true, noDefaultInfinity: true, min: 0, max: 5e9 }),
        (grid, time) => {
          const { startsAt, endsAt } = grid.stretchOf(time)
          expect(startsAt <= time && time < endsAt).toBe(true)
          expect(grid.stretchOf(endsAt).startsAt).toBe(endsAt)
          expect(grid.stretchOf(startsAt)).toEqual({ startsAt, endsAt })
        },
      ),
    )
  })

  it("an offset is written as a time's offset is, with seconds where a zone had its own mean time", () => {
    expect([0, 19_800, -12_600, 3_208].map(formatOffset)).toEqual(["+00:00", "+05:30", "-03:30", "+00:53:28"])
  })

  it("an offset, a wrong name and nothing are no zone", () => {
    expect(["+05:30", "Berlin", "", "GMT+1", "Europe/Berlin'"].map((name) => Zone.find(name))).toEqual(
      Array(5).fill(null),
    )
  })
})

describe("times that no date reaches", () => {
  it.each([null, zoneOf("Europe/Berlin")])("field S1: a grid of any width moves on at any time", (zone) => {
    for (const width of [1, 60, 86_400, 366 * 86_400]) {
      const grid = makeGrid(width, zone)
      for (const time of [8.64e12 - 1, 8.64e12, 2 ** 53 - 1, 2 ** 53, 1e16, 1e300, Number.MAX_VALUE / 2]) {
        const { startsAt, endsAt } = grid.stretchOf(time)
        expect(startsAt <= time && time < endsAt).toBe(true)
      }
    }
  })

  it("field S1: each is a bucket of its own, labelled by its seconds, between buckets of common times", async () => {
    const series = makeSeries({ metric: "heart-rate", unit: "beat/min", values: [60, 61, 62, 63, 64] })
    const times = Float64Array.of(1_769_860_800, 1_769_860_801, 1e16, 1e16, 1e300)
    const run = { series: { ...series, times, endsAt: 1e300 }, order: null, from: 0, to: 5 }
    const rows = []
    const options = { window: { fromSeconds: null, toSeconds: null }, liveWithinSeconds: 900 }
    for await (const group of bucketsOf(asList([run]), { ...options, widthSeconds: 60, zone: null }))
      rows.push(...group.map(describeBucket))
    expect(rows.map(({ time, count, seconds }) => [time, count, seconds])).toEqual([
      ["2026-01-31T12:00:00.000Z", 2, 60],
      ["10000000000000000", 2, null],
      ["1e+300", 1, null],
    ])
  })
})

test("field S1: a long answer of short runs lets others have their turn", async () => {
  // Two packs over one another, reading by reading: 200,000 runs without anything to wait for.
  const values = Array.from({ length: 100_000 }, () => 60)
  const one = makeSeries({ metric: "heart-rate", unit: "beat/min", values })
  const other = { ...one, statement: 8, times: one.times.map((time) => time + 30) }
  let turns = 0
  let isOver = false
  const others = (): void => {
    turns += 1
    if (!isOver) setImmediate(others)
  }
  setImmediate(others)
  const window = { fromSeconds: null, toSeconds: null }
  let count = 0
  for await (const run of runsByTime(asList([one, other]), window, null)) count += run.to - run.from
  isOver = true
  expect(count).toBe(200_000)
  expect(turns).toBeGreaterThan(2)
})

async function* asList<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}
