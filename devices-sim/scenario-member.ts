/** Who takes part in a scenario, and what each has to say: all of it follows from the seed. */
import type { PrivateKey } from "../chain/key.ts"
import { algorithmEd25519, algorithmEsp256 } from "../chain/key.ts"
import { countPackReadings, latestOf } from "../chain/senml.ts"
import type { Series } from "../chain/series.ts"
import { devicePattern } from "../chain/statement.ts"
import { type PlannedFault, planFaults } from "./fault.ts"
import { type FleetPack, drawKey } from "./fleet-member.ts"
import { type Random, makeRandom } from "./random.ts"
import { packRecording } from "./recording/pack.ts"
import type { Recording } from "./recording/recording.ts"
import type { Scenario, ScenarioGroup } from "./scenario.ts"
import { type WornDevice, readingRate, wearDevice } from "./signal/wear.ts"

export interface ScenarioMember {
  readonly id: string
  readonly group: ScenarioGroup
  /** In its group, from 0. */
  readonly index: number
  readonly privateKey: PrivateKey
  /** A stream of its own; `chance`, `faults` and so on are forked from it. */
  readonly random: Random
  /** Between two statements the first one comes so long after it was switched on, ms of scenario time. */
  readonly phaseMs: number
  /** What goes wrong at it, by the seed. */
  readonly faults: readonly PlannedFault[]
  /** The id of another device. */
  readonly neighbour: string
  /** How many it has to say; null: until its stages end. */
  readonly statements: number | null
  /** Begins anew at each call. */
  readonly speech: () => Speech
}

/** What a device has to say, one after the other. */
export interface Speech {
  /** @param nowSeconds the device's clock, Unix seconds; null: there is nothing left to say */
  next(nowSeconds: number): FleetPack | null
}

/** A statement of readings takes at most this many: 9 bytes each in 65,535. */
const packReadingsMax = 5_000

/**
 * @param recordings of each group that has some, in the order of its paths
 * @throws RangeError where a device id would be none
 */
export function enlistScenario(
  scenario: Scenario,
  recordings: ReadonlyMap<string, readonly Recording[]>,
): ScenarioMember[] {
  const random = makeRandom(scenario.seed)
  return scenario.groups.flatMap((group) => {
    const replayed = recordings.get(group.name) ?? []
    const idOf = (index: number): string =>
      `${group.name}-${scenario.seed}-${String(index + 1).padStart(4, "0")}`
    return Array.from({ length: group.devices }, (_, index): ScenarioMember => {
      const id = idOf(index)
      if (!devicePattern.test(id))
        throw new RangeError(`${id} is no device id: it must match ${devicePattern.source}`)
      const own = random.fork(id)
      const recording = replayed[index % Math.max(1, replayed.length)]
      const speech =
        recording === undefined
          ? () => wornSpeech(own, group, scenario.startsAt)
          : () => replaySpeech(recording, group)
      const algorithm = algorithmOf(group, index)
      const statements = recording === undefined ? group.statements : countOf(speech(), group.statements)
      return {
        id,
        group,
        index,
        privateKey: drawKey(own.fork("key"), algorithm),
        random: own,
        // Whole seconds, so that times are short; and less than half a period: the first statement has readings.
        phaseMs:
          group.everyMs === 0 ? 0 : Math.floor((own.fork("phase").float() * group.everyMs) / 1000) * 1000,
        statements,
        faults: planFaults(own.fork("faults"), group.faults, { statements: statements ?? 0, algorithm }),
        neighbour: idOf((index + 1) % group.devices || group.devices),
        speech,
      }
    })
  })
}

function algorithmOf({ keys }: ScenarioGroup, index: number) {
  if (keys === "both") return index % 2 === 0 ? algorithmEd25519 : algorithmEsp256
  return keys === "ed25519" ? algorithmEd25519 : algorithmEsp256
}

function wornSpeech(random: Random, group: ScenarioGroup, startsAt: number): Speech {
  const { source, everyMs } = group
  if (source.kind !== "worn")
    throw new Error(`the group ${group.name} replays recordings, and none was given`)
  const { signals, readings, ecgSamples } = source
  // With a rate and a size of a statement the sensors are as fast as both together want.
  const stretch = readings === null || everyMs === 0 ? 1 : everyMs / 1000 / (readings / readingRate(signals))
  const worn = wearDevice(random.fork("signals"), { startsAt, metrics: signals, stretch })
  return {
    next(nowSeconds) {
      const pack = readings === null ? worn.packUntil(nowSeconds, packReadingsMax) : worn.nextPack(readings)
      return packOf(withEcg(worn, pack, ecgSamples), nowSeconds)
    },
  }
}

function withEcg(worn: WornDevice, pack: readonly Series[], samples: number): readonly Series[] {
  return samples === 0 ? pack : [...pack, ...worn.waveformPack(samples)]
}

function replaySpeech(recording: Recording, { source }: ScenarioGroup): Speech {
  if (source.kind !== "recordings") throw new Error("a group that wears its devices replays no recording")
  const packs = packRecording(recording, { readings: source.readings, samples: source.samples })
  return {
    next() {
      const { value } = packs.next()
      return value === undefined ? null : packOf(value as readonly Series[], 0)
    },
  }
}

function packOf(series: readonly Series[], nowSeconds: number): FleetPack {
  const iat = Math.max(0, Math.floor(nowSeconds), Math.ceil(latestOf(series)))
  return { series, readings: countPackReadings(series), iat }
}

function countOf(speech: Speech, most: number | null): number {
  let count = 0
  while (count < (most ?? Infinity) && speech.next(0) !== null) count += 1
  return count
}
