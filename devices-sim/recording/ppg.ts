import { parseLocal } from "./clock-time.ts"
import {
  RecordingError,
  startsAtDefault,
  type Recording,
  type RecordedSignal,
  type RecordingOptions,
} from "./recording.ts"
import { irregularRemark, localTimeRemark, noStartRemark } from "./remark.ts"
import { decimalsOf, parseDecimal, readRows, requireColumns, requireDecimal, requireTime } from "./row.ts"
import { periodOf, sampledSignals } from "./sampling.ts"

// Counts of a sensor's converter: no unit.
const name = { metric: "ppg", unit: null } as const

export type PpgLayout = "timer" | "datetime" | "column"

/** Which of the three layouts a head shows, or null. One column may have a name above it. */
export function ppgLayoutOf(head: readonly string[]): PpgLayout | null {
  const cells = (head[0] ?? "").split(",").map((cell) => cell.trim())
  if (cells.length === 2 && (cells[0] === "timer" || cells[0] === "datetime")) return cells[0]
  const values = head.filter((line) => line !== "").map(unquote)
  const start = /^[A-Za-z_]{1,20}$/.test(values[0] ?? "") ? 1 : 0
  return values.length > start && values.slice(start).every(isValueOrHole) ? "column" : null
}

export async function readPpg(
  file: string,
  layout: PpgLayout,
  options: RecordingOptions,
): Promise<Recording> {
  const read = { timer: readTimer, datetime: readDatetime, column: readColumn }[layout]
  const { signals, remarks } = await read(file, options)
  return { format: "ppg", files: [file], signals, remarks }
}

type Found = Pick<Recording, "signals" | "remarks">

/** `timer,value`: milliseconds since the beginning; a waveform where they are regular, points where they are not. */
async function readTimer(file: string, options: RecordingOptions): Promise<Found> {
  const startsAt = options.startsAt ?? startsAtDefault
  const timesMs: number[] = []
  const values: number[] = []
  const decimals = { time: 0, value: 0 }
  for await (const row of readRows(file, ",")) {
    if (row.line === 1) continue
    requireColumns(row, 2)
    timesMs.push(requireDecimal(row, 0, "timer"))
    values.push(requireDecimal(row, 1, "a sample"))
    decimals.time = Math.max(decimals.time, decimalsOf(row.cells[0] ?? ""))
    decimals.value = Math.max(decimals.value, decimalsOf(row.cells[1] ?? ""))
  }
  const remarks = options.startsAt === undefined ? [noStartRemark] : []
  const first = timesMs[0]
  if (first === undefined) return { signals: [], remarks }
  const periodMs = periodOf(timesMs, decimals.time)
  if (periodMs === null) {
    const times = timesMs.map((ms) => startsAt + ms / 1000)
    return { signals: [{ kind: "points", ...name, times, values }], remarks: [...remarks, irregularRemark] }
  }
  const sampling = { startsAt: startsAt + first / 1000, periodMs, decimals: decimals.value }
  return { signals: sampledSignals(name, sampling, values), remarks }
}

/** `datetime,value`: as clocks tick, many samples share a time; they stay points in the file's order. */
async function readDatetime(file: string): Promise<Found> {
  const times: number[] = []
  const values: number[] = []
  for await (const row of readRows(file, ",")) {
    if (row.line === 1) continue
    requireColumns(row, 2)
    times.push(
      requireTime(row, parseLocal(row.cells[0] ?? ""), "a datetime must be YYYY-MM-DD hh:mm:ss.ffffff"),
    )
    values.push(requireDecimal(row, 1, "a sample"))
  }
  const signals: RecordedSignal[] = values.length === 0 ? [] : [{ kind: "points", ...name, times, values }]
  return { signals, remarks: [localTimeRemark] }
}

/** One column of samples at a rate that the caller knows; a row without a value is a hole, and time goes on over it. */
async function readColumn(file: string, options: RecordingOptions): Promise<Found> {
  const { rateHz } = options
  if (rateHz === undefined) {
    throw new RecordingError(file, null, "is one column without times: give its rate in samples a second")
  }
  if (!(rateHz > 0) || !Number.isFinite(rateHz)) throw new RangeError("a rate is above 0 samples a second")
  const startsAt = options.startsAt ?? startsAtDefault
  const periodMs = 1000 / rateHz
  const signals: RecordedSignal[] = []
  let values: number[] = []
  let decimals = 0
  let taken = 0
  let holes = 0
  const finish = (): void => {
    const from = startsAt + ((taken - values.length) * periodMs) / 1000
    signals.push(...sampledSignals(name, { startsAt: from, periodMs, decimals }, values))
    values = []
    decimals = 0
  }
  for await (const row of readRows(file, ",")) {
    requireColumns(row, 1)
    const text = unquote(row.cells[0] ?? "")
    if (text === "") {
      finish()
      holes++
      taken++
      continue
    }
    if (row.line === 1 && parseDecimal(text) === null) continue
    values.push(requireDecimal({ ...row, cells: [text] }, 0, "a sample"))
    decimals = Math.max(decimals, decimalsOf(text))
    taken++
  }
  finish()
  const remarks = options.startsAt === undefined ? [noStartRemark] : []
  if (holes > 0) remarks.push(`${holes} rows without a value are holes`)
  return { signals, remarks }
}

function isValueOrHole(text: string): boolean {
  return text === "" || parseDecimal(text) !== null
}

/** `""` is how a hole in one column is written. */
function unquote(text: string): string {
  return text.trim().replace(/^"(.*)"$/, "$1")
}
