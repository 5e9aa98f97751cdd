/**
 * What the processes that run on a data folder tell other commands: a file each, `up.json` of the one `tidemark up`, and
 * `ingest-4711.json` and so on of the others, with the process's id.
 */
import { mkdir, readFile, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { replaceFile } from "../disk/durable.ts"
import type { Logins } from "./connecting.ts"
import { findLockHolder } from "./folder-lock.ts"

export type ProcessKind = "up" | "ingest" | "seal" | "research"

export interface Running {
  readonly kind: ProcessKind
  readonly pid: number
  /** Of what devices connect to, or of HTTP where they do not. */
  readonly host: string
  /** Ports; absent: not opened. */
  readonly mqtt?: number
  readonly mqtts?: number
  readonly ws?: number
  readonly wss?: number
  /** Whether devices have to log in; absent where they do not connect here. */
  readonly logins?: Logins
  readonly http: number
  /** Where HTTP is, if that is not `host`. */
  readonly httpHost?: string
  readonly origin: string
  /** What this folder's commands show the process over HTTP instead of a key; the file is for its owner's eyes. */
  readonly operatorToken?: string
  /** A service that one command started for itself, and ends with. */
  readonly isOfOneRun?: boolean
}

/** A process that devices connect to. */
export type Receiving = Running & { readonly logins: Logins }

/** Where the HTTP of a running process is. */
export function httpOf({ host, httpHost = host, http }: Running): string {
  return `http://${reachable(httpHost)}:${http}`
}

/** Headers by which a running process knows the operator's own commands. */
export function operatorHeaders({ operatorToken }: Running): Readonly<Record<string, string>> {
  return operatorToken === undefined ? {} : { authorization: `Bearer ${operatorToken}` }
}

/** How this machine reaches what listens on `host`. */
export function reachable(host: string): string {
  const address = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return address.includes(":") ? `[${address}]` : address
}

const fileName = ({ kind, pid }: Pick<Running, "kind" | "pid">): string =>
  kind === "up" ? "up.json" : `${kind}-${pid}.json`
const fileNamePattern = /^(?:up|(?:ingest|seal|research)-\d+)\.json$/

export async function writeRunning(dataFolder: string, running: Running): Promise<void> {
  await mkdir(dataFolder, { recursive: true })
  await removeStale(dataFolder)
  await replaceFile(join(dataFolder, fileName(running)), `${JSON.stringify(running, null, 2)}\n`)
}

/** Only the file of this process: `up.json` may be another's by now. */
export async function removeRunning(
  dataFolder: string,
  running: Pick<Running, "kind" | "pid">,
): Promise<void> {
  const path = join(dataFolder, fileName(running))
  const written = await readFile(path, "utf8").then(
    (text) => JSON.parse(text) as Partial<Running>,
    () => null,
  )
  if (written?.pid === running.pid) await rm(path, { force: true })
}

/** All processes on this folder, `up` first, each asked by HTTP so that a stale file or a reused pid deceives nobody. */
export async function listRunning(dataFolder: string): Promise<Running[]> {
  const found = await Promise.all((await readFiles(dataFolder)).map(askWhetherAlive))
  return found
    .filter((running) => running !== null)
    .toSorted((a, b) => Number(b.kind === "up") - Number(a.kind === "up") || a.pid - b.pid)
}

/** The `up` that runs on this folder, or null. */
export async function findUp(dataFolder: string): Promise<Running | null> {
  return (await listRunning(dataFolder)).find(({ kind }) => kind === "up") ?? null
}

/** The processes on this folder that devices connect to: `up` first. */
export async function listReceiving(dataFolder: string): Promise<Receiving[]> {
  return (await listRunning(dataFolder)).filter((one): one is Receiving => one.logins !== undefined)
}

/** The lock of the one service on a folder. */
export const serviceLock = "up"

const lookAgainMs = 50

/**
 * The service that takes statements on this folder, or null. One that is starting is waited for until it is ready, and one
 * that another command started for itself until it has ended.
 */
export async function awaitReceiving(
  dataFolder: string,
  say: (line: string) => void,
): Promise<Receiving | null> {
  for (let isTold = false; ; isTold = true) {
    const [found] = await listReceiving(dataFolder)
    if (found !== undefined && found.isOfOneRun !== true) return found
    const pid = await findLockHolder(dataFolder, serviceLock)
    if (pid === null) return null
    if (!isTold)
      say(
        found === undefined
          ? `waiting for the service that starts on ${dataFolder} (process ${pid})`
          : `waiting for process ${pid}, which runs a fleet on ${dataFolder} with a service of its own`,
      )
    await wait(lookAgainMs)
  }
}

async function readFiles(dataFolder: string): Promise<Running[]> {
  const names = await readdir(dataFolder).catch(() => [])
  const read = async (name: string): Promise<Running[]> => {
    try {
      const running = JSON.parse(await readFile(join(dataFolder, name), "utf8")) as Omit<Running, "kind">
      // Files of `up` from before there were others do not say what they are of.
      return [{ kind: "up", ...running }]
    } catch {
      return []
    }
  }
  return (await Promise.all(names.filter((name) => fileNamePattern.test(name)).map(read))).flat()
}

async function askWhetherAlive(running: Running): Promise<Running | null> {
  try {
    const response = await fetch(`${httpOf(running)}/healthz`, { signal: AbortSignal.timeout(2_000) })
    const health = (await response.json()) as { pid?: unknown }
    return health.pid === running.pid ? running : null
  } catch {
    return null
  }
}

/** Files that a kill left: those of `up` are written over, the others would gather. */
async function removeStale(dataFolder: string): Promise<void> {
  for (const running of await readFiles(dataFolder)) {
    if (running.kind === "up" || isAlive(running.pid)) continue
    await removeRunning(dataFolder, running)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}
