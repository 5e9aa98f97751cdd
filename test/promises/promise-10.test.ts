import { afterAll, beforeAll, expect, test } from "vitest"
import { encodePack } from "../../chain/senml.ts"
import { decodeStatement } from "../../chain/statement.ts"
import { auditLog } from "../ingest/log-audit.ts"
import { type Stand, openStand, send } from "../ingest/stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

async function clock(): Promise<number> {
  const { rows } = await stand.pool.query<{ ms: number }>(
    "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms",
  )
  return rows[0]!.ms
}

/** 1978, a fraction of a second, a time that repeats, one that goes back, and the day after tomorrow's century. */
const times = [2 ** 28, 1_760_000_000.123456, 1_760_000_000.123456, 1_759_999_999, 4_102_444_800]

test("Three clocks are kept: the device's as it was signed, the arrival's and the seal's, and each in its order", async () => {
  const device = await stand.enrol("clocks")
  const place = stand.intake.open(device.id)
  const values = times.map((_, index) => index)
  const payload = encodePack([{ kind: "number", name: "n", unit: null, times, values }])
  const bounds: [number, number][] = []
  for (const iat of [0, 1_760_000_000, 7_258_118_400, 2 ** 53 - 1]) {
    const before = await clock()
    const receipt = await send(place, device.next({ iat, payload }))
    const after = await clock()
    bounds.push([before, after])
    expect(receipt.now).toBeGreaterThanOrEqual(Math.floor(before / 1000))
    expect(receipt.now).toBeLessThanOrEqual(Math.floor(after / 1000))
  }
  const sealedAfter = await clock()
  const sealed = await stand.seal()
  const sealedBefore = await clock()

  const { rows } = await stand.pool.query<{
    bytes: Uint8Array
    ms: number
    series_ms: number
    times: number[]
    starts_at: number
    ends_at: number
  }>(
    `select s.bytes, (extract(epoch from e.received_at) * 1000)::bigint as ms, (extract(epoch from v.received_at) * 1000)::bigint as series_ms,
            v.times, v.starts_at, v.ends_at
     from entries e join statements s using (id) join series v on v.statement_id = e.id where e.device_id = 'clocks' order by e.seq`,
  )
  expect(rows).toHaveLength(4)
  const toMs = sealed.kind === "sealed" ? sealed.block.manifest.toMs : 0
  expect([toMs >= sealedAfter, toMs <= sealedBefore]).toEqual([true, true])
  for (const [index, row] of rows.entries()) {
    // The device's: to the last bit, in the order given.
    expect([row.times, row.starts_at, row.ends_at]).toEqual([times, Math.min(...times), Math.max(...times)])
    // The arrival's: one instant for statement and series, in whole milliseconds, between asking and hearing.
    expect([row.ms >= bounds[index]![0], row.ms <= bounds[index]![1], row.series_ms]).toEqual([
      true,
      true,
      row.ms,
    ])
    // The seal's: never before an arrival in it.
    expect(row.ms).toBeLessThanOrEqual(toMs)
  }
  const iats = rows.map(({ bytes }) => {
    const decoded = decodeStatement(Uint8Array.from(bytes))
    return decoded.kind === "statement" ? decoded.statement.iat : null
  })
  expect(iats).toEqual([0, 1_760_000_000, 7_258_118_400, 2 ** 53 - 1])
})

test("Three clocks are kept. No value and no time is ever rewritten: a view shows a reading's own time and when it arrived, in which block", async () => {
  const device = await stand.enrol("shown")
  const place = stand.intake.open(device.id)
  const past = times.slice(0, 4)
  const values = [-0, 1e308, 5e-324, 0.1 + 0.2]
  const payload = encodePack([{ kind: "number", name: "n", unit: null, times: past, values }])
  await send(place, device.next({ payload }))
  const show = () =>
    stand.pool.query<{ seconds: number; value: number; arrived_ms: number; block: number | null }>(
      `select extract(epoch from time)::float8 as seconds, value, (extract(epoch from arrived) * 1000)::bigint as arrived_ms, block
       from readings where device = 'shown'`,
    )
  const unsealed = (await show()).rows
  expect(unsealed.map(({ value }) => value)).toEqual(values)
  expect(unsealed.map(({ seconds }) => seconds)).toEqual(past)
  expect(unsealed.map(({ block }) => block)).toEqual([null, null, null, null])
  const sealed = await stand.seal()
  const manifest = sealed.kind === "sealed" ? sealed.block.manifest : null
  expect((await show()).rows).toEqual(unsealed.map((row) => ({ ...row, block: manifest?.height })))
  const { rows: exact } = await stand.pool.query<{ seconds: number; value: number }>(
    "select seconds, value from readings_between('shown', 'n', '-infinity', 'infinity')",
  )
  expect(exact.map(({ seconds, value }) => [seconds, value])).toEqual(
    past.map((time, index) => [time, values[index]]),
  )
})

test("Three clocks are kept, also where the database's was set back: a block ends no earlier than what is in it and where the last one ended", async () => {
  const device = await stand.enrol("set-back")
  const place = stand.intake.open(device.id)
  await send(place, device.next())
  await stand.seal()
  await send(place, device.next())
  // The last arrival and the last block are an hour in the future, as if the clock had been set back since.
  await stand.pool.query(`begin; set local session_replication_role = replica;
    update entries set received_at = received_at + interval '1 hour' where device_id = 'set-back' and seq = 2;
    update statements s set received_at = e.received_at from entries e where e.id = s.id and s.received_at <> e.received_at;
    update series s set received_at = e.received_at from entries e where e.id = s.statement_id and s.received_at <> e.received_at; commit`)
  const first = await stand.seal()
  const second = await stand.seal({ isEmptyAllowed: true })
  const now = await clock()
  const [one, two] = [first, second].map((result) =>
    result.kind === "sealed" ? result.block.manifest : null,
  )
  expect(one!.toMs).toBeGreaterThan(now)
  expect([two!.fromMs, two!.toMs]).toEqual([one!.toMs, one!.toMs])
  expect((await auditLog(stand.pool, stand.keys)).unsealed.size).toBe(0)
})
