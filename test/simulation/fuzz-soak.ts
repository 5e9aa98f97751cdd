/** The fuzz: cases from a seed against a real service in a process of its own, beside honest devices that go on publishing. */
import { setTimeout as wait } from "node:timers/promises"
import { type Random, makeRandom } from "../../devices-sim/random.ts"
import { makeFuzzDevices } from "./fuzz-case.ts"
import type { FuzzHeard } from "./fuzz-connection.ts"
import { FuzzLane, type FuzzWorld } from "./fuzz-lane.ts"
import { HonestDevice } from "./honest-device.ts"
import { findStallFault } from "../watchdog.ts"
import { SoakHost } from "./soak-host.ts"
import { findCountFaults } from "./fuzz-counts.ts"

export interface FuzzOptions {
  readonly seed: number
  readonly count: number
  /** The first case's number. */
  readonly from?: number
  /** Connections at a time; it does not change the cases. */
  readonly lanes?: number
  readonly databaseUrl?: string
  readonly say?: (line: string) => void
}

export interface FuzzReport {
  readonly seed: number
  readonly from: number
  readonly count: number
  readonly answered: number
  readonly closed: number
  readonly heard: FuzzHeard
  readonly verdicts: ReadonlyMap<string, number>
  readonly refusedConnections: ReadonlyMap<string, number>
  readonly honestAcknowledged: number
  readonly stored: number
  /** Resident size of the service over the run, a sample a second. */
  readonly rssMiB: readonly number[]
  /** After a collection of garbage, early and at the end. */
  readonly heapMiB: readonly [number, number]
  readonly tookMs: number
  readonly faults: readonly string[]
}

const deviceCount = 512
const honestCount = 4
const honestIntervalMs = 100
const mebibyte = 1024 * 1024

export async function soakByFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { seed, count, from = 0, lanes = 128, databaseUrl, say } = options
  if (deviceCount % lanes !== 0) throw new Error(`${deviceCount} devices cannot be shared by ${lanes} lanes`)
  const host = await SoakHost.start({ databaseUrl: databaseUrl ?? null })
  try {
    const devices = makeFuzzDevices(seed, deviceCount)
    const random = makeRandom(`fuzz ${seed} honest`)
    const honest = makeHonest(random)
    await host.enrol(
      [...devices, ...honest.map(({ device }) => device)].map(({ id, key }) => ({
        device: id,
        key: key.publicKey,
      })),
    )
    const world: FuzzWorld = {
      seed,
      port: host.mqtt,
      binding: host.binding,
      devices,
      heard: { connections: 0, receipts: new Map(), connacks: new Map(), silent: 0, left: 0, refused: 0 },
      strangers: 0,
      answered: 0,
      closed: 0,
      faults: [],
    }
    const startedAt = performance.now()
    const publishing = honest.map((one) => one.run(host.mqtt, honestIntervalMs))
    const memory = new Memory(host)
    const sampling = memory.run()
    let done = 0
    const onCase = (): void => {
      done += 1
      if (done === Math.ceil(count / 5)) memory.markEarly()
      if (done % 20_000 === 0)
        say?.(
          `${done} cases, ${Math.round((1000 * done) / (performance.now() - startedAt))}/s, ${memory.last()} MiB`,
        )
    }
    const runs = Array.from({ length: lanes }, (_, lane) =>
      new FuzzLane(world, numbersOf(from, count, lane, lanes)).run(onCase),
    )
    await Promise.race([Promise.all(runs), host.ended])
    const tookMs = performance.now() - startedAt
    for (const one of honest) one.end()
    await Promise.all(publishing)
    memory.end()
    await sampling
    const heapMiB = await memory.heap()
    const counted = await findCountFaults(host, world, honest)
    const stored = await host.stored(honest.map(({ device }) => device.id))
    const faults = [
      ...world.faults,
      ...honest.flatMap((one) => one.faults),
      ...honest.flatMap((one) => findStoredFaults(one, stored.get(one.device.id) ?? [])),
      ...counted.faults,
      ...memory.faults(),
    ]
    const stall = findStallFault(await host.stall())
    if (stall !== null) faults.push(stall)
    await host.seal()
    const code = await host.stop()
    if (code !== 0) faults.push(`the service ended with ${code}`)
    faults.push(...host.lines.slice(0, 20).map((line) => `the service said: ${line}`))
    const verified = await host.verify()
    if (verified !== null) faults.push(`tidemark verify: ${verified.trim()}`)
    return {
      ...counted,
      seed,
      from,
      count,
      answered: world.answered,
      closed: world.closed,
      heard: world.heard,
      honestAcknowledged: honest.reduce((sum, one) => sum + one.entries.length, 0),
      rssMiB: memory.rss,
      heapMiB,
      tookMs,
      faults,
    }
  } finally {
    await host.remove()
  }
}

function makeHonest(random: Random): HonestDevice[] {
  return Array.from({ length: honestCount }, (_, index) => {
    const id = `honest-${index}`
    return new HonestDevice(id, random.fork(id))
  })
}

/** A case's device must be the lane's own: their number is a multiple of the lanes. */
function* numbersOf(from: number, count: number, lane: number, lanes: number): Generator<number> {
  const first = from + ((((lane - from) % lanes) + lanes) % lanes)
  for (let number = first; number < from + count; number += lanes) yield number
}

function findStoredFaults({ device, entries }: HonestDevice, stored: readonly string[]): string[] {
  const isSame = stored.length === entries.length && stored.every((entry, index) => entry === entries[index])
  return isSame
    ? []
    : [`${device.id}: ${entries.length} were acknowledged, ${stored.length} stored, or others`]
}

/** Samples of the service's memory, and whether they stay level. */
class Memory {
  readonly rss: number[] = []
  readonly #host: SoakHost
  readonly #ending = new AbortController()
  #early: Promise<number> | null = null
  #heaps: readonly [number, number] = [0, 0]

  constructor(host: SoakHost) {
    this.#host = host
  }

  async run(): Promise<void> {
    while (!this.#ending.signal.aborted && this.#host.isRunning) {
      const metrics = await this.#host.metrics().catch(() => null)
      const bytes = metrics?.get("process_resident_memory_bytes")
      if (bytes !== undefined) this.rss.push(Math.round(bytes / mebibyte))
      await wait(1_000, undefined, { signal: this.#ending.signal }).catch(() => {})
    }
  }

  last(): number {
    return this.rss.at(-1) ?? 0
  }

  /** A fifth of the cases is over: everything that is made once is made. */
  markEarly(): void {
    this.#early = this.#heapNow()
    // The end of the service is told by others.
    this.#early.catch(() => {})
  }

  end(): void {
    this.#ending.abort()
  }

  async heap(): Promise<readonly [number, number]> {
    const late = await this.#heapNow()
    this.#heaps = [(await this.#early) ?? late, late]
    return this.#heaps
  }

  faults(): string[] {
    const faults: string[] = []
    const { rss } = this
    // A fifth to warm up; then the last quarter against the first of the rest.
    const warm = rss.slice(Math.ceil(rss.length / 5))
    const quarter = Math.floor(warm.length / 4)
    if (quarter >= 5) {
      const [before, after] = [median(warm.slice(0, quarter)), median(warm.slice(-quarter))]
      if (after > 1.25 * before + 32) faults.push(`memory grows: ${before} MiB early, ${after} MiB late`)
    }
    const [early, late] = this.#heaps
    if (late > 1.25 * early + 16) faults.push(`the heap grows: ${early} MiB early, ${late} MiB late`)
    return faults
  }

  async #heapNow(): Promise<number> {
    return Math.round((await this.#host.memory()).heapBytes / mebibyte)
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
