import type { Duplex } from "node:stream"
import { Budget } from "./budget.ts"
import { type BrokerCounters, type BrokerEvent, Witness } from "./counters.ts"
import { Entrance } from "./entrance.ts"
import { Gate } from "./gate.ts"
import { listenTo, makeHooks } from "./hooks.ts"
import type { Hooks } from "./hooks.ts"
import { type BrokerLimits, limitsDefault } from "./limits.ts"
import { type Arrival, type Entry, type Listener, type ListenerOptions, openListener } from "./listener.ts"
import type { TlsOptions } from "./listener.ts"
import type { Login } from "./login.ts"
import { NothingStored } from "./nothing-stored.ts"
import { QuietAedes } from "./quiet-aedes.ts"
import { Reconnects } from "./reconnects.ts"
import { Session } from "./session.ts"
import type { AnswerSealed, Submit } from "./submit.ts"
import { findExposureFault } from "./transport.ts"

export interface BrokerOptions {
  readonly submit: Submit
  /** Without one nobody may ask for sealed receipts. */
  readonly answerSealed?: AnswerSealed
  /** Any number of them. */
  readonly listeners: readonly ListenerOptions[]
  /** Of the listeners that speak TLS. */
  readonly tls?: TlsOptions
  /** Without one anybody may connect as any device, and the signature decides (FORMAT §5). */
  readonly login?: {
    readonly judge: Login
    /** False: a client that shows no credentials at all may connect as any device. */
    readonly isRequired: boolean
  }
  /** Each connection begins with a PROXY header, of version 1 or 2. */
  readonly isProxied?: boolean
  /** Outside loopback: listeners without TLS. */
  readonly isPlaintextAllowed?: boolean
  /** Outside loopback: listeners that demand no login. */
  readonly isAnonymousAllowed?: boolean
  /** Over WebSocket: origins of web pages that may connect, besides those that this broker's own address served. */
  readonly webOrigins?: readonly string[]
  readonly limits?: Partial<BrokerLimits>
  readonly counters?: BrokerCounters
  readonly say?: (event: BrokerEvent) => void
}

export interface Broker {
  /** In the order of the options, with the ports that they got. */
  readonly listeners: readonly ListenerOptions[]
  /** For connections from now on. Throws where certificate and key do not fit, and then nothing has changed. */
  setTls(tls: TlsOptions): void
  /** Devices that have their CONNACK. */
  connectionCount(): number
  /** Stops listening, then closes connections after what was submitted is answered or `drainMsMax` passed. */
  close(): Promise<void>
}

const clock = (): number => performance.now()

/**
 * Listens for devices.
 *
 * @throws Error if a listener outside loopback was not allowed by name, or a port cannot be had
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { login } = options
  const exposed = findExposureFault(options.listeners, {
    isPlaintextAllowed: options.isPlaintextAllowed ?? false,
    isAnonymousAllowed: options.isAnonymousAllowed ?? false,
    isLoginRequired: login?.isRequired ?? false,
  })
  if (exposed !== null) throw new Error(`broker: ${exposed}`)
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
    logIn(session, username, password, enter) {
      if (login === undefined) enter()
      else session.logIn(login, username, password, enter)
    },
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

  function admit(stream: Duplex, { certificates, spentMs }: Arrival): void {
    const gate: Gate = new Gate(stream, {
      // What PROXY header and TLS took is gone from the time that CONNECT has.
      limits: spentMs < 1 ? limits : { ...limits, connectMsMax: Math.max(1, limits.connectMsMax - spentMs) },
      budget,
      refused: (reason, detail) =>
        witness.refusedConnection(reason, {
          deviceId: session.deviceId,
          clientId: session.clientId,
          detail,
        }),
      closed() {
        if (session.deviceId !== null && byDevice.get(session.deviceId) === gate)
          byDevice.delete(session.deviceId)
        session.end()
        gates.delete(gate)
      },
    })
    const session = new Session({
      gate,
      submit: options.submit,
      ...(options.answerSealed === undefined ? {} : { answerSealed: options.answerSealed }),
      budget,
      witness,
      certificates,
    })
    gates.set(gate, session)
    aedes.handle(gate)
  }

  const { connectionsPerAddressMax, addressConnectsPerSecondMax, addressConnectBurstMax } =
    options.limits ?? {}
  const isLoopbackLimited =
    (connectionsPerAddressMax ?? addressConnectsPerSecondMax ?? addressConnectBurstMax) !== undefined
  const entry: Entry = {
    limits,
    entrance: new Entrance(limits, isLoopbackLimited, clock),
    isProxied: options.isProxied ?? false,
    isCertificateAsked: login !== undefined,
    clock,
    refused: (reason, detail) =>
      witness.refusedConnection(reason, { deviceId: null, clientId: null, detail: detail ?? null }),
    webOrigins: new Set(options.webOrigins),
    failed: (error) => witness.say({ kind: "fault", where: "listener", deviceId: null, error }),
    admit,
  }
  const listeners: Listener[] = []
  try {
    for (const each of options.listeners) {
      const listener = await openListener(each, options.tls ?? null, entry)
      listeners.push(listener)
      witness.say({ kind: "listening", transport: listener.transport, port: listener.port })
    }
  } catch (error) {
    await close()
    throw error
  }

  async function close(): Promise<void> {
    reconnects.close()
    const stopped = Promise.all(listeners.map((listener) => listener.close()))
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
    listeners,
    setTls(tls) {
      for (const listener of listeners) listener.setTls(tls)
    },
    connectionCount: () => [...gates.values()].filter((session) => session.hasBegun).length,
    close: () => (closed ??= close()),
  }
}
