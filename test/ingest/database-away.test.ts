import { algorithmEsp256 } from "../../chain/key.ts"
import { expect, test } from "vitest"
import { enrolDevices } from "../../ingest/registry.ts"
import { RawClient } from "../broker/raw-client.ts"
import { DeviceSession } from "./device-session.ts"
import { type Proxy, openProxy } from "./proxy.ts"
import { openServiceStand } from "./service-stand.ts"
import { TestDevice } from "./stand.ts"

test("while the database is away a device gets no PUBACK, /readyz says why, and then everything goes on", async () => {
  let proxy: Proxy | null = null
  const stand = await openServiceStand({
    through: async (url) => {
      proxy = await openProxy(url)
      return proxy.url
    },
  })
  const device = new TestDevice("waits", algorithmEsp256, stand.service.keys.binding)
  await enrolDevices(stand.pool, stand.service.keys, [{ device: device.id, key: device.key.publicKey }])
  const session = await DeviceSession.open(stand.service.mqtt, device.id)
  expect(await session.say(device.next().bytes)).toMatchObject({ receipt: { code: 1 }, isAcknowledged: true })
  expect(await stand.ready()).toMatchObject({ status: 200, troubles: [] })

  proxy!.cut()
  const sent = Array.from({ length: 30 }, () => device.next().bytes)
  const ids = sent.map((bytes) => session.client.publish(bytes))
  // Another one that comes meanwhile is let in, and waits with its question.
  const late = await RawClient.connect(stand.service.mqtt, "comes-meanwhile")
  expect(await late.subscribe()).toEqual([0])
  while (proxy!.refusedCount() < 3) await stand.pool.query("select pg_sleep(0.01)")
  expect(await session.client.ping()).toEqual([])
  expect(await late.ping()).toEqual([])
  const away = await stand.ready()
  expect(away.status).toBe(503)
  expect(JSON.stringify(away.troubles)).toMatch(/nothing is acknowledged until it does/)
  const { rows } = await stand.pool.query("select seq from chain_heads where device_id = 'waits'")
  expect(rows).toEqual([{ seq: 1 }])

  proxy!.restore()
  const acknowledged = []
  while (acknowledged.length < sent.length) {
    const packet = await session.client.next()
    if (packet.cmd === "puback") acknowledged.push(packet.messageId)
  }
  expect(acknowledged).toEqual(ids)
  expect((await late.readUntilClose()).map(({ cmd }) => cmd)).toEqual(["publish"])
  expect(await stand.ready()).toMatchObject({ status: 200, troubles: [] })
  const { rows: heads } = await stand.pool.query("select seq from chain_heads where device_id = 'waits'")
  expect(heads).toEqual([{ seq: 31 }])
  expect((await stand.metrics()).get('tidemark_verdicts_total{verdict="accepted"}')).toBe(31)
  await session.close()
  await stand.close()
  await proxy!.close()
})
