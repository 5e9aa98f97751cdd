import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { decodePack } from "../../chain/senml.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { openServiceStand } from "../ingest/service-stand.ts"
import { Fleet, parseMessages, writeMessages } from "./fleet.ts"
import type { FloorRequest, FloorSeconds } from "./floor-work.ts"
import type { GeneratorRequest, Published } from "./generator.ts"
import { Samples, medianOf, percentileOf } from "./measure.ts"
import { encodePeerMessage, readWaveform } from "./peer-message.ts"
import { hasProcessorTime, readFamilySeconds, readProcessSeconds } from "./processor-time.ts"
import { heartRatesOf, makePacks, waveformOf } from "./readings.ts"
import { formatLines } from "./report.ts"
import { Worker } from "./worker.ts"

const path = join(tmpdir(), `tidemark-bench-test-${process.pid}`)
const generator = new Worker<GeneratorRequest>("generator.ts")
const floor = new Worker<FloorRequest>("floor-work.ts")
afterAll(async () => {
  await Promise.all([generator.end(), floor.end()])
  await rm(path, { force: true })
})

test("what the generator counts as acknowledged is what is stored, at full pace and on a schedule, and the floor copies those rows", async () => {
  const stand = await openServiceStand()
  const { service, pool } = stand
  const fleet = new Fleet("bench", 3, 1, 1_760_000_000)
  await enrolDevices(
    pool,
    service.keys,
    fleet.devices.map(({ id, key }) => ({ device: id, key: key.publicKey })),
  )
  fleet.begin(service.keys.binding)
  const devices = fleet.devices.map(({ id }) => id)
  const send = async (statements: number, perSecond: number | null): Promise<Published> => {
    writeMessages(path, fleet.sign(fleet.packs(statements, 60)))
    const load = { kind: "load", path, devices, topic: "v1/{device}/statements" } as const
    expect(await generator.ask(load)).toBe(statements)
    await generator.ask({ kind: "connect", ports: [service.mqtt] })
    const published = await generator.ask<Published>({ kind: "publish", window: 4, perSecond })
    await generator.ask({ kind: "disconnect" })
    return published
  }
  const counts = async (): Promise<unknown> => {
    const { rows } = await pool.query(
      `select count(*) as statements, sum(cardinality(s.numbers)) as readings, max(seq) as seq
       from entries e join series s on s.statement_id = e.id`,
    )
    return { ...rows[0], readings: Number(rows[0].readings) }
  }

  const full = await send(31, null)
  expect(full.acknowledged).toBe(31)
  expect(await counts()).toEqual({ statements: 31, readings: 31 * 60, seq: 11 })
  const paced = await send(20, 400)
  expect(paced.acknowledged).toBe(20)
  expect(await counts()).toEqual({ statements: 51, readings: 51 * 60, seq: 18 })
  // 19 intervals lie between the first and the last of 20.
  expect(paced.wallSeconds).toBeGreaterThanOrEqual(19 / 400)
  for (const { puback } of [full, paced]) {
    expect(puback.p50).toBeGreaterThan(0)
    expect(puback.p50).toBeLessThanOrEqual(puback.p95)
    expect(puback.p95).toBeLessThanOrEqual(puback.p99)
    expect(puback.p99).toBeLessThanOrEqual(puback.max)
  }

  const { rows } = await pool.query<{ to: number }>("select max(id) + 1 as to from entries")
  const keys = await pool.query<{ cose_key: Uint8Array }>(
    "select cose_key from device_keys order by device_id",
  )
  const [idFrom, idTo] = [rows[0]!.to - 20, rows[0]!.to]
  await floor.ask({
    kind: "load",
    path,
    keys: keys.rows.map(({ cose_key }) => Uint8Array.from(cose_key)),
    from: stand.url,
    idFrom,
    idTo,
  })
  for (const by of ["node", "ingest"] as const)
    expect(await floor.ask<FloorSeconds>({ kind: "verify", by })).toBeGreaterThan(0)
  // Into the tables that they came from they do not go a second time: it is those rows.
  await expect(floor.ask<FloorSeconds>({ kind: "copy", into: stand.url })).rejects.toThrow(/duplicate key/)
  await stand.close()
})

test("packs that are made from a template are those that the encoder makes, and the peer is sent the same readings", () => {
  for (const readings of [1, 60, 512]) {
    const make = makePacks(readings)
    const random = makeRandom("packs")
    for (const startsAt of [1_700_000_000, 1_760_000_123]) {
      const { payload, values } = make(startsAt, random)
      expect(values.length).toBe(readings)
      const series =
        values instanceof Int16Array ? waveformOf(startsAt, values) : heartRatesOf(startsAt, values)
      expect(decodePack(payload)).toEqual([series])
      const sent = Buffer.from(encodePeerMessage({ payload, startsAt, values }))
      const times = Array.from(values, (_, index) => index)
      expect(values instanceof Int16Array ? readWaveform(sent) : JSON.parse(sent.toString())).toEqual(
        values instanceof Int16Array
          ? { startsAt, periodMs: 4, factor: 0.005, samples: [...values] }
          : { n: "heart-rate", u: "beat/min", bt: startsAt, t: times, v: values },
      )
    }
  }
})

test("a fleet's messages come back from their file as they were, of each device in turn", () => {
  const fleet = new Fleet("files", 2, 7, 1_760_000_000)
  const messages = [...fleet.sign(fleet.packs(5, 1))]
  expect(messages.map(({ from }) => from)).toEqual([0, 1, 0, 1, 0])
  expect(writeMessages(path, messages)).toBe(5)
  expect(parseMessages(Uint8Array.from(readFileSync(path)))).toEqual(messages)
})

test("a ratio is taken within a round, and the median of the rounds is told", () => {
  const samples = new Samples()
  for (const [ours, floorOf] of [
    [4, 2],
    [30, 10],
    [5, 1],
  ] as const) {
    samples.nextRound()
    samples.add("floor.60.cpu", floorOf, "CPU-s/M readings")
    samples.add("ingest.60.cpu", ours, "CPU-s/M readings", "floor.60.cpu")
  }
  const [, ours] = samples.measures()
  expect(ours).toEqual({
    name: "ingest.60.cpu",
    value: 5,
    unit: "CPU-s/M readings",
    ratio: 3,
    of: "floor.60.cpu",
  })
  expect(formatLines([ours!])).toBe(
    "ingest.60.cpu: 5.00 CPU-s/M readings, 3.00 x floor.60.cpu (ratio at most 2: not met)",
  )
  expect(medianOf([4, 1, 3, 2])).toBe(2.5)
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
  expect([0.5, 0.95, 0.99, 1].map((share) => percentileOf(hundred, share))).toEqual([50, 95, 99, 100])
})

test.runIf(hasProcessorTime)(
  "processor time counts a process, and of a family those that have ended too",
  () => {
    const work = "let sum = 0; while (process.cpuUsage().user < 2e5) for (let n = 0; n < 1e6; n++) sum += n"
    const before = { own: readProcessSeconds(process.pid)!, family: readFamilySeconds(process.pid)! }
    spawnSync(process.execPath, ["-e", work])
    const after = { own: readProcessSeconds(process.pid)!, family: readFamilySeconds(process.pid)! }
    expect(after.family - before.family).toBeGreaterThanOrEqual(0.18)
    expect(after.own - before.own).toBeLessThan(after.family - before.family)
    expect(readProcessSeconds(2 ** 30)).toBeNull()
  },
)
