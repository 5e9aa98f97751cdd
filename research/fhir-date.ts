/** Dates as FHIR R4 searches by them (search §3.1.1.4.7): a date is a stretch of time, and so is what it is held against. */
import { invalidParameter } from "./problem.ts"

const datePattern =
  /^(?<prefix>eq|ge|gt|le|lt|sa|eb)?(?<year>\d{4})(?:-(?<month>\d\d)(?:-(?<day>\d\d)(?:T(?<time>\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?<zone>Z|[+ -]\d\d:\d\d))?)?)?$/

const dateRule =
  "must be a year, month, day or time with its offset, after eq, ge, gt, le, lt, sa or eb (ne and ap are not answered)"

/** Bounds on the beginning and the end of what is searched, in Unix seconds: from is in, to is out; null: any. */
export interface DateBounds {
  readonly startFrom: number | null
  readonly startTo: number | null
  readonly endFrom: number | null
  readonly endTo: number | null
}

export const noBounds: DateBounds = { startFrom: null, startTo: null, endFrom: null, endTo: null }

function most(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b)
}

function least(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b)
}

/** What both demand. */
export function joinBounds(one: DateBounds, other: DateBounds): DateBounds {
  return {
    startFrom: most(one.startFrom, other.startFrom),
    startTo: least(one.startTo, other.startTo),
    endFrom: most(one.endFrom, other.endFrom),
    endTo: least(one.endTo, other.endTo),
  }
}

export function isWithin(bounds: DateBounds, start: number, end: number): boolean {
  const { startFrom, startTo, endFrom, endTo } = bounds
  return (
    (startFrom === null || start >= startFrom) &&
    (startTo === null || start < startTo) &&
    (endFrom === null || end >= endFrom) &&
    (endTo === null || end < endTo)
  )
}

/** The times that a moment may have, which begins and ends at once. */
export function momentBounds(bounds: DateBounds): {
  readonly from: number | null
  readonly to: number | null
} {
  return { from: most(bounds.startFrom, bounds.endFrom), to: least(bounds.startTo, bounds.endTo) }
}

/** What a date with its prefix demands. A date without a time is the whole of it, in UTC. */
export function parseDateBounds(parameter: string, text: string): DateBounds {
  const groups = datePattern.exec(text)?.groups
  if (groups === undefined) throw invalidParameter(parameter, dateRule)
  const { prefix = "eq", year, month, day, time, zone } = groups
  const start = startOf(year!, month, day, time, zone)
  const end = endOf(start, { month, day, time })
  if (Number.isNaN(start)) throw invalidParameter(parameter, dateRule)
  switch (prefix) {
    case "ge":
      return { ...noBounds, endFrom: start }
    case "gt":
      return { ...noBounds, endFrom: end }
    case "le":
      return { ...noBounds, startTo: end }
    case "lt":
      return { ...noBounds, startTo: start }
    // Starts after, ends before: all of it.
    case "sa":
      return { ...noBounds, startFrom: end }
    case "eb":
      return { ...noBounds, endTo: start }
    // The date contains it.
    default:
      return { ...noBounds, startFrom: start, endTo: end }
  }
}

function startOf(year: string, month = "01", day = "01", time = "00:00", zone = "Z"): number {
  const iso = `${year}-${month}-${day}T${time}${zone.replace(" ", "+")}`
  const unixMs = Date.parse(iso)
  // Date takes 31 February for 3 March.
  const isReal = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  return isReal ? unixMs / 1000 : Number.NaN
}

interface Precision {
  readonly month: string | undefined
  readonly day: string | undefined
  readonly time: string | undefined
}

/** Where the stretch that a date names ends: a time names its second, minute or fraction. */
function endOf(start: number, { month, day, time }: Precision): number {
  const date = new Date(start * 1000)
  if (month === undefined) return Date.UTC(date.getUTCFullYear() + 1, 0) / 1000
  if (day === undefined) return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1) / 1000
  if (time === undefined) return start + 86_400
  const decimals = time.split(".")[1]?.length
  if (decimals !== undefined) return start + 10 ** -decimals
  return start + (time.length > 5 ? 1 : 60)
}
