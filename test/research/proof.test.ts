import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { checkCoseReceipt, decodeCoseReceipt, detachReceipts } from "../../chain/cose-receipt.ts"
import { checkInclusion, hashLeaf } from "../../chain/merkle.ts"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { parseNote } from "../../chain/note.ts"
import { type Statement, entryOf } from "../../chain/statement.ts"
import { parseTlogProof } from "../../chain/tlog-proof.ts"
import { sha256Native } from "../../ingest/native.ts"
import { createKey, revokeKey } from "../../research/key.ts"
import { PublishedLog } from "../../research/log-published.ts"
import { findStatement, makeReceipt, proveLeaf } from "../../research/sealed-statement.ts"
import { type TestDevice, send } from "../ingest/stand.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

let stand: ResearchStand
let k7: TestDevice
const said: Statement[] = []

beforeAll(async () => {
  stand = await openResearchStand()
  k7 = await stand.enrol("k7")
  const place = stand.intake.open("k7")
  for (let count = 0; count < 300; count++) said.push(k7.next())
  await Promise.all(said.map((statement) => send(place, statement)))
  await stand.seal()
})
afterAll(() => stand.close())

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
  for (const statement of [said[0]!, said[255]!, said[299]!]) {
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
  const made = await createKey(stand.pool, {
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
  await revokeKey(stand.pool, "other")
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
