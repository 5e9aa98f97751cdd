/** Glucose values as sensors give them, and the unit that a file's header says. */
import type { SignalCollector } from "./collect.ts"
import { RecordingError } from "./recording.ts"
import type { FileDecimals } from "./file-decimals.ts"
import { type Row, carriesText, fault } from "./row.ts"

export type GlucoseUnit = "mg/dL" | "mmol/L"

/** The unit at the end of a column's name, `Glucose Value (mg/dl)` or `Historic Glucose mmol/L`, in UCUM. */
export function glucoseUnitOf(column: string): GlucoseUnit | null {
  const unit = /[ (](mg\/dl|mmol\/l)\)?$/i.exec(column)?.[1]?.toLowerCase()
  return unit === undefined ? null : unit === "mg/dl" ? "mg/dL" : "mmol/L"
}

interface Glucose {
  readonly metric: string
  readonly unit: string
  /** The time's number in the file. */
  readonly at: number
  readonly text: string
}

/** The values of a file: a unit that they cannot have is a wrong header, or a spreadsheet that converted one of both. */
export class GlucoseValues {
  private readonly collector: SignalCollector
  private readonly decimals: FileDecimals
  private readonly ranges = new Map<string, { low: number; high: number; line: number }>()

  constructor(collector: SignalCollector, decimals: FileDecimals) {
    this.collector = collector
    this.decimals = decimals
  }

  /** A number, or the word that the device says beyond its range, such as Low. */
  add(row: Row, { metric, unit, at, text }: Glucose): void {
    const value = this.decimals.parse(row, text)
    if (value !== null) {
      // Ketones are in mmol/L in every country.
      if (metric.startsWith("glucose")) this.widen(row, unit, value)
      this.collector.addNumber(metric, unit, at, value)
    } else if (/^\p{L}+$/u.test(text) && carriesText(text)) this.collector.addText(metric, unit, at, text)
    else throw fault(row, `${metric} must be a decimal number, or a word such as Low or High`)
  }

  private widen(row: Row, unit: string, value: number): void {
    const { low = value, high = value, line = row.line } = this.ranges.get(unit) ?? {}
    this.ranges.set(unit, { low: Math.min(low, value), high: Math.max(high, value), line })
  }

  /**
   * Sensors and strips measure 20 to 600 mg/dL, which is 1.1 to 33.3 mmol/L: the ranges hardly meet.
   *
   * @throws RecordingError if all values of the file are out of the range that the header's unit has
   */
  decide(file: string): void {
    const mass = this.ranges.get("mg/dL")
    if (mass !== undefined && mass.high < 34)
      throw new RecordingError(
        file,
        mass.line,
        "the header says mg/dL, and all values are in the range of mmol/L",
      )
    const moles = this.ranges.get("mmol/L")
    if (moles !== undefined && moles.low > 34)
      throw new RecordingError(
        file,
        moles.line,
        "the header says mmol/L, and all values are in the range of mg/dL",
      )
  }
}
