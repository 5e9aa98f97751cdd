/** The data folder: keys, and by default the database. */
import { mkdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import type { Pool } from "pg"
import { adoptAccessRows } from "../ingest/access-macs.ts"
import { EmbeddedDatabaseError, openEmbedded } from "../ingest/database/embedded.ts"
import { migrate } from "../ingest/database/migration.ts"
import { checkServer, openPool } from "../ingest/database/pool.ts"
import { DatabaseUrlFault, hintOfConnection, withSchemaPath } from "../ingest/database/url.ts"
import { hasLogKeys, openLog } from "../ingest/log.ts"
import {
  type CheckpointSigner,
  type LogKeys,
  type SecretName,
  type SomeKeys,
  allSecrets,
  findMissingSecrets,
  secretFiles,
} from "../ingest/log-keys.ts"
import { type KeyRow, keyColumns, macOfKeyRow } from "../research/key.ts"
import { CommandFault } from "./fault.ts"
import { waitForFolder } from "./folder-lock.ts"
import { readGivenSecrets } from "./given-secrets.ts"
import { say as sayAlways } from "./output.ts"

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

/**
 * Makes the data folder where it is missing, and runs `work` while no other process makes anything of a log in it. `work`
 * looks first: another process may have made the log while this one waited.
 */
export async function makingAlone<T>(
  dataFolder: string,
  say: (line: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  await makeDataFolder(dataFolder)
  const release = await waitForFolder(dataFolder, "making", (pid) =>
    say(`waiting for process ${pid}, which makes a log in ${dataFolder}`),
  )
  try {
    return await work()
  } finally {
    await release()
  }
}

/** Whether the folder holds a log's keys, or those that are needed. A key file that cannot be read is a fault that names it. */
export async function findKeys(
  dataFolder: string,
  needed: readonly SecretName[] = allSecrets,
): Promise<boolean> {
  try {
    return await hasLogKeys(dataFolder, needed, await readGivenSecrets())
  } catch (error) {
    throw new CommandFault((error as Error).message, null, { cause: error })
  }
}

export interface OpenDatabaseOptions {
  /** Make an embedded one where there is none. */
  readonly create: boolean
  readonly connections?: number
  readonly say?: (line: string) => void
  /** False: also one on which nothing may rest, such as without fsync. By default such a one is refused. */
  readonly isServerChecked?: boolean
  /** search_path of every session; by default the log's own schema. */
  readonly schemaPath?: string
}

/** Opens the database that DATABASE_URL names, or else the one in the data folder. */
export async function openDatabase(dataFolder: string, options: OpenDatabaseOptions): Promise<Database> {
  const given = process.env["DATABASE_URL"]
  if (given !== undefined && given !== "") {
    const url = readGivenUrl(given, options)
    const pool = openPool(url, options.connections)
    try {
      if (options.isServerChecked ?? true) await checkServer(pool)
      else await pool.query("select")
    } catch (error) {
      await pool.end()
      throw new CommandFault(
        `DATABASE_URL: ${describe(error)}`,
        hintOfConnection(error) ?? "name a Postgres that runs, and a database that is there",
        { cause: error },
      )
    }
    return { pool, url, pid: null, close: () => pool.end() }
  }
  const { create, say = () => {} } = options
  forgetClientVariables()
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
  const url = withSchemaPath(embedded.url, options.schemaPath)
  const pool = openPool(url, options.connections)
  try {
    await checkServer(pool)
  } catch (error) {
    // A start that fails leaves no server running.
    await pool.end()
    await embedded.close()
    throw error
  }
  return {
    pool,
    url,
    pid: embedded.pid,
    close: async () => {
      await pool.end()
      await embedded.close()
    },
  }
}

/**
 * What a shell says of its own Postgres (PGSSLMODE, PGOPTIONS, PGAPPNAME …) is not about the embedded one: pg would read it
 * for each connection of this process.
 */
function forgetClientVariables(): void {
  for (const name of Object.keys(process.env)) if (/^PG[A-Z]/.test(name)) delete process.env[name]
}

function readGivenUrl(given: string, { schemaPath }: OpenDatabaseOptions): string {
  try {
    return withSchemaPath(given, schemaPath)
  } catch (error) {
    if (!(error instanceof DatabaseUrlFault)) throw error
    throw new CommandFault(`DATABASE_URL: ${error.message}`, error.hint, { cause: error })
  }
}

/** A connection refused has an empty message and its reasons inside. */
function describe(error: unknown): string {
  if (error instanceof AggregateError)
    return error.errors.map((one: unknown) => (one as Error).message).join("; ")
  return (error as Error).message
}

export interface OpenedLog<Keys = LogKeys> extends Database {
  readonly keys: Keys
}

const noLogHint = "run `tidemark up` or `tidemark log init` first, or name the right folder with --data"

/** The log that this folder holds, migrated, with all its keys; a fault where there is none. */
export function openExistingLog(dataFolder: string, say?: (line: string) => void): Promise<OpenedLog> {
  return openLogWith(
    dataFolder,
    async (pool) => openLog(pool, dataFolder, allSecrets, await readGivenSecrets()),
    allSecrets,
    say === undefined ? {} : { say },
  )
}

export interface NeededKeys<Name extends SecretName> {
  /** Of `tidemark`, for the message. */
  readonly command: string
  /** Others need not be in the folder. */
  readonly needed: readonly Name[]
  /** To the database, at most; 10 by default. */
  readonly connections?: number
  readonly say?: (line: string) => void
  /** search_path of every session; by default the log's own schema. */
  readonly schemaPath?: string
}

/** The same for a process that needs only some of the log's secrets; a fault that names those that it lacks. */
export async function openExistingLogWith<Name extends SecretName>(
  dataFolder: string,
  { command, needed, ...options }: NeededKeys<Name>,
): Promise<OpenedLog<SomeKeys<Name> & CheckpointSigner>> {
  const folder = join(dataFolder, "keys")
  const given = await readGivenSecrets()
  const missing = await findMissingSecrets(folder, needed, given)
  if (missing.length > 0) {
    const files = needed.map((name) => secretFiles[name])
    throw new CommandFault(
      `${formatNames(missing)} ${missing.length === 1 ? "is" : "are"} missing in ${folder}`,
      `tidemark ${command} needs of the log's keys ${formatNames(["origin", ...files])}: copy them from the folder where the log was made, or give them by the environment (tidemark log init --help)`,
    )
  }
  return openLogWith(dataFolder, (pool) => openLog(pool, dataFolder, needed, given), needed, options)
}

function formatNames(names: readonly string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`
}

/**
 * Rows of API keys and tokens that an older version wrote get their MACs, once for each data folder. A process without the
 * heads secret neither asks for one nor needs it.
 */
export async function adoptAccess(
  pool: Pool,
  dataFolder: string,
  { origin, headsSecret }: Partial<LogKeys> & Pick<LogKeys, "origin">,
  say: (line: string) => void = sayAlways,
): Promise<void> {
  if (headsSecret === undefined) return
  const adopted = await adoptAccessRows({
    pool,
    dataFolder,
    keys: { origin, headsSecret },
    apiKeys: { columns: keyColumns, macOf: (macKey, row) => macOfKeyRow(macKey, row as unknown as KeyRow) },
  })
  if (adopted === null || adopted.apiKeys + adopted.tokens === 0) return
  say(
    `${adopted.apiKeys} API keys and ${adopted.tokens} login tokens of an older version were taken over as they stand: look at tidemark key list and tidemark device token list; rows that are written past these commands give no access from now on`,
  )
}

async function openLogWith<Keys extends Pick<LogKeys, "origin">>(
  dataFolder: string,
  open: (pool: Pool) => Promise<Keys | null>,
  needed: readonly SecretName[],
  options: Pick<OpenDatabaseOptions, "connections" | "say" | "schemaPath">,
): Promise<OpenedLog<Keys>> {
  const isGiven = (process.env["DATABASE_URL"] ?? "") !== ""
  const hasKeys = await findKeys(dataFolder, needed)
  if (!isGiven && !hasKeys) throw new CommandFault(`there is no log in ${dataFolder}`, noLogHint)
  const database = await openDatabase(dataFolder, { ...options, create: false })
  try {
    const keys = await open(database.pool)
    if (keys === null) throw new CommandFault(`there is no log in ${dataFolder}`, noLogHint)
    await migrate(database.pool)
    await adoptAccess(database.pool, dataFolder, keys, options.say)
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
