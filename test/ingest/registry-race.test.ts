import { algorithmEsp256 } from "../../chain/key.ts"
import type { PoolClient } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { sha256 } from "../../chain/hash.ts"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { type Stand, TestDevice, ask, offer, openStand, send, untilTrue } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

/** What an operator's suspension writes, under the head's lock; `meanwhile` runs before it commits. */
async function suspend(device: string, meanwhile: (client: PoolClient) => Promise<void>): Promise<void> {
  const client = await stand.pool.connect()
  try {
    await client.query("begin")
    await client.query("select from chain_heads where device_id = $1 for update", [device])
    await client.query("update devices set status = 'suspended', registry = $2 where device_id = $1", [
      device,
      sha256(encodeUtf8(device)),
    ])
    await client.query("update chain_heads set epoch = epoch + 1 where device_id = $1", [device])
    await meanwhile(client)
    await client.query("commit")
  } finally {
    client.release()
  }
}

/** The intake waits for a row that `client`'s transaction holds. */
async function untilIntakeWaits(): Promise<void> {
  await untilTrue(
    stand.pool,
    `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%chain_heads%for update%')`,
  )
}

test("a statement that waited for a suspension is judged by it, on a new connection too", async () => {
  const device = await stand.enrol("suspended-meanwhile")
  await send(stand.intake.open(device.id), device.next())
  const place = stand.intake.open(device.id)
  const { bytes } = device.sign()
  let answer: ReturnType<typeof offer> | null = null
  await suspend(device.id, async () => {
    answer = offer(place, bytes)
    await untilIntakeWaits()
  })
  expect(await answer!).toMatchObject({ code: 40, head: { seq: 1 } })
})

test("a question that waited for a suspension is answered by it", async () => {
  const device = await stand.enrol("asked-meanwhile")
  const place = stand.intake.open(device.id)
  let answer: ReturnType<typeof ask> | null = null
  await suspend(device.id, async () => {
    answer = ask(place)
    await untilIntakeWaits()
  })
  expect(await answer!).toMatchObject({ code: 40 })
})

test("a connection from before a suspension is fenced off: nothing it sends is judged", async () => {
  const device = await stand.enrol("fenced-by-suspension")
  const place = stand.intake.open(device.id)
  await send(place, device.next())
  await suspend(device.id, async () => {})
  expect(await offer(place, device.sign().bytes)).toBeNull()
  const { rows } = await stand.pool.query("select from refusals where device_id = $1", [device.id])
  expect(rows).toEqual([])
})

test("a device that is enrolled after its first statement was refused is known at its next, at once", async () => {
  const device = new TestDevice("enrolled-late", algorithmEsp256, stand.keys.binding)
  const statement = device.next()
  expect(await offer(stand.intake.open(device.id), statement.bytes)).toMatchObject({ code: 13 })
  await enrolDevices(stand.pool, stand.keys, [{ device: device.id, key: device.key.publicKey }])
  expect(await offer(stand.intake.open(device.id), statement.bytes)).toMatchObject({ code: 1, seq: 1 })
})

test("a device that is enrolled between the check and the commit of its statement is judged by its enrolment", async () => {
  const other = await openStand({
    beforeCommit: async () => {
      await enrolDevices(other.pool, other.keys, [{ device: device.id, key: device.key.publicKey }])
    },
  })
  const device = new TestDevice("enrolled-between", algorithmEsp256, other.keys.binding)
  try {
    const place = other.intake.open(device.id)
    const statements = [device.next(), device.next(), device.next()]
    const receipts = await Promise.all(statements.map((statement) => send(place, statement)))
    expect(receipts.map(({ code, seq }) => [code, seq])).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
    ])
  } finally {
    await other.close()
  }
})

test("floods by devices that nobody enrolled leave one row per verdict, and no other trace", async () => {
  const other = await openStand()
  try {
    const strangers = Array.from({ length: 300 }, (_, index) => new TestDevice(`stranger-${index}`))
    const answers = strangers.flatMap((stranger) => [
      offer(other.intake.open(stranger.id), stranger.sign().bytes),
      offer(other.intake.open(stranger.id), new Uint8Array(10)),
      offer(other.intake.open(stranger.id), new Uint8Array(65_536)),
    ])
    const codes = (await Promise.all(answers)).map((receipt) => receipt?.code)
    expect(codes).toEqual(strangers.flatMap(() => [13, 10, 11]))
    for (const stranger of strangers.slice(0, 20))
      expect(await ask(other.intake.open(stranger.id))).toMatchObject({ code: 13, head: { seq: 0 } })
    const { rows } = await other.pool.query("select device_id, code, count from refusals order by code")
    expect(rows).toEqual([10, 11, 13].map((code) => ({ device_id: "", code, count: 300 })))
    const { rows: tables } = await other.pool.query(
      "select (select count(*) from chain_heads) as heads, (select count(*) from entries) as entries, (select count(*) from devices) as devices",
    )
    expect(tables).toEqual([{ heads: 1, entries: 1, devices: 0 }])
  } finally {
    await other.close()
  }
})
