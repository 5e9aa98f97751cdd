import { afterAll, beforeAll, expect, test } from "vitest"
import { type PrivateKey, algorithmEd25519, algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { type Registry, encodeRegistry, proveKey } from "../../chain/registry.ts"
import { contentRegistry } from "../../chain/statement.ts"
import { sha256 } from "../../chain/hash.ts"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { changeRegistry, readDevices } from "../../ingest/registry.ts"
import { formatAudit } from "../../verify/audit.ts"
import { auditThrough, readPublishedNote } from "../verify/log.ts"
import { type Stand, TestDevice, ask, offer, openStand, send, testOrigin } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

const makeKey = (name: string): PrivateKey => makePrivateKey(algorithmEsp256, sha256(encodeUtf8(name)))

/** What the device signs to get its next key; `changes` make it another request. */
function request(device: TestDevice, next: PrivateKey, changes: Partial<Registry> = {}) {
  const firstSeq = device.seq + 2
  const registry: Registry = {
    action: "rotate",
    device: device.id,
    key: next.publicKey,
    firstSeq,
    proofOfNew: proveKey(next, testOrigin, device.id, firstSeq, next.publicKey),
    ...changes,
  }
  return { content: contentRegistry, payload: encodeRegistry(registry) }
}

async function keysOf(id: string) {
  const record = (await readDevices(stand.pool, [id])).get(id)!
  return record.keys.map(({ firstSeq, lastSeq, endedBy, introducedBy }) => [
    firstSeq,
    lastSeq,
    endedBy,
    introducedBy,
  ])
}

const withKey = (device: TestDevice, key: PrivateKey): TestDevice =>
  Object.assign(Object.create(device) as TestDevice, { key })

test("a device that asks for its next key goes on under it, and the old one ends at the request", async () => {
  const device = await stand.enrol("asks")
  const place = stand.intake.open(device.id)
  await send(place, device.next())
  const next = makeKey("asks, next")
  const answer = await place.submit({ kind: "statement", bytes: device.next(request(device, next)).bytes })
  expect(answer).toMatchObject({ kind: "receipt", code: 1, refused: false, closes: true })
  expect(await keysOf(device.id)).toEqual([
    [1, 2, "rotation", "operator"],
    [3, null, null, "request"],
  ])
  // The connection was opened by the old key.
  expect(await offer(place, device.sign().bytes)).toBeNull()
  const again = stand.intake.open(device.id)
  expect(await ask(again)).toMatchObject({ code: 0, head: { seq: 2 } })
  expect(await send(stand.intake.open(device.id), device.sign())).toMatchObject({ code: 13 })
  expect(await send(stand.intake.open(device.id), withKey(device, next).next())).toMatchObject({
    code: 1,
    seq: 3,
  })
})

test.each<[string, Partial<Registry>]>([
  ["another first seq", { firstSeq: 9 }],
  ["another device", { device: "somebody-else" }],
  ["member 3", { previous: sha256(encodeUtf8("x")) }],
  ["a reason", { reason: "because" }],
  ["another action", { action: "revoke" }],
  ["a proof of something else", { proofOfNew: new Uint8Array(64) }],
])("a request with %s is accepted, unread, and the old key goes on", async (what, changes) => {
  const device = await stand.enrol(`refused-${what.replaceAll(" ", "-")}`)
  const place = stand.intake.open(device.id)
  await send(place, device.next())
  const asked = device.next(request(device, makeKey(`${what}, next`), changes))
  expect(await send(place, asked)).toMatchObject({ code: 3, seq: 2, head: { seq: 2 } })
  expect(await send(place, device.next())).toMatchObject({ code: 1, seq: 3 })
  expect(await keysOf(device.id)).toEqual([[1, null, null, "operator"]])
  const { rows } = await stand.pool.query("select fault from entries where device_id = $1 and seq = 2", [
    device.id,
  ])
  expect(rows).toEqual([{ fault: expect.stringMatching(/\(at byte 0 of the payload\)$/) as unknown }])
})

test("what arrives in one group behind a request is neither judged nor acknowledged; another connection is judged by the new key", async () => {
  const device = await stand.enrol("asks-and-goes-on")
  const next = makeKey("asks-and-goes-on, next")
  const place = stand.intake.open(device.id)
  const other = stand.intake.open(device.id)
  const asked = device.next(request(device, next))
  const behind = device.sign()
  const renewed = withKey(device, next).sign()
  const [first, second, third] = await Promise.all([
    offer(place, asked.bytes),
    offer(place, behind.bytes),
    offer(other, renewed.bytes),
  ])
  expect([first?.code, second, third?.code]).toEqual([1, null, 1])
  const { rows } = await stand.pool.query("select from refusals where device_id = $1", [device.id])
  expect(rows).toEqual([])
})

test("a retry of a request is a duplicate, and rotates nothing again", async () => {
  const device = await stand.enrol("asks-twice")
  const asked = device.next(request(device, makeKey("asks-twice, next")))
  await send(stand.intake.open(device.id), asked)
  const before = await keysOf(device.id)
  expect(await send(stand.intake.open(device.id), asked)).toMatchObject({ code: 2, head: { seq: 1 } })
  expect(await keysOf(device.id)).toEqual(before)
})

test("two devices that ask in one group both get their keys, in one chain of the operator", async () => {
  const devices = [await stand.enrol("pair-a"), await stand.enrol("pair-b", algorithmEd25519)]
  const receipts = await Promise.all(
    devices.map((device) =>
      send(stand.intake.open(device.id), device.next(request(device, makeKey(device.id)))),
    ),
  )
  expect(receipts.map(({ code }) => code)).toEqual([1, 1])
  for (const { id } of devices) expect(await keysOf(id)).toHaveLength(2)
})

test("while a seal holds the operator's chain, a request waits and nobody else does", async () => {
  const device = await stand.enrol("asks-while-sealing")
  const neighbour = await stand.enrol("neighbour")
  const client = await stand.pool.connect()
  let isAnswered = false
  let asked: ReturnType<typeof offer>
  try {
    await client.query("begin")
    await client.query("select from chain_heads where device_id = $1 for update", [testOrigin])
    asked = offer(stand.intake.open(device.id), device.next(request(device, makeKey("sealing"))).bytes)
    void asked.then(() => (isAnswered = true))
    for (let count = 1; count <= 20; count++)
      expect(await send(stand.intake.open(neighbour.id), neighbour.next())).toMatchObject({
        code: 1,
        seq: count,
      })
    expect(isAnswered).toBe(false)
    await client.query("rollback")
  } finally {
    client.release()
  }
  expect(await asked).toMatchObject({ code: 1, seq: 1 })
})

test("a device that was revoked meanwhile gets no key", async () => {
  const device = await stand.enrol("asks-too-late")
  await changeRegistry(stand.pool, stand.keys, [{ action: "suspend", device: device.id }])
  const asked = device.sign(request(device, makeKey("asks-too-late, next")))
  expect(await send(stand.intake.open(device.id), asked)).toMatchObject({ code: 40 })
  await changeRegistry(stand.pool, stand.keys, [{ action: "revoke", device: device.id }])
  expect(await send(stand.intake.open(device.id), asked)).toMatchObject({ code: 14 })
  expect(await keysOf(device.id)).toHaveLength(1)
})

test("the audit follows the keys that devices asked for, and finds one whose word was changed", async () => {
  await stand.seal()
  const note = await readPublishedNote(stand.dataFolder)
  const client = await stand.pool.connect()
  try {
    await client.query("begin")
    const healthy = await auditThrough(client, stand.keys, note)
    if (healthy.kind === "failed") throw new Error(formatAudit(healthy))
    await client.query("set local session_replication_role = replica")
    await client.query(
      "update device_keys set introduced_by = 'operator' where device_id = 'asks' and first_seq = 3",
    )
    expect(await auditThrough(client, stand.keys, note)).toMatchObject({
      kind: "failed",
      findings: [{ table: "device_keys", column: "introduced_by" }],
    })
  } finally {
    await client.query("rollback")
    client.release()
  }
})
