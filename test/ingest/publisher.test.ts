import { cp, mkdtemp, readFile, rename, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { LogSealedElsewhere, claimPublication } from "../../ingest/publication.ts"
import { readPublishedText } from "./log-audit.ts"
import { type Stand, openStand } from "./stand.ts"

let stand: Stand
const folders: string[] = []
beforeAll(async () => (stand = await openStand()))
afterAll(async () => {
  await stand.close()
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-publisher-"))
  folders.push(folder)
  return folder
}

test("the first folder that seals is the one that the log is sealed from, until a person says another", async () => {
  const [one, two] = [await makeFolder(), await makeFolder()]
  const sealFrom = async (dataFolder: string) => (await stand.seal({ dataFolder, isEmptyAllowed: true })).kind
  expect(await sealFrom(one)).toBe("sealed")
  await expect(sealFrom(two)).rejects.toThrow(LogSealedElsewhere)
  // Refused before anything was made: nothing is published there, and the other goes on.
  expect(await readPublishedText(two)).toBe(null)
  expect(await sealFrom(one)).toBe("sealed")

  await claimPublication(stand.pool, two, true)
  expect(await sealFrom(two)).toBe("sealed")
  await expect(sealFrom(one)).rejects.toThrow(`from another data folder than ${one}`)
  const { rows } = await stand.pool.query("select count(*) as count from blocks")
  expect(rows).toEqual([{ count: 3 }])
})

test("a folder keeps its name wherever it is moved or copied, and of many processes on a new one all have the same", async () => {
  const folder = await makeFolder()
  await claimPublication(stand.pool, folder, true)
  const moved = `${folder}-moved`
  folders.push(moved)
  await rename(folder, moved)
  await cp(moved, folder, { recursive: true })
  for (const one of [moved, folder]) await claimPublication(stand.pool, one)

  const fresh = await makeFolder()
  await stand.pool.query("delete from publisher")
  await Promise.all(Array.from({ length: 8 }, () => claimPublication(stand.pool, fresh)))
  const name = (await readFile(join(fresh, "publisher"), "utf8")).trim()
  const { rows } = await stand.pool.query("select folder from publisher")
  expect(rows).toEqual([{ folder: name }])
})

test("of two folders that seal first at once, one is refused", async () => {
  const both = [await makeFolder(), await makeFolder()]
  await stand.pool.query("delete from publisher")
  const claims = await Promise.allSettled(both.map((folder) => claimPublication(stand.pool, folder)))
  expect(claims.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"])
})
