import type { StoredSeries } from "../../research/stored-series.ts"

interface Said {
  readonly metric: string
  readonly unit: string | null
  readonly values: readonly number[]
  readonly kind?: StoredSeries["kind"]
}

/** A stored series of numbers, a reading a minute from 2026-01-31T12:00:00Z on. */
export function makeSeries({ metric, unit, values, kind = "number" }: Said): StoredSeries {
  const noon = 1_769_860_800
  return {
    statement: 7,
    position: 0,
    device: "k7",
    metric,
    name: metric,
    unit,
    kind,
    startsAt: noon,
    endsAt: noon + 60 * (values.length - 1),
    arrivedMs: (noon + 3_600) * 1000,
    ahead: false,
    entry: new Uint8Array(32).fill(0xab),
    block: 3,
    times: Float64Array.from(values, (_, at) => noon + 60 * at),
    numbers: Float64Array.from(values),
    texts: null,
    blobs: null,
    waveform: null,
  }
}
