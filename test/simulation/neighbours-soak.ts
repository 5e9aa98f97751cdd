/** What honest devices feel of each kind of bad neighbour: times to PUBACK with and without it, turn by turn in one run. */
import type { ChainBinding } from "../../chain/genesis.ts"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { pathToFileURL } from "node:url"
import { makeRandom } from "../../devices-sim/random.ts"
import { repository } from "../cli/program.ts"
import { type BadKind, badKinds, makeBadDevices } from "./bad-neighbour.ts"
import { HonestDevice } from "./honest-device.ts"
import { findStallFault } from "../watchdog.ts"
import { SoakHost } from "./soak-host.ts"

export interface NeighboursOptions {
  readonly seed: number
  readonly rounds: number
  /** Of each turn, with and without. */
  readonly turnMs: number
  readonly kinds?: readonly BadKind[]
  readonly databaseUrl?: string
}

export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

export interface NeighboursReport {
  readonly table: ReadonlyMap<BadKind, { readonly without: Percentiles; readonly beside: Percentiles }>
  readonly acknowledged: number
  readonly stored: number
  /** Statements of the bad ones that were judged, by verdict. */
  readonly verdicts: ReadonlyMap<string, number>
  readonly faults: readonly string[]
}

const honestCount = 20
const honestIntervalMs = 200
/** What a neighbour has begun goes on for a moment when it has stopped. */
const quietMs = 500

export async function soakBesideNeighbours(options: NeighboursOptions): Promise<NeighboursReport> {
  const { seed, rounds, turnMs, kinds = badKinds, databaseUrl = null } = options
  const host = await SoakHost.start({ databaseUrl })
  let bad: ChildProcess | null = null
  try {
    const random = makeRandom(`neighbours ${seed} honest`)
    const honest = Array.from({ length: honestCount }, (_, index) => {
      const id = `honest-${index}`
      return new HonestDevice(id, random.fork(id))
    })
    const all = [...makeBadDevices(seed).values(), ...honest.map(({ device }) => device)]
    await host.enrol(all.map(({ id, key }) => ({ device: id, key: key.publicKey })))
    bad = await startBad(host.mqtt, seed, host.binding)
    const running = honest.map((one) => one.run(host.mqtt, honestIntervalMs))
    await wait(turnMs)

    const turns = new Map(kinds.map((kind) => [kind, { without: [] as Turn[], beside: [] as Turn[] }]))
    for (let round = 0; round < rounds; round++) {
      for (const [kind, { without, beside }] of turns) {
        without.push(await spend(turnMs))
        bad.send({ kind })
        beside.push(await spend(turnMs))
        bad.send("stop")
        await wait(quietMs)
      }
    }
    for (const one of honest) one.end()
    await Promise.race([Promise.all(running), host.ended])

    const metrics = await host.metrics()
    const stored = await host.stored(honest.map(({ device }) => device.id))
    const faults = honest.flatMap((one) => one.faults)
    let storedCount = 0
    for (const { device, entries } of honest) {
      const there = stored.get(device.id) ?? []
      storedCount += there.length
      if (there.join() !== entries.join()) faults.push(`${device.id}: not what was acknowledged is stored`)
    }
    const stall = findStallFault(await host.stall())
    if (stall !== null) faults.push(stall)
    if ((await host.stop()) !== 0) faults.push("the service did not end well")
    faults.push(...host.lines.slice(0, 20).map((line) => `the service said: ${line}`))
    const acknowledgements = honest.flatMap((one) => one.acknowledgements)
    const rank = (during: readonly Turn[]): Percentiles =>
      rankTimes(
        acknowledgements
          .filter(({ atMs }) => during.some(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs))
          .map(({ ackMs }) => ackMs),
      )
    return {
      table: new Map(
        [...turns].map(([kind, { without, beside }]) => [
          kind,
          { without: rank(without), beside: rank(beside) },
        ]),
      ),
      acknowledged: acknowledgements.length,
      stored: storedCount,
      verdicts: new Map(
        [...metrics].filter(([name, value]) => name.startsWith("tidemark_verdicts_total") && value > 0),
      ),
      faults,
    }
  } finally {
    bad?.disconnect()
    await host.remove()
  }
}

interface Turn {
  readonly fromMs: number
  readonly toMs: number
}

async function spend(turnMs: number): Promise<Turn> {
  const fromMs = performance.now()
  await wait(turnMs)
  return { fromMs, toMs: performance.now() }
}

async function startBad(port: number, seed: number, binding: ChainBinding): Promise<ChildProcess> {
  const loader = pathToFileURL(join(repository, "node_modules", "tsx", "dist", "loader.mjs")).href
  const program = join(repository, "test", "simulation", "bad-neighbour.ts")
  const child = fork(program, [JSON.stringify({ port, seed, binding })], { execArgv: ["--import", loader] })
  await once(child, "message")
  return child
}

function rankTimes(times: readonly number[]): Percentiles {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}
