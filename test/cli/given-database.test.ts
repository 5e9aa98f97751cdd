import { existsSync } from "node:fs"
import { cp, mkdir, readdir } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, expect, onTestFinished, test } from "vitest"
import { openTestDatabase } from "../ingest/postgres.ts"
import { makeFolder, parseLines, removeFolders, RunningUp, tidemark } from "./command.ts"

afterAll(removeFolders)

async function giveDatabase(): Promise<{ env: { DATABASE_URL: string } }> {
  const database = await openTestDatabase()
  onTestFinished(() => database.close())
  return { env: { DATABASE_URL: database.url } }
}

test("DATABASE_URL replaces the database and nothing else: keys, ports and checkpoint are in the data folder", async () => {
  const given = await giveDatabase()
  const data = await makeFolder()
  const at = ["--data", data]
  const made = await tidemark(["log", "init", "--origin", "example.org/given", ...at], given)
  expect(made.code).toBe(0)
  const up = await RunningUp.start(data, [], given)
  const fleet = ["--devices", "2", "--statements", "3", "--readings", "4", "--json"]
  const simulated = await tidemark(["simulate", ...fleet, ...at], given)
  expect(simulated.code).toBe(0)
  expect(JSON.parse(simulated.stdout)).toMatchObject({ reconciles: true, all: { stored: 6 } })
  expect((await up.end("SIGTERM")).code).toBe(0)
  expect((await tidemark(["seal", ...at], given)).code).toBe(0)
  expect((await tidemark(["verify", ...at], given)).code).toBe(0)
  expect((await readdir(data)).toSorted()).toEqual(["access-macs", "audited", "keys", "log", "publisher"])

  // The folder alone is a log whose database is elsewhere: that is said, and none is made.
  const without = await tidemark(["blocks", ...at])
  expect(without).toMatchObject({ code: 1, stdout: "" })
  expect(without.stderr).toContain("DATABASE_URL")
  expect(existsSync(join(data, "postgres"))).toBe(false)

  // And TIDEMARK_DATA stands for --data.
  const named = await tidemark(["blocks", "--json"], { env: { ...given.env, TIDEMARK_DATA: data } })
  expect(parseLines(named.stdout)).toMatchObject([{ height: 0, statements: 6 }])
})

test("a database and keys that do not belong together are refused, whichever of them is wrong", async () => {
  const [given, other] = [await giveDatabase(), await giveDatabase()]
  const [data, empty] = [await makeFolder(), await makeFolder()]
  expect((await tidemark(["log", "init", "--origin", "example.org/one", "--data", data], given)).code).toBe(0)
  const up = ["up", "--mqtt", "0", "--http", "0", "--data"]

  const emptyDatabase = await tidemark([...up, data], other)
  expect(emptyDatabase.code).toBe(1)
  expect(emptyDatabase.stderr).toContain(
    "holds the keys of the log example.org/one, and the database is empty",
  )

  const keyless = await tidemark([...up, empty], given)
  expect(keyless.code).toBe(1)
  expect(keyless.stderr).toContain("the database holds the log example.org/one, whose keys are not in")
  const second = await tidemark(["log", "init", "--origin", "example.org/two", "--data", empty], given)
  expect(second.code).toBe(1)
  expect(second.stderr).toContain("example.org/one")
  expect(existsSync(join(empty, "keys"))).toBe(false)

  const two = await makeFolder()
  expect((await tidemark(["log", "init", "--origin", "example.org/two", "--data", two], other)).code).toBe(0)
  const swapped = await makeFolder()
  await mkdir(swapped)
  await cp(join(two, "keys"), join(swapped, "keys"), { recursive: true })
  const wrong = await tidemark(["verify", "--data", swapped], given)
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toContain(
    "of the log example.org/two, and the database holds example.org/one with other keys",
  )
})

test.each([
  ["a port where nobody listens", "postgres://tidemark:hunter2@127.0.0.1:1/tidemark"],
  ["no URL", "hunter2"],
  ["another scheme", "mysql://tidemark:hunter2@127.0.0.1/tidemark"],
])("a DATABASE_URL that is %s is named, without its password", async (_, url) => {
  const data = await makeFolder()
  for (const command of [["up", "--mqtt", "0", "--http", "0"], ["blocks"]]) {
    const { code, stdout, stderr } = await tidemark([...command, "--data", data], {
      env: { DATABASE_URL: url },
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toContain("DATABASE_URL")
    expect(stderr).not.toContain("hunter2")
  }
})
