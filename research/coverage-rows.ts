/** What the database holds for a device's coverage. Each query is bounded by an index, and its answer by days or series. */
import type { QueryResultRow } from "pg"
import { parseVerdictCode, type Verdict } from "../chain/verdict.ts"
import { readPayload } from "../chain/payload.ts"
import { decodeStatement } from "../chain/statement.ts"
import type { Days, Remark, Run } from "./coverage.ts"
import { findMetric } from "./metric.ts"
import { Pace } from "./pace.ts"
import { float8sOf } from "./sent-array.ts"
import { overlapProblem } from "./stored-series.ts"

/** Queries on one picture of the database: a snapshot, or any transaction. */
export interface Queries {
  query<Columns extends QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Columns[]>
}

export interface CoveredDevice {
  readonly device: string
  readonly status: "active" | "suspended" | "revoked"
  /** How many statements were accepted: the chain has no gap. */
  readonly statements: number
  readonly lastArrivalAt: number | null
  /** Counters without the times of each; in the order of codes. */
  readonly refusals: readonly { readonly verdict: Verdict; readonly count: number; readonly lastAt: number }[]
}

/** What is known of a device, or null where it was never enrolled. */
export async function readCoveredDevice(queries: Queries, device: string): Promise<CoveredDevice | null> {
  const rows = await queries.query<Omit<CoveredDevice, "refusals">>(
    `select d.device_id as device, d.status, h.seq as statements,
            (select date_part('epoch', received_at) from entries e where e.device_id = d.device_id and e.seq = h.seq) as "lastArrivalAt"
     from devices d join chain_heads h using (device_id) where d.device_id = $1`,
    [device],
  )
  const [found] = rows
  if (found === undefined) return null
  const refusals = await queries.query<{ code: number; count: number; lastAt: number }>(
    `select code, count, date_part('epoch', last_at) as "lastAt" from refusals where device_id = $1 and code >= 10 order by code`,
    [device],
  )
  return {
    ...found,
    refusals: refusals.flatMap(({ code, ...rest }) => {
      const verdict = parseVerdictCode(code)
      return verdict === null ? [] : [{ verdict, ...rest }]
    }),
  }
}

/** A metric of a device and the seconds of its first and last reading: three steps along the index for each metric. */
export async function readMetricBounds(
  queries: Queries,
  device: string,
): Promise<{ readonly metric: string; readonly firstAt: number; readonly lastAt: number }[]> {
  const rows = await queries.query<{ metric: string; firstAt: number; lastAt: number }>(
    `with recursive names as (
       (select metric from series where device_id = $1 order by metric limit 1)
       union all
       select (select metric from series where device_id = $1 and metric > names.metric order by metric limit 1)
       from names where names.metric is not null
     )
     select names.metric, first.starts_at as "firstAt", last.ends_at as "lastAt"
     from names
     cross join lateral (
       select starts_at from series where device_id = $1 and metric = names.metric and not ahead
       order by starts_at limit 1
     ) as first
     cross join lateral (
       select max(ends_at) as ends_at from (
         select ends_at from series where device_id = $1 and metric = names.metric and not ahead
         order by starts_at desc limit 100
       ) as latest
     ) as last
     where names.metric is not null order by names.metric`,
    [device],
  )
  return rows
}

/** Unix seconds of the device's latest reading, or null where it has none. */
export async function readLatest(queries: Queries, device: string): Promise<number | null> {
  const bounds = await readMetricBounds(queries, device)
  return bounds.length === 0 ? null : Math.max(...bounds.map(({ lastAt }) => lastAt))
}

/** Series that the rhythm is taken from: the latest that begin before the window ends. */
const rhythmSeriesMax = 200
/** With fewer spacings than this nothing is called a rhythm. */
const spacingsMin = 3

/**
 * The median seconds between two readings of a metric, or null where there are too few to tell. The window's beginning
 * does not matter: a window that lies inside a gap has no readings of its own, and the gap is one all the same.
 */
export async function readRhythm(
  queries: Queries,
  device: string,
  metric: string,
  { boundaries }: Days,
): Promise<number | null> {
  // What happens when it happens has no rhythm.
  if (findMetric(metric)?.form === "event") return null
  const rows = await queries.query<{ spacings: number; median: number | null }>(
    `with latest as (
       select kind, times, period_ms, samples, starts_at, ends_at from series
       where device_id = $1 and metric = $2 and starts_at < $3 and not ahead
       order by starts_at desc limit ${rhythmSeriesMax}
     ), spacing as (
       select time - lag(time) over (order by time) as seconds
       from (select unnest(times) as time from latest where kind <> 'waveform' and kind <> 'text') as points
       union all
       select period_ms / 1000 from latest cross join generate_series(1, least(cardinality(samples), ${spacingsMin}))
       where kind = 'waveform'
     )
     select count(*)::int as spacings, percentile_disc(0.5) within group (order by seconds) as median
     from spacing where seconds > 0`,
    [device, metric, boundaries.at(-1)],
  )
  const { spacings, median } = rows[0]!
  return spacings < spacingsMin ? null : median
}

interface SeriesColumns {
  readonly startsAt: number
  readonly endsAt: number
  readonly arrivedAt: number
  readonly isUnsealed: boolean
  readonly times: Buffer | null
  readonly periodMs: number | null
  readonly samples: number
}

/** A fetch holds so many series: 10,000 readings each at most, 80 bytes of them usually. */
const seriesPerFetch = 100
let cursors = 0

/**
 * The runs of a metric in the order of their beginnings: each series cut where it has a gap and where a day ends. Of a
 * waveform no sample is read. A million readings took 4.9 s by window functions in the database, and 0.65 s so.
 */
export async function* readRuns(
  queries: Queries,
  device: string,
  metric: string,
  gapAfterSeconds: number | null,
  days: Days,
  liveWithinSeconds: number,
): AsyncGenerator<Run> {
  const cursor = `coverage_${(cursors += 1)}`
  await queries.query(
    `declare ${cursor} no scroll cursor for
     select starts_at as "startsAt", ends_at as "endsAt", date_part('epoch', received_at) as "arrivedAt",
            statement_id > (select coalesce(max(manifest_id), 0) from blocks) as "isUnsealed",
            array_send(times) as times, period_ms as "periodMs", coalesce(cardinality(samples), 0) as samples
     from series
     where device_id = $1 and metric = $2 and starts_at < $4::float8 and ends_at >= $3::float8 and not ahead
     order by starts_at`,
    [device, metric, days.boundaries[0], days.boundaries.at(-1)],
  )
  // Runs of series that began already; what begins before the next series does can go out.
  let waiting: Run[] = []
  const pace = new Pace()
  for (;;) {
    const rows = await queries.query<SeriesColumns>(`fetch ${seriesPerFetch} from ${cursor}`)
    for (const row of rows) {
      if (waiting.length > 1) waiting.sort((one, other) => one.startsAt - other.startsAt)
      const ready = waiting.findIndex(({ startsAt }) => startsAt >= row.startsAt)
      for (const run of ready === -1 ? waiting : waiting.slice(0, ready)) {
        yield run
        if (pace.isDue) await pace.take()
      }
      waiting = ready === -1 ? [] : waiting.slice(ready)
      waiting.push(...runsOf(row, gapAfterSeconds ?? Infinity, days, liveWithinSeconds))
      if (waiting.length > waitingMax) throw overlapProblem(device, metric)
    }
    if (rows.length < seriesPerFetch) break
  }
  for (const run of waiting.toSorted((one, other) => one.startsAt - other.startsAt)) {
    yield run
    if (pace.isDue) await pace.take()
  }
  await queries.query(`close ${cursor}`)
}

/** Series that cover one another's time are held until it is over. */
const waitingMax = 500_000

function runsOf(
  { startsAt, endsAt, arrivedAt, isUnsealed, times: sent, periodMs, samples }: SeriesColumns,
  gapAfterSeconds: number,
  { boundaries }: Days,
  liveWithinSeconds: number,
): Run[] {
  const lateBefore = arrivedAt - liveWithinSeconds
  if (sent === null) {
    const late = Math.ceil(((lateBefore - startsAt) * 1000) / periodMs!)
    return [
      {
        startsAt,
        endsAt,
        readings: samples,
        late: Math.min(samples, Math.max(0, late)),
        unsealed: isUnsealed ? samples : 0,
        periodMs,
      },
    ]
  }
  const times = float8sOf(sent).toSorted()
  const runs: Run[] = []
  let day = 0
  let from = 0
  while (from < times.length && times[from]! < boundaries[0]!) from += 1
  while (from < times.length && times[from]! < boundaries.at(-1)!) {
    while (times[from]! >= boundaries[day + 1]!) day += 1
    const dayEnd = boundaries[day + 1]!
    let to = from + 1
    while (to < times.length && times[to]! < dayEnd && times[to]! - times[to - 1]! <= gapAfterSeconds) to += 1
    let late = 0
    while (from + late < to && times[from + late]! < lateBefore) late += 1
    const readings = to - from
    runs.push({
      startsAt: times[from]!,
      endsAt: times[to - 1]!,
      readings,
      late,
      unsealed: isUnsealed ? readings : 0,
      periodMs: null,
    })
    from = to
  }
  return runs
}

/** A device that explains itself more often than this is told of with the latest so many. */
export const remarksMax = 10_000

/**
 * What the chain says of missing readings: statements that hold no reading, or were not accepted plainly, and arrived
 * since the window began. The signed bytes are decoded, for their kind stands nowhere else.
 */
export async function readRemarks(
  queries: Queries,
  device: string,
  { boundaries }: Days,
): Promise<{ readonly remarks: readonly Remark[]; readonly complete: boolean }> {
  // A device's clock may be so much ahead before it is called that (FORMAT §4, code 4).
  const aheadMax = 300
  const rows = await queries.query<{
    seq: number
    code: number
    fault: string | null
    arrivedAt: number
    bytes: Uint8Array
  }>(
    `select e.seq, e.code, e.fault, date_part('epoch', e.received_at) as "arrivedAt", s.bytes
     from entries e join statements s on s.id = e.id and s.received_at = e.received_at
     where e.device_id = $1 and e.received_at >= to_timestamp($2) and (e.readings = 0 or e.code <> 1)
     order by e.received_at desc limit ${remarksMax + 1}`,
    [device, boundaries[0]! - aheadMax],
  )
  const remarks = rows.slice(0, remarksMax).flatMap(({ seq, code, fault, arrivedAt, bytes }): Remark[] => {
    const decoded = decodeStatement(bytes)
    if (decoded.kind !== "statement") return []
    const at = decoded.statement.iat
    if (code === 3) return [{ kind: "unread", seq, rule: fault ?? "", at, arrivedAt }]
    const payload = readPayload(decoded.statement)
    if (payload.kind === "lost") return [{ kind: "lost", seq, ...payload.lost }]
    return code === 4 ? [{ kind: "ahead", seq, at, arrivedAt }] : []
  })
  return { remarks, complete: rows.length <= remarksMax }
}
