import { connect } from "node:net"
import type { AddressInfo } from "node:net"
import * as fc from "fast-check"
import type { RouteOptions } from "fastify"
import { afterAll, beforeAll, describe, expect, it, test } from "vitest"
import { sha256Native } from "../../ingest/native.ts"
import { logRoutes } from "../../research/log-routes.ts"
import { scrapiRoutes } from "../../research/scrapi-routes.ts"
import { publishedLogOf } from "./log-stand.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

const start = 1_760_000_000
let stand: ResearchStand

beforeAll(async () => {
  stand = await openResearchStand()
  for (const id of ["k7", "k8"]) {
    const device = await stand.enrol(id)
    const times = [start, start + 1, start + 2]
    await stand.say(
      device,
      { kind: "number", name: "heart-rate", unit: "beat/min", times, values: times },
      { kind: "text", name: "diary", unit: null, times, values: ["a", "b", "c"] },
    )
  }
  await stand.seal()
  await stand.app.register(logRoutes, { log: publishedLogOf(stand.pool) })
  await stand.app.register(scrapiRoutes, {
    log: publishedLogOf(stand.pool),
    query: async (sql, values) => (await stand.pool.query(sql, [...values])).rows,
    sha256: sha256Native,
  })
  await stand.app.listen({ host: "127.0.0.1", port: 0 })
})
afterAll(() => stand.close())

/** As they stand in a URL. */
const hostile = [
  "%00",
  "a%00b",
  "%ff",
  "%",
  "%zz",
  "",
  " ",
  "1e309",
  "-1e309",
  "1.5",
  "-1",
  "0",
  "NaN",
  "Infinity",
  "9007199254740993",
  "9".repeat(400),
  "1e400",
  "0x10",
  "true",
  "null",
  "[]",
  "{}",
  "*",
  "..%2f..%2fetc%2fpasswd",
  "'%20or%201=1--",
  "%F0%9F%98%80",
  "%E2%80%AE",
  "0001-01-01",
  "0000-00-00",
  "9999-12-31T23:59:59.999999999-23:59",
  "-99999999999",
  "99999999999",
  "-9999999999999",
  "9999999999999",
  "2026-02-30",
  "ge-1",
  "ge9999999999999",
  "1s",
  "1e308s",
  "99999999999d",
  "UTC",
  "Europe/%00",
  "x".repeat(3_000),
  "W10",
  "k7",
  "k7%00",
  "Device/k7%00",
  "heart-rate",
  "|",
  "a|b|c",
] as const

interface Schema {
  readonly properties?: Readonly<Record<string, unknown>>
}

const namesOf = (schema: unknown): string[] => Object.keys((schema as Schema | undefined)?.properties ?? {})

/** Names that a query may have, and now and then one that no route has. */
function parametersOf({ schema }: RouteOptions): readonly string[] {
  return [...namesOf(schema?.querystring), "nobody"]
}

/** The route's path with these values in place of its parameters. */
function pathOf({ url }: RouteOptions, values: readonly string[]): string {
  let place = 0
  return url.replaceAll(/:[a-z]+|\*/gi, () => values[place++ % values.length]!)
}

/** What must hold of any answer to any request. */
function check(url: string, status: number, type: string, body: string): void {
  const said = `${url.slice(0, 300)} was answered ${status} ${type}: ${body.slice(0, 300)}`
  if (status >= 500 && status !== 503) throw new Error(said)
  if (status < 400) return
  if (body.length === 0) throw new Error(`${said}: without a word`)
  if (/^application\/(?:concise-problem-details\+cbor|fhir\+json)/.test(type)) return
  if (!type.startsWith("application/problem+json")) throw new Error(said)
  const problem = JSON.parse(body) as { type: string; parameter?: string }
  if (
    /:(?:invalid|unknown)-parameter$|:cursor-refused$/.test(problem.type) &&
    problem.parameter === undefined
  )
    throw new Error(`${said}: no parameter is named`)
}

async function ask(url: string): Promise<void> {
  const response = await stand.app.inject({ url, headers: { host: "127.0.0.1" } })
  check(url, response.statusCode, String(response.headers["content-type"]), response.body)
}

it("field S13: whatever any parameter of any route is, the answer is a problem that names it, and never a fault", async () => {
  const routes = stand.routes.filter(
    ({ method, url }) => [method].flat().includes("GET") && !url.startsWith("/docs"),
  )
  expect(routes.length).toBeGreaterThan(20)
  let turn = 0
  for (const route of routes) {
    const query = fc.record(
      Object.fromEntries(parametersOf(route).map((name) => [name, fc.constantFrom(...hostile)])),
      { requiredKeys: [] },
    )
    const places = fc.array(fc.constantFrom(...hostile), { minLength: 3, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(query, places, async (parameters, values) => {
        const text = Object.entries(parameters)
          .map(([name, value]) => `${name}=${value}`)
          .join("&")
        await ask(`${pathOf(route, values)}${text === "" ? "" : `?${text}`}`)
      }),
      { numRuns: 20, seed: 13 },
    )
    // And alone, next to what is good: each value meets each parameter's kind on some route.
    for (const name of parametersOf(route)) {
      for (let place = turn++ % 4; place < hostile.length; place += 4)
        await ask(`${pathOf(route, ["k7"])}?${name}=${hostile[place]}`)
    }
  }
  expect(stand.faults).toEqual([])
})

it("field S13: a cursor that was changed by hand is refused by name", async () => {
  const paged = [
    "/v1/readings?limit=1",
    "/v1/readings?limit=1&order=arrival",
    "/v1/readings?limit=1&bucket=1s",
    "/v1/devices?limit=1",
    "/v1/operator?limit=1",
    "/v1/observations?limit=1",
  ]
  const wrong = [1.5, -1, 2 ** 53, 1e308, null, "x", "\0", "a\0b", {}, [], true, 40_000]
  let refused = 0
  for (const url of paged) {
    const response = await stand.app.inject({ url, headers: { host: "127.0.0.1" } })
    if (response.statusCode !== 200) continue
    const { next } = response.json<{ next: string }>()
    const [digest, height, place] = JSON.parse(Buffer.from(next, "base64url").toString()) as unknown[]
    const changed: unknown[] = wrong.flatMap((value) => {
      const heights = [[digest, value, place]]
      if (typeof place !== "object" || place === null) return [...heights, [digest, height, value]]
      const places = Object.keys(place).map((name) => [digest, height, { ...place, [name]: value }])
      return [...heights, ...places, [digest, height, value]]
    })
    for (const cursor of changed) {
      const text = Buffer.from(JSON.stringify(cursor).replaceAll("1e+308", "1e999")).toString("base64url")
      const answer = await stand.app.inject({ url: `${url}&cursor=${text}`, headers: { host: "127.0.0.1" } })
      check(JSON.stringify(cursor), answer.statusCode, String(answer.headers["content-type"]), answer.body)
      if (answer.statusCode === 200) continue
      const problem = answer.json<{ parameter?: string }>()
      if (answer.statusCode !== 400 || problem.parameter !== "cursor")
        throw new Error(`${JSON.stringify(cursor)} was answered ${answer.body}`)
      refused += 1
    }
  }
  expect(refused).toBeGreaterThan(100)
  expect(stand.faults).toEqual([])
})

it("field S13: an address of the service that is none is refused where links are made of it, and everywhere", async () => {
  for (const host of ["a b", "evil/..", "[::1", "::1", "a:99999999", "a\u00e9", "user@host"])
    for (const url of ["/fhir/Observation", "/v1/devices", "/nothing"]) {
      const response = await stand.app.inject({ url, headers: { host } })
      check(`${url} of ${host}`, response.statusCode, String(response.headers["content-type"]), response.body)
      expect([host, url, response.statusCode]).toEqual([host, url, 400])
      expect(response.body).toContain("Host")
    }
})

it("field S13: a thousand devices fit in one URL", async () => {
  const devices = Array.from({ length: 1_000 }, (_, index) => `device=${"d".repeat(45)}-${1_000 + index}`)
  const { port } = stand.app.server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/v1/readings?${devices.join("&")}`)
  expect(response.status).toBe(404)
  expect(await response.json()).toMatchObject({ parameter: "device" })
})

/** What a socket answers to these bytes before it closes. */
async function send(bytes: string): Promise<string> {
  const { port } = stand.app.server.address() as AddressInfo
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes))
    let answer = ""
    socket.setEncoding("utf8").on("data", (text: string) => (answer += text))
    socket.once("close", () => resolve(answer)).once("error", reject)
  })
}

describe("field S13: what is no request is answered with a body that says so", () => {
  test.each([
    ["garbage", "hello\r\n\r\n", 400, "malformed-request"],
    ["a header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400, "malformed-request"],
    [
      "a request without Host",
      "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
      400,
      "invalid-parameter",
    ],
    [
      "a header that is too large",
      `GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${"x".repeat(200_000)}\r\n\r\n`,
      431,
      "header-too-large",
    ],
    [
      "a path that cannot be decoded",
      "GET /v1/devices/%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      400,
      "request-refused",
    ],
    [
      "a method that there is none of",
      "BREW /v1/devices HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      400,
      "malformed-request",
    ],
  ])("%s", async (_name, bytes, status, kind) => {
    const [head = "", body = ""] = (await send(bytes)).split("\r\n\r\n")
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(head).toContain("application/problem+json")
    expect(JSON.parse(body)).toMatchObject({ status, type: `urn:tidemark:problem:${kind}` })
  })
})
