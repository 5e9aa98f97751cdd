import { readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Ajv } from "ajv"
import { parse } from "yaml"
import { programName } from "../../cli/command-line.ts"
import { runVirtually } from "../../cli/simulate-virtual.ts"
import { readScenario } from "../../cli/simulate-scenario.ts"
import type { RunReport } from "../../devices-sim/run-report.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { makeFolder, removeFolders, tidemark } from "./command.ts"

let folder: string

beforeAll(async () => {
  folder = dirname(await makeFolder())
})
afterAll(removeFolders)

test("list names the scenarios, show prints a file that the published schema takes", async () => {
  const [list, show, schema] = await Promise.all([
    tidemark(["simulate", "list", "--json"]),
    tidemark(["simulate", "show", "smoke"]),
    tidemark(["simulate", "schema"]),
  ])
  expect((JSON.parse(list.stdout) as { name: string }[]).map(({ name }) => name)).toEqual([
    "smoke",
    "steady",
    "reconnect-storm",
    "offline-backlog",
    "lossy-network",
    "clock-chaos",
    "clone",
    "key-rotation",
    "power-loss",
    "bad-neighbours",
    "ecg-ward",
    "tamper",
  ])
  expect(show.code).toBe(0)
  const validate = new Ajv({ allowUnionTypes: true }).compile(JSON.parse(schema.stdout) as object)
  expect(validate(parse(show.stdout))).toBe(true)
  expect(validate({ name: "x" })).toBe(false)
})

test("a file with faults is usage: each is said with its line and column, and nothing is started", async () => {
  const path = join(folder, "wrong.yaml")
  await writeFile(path, "name: wrong\nabout: x\ngroups:\n  - device: 3\n    statements: 2\n")
  const { code, stdout, stderr } = await tidemark(["simulate", "run", path])
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(`${path}:4:5: groups[0].device: is not known here: did you mean devices?`)
  expect(stderr).toContain(`${path}:4:5: groups[0]: devices is missing`)
})

test("a scenario that could not run ends with 3, and says how to try again", async () => {
  const { code, stderr } = await tidemark(["simulate", "run", "smoke", "--mqtt", "1", "--seed", "4"])
  expect(code).toBe(3)
  expect(stderr).toContain("the scenario could not run: no broker was reached on 127.0.0.1:1")
})

test("a run has a service of its own, writes its reports, and fails where a threshold is missed", async () => {
  const path = join(folder, "mine.yaml")
  await writeFile(
    path,
    "name: mine\nabout: x\ngroups: [{ devices: 2, statements: 3, readings: 3 }]\nthresholds: { acknowledged: count == 7 }\n",
  )
  const reports = ["json", "junit", "html"].map((kind) => [kind, join(folder, `out.${kind}`)])
  const { code, stdout, stderr } = await tidemark(["simulate", "run", path, "--report", ...reports.flat()])
  expect(code).toBe(1)
  expect(stderr).toContain("starting a service of its own in a throw-away folder")
  expect(stdout).toContain("✗ acknowledged: count == 7  (6)")
  expect(stdout).toContain(`mine with seed 1 FAILED\nrepeat: ${programName()} simulate run ${path} --seed 1`)
  const [json, junit, html] = await Promise.all(reports.map(([, file]) => readFile(file!, "utf8")))
  expect((JSON.parse(json!) as RunReport).counts).toMatchObject({ demanded: 6, stored: 6, sealed: 6 })
  expect(junit).toContain('<testcase name="acknowledged: count == 7"')
  expect(html).toContain("<h1>mine</h1>")
})

test("two virtual runs of one seed give the same entries and the same block", async () => {
  const path = join(folder, "virtual.yaml")
  await writeFile(
    path,
    `name: virtual
about: A day in a second
groups:
  - { name: wrist, devices: 2, every: 6h, stages: [{ ramp: 2, over: 6h }, { offline: 7h }, { hold: 11h }] }
  - { name: bad, devices: 2, statements: 8, readings: 2, faults: [{ fault: gap }, { fault: fork }, { fault: lost-memory }] }
events: [{ at: 12h, seal: now }]
`,
  )
  const run = async () => {
    const database = await openTestDatabase({})
    const before = process.env["DATABASE_URL"]
    process.env["DATABASE_URL"] = database.url
    try {
      const { scenario } = readScenario(path)
      const base = {
        scenario,
        recordings: new Map(),
        cost: () => ({ cpuSeconds: 0, memoryBytes: 0 }),
      }
      const outcome = await runVirtually(base, { data: null })
      expect(outcome.truths.flatMap(({ against }) => against)).toEqual([])
      return { fingerprint: outcome.fingerprint, block: outcome.block }
    } finally {
      if (before === undefined) delete process.env["DATABASE_URL"]
      else process.env["DATABASE_URL"] = before
      await database.close()
    }
  }
  const first = await run()
  expect(first.block).toMatchObject({ height: 1 })
  expect(await run()).toEqual(first)
})
