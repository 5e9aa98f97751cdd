import { Tally } from "./collect.ts"
import { type ReadColumn, type ColumnMeaning, meaningOf } from "./column-name.ts"
import { FileDecimals, decimalsWritten } from "./file-decimals.ts"
import { FileTimes } from "./file-times.ts"
import {
  RecordingError,
  startsAtDefault,
  type Recording,
  type RecordedSignal,
  type RecordingOptions,
} from "./recording.ts"
import { irregularRemark, noStartRemark } from "./remark.ts"
import {
  type Row,
  cutReason,
  delimiterOf,
  fault,
  parseDecimal,
  readCsvRows,
  readRows,
  requireColumns,
  requireTime,
} from "./row.ts"
import { periodOf, sampledSignals } from "./sampling.ts"

export type ColumnsLayout = "timer" | "datetime" | "column"

/** Milliseconds since the beginning. */
const timerNames = ["timer", "t_ms"]
const datetimeNames = ["datetime", "timestamp"]
const missingMarks = ["", "nan", "na", "n/a", "null", "none"]

/** Which of the three layouts a head shows, or null. One column may have a name above it. */
export function columnsLayoutOf(head: readonly string[]): ColumnsLayout | null {
  const isSeparated = /^sep=/i.test(head[0] ?? "")
  const cells = ((isSeparated ? head[1] : head[0]) ?? "").split(delimiterOf(head)).map(unquote)
  const first = cells[0]?.toLowerCase() ?? ""
  if (cells.length > 1) {
    if (timerNames.includes(first)) return "timer"
    return datetimeNames.includes(first) ? "datetime" : null
  }
  // The last line of a head may be cut.
  const values = head.slice(0, -1).map(unquote)
  if (values.length === 0) values.push(first)
  const start =
    parseDecimal(values[0] ?? "") === null && /^[\p{L}_][\p{L}\d_ ()/%°.-]{0,40}$/u.test(first) ? 1 : 0
  return values.length > start && values.slice(start).every(isValueOrHole) ? "column" : null
}

export async function readColumns(
  file: string,
  layout: ColumnsLayout,
  options: RecordingOptions,
): Promise<Recording> {
  const { signals, remarks } =
    layout === "column" ? await readOne(file, options) : await readTable(file, options)
  return { format: "columns", files: [file], signals, remarks }
}

type Found = Pick<Recording, "signals" | "remarks">

interface Column {
  readonly name: string
  readonly index: number
  /** The row's number among the times of the file, by value. */
  readonly rows: number[]
  readonly values: number[]
  decimals: number
}

/** A column of times, then a column per signal: `timer` counts milliseconds, `datetime` and `timestamp` are clock times. */
async function readTable(file: string, options: RecordingOptions): Promise<Found> {
  const decimals = new FileDecimals()
  const left = new Tally()
  let columns: Column[] | null = null
  let times: TableTimes | null = null
  for await (const row of readCsvRows(file)) {
    if (columns === null || times === null) {
      const [time = "", ...names] = row.cells
      columns = names.map((name, i) => ({ name, index: i + 1, rows: [], values: [], decimals: 0 }))
      times = timerNames.includes(time.toLowerCase())
        ? new TimerTimes(decimals, options)
        : new ClockTimes(new FileTimes(file, options))
      continue
    }
    if (row.isCut) {
      left.add(`rows are left out: ${cutReason}`)
      continue
    }
    requireColumns(row, columns.length + 1)
    const at = times.add(row, row.cells[0] ?? "")
    for (const column of columns) readCell(row, column, at, decimals, left)
  }
  decimals.decide()
  const decided = times?.decide() ?? { instants: [], timesMs: null, decimals: 0, remarks: [] }
  const meanings = meaningsOf(file, columns ?? [], rowsPerSecond(decided.instants), options.metric ?? null)
  const remarks = [...decided.remarks, ...left.remarks()]
  const signals = (columns ?? []).flatMap((column, i): RecordedSignal[] => {
    const meaning = meanings[i]
    if (meaning === undefined || column.values.length === 0) return []
    const { rows, values } = column
    const points = {
      kind: "points",
      ...meaning,
      times: rows.map((at) => decided.instants[at] ?? 0),
      values,
    } as const
    if (decided.timesMs === null) return [points]
    const periodMs = periodOf(
      rows.map((at) => decided.timesMs?.[at] ?? 0),
      decided.decimals,
    )
    if (periodMs === null) {
      if (!remarks.includes(irregularRemark)) remarks.push(irregularRemark)
      return [points]
    }
    return sampledSignals(
      meaning,
      { startsAt: points.times[0] ?? 0, periodMs, decimals: column.decimals },
      values,
    )
  })
  return { signals, remarks }
}

function readCell(row: Row, column: Column, at: number, decimals: FileDecimals, left: Tally): void {
  const text = row.cells[column.index] ?? ""
  if (missingMarks.includes(text.toLowerCase())) {
    left.add("values are left out: their cell is empty")
    return
  }
  const value = decimals.parse(row, text)
  if (value === null) throw fault(row, `a sample must be a decimal number (column ${column.index + 1})`)
  column.rows.push(at)
  column.values.push(value)
  column.decimals = Math.max(column.decimals, decimalsWritten(text))
}

/** The faults of all columns come at once. */
function meaningsOf(
  file: string,
  columns: readonly Pick<Column, "name" | "values">[],
  perSecond: number | null,
  given: string | null,
): ColumnMeaning[] {
  const read = columns.map(({ name, values }): ReadColumn => ({ name, values, rowsPerSecond: perSecond }))
  const verdicts = read.map((column) => meaningOf(column, read, given))
  const rules = verdicts.flatMap((verdict) => (verdict.kind === "refused" ? [verdict.rule] : []))
  if (rules.length > 0) throw new RecordingError(file, null, [...new Set(rules)].join("; and "))
  return verdicts.flatMap((verdict) => (verdict.kind === "meaning" ? [verdict.meaning] : []))
}

function rowsPerSecond(instants: readonly number[]): number | null {
  let [low, high] = [Infinity, -Infinity]
  for (const instant of instants) {
    low = Math.min(low, instant)
    high = Math.max(high, instant)
  }
  return high > low ? (instants.length - 1) / (high - low) : null
}

interface DecidedTable {
  readonly instants: readonly number[]
  /** Milliseconds as they stand, which may be regular; null for clock times. */
  readonly timesMs: readonly number[] | null
  readonly decimals: number
  readonly remarks: readonly string[]
}

interface TableTimes {
  /** Gives the time's number in the file. */
  add(row: Row, text: string): number
  decide(): DecidedTable
}

class TimerTimes implements TableTimes {
  private readonly decimals: FileDecimals
  private readonly options: RecordingOptions
  private readonly timesMs: number[] = []
  private digits = 0

  constructor(decimals: FileDecimals, options: RecordingOptions) {
    this.decimals = decimals
    this.options = options
  }

  add(row: Row, text: string): number {
    const ms = this.decimals.parse(row, text)
    if (ms === null) throw fault(row, "timer must be a decimal number (column 1)")
    this.digits = Math.max(this.digits, decimalsWritten(text))
    return this.timesMs.push(ms) - 1
  }

  decide(): DecidedTable {
    const startsAt = this.options.startsAt ?? startsAtDefault
    const remarks = this.options.startsAt === undefined ? [noStartRemark] : []
    const instants = this.timesMs.map((ms) => startsAt + ms / 1000)
    return { instants, timesMs: this.timesMs, decimals: this.digits, remarks }
  }
}

/** Seconds, milliseconds and microseconds since 1970 are told by their digits, from 2001 to 2286. */
const unixUnits = [
  { pattern: /^\d{10}(\.\d+)?$/, perSecond: 1 },
  { pattern: /^\d{13}(\.\d+)?$/, perSecond: 1000 },
  { pattern: /^\d{16}$/, perSecond: 1_000_000 },
] as const

class ClockTimes implements TableTimes {
  private readonly times: FileTimes
  private readonly unix: number[] = []
  private unit: (typeof unixUnits)[number] | null = null

  constructor(times: FileTimes) {
    this.times = times
  }

  /** As clocks tick, many samples share a time: they stay in the file's order. */
  add(row: Row, text: string): number {
    const unit = unixUnits.find(({ pattern }) => pattern.test(text)) ?? null
    if (unit === null && this.unit === null) return this.times.add(row, text, "")
    this.unit ??= unit
    if (unit !== this.unit) throw fault(row, "the time is written in another form than those before it")
    const seconds = parseDecimal(text)
    const at = requireTime(
      row,
      seconds === null ? null : seconds / (unit?.perSecond ?? 1),
      "a time must be a number",
    )
    return this.unix.push(at) - 1
  }

  decide(): DecidedTable {
    const decided = this.times.decide()
    if (this.unit === null) return { ...decided, timesMs: null, decimals: 0 }
    return { instants: this.unix, timesMs: null, decimals: 0, remarks: [] }
  }
}

/** One column of samples at a rate that the caller knows; a row without a value is a hole, and time goes on over it. */
async function readOne(file: string, options: RecordingOptions): Promise<Found> {
  const { rateHz } = options
  const needs: string[] = []
  if (rateHz === undefined)
    needs.push("is one column without times: give its samples a second with --rate, as --rate 100")
  else if (!(rateHz > 0) || !Number.isFinite(rateHz))
    throw new RangeError("a rate is above 0 samples a second")
  const stretches: { from: number; values: number[]; decimals: number }[] = []
  const left = new Tally()
  let [name, taken, holes, before] = ["", 0, 0, 0]
  for await (const row of readRows(file, ";")) {
    requireColumns(row, 1)
    // A blank line may be a hole or the end of a part, and a hole moves all samples after it.
    if (before > 0 && row.line !== before + 1)
      throw new RecordingError(file, before + 1, 'is empty: a hole in one column is written ""')
    before = row.line
    const text = unquote(row.cells[0] ?? "")
    if (row.isCut) {
      left.add(`rows are left out: ${cutReason}`)
      continue
    }
    if (row.line === 1 && text !== "" && parseDecimal(text) === null) {
      name = text
      continue
    }
    if (missingMarks.includes(text.toLowerCase())) {
      holes++
      taken++
      continue
    }
    const value = parseDecimal(text)
    if (value === null) throw fault(row, "a sample must be a decimal number (column 1)")
    let stretch = stretches.at(-1)
    if (stretch === undefined || stretch.from + stretch.values.length !== taken) {
      stretch = { from: taken, values: [], decimals: 0 }
      stretches.push(stretch)
    }
    stretch.values.push(value)
    stretch.decimals = Math.max(stretch.decimals, decimalsWritten(text))
    taken++
  }
  const values = stretches.flatMap((stretch) => stretch.values)
  const column: ReadColumn = { name, values, rowsPerSecond: rateHz ?? null }
  const verdict = meaningOf(column, [column], options.metric ?? null)
  if (verdict.kind === "refused") needs.push(verdict.rule)
  if (rateHz === undefined || verdict.kind === "refused")
    throw new RecordingError(file, null, needs.join("; and "))
  const startsAt = options.startsAt ?? startsAtDefault
  const periodMs = 1000 / rateHz
  const signals = stretches.flatMap(({ from, values: samples, decimals }) =>
    sampledSignals(
      verdict.meaning,
      { startsAt: startsAt + (from * periodMs) / 1000, periodMs, decimals },
      samples,
    ),
  )
  const remarks = options.startsAt === undefined ? [noStartRemark] : []
  if (holes > 0) remarks.push(`${holes} rows without a value are holes`)
  return { signals, remarks: [...remarks, ...left.remarks()] }
}

function isValueOrHole(text: string): boolean {
  return missingMarks.includes(text.toLowerCase()) || parseDecimal(text) !== null
}

/** `""` is how a hole in one column is written. */
function unquote(text: string): string {
  return text
    .trim()
    .replace(/^"(.*)"$/, "$1")
    .trim()
}
