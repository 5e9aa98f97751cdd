/**
 * Several `tidemark ingest` and a `tidemark seal --schedule` on one database. Honest devices publish through a balancer
 * that moves them from process to process in the middle of a stream; processes are killed with SIGKILL and started again.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { type Random, makeRandom } from "../../devices-sim/random.ts"
import { openEmbedded } from "../../ingest/database/embedded.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog } from "../../ingest/log.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { seal } from "../../ingest/seal.ts"
import { type Comparison, compareStored, verify } from "./kill-comparison.ts"
import { KillDevice } from "./kill-device.ts"
import { KilledService } from "./kill-service.ts"
import { Balancer, type BalancerCounts } from "./two-balancer.ts"

export interface TwoOptions {
  readonly rounds: number
  readonly seed: number
  /** 2 by default. */
  readonly processes?: number
  readonly devices?: number
  /** An empty database on a server that is there; by default the processes share an embedded one. */
  readonly databaseUrl?: string
  /** A line per round, for a person. */
  readonly say?: (line: string) => void
}

export interface TwoReport extends Comparison {
  readonly seed: number
  readonly rounds: number
  /** Connections in all, and those that broke in the middle of a stream. */
  readonly moves: BalancerCounts
  readonly kills: Readonly<Record<string, number>>
  readonly acknowledged: number
  readonly signed: number
  /** What the refusals' table counts: of honest devices nothing. */
  readonly refused: number
  readonly unsealed: number
  readonly tookMs: number
  readonly isKept: boolean
}

const progressMsMax = 120_000
const startsMax = 5

/** Runs the rounds in a folder of its own, which is removed afterwards. Rejects where a process does not come back. */
export async function soakTwo(options: TwoOptions): Promise<TwoReport> {
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-two-"))
  try {
    return await runTwo(dataFolder, options)
  } finally {
    await rm(dataFolder, { recursive: true, force: true, maxRetries: 10 })
  }
}

async function runTwo(dataFolder: string, options: TwoOptions): Promise<TwoReport> {
  const startedAt = performance.now()
  const { seed, rounds, say, processes: count = 2 } = options
  const random = makeRandom(`two ${seed}`)
  const devices = Array.from({ length: options.devices ?? 12 }, (_, index) => {
    const id = `two-${index}`
    // A device that signs anew is one that a head given too early would make a fork of.
    return new KillDevice(id, random.fork(id), index % 2 === 1)
  })
  const database = await openDatabase(dataFolder, options.databaseUrl)
  const pool = openPool(database.url)
  const balancer = await Balancer.open(random.fork("balancer"))
  const ingests = Array.from(
    { length: count },
    () => new KilledService(dataFolder, ["ingest", "--mqtt", "0", "--http", "0"], database.environment),
  )
  const sealer = new KilledService(dataFolder, ["seal", "--schedule", "* * * * * *"], database.environment)
  const all = [...ingests, sealer]
  const progress = new Progress(devices, all)
  const kills: Record<string, number> = {}
  const faults: string[] = []

  const start = async (process: KilledService): Promise<void> => {
    for (let starts = 1; !(await process.start()); starts++) {
      if (starts === startsMax) throw new Error(`a process did not start in ${startsMax} tries`)
    }
    const number = ingests.indexOf(process)
    if (number >= 0) balancer.set(number, await process.whenUp())
  }

  let sending = Promise.allSettled<void>([])
  try {
    const keys = await initLog(pool, dataFolder, "tidemark.invalid/two")
    await enrolDevices(
      pool,
      keys,
      devices.map(({ id, publicKey }) => ({ device: id, key: publicKey })),
    )
    await Promise.all(all.map(start))
    const world = {
      whenUp: () => Promise.resolve(balancer.port),
      acknowledged: () => progress.acknowledged(),
    }
    sending = Promise.allSettled(devices.map((device) => device.run(world)))
    const plan = random.fork("plan")
    for (let round = 1; round <= rounds && !progress.isFaulty(); round++) {
      await progress.reach(plan.int(300, 1_500))
      const what = await killOne(plan, ingests, sealer, { balancer, start })
      kills[what] = (kills[what] ?? 0) + 1
      say?.(
        `round ${round}: ${what}, ${progress.count} acknowledged, ${balancer.counts.connections} connections`,
      )
    }
    await progress.reach(500)
    for (const device of devices) device.end()
    await sending
    for (const process of all) {
      const code = await process.stop()
      if (code !== 0) faults.push(`a process ended with ${code} when it was stopped`)
    }
    await seal({ pool, keys, dataFolder })
    const { rows } = await pool.query<{ refused: number; unsealed: number }>(
      `select (select coalesce(sum(count), 0)::bigint from refusals) + (select count(*) from forks) as refused,
              (select count(*) from entries e where not exists (select from leaves l where l.statement_id = e.id)) as unsealed`,
    )
    const last = await readFile(join(dataFolder, "log", "checkpoint"), "utf8")
    const comparison = await compareStored(pool, dataFolder, devices, new Set([last]))
    const verified = await verify(dataFolder, database.environment)
    const { refused, unsealed } = rows[0]!
    const found = [
      ...faults,
      ...devices.flatMap((device) => device.faults),
      ...comparison.faults,
      ...(verified === null ? [] : [`tidemark verify: ${verified.trim()}`]),
    ]
    return {
      ...comparison,
      faults: found,
      seed,
      rounds,
      moves: balancer.counts,
      kills,
      acknowledged: devices.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0),
      signed: devices.reduce((sum, { entries }) => sum + entries.length, 0),
      refused,
      unsealed,
      tookMs: performance.now() - startedAt,
      isKept: comparison.lost + comparison.storedTwice + refused + unsealed === 0 && found.length === 0,
    }
  } catch (error) {
    const last = all.flatMap(({ lines }) => lines.slice(-10)).join("\n")
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${last}`, { cause: error })
  } finally {
    for (const device of devices) device.end()
    await balancer.close()
    await Promise.all(all.map((process) => process.kill()))
    await sending
    await pool.end()
    await database.close()
  }
}

async function openDatabase(dataFolder: string, url: string | undefined) {
  if (url !== undefined) return { url, environment: { DATABASE_URL: url }, close: async () => {} }
  const embedded = await openEmbedded({ dataFolder, create: true, say: () => {} })
  return { url: embedded.url, environment: {}, close: () => embedded.close() }
}

/** Kills one of the processes, an ingest three times in four, and starts it again a while later. Gives which one it was. */
async function killOne(
  random: Random,
  ingests: readonly KilledService[],
  sealer: KilledService,
  {
    balancer,
    start,
  }: { readonly balancer: Balancer; readonly start: (process: KilledService) => Promise<void> },
): Promise<string> {
  const isSealer = random.float() < 0.25
  const number = random.int(0, ingests.length - 1)
  const victim = isSealer ? sealer : ingests[number]!
  await victim.kill()
  if (!isSealer) balancer.set(number, null)
  await wait(random.int(0, 300))
  await start(victim)
  return isSealer ? "the sealer" : `ingest ${number + 1}`
}

/** What was acknowledged, and who waits for more of it. */
class Progress {
  count = 0
  readonly #devices: readonly KillDevice[]
  readonly #processes: readonly KilledService[]
  #wake: () => void = () => {}

  constructor(devices: readonly KillDevice[], processes: readonly KilledService[]) {
    this.#devices = devices
    this.#processes = processes
  }

  acknowledged(): void {
    this.count += 1
    this.#wake()
  }

  isFaulty(): boolean {
    return this.#devices.some(({ faults }) => faults.length > 0)
  }

  /** Waits for so many acknowledgements more, or for a device that is certain of a fault. */
  async reach(more: number): Promise<void> {
    const wanted = this.count + more
    const startedAt = performance.now()
    while (this.count < wanted && !this.isFaulty()) {
      const next = new Promise<void>((resolve) => (this.#wake = resolve))
      await Promise.race([next, wait(1_000)])
      if (performance.now() - startedAt > progressMsMax)
        throw new Error(
          `${wanted - this.count} of ${more} acknowledgements did not come in ${progressMsMax / 1000} s`,
        )
      if (!this.#processes.every((process) => process.isRunning()))
        throw new Error("a process ended by itself")
    }
  }
}
