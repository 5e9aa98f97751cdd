import { cp, mkdtemp, rm, writeFile } from "node:fs/promises"
import { randomBytes } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { migrate } from "../../ingest/database/migration.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog } from "../../ingest/log.ts"
import type { LogKeys } from "../../ingest/log-keys.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { seal } from "../../ingest/seal.ts"
import { readPublishedText } from "./log-audit.ts"
import { type TestDatabase, openTestDatabase } from "./postgres.ts"
import { startServiceOn } from "./service-stand.ts"
import { TestDevice, testOrigin } from "./stand.ts"

/** A log of one block, its backup, and what both have in common: keys and data folder. */
let backup: { readonly name: string; readonly prepare: (url: string) => Promise<void> }
let dataFolder: string
let keys: LogKeys

beforeAll(async () => {
  dataFolder = await mkdtemp(join(tmpdir(), "tidemark-rolled-back-"))
  backup = {
    name: `backup_${randomBytes(4).toString("hex")}`,
    prepare: async (url) => {
      const pool = openPool(url)
      await migrate(pool)
      keys = await initLog(pool, dataFolder, testOrigin)
      await seal({ pool, keys, dataFolder })
      await pool.end()
    },
  }
  const database = await openTestDatabase({ template: backup })
  await database.close()
})
afterAll(() => rm(dataFolder, { recursive: true, force: true }))

/** Enrols so many devices, each with a block of its own, published in this folder. */
async function grow(database: TestDatabase, folder: string, prefix: string, blocks: number): Promise<void> {
  const pool = openPool(database.url)
  for (let number = 0; number < blocks; number++) {
    const { id, key } = new TestDevice(`${prefix}${number}`)
    await enrolDevices(pool, keys, [{ device: id, key: key.publicKey }])
    await seal({ pool, keys, dataFolder: folder })
  }
  await pool.end()
}

/** The folder as it is, for a test that publishes more. */
async function copyFolder(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "tidemark-rolled-back-"))
  await cp(dataFolder, copy, { recursive: true })
  return copy
}

test("a database that is behind the published checkpoint stops the start and every seal, and says so", async () => {
  const [grown, restored] = [
    await openTestDatabase({ template: backup }),
    await openTestDatabase({ template: backup }),
  ]
  const folder = await copyFolder()
  await grow(grown, folder, "d", 2)
  await expect(startServiceOn(restored.url, folder)).rejects.toThrow(
    /^the database is behind the published log: it holds 2 leaves, and 6 were published. Was an old backup restored\?/,
  )
  const published = await readPublishedText(folder)
  const pool = openPool(restored.url)
  await expect(seal({ pool, keys, dataFolder: folder, isEmptyAllowed: true })).rejects.toThrow(
    /behind the published log/,
  )
  const { rows } = await pool.query("select count(*) as count from blocks")
  expect(rows).toEqual([{ count: 1 }])
  expect(await readPublishedText(folder)).toBe(published)
  await pool.end()
  await Promise.all([grown.close(), restored.close(), rm(folder, { recursive: true })])
})

test.for([
  ["as far", 1],
  ["farther", 3],
] as const)(
  "a database that grew %s on another way than the published log stops the start",
  async ([, blocks]) => {
    const [grown, other] = [
      await openTestDatabase({ template: backup }),
      await openTestDatabase({ template: backup }),
    ]
    const [folder, otherFolder] = [await copyFolder(), await copyFolder()]
    await grow(grown, folder, "one", 1)
    await grow(other, otherFolder, "two", blocks)
    await expect(startServiceOn(other.url, folder)).rejects.toThrow(
      /another history than the published log: at 4 leaves their roots differ/,
    )
    await Promise.all([grown.close(), other.close()])
    await Promise.all([folder, otherFolder].map((path) => rm(path, { recursive: true })))
  },
)

test("a published checkpoint that nobody of this log signed stops the start", async () => {
  const database = await openTestDatabase({ template: backup })
  const folder = await copyFolder()
  const path = join(folder, "log", "checkpoint")
  const text = (await readPublishedText(folder))!
  for (const changed of ["", "nonsense", text.replace("\n2\n", "\n3\n"), text.slice(0, -10)]) {
    await writeFile(path, changed)
    await expect(startServiceOn(database.url, folder)).rejects.toThrow(
      /is not a checkpoint signed by this log/,
    )
  }
  await database.close()
  await rm(folder, { recursive: true })
})

test("a block that a crash left unpublished is published by the next start, byte for byte", async () => {
  const database = await openTestDatabase({ template: backup })
  const folder = await copyFolder()
  const before = (await readPublishedText(folder))!
  await grow(database, folder, "d", 1)
  const published = (await readPublishedText(folder))!
  expect(published).not.toBe(before)
  // What a crash between commit and publish leaves, with a half-written file beside it.
  await writeFile(join(folder, "log", "checkpoint"), before)
  await writeFile(join(folder, "log", "checkpoint.new"), published.slice(0, 20))
  const service = await startServiceOn(database.url, folder)
  expect(await readPublishedText(folder)).toBe(published)
  await service.close()
  await rm(join(folder, "log"), { recursive: true })
  await (await startServiceOn(database.url, folder)).close()
  expect(await readPublishedText(folder)).toBe(published)
  await database.close()
  await rm(folder, { recursive: true })
})
