import { mkdtemp, readdir, rename, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Pool } from "pg"
import { afterAll, beforeEach, expect, it } from "vitest"
import { openPool } from "../../ingest/database/pool.ts"
import { logVkeyOf } from "../../ingest/log-keys.ts"
import { LogMismatch, initLog, openLog } from "../../ingest/log.ts"
import { openTestDatabase } from "./postgres.ts"
import { spineTemplate } from "./stand.ts"

const closing: (() => Promise<unknown>)[] = []
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidemark-makers-"))
  closing.push(() => rm(folder, { recursive: true, force: true }))
})
afterAll(async () => {
  for (const close of closing.toReversed()) await close()
})

async function openEmpty(): Promise<Pool> {
  const database = await openTestDatabase({ template: spineTemplate })
  const pool = openPool(database.url, 4)
  closing.push(
    () => database.close(),
    () => pool.end(),
  )
  return pool
}

it("field S2: two makers with one database and one folder, without a lock: one makes the log, and it opens", async () => {
  const pool = await openEmpty()
  const makers = ["example.org/a", "example.org/b", "example.org/c"]
  const ended = await Promise.allSettled(makers.map((origin) => initLog(pool, folder, origin)))
  const made = ended.filter((one) => one.status === "fulfilled")
  expect(made).toHaveLength(1)
  const reasons = ended.flatMap((one): unknown[] => (one.status === "rejected" ? [one.reason] : []))
  expect(reasons.filter((reason) => reason instanceof LogMismatch)).toHaveLength(2)
  expect(logVkeyOf((await openLog(pool, folder))!)).toBe(logVkeyOf(made[0]!.value))
  expect(await readdir(folder)).toEqual(["keys"])
})

it("field S2: two makers with two databases and one folder: the keys of both are kept, and the message says where", async () => {
  const pools = [await openEmpty(), await openEmpty()]
  const ended = await Promise.allSettled(
    pools.map((pool, index) => initLog(pool, folder, `example.org/${index}`)),
  )
  const [made, lost] = [
    ended.findIndex(({ status }) => status === "fulfilled"),
    ended.findIndex(({ status }) => status === "rejected"),
  ]
  expect(await openLog(pools[made]!, folder)).toMatchObject({ origin: `example.org/${made}` })
  const names = (await readdir(folder)).filter((name) => name !== "keys")
  expect(names).toHaveLength(1)
  const reason = (ended[lost] as PromiseRejectedResult).reason as Error
  expect(reason).toBeInstanceOf(LogMismatch)
  expect(reason.message).toContain(join(folder, names[0]!))
  const other = await mkdtemp(join(tmpdir(), "tidemark-makers-"))
  closing.push(() => rm(other, { recursive: true, force: true }))
  await rename(join(folder, names[0]!), join(other, "keys"))
  expect(await openLog(pools[lost]!, other)).toMatchObject({ origin: `example.org/${lost}` })
})

it("keys that a crash kept from getting their name get it, whoever opens the log, and strange ones stay", async () => {
  const pool = await openEmpty()
  const keys = await initLog(pool, folder, "example.org/a")
  const elsewhere = await mkdtemp(join(tmpdir(), "tidemark-makers-"))
  closing.push(() => rm(elsewhere, { recursive: true, force: true }))
  await initLog(await openEmpty(), elsewhere, "example.org/a")
  await rename(join(folder, "keys"), join(folder, "keys.new-0123456789ab"))
  await rename(join(elsewhere, "keys"), join(folder, "keys.new-000000000000"))
  const opened = await Promise.all([openLog(pool, folder), openLog(pool, folder), openLog(pool, folder)])
  for (const one of opened) expect(logVkeyOf(one!)).toBe(logVkeyOf(keys))
  expect((await readdir(folder)).toSorted()).toEqual(["keys", "keys.new-000000000000"])
})
