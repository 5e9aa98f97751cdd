/** Segments of waveforms, whole or thinned out for a plot. */
import { formatHex } from "../chain/bytes.ts"
import { sampledDataOf } from "./fhir.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import { findMetric } from "./metric.ts"
import type { StoredSeries, Waveform } from "./stored-series.ts"
import { toUcum } from "./unit.ts"

/**
 * The lowest and the highest sample of each pixel, in the order in which they came: what a plot of that width shows is
 * the same, at two samples a pixel. A segment that has no more than that stays as it is.
 *
 * @param pixelSeconds how much time a pixel is
 */
export function thinOut(
  waveform: Waveform,
  pixelSeconds: number,
): { waveform: Waveform; isThinned: boolean } {
  const { periodMs, samples } = waveform
  const width = Math.floor((pixelSeconds * 1000) / periodMs)
  if (width <= 2) return { waveform, isThinned: false }
  const thinned = new Int16Array(2 * Math.ceil(samples.length / width))
  for (let pixel = 0; 2 * pixel < thinned.length; pixel++) {
    const from = pixel * width
    const to = Math.min(from + width, samples.length)
    let low = from
    let high = from
    for (let place = from + 1; place < to; place++) {
      if (samples[place]! < samples[low]!) low = place
      if (samples[place]! > samples[high]!) high = place
    }
    thinned[2 * pixel] = samples[Math.min(low, high)]!
    thinned[2 * pixel + 1] = samples[Math.max(low, high)]!
  }
  return { waveform: { ...waveform, periodMs: (periodMs * width) / 2, samples: thinned }, isThinned: true }
}

export const segmentProperties = {
  device: { type: "string" },
  metric: { type: "string" },
  name: { type: "string", description: "the whole name, of which the metric is the last part" },
  unit: { type: ["string", "null"] },
  start: { type: "string", description: "of the first sample, by the device's clock" },
  periodMs: { type: "number" },
  factor: { type: "number" },
  origin: { type: "number", description: "value = sample * factor + origin" },
  samples: { type: "array", items: { type: "integer" } },
  thinned: { type: "boolean", description: "true: lowest and highest of each pixel, for a plot" },
  sampledData: {
    type: "object",
    description: "with format=fhir in place of the last four: FHIR R4 SampledData",
  },
  arrived: { type: "string", format: "date-time" },
  block: { type: ["integer", "null"] },
  entry: { type: "string" },
  ahead: { type: "boolean" },
} as const

/** @param pixelSeconds null: every sample */
export function formatSegment(series: StoredSeries, pixelSeconds: number | null, isFhir: boolean): string {
  const { device, metric, name, unit, startsAt, arrivedMs, block, entry, ahead } = series
  const { waveform, isThinned } =
    pixelSeconds === null
      ? { waveform: series.waveform!, isThinned: false }
      : thinOut(series.waveform!, pixelSeconds)
  const { periodMs, factor, origin, samples } = waveform
  const values = isFhir
    ? { sampledData: sampledDataOf(waveform, unit, toUcum(unit, findMetric(metric)?.ucumUnit ?? null)) }
    : { periodMs, factor, origin, ...(isThinned ? { thinned: true } : {}), samples: [...samples] }
  return JSON.stringify({
    device,
    metric,
    name,
    unit,
    start: formatSeconds(startsAt),
    ...values,
    arrived: formatMs(Math.floor(arrivedMs)),
    block,
    entry: formatHex(entry),
    ...(ahead ? { ahead: true } : {}),
  })
}
