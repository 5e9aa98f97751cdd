/**
 * Observations in order of their date. Series overlap, so one that begins or ends beyond the page may still have a reading
 * on it: series are read in the order of the earliest (or latest) reading that they can have, until what is left can have
 * none that belongs on the page.
 */
import { type ObservationSearch, isInPeriod, isOfSearch } from "./fhir-search.ts"
import { type ReadingPlace, type SingleReading, placeOf, readingsOf } from "./single-reading.ts"
import type { Snapshot } from "./snapshot.ts"
import { type SeriesFilter, conditionsOf, readSeriesAt } from "./stored-series.ts"

export type DateOrder = "date" | "-date"

export interface DatedPlace extends ReadingPlace {
  /** Unix seconds of the reading; of a waveform, of its first sample. */
  readonly time: number
}

export function datedPlaceOf(reading: SingleReading): DatedPlace {
  return { ...placeOf(reading), time: reading.series.times[reading.index]! }
}

export function isDatedPlace(place: unknown): place is DatedPlace {
  if (typeof place !== "object" || place === null) return false
  const given = place as Record<string, unknown>
  return (
    ["device", "metric"].every((name) => typeof given[name] === "string") &&
    ["time", "startsAt", "statement", "position", "index"].every((name) => Number.isFinite(given[name]))
  )
}

/** Rows of series asked for at a time, without their readings; and series read at a time, with them. */
const rowsPerQuery = 2_000
const seriesPerRead = 20

interface Row {
  readonly statement: number
  readonly position: number
  readonly metric: string
  readonly unit: string | null
  /** The first time, in the order asked for, that a reading of it can have; descending order counts backwards. */
  readonly key: number
}

export interface DatedRequest {
  readonly filter: SeriesFilter
  readonly search: ObservationSearch
  readonly order: DateOrder
  readonly after: DatedPlace | null
  /** So many at most. */
  readonly count: number
  readonly origin: string
}

/** The next readings by date; readings of one date in the order of device, metric and place in the log. */
export async function readByDate(
  snapshot: Snapshot,
  request: DatedRequest,
): Promise<readonly SingleReading[]> {
  const { search, order, after, count, origin } = request
  const direction = order === "date" ? 1 : -1
  const compare = (one: DatedPlace, other: DatedPlace): number =>
    direction * (one.time - other.time) || comparePlaces(one, other)
  let taken: { readonly reading: SingleReading; readonly place: DatedPlace }[] = []
  let from: Row | null = null
  for (;;) {
    const rows: readonly Row[] = await readRows(snapshot, request, direction, from)
    const wanted = rows.filter((row) => isOfSearch(search, row, origin))
    for (let place = 0; place < wanted.length; place += seriesPerRead) {
      const last = taken[count - 1]
      // What follows begins after all that are on the page.
      if (last !== undefined && wanted[place]!.key > direction * last.place.time) return taken.map(readingIn)
      for (const series of await readSeriesAt(snapshot, wanted.slice(place, place + seriesPerRead))) {
        for await (const reading of readingsOf(only(series), search, null)) {
          const dated = datedPlaceOf(reading)
          if (!isInPeriod(search, reading) || (after !== null && compare(dated, after) <= 0)) continue
          taken.push({ reading, place: dated })
        }
      }
      taken = taken.toSorted((one, other) => compare(one.place, other.place)).slice(0, count)
    }
    if (rows.length < rowsPerQuery) return taken.map(readingIn)
    from = rows.at(-1)!
  }
}

function readingIn({ reading }: { readonly reading: SingleReading }): SingleReading {
  return reading
}

async function* only<T>(one: T): AsyncGenerator<T> {
  yield one
}

/** @param from the row that the ones before ended with */
async function readRows(
  snapshot: Snapshot,
  { filter, after }: DatedRequest,
  direction: 1 | -1,
  from: Row | null,
): Promise<readonly Row[]> {
  const { where, values } = conditionsOf(filter)
  const conditions = where === "" ? [] : [where]
  const given: unknown[] = [...values]
  const place = (value: unknown, type: string): string => `$${given.push(value)}::${type}`
  let key = direction === 1 ? "starts_at" : "-ends_at"
  if (after !== null) {
    const time = place(after.time, "float8")
    conditions.push(direction === 1 ? `ends_at >= ${time}` : `starts_at <= ${time}`)
    key = direction === 1 ? `greatest(starts_at, ${time})` : `-least(ends_at, ${time})`
  }
  if (from !== null) {
    const last = [
      place(from.key, "float8"),
      place(from.statement, "bigint"),
      place(from.position, "smallint"),
    ]
    conditions.push(`(${key}, statement_id, position) > (${last.join(", ")})`)
  }
  return snapshot.query<Row>(
    `select statement_id::float8 as statement, position, metric, unit, ${key} as key
     from series ${conditions.length === 0 ? "" : `where ${conditions.join(" and ")}`}
     order by key, statement_id, position limit ${rowsPerQuery}`,
    given,
  )
}

function comparePlaces(one: ReadingPlace, other: ReadingPlace): number {
  return (
    compareText(one.device, other.device) ||
    compareText(one.metric, other.metric) ||
    one.statement - other.statement ||
    one.position - other.position ||
    one.index - other.index
  )
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
