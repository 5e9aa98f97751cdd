/**
 * Readings in order: runs of neighbouring readings of one series. Packs overlap (what was late, a second sensor), so
 * series that begin before another ends are merged; where none does, a run is a whole series and costs nothing.
 */
import { Pace } from "./pace.ts"
import { type StoredSeries, overlapProblem, overlapReadingsMax } from "./stored-series.ts"

/** Readings `order[from]` to `order[to - 1]` of a series; without `order` they are in order already. */
export interface Run {
  readonly series: StoredSeries
  readonly order: Uint32Array | null
  readonly from: number
  readonly to: number
}

/** A reading's place in order of time. */
export interface TimePlace {
  readonly device: string
  readonly metric: string
  readonly time: number
  readonly statement: number
  readonly position: number
  /** Among the series' readings by time. */
  readonly index: number
}

/** The same in order of arrival. */
export interface ArrivalPlace {
  readonly statement: number
  readonly position: number
  readonly index: number
}

export interface Window {
  /** Unix seconds: from <= time < to. */
  readonly fromSeconds: number | null
  readonly toSeconds: number | null
}

class Open {
  readonly series: StoredSeries
  readonly order: Uint32Array | null
  next: number
  readonly end: number

  constructor(series: StoredSeries, { fromSeconds, toSeconds }: Window) {
    this.series = series
    this.order = orderOf(series.times)
    this.next = fromSeconds === null ? 0 : this.find(fromSeconds)
    this.end = toSeconds === null ? series.times.length : this.find(toSeconds)
  }

  timeAt(index: number): number {
    return this.series.times[this.order === null ? index : this.order[index]!]!
  }

  /** The first reading at this time or later. */
  find(seconds: number): number {
    let low = 0
    let high = this.series.times.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.timeAt(middle) < seconds) low = middle + 1
      else high = middle
    }
    return low
  }

  get isDone(): boolean {
    return this.next >= this.end
  }

  get time(): number {
    return this.timeAt(this.next)
  }

  /** Whether its next reading comes before the other's; of the same time, what was signed first. */
  isBefore(other: Open): boolean {
    const difference = this.time - other.time
    if (difference !== 0) return difference < 0
    const statements = this.series.statement - other.series.statement
    return statements === 0 ? this.series.position < other.series.position : statements < 0
  }

  take(to: number): Run {
    const run = { series: this.series, order: this.order, from: this.next, to }
    this.next = to
    return run
  }
}

/** Places by time, ties as signed; null where they stand so already, as nearly always. */
function orderOf(times: Float64Array): Uint32Array | null {
  for (let index = 1; index < times.length; index++) {
    if (times[index]! < times[index - 1]!) {
      const order = Uint32Array.from(times, (_, place) => place)
      return order.toSorted((a, b) => times[a]! - times[b]! || a - b)
    }
  }
  return null
}

/** What an open series costs beside its readings, in readings. */
const openCost = 20

/** @param all in order of device, metric, beginning, statement, position */
export async function* runsByTime(
  all: AsyncIterable<StoredSeries>,
  window: Window,
  after: TimePlace | null,
): AsyncGenerator<Run> {
  const heap = new Heap()
  const pace = new Pace()
  let last: StoredSeries | null = null
  for await (const series of all) {
    const isSamePair = last !== null && last.device === series.device && last.metric === series.metric
    for (const run of heap.drain(isSamePair ? series.startsAt : Infinity)) {
      yield run
      if (pace.isDue) await pace.take()
    }
    last = series
    const opened = new Open(series, window)
    if (after !== null) skip(opened, after)
    heap.push(opened)
    if (heap.held > overlapReadingsMax) throw overlapProblem(series.device, series.metric)
  }
  for (const run of heap.drain(Infinity)) {
    yield run
    if (pace.isDue) await pace.take()
  }
}

/** Open series, the one whose next reading comes first on top. */
class Heap {
  /** What they hold in memory, in readings. */
  held = 0
  private readonly items: Open[] = []

  push(opened: Open): void {
    if (opened.isDone) return
    this.held += opened.series.times.length + openCost
    this.items.push(opened)
    this.rise(this.items.length - 1)
  }

  /** Gives what comes before `until`, of all that are open. */
  *drain(until: number): Generator<Run> {
    for (;;) {
      const [top] = this.items
      if (top === undefined || !(top.time < until)) return
      const end = until === Infinity ? top.end : Math.min(top.end, top.find(until))
      yield top.take(this.items.length === 1 ? end : endBefore(top, this.second(), end))
      if (top.isDone) this.pop()
      else this.sink()
    }
  }

  private second(): Open {
    const [, left, right] = this.items
    return right !== undefined && right.isBefore(left!) ? right : left!
  }

  private pop(): void {
    const gone = this.items[0]!
    this.held -= gone.series.times.length + openCost
    const moved = this.items.pop()!
    if (moved === gone) return
    this.items[0] = moved
    this.sink()
  }

  private rise(place: number): void {
    const { items } = this
    while (place > 0) {
      const parent = (place - 1) >>> 1
      if (!items[place]!.isBefore(items[parent]!)) return
      ;[items[place], items[parent]] = [items[parent]!, items[place]!]
      place = parent
    }
  }

  private sink(): void {
    const { items } = this
    for (let place = 0; ;) {
      let least = place
      for (const child of [2 * place + 1, 2 * place + 2])
        if (child < items.length && items[child]!.isBefore(items[least]!)) least = child
      if (least === place) return
      ;[items[place], items[least]] = [items[least]!, items[place]!]
      place = least
    }
  }
}

/** How far the first series goes before the second's next reading, at most to `end`. */
function endBefore(first: Open, second: Open, end: number): number {
  const { time } = second
  let to = Math.min(end, Math.max(first.next, first.find(time)))
  // Of the same time as the other's next: those of this series come now or later, as its place says.
  const difference =
    first.series.statement - second.series.statement || first.series.position - second.series.position
  if (difference < 0) while (to < end && first.timeAt(to) === time) to += 1
  return to
}

function skip(opened: Open, after: TimePlace): void {
  const { series } = opened
  if (series.device !== after.device || series.metric !== after.metric) return
  while (!opened.isDone && opened.time <= after.time) {
    if (opened.time === after.time) {
      const statements = series.statement - after.statement || series.position - after.position
      if (statements > 0 || (statements === 0 && opened.next > after.index)) return
    }
    opened.next += 1
  }
}

/** In order of statement and position; within a series as signed. */
export async function* runsByArrival(
  all: AsyncIterable<StoredSeries>,
  { fromSeconds, toSeconds }: Window,
  after: ArrivalPlace | null,
): AsyncGenerator<Run> {
  const pace = new Pace()
  for await (const series of all) {
    const isBegun =
      after !== null && series.statement === after.statement && series.position === after.position
    const { times } = series
    let from = isBegun ? after.index + 1 : 0
    // A run goes as far as every reading lies between the two times.
    while (from < times.length) {
      while (from < times.length && !isWithin(times[from]!, fromSeconds, toSeconds)) from += 1
      let to = from
      while (to < times.length && isWithin(times[to]!, fromSeconds, toSeconds)) to += 1
      if (to > from) yield { series, order: null, from, to }
      if (pace.isDue) await pace.take()
      from = to
    }
  }
}

function isWithin(time: number, from: number | null, to: number | null): boolean {
  return (from === null || time >= from) && (to === null || time < to)
}
