/** The service as its operator runs it: the built `tidemark up` in a process of its own, on an embedded Postgres. */
import type { ProtocolVersion } from "../../chain/genesis.ts"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Client, type Pool } from "pg"
import { type EmbeddedDatabase, openEmbedded } from "../../ingest/database/embedded.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { RunningUp, runTidemark } from "./command.ts"
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

  get isUp(): boolean {
    return this.#up !== null
  }

  get up(): RunningUp {
    if (this.#up === null) throw new Error("the service is not up")
    return this.#up
  }

  async enrol(fleet: Fleet): Promise<void> {
    const path = join(this.folder, "devices.csv")
    fleet.writeEnrolments(path)
    await runTidemark(["device", "enroll", "--from", path, "--data", this.dataFolder])
    const { rows } = await this.pool.query<{ vkey: string; version: ProtocolVersion }>(
      "select vkey, version from log",
    )
    fleet.begin({ logVkey: rows[0]!.vkey, version: rows[0]!.version })
  }

  /** Starts `up`. */
  async start(): Promise<RunningUp> {
    const args = ["up", ...this.#freePorts(), "--seal", neverSeals]
    this.#up = await RunningUp.start(args, this.#options.isProfiled)
    return this.#up
  }

  /** Starts a process that takes statements and does nothing else. The caller ends it. */
  startTaker(): Promise<RunningUp> {
    return RunningUp.start(["ingest", ...this.#freePorts()])
  }

  /** Limits under which a whole fleet may come from one address. */
  #freePorts(): string[] {
    const limits = ["connections-per-address", "address-connects-per-second", "address-connect-burst"]
    const raised = limits.flatMap((limit) => ["--limit", `${limit}=10000`])
    return ["--mqtt", "0", "--http", "0", "--data", this.dataFolder, ...raised]
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

  /** What was written goes to disk now, and not while something else is measured. */
  async settle(): Promise<void> {
    await this.pool.query("checkpoint")
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
