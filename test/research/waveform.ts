import type { Waveform } from "../../chain/series.ts"

/** A stretch of an ECG at 250 Hz, in steps of 5 microvolts. */
export function makeWaveform(startsAt: number, samples: readonly number[]): Waveform {
  return {
    kind: "waveform",
    name: "ecg",
    unit: "mV",
    startsAt,
    periodMs: 4,
    factor: 0.005,
    origin: 0,
    samples: Int16Array.from(samples),
  }
}
