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

/** What makes a cell a formula in a spreadsheet; full-width signs too, which some take for the plain ones. */
const formulaSigns = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/

/**
 * A cell; null is empty, and an empty text is quoted so that it is not null. Only texts are ever changed, and only where it
 * is asked for: a file for a program must give back what the device has signed, and a minus is no formula in a number.
 */
export function formatCell(value: string | number | null, isSpreadsheetSafe: boolean): string {
  if (value === null) return ""
  if (typeof value === "number") return String(value)
  const text = isSpreadsheetSafe && formulaSigns.test(value) ? `'${value}` : value
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

interface Frame {
  readonly before: string
  readonly after: string
  readonly end: string
}

const frames = { plain: new WeakMap<StoredSeries, Frame>(), safe: new WeakMap<StoredSeries, Frame>() }

function frameOf(series: StoredSeries, isSpreadsheetSafe: boolean): Frame {
  const made = isSpreadsheetSafe ? frames.safe : frames.plain
  let frame = made.get(series)
  if (frame === undefined) {
    const { device, metric, kind, unit, arrivedMs, block, entry } = series
    const cell = (text: string | null): string => formatCell(text, isSpreadsheetSafe)
    frame = {
      before: `,${cell(device)},${cell(metric)},${kind},`,
      after: `,${cell(unit)},${formatMs(Math.floor(arrivedMs))},`,
      end: `,${block ?? ""},${formatHex(entry)}${lineEnd}`,
    }
    made.set(series, frame)
  }
  return frame
}

export interface LineOptions {
  readonly liveWithinSeconds: number
  /** Puts ' in front of texts that a spreadsheet would take for a formula. */
  readonly isSpreadsheetSafe: boolean
}

/** Booleans are 1 and 0, as in SQL, so that the column is one of numbers. */
export function formatRunLines(
  { series, order, from, to }: Run,
  { liveWithinSeconds, isSpreadsheetSafe }: LineOptions,
): string {
  const { before, after, end } = frameOf(series, isSpreadsheetSafe)
  let text = ""
  for (let place = from; place < to; place++) {
    const index = order === null ? place : order[place]!
    const time = series.times[index]!
    const lateness = latenessOf(series, time)
    const value =
      series.numbers === null
        ? series.texts === null
          ? `,,${formatBase64(series.blobs![index]!)}`
          : `,${formatCell(series.texts[index]!, isSpreadsheetSafe)},`
        : `${series.numbers[index]!},,`
    text += `${formatSeconds(time)}${before}${value}${after}${lateness},${modeOf(lateness, liveWithinSeconds)}${end}`
  }
  return text
}

export function formatBucketLine(bucket: Bucket, isSpreadsheetSafe: boolean): string {
  const { partial, ...row } = describeBucket(bucket)
  const cells = { ...row, partial: partial ? 1 : 0, local: row.local ?? null }
  return bucketColumns.map((column) => formatCell(cells[column], isSpreadsheetSafe)).join(",") + lineEnd
}
