/** Where a page ended, as its cursor carries it. */
import type { ArrivalPlace, Run, TimePlace } from "./run.ts"
import type { SeriesOrder } from "./stored-series.ts"

export type Place = TimePlace | ArrivalPlace

export function isPlaceOf(order: SeriesOrder): (place: unknown) => place is Place {
  return (place): place is Place => {
    if (typeof place !== "object" || place === null) return false
    const { statement, position, index, time, device, metric } = place as Record<string, unknown>
    if (!isCountOrBefore(statement) || !isPosition(position) || !isCountOrBefore(index)) return false
    return order === "arrival" || (Number.isFinite(time) && isText(device) && isText(metric))
  }
}

/** What a cursor may carry, as the columns take it: it comes back through other hands. */

/** A smallint. */
export function isPosition(value: unknown): value is number {
  return isCount(value) && value < 2 ** 15
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** A count, or -1: where a page ended with a bucket, the next one begins before every statement of its time. */
function isCountOrBefore(value: unknown): value is number {
  return value === -1 || isCount(value)
}

export function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= 1_000 && !value.includes("\0")
}

export function placeOf(run: Run, order: SeriesOrder, index: number): Place {
  const { statement, position, device, metric, times } = run.series
  if (order === "arrival") return { statement, position, index }
  const time = times[run.order === null ? index : run.order[index]!]!
  return { device, metric, time, statement, position, index }
}
