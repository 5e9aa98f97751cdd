/** Where a page ended, as its cursor carries it. */
import type { ArrivalPlace, Run, TimePlace } from "./run.ts"
import type { SeriesOrder } from "./stored-series.ts"

export type Place = TimePlace | ArrivalPlace

export function isPlaceOf(order: SeriesOrder): (place: unknown) => place is Place {
  return (place): place is Place => {
    if (typeof place !== "object" || place === null) return false
    const given = place as Record<string, unknown>
    const numbers = ["statement", "position", "index", ...(order === "time" ? ["time"] : [])]
    const texts = order === "time" ? ["device", "metric"] : []
    return (
      numbers.every((name) => typeof given[name] === "number") &&
      texts.every((name) => typeof given[name] === "string")
    )
  }
}

export function placeOf(run: Run, order: SeriesOrder, index: number): Place {
  const { statement, position, device, metric, times } = run.series
  if (order === "arrival") return { statement, position, index }
  const time = times[run.order === null ? index : run.order[index]!]!
  return { device, metric, time, statement, position, index }
}
