/**
 * The load: MQTT clients over plain sockets, in a process of their own. Frames are made before anything is measured, and
 * of what comes back only PUBACKs are counted, so that it costs little beside what it loads.
 */
import { readFileSync } from "node:fs"
import { type Socket, createConnection } from "node:net"
import { setTimeout as wait } from "node:timers/promises"
import { generate } from "mqtt-packet"
import { connectFrame } from "../simulation/soak-device.ts"
import { parseMessages } from "./fleet.ts"
import { percentileOf } from "./measure.ts"
import { serve } from "./worker.ts"

export type GeneratorRequest =
  /** Reads messages of `writeMessages`, and makes a frame of each; `{device}` in the topic is the sender's id. */
  | {
      readonly kind: "load"
      readonly path: string
      readonly devices: readonly string[]
      readonly topic: string
    }
  /** A device after the other, to a port after the other. */
  | { readonly kind: "connect"; readonly ports: readonly number[] }
  /**
   * Publishes all that was loaded. Each device has at most `window` messages unanswered. Without `perSecond` as fast as
   * they are answered; with it, on a schedule, and a message that has to wait is late from the instant it was due.
   */
  | { readonly kind: "publish"; readonly window: number; readonly perSecond: number | null }
  | { readonly kind: "disconnect" }

export interface Published {
  readonly acknowledged: number
  readonly wallSeconds: number
  /** From PUBLISH, or from when it was due, to PUBACK. */
  readonly puback: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number }
}

const packetIds = 65_535

/** MQTT 3.1.1: CONNACK and PUBACK are four bytes each. */
const connack = 0x20
const puback = 0x40
const subscribedNothing = "a packet came that is neither CONNACK nor PUBACK"

class Sender {
  readonly #id: string
  /** One behind the other. */
  readonly #frames: Uint8Array
  /** Where each frame ends. */
  readonly #ends: readonly number[]
  readonly #sentAtMs: Float64Array
  readonly waitedMs: Float64Array
  #socket: Socket | null = null
  #tail: Uint8Array = new Uint8Array(0)
  #window = 0
  #sent = 0
  #due = 0
  #acknowledged = 0
  #onConnack: (() => void) | null = null
  #onDone: (() => void) | null = null
  #onFault: ((error: Error) => void) | null = null

  constructor(id: string, frames: readonly Uint8Array[]) {
    this.#id = id
    this.#frames = Buffer.concat(frames)
    let end = 0
    this.#ends = frames.map((frame) => (end += frame.length))
    this.#sentAtMs = new Float64Array(frames.length)
    this.waitedMs = new Float64Array(frames.length)
  }

  get count(): number {
    return this.#ends.length
  }

  async connect(port: number): Promise<void> {
    const socket = createConnection({ port, host: "127.0.0.1", noDelay: true })
    this.#socket = socket
    socket.on("data", (bytes) => this.#take(bytes))
    socket.on("error", (error) => this.#fail(error))
    socket.on("close", () => this.#fail(new Error(`${this.#id} was disconnected`)))
    const welcomed = new Promise<void>((resolve, reject) => {
      this.#onConnack = resolve
      this.#onFault = reject
    })
    socket.write(connectFrame(this.#id))
    await welcomed
  }

  /** Gets ready to send all from the first again on a new connection; `release` says when. */
  start(window: number): Promise<void> {
    this.#window = window
    return new Promise((resolve, reject) => {
      this.#onFault = reject
      this.#onDone = resolve
      if (this.count === 0) resolve()
    })
  }

  /** So many more may go out, from `atMs` on. */
  release(count: number, atMs: number): void {
    const to = Math.min(this.count, this.#due + count)
    for (let index = this.#due; index < to; index++) this.#sentAtMs[index] = atMs
    this.#due = to
    this.#send(null)
  }

  /** @param atMs null: what is due keeps the instant at which it was */
  #send(atMs: number | null): void {
    const from = this.#sent
    const to = Math.min(this.#due, this.#acknowledged + this.#window)
    if (to <= from) return
    if (atMs !== null) for (let index = from; index < to; index++) this.#sentAtMs[index] = atMs
    this.#sent = to
    const start = from === 0 ? 0 : this.#ends[from - 1]!
    this.#socket!.write(this.#frames.subarray(start, this.#ends[to - 1]))
  }

  /** Set where there is no schedule: a message counts from when it goes out. */
  isUnscheduled = false

  #take(bytes: Uint8Array): void {
    const now = performance.now()
    const all = this.#tail.length === 0 ? bytes : Buffer.concat([this.#tail, bytes])
    let at = 0
    for (; at + 4 <= all.length; at += 4) {
      if (all[at] === connack && all[at + 1] === 2) {
        if (all[at + 3] !== 0)
          return this.#fail(new Error(`${this.#id} was refused with CONNACK ${all[at + 3]}`))
        this.#onConnack?.()
        continue
      }
      if (all[at] !== puback || all[at + 1] !== 2) return this.#fail(new Error(subscribedNothing))
      const index = this.#acknowledged
      const id = all[at + 2]! * 256 + all[at + 3]!
      if (id !== (index % packetIds) + 1)
        return this.#fail(new Error(`${this.#id}: PUBACK ${id} out of order`))
      this.waitedMs[index] = now - this.#sentAtMs[index]!
      this.#acknowledged += 1
    }
    this.#tail = all.subarray(at)
    if (this.#acknowledged === this.count) this.#onDone?.()
    else this.#send(this.isUnscheduled ? now : null)
  }

  #fail(error: Error): void {
    this.#onFault?.(error)
  }

  disconnect(): void {
    this.#onFault = null
    this.#socket?.destroy()
    this.#socket = null
    this.#sent = 0
    this.#due = 0
    this.#acknowledged = 0
    this.#tail = new Uint8Array(0)
  }
}

let senders: Sender[] = []

async function answer(request: GeneratorRequest): Promise<unknown> {
  switch (request.kind) {
    case "load":
      senders = load(request.path, request.devices, request.topic)
      return senders.reduce((sum, { count }) => sum + count, 0)
    case "connect":
      // A listener's backlog is shorter than a fleet.
      for (let from = 0; from < senders.length; from += 100)
        await Promise.all(
          senders
            .slice(from, from + 100)
            .map((sender, index) => sender.connect(request.ports[(from + index) % request.ports.length]!)),
        )
      return null
    case "publish":
      return publish(request.window, request.perSecond)
    case "disconnect":
      for (const sender of senders) sender.disconnect()
      return null
    default:
      throw new Error("no such request")
  }
}

function load(path: string, devices: readonly string[], topic: string): Sender[] {
  const frames = devices.map((): Uint8Array[] => [])
  for (const { from, bytes } of parseMessages(readFileSync(path))) {
    const own = frames[from]!
    own.push(
      generate({
        cmd: "publish",
        topic: topic.replace("{device}", devices[from]!),
        payload: Buffer.from(bytes),
        qos: 1,
        dup: false,
        retain: false,
        messageId: (own.length % packetIds) + 1,
      }),
    )
  }
  return devices.map((id, index) => new Sender(id, frames[index]!))
}

async function publish(window: number, perSecond: number | null): Promise<Published> {
  const done = Promise.all(senders.map((sender) => sender.start(window)))
  const startedAtMs = performance.now()
  for (const sender of senders) sender.isUnscheduled = perSecond === null
  if (perSecond === null) for (const sender of senders) sender.release(sender.count, startedAtMs)
  else await releaseOnSchedule(perSecond, startedAtMs, done)
  await done
  const wallSeconds = (performance.now() - startedAtMs) / 1000
  const waited = Float64Array.from(senders.flatMap(({ waitedMs }) => [...waitedMs])).toSorted()
  const [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1].map((share) => percentileOf(waited, share))
  return {
    acknowledged: waited.length,
    wallSeconds,
    puback: { p50: p50!, p95: p95!, p99: p99!, max: max! },
  }
}

/** One message after the other, of one device after the other, evenly. */
async function releaseOnSchedule(
  perSecond: number,
  startedAtMs: number,
  done: Promise<unknown>,
): Promise<void> {
  const counts = senders.map(({ count }) => count)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const periodMs = 1000 / perSecond
  const failure = new AbortController()
  done.catch(() => failure.abort())
  for (let released = 0; released < total && !failure.signal.aborted;) {
    const now = performance.now()
    for (; released < total; released++) {
      const dueAtMs = startedAtMs + released * periodMs
      if (dueAtMs > now) break
      // Messages of a file are written turn by turn, so that every device has the same number of them, or one less.
      senders[released % senders.length]!.release(1, dueAtMs)
    }
    await wait(1)
  }
}

serve((request) => answer(request as GeneratorRequest))
