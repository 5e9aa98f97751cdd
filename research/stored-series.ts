/** Series as they are stored: one row each, with its values in arrays, read in an order and expanded here. */
import { Pace } from "./pace.ts"
import { Problem } from "./problem.ts"
import { blobsOf, float8sOf, int2sOf, textsOf } from "./sent-array.ts"
import type { Snapshot, Transaction } from "./snapshot.ts"

export type SeriesKind = "number" | "sum" | "boolean" | "text" | "bytes" | "waveform"

export interface StoredSeries {
  readonly statement: number
  readonly position: number
  readonly device: string
  readonly metric: string
  /** The whole SenML name, of which the metric is the last part. */
  readonly name: string
  readonly unit: string | null
  readonly kind: SeriesKind
  /** Unix seconds of the earliest and the latest reading. */
  readonly startsAt: number
  readonly endsAt: number
  readonly arrivedMs: number
  readonly ahead: boolean
  /** SHA-256 of the statement. */
  readonly entry: Uint8Array
  /** Height; null: not sealed as of this answer. */
  readonly block: number | null
  /** Readings; of each the time in Unix seconds, in the order signed. */
  readonly times: Float64Array
  /** Of number, sum, boolean (0 and 1) and waveform; else null. */
  readonly numbers: Float64Array | null
  readonly texts: readonly string[] | null
  readonly blobs: readonly Uint8Array[] | null
  readonly waveform: Waveform | null
}

export interface Waveform {
  readonly periodMs: number
  readonly factor: number
  readonly origin: number
  readonly samples: Int16Array
}

/** What is asked for. Everything that is given must hold. */
export interface SeriesFilter {
  /** Null: all; an empty list: none. */
  readonly devices: readonly string[] | null
  readonly metrics: readonly string[] | null
  /** Unix seconds by the device's clock: series that have a reading in from <= time < to may come. */
  readonly fromSeconds: number | null
  readonly toSeconds: number | null
  /** Unix ms by the database's clock, from in and to out. */
  readonly arrivedFromMs: number | null
  readonly arrivedToMs: number | null
  /** Statement ids: above and up to. */
  readonly statementAbove: number | null
  readonly statementMax: number | null
  readonly isAheadIncluded: boolean
  /** Waveforms only. */
  readonly isWaveform?: boolean
}

/** `time`: by device, metric and beginning; `arrival`: by statement, which is the order of the log. */
export type SeriesOrder = "time" | "arrival"

/** Where reading goes on: the place of a series, those before which are left out. */
export type SeriesStart =
  | { readonly order: "time"; readonly device: string; readonly metric: string; readonly endsFrom: number }
  | { readonly order: "arrival"; readonly statement: number; readonly position: number }

interface Columns {
  readonly id: string
  readonly position: number
  readonly device_id: string
  readonly metric: string
  readonly name: string
  readonly unit: string | null
  readonly kind: SeriesKind
  readonly starts_at: number
  readonly ends_at: number
  readonly arrived_ms: number
  readonly ahead: boolean
  readonly times: Buffer | null
  readonly numbers: Buffer | null
  readonly texts: Buffer | null
  readonly blobs: Buffer | null
  readonly period_ms: number | null
  readonly factor: number | null
  readonly origin: number | null
  readonly samples: Buffer | null
}

const selectSeries = `select statement_id::text as id, position, device_id, metric, name, unit, kind, starts_at, ends_at,
  (extract(epoch from received_at) * 1000)::float8 as arrived_ms, ahead,
  array_send(times) as times, array_send(numbers) as numbers, array_send(texts) as texts,
  array_send(blobs) as blobs, period_ms, factor, origin, array_send(samples) as samples
from series`

/** What a fetch should bring: more costs memory, less costs round trips. */
const fetchBytes = 1_000_000
const fetchRowsMax = 2_000

let cursors = 0

/** Series one after another; memory of two fetches. */
export async function* readSeries(
  snapshot: Snapshot,
  filter: SeriesFilter,
  order: SeriesOrder,
  start: SeriesStart | null,
): AsyncGenerator<StoredSeries> {
  const rows = new SeriesCursor(snapshot, filter, order, start)
  const pace = new Pace()
  let rowsWanted = 50
  let next = rows.fetch(rowsWanted)
  for (;;) {
    const fetched = await next
    const isLast = fetched.rows.length < rowsWanted
    if (!isLast) {
      rowsWanted = rowsFor(fetched.rows)
      next = rows.fetch(rowsWanted)
      // It is awaited in the next turn; where nobody comes for it any more, its failure is nobody's.
      next.catch(ignore)
    }
    for (const row of fetched.rows) {
      yield seriesOf(row, fetched.entries.get(row.id)!, snapshot)
      if (pace.isDue) await pace.take()
    }
    if (isLast) return
  }
}

/** A cursor that is declared again behind the last row where the snapshot has rested. */
class SeriesCursor {
  private readonly snapshot: Snapshot
  private readonly order: SeriesOrder
  private readonly start: SeriesStart | null
  private filter: SeriesFilter
  private readonly name = `series_${(cursors += 1)}`
  private declaredIn: Transaction | null = null
  private last: Columns | null = null

  constructor(snapshot: Snapshot, filter: SeriesFilter, order: SeriesOrder, start: SeriesStart | null) {
    this.snapshot = snapshot
    this.filter = filter
    this.order = order
    this.start = start
  }

  async fetch(count: number) {
    const transaction = await this.snapshot.enter()
    if (transaction !== this.declaredIn) await this.declare(transaction)
    const rows = await this.snapshot.query<Columns>(`fetch ${count} from ${this.name}`)
    this.last = rows.at(-1) ?? this.last
    return { rows, entries: await readEntries(this.snapshot, rows) }
  }

  private async declare(transaction: Transaction): Promise<void> {
    const { snapshot, order } = this
    // What is not sealed may grow while the snapshot rests: the answer ends where it ended when it began.
    if (this.filter.statementMax === null) {
      const [newest] = await snapshot.query<{ id: number | null }>("select max(id) as id from entries")
      this.filter = { ...this.filter, statementMax: newest?.id ?? 0 }
    }
    const { where, values } = conditionsOf(this.filter, this.start, order, this.last)
    await snapshot.query(
      `declare ${this.name} no scroll cursor for
     ${selectSeries} ${where === "" ? "" : `where ${where}`} order by ${keysOf(order).join(", ")}`,
      values,
    )
    this.declaredIn = transaction
  }
}

/** What a series' place in an order is made of. */
function keysOf(order: SeriesOrder): readonly string[] {
  return order === "time"
    ? ["device_id", "metric", "starts_at", "statement_id", "position"]
    : ["statement_id", "position"]
}

/** Where a series stands in the log. */
export interface SeriesPlace {
  readonly statement: number
  readonly position: number
}

/** The series at these places, in any order. */
export async function readSeriesAt(
  snapshot: Snapshot,
  places: readonly SeriesPlace[],
): Promise<readonly StoredSeries[]> {
  const rows = await snapshot.query<Columns>(
    `${selectSeries} where (statement_id, position) in (select * from unnest($1::bigint[], $2::smallint[]))`,
    [places.map(({ statement }) => statement), places.map(({ position }) => position)],
  )
  const entries = await readEntries(snapshot, rows)
  return rows.map((row) => seriesOf(row, entries.get(row.id)!, snapshot))
}

/** SHA-256 of each row's statement, by its id. */
async function readEntries(
  snapshot: Snapshot,
  rows: readonly Columns[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const ids = [...new Set(rows.map(({ id }) => id))]
  const found =
    ids.length === 0
      ? []
      : await snapshot.query<{ id: string; entry: Buffer }>(
          "select id::text, entry from entries where id = any($1::bigint[])",
          [ids],
        )
  return new Map(found.map(({ id, entry }) => [id, Uint8Array.from(entry)]))
}

function rowsFor(rows: readonly Columns[]): number {
  let bytes = 0
  for (const row of rows) {
    bytes += 300
    for (const sent of [row.times, row.numbers, row.texts, row.blobs, row.samples]) bytes += sent?.length ?? 0
  }
  return Math.max(1, Math.min(fetchRowsMax, Math.floor(fetchBytes / (bytes / rows.length))))
}

/** SQL on `series` that a filter means, and its values from $1 on. */
export function conditionsOf(
  filter: SeriesFilter,
  start: SeriesStart | null = null,
  order: SeriesOrder = "time",
  last: Columns | null = null,
): { readonly where: string; readonly values: readonly unknown[] } {
  const values: unknown[] = []
  const conditions: string[] = []
  /** `?` stands for the next value. */
  const must = (sql: string, ...given: unknown[]): void => {
    let place = 0
    conditions.push(
      sql.replaceAll("?", () => {
        values.push(given[place++])
        return `$${values.length}`
      }),
    )
  }
  const mustBeIn = (column: string, list: readonly string[] | null): void => {
    if (list?.length === 1) must(`${column} = ?`, list[0])
    else if (list !== null) must(`${column} = any(?::text[])`, list)
  }
  mustBeIn("device_id", filter.devices)
  mustBeIn("metric", filter.metrics)
  if (!filter.isAheadIncluded) must("not ahead")
  if (filter.isWaveform === true) must("kind = 'waveform'")
  if (filter.fromSeconds !== null) must("ends_at >= ?::float8", filter.fromSeconds)
  if (filter.toSeconds !== null) must("starts_at < ?::float8", filter.toSeconds)
  if (filter.arrivedFromMs !== null)
    must("received_at >= to_timestamp(?::float8 / 1000)", filter.arrivedFromMs)
  if (filter.arrivedToMs !== null) must("received_at < to_timestamp(?::float8 / 1000)", filter.arrivedToMs)
  if (filter.statementAbove !== null) must("statement_id > ?::bigint", filter.statementAbove)
  if (filter.statementMax !== null) must("statement_id <= ?::bigint", filter.statementMax)
  if (start?.order === "time") {
    const { device, metric, endsFrom } = start
    must(
      "(device_id, metric) >= (?, ?) and ((device_id, metric) > (?, ?) or ends_at >= ?::float8)",
      device,
      metric,
      device,
      metric,
      endsFrom,
    )
  }
  if (start?.order === "arrival")
    must("(statement_id, position) >= (?::bigint, ?::smallint)", start.statement, start.position)
  if (last !== null) {
    const { device_id, metric, starts_at, id, position } = last
    if (order === "time")
      must(
        "(device_id, metric, starts_at, statement_id, position) > (?, ?, ?::float8, ?::bigint, ?::smallint)",
        device_id,
        metric,
        starts_at,
        id,
        position,
      )
    else must("(statement_id, position) > (?::bigint, ?::smallint)", id, position)
  }
  return { where: conditions.join(" and "), values }
}

function seriesOf(row: Columns, entry: Uint8Array, snapshot: Snapshot): StoredSeries {
  const statement = Number(row.id)
  const waveform =
    row.samples === null
      ? null
      : {
          periodMs: row.period_ms!,
          factor: row.factor!,
          origin: row.origin!,
          samples: int2sOf(row.samples),
        }
  return {
    statement,
    position: row.position,
    device: row.device_id,
    metric: row.metric,
    name: row.name,
    unit: row.unit,
    kind: row.kind,
    startsAt: row.starts_at,
    endsAt: row.ends_at,
    arrivedMs: row.arrived_ms,
    ahead: row.ahead,
    entry,
    block: snapshot.blockOf(statement),
    times: waveform === null ? float8sOf(row.times!) : timesOf(row.starts_at, waveform),
    numbers: waveform === null ? (row.numbers === null ? null : float8sOf(row.numbers)) : valuesOf(waveform),
    texts: row.texts === null ? null : textsOf(row.texts),
    blobs: row.blobs === null ? null : blobsOf(row.blobs),
    waveform,
  }
}

/** As the view `readings` computes them, operation by operation, so that both give the same doubles. */
function timesOf(startsAt: number, { periodMs, samples }: Waveform): Float64Array {
  const times = new Float64Array(samples.length)
  for (let index = 0; index < times.length; index++) times[index] = startsAt + (index * periodMs) / 1000
  return times
}

function valuesOf({ samples, factor, origin }: Waveform): Float64Array {
  const values = new Float64Array(samples.length)
  for (let index = 0; index < values.length; index++) values[index] = samples[index]! * factor + origin
  return values
}

/** So many readings of series that overlap are held to be put in order of time. */
export const overlapReadingsMax = 2_000_000

export function overlapProblem(device: string, metric: string): Problem {
  return new Problem("too-much-overlap", {
    detail: `over ${overlapReadingsMax} readings of ${metric} of device ${device} are in packs that cover one another's time`,
    parameter: "order",
    rule: "must be arrival for these, which needs no sorting, or from and to closer to each other",
  })
}

function ignore(): void {}
