import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises"
import { randomBytes } from "node:crypto"
import { isAbsolute, join, relative } from "node:path"
import { createFile, replaceFile } from "../../../disk/durable.ts"
import { EmbeddedDatabaseError } from "./fault.ts"
import { isNamedProcessAlive, nameProcess } from "./processes.ts"

/** Everything that one embedded Postgres keeps on disk, in one folder that moves as one. */
export interface Home {
  readonly folder: string
  /** The data directory (PGDATA), of the server's account. */
  readonly cluster: string
  /** The password of `tidemark`, the only role: 0600, ours. */
  readonly password: string
  readonly log: string
  /** For the unix socket, unless the path is too long. */
  readonly socket: string
}

/** What `<data folder>/postgres.json` says: that there is a cluster, where, and which one. */
export interface HomeRecord {
  readonly format: 1
  /** Relative to the data folder, so that it can be moved; absolute if the database is elsewhere. */
  readonly folder: string
  /** The number that initdb gave it, from `global/pg_control`. */
  readonly systemIdentifier: string
}

/** The files of a home that stands in `folder`. */
export function describeHome(folder: string): Home {
  return {
    folder,
    cluster: join(folder, "cluster"),
    password: join(folder, "password"),
    log: join(folder, "log"),
    socket: join(folder, "socket"),
  }
}

export function recordPath(dataFolder: string): string {
  return join(dataFolder, "postgres.json")
}

/**
 * Reads which cluster belongs to the data folder; `undefined` if none was made yet.
 *
 * @throws EmbeddedDatabaseError "corrupt" if the record does not read as one, "account" if it is not ours to read
 */
export async function readRecord(dataFolder: string): Promise<HomeRecord | undefined> {
  const path = recordPath(dataFolder)
  let text: string
  try {
    text = await readFile(path, "utf8")
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    const fault = code === "EACCES" ? "account" : "disk"
    throw new EmbeddedDatabaseError(fault, `The record of the database cannot be read: ${message}.`, {
      cause,
    })
  }
  const record = parseRecord(text)
  if (record !== undefined) return record
  throw new EmbeddedDatabaseError(
    "corrupt",
    `${path} does not say where the database is. Restore it from a backup; its form is ` +
      `{"format":1,"folder":"postgres","systemIdentifier":"<number>"}.`,
  )
}

function parseRecord(text: string): HomeRecord | undefined {
  try {
    const { format, folder, systemIdentifier } = JSON.parse(text) as Record<string, unknown>
    if (format !== 1 || typeof folder !== "string" || folder === "") return undefined
    if (typeof systemIdentifier !== "string" || !/^\d{1,20}$/.test(systemIdentifier)) return undefined
    return { format, folder, systemIdentifier }
  } catch {
    return undefined
  }
}

/** The folder that a record means. */
export function resolveRecord(dataFolder: string, record: HomeRecord): string {
  return isAbsolute(record.folder) ? record.folder : join(dataFolder, record.folder)
}

/**
 * Says that this data folder's cluster is in `folder`, unless another start said so of another folder before.
 * A crash just before means: the home stands, and in the data folder it is found again; elsewhere it is left behind.
 *
 * @returns whether the record is now ours
 */
export async function claimRecord(
  dataFolder: string,
  folder: string,
  systemIdentifier: string,
): Promise<boolean> {
  const inside = relative(dataFolder, folder)
  const record: HomeRecord = {
    format: 1,
    folder: inside === "" || inside.startsWith("..") || isAbsolute(inside) ? folder : inside,
    systemIdentifier,
  }
  const path = recordPath(dataFolder)
  const text = JSON.stringify(record) + "\n"
  try {
    return await createFile(path, text, { mode: 0o644 })
  } catch (error) {
    const { syscall } = error as NodeJS.ErrnoException
    // A file system without hard links: the last rename stands, and there is only one home in a data folder.
    if (syscall !== "link" || isAbsolute(record.folder)) throw error
    await replaceFile(path, text, { mode: 0o644 })
    return true
  }
}

/** The folder in which this process makes a home, beside where it will stand: `<home>.making-<pid>-<start>`. */
export async function openMaking(folder: string): Promise<string> {
  const making = `${folder}.making-${nameProcess(process.pid)}-${randomBytes(3).toString("hex")}`
  await mkdir(making, { mode: 0o700 })
  return making
}

/** Throws away what killed starts were making in `place`. What a living one makes is left alone. */
export async function sweepMaking(place: string): Promise<void> {
  for (const name of await readdir(place).catch(() => [])) {
    const maker = /\.making-(\d+-\d+)-\w+$/.exec(name)?.[1]
    if (maker === undefined || isNamedProcessAlive(maker)) continue
    // An initdb whose starter was killed may still write: under another name it finds its files no more, and ends.
    const doomed = join(place, `${randomBytes(6).toString("hex")}.making-0-0-0`)
    await rename(join(place, name), doomed).catch(() => undefined)
    await rm(doomed, { recursive: true, force: true, maxRetries: 5 }).catch(() => undefined)
  }
}

/** Whether something stands there. Fails where we may not look. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ENOTDIR") return false
    throw error
  }
}
