/** The service in one process: broker, ingest, sealing, health. The only place that composes the parts. */
import { randomBytes } from "node:crypto"
import type { Logger } from "pino"
import { isLoopback } from "../broker/address.ts"
import type { BrokerLimits } from "../broker/limits.ts"
import type { Transport } from "../broker/transport.ts"
import { migrate } from "../ingest/database/migration.ts"
import { type IntakeEvents, openIntake } from "../ingest/intake.ts"
import { initLog, openLog } from "../ingest/log.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { checkPublished, publishLast } from "../ingest/publication.ts"
import { type SealOptions, type SealResult, seal } from "../ingest/seal.ts"
import { checkSchedule, findMissedSlot, startSchedule } from "../ingest/schedule.ts"
import { type Connecting, explainPort, loginsOf, openConnections } from "./connecting.ts"
import {
  type Database,
  findKeys,
  findRunning,
  makeDataFolder,
  openDatabase,
  removeRunning,
  writeRunning,
} from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { startHealth } from "./health.ts"
import { makeMetrics } from "./metrics.ts"
import { Readiness } from "./readiness.ts"
import { ReceiptFeed } from "./receipt-feed.ts"
import { makeReceiptStream } from "./receipt-stream.ts"

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
  const { dataFolder, log, host } = options
  if (options.schedule !== null) checkSchedule(options.schedule)
  await makeDataFolder(dataFolder)
  // Keys come last when a log is made: where they are, a database was, and no empty one takes its place.
  const create = !(await findKeys(dataFolder))
  const other = await findRunning(dataFolder)
  if (other !== null) {
    throw new CommandFault(
      `a service runs on ${dataFolder} already (process ${other.pid}, MQTT port ${other.mqtt ?? other.mqtts ?? other.ws ?? other.wss})`,
      "stop it, or use another --data",
    )
  }
  const closers: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const one of closers.toReversed()) await one()
  }
  try {
    const database = await openDatabase(dataFolder, { create, say: (line) => log.info(line) })
    closers.push(() => database.close())
    const keys = await openOrInitLog(database, options)
    await migrate(database.pool)
    await checkPublished(database.pool, dataFolder, keys)
    // A crash after a block's commit may have left it unpublished.
    await publishLast(database.pool, dataFolder)

    const readiness = new Readiness(["database", "seal"])
    const metrics = makeMetrics(() => readiness.isReady)
    const sealNow = async (sealOptions: Partial<SealOptions> = {}): Promise<SealResult> => {
      try {
        const result = await seal({ pool: database.pool, keys, dataFolder, ...sealOptions })
        readiness.mend("seal")
        if (result.kind === "sealed") reportBlock(result.block)
        return result
      } catch (error) {
        metrics.sealFailed()
        readiness.fail("seal", `the last seal failed: ${(error as Error).message}`)
        throw error
      }
    }
    const reportBlock = ({
      manifest,
      summary,
      tookMs,
    }: Extract<SealResult, { kind: "sealed" }>["block"]): void => {
      const { height, toMs, size } = manifest
      metrics.sealed({ height, statements: summary.statements, tookMs, toMs })
      log.info(
        {
          height,
          statements: summary.statements,
          readings: summary.readings,
          treeSize: size + 1,
          ms: Math.round(tookMs),
        },
        "sealed",
      )
    }

    const intake = openIntake({
      pool: database.pool,
      keys,
      events: joinEvents(metrics.intake, logEvents(log), watchDatabase(readiness)),
    })
    closers.push(() => intake.close())
    const feed = new ReceiptFeed()
    const { connecting = { ports: {} } } = options
    const connections = await openConnections(
      { ...connecting, host, ports: { mqtt: options.mqtt, ...connecting.ports } },
      {
        pool: database.pool,
        keys,
        submit: feed.watch(intake),
        limits: options.limits ?? {},
        counters: metrics.broker,
        certificateNotAfter: (seconds) => metrics.certificateNotAfter(seconds),
        log,
      },
    )
    closers.push(() => connections.close())
    const httpHost = options.httpHost ?? (isLoopback(host) ? host : "127.0.0.1")
    const health = await startHealth({
      host: httpHost,
      port: options.http,
      registry: metrics.registry,
      readiness,
      receipts: makeReceiptStream(feed),
    }).catch((error: unknown) => {
      throw explainPort(error, "HTTP", options.http, "--http")
    })
    closers.push(() => health.close())

    if (options.schedule !== null) {
      const { schedule } = options
      await catchUp(database, schedule, sealNow)
      const task = startSchedule({
        expression: schedule,
        run: async (slotMs) => {
          await sealNow({ slotMs, isEmptyAllowed: true })
        },
        onError: (error) => log.error({ error: error.message }, "sealing failed; the next slot tries again"),
      })
      closers.push(() => task.stop())
    }
    const { ports } = connections
    await writeRunning(dataFolder, {
      pid: process.pid,
      host,
      ...ports,
      logins: loginsOf({ ...connecting, host }),
      http: health.port,
      ...(httpHost === host ? {} : { httpHost }),
      origin: keys.origin,
    })
    closers.push(() => removeRunning(dataFolder))
    return {
      keys,
      database,
      mqtt: ports.mqtt ?? 0,
      ports,
      http: health.port,
      httpHost,
      reloadTls: () => connections.reloadTls(),
      seal: sealNow,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function openOrInitLog(
  database: Database,
  { dataFolder, origin, say }: ServiceOptions,
): Promise<LogKeys> {
  const keys = await openLog(database.pool, dataFolder)
  if (keys === null) {
    const made = origin ?? `tidemark.invalid/${randomBytes(4).toString("hex")}`
    const fresh = await initLog(database.pool, dataFolder, made)
    say(
      `made a new log, ${made}${origin === undefined ? " (name your own with --origin)" : ""}; its keys are in ${dataFolder}/keys: keep a copy`,
    )
    return fresh
  }
  if (origin !== undefined && origin !== keys.origin) {
    throw new CommandFault(
      `the log in ${dataFolder} is ${keys.origin}, not ${origin}`,
      "leave --origin out, or name another --data",
    )
  }
  return keys
}

/** The missed hour is sealed before new statements come in; one block spans a downtime. */
async function catchUp(
  database: Database,
  schedule: string,
  sealNow: (options: Partial<SealOptions>) => Promise<SealResult>,
): Promise<void> {
  const { rows } = await database.pool.query<{ to_ms: number; now_ms: number }>(
    `select coalesce((select max(to_ms) from blocks), (select (extract(epoch from min(received_at)) * 1000)::bigint from entries)) as to_ms,
            (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms`,
  )
  const slotMs = findMissedSlot(schedule, rows[0]!.to_ms, rows[0]!.now_ms)
  if (slotMs !== null) await sealNow({ slotMs, isEmptyAllowed: true })
}

function joinEvents(...all: readonly IntakeEvents[]): IntakeEvents {
  return {
    judged: (...args) => all.forEach((events) => events.judged?.(...args)),
    answeredQuestion: (...args) => all.forEach((events) => events.answeredQuestion?.(...args)),
    dropped: () => all.forEach((events) => events.dropped?.()),
    committed: (...args) => all.forEach((events) => events.committed?.(...args)),
    troubled: (...args) => all.forEach((events) => events.troubled?.(...args)),
  }
}

/** A line for each refusal, with the rule: what a device maker looks for first. */
function logEvents(log: Logger): IntakeEvents {
  return {
    judged: (device, verdict, rule, seq) => {
      if (verdict === "accepted" || verdict === "duplicate") return
      log.warn(
        { device, seq, verdict, rule },
        verdict.startsWith("accepted") ? "accepted with a remark" : "refused",
      )
    },
    troubled: (error) => {
      if (error !== null)
        log.error(
          { error: error.message },
          "the database did not take a transaction; it is kept and tried again",
        )
      else log.info("the database works again")
    },
  }
}

function watchDatabase(readiness: Readiness): IntakeEvents {
  return {
    troubled: (error) => {
      if (error === null) readiness.mend("database")
      else
        readiness.fail(
          "database",
          "the database does not take transactions; nothing is acknowledged until it does",
        )
    },
  }
}
