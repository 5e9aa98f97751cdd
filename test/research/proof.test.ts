import type { FastifyInstance } from "fastify"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8, formatHex } from "../../chain/bytes.ts"
import { decodeCbor } from "../../chain/cbor.ts"
import { checkCoseReceipt, decodeCoseReceipt } from "../../chain/cose-receipt.ts"
import { detachReceipts } from "../../chain/transparent-statement.ts"
import { checkInclusion, hashLeaf } from "../../chain/merkle.ts"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { cosignNote, formatCosignerVkey } from "../../chain/cosignature.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { formatNote, parseNote } from "../../chain/note.ts"
import { type Statement, entryOf } from "../../chain/statement.ts"
import { parseTlogPolicy } from "../../chain/tlog-policy.ts"
import { parseTlogProof } from "../../chain/tlog-proof.ts"
import { logVkeyOf } from "../../ingest/log-keys.ts"
import { verifyTlogProof } from "../../verify/proof.ts"
import { sha256Native } from "../../ingest/native.ts"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import { createKey, revokeKey } from "../../research/key.ts"
import { PublishedLog } from "../../research/log-published.ts"
import type { QueryLog } from "../../research/log-tiles.ts"
import { scrapiRoutes } from "../../research/scrapi-routes.ts"
import { makeServer } from "../../research/server.ts"
import { findStatement, makeReceipt, proveLeaf } from "../../research/sealed-statement.ts"
import { type TestDevice, send } from "../ingest/stand.ts"
import { publishedLogOf } from "./log-stand.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

let stand: ResearchStand
/** SCRAPI's routes, as anybody asks them. */
let open: FastifyInstance
let k7: TestDevice
const said: Statement[] = []

beforeAll(async () => {
  stand = await openResearchStand()
  k7 = await stand.enrol("k7")
  const place = stand.intake.open("k7")
  for (let count = 0; count < 260; count++) said.push(k7.next())
  await Promise.all(said.map((statement) => send(place, statement)))
  await stand.seal()
  const query: QueryLog = async (sql, values) => (await stand.pool.query(sql, [...values])).rows
  open = makeServer({ onFault: (error) => stand.faults.push(error) })
  await open.register(scrapiRoutes, { log: publishedLogOf(stand.pool), query, sha256: sha256Native })
})
afterAll(async () => {
  await open.close()
  await stand.close()
})

const entryHex = (statement: Statement): string => formatHex(entryOf(statement.bytes))

async function fetchBytes(path: string, headers: Record<string, string> = {}) {
  const response = await stand.app.inject({ url: path, headers: { host: "127.0.0.1", ...headers } })
  return {
    status: response.statusCode,
    type: response.headers["content-type"],
    bytes: Uint8Array.from(response.rawPayload),
    json: () => response.json<{ type: string }>(),
  }
}

test("of each sealed statement there is a proof with the statement in it, under the checkpoint", async () => {
  for (const statement of [said[0]!, said[255]!, said[259]!]) {
    const { status, type, bytes } = await fetchBytes(`/v1/statements/${entryHex(statement)}/proof`)
    expect([status, type]).toEqual([200, "text/plain; charset=utf-8"])
    const parsed = parseTlogProof(bytes)
    if (parsed.kind === "fault") throw new Error(parsed.rule)
    const { extra, index, path, checkpoint } = parsed.proof
    expect(extra).toEqual(statement.bytes)
    const { size, root } = parseCheckpoint(parseNote(checkpoint)!.text)!
    expect(checkInclusion(hashLeaf(entryOf(statement.bytes)), index, size, path, root)).toBe(true)
  }
  const bare = parseTlogProof(
    (await fetchBytes(`/v1/statements/${entryHex(said[7]!)}/proof?statement=false`)).bytes,
  )
  expect(bare).toMatchObject({ kind: "proof", proof: { extra: null } })
})

test("a proof carries the cosignatures of witnesses, and passes a policy that demands them", async () => {
  const key = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(9))
  const cosigner = { name: "witness.example/w1", publicKey: key.publicKey }
  const path = `/v1/statements/${entryHex(said[9]!)}/proof`
  const policy = encodeUtf8(
    `log ${logVkeyOf(stand.keys)}\nwitness w1 ${formatCosignerVkey(cosigner)}\nquorum w1\n`,
  )
  const parsed = parseTlogPolicy(policy)
  if (parsed.kind === "fault") throw new Error(parsed.rule)
  const verify = async () =>
    verifyTlogProof(
      (await fetchBytes(path)).bytes,
      { policy: parsed.policy },
      { given: null, signerKeys: [] },
    )
  expect(await verify()).toMatchObject({ kind: "refused", code: "witness" })
  const { rows } = await stand.pool.query<{ note: string }>("select note from checkpoints where height = 0")
  const note = parseNote(rows[0]!.note)!
  const cosignature = cosignNote(note.text, cosigner.name, key, 1_800_000_000)
  const line = formatNote({ ...note, signatures: [cosignature] }).slice(note.text.length + 1)
  await stand.pool.query(
    "insert into cosignatures (height, vkey, line, cosigned_at) values (0, $1, $2, to_timestamp(1800000000))",
    [formatCosignerVkey(cosigner), line],
  )
  expect(await verify()).toMatchObject({ kind: "verified", signedBy: { cosigned: [{ witness: "w1" }] } })
})

test("a receipt is by the receipt key, is given under the type that is wanted, and stands in the Transparent Statement", async () => {
  const statement = said[42]!
  const path = `/v1/statements/${entryHex(statement)}`
  const { type, bytes } = await fetchBytes(`${path}/receipt`)
  expect(type).toBe("application/scitt-receipt+cose")
  const receipt = decodeCoseReceipt(bytes)
  const { publicKey } = stand.keys.receipt
  expect(receipt.origin).toBe(stand.keys.origin)
  expect(checkCoseReceipt(receipt, entryOf(statement.bytes), publicKey).kind).toBe("good")
  expect(checkCoseReceipt(receipt, entryOf(said[43]!.bytes), publicKey).kind).toBe("bad")
  const plain = await fetchBytes(`${path}/receipt`, { accept: "application/cbor;q=0.2, application/cose" })
  expect([plain.type, plain.bytes]).toEqual(["application/cose", bytes])
  expect((await fetchBytes(`${path}/receipt`, { accept: "text/html" })).json().type).toMatch(
    /not-acceptable$/,
  )
  const transparent = await fetchBytes(`${path}/transparent`)
  expect(transparent.type).toBe("application/scitt-statement+cose")
  expect(detachReceipts(transparent.bytes)).toEqual({ statement: statement.bytes, receipts: [bytes] })
})

test("what waits for the next block has no proof yet, and what is not there or beyond the key has none", async () => {
  const waiting = k7.next()
  await send(stand.intake.open("k7"), waiting)
  for (const form of ["proof", "receipt", "transparent"]) {
    const path = `/v1/statements/${entryHex(waiting)}/${form}`
    expect(await stand.refused(path)).toMatchObject({ status: 404, type: "urn:tidemark:problem:not-sealed" })
    expect(await stand.refused(`/v1/statements/${"00".repeat(32)}/${form}`)).toMatchObject({
      type: "urn:tidemark:problem:unknown-statement",
    })
  }
  await stand.enrol("k8")
  const made = await createKey(stand.pool, accessKeyOf(stand.keys), {
    name: "other",
    scope: "read",
    devices: ["k8"],
    attributes: null,
    expiresMs: null,
  })
  if (made.kind !== "created") throw new Error(made.kind)
  const authorization = `Bearer ${made.key}`
  const refused = await fetchBytes(`/v1/statements/${entryHex(said[0]!)}/proof`, { authorization })
  expect([refused.status, refused.json().type]).toEqual([404, "urn:tidemark:problem:unknown-statement"])
  await revokeKey(stand.pool, accessKeyOf(stand.keys), "other")
})

test("tiles that were changed give no proof, and the service says that it is at fault", async () => {
  const client = await stand.pool.connect()
  const query = async <Row extends object>(sql: string, values: readonly unknown[]) =>
    (await client.query<Row>(sql, [...values])).rows
  try {
    await client.query("begin; set local session_replication_role = replica")
    const found = await findStatement(query, entryOf(said[0]!.bytes), sha256Native)
    if (found.kind !== "sealed") throw new Error(found.kind)
    const proven = await proveLeaf(new PublishedLog(query, sha256Native), found.leafIndex)
    // The first leaf, whose hash is in the path of every other leaf of its tile.
    await client.query(
      "update tiles set hashes = overlay(hashes placing '\\x00000000'::bytea from 1) where level = 0 and tile_index = 0",
    )
    await expect(proveLeaf(new PublishedLog(query, sha256Native), found.leafIndex)).rejects.toThrow(
      /does not hash to what the tile above it says/,
    )
    await client.query(`update statements set bytes = bytes || '\\x00' where bytes = $1`, [said[0]!.bytes])
    await expect(findStatement(query, entryOf(said[0]!.bytes), sha256Native)).rejects.toThrow(
      /are not what was accepted/,
    )
    // Of a log that was sealed before there were receipts.
    await client.query("update checkpoints set receipt_signature = null")
    expect(await makeReceipt(query, new PublishedLog(query), proven!)).toBeNull()
  } finally {
    await client.query("rollback")
    client.release()
  }
})

const askAnybody = (url: string, accept?: string) =>
  open.inject({ url, remoteAddress: "203.0.113.7", ...(accept === undefined ? {} : { headers: { accept } }) })

test("anybody who has an entry gets its receipt, which does not say whose it is", async () => {
  const response = await askAnybody(`/entries/${entryHex(said[0]!)}`, "application/cbor")
  expect(response.statusCode).toBe(200)
  expect(response.headers).toMatchObject({
    "content-type": "application/cose",
    location: `/entries/${entryHex(said[0]!)}`,
  })
  const bytes = Uint8Array.from(response.rawPayload)
  const receipt = decodeCoseReceipt(bytes)
  const { publicKey } = stand.keys.receipt
  expect(checkCoseReceipt(receipt, entryOf(said[0]!.bytes), publicKey).kind).toBe("good")
  expect(new TextDecoder("latin1").decode(bytes)).not.toContain("k7")
  const own = await askAnybody(`/entries/${entryHex(said[0]!)}`, "application/scitt-receipt+cose")
  expect(own.headers["content-type"]).toBe("application/scitt-receipt+cose")
  expect(own.rawPayload).toEqual(response.rawPayload)
})

test("an entry that waits is found again later, one that is not known and one that is none are told apart", async () => {
  const waiting = k7.next()
  await send(stand.intake.open("k7"), waiting)
  const found = await askAnybody(`/entries/${entryHex(waiting)}`)
  expect([found.statusCode, found.headers["location"], found.body]).toEqual([
    302,
    `/entries/${entryHex(waiting)}`,
    "",
  ])
  expect(Number(found.headers["retry-after"])).toBeGreaterThan(0)
  for (const [path, status, title] of [
    [`/entries/${"00".repeat(32)}`, 404, "Not Found"],
    ["/entries/k7", 400, "Invalid locator"],
    [`/entries/${entryHex(said[0]!).toUpperCase()}`, 400, "Invalid locator"],
  ] as const) {
    const refused = await askAnybody(path)
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
  const refused = await open.inject({
    method: "POST",
    url: "/entries",
    headers: { "content-type": "application/cose" },
    payload: Buffer.from(said[0]!.bytes),
  })
  expect([refused.statusCode, refused.headers["allow"]]).toEqual([405, "GET"])
  const problem = decodeCbor(Uint8Array.from(refused.rawPayload), "deterministic") as Map<number, string>
  expect(problem.get(-2)).toContain("v1/{device}/statements")
})

test("of more questions than are answered at a time, some are asked to come again, and none is lost", async () => {
  const answers = await Promise.all(
    Array.from({ length: 60 }, () => askAnybody(`/entries/${entryHex(said[0]!)}`)),
  )
  const statuses = new Set(answers.map(({ statusCode }) => statusCode))
  expect([...statuses].toSorted((a, b) => a - b)).toEqual([200, 429])
  expect(answers.filter(({ statusCode }) => statusCode === 200).length).toBeGreaterThanOrEqual(32)
  expect((await askAnybody(`/entries/${entryHex(said[0]!)}`)).statusCode).toBe(200)
})
