/** `tidemark up`, or another command that stays, in a process of its own that can be killed, and the Postgres that it holds. */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { createInterface } from "node:readline"
import { setTimeout as wait } from "node:timers/promises"
import { Client } from "pg"
import { roleName } from "../../ingest/database/embedded/cluster.ts"
import { locateCluster } from "../../ingest/database/embedded/locate.ts"
import { readPidFile } from "../../ingest/database/embedded/postmaster.ts"
import {
  type ClusterMarks,
  isOfCluster,
  isPostmaster,
  listProcesses,
  readProcess,
} from "../../ingest/database/embedded/processes.ts"
import { locks } from "../../ingest/database/pool.ts"
import { programArgs, programEnvironment } from "../cli/program.ts"

const upSealing = ["up", "--mqtt", "0", "--http", "0", "--seal", "*/2 * * * * *"]
const linesKeptMax = 40
/** Recovery after a crash, on a machine that does other things too. */
const startMsMax = 120_000

export class KilledService {
  readonly #dataFolder: string
  readonly #command: readonly string[]
  readonly #environment: Readonly<Record<string, string>>
  #child: ChildProcess | null = null
  #port: number | null = null
  #whenUp = new Awaited<number>()
  #marks: ClusterMarks | null = null
  #aimedAt: readonly number[] = []
  /** The last lines of its log, for a failure's report. */
  readonly lines: string[] = []

  constructor(
    dataFolder: string,
    command: readonly string[] = upSealing,
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.#dataFolder = dataFolder
    this.#command = command
    this.#environment = environment
  }

  /** The broker's port, or 0 of a process without one, once a service is ready. Rejects when there will be none any more. */
  whenUp(): Promise<number> {
    return this.#whenUp.promise
  }

  /** Starts the service. Gives whether it became ready; else it ended, killed or by itself. */
  async start(): Promise<boolean> {
    const args = [...programArgs, ...this.#command, "--data", this.#dataFolder]
    const child = spawn(process.execPath, args, {
      env: programEnvironment(this.#environment),
      stdio: ["ignore", "ignore", "pipe"],
    })
    this.#child = child
    const ready = new Promise<boolean>((resolve) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        this.lines.push(line)
        if (this.lines.length > linesKeptMax) this.lines.shift()
        const port = readReadyPort(line)
        if (port === null) return
        this.#port = port
        this.#whenUp.resolve(port)
        resolve(true)
      })
      child.once("exit", () => {
        // Somebody may still wait for the one that never came: only a port that was given is taken back.
        if (this.#port !== null) this.#whenUp = new Awaited()
        this.#port = null
        resolve(false)
      })
    })
    const deadline = new AbortController()
    const tooLong = wait(startMsMax, false, { signal: deadline.signal }).catch(() => false)
    const isUp = await Promise.race([ready, tooLong])
    deadline.abort()
    if (!isUp && this.isRunning()) throw new Error("the service did not become ready")
    return isUp
  }

  isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** SIGKILL. Resolves when the process is gone. */
  async kill(): Promise<void> {
    const child = this.#child!
    if (!this.isRunning()) return
    const gone = once(child, "exit")
    child.kill("SIGKILL")
    await gone
  }

  /** SIGTERM, as an operator stops it. Gives the exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child!
    if (this.isRunning()) {
      const gone = once(child, "exit")
      child.kill("SIGTERM")
      await gone
    }
    return child.exitCode
  }

  /** No service will come any more: whoever waits for one is told. */
  giveUp(reason: Error): void {
    this.#whenUp.reject(reason)
  }

  /** SIGKILL for the postmaster alone, or for all processes of this Postgres, the postmaster first: it would make more. */
  async killPostgres(which: "postmaster" | "postgres"): Promise<void> {
    const marks = await this.#findMarks()
    this.#killThese(this.#aimedAt, which, marks)
    // To look through all processes takes milliseconds, in which a commit ends: it comes after those aimed at.
    this.#killThese(findPostgres(marks), which, marks)
  }

  /** Looks for the processes of Postgres, so that `killPostgres` is quick when its moment comes. */
  async aim(): Promise<void> {
    this.#aimedAt = findPostgres(await this.#findMarks())
  }

  #killThese(pids: readonly number[], which: "postmaster" | "postgres", marks: ClusterMarks): void {
    for (const pid of pids) {
      // The number of one that has ended may be another's by now.
      const found = readProcess(pid)
      if (found === undefined || !isOfCluster(found, marks)) continue
      if (which === "postmaster" && !isPostmaster(found, marks)) continue
      try {
        process.kill(pid, "SIGKILL")
      } catch {
        // It ended by itself meanwhile.
      }
    }
  }

  async #findMarks(): Promise<ClusterMarks> {
    this.#marks ??= (await locateCluster(this.#dataFolder, false, undefined, () => {})).marks
    return this.#marks
  }

  /** A connection that watches what the service does. It holds nothing, and breaks with the postmaster. */
  async watch(): Promise<Watcher> {
    const { home } = await locateCluster(this.#dataFolder, false, undefined, () => {})
    const port = (await readPidFile(home))?.port ?? 0
    const password = (await readFile(home.password, "utf8")).trim()
    const client = new Client({ host: "127.0.0.1", port, user: roleName, database: roleName, password })
    client.on("error", () => {})
    await client.connect()
    return new Watcher(client)
  }
}

/** A promise that is settled from outside. */
class Awaited<T> {
  readonly promise: Promise<T>
  resolve: (value: T) => void = () => {}
  reject: (reason: Error) => void = () => {}

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Nobody may be waiting.
    this.promise.catch(() => {})
  }
}

/** A connection to the database from outside the service. */
export class Watcher {
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  /** Whether a block is being made at this moment. */
  isSealing(): Promise<boolean> {
    return this.#is(
      `select exists (select from pg_locks where locktype = 'advisory' and objid = ${locks.sealer} and granted) as is`,
    )
  }

  /** Whether a group's commit is on its way to the disk at this moment. */
  isCommitting(): Promise<boolean> {
    return this.#is(
      `select exists (select from pg_stat_activity
       where application_name = 'tidemark' and state = 'active' and query = 'commit') as is`,
    )
  }

  /** Looks until it is so, or until it took too long. */
  async until(look: () => Promise<boolean>, msMax: number): Promise<boolean> {
    const endsAt = performance.now() + msMax
    while (performance.now() < endsAt) if (await look()) return true
    return false
  }

  async #is(sql: string): Promise<boolean> {
    const { rows } = await this.#client.query<{ is: boolean }>(sql)
    return rows[0]?.is === true
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => {})
  }
}

/** The processes of this Postgres, the postmaster first. */
function findPostgres(marks: ClusterMarks): readonly number[] {
  const members = listProcesses().filter((found) => isOfCluster(found, marks))
  return members
    .toSorted((a, b) => Number(isPostmaster(b, marks)) - Number(isPostmaster(a, marks)))
    .map(({ pid }) => pid)
}

/** The MQTT port in the log line that says that the service is ready, 0 where it has none; null in any other line. */
function readReadyPort(line: string): number | null {
  try {
    const { msg, mqtt } = JSON.parse(line) as { msg?: unknown; mqtt?: unknown }
    if (msg !== "ready") return null
    return typeof mqtt === "string" ? Number(mqtt.split(":").at(-1)) : 0
  } catch {
    return null
  }
}
