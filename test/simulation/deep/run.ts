/** One seed from its first draw to its verdict. */
import { formatHex } from "../../../chain/bytes.ts"
import { underClock } from "./clock.ts"
import { withDisk } from "./disk.ts"
import { checkPromises } from "./promises.ts"
import type { Fault } from "./truth.ts"
import { World } from "./world.ts"

export interface SeedResult {
  readonly seed: string
  readonly faults: readonly Fault[]
  readonly seen: ReadonlyMap<string, number>
  /** Of the log at its end, in hex: two runs of one seed give the same. */
  readonly root: string
  readonly statements: number
  readonly blocks: number
  /** Things that happened. */
  readonly steps: number
  readonly simulatedMs: number
  readonly troubles: readonly string[]
}

/** One at a time: clock and disk are this process's only ones. */
let last: Promise<unknown> = Promise.resolve()

export function runSeed(seed: string | number): Promise<SeedResult> {
  const result = last.then(() => live(seed))
  last = result
  return result
}

async function live(seed: string | number): Promise<SeedResult> {
  const world = new World(seed)
  const { truth, clock, disk, plan } = world
  await underClock(clock, () =>
    withDisk(disk, async () => {
      try {
        await world.live()
        await checkPromises(world)
      } catch (error) {
        truth.demand(0, false, `the simulation broke off: ${(error as Error).stack}`)
      }
    }),
  )
  const { blocks, checkpoints, entries } = world.store.tables
  const lastCheckpoint = checkpoints.rows.get(`${blocks.rows.size - 1}`)
  return {
    seed: String(seed),
    faults: truth.faults,
    seen: truth.seen,
    root: lastCheckpoint === undefined ? "" : formatHex(lastCheckpoint.root),
    statements: entries.rows.size,
    blocks: blocks.rows.size,
    steps: clock.steps,
    simulatedMs: Math.round(clock.nowMs),
    troubles: [...plan.troubles],
  }
}
