import type { Tick } from "./clock-pass.ts"
import { SignalCollector, Tally } from "./collect.ts"
import { FileDecimals } from "./file-decimals.ts"
import { FileTimes } from "./file-times.ts"
import { type GlucoseUnit, GlucoseValues, glucoseUnitOf } from "./glucose.ts"
import { RecordingError, type Recording, type RecordingOptions } from "./recording.ts"
import { cutReason, delimiterOf, fault, readCsvRows, type Row } from "./row.ts"

/** Clarity in one language: the beginnings of its columns' names, and its event types by what they are. */
interface Language {
  readonly time: string
  readonly type: string
  readonly glucose: string
  readonly events: Readonly<Record<string, "EGV" | "Calibration">>
}

const languages: readonly Language[] = [
  {
    time: "Timestamp (",
    type: "Event Type",
    glucose: "Glucose Value (",
    events: { EGV: "EGV", Calibration: "Calibration" },
  },
  {
    time: "Zeitstempel (",
    type: "Ereignistyp",
    glucose: "Glukosewert (",
    events: { EGV: "EGV", EGW: "EGV", Calibration: "Calibration", Kalibrierung: "Calibration" },
  },
  {
    time: "Marca temporal (",
    type: "Tipo de evento",
    glucose: "Nivel de glucosa (",
    events: {
      EGV: "EGV",
      "Niveles estimados de glucosa": "EGV",
      Calibration: "Calibration",
      Calibración: "Calibration",
    },
  },
  {
    time: "Časové razítko (",
    type: "Typ události",
    glucose: "Hodnota glukózy (",
    events: { EGV: "EGV", "Odhadovaná hodnota glukózy": "EGV", Kalibrace: "Calibration" },
  },
]

/** Transmitter time and id: their names differ by language, and their places in the 14 columns do not. */
const tickPlace = 12

const metrics = { EGV: "glucose", Calibration: "glucose-calibration" } as const

/** Types that are named where their rows are left out. Others may be anything, and are not printed. */
const leftTypes = ["Insulin", "Carbs", "Exercise", "Health", "Notes", "Alert", "Alarm"]

interface Columns {
  readonly count: number
  readonly language: Language
  readonly time: number
  readonly type: number
  readonly glucose: number
  readonly unit: GlucoseUnit
}

export function isDexcom(head: readonly string[]): boolean {
  const line = (/^sep=/i.test(head[0] ?? "") ? head[1] : head[0]) ?? ""
  const cells = line.replaceAll('"', "").split(delimiterOf(head))
  return languageOf(cells) !== null
}

function languageOf(cells: readonly string[]): Language | null {
  const found = languages.find(
    ({ time, type }) =>
      cells.some((cell) => cell.trim().startsWith(time)) && cells.some((cell) => cell.trim() === type),
  )
  return found ?? null
}

/**
 * A Clarity export. Rows without a time (whose device it is, its alerts) are about a person and are not read.
 * Values such as "Low" and "High" are texts of the same metric.
 */
export async function readDexcom(file: string, options: RecordingOptions): Promise<Recording> {
  const collector = new SignalCollector()
  const decimals = new FileDecimals()
  const values = new GlucoseValues(collector, decimals)
  const times = new FileTimes(file, options)
  const left = new Tally()
  let columns: Columns | null = null
  for await (const row of readCsvRows(file)) {
    if (columns === null) {
      columns = columnsOf(row)
      continue
    }
    if (row.cells.length !== columns.count) {
      if (row.isCut) left.add(`rows are left out: ${cutReason}`)
      else throw fault(row, `must have ${columns.count} columns as the header has, has ${row.cells.length}`)
      continue
    }
    const type = row.cells[columns.type] ?? ""
    const event = columns.language.events[type]
    const glucose = row.cells[columns.glucose] ?? ""
    const time = row.cells[columns.time] ?? ""
    if (time === "" && event !== undefined && glucose !== "")
      throw fault(row, `a row of the event type ${event} must have a timestamp`)
    if (time === "") left.add(`rows without a time are left out: ${aboutOf(type)}`)
    else if (event === undefined) left.add(`rows of ${eventName(type)} are left out`)
    else if (glucose === "") left.add(`rows of the event type ${event} are left out: they have no value`)
    else {
      const at = times.add(row, time, event, tickOf(row))
      values.add(row, { metric: metrics[event], unit: columns.unit, at, text: glucose })
    }
  }
  if (columns === null) throw new RecordingError(file, null, "has no header row")
  decimals.decide()
  values.decide(file)
  const decided = times.decide()
  const remarks = [...decided.remarks, ...left.remarks()]
  return { format: "dexcom-clarity", files: [file], signals: collector.finish(decided.instants), remarks }
}

/** The transmitter counts seconds on its own; the clock next to it is the phone's. */
function tickOf({ cells }: Row): Tick | null {
  const text = cells[tickPlace] ?? ""
  return /^\d{1,12}(\.0)?$/.test(text) ? { sensor: cells[tickPlace + 1] ?? "", seconds: Number(text) } : null
}

function aboutOf(type: string): string {
  return type === "Alert" ? "settings of alerts" : "about the person and the device"
}

function eventName(type: string): string {
  return leftTypes.includes(type) ? `the event type ${type}` : "an event type other than EGV and Calibration"
}

function columnsOf(row: Row): Columns {
  const language = languageOf(row.cells)
  const glucose = row.cells.findIndex((cell) => language !== null && cell.startsWith(language.glucose))
  const unit = glucoseUnitOf(row.cells[glucose] ?? "")
  if (language === null || unit === null) {
    const names = "Timestamp (YYYY-MM-DDThh:mm:ss), Event Type and Glucose Value (mg/dL or mmol/L)"
    throw fault(row, `the header must have the columns ${names}, in English, German, Spanish or Czech`)
  }
  const time = row.cells.findIndex((cell) => cell.startsWith(language.time))
  return { count: row.cells.length, language, time, type: row.cells.indexOf(language.type), glucose, unit }
}
