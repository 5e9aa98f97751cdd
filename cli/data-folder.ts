/** The data folder: keys, ports of a running service, and by default the database. */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import type { Pool } from "pg"
import { EmbeddedDatabaseError, openEmbedded } from "../ingest/database/embedded.ts"
import { migrate } from "../ingest/database/migration.ts"
import { checkServer, openPool } from "../ingest/database/pool.ts"
import { hasLogKeys, openLog } from "../ingest/log.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { CommandFault } from "./fault.ts"

export interface Database {
  readonly pool: Pool
  readonly url: string
  /** Of the embedded server's postmaster; null where DATABASE_URL names a server. */
  readonly pid: number | null
  readonly close: () => Promise<void>
}

/** Makes the data folder where it is not there. */
export async function makeDataFolder(dataFolder: string): Promise<void> {
  try {
    await mkdir(dataFolder, { recursive: true, mode: 0o700 })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === "EEXIST" || code === "ENOTDIR" ? "a file is in its way" : message
    throw new CommandFault(
      `the data folder ${dataFolder} cannot be made: ${why}`,
      "name another with --data",
      {
        cause: error,
      },
    )
  }
}

/** Whether the folder holds a log's keys. A key file that cannot be read is a fault that names it. */
export async function findKeys(dataFolder: string): Promise<boolean> {
  try {
    return await hasLogKeys(dataFolder)
  } catch (error) {
    throw new CommandFault((error as Error).message, null, { cause: error })
  }
}

/** Opens the database that DATABASE_URL names, or else the one in the data folder. */
export async function openDatabase(
  dataFolder: string,
  options: { readonly create: boolean; readonly connections?: number; readonly say?: (line: string) => void },
): Promise<Database> {
  const given = process.env["DATABASE_URL"]
  if (given !== undefined && given !== "") {
    const pool = openPool(given, options.connections)
    try {
      await checkServer(pool)
    } catch (error) {
      await pool.end()
      throw new CommandFault(
        `DATABASE_URL: ${describe(error)}`,
        "name a Postgres that runs, and a database that is there",
        { cause: error },
      )
    }
    return { pool, url: given, pid: null, close: () => pool.end() }
  }
  const { create, say = () => {} } = options
  const embedded = await openEmbedded({ dataFolder: resolve(dataFolder), create, say }).catch(
    (error: unknown) => {
      throw error instanceof EmbeddedDatabaseError && error.kind === "absent"
        ? new CommandFault(
            `the database of the log in ${dataFolder} is not there: postgres.json is missing`,
            "put it and the database back from where they were moved, or from a backup, or name a server in DATABASE_URL",
            { cause: error },
          )
        : error
    },
  )
  const pool = openPool(embedded.url, options.connections)
  await checkServer(pool)
  return {
    pool,
    url: embedded.url,
    pid: embedded.pid,
    close: async () => {
      await pool.end()
      await embedded.close()
    },
  }
}

/** A connection refused has an empty message and its reasons inside. */
function describe(error: unknown): string {
  if (error instanceof AggregateError)
    return error.errors.map((one: unknown) => (one as Error).message).join("; ")
  return (error as Error).message
}

export interface OpenedLog extends Database {
  readonly keys: LogKeys
}

/** The log that this folder holds, migrated; a fault where there is none. */
export async function openExistingLog(dataFolder: string, say?: (line: string) => void): Promise<OpenedLog> {
  const hint = "run `tidemark up` or `tidemark log init` first, or name the right folder with --data"
  const isGiven = (process.env["DATABASE_URL"] ?? "") !== ""
  const hasKeys = await findKeys(dataFolder)
  if (!isGiven && !hasKeys) throw new CommandFault(`there is no log in ${dataFolder}`, hint)
  const database = await openDatabase(dataFolder, { create: false, ...(say === undefined ? {} : { say }) })
  try {
    const keys = await openLog(database.pool, dataFolder)
    if (keys === null) throw new CommandFault(`there is no log in ${dataFolder}`, hint)
    await migrate(database.pool)
    return { ...database, keys }
  } catch (error) {
    await database.close()
    throw error
  }
}

/** Opens the log of this folder for `work`, and closes it whatever comes. */
export async function withLog<T>(dataFolder: string, work: (log: OpenedLog) => Promise<T>): Promise<T> {
  const log = await openExistingLog(dataFolder)
  try {
    return await work(log)
  } finally {
    await log.close()
  }
}

/** What a running `up` tells other commands. */
export interface Running {
  readonly pid: number
  /** Of what devices connect to. */
  readonly host: string
  /** Ports; absent: not opened. */
  readonly mqtt?: number
  readonly mqtts?: number
  readonly ws?: number
  readonly wss?: number
  /** Whether devices have to log in. */
  readonly logins: "required" | "optional" | "none"
  readonly http: number
  /** Where HTTP is, if that is not `host`. */
  readonly httpHost?: string
  readonly origin: string
}

/** Where the HTTP of a running service is. */
export function httpOf({ host, httpHost = host, http }: Running): string {
  return `http://${reachable(httpHost)}:${http}`
}

/** How this machine reaches what listens on `host`. */
export function reachable(host: string): string {
  const address = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return address.includes(":") ? `[${address}]` : address
}

const runningPath = (dataFolder: string): string => join(dataFolder, "up.json")

export async function writeRunning(dataFolder: string, running: Running): Promise<void> {
  await mkdir(dataFolder, { recursive: true })
  await writeFile(`${runningPath(dataFolder)}.new`, `${JSON.stringify(running, null, 2)}\n`, { mode: 0o600 })
  await rename(`${runningPath(dataFolder)}.new`, runningPath(dataFolder))
}

export async function removeRunning(dataFolder: string): Promise<void> {
  await rm(runningPath(dataFolder), { force: true })
}

/** The service that runs on this folder, asked by HTTP so that a stale file or a reused pid deceives nobody; or null. */
export async function findRunning(dataFolder: string): Promise<Running | null> {
  let running: Running
  try {
    running = JSON.parse(await readFile(runningPath(dataFolder), "utf8")) as Running
    const response = await fetch(`${httpOf(running)}/healthz`, {
      signal: AbortSignal.timeout(2_000),
    })
    const health = (await response.json()) as { pid?: unknown }
    return health.pid === running.pid ? running : null
  } catch {
    return null
  }
}
