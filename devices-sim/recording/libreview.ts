import { SignalCollector, Tally } from "./collect.ts"
import { FileDecimals } from "./file-decimals.ts"
import { FileTimes } from "./file-times.ts"
import { GlucoseValues, glucoseUnitOf } from "./glucose.ts"
import { RecordingError, type Recording, type RecordingOptions } from "./recording.ts"
import { carriesText, cutReason, delimiterOf, fault, readCsvRows, type Row } from "./row.ts"

/** LibreView in one language: its columns' names, without the unit that ends some. */
interface Language {
  readonly time: string
  readonly type: string
  readonly historic: string
  readonly scan: string
  readonly strip: string
  readonly ketone: string
  readonly note: string
}

const languages: readonly Language[] = [
  {
    time: "Device Timestamp",
    type: "Record Type",
    historic: "Historic Glucose",
    scan: "Scan Glucose",
    strip: "Strip Glucose",
    ketone: "Ketone",
    note: "Notes",
  },
  {
    time: "Gerätezeitstempel",
    type: "Aufzeichnungstyp",
    historic: "Glukosewert-Verlauf",
    scan: "Glukose-Scan",
    strip: "Glukose-Teststreifen",
    ketone: "Keton",
    note: "Notizen",
  },
  {
    time: "Sello de tiempo del dispositivo",
    type: "Tipo de registro",
    historic: "Historial de glucosa",
    scan: "Escaneo de glucosa",
    strip: "Tira reactiva para glucosa",
    ketone: "Cetona",
    note: "Notas",
  },
  {
    time: "Tijdstempel apparaat",
    type: "Gegevenstype",
    historic: "Historische glucose",
    scan: "Scan Glucose",
    strip: "Strip Glucose",
    ketone: "Keton",
    note: "Notities",
  },
]

/** Record types whose value is in a column with the unit in its name. */
const measured = [
  { type: "0", metric: "glucose", column: "historic" },
  { type: "1", metric: "glucose-scan", column: "scan" },
  { type: "2", metric: "glucose-strip", column: "strip" },
  { type: "3", metric: "ketone", column: "ketone" },
] as const

const noteType = "6"

interface Columns {
  readonly count: number
  readonly time: number
  readonly type: number
  readonly note: number
  readonly values: ReadonlyMap<
    string,
    { readonly metric: string; readonly unit: string; readonly index: number }
  >
}

export function isLibreView(head: readonly string[]): boolean {
  const delimiter = delimiterOf(head)
  return head.slice(0, 5).some((line) => languageOf(line.replaceAll('"', "").split(delimiter)) !== null)
}

function languageOf(cells: readonly string[]): Language | null {
  const names = cells.map((cell) => cell.trim())
  return languages.find(({ time, type }) => names.includes(time) && names.includes(type)) ?? null
}

/** A LibreView export: a banner row (about a person: not read), a header, then rows whose types take turns in time. */
export async function readLibreView(file: string, options: RecordingOptions): Promise<Recording> {
  const collector = new SignalCollector()
  const decimals = new FileDecimals()
  const values = new GlucoseValues(collector, decimals)
  const times = new FileTimes(file, options)
  const left = new Tally()
  let columns: Columns | null = null
  for await (const row of readCsvRows(file)) {
    if (columns === null) {
      columns = columnsOf(row)
      // The banner says when the export was made, in the order that the account has for all dates.
      if (columns === null) for (const cell of row.cells) times.addOther(cell.replace(/ UTC$/, ""))
      continue
    }
    if (row.cells.length !== columns.count) {
      if (row.isCut) left.add(`rows are left out: ${cutReason}`)
      else throw fault(row, `must have ${columns.count} columns as the header has, has ${row.cells.length}`)
      continue
    }
    const type = row.cells[columns.type] ?? ""
    if (!/^\d+$/.test(type)) throw fault(row, "a record type must be a whole number")
    const time = row.cells[columns.time] ?? ""
    const value = columns.values.get(type)
    if (value !== undefined) {
      const { metric, unit, index } = value
      const text = row.cells[index] ?? ""
      if (text === "") left.add(`rows of record type ${type} are left out: they have no value`)
      else values.add(row, { metric, unit, at: times.add(row, time, type), text })
    } else if (type === noteType) {
      // The row says that somebody made a note, even where the export left its words out.
      const note = row.cells[columns.note] ?? ""
      if (carriesText(note)) collector.addText("note", null, times.add(row, time, type), note)
      else left.add("notes are left out: over 1,000 characters, or control characters in them")
    } else left.add(`rows of record type ${typeName(type)} are left out`)
  }
  if (columns === null) throw new RecordingError(file, null, "has no header row with Device Timestamp")
  decimals.decide()
  values.decide(file)
  const decided = times.decide()
  const remarks = [...decided.remarks, ...left.remarks()]
  return {
    format: "freestyle-libreview",
    files: [file],
    signals: collector.finish(decided.instants),
    remarks,
  }
}

function typeName(type: string): string {
  const names: Readonly<Record<string, string>> = { "4": "4 (insulin)", "5": "5 (food)" }
  return names[type] ?? (type.length <= 3 ? type : "of over three digits")
}

/** Where the columns are, or null for a row that is not the header. */
function columnsOf(row: Row): Columns | null {
  const language = languageOf(row.cells)
  if (language === null) return null
  const values = new Map<string, { metric: string; unit: string; index: number }>()
  for (const { type, metric, column } of measured) {
    const index = row.cells.findIndex(
      (cell) => cell.startsWith(`${language[column]} `) && glucoseUnitOf(cell) !== null,
    )
    const unit = glucoseUnitOf(row.cells[index] ?? "")
    if (unit !== null) values.set(type, { metric, unit, index })
  }
  if (!values.has("0")) {
    throw fault(
      row,
      `the header must have the columns ${language.type} and ${language.historic} mg/dL or mmol/L`,
    )
  }
  return {
    count: row.cells.length,
    time: row.cells.indexOf(language.time),
    type: row.cells.indexOf(language.type),
    note: row.cells.indexOf(language.note),
    values,
  }
}
