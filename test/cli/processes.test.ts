/** `tidemark ingest` and `tidemark seal --schedule` as processes of their own, on one given database. */
import { cp, mkdir, readdir } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type TestDatabase, openTestDatabase } from "../ingest/postgres.ts"
import { RunningUp, makeFolder, removeFolders, run, tidemark } from "./command.ts"

let database: TestDatabase
let env: { readonly DATABASE_URL: string }
/** Where the log was made, and where it is sealed. */
let home: string

beforeAll(async () => {
  database = await openTestDatabase()
  env = { DATABASE_URL: database.url }
  home = await makeFolder()
  await run(["log", "init", "--origin", "example.org/apart", "--data", home], { env })
})
afterAll(async () => {
  await removeFolders()
  await database.close()
})

/** A folder of another machine, with these of the log's keys. */
async function makeHome(...files: readonly string[]): Promise<string> {
  const folder = await makeFolder()
  await mkdir(join(folder, "keys"), { recursive: true })
  for (const file of files) await cp(join(home, "keys", file), join(folder, "keys", file))
  return folder
}

async function counted(up: RunningUp): Promise<string> {
  return (await fetch(`${up.http}/metrics`)).text()
}

const ingestKeys = ["origin", "operator.key", "heads.key"]
const sealKeys = [...ingestKeys, "log.key", "receipt.key"]

test("processes that take and one that seals are found on their folders by their kind, and together they are a whole service", async () => {
  const [away, reader] = [await makeHome(...ingestKeys), await makeHome("origin", "heads.key")]
  const [here, there, sealer, research] = await Promise.all([
    RunningUp.startCommand(home, ["ingest", "--mqtt", "0"], { env }),
    RunningUp.startCommand(away, ["ingest", "--mqtt", "0"], { env }),
    RunningUp.startCommand(home, ["seal", "--schedule", "* * * * * *"], { env }),
    RunningUp.startCommand(reader, ["research", "--http", "0"], { env }),
  ])
  const files = (await readdir(home)).filter((name) => name.endsWith(".json")).toSorted()
  expect(files).toEqual([`ingest-${here.pid}.json`, `seal-${sealer.pid}.json`].toSorted())

  // A fleet by each, found by its file or named.
  const fleet = [
    "simulate",
    "--devices",
    "2",
    "--statements",
    "5",
    "--readings",
    "2",
    "--json",
    "--data",
    home,
  ]
  const found = await run([...fleet, "--seed", "1"], { env })
  expect(JSON.parse(found)).toMatchObject({ reconciles: true, all: { stored: 10 } })
  const named = await run([...fleet, "--seed", "2", "--mqtt", String(there.mqtt)], { env })
  expect(JSON.parse(named)).toMatchObject({ reconciles: true, all: { stored: 10 } })
  for (const up of [here, there])
    expect(await counted(up)).toContain("tidemark_statements_received_total 10\n")
  expect(await counted(sealer)).not.toContain("tidemark_statements_received_total")
  const ready = (await (await fetch(`${sealer.http}/readyz`)).json()) as { parts: { part: string }[] }
  expect(ready.parts.map(({ part }) => part)).toEqual(["seal"])

  const listed = (await (await fetch(`${research.http}/v1/devices`)).json()) as { items: unknown[] }
  expect(listed.items).toHaveLength(4)

  for (const up of [here, there, sealer, research]) expect((await up.end("SIGTERM")).code).toBe(0)
  expect((await readdir(home)).toSorted()).toEqual(["access-macs", "keys", "log", "publisher"])
  await run(["seal", "--data", home], { env })
  expect(await run(["verify", "--data", home], { env })).toContain("20 statements")
})

test("each process names the keys that it lacks, and does not ask for those that it does not need", async () => {
  const without = await makeHome("origin", "heads.key")
  const ingest = await tidemark(["ingest", "--mqtt", "0", "--data", without], { env })
  expect(ingest.code).toBe(1)
  expect(ingest.stderr).toContain(`operator.key is missing in ${join(without, "keys")}`)
  expect(ingest.stderr).toContain(
    "tidemark ingest needs of the log's keys origin, operator.key and heads.key",
  )
  const seal = await tidemark(["seal", "--data", without], { env })
  expect(seal.code).toBe(1)
  expect(seal.stderr).toContain("log.key, operator.key and receipt.key are missing")
  expect(seal.stderr).toContain(
    "tidemark seal needs of the log's keys origin, log.key, operator.key, receipt.key and heads.key",
  )
  const none = await tidemark(["ingest", "--mqtt", "0", "--data", await makeFolder()], { env })
  expect(none.stderr).toContain("the database holds the log example.org/apart, whose keys are not in")
})

test("a log is sealed from one folder, and from another one when a person says so", async () => {
  const other = await makeHome(...sealKeys)
  await run(["seal", "--data", home], { env })
  const refused = await tidemark(["seal", "--data", other], { env })
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/^tidemark: this log is sealed and published from another data folder than /)
  expect(refused.stderr).toContain("seal --take-over")
  await run(["seal", "--take-over", "--data", other], { env })
  const up = ["up", "--mqtt", "0", "--http", "0", "--data", home]
  expect((await tidemark(up, { env })).stderr).toContain("from another data folder")
})

test.each([
  [["seal", "--http", "0"], "it needs --schedule"],
  [["seal", "--schedule", "0 * * * *", "--json"], "--json is for one seal"],
])("tidemark %j is refused with what is wrong", async (args, said) => {
  const { code, stderr } = await tidemark([...args, "--data", home], { env })
  expect(code).toBe(2)
  expect(stderr).toContain(said)
})
