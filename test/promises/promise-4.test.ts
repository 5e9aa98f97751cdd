import { afterAll, beforeAll, expect, test } from "vitest"
import { algorithmEsp256 } from "../../chain/key.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { RawClient } from "../broker/raw-client.ts"
import { DeviceSession } from "../ingest/device-session.ts"
import { type ServiceStand, openServiceStand } from "../ingest/service-stand.ts"
import { TestDevice } from "../ingest/stand.ts"

let stand: ServiceStand
beforeAll(async () => {
  stand = await openServiceStand()
})
afterAll(() => stand.close())

async function enrol(...ids: string[]): Promise<TestDevice[]> {
  const devices = ids.map((id) => new TestDevice(id, algorithmEsp256, stand.service.keys.binding))
  const enrolments = devices.map(({ id, key }) => ({ device: id, key: key.publicKey }))
  const results = await enrolDevices(stand.pool, stand.service.keys, enrolments)
  if (results.some(({ kind }) => kind !== "enrolled")) throw new Error("a test device was not enrolled")
  return devices
}

/** The honest loop of FORMAT §4: ask, send what the head does not cover, forget what is acknowledged. */
async function deliver(
  device: TestDevice,
  count: number,
  isInterrupted: (round: number) => boolean,
): Promise<Set<number>> {
  const outbox = Array.from({ length: count }, () => device.next().bytes)
  const codes = new Set<number>()
  for (let round = 0; ; round++) {
    const session = await DeviceSession.open(stand.service.mqtt, device.id)
    const { head } = session.told
    codes.add(session.told.code)
    if (head.seq === count) {
      await session.close()
      return codes
    }
    if (isInterrupted(round)) {
      // Everything is on its way, and the power goes.
      for (const bytes of outbox.slice(head.seq)) session.client.publish(bytes)
      session.client.socket.end()
      await session.client.closed
      continue
    }
    for (const bytes of outbox.slice(head.seq)) {
      const heard = await session.say(bytes)
      codes.add(heard.receipt.code)
      if (heard.isClosed) break
    }
    await session.close()
  }
}

test("An honest device is never accused: lost connections, lost answers and late copies end with its chain whole", async () => {
  const devices = await enrol(...Array.from({ length: 6 }, (_, number) => `honest-${number}`))
  const codes = await Promise.all(
    devices.map((device, number) => deliver(device, 40, (round) => round < 6 && (round + number) % 2 === 0)),
  )
  for (const heard of codes) expect([...heard].filter((code) => code > 2)).toEqual([])
  const { rows } = await stand.pool.query(
    "select (select count(*) from forks) as forks, (select count(*) from refusals) as refusals, (select count(*) from entries where device_id like 'honest-%') as entries",
  )
  expect(rows).toEqual([{ forks: 0, refusals: 0, entries: 240 }])
})

/** What a broken or hostile device does, over and over, until it is told to stop. */
async function misbehave(
  device: TestDevice,
  what: (client: RawClient) => void,
  stop: AbortSignal,
): Promise<number> {
  let rounds = 0
  for (; !stop.aborted; rounds++) {
    const client = await RawClient.connect(stand.service.mqtt, device.id)
    what(client)
    // An end that the service may have made first.
    client.socket.end()
    await client.closed
  }
  return rounds
}

test("One bad device never stalls another: floods, forks, garbage and half packets beside honest devices", async () => {
  const [flooder, forker, gapper, garbler, staller] = await enrol("flood", "fork", "gap", "garbage", "stall")
  const honest = await enrol(...Array.from({ length: 5 }, (_, number) => `beside-${number}`))
  const stop = new AbortController()
  const first = forker!.next().bytes
  const forks = Array.from({ length: 5 }, (_, number) => {
    forker!.goOnFrom({ head: forker!.empty })
    return forker!.sign({ iat: 1_700_000_000 + number }).bytes
  })
  flooder!.next()
  const copy = flooder!.sign().bytes
  const bad = [
    misbehave(
      flooder!,
      (client) => void Array.from({ length: 300 }, () => client.publish(copy)),
      stop.signal,
    ),
    misbehave(forker!, (client) => [first, ...forks].forEach((bytes) => client.publish(bytes)), stop.signal),
    misbehave(gapper!, (client) => client.publish(gapper!.sign({ seq: 99 }).bytes), stop.signal),
    misbehave(
      garbler!,
      (client) => {
        client.publish(new Uint8Array(65_535).fill(0x9b))
        client.publish(new Uint8Array(200_000))
      },
      stop.signal,
    ),
    misbehave(
      staller!,
      (client) => client.sendBytes(Uint8Array.of(0x32, 0xff, 0xff, 0x03, 0, 5, 0x76)),
      stop.signal,
    ),
  ]
  // One that says it will send much more, and never does.
  const half = await RawClient.connect(stand.service.mqtt, "unheard-of")
  half.sendBytes(Uint8Array.of(0x32, 0xff, 0xff, 0x03, 0, 5, 0x76))

  const codes = await Promise.all(honest.map((device) => deliver(device, 60, () => false)))
  stop.abort()
  const rounds = await Promise.all(bad)
  await half.destroy()
  for (const heard of codes) expect([...heard].toSorted((a, b) => a - b)).toEqual([0, 1])
  for (const count of rounds) expect(count).toBeGreaterThan(0)
  const { rows } = await stand.pool.query(
    `select (select count(*) from refusals where device_id like 'beside-%') as refused,
            (select count(*) from entries where device_id like 'beside-%') as stored,
            (select count(distinct device_id) from forks where device_id <> 'fork') as accused`,
  )
  expect(rows).toEqual([{ refused: 0, stored: 300, accused: 0 }])
})
