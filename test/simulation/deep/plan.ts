/** What the seed decides before anything happens: how much of what, and which kinds of trouble there are at all. */
import type { Random } from "../../../devices-sim/random.ts"

/** Kinds of trouble. In each run some are switched off altogether, so that the others come to places that they hide. */
export const troubles = [
  /** Of the network between devices and service. */
  "cut",
  "late-letters",
  "half-open",
  "slow",
  "repeat",
  "scramble",
  "corrupt",
  /** Of devices. */
  "device-power-loss",
  "device-clock",
  "unread",
  "unstorable",
  "rotation",
  "clone",
  "forgetful",
  /** Of people who mean ill, or whose device is broken. */
  "rogue",
  "stranger",
  /** Of the operator. */
  "suspend",
  "revoke",
  "operator-rotation",
  "late-enrolment",
  /** Of the service and its database. */
  "kill",
  "machine-power-loss",
  "database-cut",
  "lost-answer",
  "database-fails",
  "database-slow",
  "database-stop",
  "database-clock",
  "seal-fails",
  "old-backup",
] as const

export type Trouble = (typeof troubles)[number]

export interface Plan {
  readonly troubles: ReadonlySet<Trouble>
  readonly services: 1 | 2
  readonly devices: number
  /** Of the devices, so many P-256. */
  readonly p256: number
  /** How long there is trouble, in ms. */
  readonly troubledMs: number
  readonly sealEveryMs: number
  /** Mean time between two contents of a device. */
  readonly sayEveryMs: number
  /** Mean time between two troubles of one kind. */
  readonly troubleEveryMs: number
  readonly connectionsMax: number
  /** One query in so many breaks, of the kinds that are switched on. */
  readonly queriesPerFault: number
  /** Contents that a device says at most. */
  readonly saidMax: number
}

export function drawPlan(random: Random): Plan {
  // A calm run now and then: what trouble hides, it shows.
  const likelihood = random.pick([0, 0.15, 0.35, 0.35, 0.6, 0.6, 1])
  const chosen = troubles.filter(() => random.float() < likelihood)
  const devices = random.int(2, 5)
  return {
    troubles: new Set(chosen),
    services: random.float() < 0.6 ? 2 : 1,
    devices,
    p256: random.float() < 0.3 ? 1 : 0,
    troubledMs: random.int(8, 40) * 1_000,
    sealEveryMs: random.int(2, 12) * 1_000,
    sayEveryMs: random.int(200, 3_000),
    troubleEveryMs: random.int(3, 25) * 1_000,
    connectionsMax: random.int(4, 8),
    queriesPerFault: random.int(20, 200),
    saidMax: random.int(4, 18),
  }
}
