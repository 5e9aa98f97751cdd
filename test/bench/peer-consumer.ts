/**
 * The usual pipeline's second half, as strong as we could write it: one consumer that takes readings from a broker over a
 * socket of its own parsing, writes a row per reading with COPY in binary, collects the next rows meanwhile, and
 * acknowledges after the commit. Narrow rows (numbers for names), one index that queries need, no signatures, no chain.
 */
import { once } from "node:events"
import { type Socket, createConnection } from "node:net"
import { generate } from "mqtt-packet"
import { Client } from "pg"
import { from as copyFrom } from "pg-copy-streams"
import { serve } from "./worker.ts"
import { type PeerMetric, peerMetrics, readWaveform } from "./peer-message.ts"

export type ConsumerRequest =
  | {
      readonly kind: "connect"
      readonly port: number
      readonly url: string
      readonly devices: readonly string[]
    }
  /** Answers when so many messages are committed and acknowledged. */
  | { readonly kind: "consume"; readonly messages: number }

const rowSize = 42
const header = Buffer.concat([Buffer.from("PGCOPY\n\xff\r\n\0", "latin1"), Buffer.alloc(8)])
const trailer = Buffer.from([0xff, 0xff])
/** Unix seconds of 2000-01-01, from which Postgres counts. */
const postgresEpoch = 946_684_800

class Batch {
  #rows = Buffer.allocUnsafe(1 << 20)
  #length = 0
  readonly packetIds: number[] = []

  constructor() {
    this.#length = header.copy(this.#rows)
  }

  add(seconds: number, device: number, metric: number, value: number): void {
    if (this.#length + rowSize > this.#rows.length) {
      const grown = Buffer.allocUnsafe(2 * this.#rows.length)
      this.#rows.copy(grown, 0, 0, this.#length)
      this.#rows = grown
    }
    const rows = this.#rows
    let at = rows.writeInt16BE(4, this.#length)
    const microseconds = Math.round((seconds - postgresEpoch) * 1e6)
    at = rows.writeInt32BE(8, at)
    at = rows.writeInt32BE(Math.floor(microseconds / 2 ** 32), at)
    at = rows.writeUInt32BE(microseconds % 2 ** 32, at)
    at = rows.writeInt32BE(4, at)
    at = rows.writeInt32BE(device, at)
    at = rows.writeInt32BE(2, at)
    at = rows.writeInt16BE(metric, at)
    at = rows.writeInt32BE(8, at)
    this.#length = rows.writeDoubleBE(value, at)
  }

  finish(): Buffer {
    return Buffer.concat([this.#rows.subarray(0, this.#length), trailer])
  }
}

class Consumer {
  readonly #socket: Socket
  readonly #client: Client
  readonly #devices: ReadonlyMap<string, number>
  readonly #onMessage = new Set<() => void>()
  #tail: Uint8Array = new Uint8Array(0)
  #batch = new Batch()
  #isWriting = false
  #done = 0
  #isSubscribed = false
  #fault: Error | null = null

  constructor(socket: Socket, client: Client, devices: readonly string[]) {
    this.#socket = socket
    this.#client = client
    this.#devices = new Map(devices.map((device, index) => [device, index]))
    socket.on("data", (bytes) => {
      try {
        this.#take(bytes)
      } catch (error) {
        this.#fail(error as Error)
      }
    })
    socket.on("error", (error) => this.#fail(error))
    socket.on("close", () => this.#fail(new Error("the broker closed the consumer's connection")))
  }

  static async connect(port: number, url: string, devices: readonly string[]): Promise<Consumer> {
    const client = new Client({ connectionString: url, options: "-c synchronous_commit=on -c timezone=UTC" })
    await client.connect()
    const consumer = new Consumer(
      createConnection({ port, host: "127.0.0.1", noDelay: true }),
      client,
      devices,
    )
    consumer.#socket.write(
      generate({
        cmd: "connect",
        protocolId: "MQTT",
        protocolVersion: 4,
        clean: false,
        keepalive: 0,
        clientId: "consumer",
      }),
    )
    consumer.#socket.write(
      generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "readings/+", qos: 1 }] }),
    )
    await consumer.#until(() => consumer.#isSubscribed)
    return consumer
  }

  async consume(messages: number): Promise<void> {
    await this.#until(() => this.#done >= messages)
    this.#done = 0
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#fault !== null) throw this.#fault
      await new Promise<void>((resolve) => this.#onMessage.add(resolve))
    }
  }

  #wake(): void {
    for (const resolve of this.#onMessage) resolve()
    this.#onMessage.clear()
  }

  #fail(error: Error): void {
    this.#fault ??= error
    this.#wake()
  }

  #take(bytes: Uint8Array): void {
    const all =
      this.#tail.length === 0
        ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
        : Buffer.concat([this.#tail, bytes])
    let at = 0
    for (;;) {
      const size = packetSizeAt(all, at)
      if (size === null || at + size.head + size.body > all.length) break
      this.#takePacket(all[at]!, all.subarray(at + size.head, at + size.head + size.body))
      at += size.head + size.body
    }
    this.#tail = all.subarray(at)
    if (!this.#isWriting && this.#batch.packetIds.length > 0) void this.#write()
  }

  #takePacket(first: number, body: Buffer): void {
    if (first >> 4 === 9) {
      this.#isSubscribed = true
      this.#wake()
    }
    if (first >> 4 !== 3) return
    const topicEnd = 2 + body.readUInt16BE(0)
    const device = this.#devices.get(body.toString("latin1", "readings/".length + 2, topicEnd))
    if (device === undefined) throw new Error("the broker delivered what nobody sent")
    this.#batch.packetIds.push(body.readUInt16BE(topicEnd))
    this.#addReadings(device, body.subarray(topicEnd + 2))
  }

  #addReadings(device: number, payload: Buffer): void {
    const batch = this.#batch
    // JSON begins with {.
    if (payload[0] === 0x7b) {
      const { n, bt, t, v } = JSON.parse(payload.toString("latin1")) as {
        n: PeerMetric
        bt: number
        t: number[]
        v: number[]
      }
      const metric = peerMetrics[n]
      for (let index = 0; index < v.length; index++) batch.add(bt + t[index]!, device, metric, v[index]!)
      return
    }
    const { startsAt, periodMs, factor, samples } = readWaveform(payload)
    for (let index = 0; index < samples.length; index++)
      batch.add(startsAt + (index * periodMs) / 1000, device, peerMetrics.ecg, samples[index]! * factor)
  }

  async #write(): Promise<void> {
    this.#isWriting = true
    try {
      while (this.#batch.packetIds.length > 0) {
        const batch = this.#batch
        this.#batch = new Batch()
        // A COPY of its own is a transaction of its own: when it is done, it is committed.
        const stream = this.#client.query(copyFrom("copy readings from stdin (format binary)"))
        stream.end(batch.finish())
        await once(stream, "finish")
        const answers = Buffer.allocUnsafe(4 * batch.packetIds.length)
        for (const [index, id] of batch.packetIds.entries()) answers.writeUInt32BE(0x40020000 + id, 4 * index)
        this.#socket.write(answers)
        this.#done += batch.packetIds.length
        this.#wake()
      }
    } catch (error) {
      this.#fail(error as Error)
    }
    this.#isWriting = false
  }
}

/** Of the packet that begins at `at`: its head's size and its remaining length; null where that is not all there. */
function packetSizeAt(
  bytes: Uint8Array,
  at: number,
): { readonly head: number; readonly body: number } | null {
  let body = 0
  for (let index = 1; index <= 4; index++) {
    const byte = bytes[at + index]
    if (byte === undefined) return null
    body += (byte & 127) * 128 ** (index - 1)
    if (byte < 128) return { head: index + 1, body }
  }
  throw new Error("the broker sent no MQTT")
}

let consumer: Consumer | null = null

async function answer(request: ConsumerRequest): Promise<unknown> {
  if (request.kind === "connect") {
    consumer = await Consumer.connect(request.port, request.url, request.devices)
    return null
  }
  return consumer!.consume(request.messages)
}

serve((request) => answer(request as ConsumerRequest))
