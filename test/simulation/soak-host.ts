/** Starts a service in a process of its own, asks it things, and takes down what it says before it dies. */
import { type ChainBinding, protocolVersion } from "../../chain/genesis.ts"
import { type ChildProcess, execFile, fork } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import type { BrokerLimits } from "../../broker/limits.ts"
import { listProcesses } from "../../ingest/database/embedded/processes.ts"
import { programArgs, programEnvironment, repository } from "../cli/program.ts"
import type { Stall } from "../watchdog.ts"
import type { SoakCount, SoakMemory, SoakRequest } from "./soak-service.ts"

export interface SoakHostOptions {
  readonly limits?: Partial<BrokerLimits>
  /** Null: an embedded Postgres of its own. */
  readonly databaseUrl?: string | null
}

const linesKeptMax = 200

export class SoakHost {
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #asked = new Map<number, (value: unknown) => void>()
  readonly #ended: Promise<number | null>
  #count = 0
  #hasEnded = false
  #tail = ""
  mqtt = 0
  http = 0
  /** Of the log that it made. */
  binding: ChainBinding = { logVkey: "", version: protocolVersion }
  /** What the service said: errors only, and what Node says when a process dies. */
  readonly lines: string[] = []

  private constructor(folder: string, { limits = {}, databaseUrl = null }: SoakHostOptions) {
    this.#folder = folder
    this.#environment = programEnvironment(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl })
    const loader = pathToFileURL(join(repository, "node_modules", "tsx", "dist", "loader.mjs")).href
    const program = join(repository, "test", "simulation", "soak-service.ts")
    this.#child = fork(program, [JSON.stringify({ dataFolder: join(folder, "data"), limits })], {
      execArgv: ["--import", loader, "--expose-gc"],
      env: this.#environment,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      serialization: "advanced",
    })
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#hear(text))
    this.#child.on("message", ({ id, value }: { id: number; value: unknown }) => {
      this.#asked.get(id)?.(value)
      this.#asked.delete(id)
    })
    this.#ended = once(this.#child, "exit").then(([code]) => {
      this.#hasEnded = true
      return code as number | null
    })
  }

  static async start(options: SoakHostOptions = {}): Promise<SoakHost> {
    const folder = await mkdtemp(join(tmpdir(), "tidemark-soak-"))
    // Postgres may run as another user.
    await chmod(folder, 0o711)
    const host = new SoakHost(folder, options)
    const ready = new Promise<{ mqtt: number; http: number; logVkey: string }>((resolve) => {
      host.#asked.set(0, resolve as (value: unknown) => void)
    })
    const { mqtt, http, logVkey } = await host.#orEnd(ready)
    host.mqtt = mqtt
    host.http = http
    host.binding = { logVkey, version: protocolVersion }
    return host
  }

  get isRunning(): boolean {
    return !this.#hasEnded
  }

  /** Rejects when it ends before it was told to. */
  get ended(): Promise<never> {
    return this.#ended.then((code) => {
      throw new Error(`the service ended with ${code}: ${this.lines.join("\n")}`)
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async enrol(devices: Extract<SoakRequest, { kind: "enrol" }>["devices"]): Promise<void> {
    if ((await this.#ask({ kind: "enrol", devices })) !== true) throw new Error("a device was not enrolled")
  }

  memory(): Promise<SoakMemory> {
    return this.#ask({ kind: "memory" }) as Promise<SoakMemory>
  }

  stored(devices: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    return this.#ask({ kind: "stored", devices }) as Promise<ReadonlyMap<string, readonly string[]>>
  }

  count(): Promise<SoakCount> {
    return this.#ask({ kind: "count" }) as Promise<SoakCount>
  }

  /** The longest stall of its event loop since this was asked last. */
  stall(): Promise<Stall> {
    return this.#ask({ kind: "stall" }) as Promise<Stall>
  }

  async hold(ms: number): Promise<void> {
    await this.#ask({ kind: "hold", ms })
  }

  async seal(): Promise<void> {
    await this.#ask({ kind: "seal" })
  }

  /** Values of `/metrics` by name, with labels as they stand in the text. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${this.http}/metrics`)).text()
    const values = new Map<string, number>()
    for (const line of text.split("\n")) {
      const match = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line)
      if (match !== null) values.set(match[1]!, Number(match[2]))
    }
    return values
  }

  /** Stops it as an operator would. Gives the exit code. */
  async stop(): Promise<number | null> {
    if (this.isRunning) await this.#ask({ kind: "stop" }).catch(() => {})
    return this.#ended
  }

  /** `tidemark verify` over what it left: null where it passes, else what it said. */
  async verify(): Promise<string | null> {
    const args = [...programArgs, "verify", "--json", "--data", join(this.#folder, "data")]
    const options = { env: this.#environment, maxBuffer: 64 * 1024 * 1024 }
    try {
      const { stdout } = await promisify(execFile)(process.execPath, args, options)
      const { kind } = JSON.parse(stdout) as { kind?: unknown }
      return kind === "passed" ? null : stdout
    } catch (error) {
      const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message: string }
      return `${stdout ?? ""}${stderr ?? ""}` || message
    }
  }

  /** Whatever is left of it goes. */
  async remove(): Promise<void> {
    if (this.isRunning) this.#child.kill("SIGKILL")
    await this.#ended
    killPostgres(this.#folder)
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 10 })
  }

  async #ask(request: SoakRequest): Promise<unknown> {
    const id = ++this.#count
    const answered = new Promise<unknown>((resolve) => this.#asked.set(id, resolve))
    // Where it has ended, `#orEnd` says so.
    this.#child.send({ id, request }, () => {})
    return this.#orEnd(answered)
  }

  async #orEnd<T>(answered: Promise<T>): Promise<T> {
    const { ended } = this
    ended.catch(() => {})
    return Promise.race([answered, ended])
  }

  #hear(text: string): void {
    const lines = (this.#tail + text).split("\n")
    this.#tail = lines.pop() ?? ""
    for (const line of lines) if (this.lines.length < linesKeptMax) this.lines.push(line)
  }
}

/** Every process of the Postgres in this folder: it lives on when its service is killed. */
function killPostgres(folder: string): void {
  for (const { pid, command, folder: at } of listProcesses()) {
    if (!/postgres/.test(command) || !(at ?? command).includes(folder)) continue
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It went with its postmaster.
    }
  }
}
