import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Pool } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog, openLog } from "../../ingest/log.ts"
import {
  type GivenSecrets,
  type LogKeys,
  type SecretName,
  allSecrets,
  ingestSecrets,
  sealSecrets,
} from "../../ingest/log-keys.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { openTestDatabase } from "./postgres.ts"
import { spineTemplate, testOrigin } from "./stand.ts"

const secretOf = (name: string): Uint8Array => Uint8Array.from(sha256(encodeUtf8(`given ${name}`)))
const given = Object.fromEntries(allSecrets.map((name) => [name, secretOf(name)])) as Record<
  SecretName,
  Uint8Array
>

let database: Awaited<ReturnType<typeof openTestDatabase>>
let pool: Pool
let dataFolder: string
let elsewhere: string
let keys: LogKeys

/** A log whose keys are all given: nothing of them is on this machine's disk. */
beforeAll(async () => {
  database = await openTestDatabase({ template: spineTemplate })
  pool = openPool(database.url)
  dataFolder = await mkdtemp(join(tmpdir(), "tidemark-given-"))
  elsewhere = await mkdtemp(join(tmpdir(), "tidemark-given-"))
  keys = await initLog(pool, dataFolder, testOrigin, undefined, given)
})
afterAll(async () => {
  await pool.end()
  await database.close()
  for (const folder of [dataFolder, elsewhere]) await rm(folder, { recursive: true })
})

test("secrets that are given are the log's, and are never written", async () => {
  expect(await readdir(join(dataFolder, "keys"))).toEqual(["origin"])
  expect(keys.log.secret).toEqual(given.log)
  expect(await openLog(pool, dataFolder, allSecrets, given)).toEqual(keys)
  await expect(openLog(pool, dataFolder)).rejects.toThrow("the log's key log.key is missing")
})

test("a machine that is given all that it needs has no keys in its folder", async () => {
  const { headsSecret, operator } = given
  const opened = await openLog(pool, elsewhere, ingestSecrets, { headsSecret, operator })
  expect(opened).toEqual({
    origin: testOrigin,
    binding: keys.binding,
    operator: keys.operator,
    headsSecret,
    log: { publicKey: keys.log.publicKey },
  })
  await expect(openLog(pool, elsewhere, sealSecrets, { headsSecret, operator })).rejects.toThrow(
    `the database holds the log ${testOrigin}, whose keys are not in ${elsewhere}`,
  )
  expect(await readdir(elsewhere)).toEqual([])
})

test.each(["log", "operator", "receipt"] as const)(
  "a key %s of another log is refused, wherever it comes from",
  async (name) => {
    const wrong: GivenSecrets = { ...given, [name]: secretOf("another log") }
    for (const folder of [dataFolder, elsewhere])
      await expect(openLog(pool, folder, allSecrets, wrong)).rejects.toThrow(
        `the database holds ${testOrigin} with other keys`,
      )
  },
)

test("no two secrets of a log may be the same, and nothing is made where they are", async () => {
  const cases = [
    [{ operator: given.log }, "log.key and operator.key"],
    [{ headsSecret: given.receipt }, "receipt.key and heads.key"],
  ] as const
  for (const [same, files] of cases) {
    await expect(initLog(pool, elsewhere, testOrigin, undefined, { ...given, ...same })).rejects.toThrow(
      `the log's secrets ${files} are the same`,
    )
    expect(await readdir(elsewhere)).toEqual([])
  }
})

test("a device is never enrolled with one of the log's own keys", async () => {
  const own = [keys.log, keys.operator, keys.receipt].map(({ publicKey }) => publicKey)
  const results = await enrolDevices(
    pool,
    keys,
    own.map((key, place) => ({ device: `k${place}`, key })),
  )
  expect(results).toEqual(
    own.map((_, place) => ({
      kind: "refused",
      device: `k${place}`,
      rule: "the key is one of the log's own, and a device has another",
    })),
  )
  expect(formatHex(own[0]!.bytes)).not.toBe(formatHex(own[1]!.bytes))
})
