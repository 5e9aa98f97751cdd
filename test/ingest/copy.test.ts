/** What is copied into Postgres in binary is what Postgres gives back. */
import * as fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Pool } from "pg"
import { CopyRows, copyRows } from "../../ingest/database/copy.ts"
import { inTransaction, openPool } from "../../ingest/database/pool.ts"
import { type TestDatabase, openTestDatabase } from "./postgres.ts"

let database: TestDatabase
let pool: Pool

beforeAll(async () => {
  database = await openTestDatabase()
  pool = openPool(database.url, 2)
  await pool.query(
    `create table samples (place int8, small int2, middle int4, yes boolean, ratio float8, at timestamptz, said text,
       raw bytea, ratios float8[], words text[], blobs bytea[], shorts int2[], nothing text)`,
  )
})

afterAll(async () => {
  await pool.end()
  await database.close()
})

const readable = fc.string({ unit: "grapheme", maxLength: 20 }).filter((said) => !said.includes("\0"))
const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
const bytes = fc.uint8Array({ maxLength: 40 })
const samples = fc.array(
  fc.record({
    small: fc.integer({ min: -32_768, max: 32_767 }),
    middle: fc.integer(),
    large: fc.maxSafeInteger(),
    isYes: fc.boolean(),
    ratio: finite,
    atMs: fc.integer({ min: -1e12, max: 4e12 }),
    said: readable,
    raw: bytes,
    ratios: fc.array(finite, { maxLength: 30 }),
    words: fc.array(readable, { maxLength: 4 }),
    blobs: fc.array(bytes, { maxLength: 4 }),
    shorts: fc.int16Array({ maxLength: 30 }),
  }),
  { minLength: 1, maxLength: 30 },
)

test("numbers, times, texts of any script, bytes and arrays come back as they were", async () => {
  await fc.assert(
    fc.asyncProperty(samples, async (sent) => {
      const rows = new CopyRows()
      for (const one of sent) {
        rows.row(13)
        rows.int8(one.large)
        rows.int2(one.small)
        rows.int4(one.middle)
        rows.boolean(one.isYes)
        rows.float8(one.ratio)
        rows.timeMs(one.atMs)
        rows.text(one.said)
        rows.bytes(one.raw)
        rows.float8Array(one.ratios)
        rows.textArray(one.words)
        rows.bytesArray(one.blobs)
        rows.int2Array(one.shorts)
        rows.null()
      }
      const { rows: got } = await inTransaction(pool, async (client) => {
        await client.query("truncate samples")
        await copyRows(client, "samples", rows)
        return client.query<Record<string, unknown>>(
          "select *, (extract(epoch from at) * 1000)::int8 as at_ms from samples order by ctid",
        )
      })
      expect(
        got.map((row) => ({
          large: row["place"],
          small: row["small"],
          middle: row["middle"],
          isYes: row["yes"],
          ratio: row["ratio"],
          atMs: row["at_ms"],
          said: row["said"],
          raw: Uint8Array.from(row["raw"] as Uint8Array),
          ratios: row["ratios"],
          words: row["words"],
          blobs: (row["blobs"] as Uint8Array[]).map((blob) => Uint8Array.from(blob)),
          shorts: Int16Array.from(row["shorts"] as number[]),
          nothing: row["nothing"],
        })),
      ).toEqual(sent.map((one) => ({ ...one, nothing: null })))
    }),
    { seed: 1, numRuns: 60 },
  )
})

test("rows that Postgres refused leave nothing behind, and their memory is not given to the next", async () => {
  await pool.query("truncate samples")
  const bad = new CopyRows()
  bad.row(1)
  bad.text("no number")
  const sent = bad.finish()
  const copyOfSent = Uint8Array.from(sent)
  await expect(inTransaction(pool, (client) => copyRows(client, "samples (place)", bad))).rejects.toThrow(
    "incorrect binary data format",
  )
  const next = new CopyRows()
  for (let place = 0; place < 100; place++) {
    next.row(1)
    next.int8(place)
  }
  await inTransaction(pool, (client) => copyRows(client, "samples (place)", next))
  const { rows } = await pool.query("select count(*)::int as count, sum(place)::int as sum from samples")
  expect(rows).toEqual([{ count: 100, sum: 4_950 }])
  expect(sent.subarray(0, copyOfSent.length)).toEqual(copyOfSent)
})
