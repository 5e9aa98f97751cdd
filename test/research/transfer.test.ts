/** How answers travel: compressed, as heads only, to pages of other origins; and sockets that do not ask. */
import { type Socket, connect } from "node:net"
import type { AddressInfo } from "node:net"
import { brotliDecompressSync, gunzipSync } from "node:zlib"
import type { FastifyInstance } from "fastify"
import { afterAll, beforeAll, expect, it, onTestFinished, test } from "vitest"
import { chooseEncoding } from "../../research/compression.ts"
import { Callers } from "../../research/locality.ts"
import type { HttpRefusal } from "../../research/problem.ts"
import { makeServer } from "../../research/server.ts"
import type { SocketLimits } from "../../research/sockets.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

const start = 1_760_000_000
let stand: ResearchStand

beforeAll(async () => {
  stand = await openResearchStand()
  const device = await stand.enrol("k7")
  const times = Array.from({ length: 3_000 }, (_, index) => start + index)
  await stand.say(device, { kind: "number", name: "heart-rate", unit: "beat/min", times, values: times })
  await stand.seal()
})
afterAll(() => stand.close())

const ask = (url: string, headers: Readonly<Record<string, string>> = {}, method: "GET" | "HEAD" = "GET") =>
  stand.app.inject({ method, url, headers: { host: "127.0.0.1", ...headers } })

it.each(["/v1/readings", "/v1/readings?format=ndjson", "/v1/readings?format=csv", "/openapi.json"])(
  "field Q8: %s comes as gzip and br, smaller and the same",
  async (url) => {
    const plain = await ask(url)
    expect(plain.headers["content-encoding"]).toBeUndefined()
    for (const [accepted, encoding, decompress] of [
      ["gzip", "gzip", gunzipSync],
      ["gzip, deflate, br", "br", brotliDecompressSync],
    ] as const) {
      const packed = await ask(url, { "accept-encoding": accepted })
      expect(packed.statusCode).toBe(200)
      expect(packed.headers["content-encoding"]).toBe(encoding)
      expect(packed.headers["vary"]).toContain("accept-encoding")
      expect(packed.rawPayload.length).toBeLessThan(plain.rawPayload.length / 3)
      expect(decompress(packed.rawPayload).equals(plain.rawPayload)).toBe(true)
    }
  },
)

it("field Q8: what does not shrink, and what is small, comes as it is", async () => {
  for (const url of ["/v1/readings?format=parquet", "/v1/readings?format=arrow", "/v1/devices?limit=1"])
    expect((await ask(url, { "accept-encoding": "gzip, br" })).headers["content-encoding"]).toBeUndefined()
})

test.each([
  [undefined, null],
  ["", null],
  ["identity", null],
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["br", "br"],
  ["gzip, br", "br"],
  ["gzip;q=1, br;q=0.5", "gzip"],
  ["br;q=0, gzip;q=0.1", "gzip"],
  ["*", "br"],
  ["*;q=0", null],
  ["br;q=0, *", "gzip"],
  ["identity, gzip;q=0.5", null],
  ["GZIP", "gzip"],
  ["gzip;q=nonsense", null],
  ["deflate, zstd", null],
])("of %o the encoding is %o", (accepted, encoding) => {
  expect(chooseEncoding(accepted)).toBe(encoding)
})

it("field Q8: HEAD is answered as GET, without a body, and streams read nothing for it", async () => {
  for (const url of [
    "/v1/devices",
    "/v1/devices/k7",
    "/v1/readings",
    "/v1/readings?format=parquet",
    "/v1/evidence?device=k7",
    "/fhir/Observation?device=k7",
    "/openapi.json",
  ]) {
    const got = await ask(url)
    const head = await ask(url, {}, "HEAD")
    expect([url, head.statusCode, head.body]).toEqual([url, got.statusCode, ""])
    for (const name of ["content-type", "tidemark-as-of", "content-disposition", "cache-control"])
      expect([name, head.headers[name]]).toEqual([name, got.headers[name]])
  }
  expect((await ask("/v1/readings?device=nobody", {}, "HEAD")).statusCode).toBe(404)
  expect(stand.desk.turnstile.count).toBe(0)
})

it("field Q8: pages of a named origin may read, asked for before or not, and those of others are told nothing", async () => {
  const origin = "https://notebook.example"
  const app = makeServer({ onFault: () => {}, callers: new Callers({ origins: [origin] }) })
  onTestFinished(() => app.close())
  app.get("/x", async () => ({ x: 1 }))
  const of = (method: "GET" | "OPTIONS", from: string) =>
    app.inject({
      method,
      url: "/x",
      headers: { host: "127.0.0.1", origin: from, "access-control-request-method": "GET" },
    })
  const got = await of("GET", origin)
  expect(got.headers["access-control-allow-origin"]).toBe(origin)
  expect(got.headers["vary"]).toContain("origin")
  const asked = await of("OPTIONS", origin)
  expect(asked.statusCode).toBe(204)
  expect(asked.headers["access-control-allow-headers"]).toContain("authorization")
  expect(asked.headers["access-control-allow-methods"]).toContain("GET")
  for (const method of ["GET", "OPTIONS"] as const)
    expect((await of(method, "https://evil.example")).headers["access-control-allow-origin"]).toBeUndefined()
  expect((await of("OPTIONS", "https://evil.example")).statusCode).toBe(405)
})

async function openServer(sockets: Partial<SocketLimits>, counted: HttpRefusal[]): Promise<FastifyInstance> {
  const app = makeServer({ onFault: () => {}, sockets, counters: { refused: (why) => counted.push(why) } })
  onTestFinished(() => app.close())
  app.get("/x", async () => ({ x: 1 }))
  await app.listen({ host: "127.0.0.1", port: 0 })
  return app
}

async function open(
  app: FastifyInstance,
): Promise<{ readonly socket: Socket; readonly closed: Promise<string> }> {
  const { port } = app.server.address() as AddressInfo
  const socket = connect(port, "127.0.0.1")
  let said = ""
  socket.setEncoding("utf8").on("data", (text: string) => (said += text))
  // Closed by a reset where nothing was read.
  socket.on("error", () => {})
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(said)))
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve))
  return { socket, closed }
}

it("field S12: sockets that do not ask are told so and closed, and those beyond the limits at once, each counted", async () => {
  const counted: HttpRefusal[] = []
  const app = await openServer({ socketsMax: 30, socketsOfAddressMax: 20, headersMsMax: 1_000 }, counted)
  const silent = await Promise.all(Array.from({ length: 25 }, () => open(app)))
  const said = await Promise.all(silent.map(({ closed }) => closed))
  const told = said.filter((text) => text.startsWith("HTTP/1.1 408 "))
  expect(told).toHaveLength(20)
  expect(told[0]).toContain("urn:tidemark:problem:request-timeout")
  expect(counted.filter((why) => why === "too-many-sockets-of-address")).toHaveLength(5)
  expect(counted.filter((why) => why === "request-timeout")).toHaveLength(20)
  // And there is room again, once the service knows that they have gone.
  const count = (): Promise<number> =>
    new Promise((resolve) => app.server.getConnections((_error, connections) => resolve(connections)))
  while ((await count()) > 0) await new Promise((resolve) => setImmediate(resolve))
  const { port } = app.server.address() as AddressInfo
  expect((await fetch(`http://127.0.0.1:${port}/x`)).status).toBe(200)
})

it("field S12: HTTP holds so many sockets in all, whoever they are from", async () => {
  const counted: HttpRefusal[] = []
  const app = await openServer({ socketsMax: 10 }, counted)
  const sockets = await Promise.all(Array.from({ length: 14 }, () => open(app)))
  while (counted.length < 4) await new Promise((resolve) => setImmediate(resolve))
  expect(counted).toEqual(Array.from({ length: 4 }, () => "too-many-sockets"))
  for (const { socket } of sockets) socket.destroy()
})
