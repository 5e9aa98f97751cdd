import { execFile, spawn, type ChildProcess } from "node:child_process"
import { randomInt } from "node:crypto"
import { closeSync, fchownSync, fstatSync, openSync } from "node:fs"
import { chmod, chown, lstat, mkdir, mkdtemp, open, readFile, rename, rm, stat } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { promisify } from "node:util"
import type { Account } from "./account.ts"
import { environmentOf, programOf, type Binaries } from "./binaries.ts"
import { EmbeddedDatabaseError } from "./fault.ts"
import type { Home } from "./home.ts"
import {
  findOrphans,
  isPidTaken,
  isPostmaster,
  listProcesses,
  nameProcess,
  readProcess,
  type ClusterMarks,
} from "./processes.ts"
import { heldSettings } from "./settings.ts"

/** How long one look takes until the next, while something else has to happen. */
export const lookAgainMs = 20
const logSizeMax = 1024 * 1024
/** sun_path holds 108 bytes on Linux, 104 on macOS, with the closing zero; the file's name takes up to 20 of them. */
const socketFolderSizeMax = 103 - "/.s.PGSQL.65535.lock".length

/** What `postmaster.pid` says. The server writes it first thing, and removes it last. */
export interface PidFile {
  readonly pid: number
  /** 0 while it is not written. */
  readonly port: number
  readonly socketFolder: string
  /** "starting", "ready", "stopping"; "" until it is written. */
  readonly status: string
}

/** Reads the cluster's pid file; undefined if there is none, or not yet all of it. */
export async function readPidFile(home: Home): Promise<PidFile | undefined> {
  const text = await readFile(join(home.cluster, "postmaster.pid"), "utf8").catch(() => "")
  const lines = text.split("\n").map((line) => line.trim())
  // src/include/utils/pidfile.h: pid, data directory, start time, port, socket folder, address, shared memory, status
  const pid = Math.abs(Number(lines[0])) // negative for `postgres --single`
  const port = Number(lines[3])
  if (!Number.isSafeInteger(pid) || pid === 0) return undefined
  const isPort = Number.isSafeInteger(port) && port > 0 && port < 65536
  return { pid, port: isPort ? port : 0, socketFolder: lines[4] ?? "", status: lines[7] ?? "" }
}

/** Whether this pid is a live postmaster of this cluster, and not another process that was given its number. */
export function isPostmasterAlive(pid: number, marks: ClusterMarks): boolean {
  // Windows shows us no processes; there the connection must tell.
  if (process.platform === "win32") return isPidTaken(pid)
  const found = readProcess(pid)
  return found !== undefined && isPostmaster(found, marks)
}

/** A server that we started and that may still give up. */
export interface StartedPostmaster {
  readonly pid: number
  /** Code or signal once it has ended. */
  ended(): number | string | undefined
  /** What it wrote to its log since it was started: its last lines. */
  readLog(): Promise<string>
}

/**
 * Starts the server: in a session of its own (Ctrl-C in our terminal must not stop it before our own handler has), its
 * log in a file. It is not ready yet, and may not become so.
 *
 * @param stalePid the pid in a pid file that no server of ours has; Postgres would take any process for one
 */
export async function startPostmaster(
  home: Home,
  binaries: Binaries,
  account: Account | undefined,
  marks: ClusterMarks,
  stalePid: number | undefined,
  port: number,
): Promise<StartedPostmaster> {
  const socketFolder = await makeSocketFolder(home, account)
  const settings = [
    ...heldSettings,
    `cluster_name=${marks.clusterName}`,
    // Read back by whoever finds this server, to know whether its starter still lives.
    `tidemark.starter=${nameProcess(process.pid) ?? ""}`,
    `unix_socket_directories=${socketFolder}`,
  ]
  const args = ["-D", marks.cluster, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])]
  const env = environmentOf(home.folder)
  // For this number alone the server does not ask whether the process lives (CreateLockFile in miscinit.c; pg_ctl uses
  // it for the shell that it runs in). Removing the file by hand could remove that of a server started meanwhile.
  if (stalePid !== undefined) env["PG_GRANDPARENT_PID"] = String(stalePid)
  await rotateLog(home)
  const log = openSync(home.log, "a", 0o600)
  let child: ChildProcess
  let logStart: number
  try {
    const { uid, gid } = await stat(home.folder)
    // Started once by root, a user's database still has a log that the user can write.
    if (account !== undefined) fchownSync(log, uid, gid)
    logStart = fstatSync(log).size
    child = spawn(programOf(binaries, "postgres"), args, {
      ...account,
      cwd: home.folder,
      env,
      detached: true,
      stdio: ["ignore", log, log],
      windowsHide: true,
    })
  } finally {
    closeSync(log)
  }
  let ended: number | string | undefined
  child.on("exit", (code, signal) => (ended = code ?? signal ?? "an unknown end"))
  await new Promise<void>((resolve, reject) => {
    child.on("spawn", resolve)
    child.on("error", (cause) =>
      reject(
        new EmbeddedDatabaseError("start", `Postgres could not be started: ${cause.message}.`, { cause }),
      ),
    )
  })
  child.unref()
  return { pid: child.pid ?? 0, ended: () => ended, readLog: async () => readLogEnd(home, logStart) }
}

/** The last lines of the server's log, from a byte on; for messages. */
export async function readLogEnd(home: Home, fromByte = 0): Promise<string> {
  const file = await open(home.log).catch(() => undefined)
  if (file === undefined) return ""
  try {
    const { size } = await file.stat()
    const start = Math.max(fromByte, size - 8_000)
    const bytes = new Uint8Array(Math.max(0, size - start))
    await file.read(bytes, 0, bytes.length, start)
    return new TextDecoder().decode(bytes).trimEnd().split("\n").slice(-15).join("\n")
  } finally {
    await file.close()
  }
}

/**
 * Stops the server by SIGINT (fast shutdown: sessions end, all is written, then it goes) and waits for its end. A
 * checkpoint of 2 GB on a slow disk takes its time, so it is waited for as long as it lives.
 */
export async function stopPostmaster(
  pid: number,
  home: Home,
  binaries: Binaries | undefined,
  marks: ClusterMarks,
  say: (line: string) => void,
): Promise<void> {
  if (process.platform === "win32") {
    // Node can only kill there; pg_ctl knows the pipe that Postgres takes for a signal.
    if (binaries !== undefined) {
      const args = ["stop", "-D", home.cluster, "-m", "fast", "-w"]
      await promisify(execFile)(programOf(binaries, "pg_ctl"), args, { env: environmentOf(home.folder) })
    }
    return
  }
  if (isPostmasterAlive(pid, marks)) sendSignal(pid, "SIGINT")
  const remind = reminder(say, "Waiting for Postgres to write everything and stop")
  while (isPostmasterAlive(pid, marks)) {
    remind()
    await wait(lookAgainMs)
  }
}

/**
 * Ends the children of a postmaster that was killed. Idle ones notice by themselves at once; one that is busy or
 * stopped holds the shared memory, and no server starts until it is gone. To die at any moment is no harm to the
 * cluster: its write-ahead log is there for that.
 *
 * @throws EmbeddedDatabaseError "orphans" if one does not even end by SIGKILL (a disk that does not answer)
 */
export async function endOrphans(
  home: Home,
  marks: ClusterMarks,
  say: (line: string) => void,
): Promise<void> {
  const orphans = () => findOrphans(listProcesses(), marks)
  const isGone = async (patienceMs: number): Promise<boolean> => {
    for (let waitedMs = 0; orphans().length > 0; waitedMs += lookAgainMs) {
      if (waitedMs > patienceMs) return false
      await wait(lookAgainMs)
    }
    return true
  }
  if (await isGone(500)) return
  say(`Postgres was killed, and ${orphans().length} of its processes live on: ending them`)
  // SIGQUIT is Postgres's own way to drop everything at once.
  for (const { pid } of orphans()) sendSignal(pid, "SIGQUIT")
  if (await isGone(1_000)) return
  for (const { pid } of orphans()) sendSignal(pid, "SIGKILL")
  if (await isGone(10_000)) return
  const pids = orphans().map(({ pid }) => pid)
  throw new EmbeddedDatabaseError(
    "orphans",
    `Postgres was killed, and its processes ${pids.join(", ")} do not end: they hold the database in ${home.folder}, ` +
      `mostly by waiting for a disk. End them (kill -9 ${pids.join(" ")}) or restart the machine, then start again.`,
  )
}

/** Gives a function that says `line` after five seconds, and then every ten. */
export function reminder(say: (line: string) => void, line: string): () => void {
  let nextMs = performance.now() + 5_000
  return () => {
    if (performance.now() < nextMs) return
    say(line)
    nextMs = performance.now() + 10_000
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error // it ended meanwhile
  }
}

/**
 * A port of 127.0.0.1 that was free a moment ago. Below the range from which systems take the ports of outgoing
 * connections (32768 on Linux, 49152 elsewhere): one of those could take it while a killed server is started again.
 */
export async function findFreePort(): Promise<number> {
  for (let tries = 0; tries < 20; tries++) {
    const port = randomInt(20_000, 32_768)
    if (await isPortFree(port)) return port
  }
  throw new EmbeddedDatabaseError(
    "start",
    "20 ports of 127.0.0.1 between 20000 and 32767 were tried: all are taken.",
  )
}

async function isPortFree(port: number): Promise<boolean> {
  const server = createServer()
  const listens = await new Promise<boolean>((resolve) => {
    server.on("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => resolve(true))
  })
  if (listens) await new Promise((resolve) => server.close(resolve))
  return listens
}

/** A folder that only the server's account may enter: in the home, or a short one if that path is too long. */
async function makeSocketFolder(home: Home, account: Account | undefined): Promise<string> {
  if (process.platform === "win32") return ""
  let folder = home.socket
  if (new TextEncoder().encode(folder).length > socketFolderSizeMax) {
    folder = await mkdtemp(join(tmpdir(), "tidemark-"))
  } else {
    await mkdir(folder, { recursive: true })
  }
  await chmod(folder, 0o700)
  if (account !== undefined) await chown(folder, account.uid, account.gid)
  return folder
}

/** Removes a short socket folder of a server that is gone. Only what we made: the name, the owner and the emptiness. */
export async function removeSocketFolder(home: Home, socketFolder: string): Promise<void> {
  if (socketFolder === "" || socketFolder === home.socket) return
  if (dirname(socketFolder) !== join(tmpdir()) || !/[/\\]tidemark-\w{6}$/.test(socketFolder)) return
  const [folder, cluster] = await Promise.all([lstat(socketFolder), stat(home.cluster)]).catch(() => [])
  if (folder === undefined || !folder.isDirectory() || folder.uid !== cluster?.uid) return
  await rm(socketFolder, { recursive: true, force: true })
}

async function rotateLog(home: Home): Promise<void> {
  const size = await stat(home.log).then(
    (found) => found.size,
    () => 0,
  )
  if (size <= logSizeMax) return
  await rename(home.log, `${home.log}.1`).catch((error: NodeJS.ErrnoException) => {
    // Another start was quicker.
    if (error.code !== "ENOENT") throw error
  })
}
