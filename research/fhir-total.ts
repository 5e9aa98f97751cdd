/** How many Observations a search has, counted in the database: arrays are looked into only where a bound cuts them. */
import { type ObservationSearch, isOfSearch } from "./fhir-search.ts"
import type { Snapshot } from "./snapshot.ts"
import { type SeriesFilter, conditionsOf } from "./stored-series.ts"

export async function countObservations(
  snapshot: Snapshot,
  filter: SeriesFilter,
  search: ObservationSearch,
  origin: string,
): Promise<number> {
  const { where, values } = conditionsOf(filter)
  const { period } = search
  const place = (at: number): string => `$${values.length + at}::float8`
  const [from, to, startFrom, startTo, endFrom, endTo] = [1, 2, 3, 4, 5, 6].map(place)
  const rows = await snapshot.query<{ metric: string; unit: string | null; readings: number }>(
    `select metric, unit, sum(case
       when kind = 'waveform' then
         ((${startFrom} is null or starts_at >= ${startFrom}) and (${startTo} is null or starts_at < ${startTo})
          and (${endFrom} is null or ends_at >= ${endFrom}) and (${endTo} is null or ends_at < ${endTo}))::int
       when (${from} is null or starts_at >= ${from}) and (${to} is null or ends_at < ${to}) then cardinality(times)
       else (select count(*) from unnest(times) as time
             where (${from} is null or time >= ${from}) and (${to} is null or time < ${to}))
     end)::float8 as readings
     from series ${where === "" ? "" : `where ${where}`} group by metric, unit`,
    [
      ...values,
      search.fromSeconds,
      search.toSeconds,
      period.startFrom,
      period.startTo,
      period.endFrom,
      period.endTo,
    ],
  )
  return rows.reduce(
    (sum, { readings, ...series }) => sum + (isOfSearch(search, series, origin) ? readings : 0),
    0,
  )
}
