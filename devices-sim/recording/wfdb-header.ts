import { RecordingError } from "./recording.ts"
import { parseDecimal } from "./row.ts"

/** A WFDB header file as the WFDB Applications Guide, header(5), has it: what it says of a record of one segment. */
export interface WfdbHeader {
  readonly name: string
  readonly rateHz: number
  /** Samples of each signal, or null where the header leaves it to the file's length. */
  readonly samples: number | null
  /** Local time of the first sample as if it were UTC, in Unix seconds, where the header has both time and date. */
  readonly startsAt: number | null
  readonly signals: readonly WfdbSignal[]
}

export interface WfdbSignal {
  readonly file: string
  readonly storage: 16 | 212
  readonly byteOffset: number
  /** Converter units per physical unit. */
  readonly gain: number
  /** The converter's value for 0 physical units. */
  readonly baseline: number
  readonly unit: string
  /** Of all samples, in 16 bits, or null where the header has none. */
  readonly checksum: number | null
  readonly description: string
}

const recordLine = /^([A-Za-z0-9_-]+)(\/\d+)?\s+(\d+)(?:\s+(.*))?$/
const signalLine = /^(\S+)\s+(\d+)(x\d+)?(:\d+)?(\+\d+)?(?:\s+(.*))?$/
// What header(5) says to assume where the field is missing or zero.
const rateDefault = 250
const gainDefault = 200

export function isWfdbHeader(head: readonly string[]): boolean {
  const [record, signal] = head.filter(isContent)
  return recordLine.test(record ?? "") && signalLine.test(signal ?? "") && /\.dat\b/.test(signal ?? "")
}

export function parseWfdbHeader(file: string, text: string): WfdbHeader {
  const lines = text.split(/\r\n|\n|\r/).map((line, index) => ({ line: line.trim(), number: index + 1 }))
  const [record, ...rest] = lines.filter(({ line }) => isContent(line))
  if (record === undefined) throw new RecordingError(file, null, "has no record line")
  const match = recordLine.exec(record.line)
  if (match === null)
    throw new RecordingError(file, record.number, "a record line must be name, signals, rate, samples")
  const [, name = "", segments, count, optional = ""] = match
  if (segments !== undefined)
    throw new RecordingError(file, record.number, "records of several segments are not read")
  const [rate = "", samples, time, date] = optional.split(/\s+/)
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
  return { name, rateHz, samples: sampled === 0 ? null : sampled, startsAt: startOf(time, date), signals }
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
      "a gain must be a number, with a baseline in brackets and a unit behind /",
    )
  }
  return {
    file: dataFile,
    storage: format === "16" ? 16 : 212,
    byteOffset: Number(byteOffset ?? 0),
    gain: Number(gain?.[1] ?? 0) || gainDefault,
    baseline: Number(gain?.[2] ?? zeroField ?? 0) || 0,
    unit: gain?.[3] ?? "mV",
    checksum: checksum === undefined ? null : Number(checksum),
    description: description.join(" "),
  }
}

function startOf(time: string | undefined, date: string | undefined): number | null {
  const clock = /^(\d{1,2}):(\d{2}):(\d{2})(\.\d+)?$/.exec(time ?? "")
  const day = /^(\d{2})\/(\d{2})\/(\d{4})$/.exec(date ?? "")
  if (clock === null || day === null) return null
  const [hour = 0, minute = 0, second = 0] = clock.slice(1, 4).map(Number)
  const midnight = Date.UTC(Number(day[3]), Number(day[2]) - 1, Number(day[1])) / 1000
  return midnight + hour * 3600 + minute * 60 + second + Number(clock[4] ?? 0)
}

function isContent(line: string): boolean {
  return line.trim() !== "" && !line.startsWith("#")
}
