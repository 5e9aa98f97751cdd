import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { checkCoseReceipt, decodeCoseReceipt } from "../../chain/cose-receipt.ts"
import { parseHash } from "../../chain/hash.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { Device, makeSigner } from "../../devices-sim/connection.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { type ServiceStand, openServiceStand } from "./service-stand.ts"

const key = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(5))
let stand: ServiceStand
let k7: Device

beforeAll(async () => {
  stand = await openServiceStand()
  const { service, pool } = stand
  await enrolDevices(pool, service.keys, [{ device: "k7", key: key.publicKey }])
  k7 = new Device({
    id: "k7",
    signer: makeSigner(key),
    service: { url: `mqtt://127.0.0.1:${service.mqtt}` },
  })
  await k7.start()
})
afterAll(async () => {
  await k7.stop()
  await stand.close()
})

const say = (text: string) => k7.publish({ content: "text/plain", payload: encodeUtf8(text) })

test("a device asks over MQTT for the receipt of a sealed statement, checks it, and is told where there is none yet", async () => {
  const { service, pool } = stand
  for (const text of ["a", "b"]) await say(text)
  expect(await k7.askSealed()).toEqual({ seq: null, receipt: null })
  expect(await k7.askSealed(1)).toEqual({ seq: 1, receipt: null })
  await service.seal()
  await say("c")
  const [newest, first, waiting, never] = await Promise.all([
    k7.askSealed(),
    k7.askSealed(1),
    k7.askSealed(3),
    k7.askSealed(4),
  ])
  expect([newest.seq, first.seq]).toEqual([2, 1])
  expect([waiting, never]).toEqual([
    { seq: 3, receipt: null },
    { seq: 4, receipt: null },
  ])
  const { rows } = await pool.query<{ seq: number; entry: Buffer }>(
    "select seq, entry from entries where device_id = 'k7' order by seq",
  )
  for (const { seq, receipt } of [newest, first]) {
    const entry = parseHash(rows[seq! - 1]!.entry)
    const decoded = decodeCoseReceipt(receipt!)
    expect(checkCoseReceipt(decoded, entry, service.keys.receipt.publicKey).kind).toBe("good")
    expect(decoded.origin).toBe(service.keys.origin)
    expect(receipt!.length).toBeLessThan(512)
  }
  // The next tree gives another receipt, and the first stays good.
  await service.seal()
  const again = await k7.askSealed(1)
  expect(again.receipt).not.toEqual(first.receipt)
  expect((await k7.askSealed()).seq).toBe(3)
})

test("a device without a connection is told so, and one that loses it while it asks", async () => {
  const away = new Device({ id: "k7", signer: makeSigner(key), service: { url: "mqtt://127.0.0.1:1" } })
  await expect(away.askSealed()).rejects.toThrow(/no connection/)
  const asked = k7.askSealed(1)
  await k7.stop()
  await asked.then(
    ({ seq }) => expect(seq).toBe(1),
    (error: Error) => expect(error.message).toMatch(/ask again/),
  )
})
