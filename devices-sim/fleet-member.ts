/** Who is in a fleet and what each of its devices will say: all of it follows from the seed. */
import {
  type Algorithm,
  type PrivateKey,
  algorithmEd25519,
  algorithmEsp256,
  makePrivateKey,
} from "../chain/key.ts"
import { countPackReadings, latestOf } from "../chain/senml.ts"
import type { Series } from "../chain/series.ts"
import { devicePattern } from "../chain/statement.ts"
import { type Random, makeRandom } from "./random.ts"
import { packRecording } from "./recording/pack.ts"
import { type Recording, startsAtDefault } from "./recording/recording.ts"
import { wearDevice } from "./signal/wear.ts"

export interface FleetPlan {
  /** The same seed gives the same devices, keys, readings and signatures. */
  readonly seed: string | number
  /** How many devices; with recordings there is one for each of these instead. */
  readonly devices: number
  /** Statements of each device; with recordings, each is replayed to its end. */
  readonly statements: number
  /** Readings in a statement. */
  readonly readings: number
  /** Whether each statement also has ten seconds of an ECG. */
  readonly waveform?: boolean
  /** What is replayed, at its own times. */
  readonly recordings?: readonly Recording[]
  /** Samples of a recording's waveform in a statement; 2,500 by default. */
  readonly samples?: number
  /** What device ids begin with: `sim`, or `rec` for recordings. */
  readonly prefix?: string
  /** When the simulated readings begin, Unix seconds; fixed by default, so that a seed gives the same bytes on any day. */
  readonly startsAt?: number
}

export interface FleetMember {
  readonly id: string
  readonly privateKey: PrivateKey
  readonly random: Random
  readonly statementCount: number
  /** Anew at every call, the same each time. */
  readonly packs: () => Iterable<FleetPack>
}

export interface FleetPack {
  readonly series: readonly Series[]
  readonly readings: number
  /** The device's clock when it says this: just after its latest reading. */
  readonly iat: number
}

const samplesDefault = 2_500

/** Throws a RangeError on a seed or prefix of which no device id can be made. */
export function enlist(plan: FleetPlan): FleetMember[] {
  const { recordings = [], seed, readings, samples = samplesDefault } = plan
  const random = makeRandom(seed)
  const isReplay = recordings.length > 0
  const prefix = plan.prefix ?? (isReplay ? "rec" : "sim")
  const count = isReplay ? recordings.length : plan.devices
  return Array.from({ length: count }, (_, index): FleetMember => {
    const id = `${prefix}-${seed}-${String(index + 1).padStart(4, "0")}`
    if (!devicePattern.test(id))
      throw new RangeError(`${id} is no device id: it must match ${devicePattern.source}`)
    const own = random.fork(id)
    const privateKey = drawKey(own.fork("key"), index % 2 === 0 ? algorithmEd25519 : algorithmEsp256)
    const recording = recordings[index]
    const packs = (): Iterable<FleetPack> =>
      map(recording === undefined ? wornPacks(own, plan) : packRecording(recording, { readings, samples }))
    const statementCount = isReplay ? countOf(packs()) : plan.statements
    return { id, privateKey, random: own.fork("chance"), statementCount, packs }
  })
}

/** The same stream gives the same key. */
export function drawKey(random: Random, algorithm: Algorithm): PrivateKey {
  for (;;) {
    try {
      return makePrivateKey(algorithm, random.bytes(32))
    } catch (error) {
      // One draw in 2^32 is 0 or at least n of P-256.
      if (!(error instanceof RangeError)) throw error
    }
  }
}

function* wornPacks(random: Random, plan: FleetPlan): Generator<Series[]> {
  const worn = wearDevice(random.fork("signals"), { startsAt: plan.startsAt ?? startsAtDefault })
  for (let index = 0; index < plan.statements; index++) {
    const pack = worn.nextPack(plan.readings)
    yield plan.waveform === true ? [...pack, ...worn.waveformPack(samplesDefault)] : pack
  }
}

function* map(packs: Iterable<Series[]>): Generator<FleetPack> {
  for (const series of packs) {
    yield { series, readings: countPackReadings(series), iat: Math.max(0, Math.ceil(latestOf(series))) }
  }
}

function countOf(packs: Iterable<unknown>): number {
  let count = 0
  for (const _ of packs) count += 1
  return count
}
