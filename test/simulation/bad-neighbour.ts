/** Devices that behave badly, in a process of their own: what `BadNeighbours` starts. */
import { type Socket, createConnection } from "node:net"
import { setTimeout as wait } from "node:timers/promises"
import { joinBytes } from "../../chain/bytes.ts"
import { type ChainBinding, emptyHeadOf } from "../../chain/genesis.ts"
import { algorithmEd25519 } from "../../chain/key.ts"
import type { Head } from "../../chain/receipt.ts"
import { entryOf } from "../../chain/statement.ts"
import { type Random, makeRandom } from "../../devices-sim/random.ts"
import { sha256Native } from "../../ingest/native.ts"
import {
  type SoakDevice,
  claimsBehind,
  connectFrame,
  heartRates,
  makeSoakDevice,
  publishFrame,
  signClaims,
  subscribeFrame,
} from "./soak-device.ts"

export const badKinds = [
  "flood",
  "flood of large ones",
  "drip",
  "stall",
  "garbage",
  "fork",
  "refused",
] as const
export type BadKind = (typeof badKinds)[number]

/** The devices of all kinds, which must be enrolled; the same from the same seed. */
export function makeBadDevices(seed: number): ReadonlyMap<BadKind, SoakDevice> {
  const random = makeRandom(`neighbours ${seed}`)
  return new Map(
    badKinds.map((kind, index) => [
      kind,
      makeSoakDevice(`bad-${index}`, algorithmEd25519, random.fork(kind)),
    ]),
  )
}

interface Settings {
  readonly port: number
  readonly seed: number
  /** Of the log to which the neighbours speak. */
  readonly binding: ChainBinding
}

type Order = { readonly kind: BadKind } | "stop"

const drippers = 50
const smallCount = 4_000
const largeCount = 160

/** One bad device at work. */
class Neighbour {
  readonly #port: number
  readonly #device: SoakDevice
  readonly #random: Random
  readonly #sockets = new Set<Socket>()
  isEnding = false

  constructor(port: number, device: SoakDevice, random: Random) {
    this.#port = port
    this.#device = device
    this.#random = random
  }

  stop(): void {
    this.isEnding = true
    for (const socket of this.#sockets) socket.destroy()
  }

  /** As many as are let in, all at once, for as long as there are any, and then from the first again. */
  async flood(frames: readonly Uint8Array[]): Promise<void> {
    const all = joinBytes(...frames)
    while (!this.isEnding)
      await this.#talk(async (socket) => {
        socket.write(joinBytes(connectFrame(this.#device.id), all))
        await this.#closed(socket)
      }, true)
  }

  /** Many connections that publish a byte at a time and never come to an end. */
  async drip(): Promise<void> {
    const frame = publishFrame(this.#device.id, new Uint8Array(60_000), 7)
    await Promise.all(
      Array.from({ length: drippers }, async (_, index) => {
        await this.#talk(async (socket) => {
          socket.write(connectFrame(`drip-${index}`))
          for (let at = 0; at < frame.length && !this.isEnding && !socket.destroyed; at++) {
            socket.write(frame.subarray(at, at + 1))
            await wait(10)
          }
        }, true)
      }),
    )
  }

  /** Asks and asks, and reads no answer. */
  async stall(): Promise<void> {
    const question = publishFrame(this.#device.id, new Uint8Array(0), 7)
    const many = joinBytes(...Array.from({ length: 5_000 }, () => question))
    while (!this.isEnding)
      await this.#talk(async (socket) => {
        socket.write(joinBytes(connectFrame(this.#device.id), subscribeFrame(this.#device.id)))
        while (!this.isEnding && !socket.destroyed) {
          // What the service does not read waits here: no need to pile up more.
          if (!socket.writableNeedDrain) socket.write(many)
          await wait(10)
        }
      }, false)
  }

  /** What is no MQTT, and what is nearly MQTT, on one connection after the other. */
  async garbage(): Promise<void> {
    while (!this.isEnding)
      await this.#talk(async (socket) => {
        const front =
          this.#random.float() < 0.5 ? connectFrame(`g-${this.#random.int(0, 1e6)}`) : new Uint8Array(0)
        socket.write(joinBytes(front, this.#random.bytes(2_000)))
        await this.#closed(socket)
      }, true)
  }

  /** The same refused statement again and again, on a new connection each time. */
  async repeat(statement: Uint8Array): Promise<void> {
    while (!this.isEnding)
      await this.#talk(async (socket) => {
        socket.write(joinBytes(connectFrame(this.#device.id), publishFrame(this.#device.id, statement, 7)))
        await this.#closed(socket)
      }, true)
  }

  async #talk(say: (socket: Socket) => Promise<void>, reads: boolean): Promise<void> {
    const socket = createConnection({ port: this.#port, host: "127.0.0.1", noDelay: true })
    this.#sockets.add(socket)
    socket.on("error", () => {})
    if (reads) socket.resume()
    else socket.pause()
    await say(socket)
    socket.destroy()
    this.#sockets.delete(socket)
  }

  async #closed(socket: Socket): Promise<void> {
    if (!socket.destroyed) await new Promise<void>((resolve) => socket.once("close", () => resolve()))
  }
}

function signMany(device: SoakDevice, from: Head, count: number, readings: number): Uint8Array[] {
  let head = from
  return Array.from({ length: count }, (_, index) => {
    const bytes = signClaims(device.key, claimsBehind(device, head, heartRates(head.seq, readings)))
    head = { seq: head.seq + 1, entry: entryOf(bytes, sha256Native) }
    return publishFrame(device.id, bytes, (index % 60_000) + 1)
  })
}

function serve({ port, seed, binding }: Settings): void {
  const devices = makeBadDevices(seed)
  const random = makeRandom(`neighbours ${seed} at work`)
  const of = (kind: BadKind): SoakDevice => devices.get(kind)!
  const empty = (kind: BadKind): Head => emptyHeadOf(binding, of(kind).id)
  // Made before anything is measured.
  const small = signMany(of("flood"), empty("flood"), smallCount, 20)
  const large = signMany(of("flood of large ones"), empty("flood of large ones"), largeCount, 4_900)
  const [first] = signMany(of("fork"), empty("fork"), 1, 3)
  const [one, other] = [3, 4].map((count) =>
    signClaims(of("fork").key, claimsBehind(of("fork"), empty("fork"), heartRates(0, count))),
  )
  const unsigned = signClaims(
    of("refused").key,
    claimsBehind(of("refused"), empty("refused"), heartRates(0, 20)),
  )
  unsigned[unsigned.length - 1]! ^= 1
  let neighbour: Neighbour | null = null
  process.on("message", (order: Order) => {
    neighbour?.stop()
    if (order === "stop") return
    neighbour = new Neighbour(port, of(order.kind), random)
    const works: Record<BadKind, (it: Neighbour) => Promise<void>> = {
      flood: (it) => it.flood(small),
      "flood of large ones": (it) => it.flood(large),
      drip: (it) => it.drip(),
      stall: (it) => it.stall(),
      garbage: (it) => it.garbage(),
      fork: async (it) => {
        void it.repeat(one ?? first!)
        await it.repeat(other ?? first!)
      },
      refused: (it) => it.repeat(unsigned),
    }
    void works[order.kind](neighbour)
  })
  process.on("disconnect", () => process.exit())
  process.send?.("ready")
}

const given = process.argv[2]
if (given?.startsWith("{") === true && process.send !== undefined) serve(JSON.parse(given) as Settings)
