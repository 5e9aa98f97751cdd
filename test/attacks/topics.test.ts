import { expect, test } from "vitest"
import { decodeReceipt } from "../../chain/receipt.ts"
import { RawClient } from "../broker/raw-client.ts"
import { openAttackStand, refusedMetric, verdictMetric } from "./attack-stand.ts"

test("who publishes to another's topic, the other's statement in hand, stores nothing and hears nothing", async () => {
  const stand = await openAttackStand()
  const stolen = stand.victim.sign()
  for (const qos of [0, 1, 2] as const) {
    const client = await RawClient.connect(stand.port, "attacker")
    client.publish(stolen.bytes, { topic: "v1/victim/statements", qos })
    expect(await client.readUntilClose()).toEqual([])
  }
  expect(await stand.metric(refusedMetric("wrong-topic"))).toBe(3)
  expect(await stand.metric("tidemark_statements_received_total")).toBe(1)
  expect(await stand.countStored("victim")).toBe(1)
  await stand.expectUnharmed()
})

test("a wildcard subscription is answered 0x80, and no receipt of another ever comes", async () => {
  const stand = await openAttackStand()
  const client = await RawClient.connect(stand.port, "attacker")
  const topics = [
    "#",
    "+/+/+",
    "v1/+/receipts",
    "v1/victim/receipts",
    "$share/g/v1/+/receipts",
    "v1/victim/#",
  ]
  expect(await client.subscribe(topics, 1)).toEqual(topics.map(() => 0x80))
  await stand.expectUnharmed()
  expect(await client.ping()).toEqual([])
  expect(await stand.metric("tidemark_statements_received_total")).toBe(2)
})

test("$SYS tells nothing, and takes nothing: a forged new/clients disconnects its forger only", async () => {
  const stand = await openAttackStand()
  const listener = await RawClient.connect(stand.port, "listener")
  expect(await listener.subscribe(["$SYS/#", "$SYS/+/new/clients", "$SYS/+/heartbeat"])).toEqual([
    128, 128, 128,
  ])
  const forger = await RawClient.connect(stand.port, "attacker")
  forger.publish("victim", { topic: "$SYS/x/new/clients", qos: 0 })
  expect(await forger.readUntilClose()).toEqual([])
  expect(await listener.ping()).toEqual([])
  expect(await stand.metric(refusedMetric("wrong-topic"))).toBe(1)
  await stand.expectUnharmed()
})

test("a will is never published, however its sender goes, and stores nothing", async () => {
  const stand = await openAttackStand()
  const forged = stand.victim.sign()
  const wills = ["v1/victim/statements", "v1/attacker/statements", "v1/victim/receipts", "$SYS/x/new/clients"]
  for (const topic of wills) {
    const will = { topic, payload: Buffer.from(forged.bytes), qos: 1, retain: true } as const
    const client = await RawClient.connect(stand.port, "attacker", { will })
    await client.destroy()
    const cut = await RawClient.connect(stand.port, "attacker", { will })
    cut.sendBytes(Uint8Array.of(0, 0))
    expect(await cut.readUntilClose()).toEqual([])
  }
  await stand.untilMetric("tidemark_mqtt_connections", 1)
  expect(await stand.countStored("victim")).toBe(1)
  expect(await stand.countStored("attacker")).toBe(0)
  expect(await stand.metric("tidemark_statements_received_total")).toBe(1)
  await stand.expectUnharmed()
})

test("who takes a foreign client id without logins gets its connection, but nothing in: the signature decides", async () => {
  const stand = await openAttackStand()
  const forged = stand.attacker.sign({ iss: "victim", sub: "victim", seq: 2, prev: stand.victim.entry })
  // FORMAT §5: where no login is configured anybody may connect as any device. It is a nuisance, and no more.
  const thief = await RawClient.connect(stand.port, "victim")
  expect(await stand.victimSession.client.readUntilClose()).toEqual([])
  thief.publish(forged.bytes)
  expect(decodeReceipt(await thief.expectReceipt())).toMatchObject({ code: 13, head: { seq: 1 } })
  expect(await thief.readUntilClose()).toEqual([])
  expect(await stand.countStored("victim")).toBe(1)
  expect(await stand.metric(verdictMetric("unknown-key"))).toBe(1)
  expect(await stand.metric(verdictMetric("fork"))).toBe(0)

  const back = await RawClient.connect(stand.port, "victim")
  await back.subscribe()
  expect(decodeReceipt(await back.expectReceipt())).toMatchObject({ code: 0, head: { seq: 1 } })
  back.publish(stand.victim.next().bytes)
  expect(decodeReceipt(await back.expectReceipt()).code).toBe(1)
  await back.expect("puback")
  expect(await stand.countStored("victim")).toBe(2)
})
