import type { Random } from "../random.ts"
import { noiseAt } from "./noise.ts"
import { activityAt, hourOf, isAsleep, type Person } from "./person.ts"

/**
 * A signal that a wristband measures, as a function of its stream, its wearer and the time only (Unix seconds):
 * asked again, or in other portions, it answers the same.
 */
type Signal = (random: Random, person: Person, time: number) => number

interface Vital {
  /** SenML unit (RFC 8428 §12.1): a saturation is a ratio in `/`, since `%` is one there too. */
  readonly unit: string
  readonly periodSeconds: number
  readonly valueAt: Signal
}

// The body answers to a walk in about three minutes, and forgets it in as many.
function exertionAt(person: Person, time: number): number {
  let sum = 0
  for (let ago = 0; ago <= 180; ago += 60) sum += activityAt(person, time - ago)
  return sum / 4
}

function heartRateAt(random: Random, person: Person, time: number): number {
  const hour = hourOf(person, time)
  // Lowest at four in the morning, highest at four in the afternoon.
  const fromFour = Math.abs(hour < 16 ? hour - 4 : 28 - hour) / 12
  const daily = -6 + 10 * fromFour * fromFour * (3 - 2 * fromFour)
  const effort = exertionAt(person, time) * 46
  const wander = noiseAt(random, time, 90) * 4 + noiseAt(random, time + 0.5, 7) * 1.5
  return Math.round(person.restingHeartRate + daily + effort + wander)
}

/** Steps in the minute that ends at `time`. */
function stepsAt(random: Random, person: Person, time: number): number {
  const effort = activityAt(person, time - 30)
  const minute = Math.floor(time / 60)
  if (effort > 0) return Math.round(person.cadence * (0.6 + 0.4 * effort) + noiseAt(random, time, 60) * 8)
  // A few steps about the house in one minute of eight, none in bed.
  const luck = random.at(minute)
  return !isAsleep(person, time) && luck < 0.125 ? 2 + Math.floor(luck * 96) : 0
}

function saturationAt(random: Random, person: Person, time: number): number {
  const night = isAsleep(person, time) ? -0.01 : 0
  const ratio = person.saturation + night + noiseAt(random, time, 600) * 0.012
  return Math.min(100, Math.round(ratio * 100)) / 100
}

function skinTemperatureAt(random: Random, person: Person, time: number): number {
  // Skin is warmer under a blanket and cooler in the wind of a walk.
  const place = isAsleep(person, time) ? 1.6 : -0.9 * exertionAt(person, time)
  const cel = person.skinTemperature + place + noiseAt(random, time, 1800) * 0.5
  return Math.round(cel * 100) / 100
}

function respirationAt(random: Random, person: Person, time: number): number {
  const night = isAsleep(person, time) ? -1.5 : 0
  const effort = exertionAt(person, time) * 10
  const perMinute = person.breathing + night + effort + noiseAt(random, time, 300) * 1.5
  return Math.round(perMinute * 10) / 10
}

/** What a wristband measures, by metric. */
export const vitals = {
  "heart-rate": { unit: "beat/min", periodSeconds: 5, valueAt: heartRateAt },
  steps: { unit: "count", periodSeconds: 60, valueAt: stepsAt },
  "oxygen-saturation": { unit: "/", periodSeconds: 300, valueAt: saturationAt },
  "skin-temperature": { unit: "Cel", periodSeconds: 60, valueAt: skinTemperatureAt },
  "respiration-rate": { unit: "1/min", periodSeconds: 60, valueAt: respirationAt },
} as const satisfies Record<string, Vital>

export type VitalName = keyof typeof vitals
