import { generateKeyPairSync } from "node:crypto"
import { existsSync } from "node:fs"
import { cp, mkdir, rename, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { copyFolder, processesIn } from "../ingest/embedded-folder.ts"
import { makeFolder, removeFolders, run, tidemark } from "./command.ts"

/** A log with one block, stopped. Each test breaks a copy. */
let whole: string

beforeAll(async () => {
  whole = await makeFolder()
  await run(["log", "init", "--origin", "example.org/whole", "--data", whole])
  await run(["seal", "--data", whole])
})
afterAll(removeFolders)

async function copyWhole(): Promise<string> {
  const data = await makeFolder()
  await mkdir(data)
  await copyFolder(whole, data)
  return data
}

/** `up` refuses this folder and leaves no process: what it says. */
async function refusalOf(data: string): Promise<string> {
  const { code, stdout, stderr } = await tidemark(["up", "--data", data, "--mqtt", "0", "--http", "0"])
  const left = processesIn(dirname(data))
  if (code !== 1 || stdout !== "" || left.length > 0)
    throw new Error(`up ended with ${code}, left ${left.length} processes, and said: ${stdout}${stderr}`)
  return stderr
}

test("a database that is behind the published checkpoint is refused: no size is signed twice", async () => {
  const [older, newer] = [await copyWhole(), await copyWhole()]
  await run(["device", "enroll", "k7", "--key", await writeKey(newer), "--data", newer])
  await run(["seal", "--data", newer])
  // An old backup is restored under a log that has moved on.
  await cp(join(newer, "log", "checkpoint"), join(older, "log", "checkpoint"))
  expect(await refusalOf(older)).toContain(
    "the database is behind the published log: it holds 2 leaves, and 4 were published",
  )
  const sealed = await tidemark(["seal", "--data", older])
  expect(sealed).toMatchObject({ code: 1, stdout: "" })
  expect(sealed.stderr).toContain("the database is behind the published log")
})

async function writeKey(data: string): Promise<string> {
  const path = join(dirname(data), "k7.jwk")
  await writeFile(path, JSON.stringify(generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" })))
  return path
}

test("a checkpoint that this log did not sign is refused", async () => {
  const data = await copyWhole()
  await writeFile(join(data, "log", "checkpoint"), "example.org/whole\n2\nAAAA\n")
  expect(await refusalOf(data)).toContain("is not a checkpoint signed by this log")
})

test("a database whose keys are missing is refused, and no new log is made over it", async () => {
  const data = await copyWhole()
  await rename(join(data, "keys"), join(dirname(data), "keys-elsewhere"))
  expect(await refusalOf(data)).toContain(
    "the database holds the log example.org/whole, whose keys are not in",
  )
  await rename(join(dirname(data), "keys-elsewhere"), join(data, "keys"))
  expect((await tidemark(["blocks", "--data", data])).code).toBe(0)
})

test("a key that is damaged or missing is named, and its content is not shown", async () => {
  const data = await copyWhole()
  await writeFile(join(data, "keys", "operator.key"), "abad1dea\n")
  expect(await refusalOf(data)).toContain("operator.key is missing or damaged")
  const { code, stderr } = await tidemark(["blocks", "--data", data])
  expect(code).toBe(1)
  expect(stderr).not.toContain("abad1dea")
})

test("the keys of another log are refused", async () => {
  const [data, other] = [await copyWhole(), await makeFolder()]
  await tidemark(["log", "init", "--origin", "example.org/whole", "--data", other])
  await rm(join(data, "keys"), { recursive: true })
  await cp(join(other, "keys"), join(data, "keys"), { recursive: true })
  expect(await refusalOf(data)).toMatch(
    /the keys in .* are of the log example\.org\/whole, .* with other keys/,
  )
})

test("keys without their database are refused, and no empty one is made in its place", async () => {
  const data = await copyWhole()
  await rm(join(data, "postgres"), { recursive: true })
  expect(await refusalOf(data)).toContain("is gone")
  await rm(join(data, "postgres.json"))
  expect(await refusalOf(data)).toContain("the database of the log in")
  expect(existsSync(join(data, "postgres"))).toBe(false)
  const { code, stderr } = await tidemark(["blocks", "--data", data])
  expect(code).toBe(1)
  expect(stderr).toContain("the database of the log in")
})

test("a record of the database that cannot be read is named", async () => {
  const data = await copyWhole()
  await writeFile(join(data, "postgres.json"), "{}")
  expect(await refusalOf(data)).toContain("postgres.json does not say where the database is")
})

test("a database folder without its control file is named as damaged", async () => {
  const data = await copyWhole()
  await rm(join(data, "postgres", "cluster", "global", "pg_control"))
  expect(await refusalOf(data)).toContain(join(data, "postgres"))
})

test("a data folder that is a file is named", async () => {
  const data = await makeFolder()
  await writeFile(data, "")
  expect(await refusalOf(data)).toContain(data)
})
