import type { Series } from "../../chain/series.ts"
import type { Random } from "../random.ts"
import { ecg, ecgSamples } from "./electrocardiogram.ts"
import { drawPerson } from "./person.ts"
import { vitals, type VitalName } from "./vital.ts"

/** A device on a wrist, as its readings come: every pack goes on where the one before ended. */
export interface WornDevice {
  /**
   * The next `readings` readings, exactly so many over all metrics, each metric at its own rate, in the order of time;
   * a series per metric that has one. A reading takes about 9 bytes of a payload: 7,000 fit into a statement.
   */
  nextPack(readings: number): Series[]
  /**
   * All readings up to `time` (Unix seconds) that were not in a pack before, at most so many; at least one, which may be
   * a little later.
   */
  packUntil(time: number, readingsMax: number): Series[]
  /** The next `samples` samples of an ECG, as one waveform: it has its own time, beginning at `startsAt` too. 32,000 fit. */
  waveformPack(samples: number): Series[]
}

export interface Wearing {
  /** Unix seconds. Whole seconds give times that encode in 5 bytes. */
  readonly startsAt: number
  readonly metrics?: readonly VitalName[]
  /** How much longer each sensor's period is than its usual one; 1 by default. Times are then of whole ms. */
  readonly stretch?: number
}

/** Readings a second of such a device, over all its metrics. */
export function readingRate(metrics: readonly VitalName[]): number {
  return metrics.reduce((sum, metric) => sum + 1 / vitals[metric].periodSeconds, 0)
}

const everything = Object.keys(vitals) as VitalName[]

/** Dresses a person, drawn from `random`, with a device. */
export function wearDevice(random: Random, wearing: Wearing): WornDevice {
  const metrics = [...new Set(wearing.metrics ?? everything)]
  if (metrics.length === 0) throw new RangeError("wearDevice: a device measures at least one metric")
  const stretch = wearing.stretch ?? 1
  const person = drawPerson(random.fork("person"))
  const schedule = metrics.map((metric) => {
    const stream = random.fork(metric)
    const { periodSeconds } = vitals[metric]
    // Each metric has its own moment in its period, as sensors are read one after another.
    const phase = stream.int(0, periodSeconds - 1) * stretch
    return { metric, stream, period: periodSeconds * stretch, nextAt: wearing.startsAt + phase }
  })
  const ecgStream = random.fork("ecg")
  let samplesTaken = 0

  return {
    nextPack(readings) {
      requireCount(readings)
      return this.packUntil(Infinity, readings)
    },
    packUntil(until, readingsMax) {
      const pack = schedule.map(() => ({ times: [] as number[], values: [] as number[] }))
      for (let i = 0; i < readingsMax; i++) {
        const turn = earliest(schedule)
        const due = schedule[turn]
        if (due === undefined || (i > 0 && due.nextAt > until)) break
        // A stretched period is no whole number of seconds: sums of it would end in a tail of digits.
        const time = stretch === 1 ? due.nextAt : Math.round(due.nextAt * 1000) / 1000
        pack[turn]?.times.push(time)
        pack[turn]?.values.push(vitals[due.metric].valueAt(due.stream, person, time))
        due.nextAt += due.period
      }
      return schedule.flatMap(({ metric }, turn): Series[] => {
        const readingsOfMetric = pack[turn]
        if (readingsOfMetric === undefined || readingsOfMetric.values.length === 0) return []
        return [{ kind: "number", name: metric, unit: vitals[metric].unit, ...readingsOfMetric }]
      })
    },
    waveformPack(samples) {
      requireCount(samples)
      const startsAt = wearing.startsAt + (samplesTaken * ecg.periodMs) / 1000
      samplesTaken += samples
      const taken = ecgSamples(ecgStream, person, startsAt, samples)
      return [{ kind: "waveform", name: "ecg", startsAt, ...ecg, samples: taken }]
    },
  }
}

function earliest(schedule: readonly { readonly nextAt: number }[]): number {
  let first = 0
  let firstAt = Infinity
  for (const [turn, { nextAt }] of schedule.entries()) {
    if (nextAt < firstAt) {
      first = turn
      firstAt = nextAt
    }
  }
  return first
}

function requireCount(count: number): void {
  if (!Number.isSafeInteger(count) || count < 1)
    throw new RangeError("a pack has a whole number of readings, at least 1")
}
