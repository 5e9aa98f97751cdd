import { Duplex } from "node:stream"
import { expect, test, vi } from "vitest"
import { generate } from "mqtt-packet"
import { Budget } from "../../broker/budget.ts"
import type { RefusedReason } from "../../broker/counters.ts"
import { Gate } from "../../broker/gate.ts"
import { limitsDefault } from "../../broker/limits.ts"

const connect = generate({
  cmd: "connect",
  protocolId: "MQTT",
  protocolVersion: 4,
  clientId: "k7",
  clean: true,
  keepalive: 0,
})

/** A socket whose peer takes nothing: the first write never ends. */
function deafPeer(): { readonly stream: Duplex; readonly written: Uint8Array[] } {
  const written: Uint8Array[] = []
  const stream = new Duplex({
    read() {},
    write(chunk: Uint8Array) {
      written.push(chunk)
    },
  })
  return { stream, written }
}

function standGate(stream: Duplex, budget = new Budget(limitsDefault.bytesInFlightMax)) {
  const refused: RefusedReason[] = []
  const gate = new Gate(stream, {
    limits: limitsDefault,
    budget,
    refused: (reason) => refused.push(reason),
    closed() {},
  })
  return { gate, refused }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test("a peer that asks and never reads is no longer read from, and closed when it has taken nothing for too long", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
  try {
    const { stream } = deafPeer()
    const { gate, refused } = standGate(stream)
    stream.push(connect)
    await turn()
    gate.open()
    const pings = Buffer.alloc(64 * 1024, Uint8Array.of(0xc0, 0x00))
    let chunks = 0
    while (!stream.isPaused()) {
      stream.push(pings)
      await turn()
      expect(++chunks).toBeLessThan(20)
    }
    expect(stream.writableLength + gate.writableLength).toBeLessThan(256 * 1024)
    vi.advanceTimersByTime(limitsDefault.writeStallMsMax)
    expect(refused).toEqual(["slow-reader"])
    expect(stream.destroyed).toBe(true)
  } finally {
    vi.useRealTimers()
  }
})

test("after the last packet the peer's bytes are read and thrown away, for a bounded time", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
  try {
    const sent: string[] = []
    const stream = new Duplex({
      read() {},
      write(chunk: Uint8Array, _encoding, callback) {
        sent.push(Buffer.from(chunk).toString())
        callback()
      },
      final(callback) {
        sent.push("FIN")
        callback()
      },
    })
    const { gate } = standGate(stream)
    gate.writeLast(Buffer.from("last"))
    await turn()
    expect(sent).toEqual(["last", "FIN"])
    expect(gate.destroyed).toBe(true)
    for (let i = 0; i < 10; i++) {
      stream.push(new Uint8Array(100_000))
      await turn()
      expect(stream.readableLength).toBe(0)
    }
    expect(stream.destroyed).toBe(false)
    vi.advanceTimersByTime(limitsDefault.lingerMsMax)
    expect(stream.destroyed).toBe(true)
  } finally {
    vi.useRealTimers()
  }
})

test("a declared length that is too large closes before anything of it is read on", async () => {
  const { stream } = deafPeer()
  const { gate, refused } = standGate(stream)
  const seen: number[] = []
  gate.on("readable", () => seen.push(gate.readableLength))
  stream.push(Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0x7f))
  await turn()
  expect(refused).toEqual(["packet-too-large"])
  expect(gate.destroyed).toBe(true)
  expect(seen.filter((size) => size > 0)).toEqual([])
})

test("what went through and was never taken is given back when the connection goes", async () => {
  const { stream } = deafPeer()
  const budget = new Budget(limitsDefault.bytesInFlightMax)
  const { gate } = standGate(stream, budget)
  stream.push(connect)
  await turn()
  gate.open()
  const topic = "v1/k7/statements"
  stream.push(generate({ cmd: "publish", topic, payload: "x", qos: 0, dup: false, retain: false }))
  stream.push(Uint8Array.of(0x30, 0x7f)) // another one, of which only the header is here
  await turn()
  expect(budget.bytes).toBe(topic.length + 3)
  gate.destroy()
  expect(budget.bytes).toBe(0)
})

test("packets that nobody reads are held in the socket, not in memory", async () => {
  const { stream } = deafPeer()
  const { gate } = standGate(stream)
  stream.push(connect)
  await turn()
  gate.open()
  const pubrels = Buffer.alloc(64 * 1024, Uint8Array.of(0x62, 2, 0, 1))
  for (let i = 0; i < 10; i++) {
    stream.push(pubrels)
    await turn()
  }
  expect(stream.isPaused()).toBe(true)
  expect(gate.readableLength).toBeLessThan(3 * 64 * 1024)
})
