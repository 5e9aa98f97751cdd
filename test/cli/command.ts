/** Commands of `tidemark` run to their end, and a service that runs beside them. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { vi } from "vitest"
import { openEmbedded, type EmbeddedDatabase } from "../../ingest/database/embedded.ts"
import { processesIn } from "../ingest/embedded-folder.ts"
import { programArgs, programEnvironment } from "./program.ts"

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** `ulimit -n`, soft and hard. */
  readonly descriptors?: number
}

// A command takes half a second alone, and ten times that on a machine that does other things too.
const runningMsMax = 120_000
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 })
const folders: string[] = []
const services = new Set<RunningUp>()
const held: EmbeddedDatabase[] = []

/** Runs a command to its end. Fails if its user would see a stack trace: no mistake of these tests is unforeseen. */
export async function tidemark(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const { child, ended } = begin(args, options)
  const timer = setTimeout(() => child.kill("SIGKILL"), runningMsMax)
  const result = await ended
  clearTimeout(timer)
  if (result.code === null) throw new Error(`tidemark ${args.join(" ")} did not end: ${result.stderr}`)
  if (/^\s+at .+:\d+/m.test(result.stderr))
    throw new Error(`tidemark ${args.join(" ")} showed a stack trace: ${result.stderr}`)
  return result
}

/** The same for a command that must succeed: gives its standard output. */
export async function run(args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await tidemark(args, options)
  if (code !== 0) throw new Error(`tidemark ${args.join(" ")} ended with ${code}: ${stderr}`)
  return stdout
}

function begin(args: readonly string[], { env = {}, cwd, descriptors }: CommandOptions) {
  const command = [process.execPath, ...programArgs, ...args]
  const limited = ["sh", "-c", `ulimit -n ${descriptors} && exec "$@"`, "sh", ...command]
  const [program, ...rest] = descriptors === undefined ? command : limited
  const child = spawn(program!, rest, {
    env: programEnvironment(env),
    stdio: ["ignore", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
  })
  const said = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said.stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said.stderr += text))
  const ended = once(child, "close").then(([code]): Ended => ({ code: code as number | null, ...said }))
  return { child, said, ended }
}

/** `tidemark up` on free ports, or another command that stays. */
export class RunningUp {
  readonly #begun: ReturnType<typeof begin>
  readonly #waiting = new Set<() => void>()
  readonly dataFolder: string

  private constructor(dataFolder: string, args: readonly string[], options: CommandOptions) {
    this.dataFolder = dataFolder
    this.#begun = begin([...args, "--data", dataFolder], options)
    this.#begun.child.stderr.on("data", () => this.#look())
    void this.#begun.ended.then(() => this.#look())
  }

  /** Resolves when it is ready; rejects with what it said where it ended instead. */
  static async start(
    dataFolder: string,
    args: readonly string[] = [],
    options: CommandOptions = {},
  ): Promise<RunningUp> {
    return RunningUp.startCommand(dataFolder, ["up", "--mqtt", "0", "--http", "0", ...args], options)
  }

  /** The same for `tidemark ingest` and others that stay. */
  static async startCommand(
    dataFolder: string,
    args: readonly string[],
    options: CommandOptions = {},
  ): Promise<RunningUp> {
    const up = new RunningUp(dataFolder, args, options)
    services.add(up)
    await up.waitFor("ready")
    return up
  }

  get pid(): number {
    return this.#begun.child.pid!
  }

  get stderr(): string {
    return this.#begun.said.stderr
  }

  get mqtt(): number {
    return Number(String(this.lines().find(({ msg }) => msg === "ready")?.["mqtt"]).split(":")[1])
  }

  get http(): string {
    return String(this.lines().find(({ msg }) => msg === "ready")?.["http"])
  }

  /** The lines of its log. */
  lines(): Record<string, unknown>[] {
    return this.stderr
      .split("\n")
      .filter((line) => /^\{.*\}$/.test(line))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  /** Waits for a line of this message, and gives it. */
  async waitFor(message: string): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.#hasEnded ? undefined : this.lines().find(({ msg }) => msg === message)
      if (found !== undefined) return found
      if (this.#hasEnded) throw new Error(`tidemark up ended: ${this.stderr}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  async end(signal: NodeJS.Signals): Promise<Ended> {
    this.#begun.child.kill(signal)
    services.delete(this)
    return this.#begun.ended
  }

  get #hasEnded(): boolean {
    const { exitCode, signalCode } = this.#begun.child
    return exitCode !== null || signalCode !== null
  }

  #look(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** A path for a data folder in a folder of its own, which goes with `removeFolders`. Nothing is there yet. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-cli-"))
  await chmod(folder, 0o711)
  folders.push(folder)
  return join(folder, "data")
}

/**
 * Holds the Postgres of a data folder, as a service would: commands attach to it. To start and stop it for each of them
 * would be most of what a file's tests take.
 */
export async function holdDatabase(data: string): Promise<EmbeddedDatabase> {
  const database = await openEmbedded({ dataFolder: data, create: false, say: () => {} })
  held.push(database)
  return database
}

/** After all tests of a file. */
export async function removeFolders(): Promise<void> {
  for (const database of held.splice(0)) await database.close()
  await Promise.all([...services].map((up) => up.end("SIGKILL")))
  for (const folder of folders.splice(0)) {
    killPostgres(folder)
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** Every process of the Postgres in this folder. */
export function killPostgres(folder: string): void {
  for (const pid of processesIn(folder)) {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It went with its postmaster.
    }
  }
}

/** The JSON of each line. */
export function parseLines(stdout: string): Record<string, unknown>[] {
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
