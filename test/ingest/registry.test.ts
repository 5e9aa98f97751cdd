import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { inTransaction } from "../../ingest/database/pool.ts"
import {
  changeRegistry,
  enrolByCertificate,
  readAuthorities,
  readDevices,
  readTrustedAuthorities,
} from "../../ingest/registry.ts"
import { formatAudit } from "../../verify/audit.ts"
import { makeSigner } from "../../devices-sim/device-sign.ts"
import { Device, makeMemoryKeyStore, makeMemoryOutbox } from "../../devices-sim/connection.ts"
import { auditThrough, readPublishedNote } from "../verify/log.ts"
import { openServiceStand } from "./service-stand.ts"
import { type Stand, TestDevice, ask, offer, openStand, send, untilTrue } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

const makeKey = (name: string) => makePrivateKey(algorithmEsp256, sha256(encodeUtf8(name)))
const withKey = (device: TestDevice, name: string): TestDevice =>
  Object.assign(Object.create(device) as TestDevice, { key: makeKey(name) })
const certificate = encodeUtf8("a CA's certificate")
const caDigest = sha256(certificate)

async function passesAudit(): Promise<void> {
  const note = await readPublishedNote(stand.dataFolder)
  const result = await inTransaction(stand.pool, (client) => auditThrough(client, stand.keys, note))
  if (result.kind === "failed") throw new Error(formatAudit(result))
}

test("several changes of one device in one transaction are judged one behind the other", async () => {
  const key = makeKey("batch").publicKey
  const results = await changeRegistry(stand.pool, stand.keys, [
    { action: "enrol", device: "batch", key, firstSeq: 1 },
    { action: "enrol", device: "batch", key, firstSeq: 1 },
    { action: "suspend", device: "batch" },
    { action: "suspend", device: "batch" },
    { action: "resume", device: "batch", reason: "a\nb" },
    { action: "resume", device: "batch" },
    { action: "resume", device: "nobody" },
  ])
  expect(results.map(({ kind }) => kind)).toEqual([
    "changed",
    "refused",
    "changed",
    "refused",
    "refused",
    "changed",
    "refused",
  ])
  const record = (await readDevices(stand.pool, ["batch"])).get("batch")!
  expect(record.status).toBe("active")
  expect(results[5]).toMatchObject({ entry: record.registry })
})

test("an enrolment by a certificate needs a CA that is trusted at that moment, and happens once", async () => {
  const { pool, keys } = stand
  const device = { device: "certified", key: makeKey("certified").publicKey, caDigest }
  expect(await enrolByCertificate(pool, keys, device)).toMatchObject({ kind: "refused" })
  await changeRegistry(pool, keys, [{ action: "trust-ca", device: "maker", certificate }])
  expect(await readTrustedAuthorities(pool)).toEqual([{ name: "maker", certificate, digest: caDigest }])
  const both = await Promise.all([
    enrolByCertificate(pool, keys, device),
    enrolByCertificate(pool, keys, device),
  ])
  expect(both.map(({ kind }) => kind).toSorted()).toEqual(["enrolled", "known"])
  expect((await readDevices(pool, ["certified"])).get("certified")).toMatchObject({
    caDigest,
    keys: [{ introducedBy: "certificate", isPossessionProven: false }],
  })
  const another = { ...device, key: makeKey("certified, another").publicKey }
  expect(await enrolByCertificate(pool, keys, another)).toEqual({
    kind: "refused",
    rule: "device certified is enrolled already",
  })
  await changeRegistry(pool, keys, [{ action: "distrust-ca", device: "maker" }])
  expect(await readTrustedAuthorities(pool)).toEqual([])
  expect((await readAuthorities(pool)).get("maker")).toMatchObject({ isTrusted: false })
  expect(await enrolByCertificate(pool, keys, device)).toEqual({ kind: "known" })
  const late = { device: "certified-late", key: makeKey("late").publicKey, caDigest }
  expect(await enrolByCertificate(pool, keys, late)).toMatchObject({ kind: "refused" })
})

test("history verifies under the key of its place: rotated, revoked as of a seq, suspended, resumed, revoked", async () => {
  const { pool, keys } = stand
  const change = async (said: Parameters<typeof changeRegistry>[2][number]): Promise<void> => {
    const [result] = await changeRegistry(pool, keys, [said])
    if (result?.kind !== "changed") throw new Error(result?.rule)
  }
  const say = (device: TestDevice) => send(stand.intake.open(device.id), device.next())
  const device = await stand.enrol("history")
  const moved: unknown[] = []
  const seal = async (): Promise<void> => {
    await stand.seal()
    const { rows } = await pool.query<{ registry: Uint8Array }>(
      "select registry from sealed_heads where device_id = 'history' order by height desc limit 1",
    )
    moved.push(Buffer.from(rows[0]!.registry).toString("hex"))
  }
  expect(await say(device)).toMatchObject({ code: 1 })
  await seal()
  await change({ action: "rotate", device: "history", key: makeKey("h2").publicKey, firstSeq: 2 })
  await seal()
  const second = withKey(device, "h2")
  expect(await say(second)).toMatchObject({ code: 1, seq: 2 })
  expect(await say(second)).toMatchObject({ code: 1, seq: 3 })
  await change({ action: "revoke", device: "history", lastGoodSeq: 2 })
  await seal()
  expect(await send(stand.intake.open("history"), second.sign())).toMatchObject({
    code: 14,
    head: { seq: 3 },
  })
  await change({ action: "rotate", device: "history", key: makeKey("h3").publicKey, firstSeq: 4 })
  const third = withKey(second, "h3")
  await change({ action: "suspend", device: "history" })
  expect(await send(stand.intake.open("history"), third.sign())).toMatchObject({ code: 40 })
  await seal()
  await change({ action: "resume", device: "history" })
  expect(await say(third)).toMatchObject({ code: 1, seq: 4 })
  await change({ action: "revoke", device: "history" })
  expect(await send(stand.intake.open("history"), third.sign())).toMatchObject({ code: 14 })
  await seal()
  expect(new Set(moved).size).toBe(moved.length)
  await passesAudit()
})

test("what is in flight when the registry changes is neither judged nor acknowledged", async () => {
  const device = await stand.enrol("in-flight")
  const place = stand.intake.open(device.id)
  await ask(place)
  const client = await stand.pool.connect()
  await client.query("begin")
  await client.query("select from chain_heads where device_id = $1 for update", [device.id])
  const waiting = `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%chain_heads%for update%'`
  const changed = changeRegistry(stand.pool, stand.keys, [{ action: "suspend", device: device.id }])
  await untilTrue(stand.pool, `${waiting})`)
  const answer = offer(place, device.sign().bytes)
  await client.query("rollback")
  client.release()
  expect((await changed)[0]).toMatchObject({ kind: "changed" })
  // Judged before the change, or not at all: never behind it by the epoch from before.
  expect([null, 1]).toContain((await answer)?.code ?? null)
  expect(await offer(place, device.sign().bytes)).toBeNull()
})

test("a device of the kit rotates over MQTT while it goes on saying things, and all of it verifies", async () => {
  const service = await openServiceStand()
  const key = makeKey("kit")
  const { keys } = service.service
  await changeRegistry(service.pool, keys, [
    { action: "enrol", device: "kit", key: key.publicKey, firstSeq: 1 },
  ])
  const device = new Device({
    id: "kit",
    signer: makeSigner(key),
    origin: keys.origin,
    service: { url: `mqtt://127.0.0.1:${service.service.mqtt}` },
    outbox: makeMemoryOutbox(),
    keyStore: makeMemoryKeyStore(),
    rules: { reconnectMsMin: 10, backoffMsBase: 10 },
  })
  try {
    await device.start()
    const said = (text: string) => device.publish({ content: "text/plain", payload: encodeUtf8(text) })
    const before = said("before")
    const rotated = device.rotate(makeSigner(makeKey("kit, next")))
    const behind = said("behind")
    expect([(await before).kind, await rotated, (await behind).kind]).toEqual(["stored", "rotated", "stored"])
    expect(await device.rotate(makeSigner(makeKey("kit, third")))).toBe("rotated")
    await said("at last")
    expect((await readDevices(service.pool, ["kit"])).get("kit")!.keys).toMatchObject([
      { firstSeq: 1, lastSeq: 2 },
      { firstSeq: 3, lastSeq: 4, introducedBy: "request" },
      { firstSeq: 5, lastSeq: null, introducedBy: "request" },
    ])
    await expect(device.rotate(makeSigner(key))).resolves.toBe("refused")
  } finally {
    await device.stop()
    await service.close()
  }
})
