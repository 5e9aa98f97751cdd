import { EventEmitter, once } from "node:events"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { createServer, type AddressInfo } from "node:net"
import type { AedesOptions } from "aedes"
import { expect, onTestFinished, test } from "vitest"
import { NothingStored } from "../../broker/nothing-stored.ts"
import { QuietAedes } from "../../broker/quiet-aedes.ts"
import { RawClient } from "./raw-client.ts"

/** What the broker relies on in aedes beyond its documentation, without the gate in between. */
async function standAedes(
  hooks: Partial<AedesOptions>,
): Promise<{ readonly aedes: QuietAedes; readonly port: number }> {
  const aedes = new QuietAedes({ ...hooks, persistence: new NothingStored() })
  await aedes.listen()
  const server = createServer((socket) => aedes.handle(socket))
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve)
  })
  onTestFinished(async () => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()))
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
    })
  })
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return { aedes, port: address.port }
}

test("aedes is at the version whose behaviour was read", async () => {
  const path = new URL("../../package.json", import.meta.url)
  const manifest: unknown = JSON.parse(await readFile(path, "utf8"))
  expect(manifest).toMatchObject({ dependencies: { aedes: "1.2.0", "mqtt-packet": "9.0.2" } })
  expect(new QuietAedes()).toHaveProperty("version", "1.2.0")
  expect(createRequire(import.meta.url)("mqtt-packet/package.json")).toMatchObject({ version: "9.0.2" })
})

test("aedes goes by what preConnect changed: session, will and keepalive", async () => {
  const wills: string[] = []
  const { aedes, port } = await standAedes({
    preConnect(_client, packet, callback) {
      packet.clean = true
      packet.keepalive = 0
      delete packet.will
      callback(null, true)
    },
    authorizePublish(_client, packet, callback) {
      wills.push(packet.topic)
      callback(null)
    },
  })
  const isClean = new Promise<boolean>((resolve) => {
    aedes.on("clientReady", (client) => resolve(client.clean))
  })
  const gone = new Promise<void>((resolve) => {
    aedes.on("clientDisconnect", () => resolve())
  })
  const will = { topic: "v1/k7/statements", payload: Buffer.from("x"), qos: 1 as const, retain: false }
  const client = await RawClient.connect(port, "k7", { clean: false, keepalive: 1, will })
  expect(await isClean).toBe(true)
  await client.destroy()
  await gone
  expect(wills).toEqual([])
})

test.each([1, 2] as const)(
  "aedes calls authorizePublish in order, in one turn, and acknowledges QoS %i only after its callback",
  async (qos) => {
    const waiting: { readonly topic: string; readonly callback: () => void }[] = []
    const gathered = new EventEmitter()
    const three = once(gathered, "three")
    const { port } = await standAedes({
      authorizePublish(_client, packet, callback) {
        packet.payload = Buffer.alloc(0)
        waiting.push({ topic: packet.topic, callback: () => callback(null) })
        if (waiting.length === 3) gathered.emit("three")
      },
    })
    const client = await RawClient.connect(port, "k7")
    client.socket.cork()
    for (const topic of ["a", "b", "c"]) client.publish("x", { topic, qos })
    client.socket.uncork()
    await three
    expect(waiting.map((each) => each.topic)).toEqual(["a", "b", "c"])
    for (const [i, each] of waiting.entries()) {
      each.callback()
      const acknowledged = await client.next()
      expect(acknowledged).toMatchObject({ cmd: qos === 1 ? "puback" : "pubrec", messageId: i + 1 })
    }
  },
)

test("aedes routes every publication and subscription through the methods that QuietAedes overrides", async () => {
  const { aedes, port } = await standAedes({})
  let routed = 0
  // `mq` is where aedes would hand a message on; it is looked at here only, never by the broker.
  const mq: unknown = Reflect.get(aedes, "mq")
  if (typeof mq !== "object" || mq === null) throw new Error("aedes has no mq")
  for (const name of ["emit", "on"]) {
    Reflect.set(mq, name, () => {
      routed++
    })
  }
  const order: string[] = []
  aedes.on("subscribe", () => order.push("subscribe"))
  const other = await RawClient.connect(port, "k8")
  expect(await other.subscribe(["#"])).toEqual([0])
  expect(order).toEqual(["subscribe"])
  const client = await RawClient.connect(port, "k7")
  client.publish("x", { topic: "a", qos: 1, retain: true })
  await client.expect("puback")
  expect(await other.ping()).toEqual([])
  expect(routed).toBe(0)
})
