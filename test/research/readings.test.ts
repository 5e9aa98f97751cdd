import { afterAll, beforeAll, expect, test } from "vitest"
import { assert, asyncProperty, constantFrom, integer } from "fast-check"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"
import { type TestDevice, send } from "../ingest/stand.ts"

interface Row {
  readonly time: string
  readonly device: string
  readonly metric: string
  readonly value?: number | boolean
  readonly text?: string
  readonly blob?: string
  readonly unit: string | null
  readonly arrived: string
  readonly latenessSeconds: number
  readonly mode: string
  readonly block: number | null
  readonly entry: string
}

interface Page {
  readonly asOf: { readonly height: number; readonly treeSize: number; readonly root: string } | null
  readonly items: readonly Row[]
  readonly complete: boolean
  readonly next: string | null
}

/** 2025-10-09T08:53:20Z. */
const start = 1_760_000_000
let stand: ResearchStand
let k7: TestDevice
let k8: TestDevice

const rate = (times: readonly number[], values = times.map((_, index) => 60 + index)): Series => ({
  kind: "number",
  name: "heart-rate",
  unit: "beat/min",
  times,
  values,
})

/** Two devices whose packs overlap, go back in time and hold every kind; the last of them is not sealed. */
beforeAll(async () => {
  stand = await openResearchStand()
  k7 = await stand.enrol("k7")
  k8 = await stand.enrol("k8")
  await stand.say(k7, rate([start, start + 60, start + 120]), {
    kind: "waveform",
    name: "ecg-i",
    unit: "mV",
    startsAt: start + 0.5,
    periodMs: 3.90625,
    factor: 0.005,
    origin: -1,
    samples: Int16Array.from({ length: 300 }, (_, index) => (index * 7) % 101),
  })
  await stand.say(
    k7,
    { kind: "text", name: "diary", unit: null, times: [start + 5], values: ['slept, "badly"'] },
    { kind: "boolean", name: "worn", unit: null, times: [start + 6], values: [true] },
    { kind: "bytes", name: "raw", unit: null, times: [start + 7], values: [Uint8Array.of(1, 2, 255)] },
  )
  await stand.seal()
  // Late, over what is there already, and not in order of time itself.
  await stand.say(k7, rate([start + 90, start + 30, start + 60, start + 600]))
  await stand.say(k8, rate([start + 10]))
  await stand.seal()
  await stand.say(k8, rate([start + 20]))
})
afterAll(() => stand.close())

/** What the documented view says, in the same order. */
async function inSql(
  where = "true",
): Promise<{ device: string; metric: string; seconds: number; value: number }[]> {
  const { rows } = await stand.pool.query<{ device: string; metric: string; seconds: number; value: number }>(
    `select r.device, r.metric, extract(epoch from r.time)::float8 as seconds, r.value from readings r
     where r.block is not null and ${where} order by r.device, r.metric, r.time, r.statement`,
  )
  return rows
}

const sum = (values: readonly unknown[]): number =>
  values.reduce<number>((total, one) => total + Number(one ?? 0), 0)

const secondsOf = ({ time }: Row): number => Math.round(Date.parse(time) * 1000) / 1e6

async function allPages(path: string, begin = ""): Promise<Row[]> {
  const rows: Row[] = []
  for (let cursor = begin; ;) {
    const page: Page = await stand.get<Page>(`${path}${cursor === "" ? "" : `&cursor=${cursor}`}`)
    rows.push(...page.items)
    expect(page.complete).toBe(page.next === null)
    if (page.next === null) return rows
    expect(page.items.length).toBeGreaterThan(0)
    cursor = page.next
  }
}

test("readings are those of the view, by device, metric and time", async () => {
  const { items, complete, next, asOf } = await stand.get<Page>("/v1/readings")
  expect({ complete, next, height: asOf?.height }).toEqual({ complete: true, next: null, height: 1 })
  const expected = await inSql()
  expect(items.length).toBe(311)
  expect(items.map(({ device, metric }) => `${device} ${metric}`)).toEqual(
    expected.map(({ device, metric }) => `${device} ${metric}`),
  )
  expect(sum(items.map(({ value }) => value))).toBe(sum(expected.map(({ value }) => value)))
  expect(items.map(secondsOf)).toEqual(
    expected.map(({ seconds }) => Math.floor(Math.round(seconds * 1e6) / 1000) / 1000),
  )
})

test("a row keeps its kind, its three clocks and the statement that it stands in", async () => {
  const { items } = await stand.get<Page>("/v1/readings?device=k7")
  const byMetric = (metric: string) => items.find((row) => row.metric === metric)!
  expect(byMetric("worn")).toMatchObject({ value: true, kind: "boolean", unit: null })
  expect(byMetric("diary")).toMatchObject({ text: 'slept, "badly"', kind: "text" })
  expect(byMetric("raw")).toMatchObject({ blob: "AQL/", kind: "bytes" })
  const first = byMetric("heart-rate")
  expect(first).toMatchObject({ time: "2025-10-09T08:53:20.000Z", value: 60, unit: "beat/min", block: 0 })
  expect(first.mode).toBe("backfill")
  expect(first.latenessSeconds).toBeCloseTo((Date.parse(first.arrived) - Date.parse(first.time)) / 1000, 3)
  expect(byMetric("ecg-i").time).toBe("2025-10-09T08:53:20.500Z")
  expect(items.filter(({ metric }) => metric === "ecg-i")[1]!.time).toBe("2025-10-09T08:53:20.503906Z")
  const { rows } = await stand.pool.query<{ entry: string }>(
    "select encode(entry, 'hex') as entry from entries where device_id = 'k7' and seq = 1",
  )
  expect(first.entry).toBe(rows[0]!.entry)
})

test("live is what arrived within liveWithin seconds", async () => {
  const years = 30 * 366 * 86_400
  const { items } = await stand.get<Page>(`/v1/readings?device=k8&liveWithin=${years}`)
  expect(items.map(({ mode }) => mode)).toEqual(["live"])
})

test("what is not sealed is left out unless it is asked for, and then has no block", async () => {
  const sealed = await stand.get<Page>("/v1/readings?device=k8")
  expect(sealed.items.map(({ block }) => block)).toEqual([1])
  const all = await stand.get<Page>("/v1/readings?device=k8&unsealed=true")
  expect(all.items.map(({ block }) => block)).toEqual([1, null])
})

test.each([
  [`metric=worn`, 1],
  [`metric=worn&metric=diary`, 2],
  [`device=k7&device=k8&metric=heart-rate`, 8],
  [`metric=heart-rate&from=${start + 60}&to=${start + 120}`, 3],
  [`metric=heart-rate&from=2025-10-09T08:54:20Z&to=2025-10-09T10:55:20%2B02:00`, 3],
  [`metric=heart-rate&blockFrom=1`, 5],
  [`metric=heart-rate&blockTo=0`, 3],
  [`blockFrom=7`, 0],
  [`arrivedTo=2025-10-09`, 0],
  [`arrivedFrom=2025-10-09&metric=heart-rate`, 8],
])("readings by %s: %i rows", async (query, count) => {
  expect((await stand.get<Page>(`/v1/readings?${query}`)).items.length).toBe(count)
})

test("in order of arrival readings stand as in the log", async () => {
  const rows = await allPages("/v1/readings?order=arrival&metric=heart-rate&limit=2")
  expect(rows.map((row) => secondsOf(row) - start)).toEqual([0, 60, 120, 90, 30, 60, 600, 10])
})

test("pages joined are the whole, whatever their size, the order and the window", async () => {
  await assert(
    asyncProperty(
      integer({ min: 40, max: 320 }),
      constantFrom("time", "arrival"),
      constantFrom(
        "",
        `&from=${start + 30}`,
        `&to=${start + 61}`,
        "&device=k7",
        "&metric=heart-rate&metric=ecg-i",
      ),
      async (limit, order, where) => {
        const path = `/v1/readings?order=${order}${where}`
        const whole = (await stand.get<Page>(path)).items
        expect(await allPages(`${path}&limit=${limit}`)).toEqual(whole)
      },
    ),
    { numRuns: 10 },
  )
})

test("pages of one reading lose none", async () => {
  const path = "/v1/readings?metric=heart-rate"
  expect(await allPages(`${path}&limit=1`)).toEqual((await stand.get<Page>(path)).items)
})

test("what is sealed between two pages changes neither of them", async () => {
  const path = "/v1/readings?metric=heart-rate&limit=3"
  const whole = (await stand.get<Page>("/v1/readings?metric=heart-rate")).items
  const first = await stand.get<Page>(path)
  await stand.say(k7, rate([start - 5, start + 1_000]))
  await stand.seal()
  const rest = await allPages(path, first.next!)
  expect([...first.items, ...rest]).toEqual(whole)
  expect((await stand.get<Page>("/v1/readings?metric=heart-rate")).items.length).toBeGreaterThan(whole.length)
})

interface Segment {
  readonly start: string
  readonly periodMs: number
  readonly samples: readonly number[]
  readonly thinned?: true
}

test("a waveform comes as it was signed, as FHIR's SampledData, and thinned out to the pixels of a plot", async () => {
  const path = "/v1/waveforms?device=k7&metric=ecg-i"
  const { items, complete } = await stand.get<{ items: Segment[]; complete: boolean }>(path)
  expect({ complete, count: items.length }).toEqual({ complete: true, count: 1 })
  const [whole] = items
  expect(whole).toMatchObject({
    name: "ecg-i",
    unit: "mV",
    start: "2025-10-09T08:53:20.500Z",
    periodMs: 3.90625,
    factor: 0.005,
    origin: -1,
    block: 0,
  })
  expect(whole!.samples).toEqual(Array.from({ length: 300 }, (_, index) => (index * 7) % 101))

  const fhir = await stand.get<{ items: Record<string, unknown>[] }>(`${path}&format=fhir`)
  expect(fhir.items[0]).toMatchObject({
    sampledData: { period: 3.90625, factor: 0.005, dimensions: 1, data: whole!.samples.join(" ") },
  })

  const plot = await stand.get<{ items: Segment[] }>(`${path}&from=${start}&to=${start + 2}&points=20`)
  const [thin] = plot.items
  expect(thin).toMatchObject({ thinned: true, start: whole!.start })
  // Pixels of 0.1 s are 25 samples, of which two remain.
  expect(thin!.periodMs * 2).toBe(25 * 3.90625)
  expect(thin!.samples.length).toBe(24)
  for (let pixel = 0; pixel < 12; pixel++) {
    const there = whole!.samples.slice(pixel * 25, pixel * 25 + 25)
    expect(thin!.samples.slice(2 * pixel, 2 * pixel + 2).toSorted((a, b) => a - b)).toEqual([
      Math.min(...there),
      Math.max(...there),
    ])
  }
})

test("a statement leads from a reading to its key, its block and its leaf", async () => {
  const { items } = await stand.get<Page>("/v1/readings?device=k7&metric=worn")
  const statement = await stand.get(`/v1/statements/${items[0]!.entry}`)
  expect(statement).toMatchObject({
    device: "k7",
    seq: 2,
    verdict: "accepted",
    block: 0,
    content: 112,
    key: { algorithm: -19, introducedBy: "operator" },
  })
  const { rows } = await stand.pool.query<{ bytes: Buffer; leaf: number }>(
    "select s.bytes, leaf_of(e.id) as leaf from entries e join statements s on s.id = e.id where e.device_id = 'k7' and e.seq = 2",
  )
  expect(statement["bytes"]).toBe(rows[0]!.bytes.toString("base64"))
  expect(statement["leafIndex"]).toBe(rows[0]!.leaf)
  expect((statement["series"] as { metric: string }[]).map(({ metric }) => metric).toSorted()).toEqual([
    "diary",
    "raw",
    "worn",
  ])
})

test.each([
  ["/v1/waveforms?points=100", 400, "invalid-parameter", "points"],
  ["/v1/waveforms?format=csv", 400, "invalid-parameter", "format"],
  ["/v1/statements/abc", 400, "invalid-parameter", "entry"],
  [`/v1/statements/${"0".repeat(64)}`, 404, "unknown-statement", "entry"],
  ["/v1/readings?devce=k7", 400, "unknown-parameter", "devce"],
  ["/v1/readings?device=k%207", 400, "invalid-parameter", "device"],
  ["/v1/readings?from=yesterday", 400, "invalid-parameter", "from"],
  ["/v1/readings?from=2026-13-01", 400, "invalid-parameter", "from"],
  ["/v1/readings?from=2026-01-31T12:00:00", 400, "invalid-parameter", "from"],
  ["/v1/readings?from=20&to=20", 400, "invalid-parameter", "to"],
  ["/v1/readings?arrivedFrom=20&arrivedTo=10", 400, "invalid-parameter", "arrivedTo"],
  ["/v1/readings?blockFrom=2&blockTo=1", 400, "invalid-parameter", "blockTo"],
  ["/v1/readings?blockTo=1&unsealed=true", 400, "invalid-parameter", "unsealed"],
  ["/v1/readings?blockFrom=-1", 400, "invalid-parameter", "blockFrom"],
  ["/v1/readings?unsealed=perhaps", 400, "invalid-parameter", "unsealed"],
  ["/v1/readings?limit=0", 400, "invalid-parameter", "limit"],
  ["/v1/readings?limit=100001", 400, "invalid-parameter", "limit"],
  ["/v1/readings?limit=1&limit=2", 400, "invalid-parameter", "limit"],
  ["/v1/readings?order=random", 400, "invalid-parameter", "order"],
  ["/v1/readings?cursor=abc", 400, "cursor-refused", "cursor"],
  ["/v1/readings?cursor=%3D", 400, "invalid-parameter", "cursor"],
  ["/v1/readings?__proto__=1", 400, "unknown-parameter", "__proto__"],
  ["/v1/readings?device=nobody", 404, "unknown-device", "device"],
  ["/v1/devices/nobody", 404, "unknown-device", "device"],
  ["/v1/devices?limit=0", 400, "invalid-parameter", "limit"],
  ["/v1/devices/k7?x=1", 400, "unknown-parameter", "x"],
  ["/v1/blocks/99", 404, "unknown-block", "height"],
  ["/v1/blocks/first", 400, "invalid-parameter", "height"],
  ["/v1/blocks?from=a", 400, "invalid-parameter", "from"],
  ["/v1/nothing", 404, "no-such-route", undefined],
])("%s is a problem that names the parameter and the rule", async (path, status, kind, parameter) => {
  const problem = await stand.refused(path)
  expect(problem).toMatchObject({ status, type: `urn:tidemark:problem:${kind}` })
  expect(problem.parameter).toBe(parameter)
  expect(typeof problem.rule).toBe(typeof parameter)
})

test("a cursor goes on only with the question that it was given for", async () => {
  const { next } = await stand.get<Page>("/v1/readings?metric=heart-rate&limit=1")
  const problem = await stand.refused(`/v1/readings?metric=ecg-i&limit=1&cursor=${next}`)
  expect(problem).toMatchObject({ type: "urn:tidemark:problem:cursor-refused", parameter: "cursor" })
  expect(problem.rule).toContain("parameters of the page that it came with")
})

test("only GET, and only this machine under its own name", async () => {
  const post = await stand.app.inject({ method: "POST", url: "/v1/readings", headers: { host: "127.0.0.1" } })
  expect(post.statusCode).toBe(405)
  const foreign = await stand.app.inject({ url: "/v1/readings", headers: { host: "evil.example:8080" } })
  expect(foreign.statusCode).toBe(401)
  const away = await stand.app.inject({
    url: "/v1/readings",
    headers: { host: "127.0.0.1" },
    remoteAddress: "192.0.2.7",
  })
  expect(away.statusCode).toBe(401)
})

test("devices say what of them is here", async () => {
  const page = await stand.get<{ items: Record<string, unknown>[]; complete: boolean; next: string }>(
    "/v1/devices?limit=1",
  )
  expect(page.complete).toBe(false)
  expect(page.items).toMatchObject([
    {
      id: "k7",
      status: "active",
      head: { seq: k7.seq },
      metrics: ["diary", "ecg-i", "heart-rate", "raw", "worn"],
      firstReading: "2025-10-09T08:53:15.000Z",
      lastReading: "2025-10-09T09:10:00.000Z",
    },
  ])
  const rest = await stand.get<{ items: Record<string, unknown>[] }>(
    `/v1/devices?limit=1&cursor=${page.next}`,
  )
  expect(rest).toMatchObject({ complete: true, items: [{ id: "k8", sealedHead: { seq: 2 } }] })

  const device = await stand.get("/v1/devices/k7")
  expect(device).toMatchObject({
    keys: [{ firstSeq: 1, lastSeq: null, introducedBy: "operator" }],
    verdicts: { accepted: 4 },
    refusals: [],
    forks: [],
  })
  expect(device["series"]).toContainEqual({
    metric: "heart-rate",
    unit: "beat/min",
    kind: "number",
    readings: 9,
    from: "2025-10-09T08:53:15.000Z",
    to: "2025-10-09T09:10:00.000Z",
  })
})

test("blocks page by height, and each shows its checkpoint", async () => {
  const { items } = await stand.get<{ items: { height: number; root: string }[] }>(
    "/v1/blocks?order=desc&limit=2",
  )
  expect(items.map(({ height }) => height)).toEqual([2, 1])
  const block = await stand.get<{ checkpoint: string; root: string; size: number; treeSize: number }>(
    "/v1/blocks/1",
  )
  expect(block.checkpoint.split("\n").slice(0, 3)).toEqual([
    stand.keys.origin,
    String(block.treeSize),
    block.root,
  ])
  expect(block.treeSize).toBe(block.size + 1)
  expect(items[1]!.root).toBe(block.root)
})

test("the API describes itself in OpenAPI 3.1", async () => {
  const api = await stand.get<{ openapi: string; paths: Record<string, unknown> }>("/openapi.json")
  expect(api.openapi).toBe("3.1.0")
  expect(Object.keys(api.paths)).toEqual(
    expect.arrayContaining(["/v1/readings", "/v1/devices/{id}", "/v1/blocks"]),
  )
  expect(stand.faults).toEqual([])
})

test("field Q11: each operation has an id of its own, a tag, and an answer that says its types", async () => {
  type Operation = { operationId?: string; tags?: string[]; responses: Record<string, { content?: object }> }
  const { paths } = await stand.get<{ paths: Record<string, Record<string, Operation>> }>("/openapi.json")
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, ...operation })),
  )
  expect(operations.length).toBeGreaterThan(20)
  const missing = operations.filter(
    ({ operationId, tags, responses }) =>
      operationId === undefined ||
      !/^[a-z][A-Za-z]+$/.test(operationId) ||
      tags?.length !== 1 ||
      Object.keys(responses["200"]?.content ?? {}).length === 0,
  )
  expect(missing).toEqual([])
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
  // Generated clients read bytes under this name only.
  for (const path of ["/v1/evidence", "/v1/statements/{entry}/receipt", "/v1/statements/{entry}/transparent"])
    expect(paths[path]!["get"]!.responses["200"]!.content).toHaveProperty(["application/octet-stream"])
})

const askEvidence = async (accept: string) =>
  stand.app.inject({ url: "/v1/evidence?device=k7", headers: { host: "127.0.0.1", accept } })

test("field Q11: evidence comes as bytes by that name too, and is the same", async () => {
  const [usual, bytes] = await Promise.all([askEvidence("*/*"), askEvidence("application/octet-stream")])
  expect(usual.headers["content-type"]).toBe("application/cbor-seq")
  expect(bytes.headers["content-type"]).toBe("application/octet-stream")
  expect(bytes.rawPayload.equals(usual.rawPayload)).toBe(true)
})

test("the API's page loads nothing from elsewhere", async () => {
  const page = await stand.app.inject({ url: "/docs/", headers: { host: "127.0.0.1" } })
  expect(page.statusCode).toBe(200)
  expect(page.body).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
  expect(String(page.headers["content-security-policy"])).toContain("default-src 'none'")
})

test("field S1: readings at times that no date reaches come in buckets of their own, in every format", async () => {
  const far = await stand.enrol("far")
  const { code } = await send(
    stand.intake.open("far"),
    far.next({ payload: encodePack([rate([start, start + 1, 1e15, 1e16, 1e16 + 2, 1e300])]) }),
  )
  expect(code).toBe(4)
  const path = "/v1/readings?device=far&ahead=true&unsealed=true&bucket=1s"
  for (const zone of ["", "&timezone=Europe/Berlin"]) {
    const { items } = await stand.get<Page>(path + zone)
    expect(items.map(({ time }) => time)).toEqual([
      "2025-10-09T08:53:20.000Z",
      "2025-10-09T08:53:21.000Z",
      "1000000000000000",
      "10000000000000000",
      "10000000000000002",
      "1e+300",
    ])
    expect(await allPages(`${path}${zone}&limit=1`)).toEqual(items)
  }
  for (const format of ["csv", "ndjson", "parquet", "arrow"]) {
    const answer = await stand.app.inject({
      url: `${path}&format=${format}`,
      headers: { host: "127.0.0.1" },
    })
    expect([format, answer.statusCode]).toEqual([format, 200])
  }
})

test("field Q3: a bucket of 1d is the wearer's day, has its hours, and says where `from` cuts it", async () => {
  const wearer = await stand.enrol("wearer")
  const march = Date.parse("2026-03-28T12:00:00Z") / 1000
  const every = Array.from({ length: 72 }, (_, hour) => march + hour * 3_600)
  await stand.say(wearer, rate(every))
  const days = async (query: string) => {
    const { items } = await stand.get<{ items: Record<string, unknown>[] }>(
      `/v1/readings?device=wearer&unsealed=true&bucket=1d${query}`,
    )
    return items.map(({ time, local, count, seconds, partial }) => [time, local, count, seconds, partial])
  }
  expect(await days("&timezone=Europe/Berlin&from=2026-03-28T23:00:00Z&to=2026-03-31T10:00:00Z")).toEqual([
    ["2026-03-28T23:00:00.000Z", "2026-03-29T00:00:00+01:00", 23, 82_800, false],
    ["2026-03-29T22:00:00.000Z", "2026-03-30T00:00:00+02:00", 24, 86_400, false],
    ["2026-03-30T22:00:00.000Z", "2026-03-31T00:00:00+02:00", 12, 86_400, true],
  ])
  expect(await days("&from=2026-03-28T13:00:00Z&to=2026-03-30")).toEqual([
    ["2026-03-28T00:00:00.000Z", undefined, 11, 86_400, true],
    ["2026-03-29T00:00:00.000Z", undefined, 24, 86_400, false],
  ])
  expect(await stand.refused("/v1/readings?bucket=1d&timezone=Berlin")).toMatchObject({
    parameter: "timezone",
  })
  expect(await stand.refused("/v1/readings?timezone=Europe/Berlin")).toMatchObject({ parameter: "timezone" })
})

test("field Q1: an unknown metric is a problem that names it and the nearest, and one without readings is empty", async () => {
  for (const route of [
    "/v1/readings?",
    "/v1/readings?format=csv&",
    "/v1/waveforms?",
    "/v1/coverage?device=k7&",
  ]) {
    expect(await stand.refused(`${route}metric=hart-rate`)).toMatchObject({
      status: 400,
      type: "urn:tidemark:problem:unknown-metric",
      parameter: "metric",
      detail: "metric hart-rate is not in the catalogue, and no device has sent it; did you mean heart-rate?",
    })
  }
  // Two, of which one is known.
  expect(await stand.refused("/v1/readings?metric=heart-rate&metric=diry")).toMatchObject({
    detail: expect.stringContaining("did you mean diary?"),
  })
  const none = { items: [], complete: true, next: null }
  expect(await stand.get("/v1/readings?metric=glucose")).toMatchObject(none)
  // Sent by another device.
  expect(await stand.get("/v1/readings?device=k8&metric=diary")).toMatchObject(none)
  expect(await stand.get("/v1/coverage?device=k8&metric=diary")).toMatchObject({ metrics: [] })
})

test("field Q1: a metric that is not sealed yet is known", async () => {
  const early = await stand.enrol("early")
  await stand.say(early, { kind: "number", name: "mood", unit: null, times: [start], values: [4] })
  expect(await stand.get("/v1/readings?metric=mood")).toMatchObject({ items: [], complete: true })
  expect((await stand.get<Page>("/v1/readings?metric=mood&unsealed=true")).items).toHaveLength(1)
})

test.each([
  ["1780272000000", "looks like milliseconds. Give 1780272000, or 2026-06-01T00:00:00.000Z"],
  ["1780272000000000", "looks like microseconds"],
  ["2026-06-01T12:00:00", "must have its zone"],
  ["01/06/2026", "must begin with the year"],
  ["2026-02-30", "must be a day of the calendar"],
])(
  "field Q2: %s is a problem that says what it looks like, on every route that takes a time",
  async (text, words) => {
    for (const path of [
      "/v1/readings?from",
      "/v1/readings?to",
      "/v1/readings?arrivedFrom",
      "/v1/waveforms?arrivedTo",
      "/v1/coverage?device=k7&from",
      "/v1/omh/datapoints?to",
    ]) {
      const problem = await stand.refused(`${path}=${text}`)
      expect(problem).toMatchObject({ status: 400, parameter: /\w+$/.exec(path)![0] })
      expect(problem.detail).toContain(words)
    }
  },
)
