import { RecordingError } from "./recording.ts"
import { parseDecimal } from "./row.ts"
import { dayOf, parseWrittenTime } from "./written-time.ts"

/** A WFDB header file as the WFDB Applications Guide, header(5), has it: what it says of a record of one segment. */
export interface WfdbHeader {
  readonly name: string
  readonly rateHz: number
  /** Samples of each signal, or null where the header leaves it to the file's length. */
  readonly samples: number | null
  readonly start: WfdbStart
  readonly signals: readonly WfdbSignal[]
}

/** When the first sample was taken, by the record line. */
export type WfdbStart =
  /** Local time as if it were UTC, Unix seconds. */
  | { readonly kind: "local"; readonly seconds: number; readonly line: number }
  /** The header has neither, or a time of day without a date. */
  | { readonly kind: "none"; readonly hasClock: boolean }
  /** The header has something else there, which is not guessed at. */
  | { readonly kind: "unreadable"; readonly rule: string; readonly line: number }

export interface WfdbSignal {
  readonly file: string
  readonly storage: 16 | 212
  readonly byteOffset: number
  /** Converter units per physical unit. */
  readonly gain: number
  /** The header has no gain, and this is the one that header(5) says to assume. */
  readonly isUncalibrated: boolean
  /** The converter's value for 0 physical units. */
  readonly baseline: number
  readonly unit: string | null
  /** Of all samples, in 16 bits, or null where the header has none. */
  readonly checksum: number | null
  readonly description: string
}

// Records of the PhysioNet Challenges have names such as `E07835.mat`.
const recordLine = /^([A-Za-z0-9_.-]+)(\/\d+)?\s+(\d+)(?:\s+(.*))?$/
const signalLine = /^(\S+)\s+(\d+)(x\d+)?(:\d+)?(\+\d+)?(?:\s+(.*))?$/
// What header(5) says to assume where the field is missing or zero.
const rateDefault = 250
const gainDefault = 200

/** Units of PhysioNet's records in SenML's or UCUM's words. `NU` is none; SenML's own % is the ratio. */
const units: Readonly<Record<string, string | null>> = {
  nu: null,
  "%": "/100",
  bpm: "beat/min",
  pm: "1/min",
  mmhg: "mm[Hg]",
  degc: "Cel",
}

function unitOf(written: string): string | null {
  const known = units[written.toLowerCase()]
  return known === undefined ? written : known
}

export function isWfdbHeader(head: readonly string[]): boolean {
  const [record, signal] = head.filter(isContent)
  return recordLine.test(record ?? "") && signalLine.test(signal ?? "") && /\.(dat|mat)\b/i.test(signal ?? "")
}

export function parseWfdbHeader(file: string, text: string): WfdbHeader {
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\n|\r/)
    .map((line, index) => ({ line: line.trim(), number: index + 1 }))
  const [record, ...rest] = lines.filter(({ line }) => isContent(line))
  if (record === undefined) throw new RecordingError(file, null, "has no record line")
  const match = recordLine.exec(record.line)
  if (match === null)
    throw new RecordingError(file, record.number, "a record line must be name, signals, rate, samples")
  const [, name = "", segments, count, optional = ""] = match
  if (segments !== undefined)
    throw new RecordingError(file, record.number, "records of several segments are not read")
  const [rate = "", samples, ...start] = optional.split(/\s+/).filter((field) => field !== "")
  const rateHz = rate === "" ? rateDefault : parseDecimal(rate.split("/")[0] ?? "")
  if (rateHz === null || rateHz <= 0)
    throw new RecordingError(file, record.number, "a rate must be above 0 Hz")
  if (samples !== undefined && !/^\d+$/.test(samples)) {
    throw new RecordingError(file, record.number, "the number of samples must be a whole number")
  }
  if (rest.length < Number(count))
    throw new RecordingError(file, record.number, `${count} signal lines must follow`)
  const signals = rest.slice(0, Number(count)).map(({ line, number }) => parseSignal(file, number, line))
  if (signals.length === 0) throw new RecordingError(file, record.number, "must have at least one signal")
  const sampled = Number(samples ?? 0)
  return {
    name,
    rateHz,
    samples: sampled === 0 ? null : sampled,
    start: startOf(start, record.number),
    signals,
  }
}

function parseSignal(file: string, number: number, line: string): WfdbSignal {
  const match = signalLine.exec(line)
  if (match === null) throw new RecordingError(file, number, "a signal line must begin with file and format")
  const [, dataFile = "", format, perFrame, skew, byteOffset, optional = ""] = match
  if (format !== "16" && format !== "212") {
    throw new RecordingError(file, number, `format ${format} is not read: 16 and 212 are`)
  }
  if ((perFrame !== undefined && perFrame !== "x1") || (skew !== undefined && skew !== ":0")) {
    throw new RecordingError(file, number, "several samples in a frame, or a skew, are not read")
  }
  if (dataFile.includes("/") || dataFile.includes("\\")) {
    throw new RecordingError(file, number, "a signal's file must be in the header's folder")
  }
  const [gainField = "", , zeroField, , checksum, , ...description] = optional.split(/\s+/)
  const gain = /^([-+.\dEe]+)(?:\((-?\d+)\))?(?:\/(\S+))?$/.exec(gainField)
  if (gainField !== "" && (gain === null || parseDecimal(gain[1] ?? "") === null)) {
    throw new RecordingError(
      file,
      number,
      "a gain must be a number, with a baseline in brackets and a unit after /",
    )
  }
  return {
    file: dataFile,
    storage: format === "16" ? 16 : 212,
    byteOffset: Number(byteOffset ?? 0),
    gain: Number(gain?.[1] ?? 0) || gainDefault,
    isUncalibrated: Number(gain?.[1] ?? 0) === 0,
    baseline: Number(gain?.[2] ?? zeroField ?? 0) || 0,
    unit: unitOf(gain?.[3] ?? "mV"),
    checksum: checksum === undefined ? null : Number(checksum),
    description: description.join(" "),
  }
}

const startRule =
  "the start of a record must be a time as 13:05:00 and a date as 25/04/1989, 25-Apr-1989 or 1989-04-25: give it with --start"
const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

/** header(5) has the time before the date; the headers of the PhysioNet Challenges have it after. */
function startOf(fields: readonly string[], line: number): WfdbStart {
  const clocks = fields.filter((field) => field.includes(":"))
  // `0/0/0` is how old headers say that no date is known.
  const dates = fields.filter((field) => !field.includes(":") && !/^0+\/0+\/0+$/.test(field))
  if (clocks.length > 1 || dates.length > 1) return { kind: "unreadable", rule: startRule, line }
  const [[clock], [date]] = [clocks, dates]
  const second = clock === undefined ? null : secondOf(clock)
  if (date === undefined && second !== undefined) return { kind: "none", hasClock: second !== null }
  const day = date === undefined ? null : dayOfText(date)
  if (typeof second !== "number" || day === null) return { kind: "unreadable", rule: startRule, line }
  return { kind: "local", seconds: day * 86_400 + second, line }
}

/** Second of the day; undefined for what is no clock time of 24 hours. */
function secondOf(text: string): number | undefined {
  const [, hour, minute, second] = /^(\d{1,2}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)$/.exec(text) ?? []
  if (hour === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) >= 60) return undefined
  return Number(hour) * 3600 + Number(minute) * 60 + Number(second)
}

/** Day, month, year is header(5)'s order, and no option changes it. */
function dayOfText(text: string): number | null {
  const [, day, name, year] = /^(\d{1,2})-([A-Za-z]{3})-(\d{4})$/.exec(text) ?? []
  const month = months.indexOf(name?.toLowerCase() ?? "") + 1
  const numbers = name === undefined ? text : month === 0 ? "" : `${day}/${month}/${year}`
  const time = parseWrittenTime(`${numbers} 0:00`)
  if (time === null || time.yearAt === "open" || !/\d{4}/.test(numbers)) return null
  if (time.yearAt === "last" && !numbers.includes("/")) return null
  return dayOf(time, "dmy")
}

function isContent(line: string): boolean {
  return line.trim() !== "" && !line.startsWith("#")
}
