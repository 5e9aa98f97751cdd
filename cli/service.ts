/** `tidemark up`: all parts in one process. */
import type { FastifyInstance } from "fastify"
import type { Logger } from "pino"
import type { BrokerLimits } from "../broker/limits.ts"
import type { Transport } from "../broker/transport.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { checkSchedule } from "../ingest/schedule.ts"
import type { SealOptions, SealResult } from "../ingest/seal.ts"
import type { CallersOptions } from "../research/locality.ts"
import { type Connecting, loginsOf } from "./connecting.ts"
import { type Database, findKeys, makeDataFolder } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { tryFolder } from "./folder-lock.ts"
import { openOrMakeBase } from "./parts/base.ts"
import { compose } from "./parts/composition.ts"
import { openGuard } from "./parts/guard.ts"
import { httpHostOf, startHttp } from "./parts/http.ts"
import { startIngest } from "./parts/ingest.ts"
import { makePage } from "./parts/page.ts"
import { announcePresence } from "./parts/presence.ts"
import { openResearch } from "./parts/research.ts"
import { startSealing } from "./parts/sealing.ts"
import { compareBase, planOf, startWitnesses } from "./parts/witnesses.ts"
import { checkFirstStart, isReached, originFault } from "./preflight.ts"
import { findUp, serviceLock } from "./running.ts"

export interface ServiceOptions {
  readonly dataFolder: string
  /** For a new log. Where it is left out, one is made up, if nobody but this machine reaches the service. */
  readonly origin?: string
  readonly host: string
  /** Plain TCP; 0: a free one; null: not opened. */
  readonly mqtt: number | null
  /** The other listeners, TLS and logins. */
  readonly connecting?: Omit<Connecting, "host">
  readonly http: number
  /** By default `host`, or 127.0.0.1 where that is no loopback address: metrics and receipts have no logins. */
  readonly httpHost?: string
  /** Proxies in front of HTTP, and origins whose pages may ask. */
  readonly callers?: CallersOptions
  /** Cron in UTC; null: sealed only when somebody asks. */
  readonly schedule: string | null
  /** A C2SP tlog-policy: who cosigns the checkpoints. */
  readonly witnesses?: Uint8Array
  readonly limits?: Partial<BrokerLimits>
  /** Ends with the command that starts it: nobody else publishes to it. */
  readonly isOfOneRun?: boolean
  /** The demo's own routes. */
  readonly plugin?: (app: FastifyInstance) => Promise<void>
  readonly log: Logger
  /** For what a person must read, whatever the log's form is. */
  readonly say: (line: string) => void
}

export interface Service {
  readonly keys: LogKeys
  readonly database: Database
  /** Plain TCP; 0 where it is not opened. */
  readonly mqtt: number
  /** All that were opened. */
  readonly ports: Readonly<Partial<Record<Transport, number>>>
  readonly http: number
  readonly httpHost: string
  /** Reads certificate and key again; see `Connections`. */
  reloadTls(): Promise<void>
  seal(options?: Partial<SealOptions>): Promise<SealResult>
  /** Answers what came in, then closes everything. */
  close(): Promise<void>
}

/** Starts everything, or nothing. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { dataFolder, host, schedule, connecting: named = { ports: {} } } = options
  const connecting = { ...named, host, ports: { mqtt: options.mqtt, ...named.ports } }
  if (schedule !== null) checkSchedule(schedule)
  await refuseSecond(dataFolder)
  const http = { host: httpHostOf(host, options.httpHost), port: options.http }
  if (!(await findKeys(dataFolder))) await checkFirstStart({ ...options, connecting, http })
  return compose(async (parts) => {
    parts.add(await takeFolder(dataFolder))
    const isOriginNeeded = isReached(host, http.host)
    const base = parts.add(
      await openOrMakeBase({
        ...options,
        ...(isOriginNeeded ? { originFault: originFault(host, http.host) } : {}),
      }),
    )
    const plan = options.witnesses === undefined ? null : planOf(options.witnesses, base.keys)
    if (plan !== null) await compareBase(base, plan)
    const { guard, operatorToken } = parts.add(openGuard(base))
    const ingest = parts.add(await startIngest(base, { connecting, limits: options.limits ?? {}, guard }))
    const research = parts.add(openResearch(base, guard))
    const httpPart = parts.add(
      await startHttp(base, {
        ...http,
        ...options.callers,
        plugins: [
          ingest.plugin,
          research.plugin,
          makePage(base, options.plugin !== undefined),
          ...(options.plugin === undefined ? [] : [options.plugin]),
        ],
      }),
    )
    const witnesses = plan === null ? null : parts.add(await startWitnesses(base, plan))
    const sealing = parts.add(await startSealing(base, { schedule, onSealed: () => witnesses?.wake() }))
    const { keys, database } = base
    const { ports } = ingest
    const running = {
      kind: "up",
      host,
      ...ports,
      logins: loginsOf(connecting),
      origin: keys.origin,
      operatorToken,
      ...(options.isOfOneRun === true ? { isOfOneRun: true } : {}),
    } as const
    parts.add(await announcePresence(dataFolder, running, httpPart))
    return {
      keys,
      database,
      mqtt: ports.mqtt ?? 0,
      ports,
      http: httpPart.port,
      httpHost: httpPart.host,
      reloadTls: () => ingest.reloadTls(),
      seal: (sealOptions) => sealing.seal(sealOptions),
      close: () => parts.close(),
    }
  })
}

const otherFolderHint = "stop it, or use another --data"

async function refuseSecond(dataFolder: string): Promise<void> {
  const other = await findUp(dataFolder)
  if (other === null) return
  throw new CommandFault(
    `a service runs on ${dataFolder} already (process ${other.pid}, MQTT port ${other.mqtt ?? other.mqtts ?? other.ws ?? other.wss})`,
    otherFolderHint,
  )
}

/** One service a folder, from before it makes anything there until it has ended. */
async function takeFolder(dataFolder: string): Promise<{ close(): Promise<void> }> {
  await makeDataFolder(dataFolder)
  const taken = await tryFolder(dataFolder, serviceLock)
  if (typeof taken === "function") return { close: taken }
  await refuseSecond(dataFolder)
  throw new CommandFault(`a service starts or stops on ${dataFolder} (process ${taken})`, otherFolderHint)
}
