import { Client } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { makeGrid } from "../../research/bucket-grid.ts"
import { metrics } from "../../research/metric.ts"
import { Zone } from "../../research/zone.ts"
import { makeWaveform } from "./waveform.ts"
import { type Stand, type TestDevice, openStand, send } from "../ingest/stand.ts"

/** 2026-01-31T12:00:00Z. */
const noon = 1_769_860_800
let stand: Stand
let device: TestDevice
let person: Client

/** A heart rate a minute from `from` on. */
function rate(from: number, values: readonly number[]): Series {
  const times = values.map((_, at) => from + at * 60)
  return { kind: "number", name: "heart-rate", unit: "beat/min", times, values }
}

/** As an administrator makes one for a person: `create role ada login password '...' in role researcher`. */
async function logInAs(name: string): Promise<Client> {
  await stand.pool.query(`create role ${name} login password 'a person''s own' in role researcher`)
  const url = new URL(stand.url)
  url.username = name
  url.password = "a person's own"
  const client = new Client({ connectionString: url.href, options: "-c timezone=UTC" })
  await client.connect()
  return client
}

beforeAll(async () => {
  stand = await openStand()
  device = await stand.enrol("k7")
  const place = stand.intake.open("k7")
  const say = (...series: Series[]) => send(place, device.next({ payload: encodePack(series) }))
  await say(rate(noon, [60, 62, 70, 64, 61]), makeWaveform(noon, [0, 100, -100]))
  await stand.seal()
  await say(rate(noon + 600, [80, 80]), {
    kind: "text",
    name: "note",
    unit: null,
    times: [noon],
    values: ["slept"],
  })
  const wearer = await stand.enrol("wearer")
  await stand.enrol("quiet")
  const october = Date.parse("2025-10-24T22:00Z") / 1000
  const hours = Array.from({ length: 60 }, (_, hour) => hour)
  await send(
    stand.intake.open("wearer"),
    wearer.next({
      payload: encodePack([
        {
          kind: "number",
          name: "heart-rate",
          unit: "beat/min",
          times: hours.map((hour) => october + hour * 3_600),
          values: hours,
        },
        { kind: "number", name: "mood", unit: null, times: [october], values: [4] },
      ]),
    }),
  )
  // A clock two days ahead: outside of the views.
  const ahead = Math.floor(Date.now() / 1000) + 172_800
  await say(rate(ahead, [99]))
  person = await logInAs(`ada_${Date.now().toString(36)}`)
})

afterAll(async () => {
  const name = (await person.query<{ name: string }>("select current_user as name")).rows[0]!.name
  await person.end()
  await stand.pool.query(`drop role ${name}`)
  await stand.close()
})

/** Postgres's code for why it does not do it, or undefined where it did. */
async function refusalOf(sql: string): Promise<string | undefined> {
  return person.query(sql).then(
    () => undefined,
    (error: { code?: string }) => error.code,
  )
}

const asPerson = async (sql: string, values: unknown[] = []) => (await person.query(sql, values)).rows

test("a researcher's login reads the readings, with entry, lateness, block and whether they are sealed", async () => {
  const rows = await asPerson(
    "select time, value, unit, block, sealed, entry, lateness_seconds > 86400 as late from readings where device = 'k7' and metric = 'heart-rate' order by time",
  )
  expect(rows.map(({ value, block, sealed }) => [value, block, sealed])).toEqual([
    [60, 0, true],
    [62, 0, true],
    [70, 0, true],
    [64, 0, true],
    [61, 0, true],
    [80, null, false],
    [80, null, false],
  ])
  const { rows: entries } = await stand.pool.query<{ entry: Uint8Array }>(
    "select entry from entries where device_id = 'k7' order by seq",
  )
  expect(rows[0].entry).toBe(Buffer.from(entries[0]!.entry).toString("hex"))
  expect(rows[6].entry).toBe(Buffer.from(entries[1]!.entry).toString("hex"))
  expect(rows.every(({ late }) => late === true)).toBe(true)
})

test("readings between bounds: from is in, to is out, and the index is used", async () => {
  const bounded =
    "readings_in('k7', 'heart-rate', '2026-01-31T12:01:00Z'::timestamptz, '2026-01-31T12:03:00Z'::timestamptz)"
  expect((await asPerson(`select value from ${bounded} order by time`)).map(({ value }) => value)).toEqual([
    62, 70,
  ])
  await person.query("set enable_seqscan = off")
  const plan = (await asPerson(`explain select value from ${bounded}`))
    .map((row) => row["QUERY PLAN"])
    .join("\n")
  await person.query("reset enable_seqscan")
  // Inlined, and by the index that every partition has.
  expect(plan).toMatch(/Index.*on series_\w+/)
  expect(plan).toMatch(/Index Cond: .*device_id = 'k7'.*metric = 'heart-rate'.*starts_at </)
  expect(plan).not.toContain("Function Scan on readings_in")
})

test("buckets count, and a stretch without readings has none", async () => {
  const rows = await asPerson(
    "select * from readings_buckets('k7', 'heart-rate', '2026-01-31T12:00:00Z', '2026-01-31T13:00:00Z', '2 minutes') order by time",
  )
  expect(
    rows.map(({ time, count, min, max, mean, first, last }) => [
      (time as Date).toISOString().slice(11, 16),
      Number(count),
      min,
      max,
      mean,
      first,
      last,
    ]),
  ).toEqual([
    ["12:00", 2, 60, 62, 61, 60, 62],
    ["12:02", 2, 64, 70, 67, 70, 64],
    ["12:04", 1, 61, 61, 61, 61, 61],
    ["12:10", 2, 80, 80, 80, 80, 80],
  ])
})

/** Message and hint of the error that this is, or null where it is none. */
async function explanationOf(sql: string): Promise<string | null> {
  return person.query(sql).then(
    () => null,
    (error: { message: string; hint?: string }) => `${error.message}; ${error.hint ?? ""}`,
  )
}

const january = "'2026-01-01Z', '2026-02-01Z'"

test.each([
  [
    `readings_in('k7', 'hart-rate', ${january})`,
    /^metric hart-rate is not .* no device has sent it; did you mean heart-rate\?$/,
  ],
  [`readings_in('k7', 'nite', ${january})`, /did you mean note\?$/],
  [`readings_in('k7', 'qwertyuiop', ${january})`, /\/v1\/metrics lists the catalogue$/],
  [`readings_buckets('k7', 'glucos', ${january}, '1 hour')`, /did you mean glucose\?$/],
  [`readings_buckets('k7', 'glucos', ${january}, '1 hour', 'UTC')`, /did you mean glucose\?$/],
  [
    `readings_in('k8', 'heart-rate', ${january})`,
    /^device k8 is not enrolled; select device from research_devices/,
  ],
  [`readings_in(null, 'heart-rate', ${january})`, /must be given/],
])("field Q1: %s is an error that names it and what there is", async (call, words) => {
  expect(await explanationOf(`select * from ${call}`)).toMatch(words)
})

test("field Q1: a metric that the catalogue or another device has, and that this one has not, is empty", async () => {
  for (const metric of ["'glucose'", "'ecg-mlii'", "'mood'", "null"])
    for (const call of [
      `readings_in('quiet', ${metric}, ${january})`,
      `readings_buckets('quiet', ${metric}, ${january}, '1 day')`,
      `readings_buckets('quiet', ${metric}, ${january}, '1 day', 'Asia/Tokyo')`,
    ])
      expect(await asPerson(`select * from ${call}`)).toEqual([])
})

test("field Q1: SQL knows the catalogue that the API knows", async () => {
  const [row] = await asPerson("select catalogue_metrics() as names")
  expect(row.names).toEqual(metrics.map(({ metric }) => metric))
})

test.each([
  [
    "readings_in('k7', null, to_timestamp(1780272000000), to_timestamp(1780358400000))",
    /in the years 58\d+ to 58\d+; to_timestamp takes seconds/,
  ],
  [
    "readings_buckets('k7', null, '2026-01-01Z', to_timestamp(1780358400000), '1 day')",
    /to_timestamp takes seconds/,
  ],
  ["readings_in('k7', null, '2026-02-01Z', '2026-01-01Z')", /to_time must not be before from_time/],
  [
    `readings_buckets('k7', null, ${january}, '1 month', 'UTC')`,
    /months and years have no one length; give days/,
  ],
  [`readings_buckets('k7', null, ${january}, '0 seconds', 'UTC')`, /must be whole seconds/],
  [
    `readings_buckets('k7', null, ${january}, '1 day', 'Berlin')`,
    /there is no time zone Berlin; give one such as Europe\/Berlin/,
  ],
  // Postgres would take it for a zone five hours to the west.
  [`readings_buckets('k7', null, ${january}, '1 day', 'Berlin5')`, /there is no time zone Berlin5/],
])("field Q2: %s is an error that says what it looks like", async (call, words) => {
  expect(await explanationOf(`select * from ${call}`)).toMatch(words)
})

test("field Q2: all times, from -infinity to infinity, may be asked for", async () => {
  const rows = await asPerson("select value from readings_in('k7', 'heart-rate', '-infinity', 'infinity')")
  expect(rows).toHaveLength(7)
})

test.each([
  ["Europe/Berlin", "2026-03-29T01:00Z"],
  ["Europe/Berlin", "2025-10-26T01:00Z"],
  ["America/New_York", "2025-11-02T06:00Z"],
  ["Australia/Lord_Howe", "2025-04-05T15:00Z"],
  ["America/Havana", "2025-11-02T05:00Z"],
  ["America/Havana", "2025-03-09T05:00Z"],
  ["America/Santiago", "2025-04-06T03:00Z"],
  ["America/St_Johns", "2006-10-29T02:31Z"],
  ["Pacific/Apia", "2011-12-30T10:00Z"],
  ["Asia/Kathmandu", "2025-10-26T01:00Z"],
])("field Q3: buckets of %s around %s are those of the API, in SQL", async (zone, instant) => {
  const around = Date.parse(instant) / 1000
  for (const [width, interval] of [
    [900, "15 minutes"],
    [3_600, "1 hour"],
    [21_600, "6 hours"],
    [86_400, "1 day"],
    [604_800, "1 week"],
  ] as const) {
    const grid = makeGrid(width, Zone.find(zone))
    const times = Array.from({ length: 97 }, (_, step) => around + (step - 48) * 1_800 + 7)
    const { rows } = await stand.pool.query<{ starts_at: number; ends_at: number }>(
      "select starts_at, ends_at from unnest($1::float8[]) with ordinality as t (time, place) cross join lateral zone_bucket($2, time, $3) order by place",
      [times, zone, width],
    )
    expect({ interval, found: rows.map(({ starts_at, ends_at }) => [starts_at, ends_at]) }).toEqual({
      interval,
      found: times.map((time) => {
        const { startsAt, endsAt } = grid.stretchOf(time)
        return [startsAt, endsAt]
      }),
    })
  }
})

test("field Q3: a day of the wearer in SQL has its hours, and says where it was cut", async () => {
  const rows = await asPerson(
    `select to_char(local, 'YYYY-MM-DD HH24:MI') as day, count, mean, first, last, seconds / 3600 as hours, partial
     from readings_buckets('wearer', 'heart-rate', '2025-10-24T22:00Z', '2025-10-27T00:00Z', '1 day', 'Europe/Berlin') order by time`,
  )
  expect(rows.map((row) => ({ ...row, count: Number(row.count) }))).toEqual([
    { day: "2025-10-25 00:00", count: 24, mean: 11.5, first: 0, last: 23, hours: 24, partial: false },
    { day: "2025-10-26 00:00", count: 25, mean: 36, first: 24, last: 48, hours: 25, partial: false },
    { day: "2025-10-27 00:00", count: 1, mean: 49, first: 49, last: 49, hours: 24, partial: true },
  ])
})

test("a waveform is given as it was sent, and as readings", async () => {
  expect(await asPerson("select metric, period_ms, factor, samples from waveforms")).toEqual([
    { metric: "ecg", period_ms: 4, factor: 0.005, samples: [0, 100, -100] },
  ])
  const values = await asPerson("select value from readings where metric = 'ecg' order by time")
  expect(values.map(({ value }) => value)).toEqual([0, 0.5, -0.5])
})

test("devices, blocks and refusals are there for researchers too", async () => {
  expect(await asPerson("select device, status, statements from research_devices order by device")).toEqual([
    { device: "k7", status: "active", statements: 3 },
    { device: "quiet", status: "active", statements: 0 },
    { device: "wearer", status: "active", statements: 1 },
  ])
  expect(await asPerson("select height, statements, readings from research_blocks")).toEqual([
    { height: 0, statements: 1, readings: 8 },
  ])
  expect(await asPerson("select count(*)::int from research_refusals")).toEqual([{ count: 0 }])
})

test("a researcher's login reads nothing else and changes nothing: no bytes, keys, tokens, salts", async () => {
  const { rows } = await stand.pool.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S', 'f')`,
  )
  const readable = [
    "readings",
    "waveforms",
    "research_devices",
    "research_blocks",
    "research_refusals",
    "research_series",
  ]
  const others = rows.map(({ name }) => name).filter((name) => !readable.includes(name))
  expect(others).toEqual(
    expect.arrayContaining([
      "statements",
      "entries",
      "series",
      "device_keys",
      "login_tokens",
      "api_keys",
      "accesses",
      "blocks",
      "log",
    ]),
  )
  const verdicts = [
    ...others.map((name) => `select * from ${name} limit 1`),
    "insert into entries default values",
    "update refusals set count = 0",
    "create table mine (a int)",
    "select make_partitions(now(), 60)",
    "select grant_research('researcher')",
    "select * from readings_between('k7', null, 0, 2e9)",
    "copy entries to stdout",
    "create role eve",
  ]
  const permissionDenied = "42501"
  const codes: [string, string | undefined][] = []
  for (const sql of verdicts) codes.push([sql, await refusalOf(sql)])
  expect(codes).toEqual(verdicts.map((sql) => [sql, permissionDenied]))
})

test("every view and column that researchers see has its comment", async () => {
  const rows = await asPerson(
    `select c.relname || coalesce('.' || a.attname, '') as name
     from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
     where c.relname in ('readings', 'waveforms', 'research_devices', 'research_blocks', 'research_refusals', 'research_series')
       and (obj_description(c.oid) is null or col_description(c.oid, a.attnum) is null)`,
  )
  expect(rows).toEqual([])
})

test("a role that an administrator made is let in by the owner", async () => {
  const name = `study_${Date.now().toString(36)}`
  await stand.pool.query(`create role ${name}`)
  await stand.pool.query("select grant_research($1)", [name])
  const { rows } = await stand.pool.query<{ can: boolean }>(
    "select has_table_privilege($1, 'readings', 'select') and not has_table_privilege($1, 'series', 'select') as can",
    [name],
  )
  expect(rows).toEqual([{ can: true }])
  await stand.pool.query(`drop owned by ${name}; drop role ${name}`)
})
