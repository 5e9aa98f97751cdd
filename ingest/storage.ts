/** Accepted statements as rows: entries, statements and series. */
import type { PoolClient } from "pg"
import type { Hash } from "../chain/hash.ts"
import { countPackReadings } from "../chain/senml.ts"
import { type Series, metricOf, spanOf, timesOf } from "../chain/series.ts"
import { CopyRows, copyRows } from "./database/copy.ts"

export interface StoredStatement {
  readonly id: number
  /** Device id, or the log's origin for the operator's. */
  readonly chain: string
  readonly seq: number
  readonly entry: Hash
  readonly receivedAtMs: number
  /** Keyed SHA-256 of the signed bytes, 32 bytes. */
  readonly signedDigest: Uint8Array
  readonly code: 1 | 3 | 4
  /** Of code 3: the rule that the payload breaks. */
  readonly fault: string | null
  readonly bytes: Uint8Array
  readonly series: readonly Series[]
}

/** Copies the rows of these statements, in the caller's transaction. */
export async function insertStatements(
  client: PoolClient,
  statements: readonly StoredStatement[],
): Promise<void> {
  const entries = new CopyRows()
  const bytes = new CopyRows()
  const series = new CopyRows()
  for (const statement of statements) {
    entries.row(11)
    entries.int8(statement.id)
    entries.text(statement.chain)
    entries.int8(statement.seq)
    entries.bytes(statement.entry)
    entries.timeMs(statement.receivedAtMs)
    entries.bytes(statement.signedDigest)
    entries.int2(statement.code)
    if (statement.fault === null) entries.null()
    else entries.text(statement.fault)
    addSummary(entries, statement.series)

    bytes.row(3)
    bytes.int8(statement.id)
    bytes.timeMs(statement.receivedAtMs)
    bytes.bytes(statement.bytes)

    for (const [position, one] of statement.series.entries()) addSeries(series, statement, position, one)
  }
  await copyRows(
    client,
    "entries (id, device_id, seq, entry, received_at, signed_digest, code, fault, readings, starts_at, ends_at)",
    entries,
  )
  await copyRows(client, "statements (id, received_at, bytes)", bytes)
  await copyRows(
    client,
    "series (statement_id, position, received_at, device_id, metric, name, unit, kind, starts_at, ends_at, times, numbers, texts, blobs, period_ms, factor, origin, samples, ahead)",
    series,
  )
}

/** The columns readings, starts_at and ends_at: what the block's summary will need of the statement. */
function addSummary(rows: CopyRows, series: readonly Series[]): void {
  const span = spanOf(series)
  rows.int4(countPackReadings(series))
  if (span === null) {
    rows.null()
    rows.null()
  } else {
    rows.float8(span.startsAt)
    rows.float8(span.endsAt)
  }
}

function addSeries(rows: CopyRows, statement: StoredStatement, position: number, series: Series): void {
  const { startsAt, endsAt } = timesOf(series)
  rows.row(19)
  rows.int8(statement.id)
  rows.int2(position)
  rows.timeMs(statement.receivedAtMs)
  rows.text(statement.chain)
  rows.text(metricOf(series.name))
  rows.text(series.name)
  if (series.unit === null) rows.null()
  else rows.text(series.unit)
  rows.text(series.kind)
  rows.float8(startsAt)
  rows.float8(endsAt)
  if (series.kind === "waveform") rows.null()
  else rows.float8Array(series.times)
  addValues(rows, series)
  rows.boolean(statement.code === 4)
}

/** The columns numbers, texts, blobs, period_ms, factor, origin and samples: what the kind has, and null for the rest. */
function addValues(rows: CopyRows, series: Series): void {
  const nulls = (count: number): void => {
    for (let left = count; left > 0; left--) rows.null()
  }
  switch (series.kind) {
    case "number":
    case "sum":
      rows.float8Array(series.values)
      nulls(6)
      break
    case "boolean":
      rows.float8Array(series.values.map(Number))
      nulls(6)
      break
    case "text":
      nulls(1)
      rows.textArray(series.values)
      nulls(5)
      break
    case "bytes":
      nulls(2)
      rows.bytesArray(series.values)
      nulls(4)
      break
    case "waveform":
      nulls(3)
      rows.float8(series.periodMs)
      rows.float8(series.factor)
      rows.float8(series.origin)
      rows.int2Array(series.samples)
  }
}

/** So many fresh ids, ascending. Call it under the locks of the chains concerned: id order is chain order. */
export async function takeIds(client: PoolClient, count: number): Promise<number[]> {
  // Where nobody else takes some meanwhile, the first tells them all: 1,000 rows of one number cost 0.8 ms more.
  const { rows } = await client.query<{ first: number; ids: readonly string[] | null }>(
    `select min(id) as first, case when max(id) - min(id) + 1 <> count(*) then array_agg(id order by id) end as ids
     from (select nextval('statement_ids') as id from generate_series(1, $1::int)) as taken`,
    [count],
  )
  const { first, ids } = rows[0]!
  return ids === null ? Array.from({ length: count }, (_, index) => first + index) : ids.map(Number)
}

/** The database's clock in Unix ms. */
export async function readClock(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ now: number }>(
    "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now",
  )
  return rows[0]!.now
}
