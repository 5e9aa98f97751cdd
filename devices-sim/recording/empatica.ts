import { basename } from "node:path"
import { SignalCollector, Tally } from "./collect.ts"
import { RecordingError, type Recording, type RecordedSignal } from "./recording.ts"
import {
  cutReason,
  decimalsOf,
  fault,
  parseDecimal,
  readRows,
  requireColumns,
  requireDecimal,
  requireTime,
  type Row,
} from "./row.ts"
import { pointsAtRate, sampledSignals } from "./sampling.ts"

interface Member {
  /** One per column. */
  readonly metrics: readonly string[]
  readonly unit: string | null
}

/**
 * The sampled members: row 1 is the start in Unix seconds, row 2 the rate in Hz, then a row per sample.
 * `[g]/64` (UCUM) since the file counts 64ths of g; `uS` since SenML has S only; BVP has no unit.
 */
const sampled: Readonly<Record<string, Member>> = {
  "acc.csv": { metrics: ["acc-x", "acc-y", "acc-z"], unit: "[g]/64" },
  "bvp.csv": { metrics: ["bvp"], unit: null },
  "eda.csv": { metrics: ["eda"], unit: "uS" },
  "temp.csv": { metrics: ["skin-temperature"], unit: "Cel" },
  "hr.csv": { metrics: ["heart-rate"], unit: "beat/min" },
}

// ACC (32 Hz) and BVP (64 Hz) are waveforms; EDA, TEMP (4 Hz) and HR (1 Hz) are looked at one by one.
const waveformRateMin = 16
const startRule = "row 1 of an E4 file must be the start in Unix seconds"

export function isEmpatica(file: string, head: readonly string[]): boolean {
  const name = basename(file).toLowerCase()
  const [start, rate] = head.map((line) => line.split(",").map((cell) => cell.trim()))
  if (!start?.every((cell, i) => isUnix(cell) || (i === 1 && cell === "IBI"))) return false
  if (start[1] === "IBI" && start.length === 2) return true
  if (name === "tags.csv") return start.length === 1
  // A member that ends after its start holds no readings, which only its name can tell.
  if (rate === undefined || rate.join("") === "") return name in sampled
  return rate.length === start.length && rate.every(isRate)
}

/** Whether a name is one of an E4 export: such files may be empty, so that their content says nothing. */
export function isEmpaticaName(file: string): boolean {
  const name = basename(file).toLowerCase()
  return name in sampled || name === "ibi.csv" || name === "tags.csv"
}

function isUnix(cell: string): boolean {
  return /^\d{9,10}(\.\d+)?$/.test(cell)
}

function isRate(cell: string): boolean {
  return /^\d{1,4}(\.\d+)?$/.test(cell)
}

export async function readEmpatica(files: readonly string[]): Promise<Recording> {
  const signals: RecordedSignal[] = []
  const remarks: string[] = []
  for (const file of files) {
    const left = new Tally()
    const found = await readMember(file, left)
    if (found.length === 0) remarks.push(`${basename(file)} holds no readings`)
    remarks.push(...left.remarks().map((remark) => `${basename(file)}: ${remark}`))
    signals.push(...found)
  }
  return { format: "empatica-e4", files, signals, remarks }
}

async function readMember(file: string, left: Tally): Promise<RecordedSignal[]> {
  const name = basename(file).toLowerCase()
  const member = sampled[name]
  if (member !== undefined) return readSampled(file, member, left)
  if (name === "tags.csv") return readTags(file, left)
  if (name === "ibi.csv") return readIntervals(file, left)
  const rule = "an E4 file says only by its name what it holds: ACC, BVP, EDA, TEMP, HR, IBI or tags .csv"
  throw new RecordingError(file, null, rule)
}

async function readSampled(file: string, { metrics, unit }: Member, left: Tally): Promise<RecordedSignal[]> {
  const columns = metrics.map(() => ({ values: [] as number[], decimals: 0 }))
  let startsAt: number | null = null
  let rateHz: number | null = null
  for await (const row of readRows(file, ",")) {
    if (leftOutAsCut(row, left, 2)) continue
    requireColumns(row, metrics.length)
    if (startsAt === null) startsAt = requireSame(row, startRule)
    else if (rateHz === null) rateHz = requireRate(row)
    else
      for (const [column, { values }] of columns.entries()) {
        values.push(requireDecimal(row, column, "a sample"))
        const decimals = decimalsOf(row.cells[column] ?? "")
        const counted = columns[column]
        if (counted !== undefined && decimals > counted.decimals) counted.decimals = decimals
      }
  }
  if (startsAt === null || rateHz === null) return []
  const sampling = { startsAt, periodMs: 1000 / rateHz }
  return metrics.flatMap((metric, column) => {
    const { values, decimals } = columns[column] ?? { values: [], decimals: 0 }
    if (values.length === 0) return []
    return rateHz >= waveformRateMin
      ? sampledSignals({ metric, unit }, { ...sampling, decimals }, values)
      : [pointsAtRate({ metric, unit }, sampling, values)]
  })
}

/** @param headerRows whose last one may have no line end: an E4 member may end after its header, with no readings */
function leftOutAsCut(row: Row, left: Tally, headerRows: number): boolean {
  if (!row.isCut || row.line <= headerRows) return false
  left.add(`rows are left out: ${cutReason}`)
  return true
}

/** The header repeats one number per column. */
function requireSame(row: Row, rule: string): number {
  const value = requireTime(row, parseDecimal(row.cells[0] ?? ""), rule)
  if (!row.cells.every((cell) => parseDecimal(cell) === value))
    throw fault(row, `${rule}, the same in each column`)
  return value
}

function requireRate(row: Row): number {
  const rate = requireDecimal(row, 0, "row 2 of an E4 file, its rate in Hz,")
  if (!(rate > 0) || !row.cells.every((cell) => parseDecimal(cell) === rate)) {
    throw fault(row, "row 2 of an E4 file must be its rate in Hz, above 0, the same in each column")
  }
  return rate
}

/** IBI.csv: `start, IBI`, then rows of seconds since the start and the interval in seconds; beats are missing at will. */
async function readIntervals(file: string, left: Tally): Promise<RecordedSignal[]> {
  const collector = new SignalCollector()
  let startsAt: number | null = null
  for await (const row of readRows(file, ",")) {
    if (leftOutAsCut(row, left, 1)) continue
    requireColumns(row, 2)
    if (startsAt === null) startsAt = requireTime(row, parseDecimal(row.cells[0] ?? ""), startRule)
    else {
      const time = requireTime(row, startsAt + requireDecimal(row, 0, "an offset"), startRule)
      collector.addNumber("rr-interval", "s", time, requireDecimal(row, 1, "an interval"))
    }
  }
  return collector.finish()
}

/** tags.csv: a Unix time per press of the button. */
async function readTags(file: string, left: Tally): Promise<RecordedSignal[]> {
  const collector = new SignalCollector()
  for await (const row of readRows(file, ",")) {
    if (leftOutAsCut(row, left, 0)) continue
    requireColumns(row, 1)
    const time = requireTime(row, parseDecimal(row.cells[0] ?? ""), "a tag must be a time in Unix seconds")
    collector.addText("event", null, time, "button")
  }
  return collector.finish()
}
