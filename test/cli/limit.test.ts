import { readFileSync } from "node:fs"
import { once } from "node:events"
import { connect } from "node:net"
import { join } from "node:path"
import { Command } from "commander"
import { expect, onTestFinished, test } from "vitest"
import { type BrokerLimits, limitsDefault } from "../../broker/limits.ts"
import { limitOption, limitOptions } from "../../cli/limit.ts"
import { RawClient } from "../broker/raw-client.ts"
import { type ServiceStand, openServiceStand } from "../ingest/service-stand.ts"
import { repository } from "./program.ts"

/** Options as a user gives them, through the parser of `up`. */
function parse(...texts: readonly string[]): Partial<BrokerLimits> {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} })
  command.addOption(limitOption()).parse(
    texts.flatMap((text) => ["--limit", text]),
    { from: "user" },
  )
  return command.opts<{ limit: Partial<BrokerLimits> }>().limit
}

async function serve(...texts: readonly string[]): Promise<ServiceStand & { readonly port: number }> {
  const stand = await openServiceStand({ service: { limits: parse(...texts) } })
  onTestFinished(() => stand.close())
  return { ...stand, port: stand.service.mqtt }
}

async function refused(stand: ServiceStand, reason: string): Promise<number> {
  return (await stand.metrics()).get(`tidemark_mqtt_connections_refused_total{reason="${reason}"}`) ?? 0
}

const publishHeader = (remaining: number): Uint8Array =>
  Uint8Array.of(0x30, (remaining & 127) | 128, ((remaining >> 7) & 127) | 128, remaining >> 14)

test("more sockets than --limit connections are closed and counted", async () => {
  const stand = await serve("connections=1")
  const first = await RawClient.connect(stand.port, "k7")
  const second = await RawClient.open(stand.port)
  expect(await second.readUntilClose()).toEqual([])
  expect(await first.ping()).toEqual([])
  expect(await refused(stand, "too-many-connections")).toBe(1)
})

test("a socket that says nothing for --limit connect-ms is closed and counted", async () => {
  const stand = await serve("connect-ms=150")
  const client = await RawClient.open(stand.port)
  expect(await client.readUntilClose()).toEqual([])
  expect(await refused(stand, "connect-timeout")).toBe(1)
})

test("a PUBLISH that declares more than --limit packet-bytes is closed and counted, the largest is not", async () => {
  const stand = await serve("packet-bytes=70000")
  const over = await RawClient.connect(stand.port, "k7")
  over.sendBytes(publishHeader(70_001))
  expect(await over.readUntilClose()).toEqual([])
  expect(await refused(stand, "packet-too-large")).toBe(1)
  const largest = await RawClient.connect(stand.port, "k8")
  largest.sendBytes(publishHeader(70_000))
  expect(await refused(stand, "packet-too-large")).toBe(1)
})

test("with --limit in-flight=1 each message is answered before the next is read", async () => {
  const stand = await serve("in-flight=1")
  const client = await RawClient.connect(stand.port, "k7")
  const before = (await stand.metrics()).get("tidemark_commit_duration_seconds_count") ?? 0
  for (let i = 0; i < 10; i++) client.publish(`not a statement ${i}`, { qos: 0 })
  // The first is refused, and nothing behind it was submitted: so nothing was dropped.
  await client.expectReceipt()
  const metrics = await stand.metrics()
  expect(metrics.get("tidemark_messages_dropped_total")).toBe(0)
  expect(metrics.get("tidemark_commit_duration_seconds_count")! - before).toBe(1)
})

test("with --limit bytes-in-flight statements of several devices are taken one after the other", async () => {
  const stand = await serve("bytes-in-flight=65536")
  const lock = await stand.pool.connect()
  await lock.query("begin; lock table refusals in access exclusive mode")
  const devices = await Promise.all(
    Array.from({ length: 10 }, (_, i) => RawClient.connect(stand.port, `k${i}`)),
  )
  for (const device of devices.slice(0, 2)) {
    device.publish(new Uint8Array(33_000))
    await device.ping()
  }
  // The two fill it: these are not read, and their PINGREQ with them.
  for (const device of devices.slice(2)) device.publish(new Uint8Array(33_000))
  const late = await RawClient.connect(stand.port, "late")
  await late.ping()
  await lock.query("commit")
  lock.release()
  for (const device of devices) await device.expectReceipt()
  // Without the limit the eight that waited would be one group.
  expect((await stand.metrics()).get("tidemark_commit_duration_seconds_count")).toBeGreaterThanOrEqual(4)
})

test("a device that connects more often than --limit connects-per-second waits, and is counted", async () => {
  const stand = await serve("connects-per-second=2")
  for (let i = 0; i < 4; i++) await RawClient.connect(stand.port, "k7")
  expect((await stand.metrics()).get("tidemark_mqtt_connects_delayed_total")).toBeGreaterThanOrEqual(1)
})

test("after a refusal --limit linger-ms decides how long a peer may stay that does not close", async () => {
  const [short, long] = [await serve("linger-ms=10"), await serve("linger-ms=60000")]
  const order: string[] = []
  const peers = [short, long].map((stand, index) => {
    const socket = connect({ port: stand.port, host: "127.0.0.1", allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    socket.on("error", () => {}).on("data", () => {})
    socket.on("close", () => order.push(["short", "long"][index]!))
    return socket
  })
  for (const socket of peers) {
    // CONNECT as an id that is none: CONNACK 2, then the end.
    socket.write(Buffer.from("100d00044d5154540402000000012e", "hex"))
    await once(socket, "end")
  }
  // Writing to a socket that is gone is what a peer notices.
  const probe = setInterval(() => peers[0]!.write(Uint8Array.of(0)), 20)
  await new Promise((resolve) => peers[0]!.once("close", resolve))
  clearInterval(probe)
  expect(order).toEqual(["short"])
})

test("with --limit drain-ms=0 a stop does not wait for connections whose answers are not there yet", async () => {
  const stand = await openServiceStand({ service: { limits: parse("drain-ms=0") } })
  const client = await RawClient.connect(stand.service.mqtt, "k7")
  const lock = await stand.pool.connect()
  await lock.query("begin; lock table refusals in access exclusive mode")
  client.publish("not a statement")
  await client.ping()
  const stopped = stand.close()
  // Its answer cannot be there before the lock is gone, and the connection is closed all the same.
  expect(["end", "reset"]).toContain(await client.closed)
  await lock.query("commit")
  lock.release()
  await stopped
})

test("what is no limit, or no value of one, is a usage fault that names it", () => {
  expect(() => parse("connectoins=1")).toThrow(/there are connections,/)
  for (const text of ["connections", "connections=", "connections=-1", "connections=1.5", "connections=0"])
    expect(() => parse(text)).toThrow(/connections must be a whole number from 1 to/)
  expect(() => parse("packet-bytes=65535")).toThrow(/from 65603/)
  expect(parse("connections=5", "in-flight=7", "connections=6")).toEqual({
    connectionsMax: 6,
    inFlightMax: 7,
  })
})

test("docs/operate.md has every limit with its default, and no other", () => {
  const guide = readFileSync(join(repository, "docs", "operate.md"), "utf8")
  const rows = [...guide.matchAll(/^\| `([a-z-]+)` \| (\d+) \|/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ])
  const fields = Object.keys(limitsDefault) as (keyof BrokerLimits)[]
  expect(Object.fromEntries(rows)).toEqual(
    Object.fromEntries(fields.map((field) => [limitOptions[field].name, limitsDefault[field]])),
  )
})

test("every default is a value that its option takes", () => {
  for (const field of Object.keys(limitsDefault) as (keyof BrokerLimits)[])
    expect(parse(`${limitOptions[field].name}=${limitsDefault[field]}`)).toEqual({
      [field]: limitsDefault[field],
    })
})
