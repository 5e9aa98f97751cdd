import { parseLocal } from "./clock-time.ts"
import { SignalCollector, Tally } from "./collect.ts"
import { RecordingError, type Recording } from "./recording.ts"
import { localTimeRemark } from "./remark.ts"
import { carriesText, fault, parseDecimal, readCsvRows, requireTime, type Row } from "./row.ts"

const timeColumn = /^Timestamp \(YYYY-MM-DDThh:mm:ss\)$/
// mg/dL and mmol/L are UCUM, as sent: SenML has neither, and a changed number would not be what the device said.
const glucoseColumn = /^Glucose Value \((mg\/dL|mmol\/L)\)$/

/** Event types that are a glucose value, by metric. */
const metrics: Readonly<Record<string, string>> = { EGV: "glucose", Calibration: "glucose-calibration" }

interface Columns {
  readonly time: number
  readonly type: number
  readonly glucose: number
  readonly unit: string
}

export function isDexcom(head: readonly string[]): boolean {
  const first = (head[0] ?? "").replaceAll('"', "")
  return first.startsWith("Index,Timestamp (") && first.includes(",Event Type,")
}

/**
 * A Clarity export. Rows without a time (whose device it is, its alerts) are about a person and are not read.
 * Values such as "Low" and "High" are texts of the same metric.
 */
export async function readDexcom(file: string): Promise<Recording> {
  const collector = new SignalCollector()
  const left = new Tally()
  let columns: Columns | null = null
  for await (const row of readCsvRows(file)) {
    if (columns === null) {
      columns = columnsOf(row)
      continue
    }
    const time = row.cells[columns.time] ?? ""
    if (time === "") continue
    const at = requireTime(row, parseLocal(time), "a timestamp must be YYYY-MM-DDThh:mm:ss")
    const metric = metrics[row.cells[columns.type] ?? ""]
    const glucose = row.cells[columns.glucose] ?? ""
    if (metric === undefined) left.add("rows of other event types than EGV and Calibration are left out")
    else addGlucose(collector, row, { metric, unit: columns.unit, at, glucose })
  }
  if (columns === null) throw new RecordingError(file, null, "has no header row")
  const remarks = [localTimeRemark, ...left.remarks()]
  return { format: "dexcom-clarity", files: [file], signals: collector.finish(), remarks }
}

function columnsOf(row: Row): Columns {
  const glucose = row.cells.findIndex((cell) => glucoseColumn.test(cell))
  const unit = glucoseColumn.exec(row.cells[glucose] ?? "")?.[1]
  const time = row.cells.findIndex((cell) => timeColumn.test(cell))
  const type = row.cells.indexOf("Event Type")
  if (time < 0 || type < 0 || unit === undefined) {
    const names = "Timestamp (YYYY-MM-DDThh:mm:ss), Event Type and Glucose Value (mg/dL or mmol/L)"
    throw fault(row, `the header must have the columns ${names}`)
  }
  return { time, type, glucose, unit }
}

interface Glucose {
  readonly metric: string
  readonly unit: string
  readonly at: number
  readonly glucose: string
}

/** A glucose value: a number, or the word that the device says beyond its range. */
export function addGlucose(
  collector: SignalCollector,
  row: Row,
  { metric, unit, at, glucose }: Glucose,
): void {
  const value = parseDecimal(glucose)
  if (value !== null) collector.addNumber(metric, unit, at, value)
  else if (/^[A-Za-z]+$/.test(glucose) && carriesText(glucose)) collector.addText(metric, unit, at, glucose)
  else throw fault(row, `${metric} must be a decimal number, or a word such as Low or High`)
}
