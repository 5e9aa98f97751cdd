/** Attacks over HTTP on a service in a process of its own: whatever is asked, its event loop goes on. */
import { request } from "node:http"
import { type Socket, connect } from "node:net"
import { afterAll, beforeAll, describe, expect, it, test } from "vitest"
import { encodePack } from "../../chain/senml.ts"
import { DeviceSession } from "../ingest/device-session.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { TestDevice, spineTemplate } from "../ingest/stand.ts"
import { SoakHost } from "../simulation/soak-host.ts"
import { findStallFault, stallMsMax } from "../watchdog.ts"

let host: SoakHost
let closeDatabase: () => Promise<void>
const start = 1_760_000_000

beforeAll(async () => {
  const database = await openTestDatabase({ template: spineTemplate })
  closeDatabase = () => database.close()
  host = await SoakHost.start({ databaseUrl: database.url })
  const device = new TestDevice("k7", undefined, host.binding)
  const others = Array.from({ length: 500 }, (_, index) => {
    const { key } = new TestDevice(`other-${index}`, undefined, host.binding)
    return { device: `other-${index}`, key: key.publicKey }
  })
  await host.enrol([{ device: "k7", key: device.key.publicKey }, ...others])
  const session = await DeviceSession.open(host.mqtt, "k7")
  for (let part = 0; part < 20; part++) {
    const times = Array.from({ length: 2_000 }, (_, index) => start + part * 2_000 + index)
    const pack = encodePack([{ kind: "number", name: "m", unit: null, times, values: times }])
    await session.say(device.next({ payload: pack }).bytes)
  }
  // A time that no date reaches: buckets must not count their way to it.
  const ahead = encodePack([{ kind: "number", name: "m", unit: null, times: [1e16], values: [1] }])
  await session.say(device.next({ payload: ahead }).bytes)
  await session.close()
  await host.seal()
})
afterAll(async () => {
  await host.stop()
  await host.remove()
  await closeDatabase()
})

const url = (path: string): string => `http://127.0.0.1:${host.http}${path}`

async function read(path: string): Promise<number> {
  const response = await fetch(url(path))
  await response.arrayBuffer()
  return response.status
}

async function expectAlive(): Promise<void> {
  expect(findStallFault(await host.stall())).toBe(null)
  expect(await read("/healthz")).toBe(200)
  expect(host.lines).toEqual([])
}

describe("large and hostile answers hold nobody up", () => {
  it.each([
    "/v1/readings?ahead=true&unsealed=true&bucket=1s",
    "/v1/readings?ahead=true&unsealed=true&bucket=1d",
    "/v1/readings?limit=100000",
    "/v1/readings?format=ndjson",
    "/v1/readings?format=csv",
    "/v1/readings?format=parquet",
    "/v1/readings?format=arrow",
    "/v1/readings?bucket=1s&limit=100000",
    "/v1/coverage?device=k7",
    "/fhir/Observation?_count=1000",
    "/v1/evidence?device=k7",
    "/v1/evidence?device=other-1",
  ])("field S1, S11: %s, four at once", async (path) => {
    const statuses = await Promise.all(Array.from({ length: 4 }, () => read(path)))
    for (const status of statuses) expect([200, 400, 422]).toContain(status)
    await expectAlive()
  })
})

test("field S12: sockets that send a byte of a request at a time, or none, hold nobody up", async () => {
  const sockets: Socket[] = []
  for (let index = 0; index < 100; index++) {
    const socket = connect(host.http, "127.0.0.1").on("error", () => {})
    sockets.push(socket)
    await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve))
    if (index % 2 === 0) socket.write("G")
  }
  expect(await read("/readyz")).toBe(200)
  await expectAlive()
  for (const socket of sockets) socket.destroy()
})

/** With a key that nobody has. */
const guess = (index: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const authorization = `Bearer tmk_${index.toString(16).padStart(8, "0")}_${"A".repeat(43)}`
    request(url("/v1/devices"), { headers: { authorization } }, (response) => {
      response.resume().once("end", () => resolve(response.statusCode ?? 0))
    })
      .on("error", reject)
      .end()
  })

test("field S7: two hundred wrong keys at once hold nobody up", async () => {
  const statuses = await Promise.all(Array.from({ length: 200 }, (_, index) => guess(index)))
  expect(new Set(statuses)).toEqual(new Set([401]))
  expect(await guess(1)).toBe(429)
  await expectAlive()
})

test("a planted loop of 300 ms in the service is found", async () => {
  await host.hold(300)
  const stall = await host.stall()
  expect(stall.longestMs).toBeGreaterThan(stallMsMax)
})
