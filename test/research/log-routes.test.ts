import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8, formatBase64url } from "../../chain/bytes.ts"
import { decodeCbor } from "../../chain/cbor.ts"
import { parseHash } from "../../chain/hash.ts"
import { formatCosignerVkey } from "../../chain/cosignature.ts"
import { algorithmEd25519, kidOf } from "../../chain/key.ts"
import { TiledTree } from "../../chain/log-reader.ts"
import { formatTilePath, listPlaces } from "../../chain/tile-path.ts"
import { parseTlogPolicy, policyOfLog } from "../../chain/tlog-policy.ts"
import { parseVkey } from "../../chain/note.ts"
import { logVkeyOf } from "../../ingest/log-keys.ts"
import { sha256Native } from "../../ingest/native.ts"
import { publishLast } from "../../ingest/publication.ts"
import { type Stand, type TestDevice, openStand } from "../ingest/stand.ts"
import { testKey } from "../vectors/keys.ts"
import { type LogStand, openLogStand, sayMany } from "./log-stand.ts"

let stand: Stand
let k1: TestDevice
let log: LogStand
/** Of every checkpoint so far. */
const sizes: number[] = []

/** Three blocks: the first tile of level 0 is full in the third. */
beforeAll(async () => {
  stand = await openStand()
  log = await openLogStand(stand)
  // Nothing is published yet.
  await log.get("/log/checkpoint", 404)
  await log.get("/log/tile/0/000.p/1", 404)
  k1 = await stand.enrol("k1")
  for (const count of [3, 150, 120]) {
    await sayMany(stand, k1, count)
    const result = await stand.seal()
    if (result.kind === "sealed") sizes.push(result.block.treeSize)
  }
})
afterAll(async () => {
  await log.app.close()
  await stand.close()
})

async function readEntries() {
  const { rows } = await stand.pool.query<{ entry: Uint8Array }>("select entry from entries order by id")
  return rows.map(({ entry }) => parseHash(entry))
}

test("anybody follows the log by its tiles, and finds each entry that was accepted, in order", async () => {
  const head = await log.readHead()
  expect(head.size).toBe(sizes.at(-1))
  const tree = await TiledTree.open(log.reader, head, sha256Native)
  const entries = [...(await tree.readEntries(0)), ...(await tree.readEntries(1))]
  expect(entries).toEqual(await readEntries())
  // What a witness that stood at an earlier checkpoint asks for.
  for (const size of sizes) {
    const { rows } = await stand.pool.query<{ root: Uint8Array }>(
      "select root from checkpoints where size = $1",
      [size],
    )
    expect(await tree.readRoot(size)).toEqual(parseHash(rows[0]!.root))
  }
})

test("what the tree of any checkpoint so far is made of is served, and may be kept for good", async () => {
  for (const size of sizes) {
    for (const place of listPlaces(0, size)) {
      const { bytes, headers } = await log.get(`/log/${formatTilePath(place)}`)
      expect(bytes.length).toBe(place.width * (place.kind === "tile" ? 32 : 34))
      expect(headers.get("cache-control")).toBe("public, max-age=31536000, immutable")
      expect(headers.get("content-type")).toBe("application/octet-stream")
      expect(headers.get("access-control-allow-origin")).toBe("*")
    }
  }
})

test("a checkpoint is asked for anew each time, and is sent only where it is another", async () => {
  const { headers } = await log.get("/log/checkpoint")
  expect(headers.get("content-type")).toBe("text/plain; charset=utf-8")
  expect(headers.get("cache-control")).toBe("no-cache")
  const ask = (etag: string) => log.app.inject({ url: "/log/checkpoint", headers: { "if-none-match": etag } })
  expect((await ask(headers.get("etag")!)).statusCode).toBe(304)
  expect((await ask('"other"')).statusCode).toBe(200)
  const head = await log.app.inject({ method: "HEAD", url: "/log/tile/0/000" })
  expect([head.statusCode, head.headers["content-length"]]).toEqual([200, "8192"])
})

const ask = () => log.app.inject({ url: "/log/tile/0/000.p/7" })

test("more readers at a time than there is room for are told to come again, and then they are answered", async () => {
  const answers = await Promise.all(Array.from({ length: 300 }, ask))
  const refused = answers.filter(({ statusCode }) => statusCode === 503)
  expect(answers.filter(({ statusCode }) => statusCode === 200)).toHaveLength(300 - refused.length)
  expect(refused.length).toBeGreaterThan(0)
  expect(refused[0]!.headers).toMatchObject({ "retry-after": "2", "cache-control": "no-store" })
  expect((await ask()).statusCode).toBe(200)
})

test.each([
  "/log/tile/0/001",
  "/log/tile/0/001.p/255",
  "/log/tile/0/002",
  "/log/tile/1/000",
  "/log/tile/1/000.p/2",
  "/log/tile/2/000.p/1",
  "/log/tile/63/000.p/1",
  "/log/tile/0/x009/x007/x199/x254/x740/991",
  "/log/tile/entries/001",
  "/log/tile/entries/x009/x007/x199/x254/x740/991",
  "/log/tile/0/0",
  "/log/tile/0/000.p/256",
  "/log/tile/0/000%2Ep/5",
  "/log/tile/0//000",
  "/log/tile/",
  "/log/tile/0/000/",
])("%s is not of the published log, and nobody keeps that answer", async (path) => {
  const { headers } = await log.get(path, 404)
  expect(headers.get("cache-control")).toBe("no-store")
  expect(headers.get("content-type")).toContain("application/problem+json")
})

test("the log's policy is one that a verifier takes, and the receipts' key is the one that the first leaf names", async () => {
  const { bytes, headers } = await log.get("/log/policy")
  expect(headers.get("content-type")).toBe("text/plain; charset=utf-8")
  const vkey = parseVkey(logVkeyOf(stand.keys))!
  expect(parseTlogPolicy(bytes)).toEqual({ kind: "policy", policy: policyOfLog(vkey) })
  // With the operator's witnesses, but not where it asks them.
  const w1 = formatCosignerVkey({ name: "w1.example", publicKey: testKey(algorithmEd25519, "w1").publicKey })
  const witnesses = `witness w1 ${w1} https://10.0.0.7/w1\nquorum w1\n`
  await stand.pool.query("insert into witness_policies (policy) values ($1)", [encodeUtf8(witnesses)])
  const witnessed = parseTlogPolicy((await log.get("/log/policy")).bytes)
  const quorum = { kind: "witness", name: "w1" }
  expect(witnessed).toMatchObject({
    policy: { logs: [vkey], witnesses: [{ vkey: w1, url: null }], quorum },
  })
  const { publicKey } = stand.keys.receipt
  const kid = kidOf(publicKey)
  const key = new Map<number, number | Uint8Array>([
    [1, 1],
    [2, kid],
    [-1, 6],
    [-2, publicKey.bytes],
  ])
  const set = await log.get("/.well-known/scitt-keys")
  expect(decodeCbor(set.bytes, "deterministic")).toEqual([key])
  expect(set.headers.get("content-type")).toBe("application/cbor")
  const one = await log.get(`/.well-known/scitt-keys/${formatBase64url(kid)}`)
  expect(decodeCbor(one.bytes, "deterministic")).toEqual(key)
  const other = await log.get("/.well-known/scitt-keys/AAAAAAAAAAA", 404)
  expect(other.headers.get("content-type")).toBe("application/concise-problem-details+cbor")
  expect(decodeCbor(other.bytes, "deterministic")).toBeInstanceOf(Map)
})

test("a block that is sealed and not yet published is not served: what was seen must be known after any crash", async () => {
  const before = await log.readHead()
  await sayMany(stand, k1, 5)
  const killed = stand.seal({
    onStep: (step) => {
      if (step === "committed") throw new Error("killed")
    },
  })
  await expect(killed).rejects.toThrow("killed")
  const { rows } = await stand.pool.query<{ size: number }>("select max(size) as size from checkpoints")
  const { size } = rows[0]!
  expect(size).toBe(before.size + 6)
  expect(await log.readHead()).toEqual(before)
  await log.get(`/log/tile/0/001.p/${size - 256}`, 404)
  // What the next start does.
  await publishLast(stand.pool, stand.dataFolder)
  sizes.push(size)
  expect((await log.readHead()).size).toBe(size)
  await log.get(`/log/tile/0/001.p/${size - 256}`)
  await log.get(`/log/tile/entries/001.p/${before.size - 256}`)
})

const change = (sql: string) =>
  stand.pool.query(`begin; set local session_replication_role = replica; ${sql}; commit`)

test("a row that was changed in the database is never published", async () => {
  const cases = [
    [
      "/log/tile/0/000",
      "update tiles set hashes = set_byte(hashes, 4000, get_byte(hashes, 4000) # 1) where level = 0 and tile_index = 0",
    ],
    [
      "/log/tile/entries/000",
      "update entries set entry = set_byte(entry, 3, get_byte(entry, 3) # 1) where id = (select statement_of(77))",
    ],
  ] as const
  for (const [path, sql] of cases) {
    await change(sql)
    // A service that has not read the tile yet.
    const fresh = await openLogStand(stand)
    const { headers } = await fresh.get(path, 500)
    expect(headers.get("cache-control")).toBe("no-store")
    expect(fresh.faults.map(String).join()).toContain("LogFault: tile/")
    await fresh.app.close()
    await change(sql)
    await log.get(path)
  }
})
