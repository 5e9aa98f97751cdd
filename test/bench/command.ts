/** Commands of the built `tidemark`: run to their end, or beside the bench until it ends them. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { setTimeout as wait } from "node:timers/promises"
import { promisify } from "node:util"
import { programArgs, programEnvironment, repository } from "../cli/program.ts"
import { readMemoryBytes, readProcessSeconds } from "./processor-time.ts"

export interface Spent {
  readonly stdout: string
  readonly wallSeconds: number
  /** Of the processor; null without /proc. */
  readonly seconds: number | null
  /** The most memory that it had. */
  readonly peakBytes: number | null
}

const lookAgainMs = 10

/** The same, watched: what it used in all, its start included, up to some milliseconds before its end. */
export async function watchTidemark(args: readonly string[]): Promise<Spent> {
  const startedAtMs = performance.now()
  const child = spawn(process.execPath, [...programArgs, ...args], {
    env: programEnvironment(),
    cwd: repository,
    stdio: ["ignore", "pipe", "pipe"],
  })
  const said = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said.stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said.stderr += text))
  const ended = once(child, "close")
  let seconds: number | null = null
  let peakBytes: number | null = null
  while (child.exitCode === null && child.signalCode === null) {
    seconds = readProcessSeconds(child.pid ?? 0) ?? seconds
    peakBytes = readMemoryBytes(child.pid ?? 0)?.peak ?? peakBytes
    await wait(lookAgainMs)
  }
  await ended
  if (child.exitCode !== 0)
    throw new Error(`tidemark ${args[0]} ended with ${child.exitCode}: ${said.stderr}`)
  return { stdout: said.stdout, wallSeconds: (performance.now() - startedAtMs) / 1000, seconds, peakBytes }
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
