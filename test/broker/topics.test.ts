import { generate } from "mqtt-packet"
import { expect, test } from "vitest"
import { makeRandom } from "../../devices-sim/random.ts"
import { explainPublish } from "../../broker/topic.ts"
import { RawClient } from "./raw-client.ts"
import { acceptAll, accepted, head, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

const foreign = [
  "v1/k8/statements",
  "v1/k7/receipts",
  "v1/k8/receipts",
  "v1/k7/statements/",
  "v1/k7/statements/x",
  "/v1/k7/statements",
  "v2/k7/statements",
  "V1/k7/statements",
  "$SYS/x/new/clients",
  "$SYS/x/heartbeat",
  "anything",
  "v1/+/statements",
  "v1/#",
  "a/".repeat(200),
]

test.each(foreign)(
  "a publication to %s closes its sender without PUBACK, is counted, and hurts nobody else",
  async (topic) => {
    const submit = new ScriptedSubmit(acceptAll)
    const stand = await standBroker(submit)
    const other = await RawClient.connect(stand.port, "k8")
    await other.subscribe()
    await other.expectReceipt()
    for (const qos of [0, 1, 2] as const) {
      const client = await RawClient.connect(stand.port, "k7")
      client.publish("k8", { topic, qos })
      expect(await client.readUntilClose()).toEqual([])
    }
    expect(await other.ping()).toEqual([])
    expect(stand.refusals).toHaveLength(3)
    expect(new Set(stand.refusals)).toEqual(
      new Set([/[+#]|(a\/){200}/.test(topic) ? "protocol" : "wrong-topic"]),
    )
    expect(submit.asked.map((asked) => [asked.deviceId, asked.message.kind])).toEqual([["k8", "question"]])
  },
)

test.each([
  ["v1/k7/statement", "did you mean v1/k7/statements?; "],
  ["/v1/k7/statements", "did you mean v1/k7/statements?; "],
  ["v1/k8/statements", 'that topic is of device "k8", and this client id is k7; '],
  ["v1/k7/receipts", "receipts are what the service publishes; "],
  ["v1/k7/receipt", "receipts are what the service publishes; "],
  ["sensors/heart-rate", ""],
])("field D4: a message to %s is told with its topic and what was meant", async (topic, why) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll))
  const client = await RawClient.connect(stand.port, "k7")
  client.publish("a reading", { topic })
  expect(await client.readUntilClose()).toEqual([])
  expect(stand.events.at(-1)).toEqual({
    kind: "refused-connection",
    reason: "wrong-topic",
    deviceId: "k7",
    clientId: '"k7"',
    detail: `a message to "${topic}": ${why}k7 publishes to v1/k7/statements only`,
  })
})

test("field D4: a denied SUBSCRIBE is counted and told with its topic, at most four times a connection", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll))
  const client = await RawClient.connect(stand.port, "k7")
  const topics = ["v1/k7/receipt", "v1/+/receipts", "v1/k7/statements", "v1/k8/receipts", "x", "y"]
  for (const topic of topics) await client.subscribe([topic])
  expect(stand.denials.count).toBe(topics.length)
  const told = stand.events.flatMap((event) => (event.kind === "denied-subscription" ? [event.detail] : []))
  const rule = "k7 subscribes to v1/k7/receipts only"
  expect(told).toEqual([
    `a subscription to "v1/k7/receipt": did you mean v1/k7/receipts?; ${rule}`,
    `a subscription to "v1/+/receipts": there are no wildcards; ${rule}`,
    `a subscription to "v1/k7/statements": statements are handed to nobody; ${rule}`,
    `a subscription to "v1/k8/receipts": that topic is of device "k8", and this client id is k7; ${rule}`,
  ])
  expect(stand.refusals).toEqual([])
})

test("a topic of 65,000 bytes is told by its beginning, and costs no comparison", () => {
  const detail = explainPublish(`v1/k7/${"x".repeat(65_000)}`, "k7", true)
  expect(detail.length).toBeLessThan(300)
  expect(detail).toContain("… (65006 characters)")
})

test("a forged $SYS/x/new/clients disconnects its forger only", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll))
  const victim = await RawClient.connect(stand.port, "k8")
  const forger = await RawClient.connect(stand.port, "k7")
  forger.publish("k8", { topic: "$SYS/x/new/clients", qos: 0 })
  expect(await forger.readUntilClose()).toEqual([])
  expect(await victim.ping()).toEqual([])
  victim.publish("still here")
  await victim.expect("puback")
})

test("one's own receipts are granted at QoS 0, whatever is asked for, and everything else is answered 0x80", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  const refused = [
    "v1/k7/statements",
    "v1/k8/receipts",
    "v1/k8/statements",
    "v1/+/receipts",
    "v1/k7/+",
    "v1/k7/#",
  ]
  const more = [
    "#",
    "+",
    "+/+/+",
    "$SYS/#",
    "$SYS/+/new/clients",
    "$share/g/v1/k7/receipts",
    "v1/k7/receipts/#",
  ]
  for (const topic of [...refused, ...more])
    expect([topic, await client.subscribe([topic], 1)]).toEqual([topic, [0x80]])
  expect(submit.asked).toEqual([])
  for (const qos of [0, 1, 2] as const) {
    expect(await client.subscribe(["v1/k7/receipts"], qos)).toEqual([0])
    await client.expectReceipt()
  }
  expect(await client.subscribe(["v1/k8/receipts", "v1/k7/receipts", "#"], 2)).toEqual([0x80, 0, 0x80])
  await client.expectReceipt()
  expect(submit.asked.map((asked) => asked.message.kind)).toEqual(Array(4).fill("question"))
  expect(stand.refusals).toEqual([])
})

test("a subscription asks for the head: SUBACK, then the answer", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  expect(await client.subscribe()).toEqual([0])
  const asked = await submit.next()
  expect(asked.message).toEqual({ kind: "question" })
  expect(await client.ping()).toEqual([])
  asked.answer(head(Uint8Array.of(7, 7)))
  expect(await client.expectReceipt()).toEqual(Uint8Array.of(7, 7))
})

test("who unsubscribes hears no more acceptances", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll))
  const client = await RawClient.connect(stand.port, "k7")
  await client.subscribe()
  await client.expectReceipt()
  client.publish("one")
  await client.expectReceipt()
  await client.expect("puback")
  client.send({ cmd: "unsubscribe", messageId: 900, unsubscriptions: ["v1/k7/receipts", "v1/k8/receipts"] })
  await client.expect("unsuback")
  client.publish("two")
  await client.expect("puback")
  expect(await client.ping()).toEqual([])
})

test("no message reaches another device, and nothing is retained", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const other = await RawClient.connect(stand.port, "k8")
  expect(await other.subscribe(["v1/k8/receipts", "v1/k7/statements", "#"])).toEqual([0, 0x80, 0x80])
  await other.expectReceipt()
  const client = await RawClient.connect(stand.port, "k7")
  await client.subscribe()
  await client.expectReceipt()
  for (const qos of [0, 1, 2] as const) {
    client.publish("retain me", { qos, retain: true })
    await client.expectReceipt()
    if (qos > 0) await client.expect(qos === 1 ? "puback" : "pubrec")
  }
  expect(await other.ping()).toEqual([])
  const late = await RawClient.connect(stand.port, "k9")
  expect(await late.subscribe(["v1/k9/receipts", "v1/k7/statements", "v1/k7/receipts", "#"])).toEqual([
    0, 128, 128, 128,
  ])
  await late.expectReceipt()
  expect(await late.ping()).toEqual([])
  expect(await client.ping()).toEqual([])
})

test("a statement's bytes arrive as they were sent, and stay so when the next ones come", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  const sent = Array.from({ length: 60 }, (_, i) => new Uint8Array(1 + i * 37).fill(i + 1))
  for (const bytes of sent) client.publish(bytes)
  await submit.until(() => submit.asked.length === sent.length)
  for (const [i, asked] of submit.asked.entries()) {
    if (asked.message.kind !== "statement") throw new Error(asked.message.kind)
    expect(asked.message.bytes).toEqual(sent[i])
    // Not a view of what the socket read, up to 64 KiB that would stay as long as one statement of it waits.
    expect(asked.message.bytes.buffer.byteLength).toBeLessThanOrEqual(
      Math.max(asked.message.bytes.length, Buffer.poolSize),
    )
    asked.answer(accepted())
  }
  for (const _ of sent) await client.expect("puback")
})

test("messages of every kind are submitted in the order in which they came, however their bytes are cut", async () => {
  const submit = new ScriptedSubmit(() => accepted())
  const stand = await standBroker(submit)
  const random = makeRandom("order of messages")
  const client = await RawClient.connect(stand.port, "k7")
  const topic = "v1/k7/statements"
  const sent: string[] = []
  const frames: Uint8Array[] = []
  const acknowledged: number[] = []
  for (let id = 1; id <= 400; id++) {
    if (random.int(0, 19) === 0) {
      frames.push(
        generate({ cmd: "subscribe", messageId: id, subscriptions: [{ topic: "v1/k7/receipts", qos: 0 }] }),
      )
      sent.push("question")
      continue
    }
    const qos = random.pick([0, 1, 1, 1, 1, 1, 2] as const)
    const payload = Buffer.alloc(random.pick([0, 1, 200, 9_000]), String(id).padStart(4, "0"))
    const said = { dup: random.int(0, 1) === 1, retain: random.int(0, 1) === 1 }
    frames.push(
      generate({ cmd: "publish", topic, payload, qos, messageId: id, ...said, dup: qos > 0 && said.dup }),
    )
    sent.push(payload.length === 0 ? "question" : payload.toString())
    if (qos === 1) acknowledged.push(id)
  }
  const bytes = Buffer.concat(frames)
  for (let at = 0; at < bytes.length;) {
    const size = random.pick([1, 7, 300, 20_000])
    client.socket.write(bytes.subarray(at, at + size))
    at += size
    // Each piece by itself.
    await new Promise((resolve) => setImmediate(resolve))
  }
  await submit.until(() => submit.asked.length === sent.length)
  const order = submit.asked.map(({ message }) =>
    message.kind === "statement" ? Buffer.from(message.bytes).toString() : message.kind,
  )
  expect(order).toEqual(sent)
  const told: number[] = []
  while (told.length < acknowledged.length) {
    const packet = await client.next()
    if (packet.cmd === "puback") told.push(packet.messageId!)
  }
  expect(told).toEqual(acknowledged) // [MQTT-4.6.0-2]
})
