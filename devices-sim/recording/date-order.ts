/** Which number of a date is the day: decided from all dates of a file, or not at all. */
import { type DateOrder, type WrittenTime, dateOrders, dayOf } from "./written-time.ts"

export interface PlacedTime {
  readonly time: WrittenTime
  /** In the file, from 1. */
  readonly line: number
  /** Rows of one series follow one another in time; rows of several take turns. */
  readonly series: string
}

export type DateVerdict =
  | { readonly kind: "decided"; readonly order: DateOrder; readonly by: string }
  /** More than one order fits, and nothing in the file speaks for one. */
  | { readonly kind: "ambiguous"; readonly orders: readonly DateOrder[]; readonly line: number }
  /** The line's date is in no calendar, in any order that the lines before it allow. */
  | { readonly kind: "impossible"; readonly line: number }

/** Rows that are at most this far apart follow one another without a hole, s. */
const neighbouringMax = 3600
/** Fewer different days than this are in order by chance too often: 5 unsorted ones are sorted once in 60 files. */
const sortedDaysMin = 5

/**
 * The one order that fits a file.
 *
 * @param times of the rows, in the file's order; at least one
 * @param others that the file has elsewhere in the same form, as a banner's: they can rule an order out
 */
export function decideDateOrder(
  times: readonly PlacedTime[],
  others: readonly WrittenTime[] = [],
  given: DateOrder | null = null,
): DateVerdict {
  let fitting = given === null ? dateOrders : dateOrders.filter((order) => order === given)
  if (times.every(({ time }) => time.yearAt === "first")) fitting = ["ymd"]
  for (const { time, line } of times) {
    const left = fitting.filter((order) => dayOf(time, order) !== null)
    if (left.length === 0) return { kind: "impossible", line }
    if (left.length < fitting.length) {
      fitting = left
      if (left.length === 1) break
    }
  }
  const isGiven = given !== null && fitting[0] === given
  const checked = firstImpossible(times, fitting)
  if (checked !== null) return { kind: "impossible", line: checked }
  const [only] = fitting
  if (only !== undefined && fitting.length === 1) {
    const by = isGiven ? "as asked for" : only === "ymd" ? "the year is first" : "a day above 12 decides"
    return { kind: "decided", order: only, by }
  }
  const byOthers = fitting.filter((order) => others.every((time) => dayOf(time, order) !== null))
  const [other] = byOthers
  if (other !== undefined && byOthers.length === 1)
    return { kind: "decided", order: other, by: "a date above the rows has a day above 12" }
  // The same days in every order, as 02-02-2026 has, need no decision.
  const [first, ...rest] = fitting
  if (
    first !== undefined &&
    times.every(({ time }) => rest.every((order) => dayOf(time, order) === dayOf(time, first)))
  )
    return { kind: "decided", order: first, by: "day and month are the same number" }
  return decideByRows(times, byOthers.length > 0 ? byOthers : fitting)
}

function firstImpossible(times: readonly PlacedTime[], orders: readonly DateOrder[]): number | null {
  const [order] = orders
  if (order === undefined || orders.length > 1) return null
  return times.find(({ time }) => dayOf(time, order) === null)?.line ?? null
}

/** What the rows say by following one another; where they say two things, they say nothing. */
function decideByRows(times: readonly PlacedTime[], orders: readonly DateOrder[]): DateVerdict {
  const seen = orders.map((order) => ({ order, ...lookAt(times, order) }))
  const running = seen.filter(({ isRunning }) => isRunning)
  const sorted = seen.filter(({ isSorted }) => isSorted)
  const [runs, sorts] = [running[0], sorted[0]]
  const ambiguous: DateVerdict = { kind: "ambiguous", orders, line: times[0]?.line ?? 1 }
  if (running.length > 1 || (runs !== undefined && sorted.length === 1 && sorts?.order !== runs.order))
    return ambiguous
  if (runs !== undefined) return { kind: "decided", order: runs.order, by: "rows go on across midnight" }
  if (sorts !== undefined && sorted.length === 1)
    return { kind: "decided", order: sorts.order, by: "rows are in order" }
  return ambiguous
}

interface Look {
  /** Rows go on from day to day within the hour, and hardly ever jump. */
  readonly isRunning: boolean
  /** Rows of each series are in order, over enough different days. */
  readonly isSorted: boolean
}

function lookAt(times: readonly PlacedTime[], order: DateOrder): Look {
  const before = new Map<string, number>()
  const days = new Set<number>()
  let [short, steps, midnights, ups, downs] = [0, 0, 0, 0, 0]
  for (const { time, series } of times) {
    const day = dayOf(time, order) ?? 0
    const at = day * 86_400 + time.secondOfDay
    days.add(day)
    const last = before.get(series)
    before.set(series, at)
    if (last === undefined || last === at) continue
    const step = at - last
    steps++
    if (step > 0) ups++
    else downs++
    if (Math.abs(step) > neighbouringMax) continue
    short++
    if (Math.floor(last / 86_400) !== day) midnights++
  }
  return {
    isRunning: midnights > 0 && steps > 1 && short * 2 >= steps,
    isSorted: days.size >= sortedDaysMin && (ups === 0 || downs === 0),
  }
}
