import { afterAll, beforeAll, expect, test } from "vitest"
import { makeDataPoint, mappedMetrics, metricsOfSchema } from "../../research/open-mhealth.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"
import { makeSeries } from "./stored.ts"

const noon = 1_769_860_800
let stand: ResearchStand

beforeAll(async () => {
  stand = await openResearchStand()
  const k7 = await stand.enrol("k7")
  const times = [noon, noon + 60, noon + 120]
  await stand.say(
    k7,
    { kind: "number", name: "heart-rate", unit: "beat/min", times, values: [60, 61.5, 62] },
    { kind: "number", name: "oxygen-saturation", unit: "/", times: [noon], values: [0.97] },
    { kind: "text", name: "glucose", unit: "mg/dL", times: [noon], values: ["Low"] },
    { kind: "number", name: "glucose", unit: "mmol/L", times: [noon + 1], values: [5.4] },
    { kind: "number", name: "steps", unit: "count", times: [noon], values: [100] },
  )
  await stand.seal()
})
afterAll(() => stand.close())

interface Page {
  readonly items: { readonly header: Record<string, unknown>; readonly body: Record<string, unknown> }[]
  readonly complete: boolean
  readonly next: string | null
  readonly leftOut: number
}

const page = async (query: string) => stand.get<Page>(`/v1/omh/datapoints?${query}`)

test.each([
  ["heart-rate", "beat/min", 72, { heart_rate: { value: 72, unit: "beats/min" } }],
  [
    "oxygen-saturation",
    "/",
    0.97,
    {
      oxygen_saturation: { value: 97, unit: "%" },
      system: "peripheral capillary",
      measurement_method: "pulse oximetry",
    },
  ],
  ["rr-interval", "s", 0.8125, { rr_interval: { value: 812.5, unit: "ms" } }],
  ["respiration-rate", "1/min", 14, { respiratory_rate: { value: 14, unit: "breaths/min" } }],
  [
    "glucose-strip",
    "mmol/L",
    5.4,
    { blood_glucose: { value: 5.4, unit: "mmol/L" }, specimen_source: "capillary blood" },
  ],
  ["body-temperature", "Cel", 36.6, { body_temperature: { value: 36.6, unit: "C" } }],
])("%s in %s is a body in the schema's own words", (metric, unit, value, body) => {
  const point = makeDataPoint({ series: makeSeries({ metric, unit, values: [value] }), index: 0 })
  expect(point!.body).toEqual({ ...body, effective_time_frame: { date_time: "2026-01-31T12:00:00.000Z" } })
})

test("what a schema cannot take is no data point", () => {
  const none = [
    makeSeries({ metric: "steps", unit: "count", values: [1] }),
    makeSeries({ metric: "heart-rate", unit: "furlong", values: [1] }),
    makeSeries({ metric: "heart-rate", unit: null, values: [1] }),
    makeSeries({ metric: "shoe-size", unit: "m", values: [1] }),
    makeSeries({ metric: "heart-rate", unit: "beat/min", values: [1], kind: "boolean" }),
  ]
  expect(none.map((series) => makeDataPoint({ series, index: 0 }))).toEqual(none.map(() => null))
})

test("a data point names its schema, its source and its place in the log", async () => {
  const { items, complete, leftOut } = await page("device=k7&schema=omh:heart-rate:2.0")
  expect({ count: items.length, complete, leftOut }).toEqual({ count: 3, complete: true, leftOut: 0 })
  const [{ header }] = items as [Page["items"][number]]
  const { entry } = header["tidemark"] as { entry: string }
  expect(entry).toMatch(/^[0-9a-f]{64}$/)
  expect(header).toMatchObject({
    id: `${entry}/${String(header["id"]).split("/")[1]}/0`,
    schema_id: { namespace: "omh", name: "heart-rate", version: "2.0" },
    acquisition_provenance: { source_name: "k7", modality: "sensed" },
    user_id: "k7",
    tidemark: { block: 0 },
  })
})

test("without a metric all that are mapped come, and what is left out is counted", async () => {
  const { items, leftOut } = await page("device=k7")
  expect(items).toHaveLength(5)
  expect(leftOut).toBe(1)
})

const linesOf = (body: string) =>
  body
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)

test("field Q9: pages joined are the whole, and ndjson has the same rows and says at its end that it is whole", async () => {
  const whole = await page("")
  const joined: unknown[] = []
  for (let cursor = ""; ;) {
    const one = await page(`limit=2${cursor}`)
    joined.push(...one.items)
    if (one.next === null) break
    cursor = `&cursor=${one.next}`
  }
  expect(joined).toEqual(whole.items)
  const bulk = await stand.app.inject({
    url: "/v1/omh/datapoints?format=ndjson",
    headers: { host: "127.0.0.1" },
  })
  expect(linesOf(bulk.body)).toEqual(whole.items)
  expect(bulk.trailers).toMatchObject({
    "tidemark-rows": "5",
    "tidemark-complete": "true",
    "tidemark-left-out": "1",
  })
  const ended = await stand.app.inject({
    url: "/v1/omh/datapoints?format=ndjson&endLine=true",
    headers: { host: "127.0.0.1" },
  })
  expect(linesOf(ended.body).slice(0, -1)).toEqual(whole.items)
  expect(linesOf(ended.body).at(-1)).toMatchObject({
    complete: true,
    rows: 5,
    leftOut: 1,
    asOf: { height: 0 },
  })
})

test.each([
  ["metric=steps", "metric", "wants a time interval"],
  ["metric=stress", "metric", "has no Open mHealth schema"],
  ["schema=omh:acceleration", "schema", "axis"],
  ["schema=omh:mood", "schema", "/v1/metrics"],
])("data points of %s are refused, and it is said why", async (query, parameter, rule) => {
  expect(await stand.refused(`/v1/omh/datapoints?${query}`)).toMatchObject({
    parameter,
    rule: expect.stringContaining(rule),
  })
})

test("a schema is known by its name, with or without namespace and version", () => {
  expect(metricsOfSchema("omh:blood-glucose:4.0")).toEqual([
    "glucose",
    "glucose-scan",
    "glucose-strip",
    "glucose-calibration",
  ])
  expect(metricsOfSchema("blood-glucose")).toEqual(metricsOfSchema("omh:blood-glucose"))
  expect(metricsOfSchema("omh:blood-glucose:9.0")).toEqual([])
  expect(mappedMetrics).not.toContain("steps")
})
