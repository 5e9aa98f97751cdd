/** How devices come in: the listeners, TLS and logins of a service, put together. */
import type { Logger } from "pino"
import type { Pool } from "pg"
import { equalBytes } from "../chain/bytes.ts"
import { isLoopback } from "../broker/address.ts"
import { type Broker, startBroker } from "../broker/broker.ts"
import type { BrokerCounters, BrokerEvent } from "../broker/counters.ts"
import type { BrokerLimits } from "../broker/limits.ts"
import type { ListenerOptions } from "../broker/listener.ts"
import type { Login } from "../broker/login.ts"
import type { AnswerSealed, Submit } from "../broker/submit.ts"
import { type Transport, findExposureFault, transports } from "../broker/transport.ts"
import { type IngestKeys, accessKeyOf } from "../ingest/log-keys.ts"
import { makeLogin } from "../ingest/login.ts"
import { makeLoginRecords } from "../ingest/login-record.ts"
import { enrolByCertificate, readTrustedAuthorities } from "../ingest/registry.ts"
import { CommandFault } from "./fault.ts"
import { type ReadTls, type TlsFiles, readTlsFiles, watchTlsFiles } from "./tls-files.ts"

export type Logins = "required" | "optional" | "none"

export interface Connecting {
  readonly host: string
  /** Ports by transport: 0 a free one, absent or null not opened. */
  readonly ports: Readonly<Partial<Record<Transport, number | null>>>
  readonly tls?: TlsFiles
  /** By default none where all listeners are on loopback, else required. */
  readonly logins?: Logins
  readonly clockSkewSeconds?: number
  readonly isProxied?: boolean
  readonly isPlaintextAllowed?: boolean
  readonly isAnonymousAllowed?: boolean
  /** Origins of web pages that may connect over WebSocket. */
  readonly webOrigins?: readonly string[]
}

export interface Connections {
  readonly broker: Broker
  /** Those that were opened. */
  readonly ports: Readonly<Partial<Record<Transport, number>>>
  /** Reads certificate and key again. A pair that cannot be used is logged, and the old one stays. */
  reloadTls(): Promise<void>
  close(): Promise<void>
}

export interface ConnectionsNeeds {
  /** For logins. */
  readonly pool: Pool
  /** For enrolments by certificate, which wait while a block is made: no login waits behind them. */
  readonly enrolmentPool: Pool
  readonly keys: IngestKeys
  readonly submit: Submit
  readonly answerSealed: AnswerSealed
  readonly limits: Partial<BrokerLimits>
  readonly counters: BrokerCounters
  readonly certificateNotAfter: (seconds: number) => void
  readonly log: Logger
  /** The same that is logged, for people who watch a device. */
  readonly tell?: (event: BrokerEvent) => void
}

export const clockSkewSecondsDefault = 60

export function listenersOf({ host, ports }: Connecting): ListenerOptions[] {
  return transports.flatMap((transport) => {
    const port = ports[transport] ?? null
    return port === null ? [] : [{ transport, host, port }]
  })
}

export function loginsOf(connecting: Connecting): Logins {
  return connecting.logins ?? (isLoopback(connecting.host) ? "none" : "required")
}

/** Why a service may not be reached like that, with the option that would allow it; or null. */
export function findConnectingFault(connecting: Connecting): string | null {
  const listeners = listenersOf(connecting)
  if (listeners.length === 0) return "nothing is listened on: name a port with --mqtt, --mqtts, --ws or --wss"
  const secure = listeners.find(({ transport }) => transport === "mqtts" || transport === "wss")
  if (secure !== undefined && connecting.tls === undefined)
    return `--${secure.transport} needs --tls-cert and --tls-key`
  const exposure = {
    isPlaintextAllowed: connecting.isPlaintextAllowed ?? false,
    isAnonymousAllowed: connecting.isAnonymousAllowed ?? false,
    isLoginRequired: loginsOf(connecting) === "required",
  }
  const fault = findExposureFault(listeners, exposure)
  if (fault === null) return null
  const isAboutPlaintext = findExposureFault(listeners, { ...exposure, isPlaintextAllowed: true }) !== fault
  return `${fault} (${isAboutPlaintext ? "--allow-plaintext" : "--allow-anonymous"})`
}

export async function openConnections(connecting: Connecting, needs: ConnectionsNeeds): Promise<Connections> {
  const fault = findConnectingFault(connecting)
  if (fault !== null) throw new CommandFault(fault)
  const { log } = needs
  const files = connecting.tls
  let current: ReadTls | null = files === undefined ? null : await readTlsFiles(files)
  const listeners = listenersOf(connecting)
  const logins = loginsOf(connecting)
  const broker = await startBroker({
    submit: needs.submit,
    answerSealed: needs.answerSealed,
    listeners,
    ...(current === null ? {} : { tls: current.tls }),
    ...(logins === "none"
      ? {}
      : { login: { judge: makeJudge(connecting, needs), isRequired: logins === "required" } }),
    isProxied: connecting.isProxied ?? false,
    isPlaintextAllowed: connecting.isPlaintextAllowed ?? false,
    isAnonymousAllowed: connecting.isAnonymousAllowed ?? false,
    webOrigins: connecting.webOrigins ?? [],
    limits: needs.limits,
    counters: needs.counters,
    say: (event) => {
      logEvent(log, event)
      needs.tell?.(event)
    },
  }).catch((error: unknown) => {
    throw explainListener(error, listeners)
  })

  function reportExpiry({ notAfterSeconds }: ReadTls): void {
    needs.certificateNotAfter(notAfterSeconds)
    const notAfter = new Date(notAfterSeconds * 1000).toISOString()
    if (notAfterSeconds * 1000 < Date.now()) log.warn({ notAfter }, "the service's certificate has expired")
  }
  if (current !== null) reportExpiry(current)

  async function reload(): Promise<void> {
    if (files === undefined || current === null) return
    try {
      const next = await readTlsFiles(files)
      if (isSame(next, current)) return
      broker.setTls(next.tls)
      current = next
      reportExpiry(next)
      log.info({ notAfter: new Date(next.notAfterSeconds * 1000).toISOString() }, "certificate reloaded")
    } catch (error) {
      log.error({ error: (error as Error).message }, "the new certificate is refused; the old one stays")
    }
  }
  // One after the other: what was read first must not be put in place last.
  let reloading = Promise.resolve()
  const reloadTls = (): Promise<void> => (reloading = reloading.then(reload))
  const unwatch =
    files === undefined
      ? () => {}
      : watchTlsFiles(
          files,
          () => void reloadTls(),
          (error) =>
            log.warn(
              { error: (error as Error).message },
              "certificate files cannot be watched; SIGHUP reads them again",
            ),
        )
  return {
    broker,
    ports: Object.fromEntries(broker.listeners.map(({ transport, port }) => [transport, port])),
    reloadTls,
    close: async () => {
      unwatch()
      await reloading
      await broker.close()
    },
  }
}

function makeJudge(
  { clockSkewSeconds = clockSkewSecondsDefault }: Connecting,
  needs: ConnectionsNeeds,
): Login {
  const { pool, enrolmentPool, keys } = needs
  return makeLogin({
    records: makeLoginRecords(pool, accessKeyOf(keys)),
    origin: keys.origin,
    clock: Date.now,
    clockSkewSeconds,
    readAuthorities: () => readTrustedAuthorities(pool),
    enrolByCertificate: async (device, key, { digest: caDigest }) => {
      const result = await enrolByCertificate(enrolmentPool, keys, { device, key, caDigest })
      return result.kind === "enrolled"
    },
  })
}

function isSame({ tls: a }: ReadTls, { tls: b }: ReadTls): boolean {
  return isSameFile(a.cert, b.cert) && isSameFile(a.key, b.key) && isSameFile(a.ca, b.ca)
}

function isSameFile(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b)
}

function logEvent(log: Logger, event: BrokerEvent): void {
  if (event.kind === "fault") {
    log.error(
      { where: event.where, device: event.deviceId, error: String(event.error) },
      "a fault of ours closed a connection",
    )
  } else if (event.kind === "refused-connection") {
    const { reason, deviceId: device, clientId: client, detail } = event
    log.warn(
      {
        reason,
        device,
        ...(device === null && client !== null ? { client } : {}),
        ...(detail === null ? {} : { detail }),
      },
      "connection refused",
    )
  } else if (event.kind === "denied-subscription") {
    log.warn({ device: event.deviceId, detail: event.detail }, "subscription denied")
  }
}

/** Which listener it was. */
function explainListener(error: unknown, listeners: readonly ListenerOptions[]): unknown {
  const { port } = error as { port?: number }
  const listener = listeners.find((each) => each.port === port) ?? listeners[0]
  const name = listener?.transport ?? "mqtt"
  return explainPort(error, name.startsWith("ws") ? "WebSocket" : "MQTT", listener?.port ?? 0, `--${name}`)
}

/** A port that cannot be had, in words; any other error as it is. */
export function explainPort(error: unknown, what: string, port: number, flag: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === "EADDRINUSE")
    return new CommandFault(
      `${what} port ${port} is taken by another program`,
      `name another with ${flag}, or 0 for a free one`,
    )
  if (code === "EACCES")
    return new CommandFault(
      `${what} port ${port} may not be opened by this user`,
      `name one above 1023 with ${flag}`,
    )
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN")
    return new CommandFault(`this machine does not have the address for ${what}`, "name another with --host")
  return error
}
