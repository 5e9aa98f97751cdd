/** Partitions by week, on plain Postgres: a missing one refuses nothing, and what the default one took finds its place. */
import type { Pool } from "pg"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { auditDatabase } from "../../cli/audit.ts"
import { compressSealed, hasHypertables, makePartitions } from "../../ingest/database/migration.ts"
import { readPublishedNote } from "../verify/log.ts"
import { type Stand, openStand, send } from "./stand.ts"

let stand: Stand
let pool: Pool
beforeEach(async () => {
  stand = await openStand()
  pool = stand.pool
})
afterEach(() => stand.close())

/** Of the server that this run is on. */
const offered = await findOffered()

async function findOffered(): Promise<string | null> {
  const one = await openStand()
  try {
    const { rows } = await one.pool.query<{ offered: string | null }>("select timescale_offered() as offered")
    return rows[0]!.offered
  } finally {
    await one.close()
  }
}

test("statements and series are hypertables where the server offers TimescaleDB, else partitions by week; both only grow", async () => {
  expect(await hasHypertables(pool)).toBe(offered !== null)
  const device = await stand.enrol("k7")
  const place = stand.intake.open(device.id)
  for (let count = 0; count < 20; count++) expect(await send(place, device.next())).toMatchObject({ code: 1 })
  for (const table of ["statements", "series"]) {
    for (const sql of [
      `delete from ${table}`,
      `truncate ${table}`,
      `update ${table} set received_at = now()`,
    ])
      await expect(pool.query(sql)).rejects.toThrow("rows of this table are only ever added")
    await expect(pool.query(`insert into ${table} select * from ${table} limit 1`)).rejects.toThrow(
      "duplicate key",
    )
  }
  expect(await stand.seal()).toMatchObject({ kind: "sealed", block: { summary: { statements: 20 } } })
  // This week is not over: nothing is compressed yet.
  expect(await compressSealed(pool)).toBe(0)
  if (offered !== null) await compressAnyway()
  const { rows } = await pool.query("select count(*) as count, min(block) as block from readings")
  expect(rows).toEqual([{ count: 60, block: 0 }])
  const result = await auditDatabase(pool, stand.keys, await readPublishedNote(stand.dataFolder))
  expect(result).toMatchObject({ kind: "passed" })
})

/** As if the week had been over, and sealed. */
async function compressAnyway(): Promise<void> {
  await pool.query("alter table blocks disable trigger user")
  await pool.query("update blocks set to_ms = to_ms + $1", [8 * 86_400_000])
  expect(await compressSealed(pool)).toBe(2)
  expect(await compressSealed(pool)).toBe(0)
  await pool.query("update blocks set to_ms = to_ms - $1", [8 * 86_400_000])
  await pool.query("alter table blocks enable trigger user")
}

const monday = (text: string): string => `${text}T00:00:00Z`

/** Rows that arrived at these times, as a service without partitions would have left them. */
async function arrive(...times: readonly string[]): Promise<void> {
  for (const [index, time] of times.entries()) {
    const id = 1_000_000 + index
    await pool.query("insert into statements values ($1, $2, $3)", [id, time, Uint8Array.of(1, 2, index)])
    await pool.query(
      `insert into series (statement_id, position, received_at, device_id, metric, name, kind, starts_at, ends_at, times, numbers, ahead)
       values ($1, 0, $2, 'k7', 'm', 'm', 'number', 1, 1, '{1}', '{2}', false)`,
      [id, time],
    )
  }
}

/** Where rows stand: partition and count, of those that have any from before this year. */
async function placesOf(parent: string): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ place: string; count: number }>(
    `select tableoid::regclass::text as place, count(*) as count from ${parent} where received_at < '2026-01-01' group by 1`,
  )
  return Object.fromEntries(rows.map(({ place, count }) => [place, count]))
}

describe.runIf(offered === null)("on plain Postgres", () => {
  test("a statement of a week without a partition is accepted, and the week's rows stay together until it is over", async () => {
    const { rows } = await pool.query<{ name: string }>(
      "select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relkind = 'r' and c.relname ~ '^(statements|series)_[0-9]{4}w' order by 1",
    )
    expect(rows.length).toBeGreaterThan(10)
    // The log's first statement stands there, with its entry.
    await pool.query("create table kept as select * from statements")
    for (const { name } of rows) await pool.query(`drop table ${name}`)
    await pool.query("insert into statements select * from kept")
    const device = await stand.enrol("k7")
    const place = stand.intake.open(device.id)
    expect(await send(place, device.next())).toMatchObject({ code: 1 })
    await makePartitions(pool)
    expect(await send(place, device.next())).toMatchObject({ code: 1 })
    const standing = await pool.query<{ place: string }>(
      "select distinct tableoid::regclass::text as place from statements union select distinct tableoid::regclass::text from series order by 1",
    )
    expect(standing.rows.map(({ place: name }) => name)).toEqual(["series_default", "statements_default"])
    // Later weeks have theirs, and the block is made of what stands in the default.
    const ahead = await pool.query(
      "select from pg_class where relkind = 'r' and relname ~ '^statements_[0-9]{4}w'",
    )
    expect(ahead.rowCount).toBe(8)
    expect(await stand.seal()).toMatchObject({ kind: "sealed", block: { summary: { statements: 2 } } })
  })

  test("once its weeks are over the default partition becomes theirs, with every row as it was", async () => {
    await arrive("2025-06-04T10:00:00Z", "2025-06-05T10:00:00Z", "2025-06-10T23:59:59Z")
    expect(await placesOf("statements")).toEqual({ statements_default: 3 })
    const oids = "select 'statements_default'::regclass::oid as oid"
    const before = await pool.query<{ oid: number }>(oids)
    await makePartitions(pool)
    expect(await placesOf("statements")).toEqual({ statements_2025w23: 3 })
    expect(await placesOf("series")).toEqual({ series_2025w23: 3 })
    // The same table under another name: no row was written again.
    const { rows } = await pool.query<{ oid: number; bounds: string }>(
      "select oid, pg_get_expr(relpartbound, oid) as bounds from pg_class where relname = 'statements_2025w23'",
    )
    expect(rows[0]!.oid).toBe(before.rows[0]!.oid)
    expect(rows[0]!.bounds).toContain("FROM ('2025-06-02 00:00:00+00') TO ('2025-06-16 00:00:00+00')")
    // What comes for those weeks goes there, and there is a new default with all that the others have.
    await pool.query("insert into statements values (2000000, $1, 'x')", [monday("2025-06-09")])
    await pool.query("insert into statements values (2000001, $1, 'x')", [monday("2025-07-07")])
    expect(await placesOf("statements")).toEqual({ statements_2025w23: 4, statements_default: 1 })
    const shapes = await pool.query<{ shape: string }>(
      `select string_agg(format('%s %s %s', attname, attstorage, attnotnull), ',' order by attnum)
            || (select count(*) from pg_index where indrelid = attrelid)
            || (select count(*) from pg_constraint where conrelid = attrelid) as shape
     from pg_attribute where attnum > 0 and attrelid in ('statements_default'::regclass, 'statements_2025w23'::regclass)
     group by attrelid`,
    )
    expect(shapes.rows).toHaveLength(2)
    expect(new Set(shapes.rows.map(({ shape }) => shape)).size).toBe(1)
  })

  test("a default partition with weeks on both sides of a partition, or with another's name, stays and harms nobody", async () => {
    await pool.query("select make_partitions($1, 0)", [monday("2025-06-09")])
    await arrive("2025-06-04T10:00:00Z", "2025-06-18T10:00:00Z")
    await makePartitions(pool)
    expect(await placesOf("statements")).toEqual({ statements_default: 2 })
    expect(await placesOf("series")).toEqual({ series_default: 2 })
    const device = await stand.enrol("k7")
    expect(await send(stand.intake.open(device.id), device.next())).toMatchObject({ code: 1 })
  })

  test("while somebody reads, partitions wait, and the next call settles them", async () => {
    await arrive("2025-06-04T10:00:00Z")
    const reader = await pool.connect()
    await reader.query("begin")
    await reader.query("select count(*) from statements")
    await makePartitions(pool)
    expect(await placesOf("statements")).toEqual({ statements_default: 1 })
    await reader.query("commit")
    reader.release()
    await makePartitions(pool)
    expect(await placesOf("statements")).toEqual({ statements_2025w23: 1 })
  })
})
