import { createConnection } from "node:net"
import { expect, test } from "vitest"
import { RawClient } from "./raw-client.ts"
import { acceptAll, accepted, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

test("closing waits for the answers to what was submitted, gives them, and takes nothing more", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit, { drainMsMax: 60_000 })
  const client = await RawClient.connect(stand.port, "k7")
  const idle = await RawClient.connect(stand.port, "k8")
  const ids = [client.publish("one"), client.publish("two", { qos: 2 })]
  await submit.until(() => submit.asked.length === 2)
  const closed = stand.broker.close()
  expect(await idle.readUntilClose()).toEqual([])
  client.publish("three")
  for (const asked of submit.asked) asked.answer(accepted())
  const packets = await client.readUntilClose()
  expect(packets.map((packet) => packet.messageId)).toEqual(ids)
  expect(packets.map((packet) => packet.cmd)).toEqual(["puback", "pubrec"])
  await closed
  expect(submit.asked).toHaveLength(2)
  expect(submit.closed.toSorted()).toEqual(["k7", "k8"])
  expect(stand.broker.connectionCount()).toBe(0)
})

test("closing does not wait for ever for an answer that does not come", async () => {
  const submit = new ScriptedSubmit()
  const stand = await standBroker(submit, { drainMsMax: 50 })
  const client = await RawClient.connect(stand.port, "k7")
  client.publish("a statement")
  await submit.next()
  const half = await RawClient.open(stand.port)
  half.sendBytes(Uint8Array.of(0x10))
  await stand.broker.close()
  expect(await client.readUntilClose()).toEqual([])
  expect(await half.readUntilClose()).toEqual([])
  expect(stand.count).toEqual({ connected: 1, disconnected: 1, dropped: 1 })
})

test("nobody can connect once closing began, and closing twice is closing once", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll))
  const first = stand.broker.close()
  expect(stand.broker.close()).toBe(first)
  const error = await new Promise<Error & { code?: string }>((resolve) => {
    createConnection({ port: stand.port, host: "127.0.0.1" }).on("error", resolve)
  })
  expect(error.code).toBe("ECONNREFUSED")
  await first
})
