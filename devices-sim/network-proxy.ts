/**
 * A bad network in front of a service: a proxy on a port of its own, on whose connections toxics are. Bytes are bytes to
 * it: TLS and WebSocket go through as well.
 */
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net"
import type { Random } from "./random.ts"
import { type FlowClock, Flow } from "./toxic-flow.ts"
import { type ToxicKind, type ToxicRule, type ToxicStream, drawToxics, isToxicOn } from "./toxic.ts"

export interface NetworkOptions {
  /** The service behind it. */
  readonly host: string
  readonly port: number
  readonly rules: readonly ToxicRule[]
  /** The network's stream: what befalls a connection follows from it, the device and the connection's number. */
  readonly random: Random
  /** Ms of the run. */
  readonly now: () => number
}

export interface NetworkCounts {
  connections: number
  /** From devices, and to them. */
  bytesUp: number
  bytesDown: number
  /** Connections that a toxic of the kind was drawn for. */
  readonly befallen: Partial<Record<ToxicKind, number>>
}

export interface Network {
  /** On 127.0.0.1. */
  readonly port: number
  readonly counts: NetworkCounts
  /** Every connection is reset, and no more are taken. */
  close(): Promise<void>
}

/** More on the way than this, and the side that sends has to wait. */
const pendingMax = 256 * 1024
/** Behind so many bytes the device's name is not waited for. */
const connectSizeMax = 1024

export async function openNetwork(options: NetworkOptions): Promise<Network> {
  const counts: NetworkCounts = { connections: 0, bytesUp: 0, bytesDown: 0, befallen: {} }
  const wires = new Set<Wire>()
  const numbers = new Map<string, number>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (device) => {
    counts.connections += 1
    const wire = new Wire(device, options, counts, numbers, () => wires.delete(wire))
    wires.add(wire)
  })
  await listen(server)
  return {
    port: (server.address() as AddressInfo).port,
    counts,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const wire of wires) wire.reset()
      await closed
    },
  }
}

async function listen(server: Server): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, resolve)
  })
}

/** One connection through the network. */
class Wire {
  private readonly device: Socket
  private readonly service: Socket
  private readonly options: NetworkOptions
  private readonly counts: NetworkCounts
  private readonly numbers: Map<string, number>
  private readonly gone: () => void
  private readonly waits: (() => void)[] = []
  private up: Flow | null = null
  private down: Flow | null = null
  /** What came before it is known whose connection it is. */
  private early: Uint8Array[] = []
  private isSilent = false
  private isOver = false

  constructor(
    device: Socket,
    options: NetworkOptions,
    counts: NetworkCounts,
    numbers: Map<string, number>,
    gone: () => void,
  ) {
    this.device = device
    this.options = options
    this.counts = counts
    this.numbers = numbers
    this.gone = gone
    this.service = connect({ host: options.host, port: options.port, allowHalfOpen: true, noDelay: true })
    device.on("data", (chunk: Uint8Array) => this.fromDevice(chunk))
    device.on("end", () => this.ended("upstream"))
    this.service.on("data", (chunk: Uint8Array) => this.fromService(chunk))
    this.service.on("end", () => this.ended("downstream"))
    for (const socket of [device, this.service]) {
      socket.on("error", () => socket.destroy())
      socket.on("close", () => this.sideClosed(socket === device ? "upstream" : "downstream"))
      socket.on("drain", () => this.breathe())
    }
  }

  reset(): void {
    if (this.isOver) return
    this.finish()
    this.device.resetAndDestroy()
    this.service.resetAndDestroy()
  }

  private close(): void {
    if (this.isOver) return
    this.finish()
    this.device.destroySoon()
    this.service.destroySoon()
  }

  private finish(): void {
    this.isOver = true
    this.up?.stop()
    this.down?.stop()
    for (const cancel of this.waits) cancel()
    this.gone()
  }

  /** A side is gone. What it sent before is on the way to the other one, which hears of the end behind that. */
  private sideClosed(stream: ToxicStream): void {
    if (this.isOver) return
    if (this.device.destroyed && this.service.destroyed) {
      this.finish()
      return
    }
    // Half open: the other side is not told.
    if (this.isSilent) return
    const [to, from] = stream === "upstream" ? [this.up, this.down] : [this.down, this.up]
    from?.stop()
    if (to === null) this.close()
    else to.end()
  }

  private fromDevice(chunk: Uint8Array): void {
    this.counts.bytesUp += chunk.length
    if (this.isSilent) return
    if (this.up === null) {
      this.early.push(Uint8Array.from(chunk))
      const bytes = Buffer.concat(this.early)
      const reading = readClientId(bytes)
      if (reading.kind === "short" && bytes.length < connectSizeMax) return
      this.begin(reading.kind === "named" ? reading.id : null)
    } else this.up.push(Uint8Array.from(chunk))
    this.breathe()
  }

  private fromService(chunk: Uint8Array): void {
    this.counts.bytesDown += chunk.length
    if (this.isSilent) return
    // Who speaks first is no device's broker; but whoever it is, it is heard.
    if (this.down === null) this.begin(null)
    this.down!.push(Uint8Array.from(chunk))
    this.breathe()
  }

  private ended(stream: ToxicStream): void {
    if (this.isSilent || this.isOver) return
    if (this.up === null) this.begin(null)
    ;(stream === "upstream" ? this.up : this.down)!.end()
  }

  private breathe(): void {
    if (this.isOver) return
    pauseWhile(this.device, (this.up?.pending ?? 0) > pendingMax || this.service.writableNeedDrain)
    pauseWhile(this.service, (this.down?.pending ?? 0) > pendingMax || this.device.writableNeedDrain)
  }

  /** From here on it is known whose connection this is, where it says so. */
  private begin(name: string | null): void {
    const { rules, random, now } = this.options
    const device = name ?? ""
    const number = (this.numbers.get(device) ?? 0) + 1
    this.numbers.set(device, number)
    const drawn = drawToxics(random, rules, { device, number })
    for (const { toxic } of drawn)
      this.counts.befallen[toxic.kind] = (this.counts.befallen[toxic.kind] ?? 0) + 1
    const own = random.fork(`${device} ${number} flow`)
    const end = { close: () => this.close(), silence: () => this.silence() }
    const of = (stream: ToxicStream): readonly ToxicRule[] =>
      drawn.filter((rule) => (rule.stream ?? "downstream") === stream || rule.toxic.kind === "timeout")
    const clock = (stream: ToxicStream): FlowClock => ({ random: own.fork(stream), now, timer: setTimer })
    this.up = new Flow(of("upstream"), clock("upstream"), this.out(this.service), end)
    this.down = new Flow(of("downstream"), clock("downstream"), this.out(this.device), end)
    for (const rule of drawn) this.schedule(rule)
    for (const bytes of this.early.splice(0)) this.up.push(bytes)
  }

  /** What happens to a connection by time alone. */
  private schedule(rule: ToxicRule): void {
    const { toxic, fromMs = 0 } = rule
    const nowMs = this.options.now()
    const isLater = nowMs < fromMs
    if (!isLater && !isToxicOn(rule, nowMs)) return
    const inMs = isLater ? fromMs - nowMs : 0
    if (toxic.kind === "reset_peer") this.waits.push(setTimer(inMs + toxic.timeoutMs, () => this.reset()))
    if (toxic.kind === "timeout" && toxic.timeoutMs > 0)
      this.waits.push(setTimer(inMs + toxic.timeoutMs, () => this.close()))
  }

  private silence(): void {
    this.isSilent = true
    this.up?.stop()
    this.down?.stop()
  }

  private out(socket: Socket): { push(bytes: Uint8Array): void; end(): void } {
    return {
      push: (bytes) => {
        if (!socket.destroyed) socket.write(bytes)
        this.breathe()
      },
      end: () => socket.end(),
    }
  }
}

function pauseWhile(socket: Socket, isFull: boolean): void {
  if (isFull && !socket.isPaused()) socket.pause()
  else if (!isFull && socket.isPaused()) socket.resume()
}

function setTimer(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs)
  return () => clearTimeout(timer)
}

type ClientId = { readonly kind: "short" | "none" } | { readonly kind: "named"; readonly id: string }

/** The client id of a CONNECT (MQTT 3.1.1 §3.1), which is the device's; `none` of TLS and WebSocket. */
function readClientId(bytes: Uint8Array): ClientId {
  if (bytes[0] !== undefined && bytes[0] !== 0x10) return { kind: "none" }
  let at = 1
  while (at < bytes.length && (bytes[at]! & 0x80) !== 0) at += 1
  const protocol = readText(bytes, at + 1)
  if (protocol === null) return { kind: "short" }
  // Level, flags, keepalive.
  const id = readText(bytes, protocol.end + 4)
  return id === null ? { kind: "short" } : { kind: "named", id: id.text }
}

function readText(bytes: Uint8Array, at: number): { readonly text: string; readonly end: number } | null {
  if (at + 2 > bytes.length) return null
  const end = at + 2 + (bytes[at]! << 8) + bytes[at + 1]!
  return end > bytes.length ? null : { text: new TextDecoder().decode(bytes.subarray(at + 2, end)), end }
}
