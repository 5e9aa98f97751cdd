/** Readings one by one with their place in the log, for formats that have a record of each. */
import type { AsOf } from "./as-of.ts"
import { isCount, isPosition, isText } from "./place.ts"
import { Pace } from "./pace.ts"
import type { StoredSeries } from "./stored-series.ts"

/** A reading of a point series, or a waveform as a whole. */
export interface SingleReading {
  readonly series: StoredSeries
  /** Place in the series, as signed; of a waveform 0. */
  readonly index: number
}

/** The place of a reading in the order of device, metric and beginning of its series. */
export interface ReadingPlace {
  readonly device: string
  readonly metric: string
  readonly startsAt: number
  readonly statement: number
  readonly position: number
  readonly index: number
}

export interface ReadingBounds {
  /** Unix seconds: from <= time < to. A waveform is within where any sample is. */
  readonly fromSeconds: number | null
  readonly toSeconds: number | null
}

/** @param all in order of device, metric, beginning, statement, position */
export async function* readingsOf(
  all: AsyncIterable<StoredSeries>,
  { fromSeconds, toSeconds }: ReadingBounds,
  after: ReadingPlace | null,
): AsyncGenerator<SingleReading> {
  const pace = new Pace()
  for await (const series of all) {
    const order = after === null ? 1 : compareSeries(series, after)
    if (order < 0) continue
    let index = order === 0 ? after!.index + 1 : 0
    if (series.waveform !== null) {
      // The filter gave only those that overlap the bounds.
      if (index === 0) yield { series, index }
      continue
    }
    for (; index < series.times.length; index++) {
      const time = series.times[index]!
      if ((fromSeconds === null || time >= fromSeconds) && (toSeconds === null || time < toSeconds))
        yield { series, index }
      if (pace.isDue) await pace.take()
    }
  }
}

export function placeOf({ series, index }: SingleReading): ReadingPlace {
  const { device, metric, startsAt, statement, position } = series
  return { device, metric, startsAt, statement, position, index }
}

export function isReadingPlace(place: unknown): place is ReadingPlace {
  if (typeof place !== "object" || place === null) return false
  const { device, metric, startsAt, statement, position, index } = place as Record<string, unknown>
  return (
    isText(device) &&
    isText(metric) &&
    Number.isFinite(startsAt) &&
    isCount(statement) &&
    isPosition(position) &&
    isCount(index)
  )
}

/** Where a series stands to a place: below 0 before it. The database has left out what comes before its device and metric. */
function compareSeries(series: StoredSeries, place: ReadingPlace): number {
  if (series.device !== place.device || series.metric !== place.metric) return 1
  return (
    series.startsAt - place.startsAt || series.statement - place.statement || series.position - place.position
  )
}

/** What names a reading in other systems: the statement's entry, the series in its pack, the reading in the series. */
export function formatReadingName(entryHex: string, { series, index }: SingleReading): string {
  return `${entryHex}/${series.position}/${index}`
}

/** What an exported reading says of the log that holds it. */
export interface LogContext {
  /** The log's name, a URL without its scheme. */
  readonly origin: string
  readonly asOf: AsOf | null
}

/** A URI in the log's own name space. */
export function uriOf(origin: string, path: string): string {
  return `https://${encodeURI(origin)}/${path}`
}
