/**
 * Readings of the bench's devices as packs, cheaply: a pack is made once by `encodePack`, and of every next one only the
 * bytes that differ are written.
 */
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import type { Random } from "../../devices-sim/random.ts"

/** Of a waveform: an ECG's, 250 a second. */
const samplePeriodMs = 4
const factor = 0.005
const origin = 0

export interface Pack {
  readonly payload: Uint8Array
  /** Unix seconds of the first reading. */
  readonly startsAt: number
  readonly values: readonly number[] | Int16Array
}

/** How long the readings of a pack take, in whole seconds: the next pack begins behind it. */
export function spanOf(readings: number): number {
  return readings >= waveformReadings ? Math.ceil((readings * samplePeriodMs) / 1000) : Math.max(60, readings)
}

/** From so many on, the readings of a statement are one waveform. */
export const waveformReadings = 512

/** What makes packs of one size. */
export type PackMaker = (startsAt: number, random: Random) => Pack

export function makePacks(readings: number): PackMaker {
  return readings >= waveformReadings ? makeWaveforms(readings) : makeHeartRates(readings)
}

/** Whole beats a minute, one a second: what a wristband sends. Two bytes each, times as offsets. */
function makeHeartRates(readings: number): PackMaker {
  const encode = (startsAt: number, value: number): Uint8Array =>
    encodePack([
      heartRatesOf(
        startsAt,
        Array.from({ length: readings }, () => value),
      ),
    ])
  // 200 and 101 differ in one byte each, and so do the lowest bytes of two times; the higher bytes stand before those.
  const template = encode(1_700_000_000, 101)
  const valuesAt = differencesOf(template, encode(1_700_000_000, 200))
  const timeAt = differencesOf(template, encode(1_700_000_001, 101))[0]! - 3
  return (startsAt, random) => {
    const payload = Uint8Array.from(template)
    writeTime(payload, timeAt, startsAt)
    let value = 60 + random.int(0, 60)
    const values = valuesAt.map((at) => {
      value = Math.min(190, Math.max(40, value + random.int(-2, 2)))
      payload[at] = value
      return value
    })
    return { payload, startsAt, values }
  }
}

function makeWaveforms(readings: number): PackMaker {
  const encode = (startsAt: number, sample: number): Uint8Array =>
    encodePack([waveformOf(startsAt, new Int16Array(readings).fill(sample))])
  const template = encode(1_700_000_000, 0)
  const samplesAt = differencesOf(template, encode(1_700_000_000, 1))[0]!
  const timeAt = differencesOf(template, encode(1_700_000_001, 0))[0]! - 3
  const beats = Int16Array.from({ length: 16_384 }, (_, index) => heartbeatAt(index * samplePeriodMs))
  return (startsAt, random) => {
    const payload = Uint8Array.from(template)
    writeTime(payload, timeAt, startsAt)
    const from = random.int(0, beats.length - readings)
    const values = beats.subarray(from, from + readings)
    const view = new DataView(payload.buffer)
    for (const [index, value] of values.entries()) view.setInt16(samplesAt + 2 * index, value, true)
    return { payload, startsAt, values }
  }
}

/** An ECG's R wave and T wave, 75 a minute, over some noise: in steps of 5 µV. */
function heartbeatAt(ms: number): number {
  const phase = (ms % 800) / 800
  const wave = (at: number, width: number, height: number): number =>
    height * Math.exp(-(((phase - at) / width) ** 2))
  const noise = ((ms * 2_654_435_761) % 97) / 97 - 0.5
  return Math.round(wave(0.3, 0.012, 220) - wave(0.33, 0.01, 60) + wave(0.55, 0.05, 50) + 8 * noise)
}

export function heartRatesOf(startsAt: number, values: readonly number[]): Series {
  const times = values.map((_, index) => startsAt + index)
  return { kind: "number", name: "heart-rate", unit: "beat/min", times, values: [...values] }
}

export function waveformOf(startsAt: number, samples: Int16Array): Series {
  return {
    kind: "waveform",
    name: "ecg",
    unit: "mV",
    startsAt,
    periodMs: samplePeriodMs,
    factor,
    origin,
    samples,
  }
}

/** A base time of 2^24 to 2^32 - 1 stands in four bytes. */
function writeTime(payload: Uint8Array, at: number, seconds: number): void {
  new DataView(payload.buffer).setUint32(at, seconds)
}

function differencesOf(a: Uint8Array, b: Uint8Array): number[] {
  return [...a.keys()].filter((index) => a[index] !== b[index])
}
