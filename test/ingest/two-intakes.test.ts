/** Two intakes, each with what it remembers, on one database: as two processes are. */
import type { Pool } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { encodeRegistry, proveKey } from "../../chain/registry.ts"
import { contentRegistry } from "../../chain/statement.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type Intake, openIntake } from "../../ingest/intake.ts"
import { type RegistryChange, changeRegistry } from "../../ingest/registry.ts"
import { type Stand, TestDevice, ask, offer, openStand, send, testOrigin } from "./stand.ts"

let stand: Stand
let pool: Pool
let one: Intake
let two: Intake
beforeAll(async () => {
  stand = await openStand()
  pool = openPool(stand.url, 8)
  one = stand.intake
  two = openIntake({ pool, keys: stand.keys })
})
afterAll(async () => {
  await two.close()
  await pool.end()
  await stand.close()
})

const change = (...changes: readonly RegistryChange[]) => changeRegistry(stand.pool, stand.keys, changes)

test("a key that a device asks for through one process stands at the other, which remembered the old one", async () => {
  const device = await stand.enrol("rotates")
  for (const intake of [two, one]) {
    const place = intake.open(device.id)
    await ask(place)
    expect(await send(place, device.next())).toMatchObject({ code: 1 })
  }
  const waiting = two.open(device.id)
  await ask(waiting)
  const next = makePrivateKey(algorithmEsp256, sha256(encodeUtf8("rotates, next")))
  const firstSeq = device.seq + 2
  const payload = encodeRegistry({
    action: "rotate",
    device: device.id,
    key: next.publicKey,
    firstSeq,
    proofOfNew: proveKey(next, testOrigin, device.id, firstSeq, next.publicKey),
  })
  const asking = one.open(device.id)
  await ask(asking)
  expect(await send(asking, device.next({ content: contentRegistry, payload }))).toMatchObject({ code: 1 })

  // What stood open at the other is fenced off; the old key is refused there, and the new one is good.
  expect(await offer(waiting, device.sign().bytes)).toBeNull()
  expect(await send(two.open(device.id), device.sign())).toMatchObject({ code: 13 })
  const renewed = Object.assign(Object.create(device) as TestDevice, { key: next })
  expect(await send(two.open(device.id), renewed.next())).toMatchObject({ code: 1, seq: firstSeq })
})

test("a device that was unknown, suspended or revoked is what the registry says now, at every process", async () => {
  const device = new TestDevice("changes", algorithmEsp256, stand.keys.binding)
  const answers = async () =>
    Promise.all([one, two].map(async (intake) => (await ask(intake.open(device.id))).code))
  expect(await answers()).toEqual([13, 13])
  await change({ action: "enrol", device: device.id, key: device.key.publicKey, firstSeq: 1 })
  expect(await answers()).toEqual([0, 0])
  for (const intake of [one, two]) await send(intake.open(device.id), device.next())
  await change({ action: "suspend", device: device.id })
  expect(await answers()).toEqual([40, 40])
  for (const intake of [one, two])
    expect(await send(intake.open(device.id), device.sign())).toMatchObject({ code: 40 })
  await change({ action: "resume", device: device.id })
  for (const intake of [one, two])
    expect(await send(intake.open(device.id), device.next())).toMatchObject({ code: 1 })
  await change({ action: "revoke", device: device.id })
  for (const intake of [one, two])
    expect(await send(intake.open(device.id), device.sign())).toMatchObject({ code: 14 })
})

test("refusals of both processes are counted in one row each, whoever else is counted at the same time", async () => {
  const devices = await Promise.all(Array.from({ length: 20 }, (_, index) => stand.enrol(`counted-${index}`)))
  const before = await countRefusals()
  // At both in opposite orders.
  const receipts = await Promise.all([...gaps(one, devices), ...gaps(two, devices.toReversed())])
  expect(receipts.filter(({ code }) => code === 20)).toHaveLength(40)
  expect(receipts.filter(({ code }) => code === 13)).toHaveLength(40)
  const after = await countRefusals()
  expect(after.get(" 13")! - (before.get(" 13") ?? 0)).toBe(40)
  for (const { id } of devices) expect(after.get(`${id} 20`)).toBe(2)
})

/** Each device leaves a gap, beside as many unknown ones, which share a row. */
function gaps(intake: Intake, devices: readonly TestDevice[]) {
  return devices.flatMap((device) => [
    send(intake.open(device.id), device.sign({ seq: 9 })),
    send(intake.open(`no-${device.id}`), new TestDevice(`no-${device.id}`).sign()),
  ])
}

async function countRefusals(): Promise<Map<string, number>> {
  const { rows } = await stand.pool.query<{ device_id: string; code: number; count: number }>(
    "select device_id, code, count from refusals",
  )
  return new Map(rows.map(({ device_id: device, code, count }) => [`${device} ${code}`, count]))
}
