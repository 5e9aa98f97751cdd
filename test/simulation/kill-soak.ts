/**
 * Promise 1 by killing: honest devices publish to a `tidemark up`, which is killed with SIGKILL, or its Postgres, or both,
 * at moments that a seed chooses, and started again. A killed process leaves what it wrote with the kernel: this says
 * nothing about a loss of power, against which the service insists on fsync.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { makeRandom } from "../../devices-sim/random.ts"
import { openEmbedded } from "../../ingest/database/embedded.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog } from "../../ingest/log.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { type Comparison, compare, verify } from "./kill-comparison.ts"
import { KillDevice } from "./kill-device.ts"
import { type Kill, planKills } from "./kill-plan.ts"
import { KilledService } from "./kill-service.ts"

export interface KillOptions {
  readonly rounds: number
  readonly seed: number
  readonly devices?: number
  /** A line per round, for a person. */
  readonly say?: (line: string) => void
}

export interface KillReport extends Comparison {
  readonly seed: number
  readonly rounds: number
  /** By what was killed, and by what the service was seen to do just before. */
  readonly kills: Readonly<Record<string, number>>
  readonly acknowledged: number
  readonly signed: number
  /** Stored without a PUBACK that arrived: the device learned it from the head. */
  readonly storedSilently: number
  readonly sentAgain: number
  readonly connections: number
  readonly tookMs: number
  /** Nothing lost, nothing stored twice, and nothing else that must not be. */
  readonly isKept: boolean
}

const commitMs = 30
const progressMsMax = 120_000
const startsMax = 5

/** Runs the rounds in a folder of its own, which is removed afterwards. Rejects where the service does not come back. */
export async function soakByKilling(options: KillOptions): Promise<KillReport> {
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-kill-"))
  try {
    return await new Soak(dataFolder, options).run()
  } finally {
    await rm(dataFolder, { recursive: true, force: true, maxRetries: 10 })
  }
}

class Soak {
  readonly #dataFolder: string
  readonly #options: KillOptions
  readonly #service: KilledService
  readonly #devices: readonly KillDevice[]
  readonly #plan: readonly Kill[]
  readonly #kills: Record<string, number> = {}
  readonly #published = new Set<string>()
  readonly #faults: string[] = []
  #acknowledged = 0
  #onAcknowledged: () => void = () => {}

  constructor(dataFolder: string, options: KillOptions) {
    this.#dataFolder = dataFolder
    this.#options = options
    this.#service = new KilledService(dataFolder)
    const random = makeRandom(`kill ${options.seed}`)
    this.#devices = Array.from({ length: options.devices ?? 12 }, (_, index) => {
      const id = `kill-${index}`
      return new KillDevice(id, random.fork(id))
    })
    this.#plan = planKills(random.fork("plan"), options.rounds)
  }

  async run(): Promise<KillReport> {
    const startedAt = performance.now()
    await this.#enrol()
    const world = {
      whenUp: () => this.#service.whenUp(),
      acknowledged: () => {
        this.#acknowledged += 1
        this.#onAcknowledged()
      },
    }
    let sending = Promise.allSettled<void>([])
    try {
      await this.#start()
      sending = Promise.allSettled(this.#devices.map((device) => device.run(world)))
      for (const [round, kill] of this.#plan.entries()) {
        await this.#reach(this.#acknowledged + kill.acknowledged)
        if (this.#isFaulty()) break
        const what = await this.#kill(kill)
        this.#kills[what] = (this.#kills[what] ?? 0) + 1
        this.#options.say?.(`round ${round + 1}: ${what}, ${this.#acknowledged} acknowledged`)
        await this.#notePublished()
      }
      // What the last kill left behind has to be served too.
      await this.#reach(this.#acknowledged + 500)
      for (const device of this.#devices) device.end()
      await sending
      const code = await this.#service.stop()
      if (code !== 0) this.#faults.push(`the service ended with ${code} when it was stopped`)
    } catch (error) {
      const last = this.#service.lines.join("\n")
      throw new Error(`seed ${this.#options.seed}: ${(error as Error).message}\n${last}`, { cause: error })
    } finally {
      this.#service.giveUp(new Error("the soak is over"))
      await this.#service.kill()
      await sending
    }
    return this.#report(performance.now() - startedAt)
  }

  async #enrol(): Promise<void> {
    const database = await openEmbedded({ dataFolder: this.#dataFolder, create: true, say: () => {} })
    const pool = openPool(database.url)
    try {
      const keys = await initLog(pool, this.#dataFolder, "tidemark.invalid/kill")
      await enrolDevices(
        pool,
        keys,
        this.#devices.map(({ id, publicKey }) => ({ device: id, key: publicKey })),
      )
      // Between a COMMIT and its place on the disk lies about a millisecond, in which no kill would fall: 20 rounds did
      // not find a build that answered there. From the next start on it is this long, and half of the kills hit it.
      await pool.query(`alter system set commit_delay = ${commitMs * 1_000}`)
      await pool.query("alter system set commit_siblings = 0")
    } finally {
      await pool.end()
      await database.close()
    }
  }

  /** Until a service is ready. One whose Postgres is killed under it while it starts may end: it is started again. */
  async #start(): Promise<void> {
    for (let starts = 1; !(await this.#service.start()); starts++) {
      if (starts === startsMax) throw new Error(`the service did not start in ${startsMax} tries`)
    }
  }

  /** Waits for so many acknowledgements, or for a device that is certain of a fault. */
  async #reach(count: number): Promise<void> {
    const startedAt = performance.now()
    const before = this.#acknowledged
    while (this.#acknowledged < count && !this.#isFaulty()) {
      const next = new Promise<void>((resolve) => (this.#onAcknowledged = resolve))
      await Promise.race([next, wait(1_000)])
      if (performance.now() - startedAt > progressMsMax)
        throw new Error(`only ${this.#acknowledged - before} acknowledgements in ${progressMsMax / 1000} s`)
      if (!this.#service.isRunning()) throw new Error("the service ended by itself")
    }
  }

  #isFaulty(): boolean {
    return this.#devices.some(({ faults }) => faults.length > 0)
  }

  /** Waits for the moment and kills. Gives what was killed, and when, as it turned out. */
  async #kill(kill: Kill): Promise<string> {
    if (kill.moment === "start") return this.#killWhileStarting(kill)
    const seen = await this.#waitForMoment(kill)
    await this.#killNow(kill)
    if (!this.#service.isRunning()) {
      await wait(kill.downMs)
      await this.#start()
    }
    return `${kill.kind}, ${seen}`
  }

  async #waitForMoment({ moment, delayMs }: Kill): Promise<string> {
    await this.#service.aim()
    if (moment !== "commit" && moment !== "seal") {
      await wait(delayMs)
      return "under load"
    }
    const watcher = await this.#service.watch()
    try {
      const look = (): Promise<boolean> =>
        moment === "commit" ? watcher.isCommitting() : watcher.isSealing()
      if (!(await watcher.until(look, 10_000))) return "under load"
      await wait(delayMs)
      return `${(await look()) ? "in" : "just after"} a ${moment}`
    } finally {
      void watcher.close()
    }
  }

  async #killNow({ kind, isPostgresFirst, betweenMs }: Kill): Promise<void> {
    if (kind === "service") return this.#service.kill()
    if (kind !== "both") return this.#service.killPostgres(kind)
    if (isPostgresFirst) await this.#service.killPostgres("postgres")
    else await this.#service.kill()
    await wait(betweenMs)
    if (isPostgresFirst) await this.#service.kill()
    else await this.#service.killPostgres("postgres")
  }

  async #killWhileStarting(kill: Kill): Promise<string> {
    await this.#service.kill()
    const starting = this.#service.start()
    await wait(kill.delayMs)
    await this.#killNow(kill)
    const isUp = await starting
    if (!this.#service.isRunning()) await this.#start()
    return `${kill.kind}, ${isUp ? "just started, or starting" : "while starting"}`
  }

  async #notePublished(): Promise<void> {
    const note = await readFile(join(this.#dataFolder, "log", "checkpoint"), "utf8").catch(() => null)
    if (note !== null) this.#published.add(note)
  }

  async #report(soakedMs: number): Promise<KillReport> {
    const startedAt = performance.now()
    const verified = await verify(this.#dataFolder)
    const comparison = await compare(this.#dataFolder, this.#devices, this.#published)
    const faults = [
      ...this.#faults,
      ...this.#devices.flatMap((device) => device.faults),
      ...comparison.faults,
      ...(verified === null ? [] : [`tidemark verify: ${verified.trim()}`]),
    ]
    const sum = (count: (device: KillDevice) => number): number =>
      this.#devices.reduce((all, device) => all + count(device), 0)
    return {
      ...comparison,
      faults,
      seed: this.#options.seed,
      rounds: this.#options.rounds,
      kills: this.#kills,
      acknowledged: sum(({ acknowledged }) => acknowledged.size),
      signed: sum(({ entries }) => entries.length),
      storedSilently: sum((device) => device.storedSilently),
      sentAgain: sum((device) => device.sentAgain),
      connections: sum((device) => device.connections),
      tookMs: soakedMs + performance.now() - startedAt,
      isKept: comparison.lost === 0 && comparison.storedTwice === 0 && faults.length === 0,
    }
  }
}
