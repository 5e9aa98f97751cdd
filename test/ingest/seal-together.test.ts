import { algorithmEsp256 } from "../../chain/key.ts"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openPool } from "../../ingest/database/pool.ts"
import { publishLast } from "../../ingest/publication.ts"
import { type EnrolmentResult, enrolDevices } from "../../ingest/registry.ts"
import { type SealStep, seal } from "../../ingest/seal.ts"
import { auditLog, countSealed, readPublishedText } from "./log-audit.ts"
import { type Stand, TestDevice, openStand, send, untilTrue } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

test("sealers at once on two pools make no fork and no leaf twice, and what is published never goes back", async () => {
  const others = [openPool(stand.url, 4), openPool(stand.url, 4)]
  const { keys, dataFolder } = stand
  try {
    const device = await stand.enrol("sealed-by-two")
    const place = stand.intake.open(device.id)
    const done = new AbortController()
    const writing = (async () => {
      while (!done.signal.aborted) await Promise.all([1, 2, 3].map(() => send(place, device.next())))
    })()
    const sealing = others.map(async (pool) => {
      for (let round = 0; round < 12; round++) await seal({ pool, keys, dataFolder, isEmptyAllowed: true })
    })
    await Promise.all(sealing).finally(() => done.abort())
    await writing
    const log = await auditLog(stand.pool, keys)
    expect(log.manifests).toHaveLength(24)
    const { rows } = await stand.pool.query("select note from checkpoints order by height desc limit 1")
    expect(await readPublishedText(dataFolder)).toBe(rows[0].note)
  } finally {
    await Promise.all(others.map((pool) => pool.end()))
  }
})

test("of two sealers for one slot one seals it", async () => {
  const { rows } = await stand.pool.query<{ ms: number }>(
    "select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms",
  )
  const slotMs = rows[0]!.ms
  const results = await Promise.all([1, 2, 3].map(() => stand.seal({ slotMs, isEmptyAllowed: true })))
  expect(
    results.map((result) => (result.kind === "nothing" ? result.reason : result.kind)).toSorted(),
  ).toEqual(["sealed", "slot-is-sealed", "slot-is-sealed"])
})

test("publishing by many at once ends with the last checkpoint, and fails for nobody", async () => {
  const other = openPool(stand.url, 4)
  try {
    const published = Array.from({ length: 40 }, (_, index) =>
      publishLast(index % 2 === 0 ? stand.pool : other, stand.dataFolder),
    )
    expect((await Promise.allSettled(published)).filter(({ status }) => status === "rejected")).toEqual([])
    const { rows } = await stand.pool.query("select note from checkpoints order by height desc limit 1")
    expect(await readPublishedText(stand.dataFolder)).toBe(rows[0].note)
  } finally {
    await other.end()
  }
})

test("an enrolment during a seal waits for its block and stands in the next; statements do not wait", async () => {
  const device = await stand.enrol("speaks-meanwhile")
  const place = stand.intake.open(device.id)
  await send(place, device.next())
  const late = new TestDevice("enrolled-meanwhile", algorithmEsp256, stand.keys.binding)
  let enrolling: Promise<EnrolmentResult[]> | null = null
  const onStep = async (step: SealStep): Promise<void> => {
    if (step !== "computed") return
    enrolling = enrolDevices(stand.pool, stand.keys, [{ device: late.id, key: late.key.publicKey }])
    await untilTrue(
      stand.pool,
      `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%chain_heads%')`,
    )
    expect(await send(place, device.next())).toMatchObject({ code: 1, seq: 2 })
  }
  const before = await countSealed(stand.pool)
  expect(await stand.seal({ onStep })).toMatchObject({ block: { summary: { statements: 1 } } })
  expect(await enrolling!).toMatchObject([{ kind: "enrolled" }])
  const between = await auditLog(stand.pool, stand.keys)
  expect(between.manifests).toHaveLength(before["blocks"]! + 1)
  expect(between.unsealed.size).toBe(2)
  expect(await send(stand.intake.open(late.id), late.next())).toMatchObject({ code: 1 })
  expect(await stand.seal()).toMatchObject({ block: { summary: { statements: 2, devices: 2 } } })
  expect((await auditLog(stand.pool, stand.keys)).unsealed.size).toBe(0)
})

test("devices that nobody heard of yet, and hours in which nothing came, are sealed too", async () => {
  await stand.enrol("silent")
  expect(await stand.seal()).toMatchObject({ block: { summary: { statements: 0, earliestMs: null } } })
  expect(await stand.seal({ isEmptyAllowed: true })).toMatchObject({ kind: "sealed" })
  expect(await stand.seal()).toEqual({ kind: "nothing", reason: "no-statements" })
  await auditLog(stand.pool, stand.keys)
})
