import { generate } from "mqtt-packet"
import { expect, test } from "vitest"
import { RawClient } from "../broker/raw-client.ts"
import { connectFrame, publishFrame } from "../simulation/soak-device.ts"
import { encodeRemaining } from "../simulation/fuzz-frames.ts"
import { openAttackStand, refusedMetric, verdictMetric } from "./attack-stand.ts"

const largest = encodeRemaining(268_435_455)

test("a header that declares 256 MiB closes its connection before CONNECT and behind it, and is outside received", async () => {
  const stand = await openAttackStand()
  const stranger = await RawClient.open(stand.port)
  stranger.sendBytes(Uint8Array.of(0x10, ...largest))
  expect(await stranger.readUntilClose()).toEqual([])
  for (const firstByte of [0x32, 0x82]) {
    const device = await RawClient.connect(stand.port, "attacker")
    device.sendBytes(Uint8Array.of(firstByte, ...largest))
    expect(await device.readUntilClose()).toEqual([])
  }
  expect(await stand.metric(refusedMetric("packet-too-large"))).toBe(3)
  expect(await stand.metric("tidemark_statements_received_total")).toBe(1)
  await stand.expectUnharmed()
})

test("who sends CONNECT a byte at a time is closed when its time is over, however busy it was", async () => {
  const stand = await openAttackStand({ connectMsMax: 400 })
  const slow = await Promise.all(Array.from({ length: 20 }, () => RawClient.open(stand.port, "slow")))
  const frame = connectFrame("slow".repeat(12))
  // All but the last byte: each one would restart a timer that counts from the last byte.
  for (const byte of frame.subarray(0, -1)) {
    for (const client of slow) if (!client.socket.destroyed) client.sendBytes(Uint8Array.of(byte))
    await stand.victimSession.client.ping()
  }
  for (const client of slow) expect(await client.readUntilClose()).toEqual([])
  expect(await stand.metric(refusedMetric("connect-timeout"))).toBe(20)
  expect(await stand.metric("tidemark_mqtt_connects_total")).toBe(1)
  await stand.expectUnharmed()
})

test("who sends PUBLISH a byte at a time is waited for, holds nobody up, and is judged when it is whole", async () => {
  const stand = await openAttackStand()
  const slow = await RawClient.connect(stand.port, "attacker")
  const frame = publishFrame("attacker", stand.attacker.next().bytes, 7)
  const stored: number[] = []
  for (const [index, byte] of frame.entries()) {
    if (index === frame.length - 1) stored.push(await stand.countStored("attacker"))
    await new Promise<void>((resolve) => slow.socket.write(Uint8Array.of(byte), () => resolve()))
    if (index % 40 === 0) await stand.expectUnharmed()
  }
  expect((await slow.expect("puback")).messageId).toBe(7)
  stored.push(await stand.countStored("attacker"))
  expect(stored).toEqual([0, 1])
  await stand.expectUnharmed()
})

test("who never reads its receipts is closed in the end, and costs nobody else anything", async () => {
  const stand = await openAttackStand({ writeStallMsMax: 300 })
  const deaf = await RawClient.connect(stand.port, "attacker")
  deaf.socket.pause()
  const questions = Array.from({ length: 2_000 }, () => publishFrame("attacker", new Uint8Array(0), 9))
  while ((await stand.metric(refusedMetric("slow-reader"))) === 0) {
    // What the service does not read waits here: no need to pile up more.
    if (!deaf.socket.writableNeedDrain) deaf.sendBytes(Buffer.concat(questions))
    await stand.victimSession.client.ping()
  }
  await stand.untilMetric("tidemark_mqtt_connections", 1)
  expect(await stand.countStored("attacker")).toBe(0)
  await stand.expectUnharmed()
  await deaf.destroy()
})

test.each([43, 500])(
  "%i statements pipelined behind CONNECT, in one write, are all acknowledged in order",
  async (count) => {
    const stand = await openAttackStand()
    const client = await RawClient.open(stand.port, "attacker")
    const frames = Array.from({ length: count }, (_, index) =>
      publishFrame("attacker", stand.attacker.next().bytes, index + 1),
    )
    client.sendBytes(Buffer.concat([connectFrame("attacker"), ...frames, generate({ cmd: "pingreq" })]))
    await client.expect("connack")
    const acknowledged: (number | undefined)[] = []
    while (acknowledged.length < count) {
      const packet = await client.next()
      if (packet.cmd !== "pingresp") acknowledged.push(packet.messageId)
    }
    expect(acknowledged).toEqual(frames.map((_, index) => index + 1))
    expect(await stand.countStored("attacker")).toBe(count)
    expect(await stand.metric(verdictMetric("accepted"))).toBe(count + 1)
    await stand.expectUnharmed()
  },
)

test("connections beyond the limit are closed and counted, those within it live, and a device in time gets its turn", async () => {
  const stand = await openAttackStand({ connectionsMax: 301 })
  const idle = await Promise.all(
    Array.from({ length: 300 }, (_, i) => RawClient.connect(stand.port, `idle-${i}`)),
  )
  const over = await RawClient.open(stand.port, "over")
  over.sendConnect()
  expect(await over.readUntilClose()).toEqual([])
  expect(await stand.metric(refusedMetric("too-many-connections"))).toBe(1)
  expect(await idle[299]!.ping()).toEqual([])
  await stand.expectUnharmed()
  await idle[0]!.destroy()
  await stand.untilMetric("tidemark_mqtt_connections", 300)
  const late = await RawClient.connect(stand.port, "attacker")
  late.publish(stand.attacker.next().bytes)
  await late.expect("puback")
  await Promise.all(idle.map((client) => client.destroy()))
  await stand.expectUnharmed()
})
