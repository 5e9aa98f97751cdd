import { spawn } from "node:child_process"
import { request } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, expect, onTestFinished, test } from "vitest"
import { pino } from "pino"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import { ReceiptFeed } from "../../cli/receipt-feed.ts"
import { formatRefusal } from "../../cli/receipts.ts"
import { type ReceiptLine, type StreamLimits, makeReceiptRoute } from "../../cli/receipt-stream.ts"
import { findUp, operatorHeaders } from "../../cli/running.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { listAccesses } from "../../research/access.ts"
import { Guard } from "../../research/guard.ts"
import { createKey, revokeKey } from "../../research/key.ts"
import { makeServer } from "../../research/server.ts"
import { RawClient } from "../broker/raw-client.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { openServiceStand } from "../ingest/service-stand.ts"
import { spineTemplate, untilTrue } from "../ingest/stand.ts"
import { RunningUp, makeFolder, removeFolders, tidemark } from "./command.ts"
import { programArgs, programEnvironment } from "./program.ts"

afterAll(removeFolders)

/** The lines of a stream, one after the other. */
async function* linesOf(
  url: string,
  signal: AbortSignal,
  headers: Readonly<Record<string, string>> = {},
): AsyncGenerator<ReceiptLine> {
  const response = await fetch(url, { signal, headers })
  if (response.body === null) throw new Error("no body")
  let rest = ""
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = `${rest}${chunk}`.split("\n")
    rest = lines.pop()!
    for (const line of lines.filter((one) => one !== "")) yield JSON.parse(line) as ReceiptLine
  }
}

/** Keys of these tests are made and read under this one. */
const macKey = new Uint8Array(32)

/** The route alone, on a database of its own. */
async function openFeed(limits: Partial<StreamLimits>) {
  const database = await openTestDatabase({ template: spineTemplate })
  const records = openPool(database.url, 2)
  const feed = new ReceiptFeed()
  const faults: Error[] = []
  const onFault = (error: Error): void => void faults.push(error)
  const app = makeServer({ onFault })
  const guard = new Guard({ records, macKey, nowMs: Date.now, onFault })
  await app.register(makeReceiptRoute(feed, guard, limits))
  await app.listen({ host: "127.0.0.1", port: 0 })
  onTestFinished(async () => {
    await app.close()
    await records.end()
    await database.close()
    expect(faults).toEqual([])
  })
  return { feed, records, port: (app.server.address() as AddressInfo).port }
}

test("a reader sees the receipts of its device as they are given, and those of no other", async () => {
  const stand = await openServiceStand()
  onTestFinished(() => stand.close())
  const controller = new AbortController()
  const stream = linesOf(`http://127.0.0.1:${stand.service.http}/v1/receipts?device=k7`, controller.signal)
  expect((await stream.next()).value).toEqual({ kind: "listening", device: "k7" })
  const other = await RawClient.connect(stand.service.mqtt, "k8")
  other.publish("secret words of k8")
  await other.expectReceipt()
  const device = await RawClient.connect(stand.service.mqtt, "k7")
  device.publish("secret words of k7")
  await device.expectReceipt()
  const { value } = await stream.next()
  expect(value).toMatchObject({
    kind: "receipt",
    device: "k7",
    verdict: "malformed",
    code: 10,
    seq: null,
    headSeq: 0,
  })
  expect(value).toMatchObject({ advice: expect.stringContaining("make"), headEntry: "00".repeat(32) })
  expect(JSON.stringify(value)).not.toContain("secret")
  controller.abort()
})

test("field D4: a reader sees why a connection or a subscription got no receipt, in the stream and in the log", async () => {
  const lines: string[] = []
  const stand = await openServiceStand({
    service: { log: pino({ level: "warn" }, { write: (line: string) => void lines.push(line) }) },
  })
  onTestFinished(() => stand.close())
  const controller = new AbortController()
  const url = `http://127.0.0.1:${stand.service.http}/v1/receipts`
  const [own, all, other] = ["?device=k7", "", "?device=k9"].map((query) =>
    linesOf(url + query, controller.signal),
  ) as [AsyncGenerator<ReceiptLine>, AsyncGenerator<ReceiptLine>, AsyncGenerator<ReceiptLine>]
  for (const stream of [own, all, other]) await stream.next()
  const refused = async (clientId: string, options: object = {}): Promise<void> => {
    const client = await RawClient.open(stand.service.mqtt, clientId)
    client.sendConnect(options)
    await client.readUntilClose()
  }
  await refused("k7", { protocolVersion: 5 })
  await refused("sensor:k7")
  const typo = await RawClient.connect(stand.service.mqtt, "k7")
  await typo.subscribe(["v1/k7/receipt"])
  typo.publish("secret words", { topic: "v1/k7/statement" })
  await typo.readUntilClose()
  await refused("k9.x")
  const told = [
    { what: "connection", device: "k7", reason: "protocol-version", rule: expect.stringContaining("MQTT 5") },
    { what: "connection", device: null, client: '"sensor:k7"', reason: "identifier" },
    { what: "subscription", device: "k7", rule: expect.stringContaining("did you mean v1/k7/receipts?") },
    { device: "k7", reason: "wrong-topic", rule: expect.stringContaining("did you mean v1/k7/statements?") },
  ]
  const last = { device: null, client: '"k9.x"', reason: "identifier" }
  for (const one of told) {
    expect((await own.next()).value).toMatchObject({ kind: "refusal", ...one })
    expect((await all.next()).value).toMatchObject({ kind: "refusal", ...one })
  }
  expect((await all.next()).value).toMatchObject(last)
  expect((await other.next()).value).toMatchObject(last)
  const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(logged).toMatchObject([
    { msg: "connection refused", reason: "protocol-version", device: "k7" },
    { msg: "connection refused", reason: "identifier", client: '"sensor:k7"' },
    { msg: "subscription denied", device: "k7", detail: expect.stringContaining("v1/k7/receipt") },
    { msg: "connection refused", reason: "wrong-topic", detail: expect.stringContaining("v1/k7/statement") },
    { msg: "connection refused", client: '"k9.x"' },
  ])
  expect(lines.join("")).not.toContain("secret")
  expect((await stand.metrics()).get("tidemark_mqtt_subscriptions_denied_total")).toBe(1)
  controller.abort()
})

test("field D4: a refusal is printed with its rule", () => {
  const told = { kind: "refusal", what: "connection", client: null, now: 1_748_764_802 } as const
  expect(formatRefusal({ ...told, device: "k7", reason: "wrong-topic", rule: "did you mean …" })).toBe(
    "08:00:02  k7  connection refused: wrong-topic\n  rule: did you mean …",
  )
  expect(formatRefusal({ ...told, device: null, client: '"k.7"', reason: "identifier", rule: null })).toBe(
    '08:00:02  client id "k.7"  connection refused: identifier',
  )
  expect(formatRefusal({ ...told, device: null, reason: "tls", rule: null })).toBe(
    "08:00:02  a client  connection refused: tls",
  )
})

test("field S8: receipts and metrics are not for a foreign name, for what a proxy passed on, nor for another site's page", async () => {
  const stand = await openServiceStand()
  onTestFinished(() => stand.close())
  const get = (path: string, headers: Readonly<Record<string, string>>): Promise<number> =>
    new Promise((resolve, reject) => {
      const asked = request({ port: stand.service.http, host: "127.0.0.1", path, headers }, (response) => {
        resolve(response.statusCode ?? 0)
        response.destroy()
      })
      asked.on("error", reject).end()
    })
  const foreign = { host: "evil.example" }
  const passedOn = { host: "127.0.0.1", "x-forwarded-for": "192.0.2.7" }
  const crossSite = { host: "127.0.0.1", "sec-fetch-site": "cross-site" }
  const own = { host: "localhost:1" }
  for (const path of ["/v1/receipts", "/v1/devices", "/v1/operator", "/v1/readings"])
    expect([await get(path, foreign), await get(path, passedOn), await get(path, crossSite)]).toEqual([
      401, 401, 403,
    ])
  for (const headers of [foreign, passedOn, crossSite]) expect(await get("/metrics", headers)).toBe(403)
  expect(await get("/metrics", own)).toBe(200)
  expect(await get("/v1/receipts?device=a.b", own)).toBe(400)
  expect(await get("/v1/receipts", own)).toBe(200)
})

test("field S8, S16: where keys exist receipts need one, reach as far as it does, end with it, and are recorded", async () => {
  const stand = await openServiceStand()
  onTestFinished(() => stand.close())
  const { pool } = stand
  const base = `http://127.0.0.1:${stand.service.http}/v1/receipts`
  const { enrolDevices } = await import("../../ingest/registry.ts")
  const { TestDevice } = await import("../ingest/stand.ts")
  const keys = ["k7", "k8"].map((device) => ({ device, key: new TestDevice(device).key.publicKey }))
  await enrolDevices(pool, stand.service.keys, keys)
  const reach = { scope: "read", attributes: null, expiresMs: null } as const
  const made = await createKey(pool, accessKeyOf(stand.service.keys), {
    ...reach,
    name: "anna",
    devices: ["k7"],
  })
  if (made.kind !== "created") throw new Error(made.kind)
  const authorization = { authorization: `Bearer ${made.key}` }
  expect((await fetch(base)).status).toBe(401)
  expect((await fetch(`${base}?device=k8`, { headers: authorization })).status).toBe(403)
  // The operator's own commands read their token in the data folder.
  const running = await findUp(stand.dataFolder)
  const controller = new AbortController()
  const own = await fetch(base, { headers: operatorHeaders(running!), signal: controller.signal })
  expect(own.status).toBe(200)
  controller.abort()
  const ending = new AbortController()
  const stream = linesOf(base, ending.signal, authorization)
  expect((await stream.next()).value).toEqual({ kind: "listening", device: null })
  for (const id of ["k8", "k7"]) {
    const device = await RawClient.connect(stand.service.mqtt, id)
    device.publish(`secret words of ${id}`)
    await device.expectReceipt()
  }
  expect((await stream.next()).value).toMatchObject({ kind: "receipt", device: "k7" })
  ending.abort()
  await untilTrue(pool, "(select count(*) from access_ends where rows = 1 and devices = '{k7}') = $1", [1])
  const accesses = await listAccesses(pool, { key: null, device: null, limit: 10 })
  expect(accesses.map(({ route, keyName }) => [route, keyName])).toEqual([
    ["/v1/receipts", "anna"],
    ["/v1/receipts", null],
    // Out of its scope: refused, and recorded.
    ["/v1/receipts", "anna"],
  ])
  const metrics = await stand.metrics()
  expect(metrics.get('tidemark_http_refusals_total{reason="key-needed"}')).toBe(1)
  expect(metrics.get('tidemark_http_refusals_total{reason="out-of-scope"}')).toBe(1)
})

test("field S8: a stream of receipts ends when its key is revoked", async () => {
  const { records, port } = await openFeed({ idleMsMax: 50 })
  const reach = { scope: "read", devices: null, attributes: null, expiresMs: null } as const
  const made = await createKey(records, macKey, { ...reach, name: "anna" })
  if (made.kind !== "created") throw new Error(made.kind)
  const stream = linesOf(`http://127.0.0.1:${port}/v1/receipts`, new AbortController().signal, {
    authorization: `Bearer ${made.key}`,
  })
  expect((await stream.next()).value).toEqual({ kind: "listening", device: null })
  await revokeKey(records, macKey, "anna")
  expect((await stream.next()).value).toEqual({ kind: "dropped", rule: "key anna was revoked" })
  expect((await stream.next()).done).toBe(true)
})

test("while nobody listens a message passes as it came", async () => {
  const feed = new ReceiptFeed()
  const answer = Promise.resolve({ kind: "dropped" } as const)
  const watched = feed.watch({
    open: () => ({ submit: () => answer, close: () => {} }),
    waiting: () => 0,
    close: async () => {},
  })
  // The very promise: nothing was put around it.
  expect(watched.open("k7").submit({ kind: "question" })).toBe(answer)
})

test("a reader that does not read is dropped, is told so, and no device waits for it", async () => {
  const { feed, port } = await openFeed({ bufferedBytesMax: 4_096, partingMsMax: 60_000 })
  const response = await new Promise<import("node:http").IncomingMessage>((resolve) => {
    request({ port, host: "127.0.0.1", path: "/v1/receipts" }, resolve).end()
  })
  response.pause()
  const { encodeReceipt } = await import("../../chain/receipt.ts")
  const { noHead } = await import("../../chain/link.ts")
  const receipt = encodeReceipt({ code: 10, seq: null, head: noHead, now: 1_748_764_802 })
  const answer = { kind: "receipt", code: 10, receipt, refused: true, rule: "x".repeat(1_000) } as const
  const place = feed
    .watch({
      open: () => ({ submit: async () => answer, close: () => {} }),
      waiting: () => 0,
      close: async () => {},
    })
    .open("k7")
  for (let i = 0; i < 100_000 && feed.listenerCount > 0; i++) await place.submit({ kind: "question" })
  expect(feed.listenerCount).toBe(0)
  let text = ""
  for await (const chunk of response) text += String(chunk)
  expect(JSON.parse(text.trim().split("\n").at(-1)!)).toMatchObject({ kind: "dropped" })
})

test("tidemark receipts shows what a device is told, and goes on when the service comes back", async () => {
  const data = await makeFolder()
  let up = await RunningUp.start(data)
  const child = spawn(process.execPath, [...programArgs, "receipts", "--device", "k7", "--data", data], {
    env: programEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  })
  onTestFinished(() => void child.kill("SIGKILL"))
  let said = ""
  let wake: (() => void) | null = null
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text
      wake?.()
    })
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise<void>((resolve) => (wake = resolve))
  }
  const listenedCount = (): number => said.split("listening to k7").length - 1
  const speak = async (): Promise<void> => {
    const device = await RawClient.connect(up.mqtt, "k7")
    device.publish("not a statement")
    await device.expectReceipt()
  }
  await until(() => listenedCount() === 1)
  await speak()
  await until(() => /k7 {2}10 malformed.*\n {2}refused: .*\n {2}then: make/.test(said))
  await up.end("SIGTERM")
  up = await RunningUp.start(data)
  await until(() => listenedCount() === 2)
  await speak()
  await until(() => said.split("10 malformed").length === 3)
  child.kill("SIGINT")
  expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0)
})

test("tidemark receipts wants one device, or all of them by name", async () => {
  for (const args of [[], ["--device", "k7", "--all"], ["--device", "a.b"]])
    expect(await tidemark(["receipts", ...args])).toMatchObject({ code: 2, stdout: "" })
})
