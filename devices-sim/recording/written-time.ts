/**
 * Times as vendors write them. A text alone does not say everything: `06-02-2026` has no order and no zone of its own, so
 * this file reads the numbers, and `FileTimes` decides what they mean once it knows all times of a file.
 */

/** The order of day, month and year. */
export type DateOrder = "dmy" | "mdy" | "ymd"

export const dateOrders: readonly DateOrder[] = ["dmy", "mdy", "ymd"]

export interface WrittenTime {
  /** The three numbers of the date, as they stand. */
  readonly numbers: readonly [number, number, number]
  /** Where the year must be: a number of four digits is one. `open`: none has four, and two digits may be a year. */
  readonly yearAt: "first" | "last" | "open"
  readonly secondOfDay: number
  /** Digits after the point of the second. */
  readonly fraction: string | undefined
  /** Seconds east of UTC, or null for a local time. */
  readonly offset: number | null
  /** What must be the same in all times of a file: separator, place of the year, AM or PM, an offset. */
  readonly form: string
}

const date = String.raw`(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})\.?`
const clock = String.raw`(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?`
const half = String.raw`(\p{L}[\p{L}.\s]{0,9})`
const offset = String.raw`(Z|UTC|GMT|[+-]\d{2}:?\d{2})`
const written = new RegExp(`^${date}(?:T|,? +)(?:${half} ?)?${clock}(?: ?${half})??(?: ?${offset})?$`, "iu")

/** Marks of the first and the second half of a day, without points and spaces, as the locales of CLDR write them. */
const morning = new Set(["am", "a", "vorm", "fm", "de", "dop", "πμ", "오전", "上午", "午前", "öö", "ص"])
const afternoon = new Set(["pm", "p", "nachm", "em", "du", "odp", "μμ", "오후", "下午", "午後", "ös", "م"])

/** `2019-10-16T12:08:58.041+02:00`, `6/2/20 8:02`, `06-02-2026 11:45 PM`, `06.02.2026 23:45`; null for anything else. */
export function parseWrittenTime(text: string): WrittenTime | null {
  // No-break spaces stand before AM and PM in newer locale data.
  const match = written.exec(text.replace(/[\u00a0\u202f]/g, " ").trim())
  if (match === null) return null
  const [, first = "", separator = "", second = "", third = "", before, hours = "", minutes = ""] = match
  const [, , , , , , , , seconds = "0", fraction, after, zone] = match
  const yearAt = yearPlaceOf(first, third)
  if (yearAt === null || (before !== undefined && after !== undefined)) return null
  const mark = before ?? after
  const hour = hourOf(Number(hours), mark)
  const [minute, sec] = [Number(minutes), Number(seconds)]
  const east = zone === undefined ? null : offsetOf(zone)
  // Second 60 is a leap second, and only the last of a day (in UTC) can be one: `instantOf` looks at that.
  if (hour === null || hour > 23 || minute > 59 || sec > 60 || Number.isNaN(east)) return null
  if (sec === 60 && !isLeapMinute(hour, minute, east)) return null
  return {
    numbers: [Number(first), Number(second), Number(third)],
    yearAt,
    secondOfDay: hour * 3600 + minute * 60 + sec,
    fraction,
    offset: east,
    form: `${separator} ${yearFormOf(first, third)} ${mark === undefined ? 24 : 12} ${east === null ? "local" : "offset"}`,
  }
}

function yearPlaceOf(first: string, third: string): WrittenTime["yearAt"] | null {
  if (first.length === 4 && third.length <= 2) return "first"
  if (third.length === 4 && first.length <= 2) return "last"
  if (first.length > 2 || third.length > 2) return null
  // A year has two digits at least.
  if (third.length === 2) return first.length === 2 ? "open" : "last"
  return null
}

/** `1/2/20` and `10/2/20` are one form, though two digits could be a year in the second alone. */
function yearFormOf(first: string, third: string): string {
  return first.length === 4 ? "first" : third.length === 4 ? "last" : "short"
}

function hourOf(hour: number, mark: string | undefined): number | null {
  if (mark === undefined) return hour
  const letters = mark.toLowerCase().replace(/[.\s]/g, "")
  const isAfternoon = afternoon.has(letters)
  if (hour < 1 || hour > 12 || (!isAfternoon && !morning.has(letters))) return null
  return (hour % 12) + (isAfternoon ? 12 : 0)
}

/** NaN where it is none. */
function offsetOf(zone: string): number {
  if (/^(Z|UTC|GMT)$/i.test(zone)) return 0
  const [, sign, hours, minutes] = /^([+-])(\d{2}):?(\d{2})$/.exec(zone) ?? []
  if (Number(hours) > 23 || Number(minutes) > 59) return Number.NaN
  return (Number(hours) * 60 + Number(minutes)) * 60 * (sign === "-" ? -1 : 1)
}

/** Whether second 60 of this minute ends a day in UTC; a local time may be of any zone, whose offset is whole quarters. */
function isLeapMinute(hour: number, minute: number, east: number | null): boolean {
  if (east === null) return minute % 15 === 14
  const ofDay = hour * 3600 + minute * 60 - east
  return ((ofDay % 86_400) + 86_400) % 86_400 === 86_340
}

/** The days since 1970 that the date has in `order`, or null where the calendar has no such day. */
export function dayOf({ numbers, yearAt }: WrittenTime, order: DateOrder): number | null {
  const [first, second, third] = numbers
  if (yearAt === "first") return calendarDay(first, second, third)
  if (order === "ymd") return yearAt === "last" ? null : calendarDay(2000 + first, second, third)
  const year = third < 100 ? 2000 + third : third
  return order === "dmy" ? calendarDay(year, second, first) : calendarDay(year, first, second)
}

function calendarDay(year: number, month: number, day: number): number | null {
  const at = new Date(Date.UTC(year, month - 1, day))
  const isReal = at.getUTCFullYear() === year && at.getUTCMonth() === month - 1 && at.getUTCDate() === day
  return isReal ? at.getTime() / 86_400_000 : null
}

/** Whole seconds and a fraction as one decimal number: adding the fraction could miss the nearest double by one. */
export function withFraction(seconds: number, fraction: string | undefined): number {
  return fraction === undefined || seconds < 0 ? seconds : Number(`${seconds}.${fraction}`)
}

const isoInstant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})$/

/** `2019-10-16T12:08:58.041+02:00` (RFC 3339) to Unix seconds; a leap second counts as the second after it (POSIX). */
export function parseInstant(text: string): number | null {
  const time = isoInstant.test(text) ? parseWrittenTime(text) : null
  const day = time === null ? null : dayOf(time, "ymd")
  if (time === null || day === null) return null
  return withFraction(day * 86_400 + time.secondOfDay - (time.offset ?? 0), time.fraction)
}
