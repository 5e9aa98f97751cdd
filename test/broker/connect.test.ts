import { expect, onTestFinished, test, vi } from "vitest"
import { startBroker } from "../../broker/broker.ts"
import { setLongTimer } from "../../broker/long-timer.ts"
import { RawClient } from "./raw-client.ts"
import { acceptAll, accepted, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

async function returnCodeFor(
  port: number,
  options: Parameters<RawClient["sendConnect"]>[0],
): Promise<number> {
  const client = await RawClient.open(port)
  client.sendConnect(options)
  const { returnCode } = await client.expect("connack")
  if (returnCode === 0) await client.destroy()
  await client.closed // a refused one is closed by the broker
  return returnCode ?? -1
}

test("a client id is a device id, or CONNACK 2 says that it is not", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const good = ["k", "k7", "7k", "A_b-C", "x".repeat(50)]
  const bad = [
    "",
    "-k",
    "_k",
    "k.7",
    "k/7",
    "k+",
    "#",
    "k 7",
    "é",
    "x".repeat(51),
    "k7\n",
    "$SYS",
    "__proto__",
  ]
  for (const clientId of good)
    expect([clientId, await returnCodeFor(stand.port, { clientId })]).toEqual([clientId, 0])
  for (const clientId of bad)
    expect([clientId, await returnCodeFor(stand.port, { clientId })]).toEqual([clientId, 2])
  expect(stand.refusals).toEqual(bad.map(() => "identifier"))
  expect(submit.opened).toEqual(good)
})

test("field D4: a client id with : or . is told with its pattern, as it was sent, and does nothing to a terminal", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll))
  for (const clientId of ["sensor:k7", "k.7", "k7\u202e\u009b2J"])
    expect(await returnCodeFor(stand.port, { clientId })).toBe(2)
  expect(stand.events.filter(({ kind }) => kind === "refused-connection")).toEqual(
    ['"sensor:k7"', '"k.7"', '"k7\\u{202e}\\u{9b}2J"'].map((clientId) => ({
      kind: "refused-connection",
      reason: "identifier",
      deviceId: null,
      clientId,
      detail: "the client id is the device id, and must match ^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$",
    })),
  )
})

test("field D4: MQTT 5 is told with the client id and the version that is spoken", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll))
  expect(await returnCodeFor(stand.port, { clientId: "k7", protocolVersion: 5 })).toBe(1)
  expect(await returnCodeFor(stand.port, { clientId: "k7", protocolId: "MQIsdp", protocolVersion: 3 })).toBe(
    1,
  )
  expect(stand.events.filter(({ kind }) => kind === "refused-connection")).toMatchObject(
    ["MQTT 5", '"MQIsdp" version 3'].map((spoken) => ({
      reason: "protocol-version",
      deviceId: "k7",
      detail: `the client speaks ${spoken}, and only MQTT 3.1.1 is spoken here: set protocol version 4 in its options`,
    })),
  )
})

test("field S4: a connection ends when what it was opened by expires, and says so", async () => {
  const ends = { afterMs: 50, reason: "token-expired" } as const
  const judge = () => Promise.resolve({ kind: "accepted", ends } as const)
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, { login: { judge, isRequired: true } })
  const client = await RawClient.connect(stand.port, "k7")
  client.publish("before its end")
  await client.expect("puback")
  await client.readUntilClose()
  expect(stand.events.at(-1)).toMatchObject({ reason: "token-expired", deviceId: "k7" })
})

test("what expires in a year neither ends at once nor never", () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const year = 366 * 24 * 3_600_000
  let runs = 0
  setLongTimer(year, () => (runs += 1))
  const forget = setLongTimer(year, () => (runs += 100))
  vi.advanceTimersByTime(year - 1)
  forget()
  expect(runs).toBe(0)
  vi.advanceTimersByTime(year)
  expect(runs).toBe(1)
})

test("a refused CONNACK arrives at a client that already pipelined a statement behind its CONNECT", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const client = await RawClient.open(stand.port, "k.7")
  client.sendConnect()
  for (let i = 0; i < 200; i++) client.publish(new Uint8Array(1000))
  expect((await client.readUntilClose()).map((packet) => packet.cmd)).toEqual(["connack"])
  expect(submit.asked).toEqual([])
})

test("only MQTT 3.1.1 is spoken: 3.1, 5 and bridges get CONNACK 1", async () => {
  const stand = await standBroker(new ScriptedSubmit())
  expect(await returnCodeFor(stand.port, { protocolId: "MQIsdp", protocolVersion: 3 })).toBe(1)
  expect(await returnCodeFor(stand.port, { protocolVersion: 5 })).toBe(1)
  expect(await returnCodeFor(stand.port, { protocolId: "MQIsdp", protocolVersion: 4 })).toBe(1)
  const bridge = await RawClient.open(stand.port)
  bridge.sendBytes(Uint8Array.of(0x10, 14, 0, 4, 0x4d, 0x51, 0x54, 0x54, 0x84, 2, 0, 0, 0, 2, 0x6b, 0x37))
  expect((await bridge.expect("connack")).returnCode).toBe(1)
  expect(stand.refusals).toEqual(Array(4).fill("protocol-version"))
  expect(stand.count.connected).toBe(0)
})

test("a session is clean whatever the client asks for: nothing is present when it comes back", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const first = await RawClient.connect(stand.port, "k7", { clean: false })
  expect(await first.subscribe()).toEqual([0])
  await first.expectReceipt()
  await first.destroy()
  await stand.until(() => stand.count.disconnected === 1)

  const again = await RawClient.open(stand.port, "k7")
  again.sendConnect({ clean: false })
  expect((await again.expect("connack")).sessionPresent).toBe(false)
  again.publish("a statement")
  // Not subscribed any more: PUBACK alone.
  await again.expect("puback")
  expect(await again.ping()).toEqual([])
  expect(submit.asked.filter((asked) => asked.message.kind === "question")).toHaveLength(1)
})

test("a will is taken in CONNECT and thrown away, however the connection ends and whatever its topic", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const other = await RawClient.connect(stand.port, "k8")
  await other.subscribe()
  await other.expectReceipt()
  const topics = ["v1/k7/statements", "v1/k8/receipts", "$SYS/x/new/clients", "a/".repeat(300)]
  for (const [i, topic] of topics.entries()) {
    const client = await RawClient.connect(stand.port, "k7", {
      will: { topic, payload: Buffer.from("k8"), qos: 1, retain: true },
    })
    await client.destroy()
    await stand.until(() => stand.count.disconnected === i + 1)
  }
  expect(await other.ping()).toEqual([])
  expect(submit.asked.map((asked) => asked.message.kind)).toEqual(["question"])
  expect(stand.broker.connectionCount()).toBe(1)
})

test("a second connection of a device closes the first, which hurts no other device", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const other = await RawClient.connect(stand.port, "k8")
  const older = await RawClient.connect(stand.port, "k7")
  older.publish("in flight")
  const asked = await submit.next()
  const newer = await RawClient.connect(stand.port, "k7")
  expect(await older.readUntilClose()).toEqual([])
  expect(submit.closed).toEqual(["k7"])
  asked.answer(accepted())
  expect(await newer.ping()).toEqual([])
  expect(await other.ping()).toEqual([])
  expect(stand.broker.connectionCount()).toBe(2)
  expect(stand.count).toEqual({ connected: 3, disconnected: 1, dropped: 1 })
})

test("the count of connections stays right when devices come, take over and go in any order", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  for (let round = 0; round < 20; round++) {
    const clients = await Promise.all(
      ["a", "a", "b", "b", "c"].map(async (id) => {
        const client = await RawClient.open(stand.port, id)
        client.sendConnect()
        return client
      }),
    )
    await Promise.all(clients.map((client) => client.destroy()))
  }
  const last = await RawClient.connect(stand.port, "a")
  await stand.until(() => stand.count.connected - stand.count.disconnected === 1)
  expect(stand.broker.connectionCount()).toBe(1)
  await last.destroy()
  await stand.until(() => stand.count.connected === stand.count.disconnected)
  expect(stand.broker.connectionCount()).toBe(0)
  expect(submit.closed).toHaveLength(submit.opened.length)
})

test("a client that pipelines 300 statements behind its CONNECT gets all its PUBACKs", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const client = await RawClient.open(stand.port)
  client.sendConnect()
  const ids = Array.from({ length: 300 }, (_, i) => client.publish(`statement ${i}`))
  expect((await client.expect("connack")).returnCode).toBe(0)
  for (const id of ids) expect((await client.expect("puback")).messageId).toBe(id)
})

test("a socket that sends no whole CONNECT in time is closed, even if it drips", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
  try {
    const stand = await standBroker(new ScriptedSubmit())
    const silent = await RawClient.open(stand.port)
    const dripping = await RawClient.open(stand.port)
    const connected = await RawClient.connect(stand.port, "k7")
    for (const byte of [0x10, 14, 0, 4]) {
      dripping.sendBytes(Uint8Array.of(byte))
      vi.advanceTimersByTime(2_000)
      expect(await connected.ping()).toEqual([])
    }
    vi.advanceTimersByTime(2_000)
    expect(await silent.readUntilClose()).toEqual([])
    expect(await dripping.readUntilClose()).toEqual([])
    expect(stand.refusals).toEqual(["connect-timeout", "connect-timeout"])
    expect(await connected.ping()).toEqual([])
    vi.advanceTimersByTime(60_000)
    expect(await connected.ping()).toEqual([])
  } finally {
    vi.useRealTimers()
  }
})

test("keepalive closes a silent device, and no device whose PINGREQ comes while a commit is stalled", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
  try {
    const submit = new ScriptedSubmit()
    const stand = await standBroker(submit)
    const client = await RawClient.connect(stand.port, "k7", { keepalive: 10 })
    for (let i = 0; i < 3; i++) client.publish(`statement ${i}`)
    await submit.until(() => submit.asked.length === 3)
    for (let i = 0; i < 4; i++) {
      vi.advanceTimersByTime(14_000)
      expect(await client.ping()).toEqual([])
    }
    for (const asked of submit.asked) asked.answer(accepted())
    for (let i = 0; i < 3; i++) await client.expect("puback")
    vi.advanceTimersByTime(15_001)
    expect(await client.readUntilClose()).toEqual([])
    expect(stand.refusals).toEqual(["keepalive"])
  } finally {
    vi.useRealTimers()
  }
})

test("sockets beyond the limit are closed and counted, and the others stay", async () => {
  const stand = await standBroker(new ScriptedSubmit(), { connectionsMax: 2 })
  const clients = [await RawClient.connect(stand.port, "k1"), await RawClient.connect(stand.port, "k2")]
  const third = await RawClient.open(stand.port, "k3")
  expect(await third.readUntilClose()).toEqual([])
  expect(stand.refusals).toEqual(["too-many-connections"])
  for (const client of clients) expect(await client.ping()).toEqual([])
})

test("a host that is not loopback is refused by name", async () => {
  for (const host of ["0.0.0.0", "::", "192.168.1.4", "example.org", "127.0.0.1.example.org", ""]) {
    const listeners = [{ transport: "mqtt", host, port: 0 }] as const
    const started = startBroker({ submit: new ScriptedSubmit(), listeners })
    await expect(started).rejects.toThrow(`mqtt on ${host}, which is no loopback address`)
  }
})

test("a port that is taken is an error that says so", async () => {
  const stand = await standBroker(new ScriptedSubmit())
  const listeners = [{ transport: "mqtt", host: "127.0.0.1", port: stand.port }] as const
  const second = startBroker({ submit: new ScriptedSubmit(), listeners })
  await expect(second).rejects.toThrow("EADDRINUSE")
})
