/** Times and numbers for people. Everything is in UTC: what was signed does not depend on who looks. */

const minute = 60
const hour = 60 * minute
const day = 24 * hour

/** `2026-01-31 12:00:05`; with milliseconds where there are any and `isExact`. */
export function formatInstant(unixSeconds: number, isExact = false): string {
  const unixMs = Math.round(unixSeconds * 1000)
  if (!Number.isFinite(unixMs) || Math.abs(unixMs) > 8.64e15) return `${unixSeconds} s`
  const iso = new Date(unixMs).toISOString().replace("T", " ").slice(0, -1)
  return isExact && !iso.endsWith(".000") ? iso : iso.slice(0, -4)
}

/** Unix seconds of a time in an answer; null for none. */
export function parseInstant(text: string | null | undefined): number | null {
  if (text === null || text === undefined) return null
  const unixMs = Date.parse(text)
  return Number.isNaN(unixMs) ? null : unixMs / 1000
}

/** `3 min ago`, in one unit. */
export function formatAgo(unixSeconds: number, nowSeconds: number): string {
  const seconds = Math.round(nowSeconds - unixSeconds)
  if (seconds < -5) return `in ${formatDuration(-seconds)}`
  return seconds < 5 ? "just now" : `${formatDuration(seconds)} ago`
}

export function formatDuration(seconds: number): string {
  const size = Math.abs(seconds)
  if (size < 1) return `${Math.round(size * 1000)} ms`
  if (size < 2 * minute) return `${trim(size)} s`
  if (size < 2 * hour) return `${Math.round(size / minute)} min`
  if (size < 2 * day) return `${trim(size / hour)} h`
  if (size < 730 * day) return `${Math.round(size / day)} days`
  return `${trim(size / (365.25 * day))} years`
}

function trim(number: number): string {
  return number >= 10 ? String(Math.round(number)) : String(Math.round(number * 10) / 10)
}

export function formatCount(number: number): string {
  return number.toLocaleString("en")
}

/** `1 statement`, `2 statements`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${formatCount(number)} ${number === 1 ? one : many}`
}

/** Four significant digits at least, and no more than were said. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return value.toExponential(3)
  return value.toLocaleString("en", { maximumFractionDigits: size >= 1000 ? 1 : size >= 10 ? 2 : 4 })
}

/** Units as they are written for people: those of SenML that are not words already. */
export function formatUnit(unit: string | null): string {
  if (unit === null) return ""
  return { Cel: "°C", "beat/min": "bpm", "%": "%", "1": "", "/": "" }[unit] ?? unit
}
