import { expect, test } from "vitest"
import { limitsDefault } from "../../broker/limits.ts"
import { RawClient } from "./raw-client.ts"
import { acceptAll, accepted, refused, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

/** A fixed header that declares `remaining` bytes to follow. */
function declare(firstByte: number, remaining: number): Uint8Array {
  const bytes = [firstByte]
  for (let rest = remaining; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest > 127 ? (rest % 128) + 128 : rest)
    if (rest <= 127) return Uint8Array.from(bytes)
  }
}

const topicSize = "v1/k7/statements".length + 2

test("a statement of 65,535 bytes is taken whole, one of 65,536 is read, thrown away and answered", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  for (const qos of [0, 1, 2] as const) {
    const client = await RawClient.connect(stand.port, "k7")
    client.publish(new Uint8Array(65_535).fill(7), { qos })
    const largest = await submit.next()
    expect(largest.message.kind === "statement" && largest.message.bytes.length).toBe(65_535)
    largest.answer(accepted())
    if (qos > 0) await client.expect(qos === 1 ? "puback" : "pubrec")
    client.publish(new Uint8Array(65_536).fill(7), { qos })
    const larger = await submit.next()
    expect(larger.message).toEqual({ kind: "too-large", sizeBytes: 65_536 })
    larger.answer(refused(11))
    expect(await client.expectReceipt()).toEqual(Uint8Array.of(11))
    expect(await client.readUntilClose()).toEqual([])
  }
  expect(stand.refusals).toEqual([])
})

test("a device that floods with large statements holds a mebibyte of what all may have in flight, and goes on as it is answered", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit, { bytesInFlightMax: 2 * 1024 * 1024 })
  const flooder = await RawClient.connect(stand.port, "k7")
  for (let i = 0; i < 60; i++) flooder.publish(new Uint8Array(60_000).fill(i))
  await submit.until(() => submit.asked.length === 18)
  const other = await RawClient.connect(stand.port, "k8")
  other.publish("a reading")
  await submit.until(() => submit.asked.length === 19)
  // 18 of 60,000 bytes: the last one began below 1,048,576.
  expect(submit.asked.map(({ deviceId }) => deviceId)).toEqual([...Array<string>(18).fill("k7"), "k8"])
  for (let at = 0; at < 61; at++) {
    await submit.until(() => submit.asked.length > at)
    submit.asked[at]!.answer(accepted())
  }
  for (let i = 0; i < 60; i++) await flooder.expect("puback")
})

test("one statement always passes, however small a connection's share is", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit, { connectionBytesInFlightMax: 1 })
  const client = await RawClient.connect(stand.port, "k7")
  for (let i = 0; i < 5; i++) client.publish(new Uint8Array(60_000))
  for (let i = 0; i < 5; i++) await client.expect("puback")
  expect(submit.asked).toHaveLength(5)
})

test("a packet of 256 KiB is still read and answered, and what stands around it keeps its order", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  const payloadSize = limitsDefault.packetSizeMax - topicSize - 2
  client.publish("before")
  client.publish(new Uint8Array(payloadSize))
  client.publish("after")
  client.publish(new Uint8Array(70_000))
  await submit.until(() => submit.asked.length === 4)
  expect(submit.asked.map((asked) => asked.message)).toEqual([
    { kind: "statement", bytes: new TextEncoder().encode("before") },
    { kind: "too-large", sizeBytes: payloadSize },
    { kind: "statement", bytes: new TextEncoder().encode("after") },
    { kind: "too-large", sizeBytes: 70_000 },
  ])
})

test("a statement that is too large is never kept: its bytes are gone before the next ones come", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  const topic = Buffer.from("v1/k7/statements")
  client.sendBytes(declare(0x30, topicSize + 200_000))
  client.sendBytes(Uint8Array.of(0, topic.length, ...topic))
  for (let i = 0; i < 199; i++) client.sendBytes(new Uint8Array(1_000))
  client.sendBytes(new Uint8Array(999))
  // One byte is missing: nothing is submitted yet. A packet on another connection shows that this one was read.
  const other = await RawClient.connect(stand.port, "k8")
  expect(await other.ping()).toEqual([])
  expect(submit.asked).toEqual([])
  client.sendBytes(Uint8Array.of(0))
  expect((await submit.next()).message).toEqual({ kind: "too-large", sizeBytes: 200_000 })
})

test.each([
  ["PUBLISH", 0x32],
  ["SUBSCRIBE", 0x82],
])(
  "%s above 256 KiB closes the connection at its declared length, and is counted outside received",
  async (_, firstByte) => {
    const submit = new ScriptedSubmit(acceptAll)
    const stand = await standBroker(submit)
    const client = await RawClient.connect(stand.port, "k7")
    client.sendBytes(declare(firstByte, 256 * 1024 + 1))
    expect(await client.readUntilClose()).toEqual([])
    expect(stand.refusals).toEqual(["packet-too-large"])
    expect(submit.asked).toEqual([])
  },
)

test("four sockets that declare 256 MiB are closed before they can send them, also before CONNECT", async () => {
  const stand = await standBroker(new ScriptedSubmit())
  const largest = 268_435_455
  for (let i = 0; i < 2; i++) {
    const stranger = await RawClient.open(stand.port)
    stranger.sendBytes(declare(0x10, largest))
    expect(await stranger.readUntilClose()).toEqual([])
    const device = await RawClient.connect(stand.port, "k7")
    device.sendBytes(declare(0x30, largest))
    expect(await device.readUntilClose()).toEqual([])
  }
  expect(stand.refusals).toEqual(Array(4).fill("packet-too-large"))
})

test("a device's 101st statement waits until the first is answered, and its PINGREQ does not", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  for (let i = 0; i < 100; i++) client.publish(`statement ${i}`)
  expect(await client.ping()).toEqual([])
  for (let i = 100; i < 150; i++) client.publish(`statement ${i}`)
  await submit.until(() => submit.asked.length === 100)
  const other = await RawClient.connect(stand.port, "k8")
  expect(await other.ping()).toEqual([])
  expect(submit.asked).toHaveLength(100)
  submit.asked[0]?.answer(accepted())
  await client.expect("puback")
  await submit.until(() => submit.asked.length === 101)
  for (let i = 1; i < 150; i++) {
    await submit.until(() => submit.asked.length > i)
    submit.asked[i]?.answer(accepted())
    await client.expect("puback")
  }
  expect(await client.ping()).toEqual([])
})

test("all of a device's statements in flight are submitted at once, one write each, while none is answered", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  for (let i = 0; i < 100; i++) {
    client.publish(`statement ${i}`)
    await client.ping()
  }
  expect(submit.asked).toHaveLength(100)
})

test("subscriptions wait for their answers like statements: a flood of them is held", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit, { inFlightMax: 10 })
  const client = await RawClient.connect(stand.port, "k7")
  for (let i = 1; i <= 500; i++) {
    client.send({ cmd: "subscribe", messageId: i, subscriptions: [{ topic: "v1/k7/receipts", qos: 0 }] })
  }
  for (let i = 1; i <= 10; i++) expect((await client.expect("suback")).messageId).toBe(i)
  const other = await RawClient.connect(stand.port, "k8")
  expect(await other.ping()).toEqual([])
  expect(submit.asked).toHaveLength(10)
})

test("bytes in flight of all devices are bounded: who comes later is held, and let on when there is room", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit, { bytesInFlightMax: 100_000 })
  const devices = await Promise.all(
    Array.from({ length: 10 }, (_, i) => RawClient.connect(stand.port, `k${i}`)),
  )
  const [first, ...others] = devices
  if (first === undefined) throw new Error("no device")
  first.publish(new Uint8Array(60_000))
  first.publish(new Uint8Array(60_000))
  await submit.until(() => submit.asked.length === 2)
  for (const device of others) device.publish(new Uint8Array(60_000))
  const late = await RawClient.connect(stand.port, "late")
  expect(await late.ping()).toEqual([])
  expect(submit.asked).toHaveLength(2)

  for (let i = 0; i < 11; i++) {
    await submit.until(() => submit.asked.length > i)
    submit.asked[i]?.answer(accepted())
  }
  await first.expect("puback")
  for (const device of devices) await device.expect("puback")
})

test("bytes of a device that is gone are given back when they are answered, and not before", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit, { bytesInFlightMax: 50_000 })
  const gone = await RawClient.connect(stand.port, "k7")
  gone.publish(new Uint8Array(60_000))
  const asked = await submit.next()
  await gone.destroy()
  await submit.until(() => submit.closed.length === 1)
  const client = await RawClient.connect(stand.port, "k8")
  client.publish("a statement")
  const other = await RawClient.connect(stand.port, "k9")
  expect(await other.ping()).toEqual([])
  expect(submit.asked).toHaveLength(1)
  asked.answer({ kind: "dropped" })
  expect((await submit.next()).deviceId).toBe("k8")
})

test("half a statement takes nothing of what all devices share", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit, { bytesInFlightMax: 50_000 })
  const halves = await Promise.all(
    Array.from({ length: 5 }, (_, i) => RawClient.connect(stand.port, `half${i}`)),
  )
  for (const half of halves) {
    half.sendBytes(declare(0x30, 60_000))
    half.sendBytes(new Uint8Array(50_000))
  }
  const client = await RawClient.connect(stand.port, "k7")
  const id = client.publish("a statement")
  expect((await client.expect("puback")).messageId).toBe(id)
})
