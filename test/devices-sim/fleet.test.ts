import { expect, test } from "vitest"
import type { Message } from "../../broker/submit.ts"
import { decodePack } from "../../chain/senml.ts"
import type { FleetProgress } from "../../devices-sim/fleet.ts"
import { enlist } from "../../devices-sim/fleet-member.ts"
import { rankAckTimes } from "../../devices-sim/fleet-report.ts"
import type { Recording } from "../../devices-sim/recording/recording.ts"
import { formatReport, formatReportJson } from "../../devices-sim/report.ts"
import { runOn, stand } from "./fleet-stand.ts"

test("every statement of a fleet gets its verdict, and the report adds up", async () => {
  const stood = await stand()
  const seen: FleetProgress[] = []
  const report = await runOn(stood, { onProgress: (progress) => seen.push(progress) })
  expect(report.faults).toEqual([])
  expect(report.reconciles).toBe(true)
  expect(report.all).toEqual({
    made: 40,
    sent: 40,
    acknowledged: 40,
    stored: 40,
    unanswered: 0,
    refused: {},
    receipts: { head: 4, accepted: 40 },
    readings: 800,
    reconnects: 0,
  })
  expect(
    report.devices.map(({ id, key, headBefore, headAfter }) => [id, key, headBefore, headAfter]),
  ).toEqual([
    ["sim-7-0001", "Ed25519", 0, 10],
    ["sim-7-0002", "P-256", 0, 10],
    ["sim-7-0003", "Ed25519", 0, 10],
    ["sim-7-0004", "P-256", 0, 10],
  ])
  expect(report.ackMs?.p50).toBeGreaterThan(0)
  expect(seen.at(-1)).toMatchObject({ answered: 40, total: 40 })
})

test("the same seed gives the same bytes, another seed others", async () => {
  const runs = [7, 7, 8].map(async (seed) => {
    const stood = await stand()
    await runOn(stood, { seed, statements: 3 })
    return [...stood.service.devices.values()].map(({ chain }) =>
      chain.map(({ statement }) => statement.bytes),
    )
  })
  const [one, same, other] = await Promise.all(runs)
  expect(one?.flat()).toHaveLength(12)
  expect(same).toEqual(one)
  expect(other).not.toEqual(one)
})

test("a second run with the same seed goes on from the heads", async () => {
  const stood = await stand()
  await runOn(stood)
  const report = await runOn(stood)
  expect(report.faults).toEqual([])
  expect(report.devices.map(({ headBefore, headAfter }) => [headBefore, headAfter])).toEqual([
    [10, 20],
    [10, 20],
    [10, 20],
    [10, 20],
  ])
})

const recording: Recording = {
  format: "columns",
  files: [],
  remarks: [],
  signals: [
    {
      kind: "points",
      metric: "heart-rate",
      unit: "beat/min",
      times: [1.6e9, 1.6e9 + 1, 1.6e9 + 2],
      values: [60, 61, 62],
    },
    {
      kind: "waveform",
      metric: "ecg",
      unit: "mV",
      startsAt: 1.6e9,
      periodMs: 4,
      factor: 0.005,
      origin: 0,
      samples: Int16Array.from({ length: 6_000 }, (_, index) => index),
    },
  ],
}

test("a recording is replayed to its end by a device of its own, at its own times", async () => {
  const stood = await stand()
  const report = await runOn(stood, {
    recordings: [recording, recording],
    devices: 9,
    statements: 1,
    readings: 2,
  })
  expect(report.faults).toEqual([])
  expect(report.devices.map(({ id }) => id)).toEqual(["rec-7-0001", "rec-7-0002"])
  expect(report.all.readings).toBe(2 * 6_003)
  const packs = stood.service.payloadsOf("rec-7-0002").map(decodePack)
  const samples = packs.flat().flatMap((series) => (series.kind === "waveform" ? [...series.samples] : []))
  expect(samples).toEqual([...Int16Array.from({ length: 6_000 }, (_, index) => index)])
  const iats = stood.service.devices.get("rec-7-0002")!.chain.map(({ statement }) => statement.iat)
  expect(Math.max(...iats)).toBe(1.6e9 + 24)
})

test("a waveform goes with each statement where it is asked for", () => {
  const [member] = enlist({ seed: 1, devices: 1, statements: 2, readings: 5, waveform: true })
  expect([...member!.packs()].map(({ readings }) => readings)).toEqual([2_505, 2_505])
})

test("a device that is not let in is named, and the others are not held up by it", async () => {
  const stood = await stand()
  const report = await runOn(stood, {
    enrol: (devices) => {
      for (const { id, publicKey } of devices) {
        const device = stood.service.enrol(id, publicKey)
        if (id === "sim-7-0002") device.status = "suspended"
        if (id === "sim-7-0003") device.status = "revoked"
        if (id === "sim-7-0004") stood.service.devices.delete(id)
      }
      return Promise.resolve()
    },
  })
  expect(report.reconciles).toBe(false)
  expect(report.all.stored).toBe(10)
  expect(report.faults.filter((fault) => fault.includes("not let in"))).toEqual([
    "sim-7-0002: not let in: suspended",
    "sim-7-0003: not let in: revoked",
    "sim-7-0004: not let in: unknown-key",
  ])
})

test("a service that acknowledges and does not store is found out by the database's own count", async () => {
  const stood = await stand()
  let isAfter = false
  const report = await runOn(stood, {
    countStored: (ids) => {
      const count = isAfter ? 9 : 0
      isAfter = true
      return Promise.resolve(new Map(ids.map((id) => [id, count])))
    },
  })
  expect(report.reconciles).toBe(false)
  expect(report.faults[0]).toBe("sim-7-0001: the database has 9 more than before, but 10 were acknowledged")
})

test("statements that are refused for good are counted by their verdict, and said to be lost", async () => {
  const stood = await stand()
  stood.service.force("too-large")
  const report = await runOn(stood, { devices: 1 })
  expect(report.faults).toEqual([])
  expect(report.all).toMatchObject({ made: 10, stored: 9, refused: { "too-large": 1 } })
  expect(stood.service.headOf("sim-7-0001").seq).toBe(10)
  const contents = stood.service.devices.get("sim-7-0001")!.chain.map(({ statement }) => statement.content)
  expect(contents.filter((content) => content === "application/vnd.tidemark.lost+cbor")).toHaveLength(1)
})

test("a run that is ended says what has no verdict", async () => {
  const controller = new AbortController()
  const stood = await stand((service) => ({
    open(deviceId) {
      const place = service.open(deviceId)
      return {
        submit(message: Message) {
          if (message.kind === "question" || service.headOf(deviceId).seq < 3) return place.submit(message)
          return new Promise(() => {})
        },
        close: () => place.close(),
      }
    },
  }))
  let nowMs = 0
  const report = await runOn(stood, {
    devices: 1,
    signal: controller.signal,
    clock: () => (nowMs += 1_000),
    onProgress: ({ answered }) => {
      if (answered === 3) controller.abort()
    },
  })
  expect(report.reconciles).toBe(false)
  expect(report.all.stored).toBe(3)
  expect(report.all.made).toBe(report.all.stored + report.all.unanswered)
  expect(report.faults[0]).toBe("sim-7-0001: the run was ended")
  await stood.proxy.kill()
})

test("percentiles are those of the nearest rank", () => {
  const times = Array.from({ length: 200 }, (_, index) => 200 - index)
  expect(rankAckTimes(times)).toEqual({ p50: 100, p95: 190, p99: 198, max: 200 })
  expect(rankAckTimes([3])).toEqual({ p50: 3, p95: 3, p99: 3, max: 3 })
  expect(rankAckTimes([])).toBeNull()
})

test("the report's table is aligned, names the sum and says that it adds up; the JSON is the same report", async () => {
  const stood = await stand()
  const report = await runOn(stood, { devices: 22, statements: 1 })
  const text = formatReport(report)
  const lines = text.split("\n")
  expect(lines[0]).toMatch(/^device +key +made +sent +acked +stored +refused +readings +reconnects +p50 ms/)
  expect(new Set(lines.slice(0, 21).map(({ length }) => length)).size).toBe(1)
  expect(lines[21]).toBe("and 2 more")
  expect(lines[22]).toMatch(/^22 in all +22 +22 +22 +22 +0 +440 +0 /)
  expect(text).toContain("receipts: head 22, accepted 22\nrefused:  none\n")
  expect(text).toContain("adds up:  every statement has its verdict")
  expect(JSON.parse(formatReportJson(report))).toEqual(report)
  expect(formatReport({ ...report, reconciles: false, faults: ["a: b"] })).toContain(
    "DOES NOT ADD UP:\n  a: b",
  )
})
