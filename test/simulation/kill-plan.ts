/** What is killed, and when: all of it from the seed. */
import type { Random } from "../../devices-sim/random.ts"

/**
 * `postmaster`: it alone, whose children finish what they are at. `postgres`: all of its processes at once, in the middle
 * of whatever they write. `both`: that and the service.
 */
export const killKinds = ["service", "postmaster", "postgres", "both"] as const
export type KillKind = (typeof killKinds)[number]

/**
 * `load`: whatever happens under load; `commit`: a group is being committed; `seal`: a block is being made; `start`: the
 * service, which was killed just before, is starting.
 */
export const killMoments = ["load", "commit", "seal", "start"] as const
export type KillMoment = (typeof killMoments)[number]

export interface Kill {
  readonly kind: KillKind
  readonly moment: KillMoment
  /** How many statements are acknowledged before its moment is waited for. */
  readonly acknowledged: number
  /** From its moment on. */
  readonly delayMs: number
  /** Of `both`: which one first, and how long after it the other. */
  readonly isPostgresFirst: boolean
  readonly betweenMs: number
  /** Until the service is started again. */
  readonly downMs: number
}

const delayMsMax: Readonly<Record<KillMoment, number>> = { load: 20, commit: 20, seal: 60, start: 1_500 }

/** The first kills of a plan meet every kind and every moment once; then chance chooses. */
export function planKills(random: Random, rounds: number): readonly Kill[] {
  const kindsFirst = random.int(0, killKinds.length - 1)
  const momentsFirst = random.int(0, killMoments.length - 1)
  return Array.from({ length: rounds }, (_, round) => {
    const isEarly = round < killMoments.length
    const moment = isEarly
      ? killMoments[(momentsFirst + round) % killMoments.length]!
      : random.pick(killMoments)
    return {
      kind: isEarly ? killKinds[(kindsFirst + round) % killKinds.length]! : random.pick(killKinds),
      moment,
      acknowledged: random.int(200, 3_000),
      delayMs: random.int(0, delayMsMax[moment]),
      isPostgresFirst: random.float() < 0.5,
      betweenMs: random.int(0, 20),
      downMs: random.int(0, 300),
    }
  })
}
