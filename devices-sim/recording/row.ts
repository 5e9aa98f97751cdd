import { basename } from "node:path"
import { Readable, pipeline } from "node:stream"
import { CsvError, parse } from "csv-parse"
import { absoluteTimeMin } from "../../chain/senml.ts"
import { RecordingError } from "./recording.ts"
import { endsItsLastLine, readHead, readText } from "./text-file.ts"

/** One row of a text file and where it stands, for errors that name the place. */
export interface Row {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly cells: readonly string[]
  /** The last line has no line end, so that its last cell may be the beginning of a number only. */
  readonly isCut: boolean
}

/** Why a row that `isCut` is left out. */
export const cutReason = "the last line has no line end and may be cut"

const byteOrderMark = "\ufeff"

/** Rows of a file without quotes, split at `delimiter` and trimmed; empty lines are left out. */
export async function* readRows(file: string, delimiter: string): AsyncGenerator<Row> {
  const isWhole = await endsItsLastLine(file)
  let line = 0
  for await (const { text, isLast } of readLines(file)) {
    line++
    const plain = line === 1 && text.startsWith(byteOrderMark) ? text.slice(1) : text
    if (plain.trim() === "") continue
    yield { file, line, cells: plain.split(delimiter).map((cell) => cell.trim()), isCut: isLast && !isWhole }
  }
}

/** Not node:readline, which loses the errors of its input. A CR before the LF is left on, for the caller to trim. */
async function* readLines(file: string): AsyncGenerator<{ text: string; isLast: boolean }> {
  let rest = ""
  for await (const chunk of readText(file)) {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const text of lines) yield { text, isLast: false }
  }
  if (rest !== "") yield { text: rest, isLast: true }
}

export type Delimiter = "," | ";" | "\t"

/** What separates the cells of a CSV file: what its first lines have most of, or what a line `sep=;` says. */
export function delimiterOf(head: readonly string[]): Delimiter {
  const said = /^sep=([,;\t])/i.exec(head[0] ?? "")?.[1]
  if (said !== undefined) return said as Delimiter
  const bare = head
    .slice(0, 4)
    .join("")
    .replace(/"[^"]*"/g, "")
  const count = (delimiter: string): number => bare.split(delimiter).length
  const [most = ","] = ([",", ";", "\t"] as const).toSorted((one, other) => count(other) - count(one))
  return most
}

/** Rows of a CSV file as RFC 4180 has it, with quotes; rows may differ in length, line ends may be mixed. */
export async function* readCsvRows(file: string): AsyncGenerator<Row> {
  const isWhole = await endsItsLastLine(file)
  const parser = parse({
    bom: true,
    info: true,
    delimiter: delimiterOf(await readHead(file)),
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
    // Not discovered from the first line: real exports end some lines with CRLF and others with LF.
    record_delimiter: ["\r\n", "\n"],
  })
  // A fault of the file ends the parser, and so comes out of the loop below.
  pipeline(Readable.from(readText(file)), parser, () => undefined)
  let held: Row | null = null
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
      if (held !== null) yield held
      // A line `sep=;` is for spreadsheets.
      held =
        info.records === 1 && /^sep=/i.test(record[0] ?? "")
          ? null
          : { file, line: info.lines, cells: record, isCut: false }
    }
  } catch (error) {
    // Its message quotes the row, which is health data: only the code is kept.
    if (error instanceof CsvError) throw new RecordingError(file, lineOf(error), `is not CSV (${error.code})`)
    throw error
  }
  if (held !== null) yield { ...held, isCut: !isWhole }
}

interface CsvRecord {
  readonly record: string[]
  readonly info: { readonly lines: number; readonly records: number }
}

function lineOf(error: CsvError): number | null {
  const lines: unknown = error["lines"]
  return typeof lines === "number" ? lines : null
}

/** A decimal number with a point; anything else (a comma, hex, "Infinity", a word) is null. */
export function parseDecimal(text: string): number | null {
  return /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d{1,3})?$/i.test(text) ? finite(Number(text)) : null
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

/** How many digits after the point a decimal number needs: 2 for "-0.120". */
export function decimalsOf(text: string): number {
  if (/e/i.test(text)) return Infinity
  const point = text.indexOf(".")
  if (point < 0) return 0
  let end = text.length
  while (text[end - 1] === "0") end--
  return Math.max(0, end - point - 1)
}

export function requireDecimal(row: Row, column: number, what: string): number {
  const value = parseDecimal(row.cells[column] ?? "")
  if (value === null) throw fault(row, `${what} must be a decimal number (column ${column + 1})`)
  return value
}

/** The time that `parsed` is, if it is one and SenML can carry it as absolute. */
export function requireTime(row: Row, parsed: number | null, rule: string): number {
  if (parsed === null) throw fault(row, rule)
  if (parsed < absoluteTimeMin)
    throw fault(row, "a time before 1978-07-04T21:24:16Z cannot be absolute in SenML")
  return parsed
}

export function requireColumns(row: Row, count: number): void {
  if (row.cells.length !== count) throw fault(row, `must have ${count} columns, has ${row.cells.length}`)
}

export function fault(row: Row, rule: string): RecordingError {
  return new RecordingError(row.file, row.line, rule)
}

const textLengthMax = 1000

/** Whether a statement can carry `text`: no control characters (FORMAT §1), and not so long that it fills a pack. */
export function carriesText(text: string): boolean {
  return text.length <= textLengthMax && !/[\u0000-\u001f\u007f]/.test(text)
}

/** `HEART_RATE_VARIABILITY` or `Lead II` as the last part of a SenML name (RFC 8428 §4.5.1). */
export function metricNameOf(label: string): string {
  return label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
}

/** Whether the name of `file` is `name`, in any case. */
export function isNamed(file: string, name: string): boolean {
  return basename(file).toLowerCase() === name.toLowerCase()
}
