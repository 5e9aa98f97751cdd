import { chmod, readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { parse } from "csv-parse/sync"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeCoseKey } from "../../chain/key.ts"
import { decodeReceipt } from "../../chain/receipt.ts"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { RawClient } from "../broker/raw-client.ts"
import { TestDevice } from "../ingest/stand.ts"
import { holdDatabase, makeFolder, parseLines, removeFolders, run, RunningUp, tidemark } from "./command.ts"

/** 2026-01-31T12:00:00Z. */
const noon = 1_769_860_800
const note = 'slept badly, woke at "3"'
let data: string

/** A device says a number, a text and a boolean, to a service that is stopped afterwards. */
beforeAll(async () => {
  data = await makeFolder()
  await run(["log", "init", "--origin", "example.org/readings", "--data", data])
  await holdDatabase(data)
  const device = new TestDevice("k7")
  const key = join(dirname(data), "k7.cose")
  await writeFile(key, encodeCoseKey(device.key.publicKey))
  await run(["device", "enroll", "k7", "--key", key, "--data", data])
  const up = await RunningUp.start(data)
  const client = await RawClient.connect(up.mqtt, "k7")
  const said: Series[] = [
    { kind: "number", name: "heart-rate", unit: "beat/min", times: [noon, noon + 60.25], values: [61.5, 72] },
    { kind: "text", name: "diary", unit: null, times: [noon + 120], values: [note] },
    { kind: "boolean", name: "worn", unit: null, times: [noon + 180], values: [true] },
  ]
  await client.subscribe()
  device.goOnFrom(decodeReceipt(await client.expectReceipt()))
  for (const one of said) client.publish(device.next({ payload: encodePack([one]) }).bytes)
  for (const _ of said) {
    await client.expectReceipt()
    await client.expect("puback")
  }
  await client.destroy()
  await up.end("SIGTERM")
})
afterAll(removeFolders)

const readings = (...args: string[]) => tidemark(["readings", "--device", "k7", "--data", data, ...args])
const count = async (...args: string[]) =>
  parseLines((await readings("--format", "ndjson", ...args)).stdout).length
const blocks = (...args: string[]) => tidemark(["blocks", "--data", data, ...args])
const seal = (...args: string[]) => tidemark(["seal", "--data", data, ...args])

test("blocks says where there is none yet, seal makes them, and seals nothing twice", async () => {
  expect(await blocks()).toMatchObject({ code: 0, stdout: "no block yet: tidemark seal makes one now\n" })
  expect(await blocks("--json")).toMatchObject({ code: 0, stdout: "" })
  expect((await readings()).stderr).toContain("4 readings, 4 of them not sealed yet")

  const first = await seal()
  expect(first.code).toBe(0)
  expect(first.stdout).toMatch(/^sealed block 0: 3 statements and 4 readings of 1 devices? in [\d.,]+ ms\n/)
  // The policy, the enrolment, three statements, and the manifest.
  expect(first.stdout).toMatch(/tree of 6 leaves, root [A-Za-z0-9+/]{43}=\n$/)
  const again = await seal("--json")
  expect(again.code).toBe(0)
  expect(parseLines(again.stdout)).toEqual([{ sealed: false, reason: "no-statements" }])
  expect((await seal()).stdout).toBe("nothing to seal: no statement since the last block\n")

  const [block] = parseLines((await blocks("--json")).stdout)
  expect(block).toMatchObject({ height: 0, devices: 1, statements: 3, readings: 4, treeSize: 6 })
  expect(first.stdout).toContain(String(block?.["root"]))
  const table = await blocks()
  expect(table.stdout.split("\n")[0]).toMatch(
    /^height +from \(UTC\) +to \(UTC\) +statements +readings +devices/,
  )
  expect(table.stdout.split("\n")).toHaveLength(3)
})

test("readings as a table: a line each, in order of the device's clock, and how many on standard error", async () => {
  const { code, stdout, stderr } = await readings()
  expect(code).toBe(0)
  const [title, ...rows] = stdout.trimEnd().split("\n")
  expect(title).toMatch(/^time \(device, UTC\) +metric +value +unit +arrived \(UTC\) +block$/)
  expect(rows.map((row) => row.split(/ {2,}/).slice(0, 3))).toEqual([
    ["2026-01-31T12:00:00.000Z", "heart-rate", "61.5"],
    ["2026-01-31T12:01:00.250Z", "heart-rate", "72"],
    ["2026-01-31T12:02:00.000Z", "diary", note],
    ["2026-01-31T12:03:00.000Z", "worn", "true"],
  ])
  expect(stderr).toBe("4 readings\n")
})

test("readings as CSV: a text with a comma and quotes comes out of any reader of RFC 4180 as it went in", async () => {
  const { code, stdout } = await readings("--format", "csv")
  expect(code).toBe(0)
  const rows = parse(stdout, { columns: true }) as Record<string, string>[]
  expect(rows.map(({ metric, value, unit, block }) => [metric, value, unit, block])).toEqual([
    ["heart-rate", "61.5", "beat/min", "0"],
    ["heart-rate", "72", "beat/min", "0"],
    ["diary", note, "", "0"],
    ["worn", "true", "", "0"],
  ])
  const none = await readings("--format", "csv", "--metric", "oxygen-saturation")
  expect(none).toMatchObject({ code: 0, stdout: "time,metric,value,unit,arrived,block,statement\n" })
})

test("readings as NDJSON keep the kind of a value", async () => {
  const { code, stdout } = await readings("--format", "ndjson")
  expect(code).toBe(0)
  const rows = parseLines(stdout)
  expect(rows.map(({ value }) => value)).toEqual([61.5, 72, note, true])
  expect(rows[1]).toMatchObject({
    time: "2026-01-31T12:01:00.250Z",
    metric: "heart-rate",
    unit: "beat/min",
    block: 0,
  })
})

test("readings between two times: from is in, to is out; dates, offsets and Unix seconds are the same instants", async () => {
  expect(await count("--from", "2026-01-31T12:00:00Z", "--to", "2026-01-31T12:02:00Z")).toBe(2)
  expect(await count("--from", "2026-01-31T13:00:00+01:00", "--to", String(noon + 60.25))).toBe(1)
  expect(await count("--from", "2026-01-31", "--to", "2026-02-01", "--metric", "worn")).toBe(1)
})

test.each([
  ["--from", "yesterday"],
  ["--from", "2026-01-31T12:00:00"],
  ["--from", "1780272000000"],
  ["--to", "31.01.2026"],
  ["--to", "2026-02-30"],
  ["--to", "2026-13-01"],
  ["--to", "-5"],
  ["--format", "xml"],
  ["--device"],
])("readings %s %s is a usage fault", async (...args) => {
  const { code, stdout, stderr } = await readings(...args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(args[0])
})

test("readings of a device that nobody knows, or of none, are refused", async () => {
  const unknown = await tidemark(["readings", "--device", "k8'; drop table log; --", "--data", data])
  expect(unknown).toMatchObject({ code: 1, stdout: "" })
  expect(unknown.stderr).toContain("is not enrolled")
  const none = await tidemark(["readings", "--data", data])
  expect(none.code).toBe(2)
  expect(none.stderr).toContain("--device <id>")
})

test("field Q1: a metric that nobody knows is a fault that names it and the nearest", async () => {
  const { code, stdout, stderr } = await readings("--metric", "hart-rate")
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
  expect(stderr).toContain(
    "metric hart-rate is not in the catalogue, and no device has sent it; did you mean heart-rate?",
  )
})

/** A psql that says what it was given, first on the path of the command. */
async function withPsql(script: string): Promise<Record<string, string>> {
  const folder = dirname(await makeFolder())
  await writeFile(join(folder, "psql"), `#!/bin/sh\n${script}\n`)
  await chmod(join(folder, "psql"), 0o755)
  return { PATH: `${folder}:${process.env["PATH"]}` }
}

test("field Q10: psql is told host, port, user and database, and its password where nobody sees it", async () => {
  const env = await withPsql('echo "$@"; test "$(cat "$FILE")" = "$PGPASSWORD" && exit 7')
  const said = await tidemark(["psql", "--print", "--data", data])
  expect(said).toMatchObject({ code: 0, stderr: "" })
  const [, file = ""] = /^password +in (.*)$/m.exec(said.stdout) ?? []
  const password = (await readFile(file, "utf8")).trim()
  expect(said.stdout).toMatch(/^host +127\.0\.0\.1\nport +\d+\nuser +tidemark\ndatabase +tidemark\n/)
  expect(said.stdout).toContain(`PGPASSWORD="$(cat '${file}')" psql 'postgres`)
  expect(said.stdout).not.toContain(password)

  const ran = await tidemark(["psql", "--data", data, "--", "-Atc", "select 1"], {
    env: { ...env, FILE: file },
  })
  expect(ran.code).toBe(7)
  expect(ran.stdout).toMatch(/^postgres(ql)?:\/\/tidemark@127\.0\.0\.1:\d+\/tidemark\S* -Atc select 1\n$/)
  const missing = await tidemark(["psql", "--data", data], { env: { PATH: "/nowhere" } })
  expect(missing.code).toBe(1)
  expect(missing.stderr).toContain("psql is not on this machine")
})
