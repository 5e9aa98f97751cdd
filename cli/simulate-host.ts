/** A service that a simulation starts for itself: `tidemark up` in a process of its own, which can be killed. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, open, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import type { ServiceHost } from "../devices-sim/service-fault.ts"
import { locateCluster } from "../ingest/database/embedded/locate.ts"
import { isOfCluster, listProcesses } from "../ingest/database/embedded/processes.ts"
import { CommandFault } from "./fault.ts"
import { type Running, findUp, httpOf } from "./running.ts"

/** A start behind a kill recovers the database first. */
const startMsMax = 120_000
const askAgainMs = 50
const linesShown = 12

export class OwnService implements ServiceHost {
  readonly dataFolder: string
  /** Where its log goes. */
  readonly logFile: string
  private readonly folder: string | null
  private child: ChildProcess | null = null
  private found: Running | null = null

  private constructor(dataFolder: string, folder: string | null) {
    this.dataFolder = dataFolder
    this.folder = folder
    this.logFile = join(folder ?? dataFolder, "up.log")
  }

  /** @param dataFolder null: a throw-away one, which `close` removes */
  static async start(dataFolder: string | null): Promise<OwnService> {
    const folder = dataFolder === null ? await mkdtemp(join(tmpdir(), "tidemark-simulate-")) : null
    // Postgres may run as another user.
    if (folder !== null) await chmod(folder, 0o711)
    const service = new OwnService(dataFolder === null ? join(folder!, "data") : resolve(dataFolder), folder)
    try {
      await service.startService()
    } catch (error) {
      await service.close()
      throw error
    }
    return service
  }

  get running(): Running {
    if (this.found === null) throw new Error("the service was not started")
    return this.found
  }

  async startService(): Promise<void> {
    const { dataFolder, found } = this
    // On the ports from before: whoever knew it finds it again.
    const ports = ["--mqtt", String(found?.mqtt ?? 0), "--http", String(found?.http ?? 0)]
    const log = await open(this.logFile, "a", 0o600).catch(async () => null)
    const child = spawn(
      process.execPath,
      [...process.execArgv, process.argv[1]!, "up", "--data", dataFolder, ...ports],
      // A group of its own: Ctrl-C in the terminal is for the simulation, which ends it when the report is made.
      { stdio: ["ignore", "ignore", log?.fd ?? "ignore"], detached: true },
    )
    this.child = child
    await log?.close()
    const endsAtMs = performance.now() + startMsMax
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) throw await this.explain("the service ended")
      const up = await findUp(dataFolder)
      if (up !== null && up.pid === child.pid) {
        this.found = up
        if (await isReady(up)) return
      }
      if (performance.now() > endsAtMs) throw await this.explain("the service did not become ready")
      await wait(askAgainMs)
    }
  }

  async killService(): Promise<void> {
    await this.end("SIGKILL")
  }

  /** At once, as if its machine had lost power. The service starts it again by itself, on the same port. */
  async stopDatabase(): Promise<void> {
    const { marks } = await locateCluster(this.dataFolder, false, undefined, () => {})
    for (const found of listProcesses()) {
      if (!isOfCluster(found, marks)) continue
      try {
        process.kill(found.pid, "SIGKILL")
      } catch {
        // It went with its postmaster.
      }
    }
  }

  async startDatabase(): Promise<void> {
    const endsAtMs = performance.now() + startMsMax
    while (!(await isReady(this.running))) {
      if (performance.now() > endsAtMs) throw await this.explain("the database did not come back")
      await wait(askAgainMs)
    }
  }

  async close(): Promise<void> {
    await this.end("SIGTERM")
    if (this.folder === null) return
    await this.stopDatabase().catch(() => {})
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 })
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, "exit")
    child.kill(signal)
    await gone
  }

  private async explain(what: string): Promise<CommandFault> {
    const text = await readFile(this.logFile, "utf8").catch(() => "")
    const tail = text.trimEnd().split("\n").slice(-linesShown)
    return new CommandFault(`${what}: ${tail.map((line) => `\n  ${line}`).join("")}`)
  }
}

async function isReady(running: Running): Promise<boolean> {
  try {
    const response = await fetch(`${httpOf(running)}/readyz`, { signal: AbortSignal.timeout(2_000) })
    await response.body?.cancel()
    return response.ok
  } catch {
    return false
  }
}
