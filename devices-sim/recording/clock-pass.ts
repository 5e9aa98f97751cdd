/** The hour that clocks go through twice when they are set back: which rows are of the first pass, and which of the second. */

/** A counter of the sensor's own in seconds, such as Dexcom's transmitter time. */
export interface Tick {
  /** Counters of several sensors have nothing to do with one another. */
  readonly sensor: string
  readonly seconds: number
}

export interface PassRow {
  /** Local time as if it were UTC, Unix seconds. */
  readonly local: number
  /** The instants that it can be, the earlier first: one or two. */
  readonly choices: readonly number[]
  /** What follows one another in the file. */
  readonly series: string
  readonly tick: Tick | null
}

export interface Passes {
  readonly instants: number[]
  /** How many rows were decided in which way, for people. */
  readonly told: readonly string[]
  /** The first row that nothing decides, by its number; null where there is none. */
  readonly faultAt: number | null
}

/** A counter and a clock that are this far apart do not show the same, s. */
const tickToleranceMax = 600
/** A counter is compared over this much at most: beyond it may be another sensor's, s. */
const tickReachMax = 12 * 3600
/** Clocks are corrected by seconds, and that is no second pass, s. */
const backMin = 60

/**
 * A sensor's counter decides, if the file has one. Else the order of a series does: where its rows go back once in the
 * hour, those before are the first pass and the others the second; where they go through it once, it is the first.
 * Nothing decides where they go back more than once, or where a series with a steady step has rows closer than that:
 * exports that are sorted by local time have both passes in turn.
 */
export function decidePasses(rows: readonly PassRow[]): Passes {
  const instants = rows.map(({ choices }) => choices[0] ?? Number.NaN)
  const open = new Map<string, number[]>()
  let [ticked, ordered, once] = [0, 0, 0]
  for (const [at, row] of rows.entries()) {
    if (row.choices.length < 2) continue
    const counted = choiceByTick(rows, row)
    if (counted !== null) {
      instants[at] = counted
      ticked++
      continue
    }
    // A zone sets its clocks back once within a day at most.
    const key = `${row.series} ${Math.floor((row.choices[0] ?? 0) / 86_400)}`
    open.set(key, [...(open.get(key) ?? []), at])
  }
  for (const members of open.values()) {
    const series = rows[members[0] ?? 0]?.series ?? ""
    const { isBackward, steadyStep } = lookAtSeries(rows, series)
    const inTime = isBackward ? members.toReversed() : members
    const steps = inTime.slice(1).map((at, i) => (rows[at]?.local ?? 0) - (rows[inTime[i] ?? 0]?.local ?? 0))
    const backs = steps.flatMap((step, i) => (step <= -backMin ? [i + 1] : []))
    const [back, another] = backs
    const isInTurn = back === undefined && steadyStep !== null && steps.some((step) => step < steadyStep / 2)
    if (another !== undefined || isInTurn)
      return { instants, told: [], faultAt: inTime[another ?? 0] ?? null }
    if (back === undefined) once += inTime.length
    else ordered += inTime.length
    for (const at of inTime.slice(back ?? inTime.length)) instants[at] = rows[at]?.choices[1] ?? Number.NaN
  }
  const told: string[] = []
  if (ticked > 0)
    told.push(`${ticked} times in an hour that clocks repeat are told apart by the sensor's counter`)
  if (ordered > 0) told.push(`${ordered} times in an hour that clocks repeat are told apart by their order`)
  if (once > 0)
    told.push(
      `${once} times in an hour that clocks repeat, which the rows go through once, are read as the first`,
    )
  return { instants, told, faultAt: null }
}

/** The choice that is as far from a row of one choice as the counter says; null where no counter says it. */
function choiceByTick(rows: readonly PassRow[], { tick, choices }: PassRow): number | null {
  if (tick === null) return null
  let nearest: { readonly instant: number; readonly away: number } | null = null
  for (const other of rows) {
    const [instant] = other.choices
    if (other.tick?.sensor !== tick.sensor || other.choices.length > 1 || instant === undefined) continue
    const away = tick.seconds - other.tick.seconds
    if (Math.abs(away) > tickReachMax) continue
    if (nearest === null || Math.abs(away) < Math.abs(nearest.away)) nearest = { instant, away }
  }
  if (nearest === null) return null
  const expected = nearest.instant + nearest.away
  return choices.find((choice) => Math.abs(choice - expected) <= tickToleranceMax) ?? null
}

interface SeriesLook {
  /** The newest row is first. */
  readonly isBackward: boolean
  /** The step that most rows have, s; null where they have none. */
  readonly steadyStep: number | null
}

function lookAtSeries(rows: readonly PassRow[], series: string): SeriesLook {
  const local = rows.flatMap((row) => (row.series === series ? [row.local] : []))
  const steps = local.slice(1).map((seconds, i) => seconds - (local[i] ?? 0))
  const sizes = steps.map(Math.abs).toSorted((a, b) => a - b)
  const median = sizes[sizes.length >> 1] ?? 0
  const near = sizes.filter((size) => Math.abs(size - median) <= median / 10).length
  return {
    isBackward: steps.filter((step) => step < 0).length * 2 > steps.length,
    steadyStep: median >= backMin && near * 2 > sizes.length ? median : null,
  }
}

/**
 * The first row at which the clock and the sensor's counter part, by its number; null where they go together. It is how
 * a journey shows, or a zone that the clock did not keep.
 */
export function findChangedClock(
  instants: readonly number[],
  ticks: readonly (Tick | null)[],
): number | null {
  const before = new Map<string, { readonly instant: number; readonly seconds: number }>()
  for (const [at, tick] of ticks.entries()) {
    const instant = instants[at]
    if (tick === null || instant === undefined) continue
    const last = before.get(tick.sensor)
    before.set(tick.sensor, { instant, seconds: tick.seconds })
    if (last === undefined) continue
    const passed = tick.seconds - last.seconds
    if (Math.abs(passed) > tickReachMax) continue
    if (Math.abs(instant - last.instant - passed) > tickToleranceMax) return at
  }
  return null
}
