import { type AddressInfo, createServer, isIP } from "node:net"
import type { Server } from "node:net"
import type { Duplex } from "node:stream"
import { Budget } from "./budget.ts"
import { type BrokerCounters, type BrokerEvent, Witness } from "./counters.ts"
import { Gate } from "./gate.ts"
import { listenTo, makeHooks } from "./hooks.ts"
import type { Hooks } from "./hooks.ts"
import { type BrokerLimits, limitsDefault } from "./limits.ts"
import { NothingStored } from "./nothing-stored.ts"
import { QuietAedes } from "./quiet-aedes.ts"
import { Reconnects } from "./reconnects.ts"
import { Session } from "./session.ts"
import type { Submit } from "./submit.ts"

export interface BrokerOptions {
  readonly submit: Submit
  /** A loopback address: without logins anybody may connect as any device (PROTOCOL §5). */
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  readonly limits?: Partial<BrokerLimits>
  readonly counters?: BrokerCounters
  readonly say?: (event: BrokerEvent) => void
}

export interface Broker {
  readonly port: number
  /** Devices that have their CONNACK. */
  connectionCount(): number
  /** Stops listening, then closes connections after what was submitted is answered or `drainMsMax` passed. */
  close(): Promise<void>
}

/**
 * Listens for devices.
 *
 * @throws Error if `host` is not a loopback address, or the port cannot be had
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  demandLoopback(options.host)
  const limits: BrokerLimits = { ...limitsDefault, ...options.limits }
  const witness = new Witness(options.counters, options.say)
  const budget = new Budget(limits.bytesInFlightMax)
  const gates = new Map<Gate, Session>()
  const byDevice = new Map<string, Gate>()
  const reconnects = new Reconnects({
    perSecondMax: limits.connectsPerSecondMax,
    delayed: () => witness.delayed(),
  })

  const hooks: Hooks = {
    witness,
    sessionOf: (connection) => (connection instanceof Gate ? gates.get(connection) : undefined),
    takeTurn(session, enter) {
      if (session.deviceId !== null) reconnects.arrive(session.deviceId, enter, () => session.gate.destroy())
    },
    takeOver(session) {
      const gate = session.gate
      if (session.deviceId === null) return
      const older = byDevice.get(session.deviceId)
      byDevice.set(session.deviceId, gate)
      if (older !== gate) older?.destroy() // [MQTT-3.1.4-2]
    },
  }
  const aedes = new QuietAedes({
    ...makeHooks(hooks),
    persistence: new NothingStored(),
    // The gate keeps both times, and says which of them was over; these stand behind it.
    connectTimeout: limits.connectMsMax * 2,
    drainTimeout: limits.writeStallMsMax * 2,
  })
  await aedes.listen()
  listenTo(aedes, hooks)

  function admit(stream: Duplex): void {
    const gate: Gate = new Gate(stream, {
      limits,
      budget,
      refused: (reason) => witness.refusedConnection(reason, session.deviceId),
      closed() {
        if (session.deviceId !== null && byDevice.get(session.deviceId) === gate)
          byDevice.delete(session.deviceId)
        session.end()
        gates.delete(gate)
      },
    })
    const session = new Session({ gate, submit: options.submit, budget, witness })
    gates.set(gate, session)
    aedes.handle(gate)
  }

  // Half-open: a client that sends DISCONNECT and FIN still gets the answers to what it sent before.
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  })
  server.maxConnections = limits.connectionsMax
  server.on("connection", admit)
  server.on("drop", () => witness.refusedConnection("too-many-connections", null))
  const port = await listen(server, options.host, options.port)
  server.on("error", (error) => witness.say({ kind: "fault", where: "listener", deviceId: null, error }))
  witness.say({ kind: "listening", port })

  async function close(): Promise<void> {
    reconnects.close()
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()))
    const late = setTimeout(() => {
      for (const gate of gates.keys()) gate.cut()
    }, limits.drainMsMax)
    for (const [gate, session] of gates) {
      if (session.hasBegun) gate.finish()
      else gate.cut()
    }
    await stopped
    clearTimeout(late)
    await new Promise<void>((resolve) => aedes.close(() => resolve()))
  }
  let closed: Promise<void> | null = null

  return {
    port,
    connectionCount: () => [...gates.values()].filter((session) => session.hasBegun).length,
    close: () => (closed ??= close()),
  }
}

function demandLoopback(host: string): void {
  const isLoopback = host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))
  if (isLoopback) return
  throw new Error(
    `broker: host ${host} is not a loopback address; without logins only 127.0.0.1 may be listened on (PROTOCOL §5)`,
  )
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port }, () => {
      server.off("error", reject)
      resolve()
    })
  })
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === "string") throw new Error("broker: the listener has no port")
  return address.port
}
