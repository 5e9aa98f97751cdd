import { expect, test } from "vitest"
import { RawClient } from "./raw-client.ts"
import { accepted, dropped, head, refused, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

test("no PUBACK before the answer, and one after it", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  const id = client.publish("a statement")
  const asked = await submit.next()
  expect(asked.message).toEqual({ kind: "statement", bytes: new TextEncoder().encode("a statement") })
  expect(await client.ping()).toEqual([])
  asked.answer(accepted())
  expect((await client.expect("puback")).messageId).toBe(id)
  expect(await client.ping()).toEqual([])
})

test("QoS 2: no PUBREC before the answer, and the exchange completes after it", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  const messageId = client.publish("a statement", { qos: 2 })
  const asked = await submit.next()
  expect(await client.ping()).toEqual([])
  asked.answer(accepted())
  expect((await client.expect("pubrec")).messageId).toBe(messageId)
  client.send({ cmd: "pubrel", messageId })
  expect((await client.expect("pubcomp")).messageId).toBe(messageId)
  expect(submit.asked).toHaveLength(1)
})

test("QoS 2: 3,000 messages over one connection, and a repeated one is submitted again", async () => {
  const submit = new ScriptedSubmit(() => accepted())
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  for (let i = 1; i <= 3_000; i++) {
    const messageId = client.publish("a statement", { qos: 2 })
    await client.expect("pubrec")
    if (i % 1_000 === 0) {
      client.publish("a statement", { qos: 2, messageId, dup: true })
      await client.expect("pubrec")
    }
    client.send({ cmd: "pubrel", messageId })
    await client.expect("pubcomp")
  }
  expect(submit.asked).toHaveLength(3_003)
})

test("QoS 0 has no acknowledgement: a device that subscribed hears its receipt", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  await client.subscribe()
  ;(await submit.next()).answer(head())
  await client.expectReceipt()
  client.publish("a statement", { qos: 0 })
  const asked = await submit.next()
  expect(await client.ping()).toEqual([])
  asked.answer(accepted(Uint8Array.of(1, 2, 3)))
  expect(await client.expectReceipt()).toEqual(Uint8Array.of(1, 2, 3))
  expect(await client.ping()).toEqual([])
})

test("answers go out in order of arrival, even if they are given in another", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  const ids = Array.from({ length: 30 }, (_, i) => client.publish(`statement ${i}`))
  await submit.until(() => submit.asked.length === ids.length)
  for (const asked of submit.asked.slice(1).toReversed()) asked.answer(accepted())
  expect(await client.ping()).toEqual([])
  submit.asked[0]?.answer(accepted())
  for (const id of ids) expect((await client.expect("puback")).messageId).toBe(id)
})

test.each([1, 2] as const)(
  "QoS %i: a receipt goes out before its acknowledgement to a device that subscribed",
  async (qos) => {
    const submit = new ScriptedSubmit((message) => (message.kind === "question" ? head() : accepted()))
    const stand = await standBroker(submit)
    const client = await RawClient.connect(stand.port, "k7")
    await client.subscribe()
    await client.expectReceipt()
    for (let i = 0; i < 50; i++) client.publish(`statement ${i}`, { qos })
    let receipts = 0
    for (let acknowledged = 0; acknowledged < 50;) {
      const packet = await client.next()
      if (packet.cmd === "publish") receipts++
      else acknowledged++
      expect(["publish", qos === 1 ? "puback" : "pubrec"]).toContain(packet.cmd)
      expect(receipts).toBeGreaterThanOrEqual(acknowledged)
    }
    expect(receipts).toBe(50)
  },
)

test("an acceptance is silent to a device that did not subscribe", async () => {
  const stand = await standBroker(new ScriptedSubmit(() => accepted()))
  const client = await RawClient.connect(stand.port, "k7")
  client.publish("a statement")
  await client.expect("puback")
  expect(await client.ping()).toEqual([])
})

test("an empty message asks for the head: answer 0 goes to its asker, then the acknowledgement of that message", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  for (const qos of [0, 1, 2] as const) {
    client.publish("", { qos })
    const asked = await submit.next()
    expect(asked.message).toEqual({ kind: "question" })
    expect(await client.ping()).toEqual([])
    asked.answer(head(Uint8Array.of(0, qos)))
    expect(await client.expectReceipt()).toEqual(Uint8Array.of(0, qos))
    if (qos > 0) await client.expect(qos === 1 ? "puback" : "pubrec")
    expect(await client.ping()).toEqual([])
  }
})

test("a question is answered in its turn, behind the statements before it", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  client.publish("one")
  client.publish("")
  client.publish("two")
  await submit.until(() => submit.asked.length === 3)
  expect(submit.asked.map((asked) => asked.message.kind)).toEqual(["statement", "question", "statement"])
  submit.asked[1]?.answer(head())
  submit.asked[2]?.answer(accepted())
  expect(await client.ping()).toEqual([])
  submit.asked[0]?.answer(accepted())
  expect((await client.expect("puback")).messageId).toBe(1)
  await client.expectReceipt()
  expect((await client.expect("puback")).messageId).toBe(2)
  expect((await client.expect("puback")).messageId).toBe(3)
})

test.each([0, 1, 2] as const)(
  "QoS %i: a refusal sends its receipt to a device that never subscribed, and closes without PUBACK",
  async (qos) => {
    const submit = new ScriptedSubmit()
    const stand = await standBroker(submit)
    const client = await RawClient.connect(stand.port, "k7")
    client.publish("a statement", { qos })
    ;(await submit.next()).answer(refused(20, Uint8Array.of(20, 1, 2)))
    expect(await client.expectReceipt()).toEqual(Uint8Array.of(20, 1, 2))
    expect(await client.readUntilClose()).toEqual([])
    expect(await client.closed).toBe("end")
    expect(submit.closed).toEqual(["k7"])
    expect(stand.refusals).toEqual([])
  },
)

test("a refused question closes too, for a subscription and for an empty message", async () => {
  const submit = new ScriptedSubmit(() => refused(13))
  const stand = await standBroker(submit)
  const subscriber = await RawClient.connect(stand.port, "k7")
  expect(await subscriber.subscribe()).toEqual([0])
  expect(await subscriber.expectReceipt()).toEqual(Uint8Array.of(13))
  expect(await subscriber.readUntilClose()).toEqual([])
  const asker = await RawClient.connect(stand.port, "k7")
  asker.publish("")
  expect(await asker.expectReceipt()).toEqual(Uint8Array.of(13))
  expect(await asker.readUntilClose()).toEqual([])
})

test("what is before a refusal is acknowledged, what is behind it is neither acknowledged nor submitted", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit, { inFlightMax: 5 })
  const client = await RawClient.connect(stand.port, "k7")
  const ids = Array.from({ length: 40 }, (_, i) => client.publish(`statement ${i}`, { qos: i === 0 ? 2 : 1 }))
  await submit.until(() => submit.asked.length === 5)
  const [first, second, third, fourth] = submit.asked
  second?.answer(accepted())
  third?.answer(refused(22))
  fourth?.answer(accepted()) // ingest would say dropped: nothing may follow a refusal in any case
  first?.answer(accepted())
  const packets = await client.readUntilClose()
  const told = packets.map((packet) => (packet.cmd === "publish" ? packet.payload : packet.messageId))
  expect(told).toHaveLength(3)
  expect(new Set(told.slice(0, 2))).toEqual(new Set(ids.slice(0, 2)))
  expect(told[2]).toEqual(Buffer.of(22))
  expect(submit.asked).toHaveLength(5)
  expect(stand.count.dropped).toBe(2)
})

test("the receipt of a refusal arrives at a device that never stops sending", async () => {
  const submit = new ScriptedSubmit((message) =>
    message.kind === "statement" && message.bytes[0] === 1 ? refused(20) : accepted(),
  )
  const stand = await standBroker(submit)
  for (let round = 0; round < 20; round++) {
    const client = await RawClient.connect(stand.port, "k7")
    client.publish(Uint8Array.of(1))
    for (let i = 0; i < 500; i++) client.publish(new Uint8Array(4_000))
    const packets = await client.readUntilClose()
    expect(packets.map((packet) => packet.cmd)).toEqual(["publish"])
    expect(await client.closed).toBe("end")
  }
})

test("dropped closes at once, without a receipt and without PUBACK", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  await client.subscribe()
  ;(await submit.next()).answer(head())
  await client.expectReceipt()
  client.publish("one")
  client.publish("two")
  await submit.until(() => submit.asked.length === 3)
  submit.asked[1]?.answer(dropped)
  expect(await client.readUntilClose()).toEqual([])
  expect(stand.count).toEqual({ connected: 1, disconnected: 1, dropped: 2 })
  expect(stand.refusals).toEqual([])
})

test("a device that publishes and disconnects without waiting is judged and answered", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  for (const qos of [0, 1, 2, 1] as const) client.publish("a statement", { qos })
  client.send({ cmd: "disconnect" })
  client.socket.end()
  await submit.until(() => submit.asked.length === 4)
  expect(stand.broker.connectionCount()).toBe(1)
  for (const asked of submit.asked) asked.answer(accepted())
  expect((await client.readUntilClose()).map((packet) => packet.cmd).toSorted()).toEqual([
    "puback",
    "puback",
    "pubrec",
  ])
  expect(stand.count).toEqual({ connected: 1, disconnected: 1, dropped: 0 })
})

test("a connection that is lost closes its place, and an answer that comes later is given to nobody", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  client.publish("a statement")
  const asked = await submit.next()
  await client.destroy()
  await submit.until(() => submit.closed.length === 1)
  expect(stand.count).toEqual({ connected: 1, disconnected: 1, dropped: 1 })
  const again = await RawClient.connect(stand.port, "k7")
  asked.answer(refused(20))
  expect(await again.ping()).toEqual([])
  again.publish("a statement")
  expect((await submit.next()).place).toBe(1)
})

test("a device that hangs up without DISCONNECT is gone at once, whatever it has in flight", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit)
  const client = await RawClient.connect(stand.port, "k7")
  client.socket.cork()
  for (let i = 0; i < 20; i++) client.publish(`statement ${i}`)
  client.socket.uncork()
  client.socket.end()
  await submit.until(() => submit.closed.length === 1)
  expect(await client.readUntilClose()).toEqual([])
  expect(submit.asked).toHaveLength(20)
  expect(stand.count).toEqual({ connected: 1, disconnected: 1, dropped: 20 })
})
