import { writeFile } from "node:fs/promises"
import { createServer, type AddressInfo } from "node:net"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { FleetReport } from "../../devices-sim/fleet.ts"
import { processesIn } from "../ingest/embedded-folder.ts"
import { makeFolder, parseLines, removeFolders, RunningUp, tidemark } from "./command.ts"
import { repository } from "./program.ts"

let data: string

beforeAll(async () => {
  data = await makeFolder()
})
afterAll(removeFolders)

const small = ["--devices", "3", "--statements", "4", "--readings", "5"]
const simulate = (...args: string[]) => tidemark(["simulate", "--data", data, ...args])
const headsOf = async (): Promise<Record<string, unknown>> =>
  Object.fromEntries(
    parseLines((await tidemark(["device", "list", "--json", "--data", data])).stdout).map((device) => [
      device["device"],
      (device["head"] as { seq: number }).seq,
    ]),
  )

test("a fleet without a service has one of its own, on a new log, and adds up", async () => {
  const { code, stdout, stderr } = await simulate(...small)
  expect(code).toBe(0)
  expect(stderr).toContain(`no service runs on ${data}: starting one for this run`)
  expect(stderr).toContain("made a new log, tidemark.invalid/")
  expect(stdout).toContain("3 in all")
  expect(stdout).toContain("adds up:")
  expect(processesIn(data)).toEqual([])
  expect(await headsOf()).toEqual({ "sim-1-0001": 4, "sim-1-0002": 4, "sim-1-0003": 4 })
})

test("the same seed goes on from the heads, and the JSON reconciles", async () => {
  const { code, stdout } = await simulate(...small, "--json")
  expect(code).toBe(0)
  const report = JSON.parse(stdout) as FleetReport
  expect(report).toMatchObject({ seed: 1, reconciles: true, faults: [] })
  expect(report.all).toMatchObject({
    made: 12,
    acknowledged: 12,
    stored: 12,
    unanswered: 0,
    refused: {},
    readings: 60,
  })
  expect(report.devices.map(({ headBefore, headAfter }) => [headBefore, headAfter])).toEqual([
    [4, 8],
    [4, 8],
    [4, 8],
  ])
})

test("beside a service that runs, the fleet publishes to it; recordings too", async () => {
  const up = await RunningUp.start(data)
  const fleet = await simulate(...small, "--seed", "2")
  expect(fleet.code).toBe(0)
  expect(fleet.stderr).not.toContain("starting one")
  const recordings = ["dexcom-clarity/export.csv", "empatica-e4"].map((name) =>
    join(repository, "test", "recordings", name),
  )
  const replayed = await simulate("--json", "--timezone", "UTC", "--recording", ...recordings)
  expect(replayed.code).toBe(0)
  const report = JSON.parse(replayed.stdout) as FleetReport
  expect(report.reconciles).toBe(true)
  expect(report.devices).toHaveLength(2)
  expect(report.all.readings).toBeGreaterThan(100)
  expect(replayed.stderr).toContain("export.csv: 1 rows of the event type Carbs are left out\n")
  expect(replayed.stderr).toContain("export.csv: local times are read in UTC\n")

  const metrics = await (await fetch(`${up.http}/metrics`)).text()
  expect(metrics).toMatch(new RegExp(`^tidemark_statements_received_total ${12 + report.all.stored}$`, "m"))
  expect(metrics).toMatch(
    new RegExp(`^tidemark_verdicts_total\\{.*"accepted"\\} ${12 + report.all.stored}$`, "m"),
  )
  expect((await up.end("SIGTERM")).code).toBe(0)
})

test("the up.json of a killed service misleads no fleet", async () => {
  const up = await RunningUp.start(data)
  await up.end("SIGKILL")
  const { code, stderr } = await simulate(...small, "--seed", "3")
  expect(code).toBe(0)
  expect(stderr).toContain("starting one for this run")
  expect(processesIn(data)).toEqual([])
})

test("a recording that is missing, or is none, is named before anything starts", async () => {
  for (const path of ["nowhere.csv", "package.json"]) {
    const { code, stdout, stderr } = await simulate("--recording", join(repository, path))
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toContain(path)
    expect(stderr).not.toContain("starting one")
  }
})

test("field R8: with one bad recording nothing is replayed, and all faults come at once", async () => {
  const place = join(repository, "test", "recordings")
  const paths = [join(place, "garmin"), join(place, "ppg"), join(repository, "package.json")]
  const { code, stdout, stderr } = await simulate("--recording", ...paths)
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
  expect(stderr).toContain("3 of 6 recordings cannot be replayed, so none is:\n")
  expect(stderr).toMatch(
    /ppg.column\.csv: is one column without times: give its samples a second with --rate/,
  )
  expect(stderr).toMatch(/ppg.datetime\.csv: times are local, .* with --timezone/)
  expect(stderr).toMatch(/package\.json: is not a recording in a known format/)
  expect(stderr).not.toContain("starting one")
})

test("field R8: a scenario names the faults of all its recordings before anything starts", async () => {
  const place = join(repository, "test", "recordings")
  const file = join(data, "replay.yaml")
  const group = (name: string, path: string): string =>
    `  - name: ${name}\n    devices: 1\n    timezone: UTC\n    recordings: [${JSON.stringify(join(place, path))}]\n`
  const groups = `${group("one", "ppg/column.csv")}${group("two", "garmin")}${group("three", "nowhere.csv")}`
  await writeFile(file, `name: replay\nabout: replays\ngroups:\n${groups}`)
  const { code, stdout, stderr } = await tidemark(["simulate", "run", file, "--virtual"])
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toMatch(/in the group one, .*column\.csv: is one column without times/)
  expect(stderr).toMatch(/in the group three, .*nowhere\.csv: there is no such file or folder/)
  expect(stderr).not.toContain("in the group two")
  expect(stderr).toContain("are members of the group")
})

test.each([
  ["--dates", "dym"],
  ["--timezone", "Mars/Olympus"],
  ["--rate", "0"],
  ["--metric", "Heart Rate"],
  ["--start", "1970-01-02"],
  ["--devices", "0"],
  ["--statements", "many"],
  ["--seed", "1.5"],
  ["--interval", "-1"],
  ["--fast"],
])("simulate %s %s is a usage fault", async (...args) => {
  const { code, stdout, stderr } = await simulate(...args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(args[0])
})

test("a port where nobody listens is said, and not waited for without end", async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const { code, stderr } = await simulate(...small, "--mqtt", String(port))
  expect(code).toBe(1)
  expect(stderr).toContain(`no broker was reached on 127.0.0.1:${port}: nobody listens there`)
})
