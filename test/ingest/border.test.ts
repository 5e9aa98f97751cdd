import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeCbor } from "../../chain/cbor.ts"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { statementSizeMax } from "../../chain/statement.ts"
import { auditLog } from "./log-audit.ts"
import { type Stand, offer, openStand, send } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

const startsAt = 1_760_000_000

function numbers(values: readonly number[], times = values.map((_, index) => startsAt + index)): Series {
  return { kind: "number", name: "n", unit: "m", times, values }
}

async function seriesOf(device: string): Promise<Record<string, unknown>[]> {
  const { rows } = await stand.pool.query(
    "select v.*, e.code from entries e join series v on v.statement_id = e.id where e.device_id = $1 order by e.id, position",
    [device],
  )
  return rows
}

function packOfSeries(count: number): Uint8Array {
  return encodeCbor(
    Array.from(
      { length: count },
      (_, index) =>
        new Map<number, string | number>([
          [0, `s${index}`],
          [2, index],
          [6, startsAt],
        ]),
    ),
  )
}

function packOfRecords(count: number): Uint8Array {
  return encodeCbor([
    new Map<number, string | number>([
      [2, 7],
      [-2, "n"],
      [-3, startsAt],
    ]),
    ...Array.from({ length: count - 1 }, () => new Map([[2, 7]])),
  ])
}

test("a statement of exactly 65,535 bytes is accepted and stored whole, and one of a byte more is too large", async () => {
  const device = await stand.enrol("largest")
  const place = stand.intake.open(device.id)
  const envelope =
    device.sign({ content: "text/plain", payload: new Uint8Array(65_000) }).bytes.length - 65_000
  const payload = new Uint8Array(statementSizeMax - envelope).fill(0x61)
  const statement = device.next({ content: "text/plain", payload })
  expect(statement.bytes).toHaveLength(65_535)
  expect(await send(place, statement)).toMatchObject({ code: 1, seq: 1 })
  const { rows } = await stand.pool.query(
    "select s.bytes from entries e join statements s using (id) where device_id = $1",
    [device.id],
  )
  expect(Buffer.compare(rows[0].bytes, statement.bytes)).toBe(0)
  const tooLarge = new Uint8Array(65_536)
  tooLarge.set(statement.bytes)
  expect(await offer(place, tooLarge)).toMatchObject({ code: 11, seq: null, head: { seq: 1 } })
})

test("a pack of 256 series is stored series by series, and one of 257 unread", async () => {
  const device = await stand.enrol("many-series")
  const place = stand.intake.open(device.id)
  expect(await send(place, device.next({ payload: packOfSeries(256) }))).toMatchObject({ code: 1 })
  expect(await send(place, device.next({ payload: packOfSeries(257) }))).toMatchObject({ code: 3 })
  const series = await seriesOf(device.id)
  expect(series.map(({ name, position, numbers: values }) => [name, position, values])).toEqual(
    Array.from({ length: 256 }, (_, index) => [`s${index}`, index, [index]]),
  )
})

test("a pack of 10,000 records is stored whole, and one of 10,001 unread", async () => {
  const device = await stand.enrol("many-records")
  const place = stand.intake.open(device.id)
  expect(await send(place, device.next({ payload: packOfRecords(10_000) }))).toMatchObject({ code: 1 })
  expect(await send(place, device.next({ payload: packOfRecords(10_001) }))).toMatchObject({ code: 3 })
  const series = await seriesOf(device.id)
  expect(series).toHaveLength(1)
  expect(series[0]!["numbers"]).toHaveLength(10_000)
})

test("every kind of series comes back as it was signed: texts of any script, negative zero, and the ends of float64", async () => {
  const device = await stand.enrol("kinds")
  const place = stand.intake.open(device.id)
  const ends = [-0, 0, 5e-324, -5e-324, 1e308, -1e308, Number.MAX_VALUE, 0.1, 1 / 3, 2 ** 53]
  const texts = [
    "",
    "Ω≈ç√ 漢字 🫀",
    "\u{10FFFF}",
    "e\u0301",
    "'; drop table entries; --",
    "\\N\\x00",
    '{a,"b"}',
  ]
  const times = (count: number): number[] => Array.from({ length: count }, (_, index) => startsAt + index / 8)
  const pack: Series[] = [
    { kind: "number", name: "urn:dev:x/ends", unit: null, times: times(ends.length), values: ends },
    { kind: "sum", name: "total", unit: null, times: [startsAt], values: [-0] },
    { kind: "text", name: "note", unit: null, times: times(texts.length), values: texts },
    { kind: "boolean", name: "worn", unit: null, times: times(2), values: [true, false] },
    {
      kind: "bytes",
      name: "raw",
      unit: "单位",
      times: times(3),
      values: [new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(255, 0, 92)],
    },
    {
      kind: "waveform",
      name: "ecg",
      unit: "mV",
      startsAt,
      periodMs: 1e-300,
      factor: 5e-324,
      origin: -0,
      samples: Int16Array.of(-32_768, 0, 32_767),
    },
  ]
  const receipt = await send(place, device.next({ payload: encodePack(pack) }))
  expect(receipt).toMatchObject({ code: 1 })
  const [number, sum, text, boolean, bytes, waveform] = await seriesOf(device.id)
  expect(number!["numbers"]).toEqual(ends)
  expect(number).toMatchObject({ metric: "ends", name: "urn:dev:x/ends", times: times(ends.length) })
  expect(sum!["numbers"]).toEqual([-0])
  expect(text).toMatchObject({ texts, numbers: null, unit: null })
  expect(boolean).toMatchObject({ kind: "boolean", numbers: [1, 0] })
  expect(bytes).toMatchObject({ unit: "单位", texts: null })
  expect(bytes!["blobs"]).toEqual([Buffer.alloc(0), Buffer.of(0), Buffer.of(255, 0, 92)])
  expect(waveform).toMatchObject({
    samples: [-32_768, 0, 32_767],
    period_ms: 1e-300,
    factor: 5e-324,
    times: null,
  })
  const { rows } = await stand.pool.query("select metric, value, text from readings where device = $1", [
    device.id,
  ])
  expect(rows).toHaveLength(ends.length + 1 + texts.length + 2 + 3 + 3)
  expect(rows.filter(({ metric }) => metric === "ecg").map(({ value }) => value)).toEqual([
    -32_768 * 5e-324,
    0,
    32_767 * 5e-324,
  ])
})

test("the farthest times are accepted ahead, kept as signed, and stop neither the views nor the block", async () => {
  const device = await stand.enrol("far-future")
  const place = stand.intake.open(device.id)
  const far = [1e300, 9e12, 1e15, Number.MAX_VALUE]
  for (const time of far) {
    const payload = encodePack([numbers([1, 2], [startsAt, time])])
    expect(await send(place, device.next({ payload }))).toMatchObject({ code: 4 })
  }
  const payload = encodePack([
    {
      kind: "waveform",
      name: "w",
      unit: null,
      startsAt,
      periodMs: 1e300,
      factor: 1,
      origin: 0,
      samples: Int16Array.of(1, 2, 3),
    },
  ])
  expect(await send(place, device.next({ payload }))).toMatchObject({ code: 4 })
  const series = await seriesOf(device.id)
  expect(series.map(({ times, ahead }) => [times, ahead])).toEqual([
    ...far.map((time) => [[startsAt, time], true]),
    [null, true],
  ])
  const { rows: shown } = await stand.pool.query("select from readings where device = $1", [device.id])
  expect(shown).toEqual([])
  const { rows: between } = await stand.pool.query(
    "select seconds, ahead from readings_between($1, null, '-infinity', 'infinity')",
    [device.id],
  )
  expect(between).toHaveLength(2 * far.length + 3)
  expect(between.every(({ ahead }) => ahead === true)).toBe(true)
  const { rows: clock } = await stand.pool.query(
    "select device_time(1e300)::text as far, device_time(8.9e12) < 'infinity' as near, device_time(9e12)::text as edge",
  )
  expect(clock).toEqual([{ far: "infinity", near: true, edge: "infinity" }])
})

test("all of it seals, and the sealed log adds up", async () => {
  const sealed = await stand.seal()
  expect(sealed).toMatchObject({
    kind: "sealed",
    block: { summary: { latestMs: Number.MAX_SAFE_INTEGER, statements: 11 } },
  })
  expect((await auditLog(stand.pool, stand.keys)).unsealed.size).toBe(0)
})
