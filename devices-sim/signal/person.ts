import type { Random } from "../random.ts"

/** Who wears the device: the parameters of every signal. Invented, and drawn from a seed. */
export interface Person {
  /** beat/min, awake and at rest */
  readonly restingHeartRate: number
  /** Share of awake minutes spent walking, 0 to 1. */
  readonly liveliness: number
  /** Steps in a minute of walking. */
  readonly cadence: number
  /** A ratio, about 0.97. */
  readonly saturation: number
  /** Cel, at the wrist */
  readonly skinTemperature: number
  /** Breaths a minute at rest. */
  readonly breathing: number
  /** Local hours of day. */
  readonly wakesAt: number
  readonly sleepsAt: number
  /** Local time is UTC plus this. */
  readonly offsetHours: number
  /** Where this person's walks fall: one stream for all signals, so that the heart answers to the steps. */
  readonly walks: Random
}

export function drawPerson(random: Random): Person {
  return {
    restingHeartRate: random.int(54, 72),
    liveliness: 0.12 + random.float() * 0.2,
    cadence: random.int(88, 116),
    saturation: 0.955 + random.float() * 0.025,
    skinTemperature: 31.5 + random.float() * 2,
    breathing: 12 + random.float() * 4,
    wakesAt: 6 + random.float() * 1.5,
    sleepsAt: 21.5 + random.float() * 2,
    offsetHours: random.int(-1, 2),
    walks: random.fork("walks"),
  }
}

/** The local hour of day, 0 to 24, of a Unix time in seconds. */
export function hourOf(person: Person, time: number): number {
  const hours = time / 3600 + person.offsetHours
  return hours - Math.floor(hours / 24) * 24
}

export function isAsleep(person: Person, time: number): boolean {
  const hour = hourOf(person, time)
  return hour < person.wakesAt || hour >= person.sleepsAt
}

const boutSeconds = 600

/**
 * How hard the person moves at `time`: 0 asleep or sitting, up to 1.
 * Walks come in bouts of ten minutes, of which the person takes the share `liveliness`.
 */
export function activityAt(person: Person, time: number): number {
  if (isAsleep(person, time)) return 0
  const bout = Math.floor(time / boutSeconds)
  const luck = person.walks.at(bout)
  if (luck >= person.liveliness) return 0
  const within = (time - bout * boutSeconds) / boutSeconds
  // A bout lasts 4 to 10 minutes and begins with its cell.
  const share = 0.4 + 0.6 * (luck / person.liveliness)
  return within < share ? 0.5 + 0.5 * person.walks.at(-bout - 1) : 0
}
