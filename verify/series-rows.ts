/** A row of `series` beside the series that the device signed: the rules of ingest's rows, column by column. */
import { equalBytes } from "../chain/bytes.ts"
import { type Series, metricOf, timesOf } from "../chain/series.ts"
import type { RowArray, SeriesRow } from "./source.ts"

/** The columns that hold what was signed; `received_at`, `device_id` and `ahead` come from elsewhere. */
type SignedColumns = Pick<
  SeriesRow,
  "metric" | "name" | "unit" | "kind" | "startsAt" | "endsAt" | "periodMs" | "factor" | "origin"
> & {
  readonly times: readonly number[] | null
  readonly numbers: readonly number[] | null
  readonly texts: readonly string[] | null
  readonly blobs: readonly Uint8Array[] | null
  readonly samples: Int16Array | null
}

function columnsOf(series: Series): SignedColumns {
  const { name, unit, kind } = series
  const common = { metric: metricOf(name), name, unit, kind, ...timesOf(series) }
  const empty = { times: null, numbers: null, texts: null, blobs: null, samples: null }
  if (series.kind === "waveform") {
    const { periodMs, factor, origin, samples } = series
    return { ...common, ...empty, periodMs, factor, origin, samples }
  }
  const point = { ...common, ...empty, times: series.times, periodMs: null, factor: null, origin: null }
  switch (series.kind) {
    case "number":
    case "sum":
      return { ...point, numbers: series.values }
    case "boolean":
      return { ...point, numbers: series.values.map(Number) }
    case "text":
      return { ...point, texts: series.values }
    default:
      return { ...point, blobs: series.values }
  }
}

/** The first column that differs from the signed payload, by its name in the database; null where none does. */
export function findDifference(row: SeriesRow, series: Series): string | null {
  const signed = columnsOf(series)
  if (row.kind !== signed.kind) return "kind"
  if (row.name !== signed.name) return "name"
  if (row.metric !== signed.metric) return "metric"
  if (row.unit !== signed.unit) return "unit"
  if (!isSameArray(row.times, signed.times, Object.is)) return "times"
  if (!isSameArray(row.numbers, signed.numbers, Object.is)) return "numbers"
  if (!isSameArray(row.texts, signed.texts, Object.is)) return "texts"
  if (!isSameArray(row.blobs, signed.blobs, equalBytes)) return "blobs"
  if (!isSameArray(row.samples, signed.samples, Object.is)) return "samples"
  if (!Object.is(row.periodMs, signed.periodMs)) return "period_ms"
  if (!Object.is(row.factor, signed.factor)) return "factor"
  if (!Object.is(row.origin, signed.origin)) return "origin"
  if (!Object.is(row.startsAt, signed.startsAt)) return "starts_at"
  if (!Object.is(row.endsAt, signed.endsAt)) return "ends_at"
  return null
}

/** To the bit: -0 is not 0. */
function isSameArray<Value>(
  row: RowArray<ArrayLike<Value>>,
  signed: ArrayLike<Value> | null,
  isSame: (a: Value, b: Value) => boolean,
): boolean {
  if (row === null || signed === null) return row === signed
  if (row === "irregular" || row.length !== signed.length) return false
  for (let index = 0; index < row.length; index++) {
    if (!isSame(row[index]!, signed[index]!)) return false
  }
  return true
}
