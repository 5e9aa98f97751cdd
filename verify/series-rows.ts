/** A row of `series` beside the series that the device signed: the rules of ingest's rows, column by column. */
import { equalBytes } from "../chain/bytes.ts"
import { type Series, type Waveform, metricOf, timesOf } from "../chain/series.ts"
import type { NumberColumn, RowArray, SeriesRow } from "./source.ts"

/** The first column that differs from the signed payload, by its name in the database; null where none does. */
export function findDifference(row: SeriesRow, series: Series): string | null {
  if (row.kind !== series.kind) return "kind"
  if (row.name !== series.name) return "name"
  if (row.metric !== metricOf(series.name)) return "metric"
  if (row.unit !== series.unit) return "unit"
  const values = series.kind === "waveform" ? findInWaveform(row, series) : findInPoints(row, series)
  if (values !== null) return values
  const { startsAt, endsAt } = timesOf(series)
  if (!Object.is(row.startsAt, startsAt)) return "starts_at"
  if (!Object.is(row.endsAt, endsAt)) return "ends_at"
  return null
}

function findInWaveform(row: SeriesRow, series: Waveform): string | null {
  if (row.times !== null) return "times"
  if (row.numbers !== null) return "numbers"
  if (row.texts !== null) return "texts"
  if (row.blobs !== null) return "blobs"
  if (!isSameArray(row.samples, series.samples, Object.is)) return "samples"
  if (!Object.is(row.periodMs, series.periodMs)) return "period_ms"
  if (!Object.is(row.factor, series.factor)) return "factor"
  if (!Object.is(row.origin, series.origin)) return "origin"
  return null
}

function findInPoints(row: SeriesRow, series: Exclude<Series, Waveform>): string | null {
  const numbers = numbersOf(series)
  const texts = series.kind === "text" ? series.values : null
  const blobs = series.kind === "bytes" ? series.values : null
  if (!isSameNumbers(row.times, series.times)) return "times"
  if (!isSameNumbers(row.numbers, numbers)) return "numbers"
  if (!isSameArray(row.texts, texts, Object.is)) return "texts"
  if (!isSameArray(row.blobs, blobs, equalBytes)) return "blobs"
  if (row.samples !== null) return "samples"
  if (row.periodMs !== null) return "period_ms"
  if (row.factor !== null) return "factor"
  if (row.origin !== null) return "origin"
  return null
}

function numbersOf(series: Exclude<Series, Waveform>): ArrayLike<number> | null {
  switch (series.kind) {
    case "number":
    case "sum":
      return series.values
    case "boolean":
      return series.values.map(Number)
    default:
      return null
  }
}

/** As `isSameArray` by `Object.is`, in a loop of its own: most of what a database holds is compared here. */
function isSameNumbers(row: RowArray<NumberColumn>, signed: ArrayLike<number> | null): boolean {
  if (row === null || signed === null) return row === signed
  if (row === "irregular" || row.length !== signed.length) return false
  for (let index = 0; index < row.length; index++) {
    if (!Object.is(row.at(index), signed[index])) return false
  }
  return true
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
