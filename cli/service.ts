/** `tidemark up`: all parts in one process. */
import type { Logger } from "pino"
import type { BrokerLimits } from "../broker/limits.ts"
import type { Transport } from "../broker/transport.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { checkSchedule } from "../ingest/schedule.ts"
import type { SealOptions, SealResult } from "../ingest/seal.ts"
import { type Connecting, loginsOf } from "./connecting.ts"
import { type Database, findRunning, removeRunning, writeRunning } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { openOrMakeBase } from "./parts/base.ts"
import { httpHostOf, startHttp } from "./parts/http.ts"
import { startIngest } from "./parts/ingest.ts"
import { startSealing } from "./parts/sealing.ts"

export interface ServiceOptions {
  readonly dataFolder: string
  /** For a new log; one is made up where it is left out. */
  readonly origin?: string
  readonly host: string
  /** Plain TCP; 0: a free one; null: not opened. */
  readonly mqtt: number | null
  /** The other listeners, TLS and logins. */
  readonly connecting?: Omit<Connecting, "host">
  readonly http: number
  /** By default `host`, or 127.0.0.1 where that is no loopback address: metrics and receipts have no logins. */
  readonly httpHost?: string
  /** Cron in UTC; null: sealed only when somebody asks. */
  readonly schedule: string | null
  readonly limits?: Partial<BrokerLimits>
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

/** Starts everything, or nothing: what was opened before a failure is closed again. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { dataFolder, host, schedule, connecting: named = { ports: {} } } = options
  const connecting = { ...named, host, ports: { mqtt: options.mqtt, ...named.ports } }
  if (schedule !== null) checkSchedule(schedule)
  const other = await findRunning(dataFolder)
  if (other !== null) {
    throw new CommandFault(
      `a service runs on ${dataFolder} already (process ${other.pid}, MQTT port ${other.mqtt ?? other.mqtts ?? other.ws ?? other.wss})`,
      "stop it, or use another --data",
    )
  }
  const closers: (() => Promise<unknown>)[] = []
  const opened = <T extends { close(): Promise<unknown> }>(part: T): T => {
    closers.push(() => part.close())
    return part
  }
  const close = async (): Promise<void> => {
    for (const one of closers.toReversed()) await one()
  }
  try {
    const base = opened(await openOrMakeBase(options))
    const ingest = opened(await startIngest(base, { connecting, limits: options.limits ?? {} }))
    const http = opened(
      await startHttp(base, {
        host: httpHostOf(host, options.httpHost),
        port: options.http,
        routes: ingest.routes,
      }),
    )
    const sealing = opened(await startSealing(base, { schedule }))
    const { keys, database } = base
    await writeRunning(dataFolder, {
      pid: process.pid,
      host,
      ...ingest.ports,
      logins: loginsOf(connecting),
      http: http.port,
      ...(http.host === host ? {} : { httpHost: http.host }),
      origin: keys.origin,
    })
    closers.push(() => removeRunning(dataFolder))
    return {
      keys,
      database,
      mqtt: ingest.ports.mqtt ?? 0,
      ports: ingest.ports,
      http: http.port,
      httpHost: http.host,
      reloadTls: () => ingest.reloadTls(),
      seal: (sealOptions) => sealing.seal(sealOptions),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
