import { afterEach, expect, test, vi } from "vitest"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog } from "../../ingest/log.ts"
import { checkSchedule, findMissedSlot, startSchedule } from "../../ingest/schedule.ts"
import { auditLog } from "./log-audit.ts"
import { openTestDatabase } from "./postgres.ts"
import { startServiceOn } from "./service-stand.ts"
import { openStand, send, spineTemplate, testOrigin, untilTrue } from "./stand.ts"

afterEach(() => void vi.useRealTimers())

const at = (text: string): number => Date.parse(`2026-${text}Z`)

test.for([
  { cron: "0 * * * *", after: "03-01T10:00:00", now: "03-01T10:59:59.999", slot: null },
  { cron: "0 * * * *", after: "03-01T10:00:00", now: "03-01T11:00:00", slot: "03-01T11:00:00" },
  { cron: "0 * * * *", after: "03-01T10:59:59.999", now: "03-01T11:00:00.001", slot: "03-01T11:00:00" },
  { cron: "0 * * * *", after: "03-01T11:00:00", now: "03-01T11:00:00", slot: null },
  // One block spans a downtime: of many missed slots it is the last.
  { cron: "0 * * * *", after: "03-01T10:30:00", now: "03-09T17:20:00", slot: "03-09T17:00:00" },
  { cron: "*/15 * * * *", after: "03-01T10:00:00", now: "03-01T10:50:00", slot: "03-01T10:45:00" },
  // UTC, whatever the machine's zone and whatever its summer time does.
  { cron: "30 2 * * *", after: "03-29T00:00:00", now: "03-29T12:00:00", slot: "03-29T02:30:00" },
  { cron: "30 2 * * *", after: "10-25T00:00:00", now: "10-25T12:00:00", slot: "10-25T02:30:00" },
  { cron: "0 0 1 * *", after: "01-15T00:00:00", now: "03-20T00:00:00", slot: "03-01T00:00:00" },
  // A clock that was set back has missed nothing.
  { cron: "* * * * *", after: "03-01T10:00:00", now: "03-01T09:00:00", slot: null },
])("of $cron between $after and $now the missed slot is $slot", ({ cron, after, now, slot }) => {
  expect(findMissedSlot(cron, at(after), at(now))).toBe(slot === null ? null : at(slot))
})

test.for(["", "hourly", "0 * * *", "60 * * * *", "0 * * * * * *", "a b c d e", "@hourly"])(
  "%j is no schedule",
  (cron) => {
    expect(() => checkSchedule(cron)).toThrow(RangeError)
  },
)

test("each slot runs once with its instant, one after another, and an error does not end the schedule", async () => {
  vi.useFakeTimers({ now: at("03-01T09:59:30") })
  const slots: number[] = []
  const errors: string[] = []
  const schedule = startSchedule({
    expression: "0 * * * *",
    run: async (slotMs) => {
      slots.push(slotMs)
      if (slots.length === 2) throw new Error("the second fails")
    },
    onError: (error) => errors.push(error.message),
  })
  await vi.advanceTimersByTimeAsync(3 * 3_600_000)
  await schedule.stop()
  await vi.advanceTimersByTimeAsync(3_600_000)
  expect(slots).toEqual(["03-01T10:00:00", "03-01T11:00:00", "03-01T12:00:00"].map(at))
  expect(errors).toEqual(["the second fails"])
})

test("a slot during a seal waits for its end, and stopping waits for both", async () => {
  vi.useFakeTimers({ now: at("03-01T09:59:30") })
  const running: (() => void)[] = []
  const slots: number[] = []
  const schedule = startSchedule({
    expression: "0 * * * *",
    run: (slotMs) => {
      slots.push(slotMs)
      return new Promise((done) => running.push(done))
    },
    onError: () => {},
  })
  await vi.advanceTimersByTimeAsync(2 * 3_600_000)
  expect(slots).toEqual([at("03-01T10:00:00")])
  running[0]!()
  await vi.advanceTimersByTimeAsync(0)
  expect(slots).toHaveLength(2)
  let isStopped = false
  const stopped = schedule.stop().then(() => (isStopped = true))
  await vi.advanceTimersByTimeAsync(0)
  expect(isStopped).toBe(false)
  running[1]!()
  await stopped
})

test("a slot that came while the machine slept is run when it wakes, the last one if there were several", async () => {
  vi.useFakeTimers({ now: at("03-01T09:59:00") })
  const slots: number[] = []
  const schedule = startSchedule({
    expression: "0 * * * *",
    run: async (slotMs) => void slots.push(slotMs),
    onError: () => {},
  })
  // The clock goes on while timers stand still.
  vi.setSystemTime(at("03-01T10:20:00"))
  await vi.advanceTimersByTimeAsync(60_000)
  expect(slots).toEqual([at("03-01T10:00:00")])
  // Asleep again: of the slots until 16:09, when the timer for 11:00 fires, the last.
  vi.setSystemTime(at("03-01T15:30:00"))
  await vi.advanceTimersByTimeAsync(39 * 60_000)
  expect(slots).toEqual(["03-01T10:00:00", "03-01T16:00:00"].map(at))
  await schedule.stop()
})

test("a service with a schedule of seconds seals by itself what a device says", async () => {
  const stand = await openStand()
  const device = await stand.enrol("sealed-by-clock")
  await send(stand.intake.open(device.id), device.next())
  const service = await startServiceOn(stand.url, stand.dataFolder, { schedule: "* * * * * *" })
  try {
    await untilTrue(
      stand.pool,
      "(select count(*) from blocks) >= 3 and not exists (select from entries where id not in (select statement_id from leaves))",
    )
  } finally {
    await service.close()
  }
  const log = await auditLog(stand.pool, stand.keys)
  expect(log.unsealed.size).toBe(0)
  expect(log.manifests.length).toBeGreaterThanOrEqual(3)
  await stand.close()
})

test("a start makes up for the hours of a downtime by one block that spans them, and only once", async () => {
  const database = await openTestDatabase({ template: spineTemplate })
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-schedule-"))
  const pool = openPool(database.url, 2)
  const keys = await initLog(pool, dataFolder, testOrigin)
  // The log began three hours ago.
  await pool.query(`begin; set local session_replication_role = replica;
    update entries set received_at = date_trunc('milliseconds', received_at - interval '3 hours');
    update statements s set received_at = e.received_at from entries e where e.id = s.id; commit`)
  const { rows } = await pool.query<{ ms: number }>(
    "select (extract(epoch from received_at) * 1000)::bigint as ms from entries",
  )
  // Once a day, an hour or two ago: no slot can come while this runs.
  const schedule = `0 ${(new Date().getUTCHours() + 23) % 24} * * *`
  for (let start = 0; start < 2; start++) {
    const service = await startServiceOn(database.url, dataFolder, { schedule })
    await service.close()
    const { manifests, unsealed } = await auditLog(pool, keys)
    expect(manifests).toHaveLength(1)
    expect(manifests[0]!.fromMs).toBe(rows[0]!.ms)
    expect(manifests[0]!.toMs - manifests[0]!.fromMs).toBeGreaterThan(2 * 3_600_000)
    expect(unsealed.size).toBe(0)
  }
  await pool.end()
  await database.close()
  await rm(dataFolder, { recursive: true })
})
