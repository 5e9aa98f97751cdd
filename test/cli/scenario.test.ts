import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { Ajv } from "ajv"
import { parse } from "yaml"
import { programName } from "../../cli/command-line.ts"
import { runVirtually } from "../../cli/simulate-virtual.ts"
import { readScenario } from "../../cli/simulate-scenario.ts"
import type { RunReport } from "../../devices-sim/run-report.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { RunningUp, makeFolder, removeFolders, tidemark } from "./command.ts"
import { programArgs, programEnvironment } from "./program.ts"

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
  const junit = join(folder, "not-run.xml")
  const args = ["--mqtt", "1", "--seed", "4", "--report", "junit", junit]
  const { code, stderr } = await tidemark(["simulate", "run", "smoke", ...args])
  expect(code).toBe(3)
  expect(await readFile(junit, "utf8")).toContain("no broker was reached on 127.0.0.1:1")
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

test.each([
  [
    "power-loss",
    { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none" },
    [],
    /power-loss stops the database at 14 s, and DATABASE_URL names a database/,
  ],
  [
    "power-loss",
    {},
    ["--mqtt", "1"],
    /power-loss kills the service at 6\.0 s, and the service that was named was not started/,
  ],
] as const)(
  "field A3: %s with %j and %j ends with 3 before anything starts, and names what it needs",
  async (name, env, args, words) => {
    const { code, stdout, stderr } = await tidemark(["simulate", "run", name, ...args], { env })
    expect([code, stdout, stderr]).toEqual([3, "", expect.stringMatching(words)])
    expect(stderr).toMatch(/leave (DATABASE_URL|--url, --host and --mqtt) out/)
    expect(stderr).not.toContain("starting a service")
  },
)

/** A run that goes on until something ends it, once it has stored something. */
async function runWhile(up: RunningUp, args: readonly string[]) {
  const before = await storedBy(up)
  const child = spawn(
    process.execPath,
    [...programArgs, "simulate", "run", ...args, "--data", up.dataFolder],
    {
      env: programEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
    },
  )
  onTestFinished(() => void child.kill("SIGKILL"))
  let said = ""
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text))
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, said }))
  while ((await storedBy(up)) < before + 10) await new Promise((resolve) => setTimeout(resolve, 50))
  return { child, ended }
}

async function storedBy(up: RunningUp): Promise<number> {
  const text = await (await fetch(`${up.http}/metrics`)).text()
  return Number(/^tidemark_readings_stored_total (\d+)/m.exec(text)?.[1])
}

test("field A5 and A1: Ctrl-C ends with 130, and a service that is gone with 1, and each has its report", async () => {
  const path = join(folder, "endless.yaml")
  await writeFile(
    path,
    "name: endless\nabout: x\ngroups: [{ devices: 2, statements: 1000000, readings: 1 }]\n",
  )
  const up = await RunningUp.start(join(folder, "endless"))
  const [json, junit] = [join(folder, "ended.json"), join(folder, "ended.xml")]
  const args = [path, "--stall", "1", "--report", "json", json, "junit", junit]
  const read = async () => JSON.parse(await readFile(json, "utf8")) as RunReport

  const stopped = await runWhile(up, args)
  stopped.child.kill("SIGINT")
  const { code, said } = await stopped.ended
  expect([code, said]).toEqual([
    130,
    expect.stringContaining("endless with seed 1 was stopped before its end"),
  ])
  const first = await read()
  expect(first).toMatchObject({ verdict: "stopped", ending: { kind: "stopped" } })
  expect(first.counts.acknowledged).toBeGreaterThan(0)
  expect(await readFile(junit, "utf8")).toContain('message="its user stopped it before its end"')

  const left = await runWhile(up, [...args, "--seed", "2"])
  await up.end("SIGKILL")
  const stalled = await left.ended
  expect([stalled.code, stalled.said]).toEqual([
    1,
    expect.stringContaining("STALLED: no statement was answered for 1 s"),
  ])
  const second = await read()
  expect(second).toMatchObject({ verdict: "stalled", counts: { stored: null } })
  expect(second.counts.made).toBeGreaterThan(0)
  expect(await readFile(junit, "utf8")).toContain('message="no statement was answered for 1 s')
})
