import type { Random } from "../random.ts"
import { bumpAt, noiseAt, waveAt } from "./noise.ts"
import type { Person } from "./person.ts"

/** 250 Hz and 5 microvolts a step: what a chest patch does. */
export const ecg = { unit: "mV", periodMs: 4, factor: 0.005, origin: 0 } as const

/**
 * One lead of an ECG: `count` int16 samples of `ecg.factor` mV, `ecg.periodMs` apart, the first at `startsAt` (Unix seconds).
 * Each beat has a P wave, a QRS complex and a T wave; breathing moves the rate, the size and the baseline.
 */
export function ecgSamples(random: Random, person: Person, startsAt: number, count: number): Int16Array {
  const samples = new Int16Array(count)
  for (let i = 0; i < count; i++) {
    samples[i] = Math.round(millivoltsAt(random, person, startsAt + (i * ecg.periodMs) / 1000) / ecg.factor)
  }
  return samples
}

function millivoltsAt(random: Random, person: Person, time: number): number {
  const breath = waveAt((time * person.breathing) / 60)
  // A phase that breathing bends a little: it never runs backwards, and it is known at any time without those before.
  const phase = (time * person.restingHeartRate) / 60 + 0.04 * breath
  const beat = Math.floor(phase)
  const size = (0.9 + 0.2 * random.at(beat)) * (1 + 0.05 * breath)
  const drift = 0.06 * breath + 0.04 * noiseAt(random, time, 3)
  const hum = 0.012 * (2 * random.at(Math.round(time * 1000)) - 1)
  return size * complexAt(phase - beat) + drift + hum
}

/** The P-QRS-T complex in mV, by the share of the beat that has passed. */
function complexAt(x: number): number {
  return (
    bumpAt(x, 0.2, 0.07) * 0.14 -
    bumpAt(x, 0.325, 0.02) * 0.12 +
    bumpAt(x, 0.35, 0.03) * 1.1 -
    bumpAt(x, 0.385, 0.028) * 0.22 +
    bumpAt(x, 0.6, 0.13) * 0.28
  )
}
