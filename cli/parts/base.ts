/** What every long-running process stands on: the database, the log's keys, counters and readiness. */
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import type { Pool } from "pg"
import type { Logger } from "pino"
import type { Registry } from "prom-client"
import { removeDrafts } from "../../disk/durable.ts"
import { findConnectionFault, readConnectionRoom } from "../../ingest/database/connections.ts"
import { migrate } from "../../ingest/database/migration.ts"
import { inTransaction, isPooled } from "../../ingest/database/pool.ts"
import { initLog, openLog } from "../../ingest/log.ts"
import {
  type CheckpointSigner,
  type LogKeys,
  type SecretName,
  type SomeKeys,
  allSecrets,
} from "../../ingest/log-keys.ts"
import { checkPublished } from "../../ingest/publication.ts"
import {
  type Database,
  type NeededKeys,
  adoptAccess,
  findKeys,
  makingAlone,
  openDatabase,
  openExistingLogWith,
} from "../data-folder.ts"
import { CommandFault } from "../fault.ts"
import { listOpenModes } from "../folder-modes.ts"
import { readGivenSecrets } from "../given-secrets.ts"
import type { HttpCounters } from "../../research/counters.ts"
import { makeHttpMetrics, makeRegistry } from "../metrics.ts"
import { Readiness } from "../readiness.ts"

/** `Keys`: those that the parts on it need. */
export interface Base<Keys = LogKeys> {
  readonly dataFolder: string
  readonly database: Database
  readonly keys: Keys
  /** Each part adds its counters. */
  readonly registry: Registry
  /** Whom HTTP refuses. */
  readonly httpCounters: HttpCounters
  /** Each part says here whether it works. */
  readonly readiness: Readiness
  readonly log: Logger
  /** A part says how many connections it may open: where the role has fewer, the process is not ready, and says why. */
  readonly opens: (connections: number) => void
  /** After all parts. */
  close(): Promise<void>
}

export interface BaseOptions {
  readonly dataFolder: string
  readonly log: Logger
}

export interface NewLogOptions extends BaseOptions {
  /** For a new log; one is made up where it is left out. */
  readonly origin?: string
  /** Thrown in place of making up an origin. */
  readonly originFault?: CommandFault
  /** For what a person must read, whatever the log's form is. */
  readonly say: (line: string) => void
}

/** The base on a log that is there; a fault where there is none, or where a key that is needed is missing. */
export async function openBase<Name extends SecretName>(
  { dataFolder, log }: BaseOptions,
  needs: Omit<NeededKeys<Name>, "say">,
): Promise<Base<SomeKeys<Name> & CheckpointSigner>> {
  const say = (line: string): void => log.info(line)
  const { keys, ...database } = await openExistingLogWith(dataFolder, { ...needs, say })
  return closingOnFailure(database, () => makeBase(dataFolder, database, keys, log))
}

/** The base on the log of this folder, which is made where there is none. */
export async function openOrMakeBase(options: NewLogOptions): Promise<Base> {
  const { dataFolder, log } = options
  const say = (line: string): void => log.info(line)
  const open = async (): Promise<Opened> => {
    // Keys come last when a log is made: where they are, a database was, and no empty one takes its place.
    const create = !(await findKeys(dataFolder))
    const database = await openDatabase(dataFolder, { create, say })
    return closingOnFailure(database, async () => ({
      database,
      keys: await openOrInitLog(database, options),
    }))
  }
  const { database, keys } = (await findKeys(dataFolder))
    ? await open()
    : await makingAlone(dataFolder, say, open)
  return closingOnFailure(database, async () => {
    await migrate(database.pool)
    await adoptAccess(database.pool, dataFolder, keys, (line) => log.warn(line))
    return makeBase(dataFolder, database, keys, log)
  })
}

interface Opened {
  readonly database: Database
  readonly keys: LogKeys
}

async function closingOnFailure<T>(database: Database, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await database.close()
    throw error
  }
}

/** Nothing starts on a database that is behind what was published. */
async function makeBase<Keys extends CheckpointSigner>(
  dataFolder: string,
  database: Database,
  keys: Keys,
  log: Logger,
): Promise<Base<Keys>> {
  await checkPublished(database.pool, dataFolder, keys)
  for (const open of await listOpenModes(dataFolder)) log.warn(open)
  for (const folder of [dataFolder, join(dataFolder, "log")]) await removeDrafts(folder)
  const readiness = new Readiness()
  const registry = makeRegistry(() => readiness.isReady)
  const opens = await watchConnections(database.pool, readiness)
  opens(database.pool.options.max)
  const httpCounters = makeHttpMetrics(registry)
  return {
    dataFolder,
    database,
    keys,
    registry,
    httpCounters,
    readiness,
    log,
    opens,
    close: () => database.close(),
  }
}

async function watchConnections(pool: Pool, readiness: Readiness): Promise<Base["opens"]> {
  const room = await readConnectionRoom(pool)
  // A pooler shares the server's connections among ours.
  const isShared = await inTransaction(pool, (client) => Promise.resolve(isPooled(client)))
  let wanted = 0
  return (connections) => {
    wanted += connections
    const fault = isShared ? null : findConnectionFault(room, wanted)
    if (fault !== null) readiness.fail("connections", fault)
  }
}

async function openOrInitLog(
  database: Database,
  { dataFolder, origin, originFault, say, log }: NewLogOptions,
): Promise<LogKeys> {
  const given = await readGivenSecrets()
  const keys = await openLog(database.pool, dataFolder, allSecrets, given)
  if (keys === null) {
    if (origin === undefined && originFault !== undefined) throw originFault
    const made = origin ?? `tidemark.invalid/${randomBytes(4).toString("hex")}`
    const fresh = await initLog(database.pool, dataFolder, made, undefined, given)
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
  if (originFault !== undefined && keys.origin.startsWith("tidemark.invalid/"))
    log.warn(
      { origin: keys.origin },
      "others reach this log, and its name was made up: it can never change; for real data make a new log with --origin",
    )
  return keys
}
