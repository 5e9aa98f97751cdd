import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { tableFromIPC } from "apache-arrow"
import { parse } from "csv-parse/sync"
import { afterAll, beforeAll, expect, test } from "vitest"
import { untilTrue } from "../ingest/stand.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

const start = 1_760_000_000
let stand: ResearchStand
let folder: string

/** Two devices over 400 minutes, and one statement with the kinds that are no numbers. */
beforeAll(async () => {
  stand = await openResearchStand({ largeReadsMax: 2, placeMsMax: 0 })
  folder = await mkdtemp(join(tmpdir(), "tidemark-formats-"))
  for (const id of ["k7", "k8"]) {
    const device = await stand.enrol(id)
    for (let part = 0; part < 8; part++) {
      const times = Array.from({ length: 3_000 }, (_, index) => start + part * 3_000 + index + 0.25)
      await stand.say(device, {
        kind: "number",
        name: "heart-rate",
        unit: "beat/min",
        times,
        values: times.map((_, index) => 60 + ((index * 7) % 400) / 10),
      })
    }
    await stand.say(
      device,
      { kind: "text", name: "diary", unit: null, times: [start + 5, start + 6], values: ['a "b", c', "=1"] },
      { kind: "boolean", name: "worn", unit: null, times: [start + 6, start + 7], values: [true, false] },
      { kind: "bytes", name: "raw", unit: null, times: [start + 7], values: [Uint8Array.of(1, 2, 255)] },
    )
  }
  await stand.seal()
})
afterAll(async () => {
  await stand.close()
  await rm(folder, { recursive: true, force: true })
})

const ask = (query: string, headers: Record<string, string> = {}) =>
  stand.app.inject({ url: `/v1/readings?${query}`, headers: { host: "127.0.0.1", ...headers } })

async function duck(path: string, sql: string): Promise<Record<string, unknown>[]> {
  const instance = await DuckDBInstance.create(":memory:")
  const connection = await instance.connect()
  const reader = await connection.runAndReadAll(sql.replace("FILE", `'${path}'`))
  const rows = reader.getRowObjectsJson() as Record<string, unknown>[]
  connection.closeSync()
  instance.closeSync()
  return rows
}

async function inSql(): Promise<Record<string, unknown>[]> {
  const { rows } = await stand.pool.query<Record<string, unknown>>(
    `select device, metric, count(*)::int as rows, sum(value) as total, min(extract(epoch from time) * 1000000)::bigint as first,
            max(block)::int as block, count(text)::int as texts, count(blob)::int as blobs
     from readings group by device, metric order by device, metric`,
  )
  return rows
}

test("Parquet opens in DuckDB with the sums of SQL, times that are times, and what it speaks of", async () => {
  const response = await ask("format=parquet")
  expect(response.statusCode).toBe(200)
  expect(response.headers["content-type"]).toBe("application/vnd.apache.parquet")
  const path = join(folder, "readings.parquet")
  await writeFile(path, response.rawPayload)
  const sums = await duck(
    path,
    `select device, metric, count(*)::int as rows, sum(value) as total, epoch_us(min(time))::varchar as first, max(block)::int as block,
            count(text)::int as texts, count(blob)::int as blobs
     from FILE group by device, metric order by device, metric`,
  )
  const expected = (await inSql()).map((row) => ({ ...row, first: String(row["first"]) }))
  expect(sums).toEqual(expected)
  const types = await duck(path, "select column_name, column_type from (describe select * from FILE)")
  expect(Object.fromEntries(types.map((row) => [row["column_name"], row["column_type"]]))).toEqual({
    time: "TIMESTAMP WITH TIME ZONE",
    device: "VARCHAR",
    metric: "VARCHAR",
    kind: "VARCHAR",
    value: "DOUBLE",
    text: "VARCHAR",
    blob: "BLOB",
    unit: "VARCHAR",
    arrived: "TIMESTAMP WITH TIME ZONE",
    latenessSeconds: "DOUBLE",
    mode: "VARCHAR",
    block: "INTEGER",
    entry: "VARCHAR",
  })
  const chunks = await duck(
    path,
    "select distinct path_in_schema as name from parquet_metadata(FILE) where encodings like '%DICTIONARY%' order by name",
  )
  expect(chunks.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["device", "entry", "kind", "metric", "mode", "unit"]),
  )
  const facts = await duck(
    path,
    "select value::varchar as value from parquet_kv_metadata(FILE) where key::varchar = 'tidemark.asOf'",
  )
  expect(facts[0]!["value"]).toBe(response.headers["tidemark-as-of"])
})

test("an Arrow stream is read by the library of the format, with the same sums", async () => {
  const response = await ask("format=arrow&device=k7")
  const table = tableFromIPC(response.rawPayload)
  expect(table.numRows).toBe(24_005)
  expect(table.schema.metadata.get("tidemark.asOf")).toBe(response.headers["tidemark-as-of"])
  let total = 0
  for (const value of table.getChild("value")!) total += Number(value ?? 0)
  const [{ sum } = { sum: 0 }] = (
    await stand.pool.query<{ sum: number }>("select sum(value) as sum from readings where device = 'k7'")
  ).rows
  expect(total).toBeCloseTo(sum, 6)
  const row = table.get(2)!.toJSON() as Record<string, unknown>
  expect(row).toMatchObject({
    device: "k7",
    metric: "heart-rate",
    unit: "beat/min",
    block: 0,
    kind: "number",
  })
  expect(row["time"]).toBe((start + 0.25) * 1000)
})

test("CSV comes out of any reader of RFC 4180 as it went in, and says in a trailer how many rows there were", async () => {
  const response = await ask("format=csv&metric=diary&metric=worn&metric=raw&device=k7")
  expect(response.trailers["tidemark-rows"]).toBe("5")
  const rows = parse(response.body, { columns: true }) as Record<string, string>[]
  expect(rows.map(({ metric, value, text, blob }) => [metric, value, text, blob])).toEqual([
    ["diary", "", 'a "b", c', ""],
    ["diary", "", "=1", ""],
    ["raw", "", "", "AQL/"],
    ["worn", "1", "", ""],
    ["worn", "0", "", ""],
  ])
  expect(rows[0]).toMatchObject({ time: "2025-10-09T08:53:25.000Z", device: "k7", kind: "text", block: "0" })
})

const texts = (body: string) => parse<{ text: string }>(body, { columns: true }).map(({ text }) => text)

test("field S14: CSV for a spreadsheet has no formula by a device, and is refused where it is no CSV", async () => {
  expect(texts((await ask("format=csv&metric=diary&device=k7&safe=spreadsheet")).body)).toEqual([
    'a "b", c',
    "'=1",
  ])
  expect(texts((await ask("format=csv&metric=diary&device=k7")).body)).toEqual(['a "b", c', "=1"])
  expect(await stand.refused("/v1/readings?format=ndjson&safe=spreadsheet")).toMatchObject({
    parameter: "safe",
  })
})

const linesOf = (body: string) =>
  body
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)

test("field Q9: NDJSON has the rows of JSON and nothing else, and says in trailers how it ended", async () => {
  const path = "/v1/readings?metric=diary&metric=worn"
  const answer = await ask("format=ndjson&metric=diary&metric=worn")
  const { items, asOf } = await stand.get<{ items: unknown[]; asOf: unknown }>(path)
  expect(linesOf(answer.body)).toEqual(items)
  expect(answer.trailers).toMatchObject({
    "tidemark-rows": "8",
    "tidemark-complete": "true",
    "tidemark-next": "",
  })
  const ended = linesOf((await ask("format=ndjson&metric=diary&metric=worn&endLine=true")).body)
  expect(ended.slice(0, -1)).toEqual(items)
  expect(ended.at(-1)).toEqual({ complete: true, rows: 8, next: null, asOf })

  const cut = await ask("format=ndjson&metric=diary&metric=worn&limit=3")
  expect(linesOf(cut.body)).toHaveLength(3)
  expect(cut.trailers).toMatchObject({ "tidemark-rows": "3", "tidemark-complete": "false" })
  const rest = await stand.get<{ items: unknown[] }>(`${path}&cursor=${cut.trailers["tidemark-next"]}`)
  expect(rest.items).toEqual(items.slice(3))
})

test("an answer without rows is whole in every format", async () => {
  const none = "metric=glucose"
  expect((await ask(`format=csv&${none}`)).body.split("\r\n")).toEqual([
    "time,device,metric,kind,value,text,blob,unit,arrived,latenessSeconds,mode,block,entry",
    "",
  ])
  expect((await ask(`format=ndjson&${none}`)).body).toBe("")
  expect(JSON.parse((await ask(`format=ndjson&endLine=true&${none}`)).body)).toMatchObject({
    complete: true,
    rows: 0,
  })
  expect(tableFromIPC((await ask(`format=arrow&${none}`)).rawPayload).numRows).toBe(0)
  const path = join(folder, "none.parquet")
  await writeFile(path, (await ask(`format=parquet&${none}`)).rawPayload)
  expect(await duck(path, "select count(*)::int as rows from FILE")).toEqual([{ rows: 0 }])
})

test.each([
  ["application/json", "application/json"],
  ["text/csv", "text/csv"],
  ["application/x-ndjson, application/json;q=0.5", "application/x-ndjson"],
  ["application/x-ndjson;q=0.1, application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"],
  ["text/html, */*;q=0.1", "application/json"],
])("Accept: %s is answered with %s", async (accept, type) => {
  const response = await ask("metric=worn", { accept })
  expect(String(response.headers["content-type"]).split(";")[0]).toBe(type)
})

test("a type that is not made here is refused, and limit where everything comes", async () => {
  const response = await ask("metric=worn", { accept: "image/png" })
  expect(response.statusCode).toBe(406)
  expect(await stand.refused("/v1/readings?format=csv&limit=3")).toMatchObject({
    status: 400,
    parameter: "limit",
  })
  expect(await stand.refused("/v1/readings?format=xml")).toMatchObject({ status: 400, parameter: "format" })
  expect(await stand.refused("/v1/readings?bucket=0m")).toMatchObject({ status: 400, parameter: "bucket" })
  expect(await stand.refused("/v1/readings?bucket=1h&order=arrival")).toMatchObject({ parameter: "order" })
})

interface BucketRow {
  readonly time: string
  readonly metric: string
  readonly count: number
  readonly min: number
  readonly max: number
  readonly mean: number
  readonly first: number
  readonly last: number
}

test("buckets are those of SQL, in pages and in every format", async () => {
  const query = "bucket=5m&metric=heart-rate&device=k7"
  const { rows: expected } = await stand.pool.query<BucketRow & { seconds: number }>(
    `select floor(extract(epoch from time) / 300) * 300::float8 as seconds, count(*)::int as count, min(value), max(value),
            avg(value) as mean, (array_agg(value order by time))[1] as first, (array_agg(value order by time desc))[1] as last
     from readings where device = 'k7' and metric = 'heart-rate' group by 1 order by 1`,
  )
  const { items } = await stand.get<{ items: BucketRow[] }>(`/v1/readings?${query}`)
  expect(items.length).toBe(81)
  for (const [index, row] of items.entries()) {
    const { seconds, mean, ...rest } = expected[index]!
    expect(row).toMatchObject({ ...rest, time: new Date(seconds * 1000).toISOString(), unit: "beat/min" })
    expect(row.mean).toBeCloseTo(mean, 9)
  }
  const paged: BucketRow[] = []
  for (let cursor = ""; ;) {
    const page = await stand.get<{ items: BucketRow[]; next: string | null }>(
      `/v1/readings?${query}&limit=32${cursor}`,
    )
    paged.push(...page.items)
    if (page.next === null) break
    cursor = `&cursor=${page.next}`
  }
  expect(paged).toEqual(items)
  const csv = parse((await ask(`${query}&format=csv`)).body, { columns: true }) as Record<string, string>[]
  expect(csv.map(({ count }) => Number(count))).toEqual(items.map(({ count }) => count))
  expect(tableFromIPC((await ask(`${query}&format=arrow`)).rawPayload).numRows).toBe(items.length)
  const words = await stand.get<{ items: BucketRow[] }>("/v1/readings?bucket=1d&metric=diary&device=k7")
  expect(words.items).toMatchObject([{ count: 2, min: null, mean: null, last: null }])
})

/** A reader over a real socket that takes the head of an answer and no more. */
async function openReader(path: string): Promise<{ readonly status: number; leave(): void }> {
  if (!stand.app.server.listening) await stand.app.listen({ host: "127.0.0.1", port: 0 })
  const { port } = stand.app.server.address() as AddressInfo
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path }, (response) => {
      response.pause()
      resolve({ status: response.statusCode ?? 0, leave: () => request.destroy() })
    })
    request.on("error", reject)
    request.end()
  })
}

test("a reader that stands still keeps a place, one too many is told when to come again, and whoever leaves ends the query", async () => {
  const path = "/v1/readings?format=ndjson"
  const readers = [await openReader(path), await openReader(path)]
  expect(readers.map(({ status }) => status)).toEqual([200, 200])
  const busy = await ask("format=ndjson")
  expect(busy.statusCode).toBe(503)
  expect(busy.headers["retry-after"]).toBe("2")
  expect(busy.json()).toMatchObject({ type: "urn:tidemark:problem:busy" })
  for (const reader of readers) reader.leave()
  await untilTrue(
    stand.pool,
    "not exists (select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%')",
  )
  const whole = await ask("format=ndjson&metric=worn")
  expect(whole.statusCode).toBe(200)
})

test("readers that leave at any moment leave nothing behind", async () => {
  if (!stand.app.server.listening) await stand.app.listen({ host: "127.0.0.1", port: 0 })
  const { port } = stand.app.server.address() as AddressInfo
  for (let turn = 0; turn < 30; turn++) {
    const request = httpRequest({ host: "127.0.0.1", port, path: "/v1/readings?format=ndjson" })
    request.on("error", () => {})
    request.end()
    await stand.pool.query("select pg_sleep($1)", [turn / 1_000])
    request.destroy()
  }
  await untilTrue(
    stand.pool,
    "not exists (select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%')",
  )
  // Where a place is lost, this never ends.
  while (stand.desk.turnstile.count > 0) await stand.pool.query("select pg_sleep(0.01)")
  expect((await ask("format=ndjson&metric=worn")).statusCode).toBe(200)
})

test("a query that takes too long is a problem that says so", async () => {
  const slow = await openResearchStand({ largeQueryMsMax: 1, queryMsMax: 1 })
  try {
    const device = await slow.enrol("k9")
    await slow.pool.query(
      "create function slow(float8) returns float8 language sql as 'select $1 from pg_sleep(1)'",
    )
    await slow.say(device, { kind: "number", name: "x", unit: null, times: [start], values: [1] })
    await slow.seal()
    await slow.pool.query("alter table series rename to kept")
    await slow.pool.query(
      "create view series as select kept.* from kept, lateral (select slow(kept.starts_at) as slept) s where slept is not null",
    )
    expect(await slow.refused("/v1/readings")).toMatchObject({
      status: 503,
      type: "urn:tidemark:problem:took-too-long",
    })
  } finally {
    await slow.close()
  }
})
