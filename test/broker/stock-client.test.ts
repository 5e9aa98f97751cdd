import { connectAsync } from "mqtt"
import { expect, test } from "vitest"
import { acceptAll, refused, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

test("mqtt.js publishes at every QoS and hears its receipts", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const client = await connectAsync({
    port: stand.port,
    host: "127.0.0.1",
    clientId: "k7",
    reconnectPeriod: 0,
  })
  const receipts: Uint8Array[] = []
  client.on("message", (topic, payload) => {
    expect(topic).toBe("v1/k7/receipts")
    receipts.push(new Uint8Array(payload))
  })
  const [granted] = await client.subscribeAsync("v1/k7/receipts", { qos: 1 })
  expect(granted?.qos).toBe(0)
  await Promise.all(
    Array.from({ length: 50 }, () => client.publishAsync("v1/k7/statements", "one", { qos: 1 })),
  )
  await client.publishAsync("v1/k7/statements", "two", { qos: 2, retain: true })
  expect(receipts.length).toBe(52)
  await client.endAsync()
  await stand.until(() => stand.count.disconnected === 1)
  expect(submit.closed).toEqual(["k7"])
})

test("mqtt.js keeps a refused message, and sends it again when it is back", async () => {
  let refusals = 1
  const submit = new ScriptedSubmit((message) => (refusals-- > 0 ? refused(20) : acceptAll(message)))
  const stand = await standBroker(submit)
  const client = await connectAsync({
    port: stand.port,
    host: "127.0.0.1",
    clientId: "k7",
    reconnectPeriod: 1,
  })
  const receipts: Uint8Array[] = []
  client.on("message", (_topic, payload) => receipts.push(new Uint8Array(payload)))
  await client.publishAsync("v1/k7/statements", "one", { qos: 1 })
  expect(receipts).toEqual([Uint8Array.of(20)])
  expect(submit.asked.map((asked) => asked.place)).toEqual([0, 1])
  await client.endAsync()
})

test("mqtt.js with a will, a persistent session and a short keepalive is served like any other", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit)
  const client = await connectAsync({
    port: stand.port,
    host: "127.0.0.1",
    clientId: "k7",
    clean: false,
    keepalive: 1,
    reconnectPeriod: 0,
    will: { topic: "v1/k7/statements", payload: Buffer.from("gone"), qos: 1, retain: true },
  })
  // Two rounds of its own keepalive, so that one was answered before the next was due.
  for (let i = 0; i < 2; i++) {
    await new Promise<void>((resolve) => {
      client.on("packetreceive", (packet) => {
        if (packet.cmd === "pingresp") resolve()
      })
    })
  }
  expect(client.connected).toBe(true)
  client.stream.destroy()
  await stand.until(() => stand.count.disconnected === 1)
  expect(submit.asked).toEqual([])
  await client.endAsync(true)
})
