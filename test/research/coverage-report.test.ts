import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeLost } from "../../chain/lost.ts"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { contentLost } from "../../chain/statement.ts"
import { type DeviceCoverage, reportCoverage } from "../../research/coverage-report.ts"
import type { Queries } from "../../research/coverage-rows.ts"
import { daysOf } from "../../research/days.ts"
import { Zone } from "../../research/zone.ts"
import { type TestDevice, send } from "../ingest/stand.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"
import { makeWaveform } from "./waveform.ts"

/** 2026-01-31T00:00:00Z. */
const midnight = 1_769_817_600
const hour = 3_600
let stand: ResearchStand
let device: TestDevice
/** What was answered to what was not plain. */
let codes: number[] = []

const every = (seconds: number, from: number, to: number, metric = "heart-rate"): Series => {
  const times = Array.from(
    { length: Math.ceil((to - from) / seconds) },
    (_, at) => midnight + from + at * seconds,
  )
  return { kind: "number", name: metric, unit: "beat/min", times, values: times.map(() => 60) }
}

/** A day of k7: worn, taken off with a word about it, worn, silent, an unreadable pack, a clock that was ahead. */
beforeAll(async () => {
  stand = await openResearchStand()
  device = await stand.enrol("k7")
  await stand.enrol("quiet")
  const place = stand.intake.open("k7")
  const say = (...series: Series[]) => send(place, device.next({ payload: encodePack(series) }))
  await say(every(60, 0, 6 * hour))
  const lost = { reason: "not-worn", count: 120, from: midnight + 6 * hour, to: midnight + 8 * hour } as const
  await send(place, device.next({ content: contentLost, payload: encodeLost(lost) }))
  // Series that overlap, and one whose times go back.
  await say(every(60, 8 * hour, 10 * hour), every(300, 0, 24 * hour, "skin-temperature"))
  const back = Array.from({ length: 120 }, (_, at) => midnight + 11 * hour - 60 - at * 60)
  await say({
    kind: "number",
    name: "heart-rate",
    unit: "beat/min",
    times: back,
    values: back.map(() => 60),
  })
  await stand.seal()
  const unread = await send(place, device.next({ payload: Uint8Array.of(0x80), iat: midnight + 12 * hour }))
  await say(every(60, 14 * hour, 15 * hour), {
    kind: "text",
    name: "note",
    unit: null,
    times: [midnight + hour],
    values: ["slept"],
  })
  const ahead = Math.floor(Date.now() / 1000) + 400_000
  const { code } = await send(
    place,
    device.next({
      payload: encodePack([
        { kind: "number", name: "heart-rate", unit: "beat/min", times: [ahead], values: [61] },
      ]),
    }),
  )
  await say(
    makeWaveform(
      midnight + 24 * hour - 1,
      Array.from({ length: 500 }, () => 0),
    ),
  )
  // A pack that jumps over what is to come: refused, and counted.
  const skipped = device.sign({ seq: device.seq + 5 })
  const refused = await send(place, skipped)
  codes = [unread.code, code, refused.code]
})
afterAll(() => stand.close())

async function report(id: string, zone = "UTC", from = midnight, to = midnight + 2 * 86_400) {
  const client = await stand.pool.connect()
  try {
    await client.query("begin isolation level repeatable read read only")
    const onOne: Queries = { query: async (sql, values = []) => (await client.query(sql, [...values])).rows }
    const days = daysOf({ from, to, zone: Zone.find(zone), now: Date.now() / 1000 })
    return await reportCoverage(onOne, { device: id, metric: null, days, liveWithinSeconds: 900 })
  } finally {
    await client.query("rollback")
    client.release()
  }
}

const metricOf = (coverage: DeviceCoverage | null, metric: string) =>
  coverage!.metrics.find((one) => one.metric === metric)!

test("a day tells what arrived, what the device declared lost, what could not be read, and what it never sent", async () => {
  const heart = metricOf(await report("k7"), "heart-rate")
  expect(heart.rhythmSeconds).toBe(60)
  const [first] = heart.days
  expect(first!.readings).toBe(360 + 120 + 120 + 60)
  expect(first!.gaps.map(({ from, to, cause, seq }) => [from - midnight, to - midnight, cause, seq])).toEqual(
    [
      [6 * hour, 8 * hour, "lost-not-worn", 2],
      [11 * hour, 14 * hour, "unread", 5],
      [15 * hour, 24 * hour, "not-yet", null],
    ],
  )
  expect(first!.parts.slice(5, 12)).toEqual([1, 0, 0, 1, 1, 1, 0])
  expect(first!.causes[6]).toBe("lost-not-worn")
})

test("field Q5: a window that lies inside a gap tells of the gap, though no reading is in it", async () => {
  const coverage = await report("k7", "UTC", midnight + 86_400, midnight + 2 * 86_400)
  const heart = metricOf(coverage, "heart-rate")
  expect(heart).toMatchObject({ rhythmSeconds: 60, gapAfterSeconds: 108 })
  expect(heart.days).toMatchObject([
    {
      readings: 0,
      gapsTotal: 1,
      gaps: [{ from: midnight + 86_400, to: midnight + 2 * 86_400, cause: "not-yet" }],
    },
  ])
})

test("a caller says how many gaps of a day are listed, and all are counted", async () => {
  const ask = async (query: string) => {
    const path = `/v1/coverage?device=k7&metric=heart-rate&from=2026-01-31&to=2026-02-01${query}`
    return (await stand.get<DeviceCoverage>(path)).metrics[0]!.days[0]!
  }
  expect((await ask("")).gaps).toHaveLength(3)
  expect(await ask("&gaps=1")).toMatchObject({ gaps: [{ cause: "lost-not-worn" }], gapsTotal: 3 })
  expect(await stand.refused("/v1/coverage?device=k7&gaps=10001")).toMatchObject({ parameter: "gaps" })
})

test("late and unsealed readings are counted, and all of these came long after their time", async () => {
  const [first] = metricOf(await report("k7"), "heart-rate").days
  expect(first).toMatchObject({ late: 660, unsealed: 60 })
  expect(metricOf(await report("k7"), "skin-temperature").days[0]).toMatchObject({
    readings: 288,
    unsealed: 0,
    gapsTotal: 0,
  })
})

test("a waveform is counted on both of its days without a sample being read, and a note has no rhythm", async () => {
  const coverage = await report("k7")
  expect(metricOf(coverage, "ecg").days.map(({ readings }) => readings)).toEqual([250, 250])
  expect(metricOf(coverage, "ecg").rhythmSeconds).toBe(0.004)
  expect(metricOf(coverage, "note")).toMatchObject({ rhythmSeconds: null, gapAfterSeconds: null })
  expect(metricOf(coverage, "note").days[0]).toMatchObject({ readings: 1, gapsTotal: 0 })
})

test("what the chain says is told with the statement that says it; refusals are counts", async () => {
  const coverage = await report("k7")
  expect(codes).toEqual([3, 4, 20])
  expect(coverage!.remarks.map(({ kind, seq }) => [kind, seq])).toEqual([
    ["ahead", 7],
    ["unread", 5],
    ["lost", 2],
  ])
  expect(coverage!.refusals).toMatchObject([{ verdict: "gap", count: 1 }])
  expect(coverage).toMatchObject({ statements: 8, status: "active", remarksComplete: true })
})

test("a day begins when it begins in the time zone", async () => {
  const coverage = await report("k7", "America/New_York", midnight, midnight + 86_400)
  expect(coverage!.days).toEqual(["2026-01-30", "2026-01-31"])
  // Five hours behind: the first five hours of the UTC day are the day before.
  expect(metricOf(coverage, "heart-rate").days.map(({ readings }) => readings)).toEqual([300, 360])
})

test("a day of 23 hours is one day, and a zone that there is not is refused", async () => {
  const march = Date.UTC(2026, 2, 29, 12) / 1000
  const berlin = daysOf({ from: march, to: march + 1, zone: Zone.find("Europe/Berlin"), now: march })
  expect(berlin).toMatchObject({ names: ["2026-03-29"] })
  expect(berlin.boundaries[1]! - berlin.boundaries[0]!).toBe(23 * hour)
  expect(Zone.find("Mars/Olympus")).toBeNull()
})

test("a device that never spoke has no metrics, and one that nobody knows no coverage", async () => {
  expect(await report("quiet")).toMatchObject({ statements: 0, metrics: [], remarks: [] })
  expect(await report("nobody")).toBeNull()
})

test("the API says the same, and up to which block it speaks", async () => {
  const window = "from=2026-01-31&to=2026-02-02"
  const answer = await stand.get(`/v1/coverage?device=k7&${window}`)
  const { asOf, timezone, boundaries, ...coverage } = answer
  expect(coverage).toEqual(JSON.parse(JSON.stringify(await report("k7"))))
  expect(asOf).toMatchObject({ height: 0 })
  expect([timezone, boundaries]).toEqual(["UTC", [midnight, midnight + 86_400, midnight + 172_800]])
  const one = await stand.get<DeviceCoverage>(`/v1/coverage?device=k7&metric=ecg&${window}`)
  expect(one.metrics.map(({ metric }) => metric)).toEqual(["ecg"])
})

test.each([
  ["device=k7&timezone=Mars/Olympus", "timezone"],
  ["device=k7&from=yesterday", "from"],
  ["device=k7&from=2026-01-31&to=2026-01-30", "to"],
  ["device=k7&from=2020-01-01&to=2026-01-30", "from"],
  ["device=nobody", "device"],
  ["metric=ecg", "device"],
])("coverage of %s is a problem that names %s", async (query, parameter) => {
  expect(await stand.refused(`/v1/coverage?${query}`)).toMatchObject({ parameter })
})

test("the catalogue is there, with units and codes", async () => {
  const { items } = await stand.get<{ items: Record<string, unknown>[] }>("/v1/metrics")
  expect(items.find(({ metric }) => metric === "oxygen-saturation")).toMatchObject({
    senmlUnit: "/",
    ucumUnit: "%",
    mdc: { code: 150_456, refId: "MDC_PULS_OXIM_SAT_O2" },
    openMHealth: { name: "oxygen-saturation", version: "2.0", units: { "%": "%" } },
  })
})
