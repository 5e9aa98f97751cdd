/** Times as requests give them and as answers show them. */

/** As a JSON Schema pattern: a date (UTC), a time with its offset, or Unix seconds. */
export const instantPattern =
  "^(?:-?[0-9]{1,13}(?:\\.[0-9]{1,9})?|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2}))?)$"

const shape = new RegExp(instantPattern)

export const instantRule =
  "must be a date (UTC), a time with its offset such as 2026-01-31T12:00:00Z, or Unix seconds"

/** Unix seconds; null for what is none. A time without an offset would mean another instant on another machine. */
export function parseInstant(text: string): number | null {
  // In a query a + that was not escaped arrives as a space.
  const given = text.replace(/ (?=[0-9]{2}:[0-9]{2}$)/, "+")
  if (!shape.test(given)) return null
  if (/^-?[0-9]+(?:\.[0-9]+)?$/.test(given)) return Number(given)
  const unixMs = Date.parse(given)
  if (Number.isNaN(unixMs)) return null
  // Date keeps milliseconds: what is finer is added again.
  const finer = /\.[0-9]{3}([0-9]{1,6})/.exec(given)?.[1]
  return finer === undefined ? unixMs / 1000 : unixMs / 1000 + Number(`0.000${finer}`)
}

const dayMs = 86_400_000
const twoDigits = Array.from({ length: 60 }, (_, value) => String(value).padStart(2, "0"))
let shownDay = Number.NaN
let shownDate = ""

/**
 * ISO 8601 in UTC with the millisecond, and microseconds where there are any; seconds that no date reaches stay a number.
 * Three times the speed of Date's, which is half of what a page of JSON costs.
 */
export function formatSeconds(seconds: number): string {
  // A double holds Unix seconds to a quarter of a microsecond.
  const micros = Math.round(seconds * 1e6)
  const ms = Math.floor(micros / 1000)
  if (!(Math.abs(ms) <= 8.64e15)) return String(seconds)
  const rest = micros - ms * 1000
  const text = formatMs(ms)
  return rest > 0 && rest < 1000 ? `${text.slice(0, -1)}${String(rest).padStart(3, "0")}Z` : text
}

/** ISO 8601 in UTC of Unix milliseconds that a date reaches. */
export function formatMs(unixMs: number): string {
  const day = Math.floor(unixMs / dayMs)
  if (day !== shownDay) {
    shownDate = new Date(day * dayMs).toISOString().slice(0, -13)
    shownDay = day
  }
  const ms = unixMs - day * dayMs
  const second = Math.floor(ms / 1000)
  const minute = Math.floor(second / 60)
  const hour = Math.floor(minute / 60)
  return `${shownDate}${twoDigits[hour]!}:${twoDigits[minute - hour * 60]!}:${twoDigits[second - minute * 60]!}.${String(ms - second * 1000).padStart(3, "0")}Z`
}
