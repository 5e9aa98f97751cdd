import { expect, test } from "vitest"
import { type Days, type Remark, type Run, coverMetric, gapsDefault } from "../../research/coverage.ts"
import { gapAfter } from "../../research/gap.ts"

/** 2026-01-31T00:00:00Z. */
const midnight = 1_769_817_600
const day = 86_400
const hour = 3_600

const days = (count: number, now = midnight + count * day): Days => ({
  names: Array.from({ length: count }, (_, at) =>
    new Date((midnight + at * day) * 1000).toISOString().slice(0, 10),
  ),
  boundaries: Array.from({ length: count + 1 }, (_, at) => midnight + at * day),
  now,
})

/** Readings a minute from `from` to `to` seconds after midnight. */
const minutes = (from: number, to: number, late = 0): Run => ({
  startsAt: midnight + from,
  endsAt: midnight + to,
  readings: (to - from) / 60 + 1,
  late,
  unsealed: 0,
  periodMs: null,
})

const facts = {
  metric: "heart-rate",
  rhythmSeconds: 60,
  firstAt: midnight - day,
  lastAt: midnight + 10 * day,
}

const lost = (from: number, to: number, reason: "not-worn" | "buffer-overflow" = "not-worn"): Remark => ({
  kind: "lost",
  seq: 7,
  reason,
  count: null,
  from: midnight + from,
  to: midnight + to,
})

async function gapsOf(runs: readonly Run[], remarks: readonly Remark[] = [], more = {}) {
  const { days: covered } = await coverMetric({ ...facts, ...more }, runs, days(1), remarks)
  return covered[0]!.gaps.map(({ from, to, cause }) => [from - midnight, to - midnight, cause])
}

test("a rhythm of a second bears a pause of six, one of five minutes not the loss of one reading", () => {
  expect([gapAfter(1), gapAfter(60), gapAfter(300)]).toEqual([6, 108, 540])
})

test("a day that is measured every minute has no gap", async () => {
  const { days: covered } = await coverMetric(facts, [minutes(0, day - 60)], days(1), [])
  expect(covered[0]).toMatchObject({ readings: 1440, late: 0, gapsTotal: 0, missingSeconds: {} })
  expect(covered[0]!.parts).toEqual(Array.from({ length: 24 }, () => 1))
})

test("what lies between a reading's rhythm and the next reading is missing, and never sent where nothing says otherwise", async () => {
  expect(await gapsOf([minutes(0, 6 * hour), minutes(9 * hour, day - 60)])).toEqual([
    [6 * hour + 60, 9 * hour, "never-sent"],
  ])
})

test("one missing reading is a gap of one rhythm", async () => {
  expect(await gapsOf([minutes(0, hour), minutes(hour + 120, day - 60)])).toEqual([
    [hour + 60, hour + 120, "never-sent"],
  ])
})

test("series that overlap, or lie within one another, leave no gap", async () => {
  expect(
    await gapsOf([
      minutes(0, 12 * hour),
      minutes(hour, 2 * hour),
      minutes(11 * hour, 20 * hour),
      minutes(20 * hour, day - 60),
    ]),
  ).toEqual([])
})

test("what a device declares lost is cut out of the gap, with its reason, and the rest stays never sent", async () => {
  expect(await gapsOf([minutes(0, hour), minutes(10 * hour, day - 60)], [lost(2 * hour, 4 * hour)])).toEqual([
    [hour + 60, 2 * hour, "never-sent"],
    [2 * hour, 4 * hour + 60, "lost-not-worn"],
    [4 * hour + 60, 10 * hour, "never-sent"],
  ])
})

test("losses that overlap are told once, the earlier first", async () => {
  const remarks = [lost(3 * hour, 5 * hour, "buffer-overflow"), lost(hour, 4 * hour)]
  expect(await gapsOf([minutes(0, hour), minutes(5 * hour, day - 60)], remarks)).toEqual([
    [hour + 60, 4 * hour + 60, "lost-not-worn"],
    [4 * hour + 60, 5 * hour, "lost-buffer-overflow"],
  ])
})

test("a loss where nothing is missing makes no gap", async () => {
  expect(await gapsOf([minutes(0, day - 60)], [lost(hour, 2 * hour)])).toEqual([])
})

test("a statement of that time that could not be read, or was ahead, is the cause before never sent", async () => {
  const runs = [minutes(0, hour), minutes(5 * hour, day - 60)]
  const at = midnight + 2 * hour
  const unread: Remark = { kind: "unread", seq: 4, rule: "a rule", at, arrivedAt: at }
  const ahead: Remark = { kind: "ahead", seq: 5, at: at + 9 * day, arrivedAt: at }
  expect(await gapsOf(runs, [ahead])).toEqual([[hour + 60, 5 * hour, "ahead"]])
  expect(await gapsOf(runs, [ahead, unread])).toEqual([[hour + 60, 5 * hour, "unread"]])
  const elsewhere = { ...unread, at: midnight + 9 * hour, arrivedAt: midnight + 9 * hour }
  expect(await gapsOf(runs, [elsewhere])).toEqual([[hour + 60, 5 * hour, "never-sent"]])
})

test("behind the last reading that ever came nothing is called never sent: it may still come", async () => {
  const runs = [minutes(0, 6 * hour)]
  expect(await gapsOf(runs, [], { lastAt: midnight + 6 * hour })).toEqual([[6 * hour + 60, day, "not-yet"]])
  expect(await gapsOf(runs)).toEqual([[6 * hour + 60, day, "never-sent"]])
})

test("before the first reading ever, and behind now, nothing is missing", async () => {
  const begun = { ...facts, firstAt: midnight + 6 * hour, lastAt: midnight + 12 * hour }
  const { days: covered } = await coverMetric(
    begun,
    [minutes(6 * hour, 12 * hour)],
    days(1, midnight + 12 * hour),
    [],
  )
  expect(covered[0]!.gaps).toEqual([])
  const parts = covered[0]!.parts
  expect([parts[5], parts[6], parts[11], parts[12], parts[23]]).toEqual([null, 1, 1, null, null])
})

test("a window in the middle of nothing is missing as a whole", async () => {
  const { days: covered } = await coverMetric(facts, [], days(2), [])
  expect(covered.map(({ missingSeconds }) => missingSeconds)).toEqual([
    { "never-sent": day },
    { "never-sent": day },
  ])
  expect(covered[1]!.causes.every((cause) => cause === "never-sent")).toBe(true)
})

test("a gap over midnight is told on both days, and the seconds add up", async () => {
  const runs = [minutes(0, 23 * hour), minutes(25 * hour, 2 * day - 60)]
  const { days: covered } = await coverMetric(facts, runs, days(2), [])
  expect(covered.map(({ missingSeconds }) => missingSeconds["never-sent"])).toEqual([hour - 60, hour])
  expect(covered[0]!.parts[23]).toBeCloseTo(60 / hour, 3)
  expect(covered[1]!.parts[0]).toBe(0)
  expect(covered[1]!.causes[0]).toBe("never-sent")
})

test("late readings and those that no block has sealed are counted by day", async () => {
  const runs = [minutes(0, hour, 10), { ...minutes(day, day + hour), unsealed: 61 }]
  const { days: covered } = await coverMetric(facts, runs, days(2), [])
  expect(covered.map(({ readings, late, unsealed }) => [readings, late, unsealed])).toEqual([
    [61, 10, 0],
    [61, 0, 61],
  ])
})

test("a waveform over midnight is counted to the sample on each day, the late ones being its first", async () => {
  const run: Run = {
    startsAt: midnight + day - 10,
    endsAt: midnight + day + 9.996,
    readings: 5_000,
    late: 2_600,
    unsealed: 0,
    periodMs: 4,
  }
  const { days: covered } = await coverMetric({ ...facts, rhythmSeconds: 0.004 }, [run], days(2), [])
  expect(covered.map(({ readings, late }) => [readings, late])).toEqual([
    [2_500, 2_500],
    [2_500, 100],
  ])
})

test("without a rhythm readings are counted and nothing is called missing", async () => {
  const { days: covered } = await coverMetric(
    { ...facts, rhythmSeconds: null },
    [minutes(0, 60)],
    days(1),
    [],
  )
  expect(covered[0]).toMatchObject({ readings: 2, gapsTotal: 0, missingSeconds: {} })
  expect(covered[0]!.parts.every((part) => part === null)).toBe(true)
})

test("a day of hundreds of gaps lists the first of them, and counts all", async () => {
  const runs = Array.from({ length: 240 }, (_, at) => minutes(at * 360, at * 360 + 60))
  const { days: covered } = await coverMetric(facts, runs, days(1), [])
  expect(covered[0]!.gapsTotal).toBe(240)
  expect(covered[0]!.gaps).toHaveLength(gapsDefault)
  expect(covered[0]!.missingSeconds["never-sent"]).toBe(240 * 240)
})

test("field S1: 10,000 remarks and 100,000 gaps are told apart in one pass over both", async () => {
  // A reading every ten seconds, of which every second one is missing; the device explains some.
  const count = 100_000
  const runs = Array.from({ length: count }, (_, at): Run => ({
    ...minutes(0, 0),
    startsAt: midnight + 20 * at,
    endsAt: midnight + 20 * at,
  }))
  const remarks = Array.from({ length: 10_000 }, (_, at): Remark => ({
    ...lost(20 * at + 10, 20 * at + 10),
    seq: at,
  }))
  const covered = await coverMetric({ ...facts, rhythmSeconds: 10 }, runs, days(24), remarks)
  const missing = covered.days.flatMap(({ missingSeconds }) => missingSeconds["lost-not-worn"] ?? 0)
  expect(missing.reduce((sum, seconds) => sum + seconds, 0)).toBe(100_000)
})

test("of losses that overlap the one that begins first counts, and a gap between them is never sent", async () => {
  const remarks = [
    lost(5 * hour, 7 * hour),
    lost(4 * hour, 6 * hour, "buffer-overflow"),
    lost(4.5 * hour, 5 * hour),
  ]
  expect(await gapsOf([minutes(0, 3 * hour), minutes(9 * hour, day - 60)], remarks)).toEqual([
    [3 * hour + 60, 4 * hour, "never-sent"],
    [4 * hour, 6 * hour + 60, "lost-buffer-overflow"],
    [6 * hour + 60, 7 * hour + 60, "lost-not-worn"],
    [7 * hour + 60, 9 * hour, "never-sent"],
  ])
})
