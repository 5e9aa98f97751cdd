import * as fc from "fast-check"
import { generate } from "mqtt-packet"
import { expect, test } from "vitest"
import { startBroker } from "../../broker/broker.ts"
import type { Submit } from "../../broker/submit.ts"
import { RawClient } from "./raw-client.ts"
import { acceptAll, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

// A rejection or exception that nobody handles fails the run: vitest reports it as an error of its own.

test("what is no MQTT is closed at its first byte", async () => {
  const stand = await standBroker(new ScriptedSubmit())
  const hello = [
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Uint8Array.of(0x16, 0x03, 0x01),
    Uint8Array.of(0),
    Uint8Array.of(0x11),
  ]
  const early = [generate({ cmd: "pingreq" }), generate({ cmd: "disconnect" })]
  for (const bytes of [...hello, ...early]) {
    const client = await RawClient.open(stand.port)
    client.sendBytes(bytes)
    expect(await client.readUntilClose()).toEqual([])
  }
  expect(stand.refusals).toEqual(Array(6).fill("not-mqtt"))
})

test.each([
  [
    "a second CONNECT",
    generate({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 4,
      clientId: "k7",
      clean: true,
      keepalive: 0,
    }),
  ],
  ["a CONNACK", Uint8Array.of(0x20, 2, 0, 0)],
  ["a SUBACK", Uint8Array.of(0x90, 3, 0, 1, 0)],
  ["packet type 0", Uint8Array.of(0x00, 0)],
  ["packet type 15", Uint8Array.of(0xf0, 0)],
  ["a length of five bytes", Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01)],
  ["a PUBLISH at QoS 3", Uint8Array.of(0x36, 5, 0, 1, 0x61, 0, 1)],
  ["a PUBLISH without a topic", Uint8Array.of(0x30, 0)],
  ["a PUBLISH to an empty topic", Uint8Array.of(0x30, 3, 0, 0, 1)],
  [
    "a large PUBLISH whose topic is longer than itself",
    Uint8Array.of(0x30, 0xa0, 0x80, 0x04, 0xff, 0xff, ...new Uint8Array(70_000)),
  ],
  ["a SUBSCRIBE with wrong flags", Uint8Array.of(0x80, 6, 0, 1, 0, 1, 0x61, 0)],
  ["a SUBSCRIBE without topics", Uint8Array.of(0x82, 0)],
  ["a SUBSCRIBE to an empty topic", Uint8Array.of(0x82, 5, 0, 1, 0, 0, 0)],
  ["a SUBSCRIBE at QoS 3", Uint8Array.of(0x82, 6, 0, 1, 0, 1, 0x61, 3)],
  ["a SUBSCRIBE whose topic is longer than itself", Uint8Array.of(0x82, 5, 0, 1, 0xff, 0xff, 0x61)],
  ["an UNSUBSCRIBE from a wrong wildcard", Uint8Array.of(0xa2, 7, 0, 1, 0, 3, 0x61, 0x23, 0x62)],
  ["a PINGREQ with a body", Uint8Array.of(0xc0, 1, 0)],
])("%s closes its sender, is counted, and hurts nobody else", async (_, bytes) => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const other = await RawClient.connect(stand.port, "k8")
  const client = await RawClient.connect(stand.port, "k7")
  client.sendBytes(bytes)
  expect(await client.readUntilClose()).toEqual([])
  expect(stand.refusals).toEqual(["protocol"])
  expect(await other.ping()).toEqual([])
  expect(submit.asked).toEqual([])
})

test("one byte at a time is as good as all at once", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const connect = generate({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clientId: "k7",
    clean: true,
    keepalive: 0,
  })
  const topic = "v1/k7/statements"
  const publish = generate({
    cmd: "publish",
    topic,
    payload: Buffer.alloc(300, 7),
    qos: 1,
    messageId: 9,
    dup: false,
    retain: false,
  })
  const subscribe = generate({
    cmd: "subscribe",
    messageId: 10,
    subscriptions: [{ topic: "v1/k7/receipts", qos: 1 }],
  })
  const client = await RawClient.open(stand.port)
  for (const byte of Buffer.concat([connect, publish, subscribe, Uint8Array.of(0xc0, 0)])) {
    await new Promise<void>((resolve) => client.socket.write(Uint8Array.of(byte), () => resolve()))
  }
  const packets = []
  while (packets.length < 5) packets.push((await client.next()).cmd)
  expect(packets.toSorted()).toEqual(["connack", "pingresp", "puback", "publish", "suback"])
  expect(submit.asked.map((asked) => asked.message)).toEqual([
    { kind: "statement", bytes: new Uint8Array(300).fill(7) },
    { kind: "question" },
  ])
})

test("any cutting of a conversation into writes gives the same conversation", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const sizes = [1, 0, 200, 65_535, 65_536, 0, 100_000, 3]
  const frames = sizes.map((size, i) =>
    generate({
      cmd: "publish",
      topic: "v1/k7/statements",
      payload: Buffer.alloc(size, i),
      qos: 1,
      messageId: i + 1,
      dup: false,
      retain: false,
    }),
  )
  const whole = Buffer.concat(frames)
  const expected = sizes.map((size) => (size === 0 ? -1 : size))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: whole.length }), { maxLength: 12 }), async (cuts) => {
      const from = submit.asked.length
      const client = await RawClient.connect(stand.port, "k7")
      let at = 0
      for (const cut of [...cuts.toSorted((a, b) => a - b), whole.length]) {
        const part = whole.subarray(at, cut)
        at = cut
        await new Promise<void>((resolve) => client.socket.write(part, () => resolve()))
      }
      await submit.until(() => submit.asked.length === from + sizes.length)
      const got = submit.asked.slice(from).map(({ message }) => {
        if (message.kind === "question") return -1
        return message.kind === "too-large" ? message.sizeBytes : message.bytes.length
      })
      expect(got).toEqual(expected)
      await client.destroy()
    }),
    { numRuns: 40 },
  )
})

test("random bytes, before CONNECT and behind it, close their own connection or are waited for; others never notice", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const other = await RawClient.connect(stand.port, "witness")
  const connect = generate({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clientId: "k7",
    clean: true,
    keepalive: 0,
  })
  const start = fc.constantFrom(new Uint8Array(0), Uint8Array.of(0x10), connect)
  const header = fc.constantFrom(
    0x10,
    0x20,
    0x30,
    0x32,
    0x34,
    0x3d,
    0x40,
    0x50,
    0x62,
    0x70,
    0x82,
    0xa2,
    0xc0,
    0xe0,
  )
  const frame = fc
    .tuple(header, fc.uint8Array({ maxLength: 100 }))
    .map(([firstByte, body]) => Uint8Array.of(firstByte, body.length, ...body))
  const tail = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(frame, { maxLength: 5 }).map((all) => Buffer.concat(all)),
  )
  await fc.assert(
    fc.asyncProperty(start, tail, async (first, rest) => {
      const client = await RawClient.open(stand.port)
      await new Promise<void>((resolve) => client.socket.write(Buffer.concat([first, rest]), () => resolve()))
      expect(await other.ping()).toEqual([])
      await client.destroy()
    }),
    { numRuns: 300 },
  )
  other.publish("still here")
  await other.expect("puback")
  await stand.until(() => stand.count.connected - stand.count.disconnected === 1)
  expect(stand.events.filter((event) => event.kind === "fault")).toEqual([])
})

function throwing(part: "open" | "submit" | "reject" | "close" | "receipt"): Submit {
  const fault = (): never => {
    throw new Error(`${part} is broken`)
  }
  const good = new ScriptedSubmit(acceptAll)
  return {
    open(deviceId) {
      const place = good.open(deviceId)
      if (deviceId === "witness") return place
      if (part === "open") fault()
      return {
        submit(message) {
          if (part === "submit") fault()
          if (part === "reject") return Promise.reject(new Error("reject is broken"))
          if (part !== "receipt") return place.submit(message)
          return Promise.resolve({ kind: "receipt", code: 1, receipt: new Uint8Array(200), refused: true })
        },
        close: part === "close" ? fault : () => place.close(),
      }
    },
  }
}

test.each(["open", "submit", "reject", "close", "receipt"] as const)(
  "an answering side whose %s is broken costs one connection, without PUBACK, and is told",
  async (part) => {
    const stand = await standBroker(throwing(part))
    const other = await RawClient.connect(stand.port, "witness")
    const client = await RawClient.connect(stand.port, "k7")
    client.publish("a statement")
    if (part === "close") {
      await client.expect("puback")
      await client.destroy()
    }
    expect(await client.readUntilClose()).toEqual([])
    await stand.until(() => stand.events.some((event) => event.kind === "fault"))
    const fault = stand.events.find((event) => event.kind === "fault")
    expect(fault).toMatchObject({ kind: "fault", deviceId: "k7" })
    expect(await other.ping()).toEqual([])
    other.publish("a statement")
    await other.expect("puback")
  },
)

function fail(): never {
  throw new Error("no counting today")
}

test("counters and a log that throw change nothing", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const counters = { connected: fail, disconnected: fail, refusedConnection: fail, dropped: fail }
  const broker = await startBroker({
    submit,
    listeners: [{ transport: "mqtt", host: "127.0.0.1", port: 0 }],
    counters,
    say: fail,
  })
  try {
    const client = await RawClient.connect(broker.listeners[0]!.port, "k7")
    client.publish("a statement")
    await client.expect("puback")
    const stranger = await RawClient.open(broker.listeners[0]!.port, "k.7")
    stranger.sendConnect()
    expect((await stranger.expect("connack")).returnCode).toBe(2)
    await client.destroy()
    await submit.until(() => submit.closed.length === 1)
  } finally {
    await broker.close()
  }
})
