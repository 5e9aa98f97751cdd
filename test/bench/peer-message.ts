/** Readings as the usual pipeline sends them: numbers as JSON, waveforms as int16 behind four numbers. Cheap to read. */
import type { Pack } from "./readings.ts"
import { heartRatesOf, waveformOf } from "./readings.ts"

export const peerMetrics = { "heart-rate": 1, ecg: 2 } as const
export type PeerMetric = keyof typeof peerMetrics

/** A row per reading, with one index. */
export const peerSchema = `
  create table readings (time timestamptz not null, device_id integer not null, metric_id smallint not null, value float8 not null);
  create index on readings (device_id, metric_id, time);`

export function encodePeerMessage({ startsAt, values }: Pack): Uint8Array {
  if (values instanceof Int16Array) {
    const { periodMs, factor } = waveformOf(startsAt, values) as { periodMs: number; factor: number }
    const bytes = Buffer.alloc(24 + 2 * values.length)
    bytes.writeDoubleLE(startsAt, 0)
    bytes.writeDoubleLE(periodMs, 8)
    bytes.writeDoubleLE(factor, 16)
    for (const [index, value] of values.entries()) bytes.writeInt16LE(value, 24 + 2 * index)
    return bytes
  }
  const { name, unit } = heartRatesOf(startsAt, values)
  return Buffer.from(JSON.stringify({ n: name, u: unit, bt: startsAt, t: [...values.keys()], v: values }))
}

export interface PeerWaveform {
  readonly startsAt: number
  readonly periodMs: number
  readonly factor: number
  readonly samples: readonly number[]
}

export function readWaveform(payload: Buffer): PeerWaveform {
  const samples: number[] = []
  for (let at = 24; at < payload.length; at += 2) samples.push(payload.readInt16LE(at))
  return {
    startsAt: payload.readDoubleLE(0),
    periodMs: payload.readDoubleLE(8),
    factor: payload.readDoubleLE(16),
    samples,
  }
}
