/**
 * What a pack of readings decodes to: per name, unit and kind the times and values in the order given.
 * Times are Unix seconds by the device's clock (fractions allowed). They may repeat and go back: they are never a key.
 */
export type Series =
  | PointSeries<"number" | "sum", number>
  | PointSeries<"boolean", boolean>
  | PointSeries<"text", string>
  | PointSeries<"bytes", Uint8Array>
  | Waveform

interface PointSeries<Kind extends string, Value> {
  readonly kind: Kind
  /** The resolved SenML name, `bn + n`. */
  readonly name: string
  /** The SenML unit as sent, or null where none was given. */
  readonly unit: string | null
  /** Unix seconds, as many as there are values. */
  readonly times: readonly number[]
  readonly values: readonly Value[]
}

/** A regular series at 2 bytes a sample (terms of FHIR SampledData): `value = sample * factor + origin`. */
export interface Waveform {
  readonly kind: "waveform"
  readonly name: string
  readonly unit: string | null
  /** Unix seconds of the first sample. */
  readonly startsAt: number
  /** Milliseconds between two samples, above 0. */
  readonly periodMs: number
  readonly factor: number
  readonly origin: number
  /** At least one. */
  readonly samples: Int16Array
}

/** How many readings a series holds: each value of a point series and each sample of a waveform is one. */
export function countReadings(series: Series): number {
  return series.kind === "waveform" ? series.samples.length : series.values.length
}

/** Earliest and latest reading over all series of a statement, in Unix seconds; null where there is none. */
export function spanOf(
  series: readonly Series[],
): { readonly startsAt: number; readonly endsAt: number } | null {
  if (series.length === 0) return null
  let startsAt = Infinity
  let endsAt = -Infinity
  for (const one of series) {
    const span = timesOf(one)
    startsAt = Math.min(startsAt, span.startsAt)
    endsAt = Math.max(endsAt, span.endsAt)
  }
  return { startsAt, endsAt }
}

/** The metric of a resolved name: what follows its last `/` or `:` (FORMAT §3). */
export function metricOf(name: string): string {
  return name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf(":")) + 1)
}

/** Earliest and latest reading of a series in Unix seconds; of a waveform the first and the last sample. */
export function timesOf(series: Series): { readonly startsAt: number; readonly endsAt: number } {
  if (series.kind === "waveform") {
    const spanMs = (series.samples.length - 1) * series.periodMs
    return { startsAt: series.startsAt, endsAt: series.startsAt + spanMs / 1000 }
  }
  let startsAt = Infinity
  let endsAt = -Infinity
  for (const time of series.times) {
    if (time < startsAt) startsAt = time
    if (time > endsAt) endsAt = time
  }
  return { startsAt, endsAt }
}
