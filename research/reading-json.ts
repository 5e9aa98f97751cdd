/** Rows of readings as JSON texts. What is the same for a whole series is written once. */
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import type { Run } from "./run.ts"
import type { StoredSeries } from "./stored-series.ts"

/** Seconds; what arrived later than this after its time is backfill. */
export const liveWithinDefault = 900

export type Mode = "live" | "backfill"

export function modeOf(latenessSeconds: number, liveWithinSeconds: number): Mode {
  return latenessSeconds <= liveWithinSeconds ? "live" : "backfill"
}

/** To the millisecond: the arrival's clock has no more. */
export function latenessOf(series: StoredSeries, time: number): number {
  return Math.round(series.arrivedMs - time * 1000) / 1000
}

/** A double as JSON has it; what JSON cannot say is null. */
export function formatNumber(value: number): string {
  return Number.isFinite(value) ? String(value) : "null"
}

interface Frame {
  readonly afterTime: string
  readonly afterValue: string
  readonly afterMode: string
}

const frames = new WeakMap<StoredSeries, Frame>()

function frameOf(series: StoredSeries): Frame {
  let frame = frames.get(series)
  if (frame === undefined) {
    const { device, metric, unit, arrivedMs, block, entry, kind, ahead } = series
    frame = {
      afterTime: `","device":"${device}","metric":${JSON.stringify(metric)},"kind":"${kind}",`,
      afterValue: `,"unit":${JSON.stringify(unit)},"arrived":"${formatMs(Math.floor(arrivedMs))}","latenessSeconds":`,
      afterMode: `","block":${block},"entry":"${formatHex(entry)}"${ahead ? ',"ahead":true' : ""}}`,
    }
    frames.set(series, frame)
  }
  return frame
}

/** One JSON object per reading, each with `separator` before it but the first of all. */
export function formatRun(
  run: Run,
  {
    liveWithinSeconds,
    separator,
    isFirst,
  }: { liveWithinSeconds: number; separator: string; isFirst: boolean },
): string {
  const { series, order, from, to } = run
  const { afterTime, afterValue, afterMode } = frameOf(series)
  const isBoolean = series.kind === "boolean"
  let text = ""
  for (let place = from; place < to; place++) {
    const index = order === null ? place : order[place]!
    const time = series.times[index]!
    const lateness = latenessOf(series, time)
    const value =
      series.numbers === null
        ? series.texts === null
          ? `"blob":"${formatBase64(series.blobs![index]!)}"`
          : `"text":${JSON.stringify(series.texts[index])}`
        : isBoolean
          ? `"value":${series.numbers[index] === 1}`
          : `"value":${formatNumber(series.numbers[index]!)}`
    text += `${isFirst && place === from ? "" : separator}{"time":"${formatSeconds(time)}${afterTime}${value}${afterValue}${lateness},"mode":"${modeOf(lateness, liveWithinSeconds)}${afterMode}`
  }
  return text
}
