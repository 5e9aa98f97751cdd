/** The times of one file: gathered row by row, and decided as a whole once all of them are known. */
import { absoluteTimeMin } from "../../chain/senml.ts"
import { type PlacedTime, decideDateOrder } from "./date-order.ts"
import { type PassRow, type Tick, decidePasses, findChangedClock } from "./clock-pass.ts"
import { RecordingError, type RecordingOptions } from "./recording.ts"
import { fault, type Row } from "./row.ts"
import { type DateOrder, type WrittenTime, dayOf, parseWrittenTime, withFraction } from "./written-time.ts"
import { Zone } from "./zone.ts"

export const timeRule =
  "a time must be a date and a clock time, as 2026-01-31 08:05, 31/01/2026 8:05 or 01-31-2026 08:05 AM"

export interface DecidedTimes {
  /** Unix seconds, by the number that `add` gave. */
  readonly instants: readonly number[]
  /** How the file was read, for its user. */
  readonly remarks: readonly string[]
}

export class FileTimes {
  private readonly file: string
  private readonly options: RecordingOptions
  private readonly times: PlacedTime[] = []
  private readonly others: WrittenTime[] = []
  private readonly ticks: (Tick | null)[] = []

  constructor(file: string, options: RecordingOptions) {
    this.file = file
    this.options = options
  }

  /**
   * @param series what follows one another in the file: rows of several kinds may each go through the same days
   * @param tick what a counter of the sensor showed, where the file has one: it is never set back
   * @returns the time's number among `instants`
   * @throws RecordingError if the text is no time, or written otherwise than those before it
   */
  add(row: Row, text: string, series: string, tick: Tick | null = null): number {
    const time = parseWrittenTime(text)
    if (time === null && /^\d{5}([.,]\d+)?$/.test(text))
      throw fault(
        row,
        "the time is a spreadsheet's day number, which may count from 1900 or 1904: save times as text",
      )
    if (time === null) throw fault(row, timeRule)
    const [first] = this.times
    // A spreadsheet rewrites the dates that it takes for its own and leaves the others: such a file has two orders.
    if (first !== undefined && first.time.form !== time.form)
      throw fault(
        row,
        `the time is written in another form than that of line ${first.line}: a file has one form`,
      )
    this.ticks.push(tick)
    return this.times.push({ time, line: row.line, series }) - 1
  }

  /** A time outside the rows, such as when the file was made: if it has their form, it has their order. */
  addOther(text: string): void {
    const time = parseWrittenTime(text)
    if (time !== null) this.others.push(time)
  }

  /** @throws RecordingError naming every option that the file needs and does not have */
  decide(): DecidedTimes {
    const [first] = this.times
    if (first === undefined) return { instants: [], remarks: [] }
    const needs: string[] = []
    const remarks: string[] = []
    const order = this.decideOrder(first, needs, remarks)
    const isLocal = first.time.offset === null
    if (isLocal && this.options.timezone === undefined)
      needs.push(
        "times are local, without an offset: name the zone that the device's clock kept with --timezone, as --timezone Europe/Berlin",
      )
    if (order === null || needs.length > 0) throw new RecordingError(this.file, null, needs.join("; and "))
    const local = this.times.map(({ time }) => (dayOf(time, order) ?? 0) * 86_400 + time.secondOfDay)
    const whole = isLocal
      ? this.inZone(local, new Zone(this.options.timezone ?? "UTC"), remarks)
      : local.map((seconds, at) => seconds - (this.times[at]?.time.offset ?? 0))
    const instants = whole.map((seconds, at) => withFraction(seconds, this.times[at]?.time.fraction))
    const early = instants.findIndex((instant) => instant < absoluteTimeMin)
    if (early >= 0)
      throw this.faultAt(early, "a time before 1978-07-04T21:24:16Z cannot be absolute in SenML")
    return { instants, remarks }
  }

  private decideOrder(first: PlacedTime, needs: string[], remarks: string[]): DateOrder | null {
    const sharesForm = this.others.filter(
      ({ numbers, yearAt }) => yearAt === first.time.yearAt && numbers.length === first.time.numbers.length,
    )
    const given = this.options.dates ?? null
    const verdict = decideDateOrder(this.times, sharesForm, given)
    if (verdict.kind === "decided") {
      if (verdict.order !== "ymd" || first.time.yearAt !== "first")
        remarks.push(`dates are ${nameOf(verdict.order)}: ${verdict.by}`)
      return verdict.order
    }
    if (verdict.kind === "impossible") {
      const asked = given === null ? "" : ` as ${nameOf(given)}, which --dates ${given} asks for`
      throw new RecordingError(
        this.file,
        verdict.line,
        `the date is in no calendar${asked}, or the rows before it have another order`,
      )
    }
    const options = verdict.orders.map((one) => `--dates ${one} (${nameOf(one)})`).join(" or ")
    needs.push(
      `day and month of its dates can change places, and nothing in the file decides: give ${options}`,
    )
    return null
  }

  /** Local times by a zone; the hours that it has twice are decided by `PassOrder`. */
  private inZone(local: readonly number[], zone: Zone, remarks: string[]): number[] {
    remarks.push(`local times are read in ${zone.name}`)
    const choices = local.map((seconds) => zone.instantsOf(seconds))
    const missing = choices.findIndex(({ length }) => length === 0)
    if (missing >= 0)
      throw this.faultAt(
        missing,
        `the local time does not exist in ${zone.name}: clocks were set forward over it. Name the zone that the clock kept`,
      )
    const { instants, told, faultAt } = decidePasses(this.rows(local, choices))
    if (faultAt !== null)
      throw this.faultAt(
        faultAt,
        `${zone.name} has this hour twice, and the order of the rows does not say which is which: export the days before and after on their own`,
      )
    remarks.push(...told)
    const changed = findChangedClock(instants, this.ticks)
    if (changed !== null)
      throw this.faultAt(
        changed,
        `the device's clock was changed here against the sensor's own counter, so that ${zone.name} does not fit the whole file: export the days of each zone on their own`,
      )
    return instants
  }

  private rows(local: readonly number[], choices: readonly (readonly number[])[]): PassRow[] {
    return local.map((seconds, at) => ({
      local: seconds,
      choices: choices[at] ?? [],
      series: this.times[at]?.series ?? "",
      tick: this.ticks[at] ?? null,
    }))
  }

  private faultAt(at: number, rule: string): RecordingError {
    return new RecordingError(this.file, this.times[at]?.line ?? null, rule)
  }
}

function nameOf(order: DateOrder): string {
  return { dmy: "day, month, year", mdy: "month, day, year", ymd: "year, month, day" }[order]
}
