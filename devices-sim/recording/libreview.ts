import { parseAmericanLocal } from "./clock-time.ts"
import { SignalCollector, Tally } from "./collect.ts"
import { addGlucose } from "./dexcom.ts"
import { RecordingError, type Recording } from "./recording.ts"
import { localTimeRemark } from "./remark.ts"
import { carriesText, fault, readCsvRows, requireTime, type Row } from "./row.ts"

/** Record types whose value is in a column with the unit in its name. */
const measured = [
  { type: "0", metric: "glucose", column: /^Historic Glucose (mg\/dL|mmol\/L)$/ },
  { type: "1", metric: "glucose-scan", column: /^Scan Glucose (mg\/dL|mmol\/L)$/ },
  { type: "2", metric: "glucose-strip", column: /^Strip Glucose (mg\/dL|mmol\/L)$/ },
  { type: "3", metric: "ketone", column: /^Ketone (mmol\/L)$/ },
] as const

const noteType = "6"
const timeRule = "a time must be month/day/year hour:minute, as 1/31/20 8:05 or 01-31-2020 08:05 AM"

interface Columns {
  readonly time: number
  readonly type: number
  readonly note: number
  readonly values: ReadonlyMap<
    string,
    { readonly metric: string; readonly unit: string; readonly index: number }
  >
}

export function isLibreView(head: readonly string[]): boolean {
  return head.slice(0, 4).some((line) => line.includes("Device Timestamp") && line.includes("Record Type"))
}

/** A LibreView export: a banner row (about a person: not read), a header, then rows whose types take turns in time. */
export async function readLibreView(file: string): Promise<Recording> {
  const collector = new SignalCollector()
  const left = new Tally()
  let columns: Columns | null = null
  for await (const row of readCsvRows(file)) {
    if (columns === null) {
      if (row.cells.includes("Device Timestamp")) columns = columnsOf(row)
      continue
    }
    const type = row.cells[columns.type] ?? ""
    if (!/^\d+$/.test(type)) throw fault(row, "a record type must be a whole number")
    const at = requireTime(row, parseAmericanLocal(row.cells[columns.time] ?? ""), timeRule)
    const value = columns.values.get(type)
    if (value !== undefined) {
      const { metric, unit, index } = value
      addGlucose(collector, row, { metric, unit, at, glucose: row.cells[index] ?? "" })
    } else if (type === noteType) {
      // The row says that somebody made a note, even where the export left its words out.
      const note = row.cells[columns.note] ?? ""
      if (carriesText(note)) collector.addText("note", null, at, note)
      else left.add("notes are left out: over 1,000 characters, or control characters in them")
    } else left.add("rows of other record types than 0, 1, 2, 3 and 6 are left out")
  }
  if (columns === null) throw new RecordingError(file, null, "has no header row with Device Timestamp")
  const remarks = [localTimeRemark, ...left.remarks()]
  return { format: "freestyle-libreview", files: [file], signals: collector.finish(), remarks }
}

function columnsOf(row: Row): Columns {
  const values = new Map<string, { metric: string; unit: string; index: number }>()
  for (const { type, metric, column } of measured) {
    const index = row.cells.findIndex((cell) => column.test(cell))
    const unit = column.exec(row.cells[index] ?? "")?.[1]
    if (unit !== undefined) values.set(type, { metric, unit, index })
  }
  const type = row.cells.indexOf("Record Type")
  if (type < 0 || !values.has("0")) {
    throw fault(row, "the header must have the columns Record Type and Historic Glucose mg/dL or mmol/L")
  }
  return { time: row.cells.indexOf("Device Timestamp"), type, note: row.cells.indexOf("Notes"), values }
}
