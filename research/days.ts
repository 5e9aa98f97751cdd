/** The days of a time zone, as coverage counts them. */
import { makeGrid } from "./bucket-grid.ts"
import type { Days } from "./coverage.ts"
import type { Zone } from "./zone.ts"

/** So many days at most in one answer. */
export const daysMax = 366

const secondsPerDay = 86_400

/**
 * The days that hold `from` to `to` (Unix seconds; `to` is outside), daysMax at most. Some have 23 or 25 hours, some begin
 * at 01:00, and a day that the zone skipped is none.
 *
 * @param zone null: UTC
 */
export function daysOf({
  from,
  to,
  zone,
  now,
}: {
  readonly from: number
  readonly to: number
  readonly zone: Zone | null
  readonly now: number
}): Days {
  const grid = makeGrid(secondsPerDay, zone)
  const names: string[] = []
  const boundaries: number[] = []
  let day = grid.stretchOf(from)
  while (names.length === 0 || (day.startsAt < to && names.length < daysMax)) {
    const offset = zone?.offsetAt(day.startsAt) ?? 0
    names.push(new Date((day.startsAt + offset) * 1000).toISOString().slice(0, 10))
    boundaries.push(day.startsAt)
    day = grid.stretchOf(day.endsAt)
  }
  return { names, boundaries: [...boundaries, day.startsAt], now }
}
