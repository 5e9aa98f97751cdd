/** CSV as RFC 4180 has it, with a line of names first. */
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { type Bucket, describeBucket } from "./bucket.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import { latenessOf, modeOf } from "./reading-json.ts"
import type { Run } from "./run.ts"
import type { StoredSeries } from "./stored-series.ts"

export const readingColumns = [
  "time",
  "device",
  "metric",
  "kind",
  "value",
  "text",
  "blob",
  "unit",
  "arrived",
  "latenessSeconds",
  "mode",
  "block",
  "entry",
] as const

export const bucketColumns = [
  "time",
  "device",
  "metric",
  "unit",
  "count",
  "min",
  "max",
  "mean",
  "first",
  "last",
  "backfill",
  "seconds",
  "partial",
  "local",
] as const

const lineEnd = "\r\n"

export function formatHeader(columns: readonly string[]): string {
  return columns.join(",") + lineEnd
}

/** A cell; null is empty, and an empty text is quoted so that it is not null. */
export function formatCell(value: string | number | null): string {
  if (value === null) return ""
  if (typeof value === "number") return String(value)
  return value === "" || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}

const frames = new WeakMap<
  StoredSeries,
  { readonly before: string; readonly after: string; readonly end: string }
>()

function frameOf(series: StoredSeries) {
  let frame = frames.get(series)
  if (frame === undefined) {
    const { device, metric, kind, unit, arrivedMs, block, entry } = series
    frame = {
      before: `,${device},${formatCell(metric)},${kind},`,
      after: `,${formatCell(unit)},${formatMs(Math.floor(arrivedMs))},`,
      end: `,${block ?? ""},${formatHex(entry)}${lineEnd}`,
    }
    frames.set(series, frame)
  }
  return frame
}

/** Booleans are 1 and 0, as in SQL, so that the column is one of numbers. */
export function formatRunLines({ series, order, from, to }: Run, liveWithinSeconds: number): string {
  const { before, after, end } = frameOf(series)
  let text = ""
  for (let place = from; place < to; place++) {
    const index = order === null ? place : order[place]!
    const time = series.times[index]!
    const lateness = latenessOf(series, time)
    const value =
      series.numbers === null
        ? series.texts === null
          ? `,,${formatBase64(series.blobs![index]!)}`
          : `,${formatCell(series.texts[index]!)},`
        : `${series.numbers[index]!},,`
    text += `${formatSeconds(time)}${before}${value}${after}${lateness},${modeOf(lateness, liveWithinSeconds)}${end}`
  }
  return text
}

export function formatBucketLine(bucket: Bucket): string {
  const { partial, ...row } = describeBucket(bucket)
  const cells = { ...row, partial: partial ? 1 : 0, local: row.local ?? null }
  return bucketColumns.map((column) => formatCell(cells[column])).join(",") + lineEnd
}
