/**
 * What arrived of a device's readings, what is missing, and why, as far as its chain and the arrivals tell.
 *
 * How often a device should measure is not known, so a gap is told by the metric's own rhythm: the median time between
 * two readings. A gap is longer than 1.8 times the rhythm (one reading is missing) and by at least 5 s (heart beats and
 * busy sensors come unevenly). A reading stands for one rhythm; what lies between that and the next reading is missing.
 * Nothing is stitched: a gap stays one however short, and its cause is only ever what somebody signed or was told.
 */
import type { LostReason } from "../chain/lost.ts"
import { gapAfter } from "./gap.ts"

/** Why a stretch is missing, the better known first. */
export type MissingCause =
  /** The device said so, and why. */
  | `lost-${LostReason}`
  /** A statement of that time was accepted, and its payload could not be read. */
  | "unread"
  /** What arrived then was marked as ahead of its time: its readings claim another. */
  | "ahead"
  /** Nothing has come since: it may still. */
  | "not-yet"
  /** Later readings came, and nothing in the gapless chain speaks of this stretch. */
  | "never-sent"

/** Readings that follow one another without a gap, in a series: all of one day, or a stretch of a waveform. */
export interface Run {
  /** Unix seconds of the first and the last reading. */
  readonly startsAt: number
  readonly endsAt: number
  readonly readings: number
  /** How many of them arrived later than live. */
  readonly late: number
  readonly unsealed: number
  /** Of a waveform, which may reach over the end of a day; null for points, which do not. */
  readonly periodMs: number | null
}

/** What the chain says of missing readings. */
export type Remark =
  | {
      readonly kind: "lost"
      readonly seq: number
      readonly reason: LostReason
      /** How many readings the device says it lost; null where it cannot tell. */
      readonly count: number | null
      readonly from: number
      readonly to: number
    }
  | {
      readonly kind: "unread"
      readonly seq: number
      /** The rule that the payload breaks. */
      readonly rule: string
      /** When it was signed, by the device's clock; Unix seconds. */
      readonly at: number
      readonly arrivedAt: number
    }
  | { readonly kind: "ahead"; readonly seq: number; readonly at: number; readonly arrivedAt: number }

export interface Days {
  /** As people of the time zone call them: `2026-01-31`. */
  readonly names: readonly string[]
  /** Unix seconds: where each begins, and where the last ends; one more than names. */
  readonly boundaries: readonly number[]
  /** What lies behind it is not missing yet. */
  readonly now: number
}

export interface MetricFacts {
  readonly metric: string
  /** Median seconds from one reading to the next, or null where there are too few, or none is to be expected. */
  readonly rhythmSeconds: number | null
  /** Unix seconds of the first and the last reading that the device ever sent of it. */
  readonly firstAt: number
  readonly lastAt: number
}

export interface Gap {
  readonly from: number
  readonly to: number
  readonly cause: MissingCause
  /** Of the statement that says so. */
  readonly seq: number | null
}

export interface MetricDay {
  readonly readings: number
  readonly late: number
  readonly unsealed: number
  /** Seconds by cause; only causes that there are. Empty also where there is no rhythm. */
  readonly missingSeconds: Readonly<Partial<Record<MissingCause, number>>>
  /** Covered share, 0 to 1, of each of 24 equal parts; null where nothing is to be expected (yet, any more, or at all). */
  readonly parts: readonly (number | null)[]
  /** The main cause in each part of which less than half is covered. */
  readonly causes: readonly (MissingCause | null)[]
  /** The first of them; `gapsTotal` counts all. */
  readonly gaps: readonly Gap[]
  readonly gapsTotal: number
}

export interface MetricCoverage extends MetricFacts {
  readonly gapAfterSeconds: number | null
  readonly days: readonly MetricDay[]
}

export const partsPerDay = 24
/** A day of a metric lists so many gaps where nothing else was asked for, and counts the rest. */
export const gapsDefault = 50
/** A caller may ask for so many a day at most. */
export const gapsMax = 10_000

/**
 * The coverage of one metric over days.
 *
 * @param runs in the order of their beginnings; they may overlap
 * @param remarks those of the device, in any order
 * @param gapsPerDay how many gaps each day lists; all are counted
 */
export async function coverMetric(
  facts: MetricFacts,
  runs: AsyncIterable<Run> | Iterable<Run>,
  days: Days,
  remarks: readonly Remark[],
  gapsPerDay = gapsDefault,
): Promise<MetricCoverage> {
  const { rhythmSeconds } = facts
  const tally = new Tally(days, gapsPerDay)
  const gapAfterSeconds = rhythmSeconds === null ? null : gapAfter(rhythmSeconds)
  const start = days.boundaries[0]!
  const end = Math.min(days.boundaries.at(-1)!, days.now)
  // Before the first reading ever nothing was to be expected.
  let last = facts.firstAt < start ? start : null
  let coveredTo = start
  const explainer = new Explainer(remarks, rhythmSeconds ?? 0)
  const close = (from: number, to: number, isOpen: boolean): void => {
    for (const gap of explainer.explain(from, to, isOpen)) tally.addGap(gap)
  }
  for await (const run of runs) {
    tally.addRun(run)
    if (rhythmSeconds === null || gapAfterSeconds === null) continue
    if (last === null) tally.expectFrom(run.startsAt)
    else if (run.startsAt - last > gapAfterSeconds) close(coveredTo, run.startsAt, false)
    if (last === null || run.endsAt > last) {
      last = run.endsAt
      coveredTo = last + rhythmSeconds
    }
  }
  if (rhythmSeconds !== null && gapAfterSeconds !== null && last !== null && end - last > gapAfterSeconds) {
    close(coveredTo, end, facts.lastAt < end)
  }
  const isExpected = rhythmSeconds !== null && last !== null
  return { ...facts, gapAfterSeconds, days: tally.finish(isExpected ? end : null) }
}

interface LostStretch {
  readonly from: number
  readonly to: number
  readonly reason: LostReason
  readonly seq: number
}

/**
 * The causes of gaps, told apart by what the chain says. Everything is put in order once: a device may have 10,000 remarks
 * and a million gaps.
 */
class Explainer {
  /** In order of time, and none over another: what was said of the earlier beginning counts. */
  readonly #lost: readonly LostStretch[]
  readonly #marks: readonly { readonly cause: "unread" | "ahead"; readonly places: readonly Mark[] }[]

  /** @param rhythmSeconds the last lost reading stands for one rhythm, as any other does */
  constructor(remarks: readonly Remark[], rhythmSeconds: number) {
    const lost = remarks
      .flatMap((remark) => (remark.kind === "lost" ? [{ ...remark, to: remark.to + rhythmSeconds }] : []))
      .toSorted((one, other) => one.from - other.from)
    let at = -Infinity
    const apart: LostStretch[] = []
    for (const { from, to, reason, seq } of lost) {
      if (to <= Math.max(at, from)) continue
      apart.push({ from: Math.max(at, from), to, reason, seq })
      at = to
    }
    this.#lost = apart
    this.#marks = (["unread", "ahead"] as const).map((cause) => ({
      cause,
      places: remarks
        .flatMap((remark, rank): Mark[] =>
          remark.kind === cause
            ? [remark.at, remark.arrivedAt].map((time) => ({ time, rank, seq: remark.seq }))
            : [],
        )
        .toSorted((one, other) => one.time - other.time),
    }))
  }

  /** A gap, cut where its cause changes: what the device itself says of a stretch goes before what we can only see. */
  explain(from: number, to: number, isOpen: boolean): Gap[] {
    const rest = this.#causeOfRest(from, to, isOpen)
    const gaps: Gap[] = []
    let at = from
    for (let place = firstPlace(this.#lost, (one) => one.to > from); place < this.#lost.length; place++) {
      const { from: lostFrom, to: lostTo, reason, seq } = this.#lost[place]!
      if (lostFrom >= to) break
      const begin = Math.max(at, lostFrom)
      if (begin > at) gaps.push({ from: at, to: begin, ...rest })
      at = Math.min(to, lostTo)
      gaps.push({ from: begin, to: at, cause: `lost-${reason}`, seq })
    }
    if (at < to) gaps.push({ from: at, to, ...rest })
    return gaps
  }

  #causeOfRest(from: number, to: number, isOpen: boolean): Pick<Gap, "cause" | "seq"> {
    for (const { cause, places } of this.#marks) {
      let found: Mark | null = null
      for (let place = firstPlace(places, ({ time }) => time >= from); place < places.length; place++) {
        const mark = places[place]!
        if (mark.time > to) break
        if (found === null || mark.rank < found.rank) found = mark
      }
      if (found !== null) return { cause, seq: found.seq }
    }
    return { cause: isOpen ? "not-yet" : "never-sent", seq: null }
  }
}

/** When a statement was signed, or arrived. */
interface Mark {
  readonly time: number
  /** Among all remarks: of several in a gap the first counts. */
  readonly rank: number
  readonly seq: number
}

/** The first place from which on `isBehind` holds. */
function firstPlace<T>(sorted: readonly T[], isBehind: (one: T) => boolean): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBehind(sorted[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}

interface DayTally {
  readings: number
  late: number
  unsealed: number
  gapsTotal: number
  readonly gaps: Gap[]
  readonly missing: Map<MissingCause, number>
  readonly parts: Map<MissingCause, number>[]
}

/** Adds up runs and gaps by day and part of a day. */
class Tally {
  readonly #days: Days
  readonly #gapsPerDay: number
  readonly #tallies: DayTally[]
  #expectedFrom: number

  constructor(days: Days, gapsPerDay: number) {
    this.#days = days
    this.#gapsPerDay = gapsPerDay
    this.#expectedFrom = days.boundaries[0]!
    this.#tallies = days.names.map(() => ({
      readings: 0,
      late: 0,
      unsealed: 0,
      gapsTotal: 0,
      gaps: [],
      missing: new Map(),
      parts: Array.from({ length: partsPerDay }, () => new Map()),
    }))
  }

  expectFrom(at: number): void {
    this.#expectedFrom = at
  }

  addRun({ startsAt, endsAt, readings, late, unsealed, periodMs }: Run): void {
    let day = this.#dayOf(startsAt)
    let left = readings
    let taken = 0
    while (left > 0 && day < this.#tallies.length) {
      const dayEnd = this.#days.boundaries[day + 1]!
      // Points are of one day; of a waveform so many samples lie before the day's end.
      const before =
        periodMs === null || endsAt < dayEnd
          ? left
          : Math.min(left, Math.max(0, Math.ceil(((dayEnd - startsAt) * 1000) / periodMs) - taken))
      const tally = this.#tallies[day]
      if (tally !== undefined) {
        tally.readings += before
        tally.late += Math.min(before, Math.max(0, late - taken))
        tally.unsealed += unsealed > 0 ? before : 0
      }
      taken += before
      left -= before
      day++
    }
  }

  addGap(gap: Gap): void {
    for (let day = Math.max(0, this.#dayOf(gap.from)); day < this.#tallies.length; day++) {
      const dayStart = this.#days.boundaries[day]!
      const dayEnd = this.#days.boundaries[day + 1]!
      const from = Math.max(gap.from, dayStart)
      const to = Math.min(gap.to, dayEnd)
      if (to <= from) {
        if (gap.to <= dayStart) return
        continue
      }
      const tally = this.#tallies[day]!
      tally.gapsTotal++
      if (tally.gaps.length < this.#gapsPerDay) tally.gaps.push({ ...gap, from, to })
      add(tally.missing, gap.cause, to - from)
      const partSeconds = (dayEnd - dayStart) / partsPerDay
      const firstPart = Math.floor((from - dayStart) / partSeconds)
      for (let part = firstPart; part < partsPerDay; part++) {
        const partStart = dayStart + part * partSeconds
        const seconds = Math.min(to, partStart + partSeconds) - Math.max(from, partStart)
        if (seconds <= 0) break
        add(tally.parts[part]!, gap.cause, seconds)
      }
    }
  }

  /** @param expectedTo Unix seconds up to which readings were to be expected, or null where none ever were */
  finish(expectedTo: number | null): MetricDay[] {
    return this.#tallies.map(({ missing, parts, ...day }, index) => {
      const dayStart = this.#days.boundaries[index]!
      const partSeconds = (this.#days.boundaries[index + 1]! - dayStart) / partsPerDay
      const shares = parts.map((causes, part) => {
        const partStart = dayStart + part * partSeconds
        const expected =
          expectedTo === null
            ? 0
            : Math.min(expectedTo, partStart + partSeconds) - Math.max(this.#expectedFrom, partStart)
        if (expected <= 0) return null
        const missed = [...causes.values()].reduce((sum, seconds) => sum + seconds, 0)
        return Math.round(Math.max(0, 1 - missed / expected) * 1000) / 1000
      })
      return {
        ...day,
        missingSeconds: Object.fromEntries(
          [...missing].map(([cause, seconds]) => [cause, Math.round(seconds * 1000) / 1000]),
        ),
        parts: shares,
        causes: parts.map((causes, part) => {
          const share = shares[part] ?? null
          return share === null || share >= 0.5 ? null : mainOf(causes)
        }),
      }
    })
  }

  /** Index of the day that holds `at`; -1 before the first, the number of days behind the last. */
  #dayOf(at: number): number {
    const { boundaries } = this.#days
    let low = 0
    let high = boundaries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (boundaries[middle]! <= at) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

function add(seconds: Map<MissingCause, number>, cause: MissingCause, more: number): void {
  seconds.set(cause, (seconds.get(cause) ?? 0) + more)
}

function mainOf(causes: ReadonlyMap<MissingCause, number>): MissingCause | null {
  let main: MissingCause | null = null
  let most = 0
  for (const [cause, seconds] of causes) {
    if (seconds > most) [main, most] = [cause, seconds]
  }
  return main
}
