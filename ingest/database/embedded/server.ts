import { readFile, realpath, rm, statfs } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { adviseOn, EmbeddedDatabaseError, readStartFailure, type StartFailure } from "./fault.ts"
import { Holder } from "./holder.ts"
import { binariesFor, type LocatedCluster } from "./locate.ts"
import {
  endOrphans,
  findFreePort,
  isPostmasterAlive,
  lookAgainMs,
  readLogEnd,
  readPidFile,
  reminder,
  removeSocketFolder,
  startPostmaster,
  stopPostmaster,
} from "./postmaster.ts"
import { isNamedProcessAlive, isPostmaster, listProcesses } from "./processes.ts"

/** A running server that we hold. */
export interface HeldServer {
  readonly pid: number
  readonly port: number
  readonly password: string
  readonly holder: Holder
  readonly attached: boolean
  readonly adopted: boolean
}

const triesMax = 10
const silenceMsMax = 60_000
/** One segment of the write-ahead log, in bytes: with less a server may not even begin. */
const roomMin = 16 * 1024 * 1024

/**
 * Holds the cluster's server: the one that runs, or a new one. Safe to be called by many processes at once: the
 * cluster's own pid file admits one postmaster, and whoever comes second finds it.
 *
 * @param portBefore where clients look for it
 * @throws EmbeddedDatabaseError
 */
export async function holdServer(
  located: LocatedCluster,
  say: (line: string) => void,
  portBefore?: number,
): Promise<HeldServer> {
  const { home, marks } = located
  const password = await readPassword(located)
  let portWanted = portBefore
  for (let tries = 1; ; tries++) {
    const pidFile = await readPidFile(home)
    if (pidFile !== undefined && isPostmasterAlive(pidFile.pid, marks)) {
      const held = await holdRunning(located, password, pidFile.pid, say)
      if (held !== undefined) return held
      // It was just stopping. What was wanted of it does not count as a try.
      tries = 0
      continue
    }
    await endOrphans(home, marks, say)
    if (pidFile !== undefined) await removeSocketFolder(home, pidFile.socketFolder)
    // A server that was killed comes back where its clients look for it.
    portWanted ??= pidFile?.port === 0 ? undefined : pidFile?.port
    const port = portWanted ?? (await findFreePort())
    const binaries = await binariesFor(located)
    const started = await startPostmaster(home, binaries, located.account, marks, pidFile?.pid, port)
    const isAlive = (): boolean => started.ended() === undefined
    try {
      const held = await holdAnswering(located, password, started.pid, isAlive, say)
      if (held !== undefined) return { ...held, attached: false, adopted: false }
    } catch (error) {
      // It runs and nobody can use it: what we started does not stay behind.
      await stopPostmaster(started.pid, home, binaries, marks, say)
      throw error
    }
    // Stopped by its last other holder before we held it, or killed: neither says anything against the next try.
    if (started.ended() === 0) {
      tries = 0
      continue
    }
    if (typeof started.ended() === "string" && tries < triesMax) continue
    const log = await started.readLog()
    const failure = await explainFailure(log, home.folder)
    const fault =
      failure.kind === "fault" ? failure.fault : failure.kind === "shared-memory" ? "orphans" : "start"
    if (failure.kind === "fault" || tries >= triesMax) {
      throw new EmbeddedDatabaseError(
        fault,
        `Postgres did not start in ${home.folder} (it ended with ${started.ended()}). ${adviseOn(fault)}\n` +
          `The last lines of ${home.log}:\n${log}`,
      )
    }
    if (failure.kind === "port-taken") portWanted = await findFreePort()
    if (failure.kind === "broken-lock") await removeBrokenLock(located)
    if (failure.kind !== "port-taken") await wait(tries * lookAgainMs)
  }
}

/** Why it gave up. On a full disk the log cannot say so: it is on that disk itself. */
async function explainFailure(log: string, folder: string): Promise<StartFailure> {
  const failure = readStartFailure(log)
  if (failure.kind !== "fault" || failure.fault !== "start") return failure
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize < roomMin ? { kind: "fault", fault: "disk" } : failure
}

/** Holds a server that another process started; undefined when it goes away meanwhile. */
async function holdRunning(
  located: LocatedCluster,
  password: string,
  pid: number,
  say: (line: string) => void,
): Promise<HeldServer | undefined> {
  const isAlive = (): boolean => isPostmasterAlive(pid, located.marks)
  const held = await holdAnswering(located, password, pid, isAlive, say)
  if (held === undefined) return undefined
  const adopted = held.alone && !isNamedProcessAlive(held.starter)
  return { ...held, adopted, attached: !adopted }
}

type Answering = Omit<HeldServer, "attached" | "adopted"> & {
  readonly alone: boolean
  readonly starter: string
}

/**
 * Waits until this postmaster answers, as long as it lives: to recover after a crash takes what it takes. Ready means
 * that a connection with our password succeeds, and that it is our cluster.
 */
async function holdAnswering(
  located: LocatedCluster,
  password: string,
  pid: number,
  isAlive: () => boolean,
  say: (line: string) => void,
): Promise<Answering | undefined> {
  const { home } = located
  const remind = reminder(say, "Waiting for Postgres: it recovers what a crash left, or is just stopping")
  let readySinceMs: number | undefined
  for (; isAlive(); remind(), await wait(lookAgainMs)) {
    const pidFile = await readPidFile(home)
    if (pidFile?.pid !== pid || pidFile.status !== "ready") continue
    readySinceMs ??= performance.now()
    let holder: Holder | undefined
    try {
      holder = await Holder.connect(pidFile.port, password)
      const identity = await holder.identify()
      const isOurs =
        identity.systemIdentifier === located.systemIdentifier &&
        (await realpath(identity.cluster).catch(() => "")) === located.marks.cluster
      if (!isOurs) throw foreignServer(located, `it serves ${identity.cluster}`)
      const alone = await holder.hold()
      await holder.makeDatabase()
      return { pid, port: pidFile.port, password, holder, alone, starter: identity.starter }
    } catch (error) {
      await holder?.disconnect()
      const { code, message } = error as NodeJS.ErrnoException
      if (error instanceof EmbeddedDatabaseError) throw error
      // invalid_password, invalid_authorization_specification
      if (code === "28P01" || code === "28000") {
        throw foreignServer(located, `the password in ${home.password} does not fit it`)
      }
      // Anything else may pass: it starts, stops, or has no connection left.
      if (performance.now() - readySinceMs > silenceMsMax) {
        throw new EmbeddedDatabaseError(
          "unreachable",
          `Postgres (process ${pid}) runs, and does not answer on 127.0.0.1:${pidFile.port}: ${message}. ` +
            `The last lines of ${home.log}:\n${await readLogEnd(home)}`,
          { cause: error },
        )
      }
    }
  }
  return undefined
}

function foreignServer(located: LocatedCluster, what: string): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    "foreign",
    `A Postgres runs in ${located.home.folder}, and it is not ours: ${what}. ${adviseOn("foreign")}`,
  )
}

async function readPassword({ home }: LocatedCluster): Promise<string> {
  try {
    const password = (await readFile(home.password, "utf8")).trim()
    if (password !== "") return password
    throw new Error("it is empty")
  } catch (cause) {
    const fault = (cause as NodeJS.ErrnoException).code === "EACCES" ? "account" : "foreign"
    throw new EmbeddedDatabaseError(
      fault,
      `The password of the database, ${home.password}, cannot be read: ${(cause as Error).message}. ` +
        adviseOn(fault),
      { cause },
    )
  }
}

/** Removes a pid file that names nobody, which Postgres leaves to its owner; never that of a living server. */
async function removeBrokenLock({ home, marks }: LocatedCluster): Promise<void> {
  if (listProcesses().some((found) => isPostmaster(found, marks))) return
  if ((await readPidFile(home)) !== undefined) return
  await rm(join(home.cluster, "postmaster.pid"), { force: true })
}
