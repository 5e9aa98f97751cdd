/** The service as its operator runs it: the built `tidemark up` in a process of its own, on an embedded Postgres. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Client, type Pool } from "pg"
import { type EmbeddedDatabase, openEmbedded } from "../../ingest/database/embedded.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { programArgs, programEnvironment, repository } from "../cli/program.ts"
import type { Fleet } from "./fleet.ts"

/**
 * No seal and no vacuum of its own accord falls into what is measured: what they leave undone is done between
 * (`settle`), of ours and of what it is compared with alike.
 */
const neverSeals = "0 0 29 2 1"
const calmSettings = ["autovacuum_naptime = '1d'", "checkpoint_timeout = '1d'", "max_wal_size = '8GB'"]

export interface BenchServiceOptions {
  /** Collects statistics of statements (pg_stat_statements), and lets a profiler in. */
  readonly isProfiled: boolean
}

/** A data folder with a log, and its Postgres, which runs as long as this is open. */
export class BenchService {
  readonly folder: string
  readonly dataFolder: string
  readonly #options: BenchServiceOptions
  #database: EmbeddedDatabase
  #up: RunningUp | null = null
  /** Of the log's database. */
  readonly pool: Pool

  private constructor(folder: string, options: BenchServiceOptions, database: EmbeddedDatabase) {
    this.folder = folder
    this.dataFolder = join(folder, "data")
    this.#options = options
    this.#database = database
    this.pool = openPool(database.url, 4)
  }

  static async open(options: BenchServiceOptions): Promise<BenchService> {
    const folder = await mkdtemp(join(tmpdir(), "tidemark-bench-"))
    // Postgres may run as another user.
    await chmod(folder, 0o711)
    const dataFolder = join(folder, "data")
    await runTidemark(["log", "init", "--origin", "tidemark.invalid/bench", "--data", dataFolder])
    const open = (): Promise<EmbeddedDatabase> => openEmbedded({ dataFolder, create: false, say: () => {} })
    const settings = options.isProfiled
      ? [...calmSettings, "shared_preload_libraries = 'pg_stat_statements'"]
      : calmSettings
    const unset = await open()
    await asAdmin(unset.url, async (admin) => {
      for (const setting of settings) await admin.query(`alter system set ${setting}`)
    })
    await unset.close()
    const service = new BenchService(folder, options, await open())
    if (options.isProfiled) await service.pool.query("create extension pg_stat_statements")
    return service
  }

  get postmaster(): number {
    return this.#database.pid
  }

  get up(): RunningUp {
    if (this.#up === null) throw new Error("the service is not up")
    return this.#up
  }

  async enrol(fleet: Fleet): Promise<void> {
    const path = join(this.folder, "devices.csv")
    fleet.writeEnrolments(path)
    await runTidemark(["device", "enroll", "--from", path, "--data", this.dataFolder])
  }

  /** Starts `up`, with limits under which a fleet may come from one address. */
  async start(args: readonly string[] = []): Promise<RunningUp> {
    const limits = [
      "connections-per-address=10000",
      "address-connects-per-second=10000",
      "address-connect-burst=10000",
    ]
    const free = ["--mqtt", "0", "--http", "0", "--seal", neverSeals, "--data", this.dataFolder]
    const all = ["up", ...free, ...limits.flatMap((limit) => ["--limit", limit]), ...args]
    this.#up = await RunningUp.start(all, this.#options.isProfiled)
    return this.#up
  }

  async stop(): Promise<void> {
    await this.#up?.end()
    this.#up = null
  }

  /** A database beside the log's own, in the same server. */
  async makeDatabase(name: string): Promise<string> {
    await asAdmin(this.#database.url, async (admin) => {
      await admin.query(`create database ${name} template template0 encoding 'UTF8' locale 'C'`)
    })
    const url = new URL(this.#database.url)
    url.pathname = `/${name}`
    return url.href
  }

  get url(): string {
    return this.#database.url
  }

  async close(): Promise<void> {
    await this.stop()
    await this.pool.end()
    await this.#database.close()
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

async function asAdmin(url: string, work: (admin: Client) => Promise<void>): Promise<void> {
  const admin = new Client({ connectionString: url })
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}

/** Runs a command to its end; rejects with what it said where it fails. */
export async function runTidemark(args: readonly string[]): Promise<string> {
  const options = { env: programEnvironment(), cwd: repository, maxBuffer: 64 * 1024 * 1024 }
  const { stdout } = await promisify(execFile)(process.execPath, [...programArgs, ...args], options)
  return stdout
}

/** `tidemark up`, or another command that says "ready" and stays. */
export class RunningUp {
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #said = ""

  private constructor(args: readonly string[], isInspected: boolean) {
    const inspect = isInspected ? ["--inspect=127.0.0.1:0"] : []
    this.#child = spawn(process.execPath, [...inspect, ...programArgs, ...args], {
      env: programEnvironment(),
      stdio: ["ignore", "ignore", "pipe"],
    })
    this.#ended = once(this.#child, "close")
  }

  static async start(args: readonly string[], isInspected = false): Promise<RunningUp> {
    const up = new RunningUp(args, isInspected)
    await new Promise<void>((resolve, reject) => {
      up.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
        // Later lines are about statements that were refused: the run fails on them anyway.
        if (up.#said.length < 100_000) up.#said += text
        if (up.#find("ready") !== undefined) resolve()
      })
      void up.#ended.then(() => reject(new Error(`tidemark ${args[0]} ended: ${up.#said}`)))
    })
    return up
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get mqtt(): number {
    return Number(String(this.#find("ready")?.["mqtt"]).split(":").at(-1))
  }

  get http(): string {
    return String(this.#find("ready")?.["http"])
  }

  /** Where its inspector listens. */
  get inspector(): string | null {
    return /Debugger listening on (ws:\S+)/.exec(this.#said)?.[1] ?? null
  }

  get said(): string {
    return this.#said
  }

  async end(): Promise<void> {
    this.#child.kill("SIGTERM")
    await this.#ended
  }

  #find(message: string): Record<string, unknown> | undefined {
    return this.#said
      .split("\n")
      .filter((line) => /^\{.*\}$/.test(line))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .find(({ msg }) => msg === message)
  }
}
