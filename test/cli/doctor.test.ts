import { chmod } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { openPool } from "../../ingest/database/pool.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { makeFolder, removeFolders, run, tidemark } from "./command.ts"

afterAll(removeFolders)

interface Found {
  readonly part: string
  readonly name: string
  readonly value: string
  readonly grade: string
}

const findings = (stdout: string): Found[] => (JSON.parse(stdout) as { findings: Found[] }).findings

test("doctor looks at a server before there is a log, and then at the log too; a promise in danger is exit 1", async () => {
  const database = await openTestDatabase()
  const env = { DATABASE_URL: database.url }
  const data = await makeFolder()
  const before = findings(await run(["doctor", "--json", "--data", data], { env }))
  expect(before).toContainEqual(expect.objectContaining({ name: "fsync", value: "on", grade: "fine" }))
  expect(before.some(({ part }) => part === "log")).toBe(false)

  await run(["log", "init", "--origin", "example.org/doctor", "--data", data], { env })
  const pool = openPool(database.url)
  await pool.query("alter table entries disable trigger only_added")
  await pool.end()
  await chmod(join(data, "keys", "operator.key"), 0o644)
  const { code, stdout } = await tidemark(["doctor", "--data", data], { env })
  expect(code).toBe(1)
  expect(stdout).toMatch(/^The log\n {2}ok {6}log +example\.org\/doctor/m)
  expect(stdout).toMatch(/^ {2}DANGER {2}guards +off on entries$/m)
  expect(stdout).toMatch(/^ {2}DANGER {2}key files +operator\.key 644$/m)
  expect(stdout.trimEnd().split("\n").at(-1)).toMatch(/^2 dangers to a promise, \d+ could be better$/)
  // It says what it sees and never a secret.
  expect(stdout).not.toMatch(/[0-9a-f]{64}/)
  expect(stdout).not.toContain(new URL(database.url).password || "no password")
  await database.close()
})
