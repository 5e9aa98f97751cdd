import Fastify from "fastify"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { decodeCbor } from "../../chain/cbor.ts"
import { checkCoseReceipt, decodeCoseReceipt } from "../../chain/cose-receipt.ts"
import { type Statement, entryOf } from "../../chain/statement.ts"
import { sha256Native } from "../../ingest/native.ts"
import type { QueryLog } from "../../research/log-tiles.ts"
import { scrapiRoutes } from "../../research/scrapi-routes.ts"
import { makeServer } from "../../research/server.ts"
import { type Stand, type TestDevice, openStand, send } from "../ingest/stand.ts"
import { publishedLogOf } from "./log-stand.ts"

let stand: Stand
let k7: TestDevice
let sealed: Statement
let app: ReturnType<typeof Fastify>

beforeAll(async () => {
  stand = await openStand()
  k7 = await stand.enrol("k7")
  sealed = k7.next()
  await send(stand.intake.open("k7"), sealed)
  await stand.seal()
  app = makeServer({ onFault: (error) => console.error(error) })
  const query: QueryLog = async (sql, values) => (await stand.pool.query(sql, [...values])).rows
  await app.register(scrapiRoutes, { log: publishedLogOf(stand.pool), query, sha256: sha256Native })
})
afterAll(async () => {
  await app.close()
  await stand.close()
})

const get = (url: string, accept?: string) =>
  app.inject({ url, remoteAddress: "203.0.113.7", ...(accept === undefined ? {} : { headers: { accept } }) })
const hexOf = (statement: Statement): string => formatHex(entryOf(statement.bytes))

test("anybody who has an entry gets its receipt, which does not say whose it is", async () => {
  const response = await get(`/entries/${hexOf(sealed)}`, "application/cbor")
  expect(response.statusCode).toBe(200)
  expect(response.headers).toMatchObject({
    "content-type": "application/cose",
    location: `/entries/${hexOf(sealed)}`,
  })
  const bytes = Uint8Array.from(response.rawPayload)
  const receipt = decodeCoseReceipt(bytes)
  const { publicKey } = stand.keys.receipt
  expect(checkCoseReceipt(receipt, entryOf(sealed.bytes), publicKey).kind).toBe("good")
  expect(new TextDecoder("latin1").decode(bytes)).not.toContain("k7")
  const own = await get(`/entries/${hexOf(sealed)}`, "application/scitt-receipt+cose")
  expect(own.headers["content-type"]).toBe("application/scitt-receipt+cose")
  expect(own.rawPayload).toEqual(response.rawPayload)
})

test("an entry that waits is found again later, one that is not known and one that is none are told apart", async () => {
  const waiting = k7.next()
  await send(stand.intake.open("k7"), waiting)
  const found = await get(`/entries/${hexOf(waiting)}`)
  expect([found.statusCode, found.headers["location"], found.body]).toEqual([
    302,
    `/entries/${hexOf(waiting)}`,
    "",
  ])
  expect(Number(found.headers["retry-after"])).toBeGreaterThan(0)
  for (const [path, status, title] of [
    [`/entries/${"00".repeat(32)}`, 404, "Not Found"],
    ["/entries/k7", 400, "Invalid locator"],
    [`/entries/${hexOf(sealed).toUpperCase()}`, 400, "Invalid locator"],
  ] as const) {
    const refused = await get(path)
    expect([refused.statusCode, refused.headers["content-type"]]).toEqual([
      status,
      "application/concise-problem-details+cbor",
    ])
    const problem = decodeCbor(Uint8Array.from(refused.rawPayload), "deterministic") as Map<number, string>
    expect(problem.get(-1)).toBe(title)
    expect(problem.get(-2)).toMatch(/\.$/)
  }
})

test("a statement is not registered over HTTP, and is told where it is", async () => {
  const refused = await app.inject({
    method: "POST",
    url: "/entries",
    headers: { "content-type": "application/cose" },
    payload: Buffer.from(sealed.bytes),
  })
  expect([refused.statusCode, refused.headers["allow"]]).toEqual([405, "GET"])
  const problem = decodeCbor(Uint8Array.from(refused.rawPayload), "deterministic") as Map<number, string>
  expect(problem.get(-2)).toContain("v1/{device}/statements")
})

test("of more questions than are answered at a time, some are asked to come again, and none is lost", async () => {
  const answers = await Promise.all(Array.from({ length: 60 }, () => get(`/entries/${hexOf(sealed)}`)))
  const statuses = new Set(answers.map(({ statusCode }) => statusCode))
  expect([...statuses].toSorted((a, b) => a - b)).toEqual([200, 429])
  expect(answers.filter(({ statusCode }) => statusCode === 200).length).toBeGreaterThanOrEqual(32)
  expect((await get(`/entries/${hexOf(sealed)}`)).statusCode).toBe(200)
})
