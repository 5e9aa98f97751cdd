/**
 * A TCP balancer in front of several ingest processes that moves devices in the middle of a stream: after so many bytes
 * a connection breaks, and the device's next one goes to any process, the same or another.
 */
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net"
import type { Random } from "../../devices-sim/random.ts"

export interface BalancerCounts {
  /** Broken at once on both sides. */
  readonly cut: number
  /** The device was gone, and what it had sent reached its process later: beside, or after, what it said to another. */
  readonly late: number
  readonly connections: number
}

const bytesMin = 300
const bytesMax = 40_000
const heldMsMax = 15
const lateMsMax = 250

export class Balancer {
  readonly port: number
  readonly #server: Server
  readonly #random: Random
  /** Ports of the processes that run now, by number. */
  readonly #processes = new Map<number, number>()
  readonly #open = new Map<Socket, number>()
  readonly #counts = { cut: 0, late: 0, connections: 0 }

  private constructor(server: Server, random: Random) {
    this.#server = server
    this.#random = random
    this.port = (server.address() as AddressInfo).port
    server.on("connection", (socket) => this.#join(socket))
  }

  static async open(random: Random): Promise<Balancer> {
    const server = createServer({ noDelay: true })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    return new Balancer(server, random)
  }

  get counts(): BalancerCounts {
    return this.#counts
  }

  /** The process takes connections at this port; null: it is gone. */
  set(process: number, port: number | null): void {
    if (port === null) this.#processes.delete(process)
    else this.#processes.set(process, port)
  }

  async close(): Promise<void> {
    for (const socket of this.#open.keys()) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #join(device: Socket): void {
    const ports = [...this.#processes.values()]
    if (ports.length === 0) {
      device.destroy()
      return
    }
    this.#counts.connections += 1
    const service = connect({ port: this.#random.pick(ports), host: "127.0.0.1", noDelay: true })
    const isLate = this.#random.float() < 0.5
    const heldMs = this.#random.int(0, heldMsMax)
    const lateMs = this.#random.int(0, lateMsMax)
    let left = this.#random.int(bytesMin, bytesMax)
    const held: Uint8Array[] = []
    let isBroken = false
    for (const socket of [device, service]) {
      this.#open.set(socket, 0)
      socket.on("error", () => socket.destroy())
      socket.on("close", () => this.#open.delete(socket))
    }
    service.on("close", () => device.destroy())
    device.on("close", () => {
      if (!isBroken) service.destroy()
    })
    service.on("data", (chunk: Uint8Array) => {
      if (!device.destroyed) device.write(chunk)
    })
    device.on("data", (chunk: Uint8Array) => {
      left -= chunk.length
      if (left > 0) service.write(chunk)
      else if (!isLate) {
        this.#counts.cut += 1
        device.resetAndDestroy()
        service.resetAndDestroy()
      } else {
        held.push(chunk)
        if (isBroken) return
        isBroken = true
        this.#counts.late += 1
        setTimeout(() => device.resetAndDestroy(), heldMs)
        setTimeout(() => {
          for (const one of held) service.write(one)
          service.end()
        }, heldMs + lateMs)
      }
    })
  }
}
