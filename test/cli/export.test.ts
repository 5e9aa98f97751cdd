import { createHash } from "node:crypto"
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parse } from "csv-parse/sync"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { refuseExport } from "../../cli/export-in-file.ts"
import { type ExportOptions, runExport } from "../../cli/export-run.ts"
import { type ExportManifest, type ExportQuestion, parseManifest } from "../../research/export-manifest.ts"
import { type Stand, type TestDevice, openStand, send } from "../ingest/stand.ts"
import { makeWaveform } from "../research/waveform.ts"
import { parseLines, tidemark } from "./command.ts"

const noon = 1_769_860_800
let stand: Stand
const folders: string[] = []

const say = async (device: TestDevice, ...series: Series[]) =>
  send(stand.intake.open(device.id), device.next({ payload: encodePack(series) }))

const rate = (from: number, count: number): Series => ({
  kind: "number",
  name: "heart-rate",
  unit: "beat/min",
  times: Array.from({ length: count }, (_, at) => noon + from + at),
  values: Array.from({ length: count }, (_, at) => 60 + (at % 9)),
})

/** Two blocks of two devices, and something that no block has sealed. */
beforeAll(async () => {
  stand = await openStand()
  const k7 = await stand.enrol("k7")
  const k8 = await stand.enrol("k8")
  await stand.enrol("quiet")
  await say(k7, rate(0, 100), makeWaveform(noon, [0, 100, -100]))
  await stand.seal()
  await say(k8, rate(50, 200), {
    kind: "text",
    name: "note",
    unit: null,
    times: [noon + 9],
    values: ['slept, "well"'],
  })
  await say(k7, rate(60, 20))
  await stand.seal()
  await say(k7, rate(5_000, 7))
})
afterAll(async () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  await stand.close()
})

const makeFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-export-"))
  folders.push(folder)
  return folder
}

const everything: ExportQuestion = {
  format: "csv",
  by: "device",
  devices: null,
  metrics: null,
  from: null,
  to: null,
  liveWithinSeconds: 900,
}

async function exportTo(
  folder: string,
  question: Partial<ExportQuestion> = {},
  more: Partial<ExportOptions> = {},
) {
  return runExport({
    pool: stand.pool,
    origin: stand.keys.origin,
    createdBy: "tidemark test",
    folder,
    question: { ...everything, ...question },
    signal: new AbortController().signal,
    onProgress: () => {},
    ...more,
  })
}

const hashesOf = ({ files }: ExportManifest) => files.map(({ name, sha256 }) => [name, sha256])
const sumOf = (rows: readonly Record<string, string>[]) =>
  rows.reduce((sum, { value }) => sum + Number(value), 0)

test("the manifest says of each file what is in it, and on which root it stands", async () => {
  const folder = makeFolder()
  const { manifest } = await exportTo(folder)
  expect(JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"))).toEqual(manifest)
  expect(manifest).toMatchObject({ complete: true, rows: 324, filesTotal: 3, asOf: { height: 1 } })
  expect(manifest.checkpoint.split("\n")[2]).toBe(manifest.asOf.root)
  const rows = manifest.files.flatMap(({ name, rows: expected, bytes, sha256 }) => {
    const file = readFileSync(join(folder, name))
    expect([file.length, createHash("sha256").update(file).digest("hex")]).toEqual([bytes, sha256])
    const parsed = parse(file, { columns: true }) as Record<string, string>[]
    expect(parsed).toHaveLength(expected)
    return parsed
  })
  const { rows: sums } = await stand.pool.query<{ count: number; sum: number }>(
    "select count(*)::int, sum(value) from readings where sealed",
  )
  expect([rows.length, sumOf(rows)]).toEqual([sums[0]!.count, sums[0]!.sum])
  expect(rows.find(({ metric }) => metric === "note")!["text"]).toBe('slept, "well"')
  expect(manifest.files.map(({ device, rows: count, firstTime }) => [device, count, firstTime])).toEqual([
    ["k7", 123, "2026-01-31T12:00:00.000Z"],
    ["k8", 201, "2026-01-31T12:00:09.000Z"],
    ["quiet", 0, null],
  ])
})

test.each(["csv", "ndjson", "parquet"] as const)(
  "an export as %s that was cut goes on to the same bytes, and writes no whole file again",
  async (format) => {
    const { manifest: whole } = await exportTo(makeFolder(), { format, by: "block" })
    const folder = makeFolder()
    // Cut when the second file has begun.
    const stop = new AbortController()
    const cut = exportTo(
      folder,
      { format, by: "block" },
      {
        signal: stop.signal,
        onProgress: ({ filesDone, bytes }) => {
          if (filesDone === 1 && bytes > whole.files[0]!.bytes) stop.abort(new Error("cut"))
        },
      },
    )
    await expect(cut).rejects.toThrow("cut")
    const begun = parseManifest(readFileSync(join(folder, "manifest.json"), "utf8"))
    expect(begun).toMatchObject({ manifest: { complete: false, files: [{ name: whole.files[0]!.name }] } })
    expect(existsSync(join(folder, whole.files[1]!.name))).toBe(false)
    // As after a kill: half a file under its working name.
    writeFileSync(join(folder, `${whole.files[1]!.name}.0123456789abcdef.new`), "half")
    const { manifest, kept } = await exportTo(folder, { format, by: "block" })
    expect(kept).toBe(1)
    expect(manifest).toEqual(whole)
    expect(readdirSync(folder).filter((name) => name.endsWith(".new"))).toEqual([])
  },
)

test("an export that goes on stands on its own block, whatever was sealed since", async () => {
  const folder = makeFolder()
  const { manifest: before } = await exportTo(folder)
  unlinkSync(join(folder, before.files[0]!.name))
  const device = await stand.enrol("late")
  await say(device, rate(0, 5))
  await stand.seal()
  const { manifest } = await exportTo(folder)
  expect(manifest.asOf).toEqual(before.asOf)
  expect(hashesOf(manifest).filter(([name]) => !name!.includes("late"))).toEqual(hashesOf(before))
  const { manifest: anew } = await exportTo(makeFolder())
  expect(anew.asOf.height).toBe(before.asOf.height + 1)
})

test("a file that was changed or cut behind our back is written anew", async () => {
  const folder = makeFolder()
  const { manifest: whole } = await exportTo(folder)
  truncateSync(join(folder, whole.files[0]!.name), 100)
  const second = join(folder, whole.files[1]!.name)
  const bytes = readFileSync(second)
  bytes[bytes.length - 10]! ^= 1
  writeFileSync(second, bytes)
  const { manifest, kept } = await exportTo(folder)
  expect(hashesOf(manifest)).toEqual(hashesOf(whole))
  expect(kept).toBe(whole.files.length - 2)
})

test("filters leave out what is not asked for", async () => {
  const { manifest } = await exportTo(makeFolder(), {
    devices: ["k7"],
    metrics: ["heart-rate"],
    from: noon + 60,
    to: noon + 70,
    by: "block",
  })
  expect(manifest.files.slice(0, 2).map(({ block, rows }) => [block, rows])).toEqual([
    [0, 10],
    [1, 10],
  ])
})

test.each([
  ["another question", (text: string) => text.replace('"by": "device"', '"by": "block"'), "something else"],
  ["another log", (text: string) => text.replace(/"root": "[^"]*"/, '"root": "AAAA"'), "another log"],
  ["something else entirely", () => "{}", "must be a manifest of an export"],
])("a folder with an export of %s is left alone", async (_name, change, rule) => {
  const folder = makeFolder()
  await exportTo(folder)
  const path = join(folder, "manifest.json")
  const text = change(readFileSync(path, "utf8"))
  writeFileSync(path, text)
  await expect(exportTo(folder)).rejects.toThrow(rule)
  expect(readFileSync(path, "utf8")).toBe(text)
})

const command = (...args: string[]) =>
  tidemark([...args, "--data", stand.dataFolder], { env: { DATABASE_URL: stand.url } })

test("the commands: query prints csv when piped, export writes its files, coverage tells of a device", async () => {
  const query = await command(
    "query",
    "--device",
    "k7",
    "--metric",
    "heart-rate",
    "--from",
    "2026-01-31T12:01:00Z",
    "--to",
    "2026-01-31T12:01:05Z",
  )
  expect(query).toMatchObject({ code: 0 })
  expect(parse(query.stdout, { columns: true })).toHaveLength(10)
  expect(query.stderr).toMatch(/^10 readings; sealed up to block \d+\n$/)
  const buckets = await command(
    "query",
    "--device",
    "k8",
    "--bucket",
    "1m",
    "--metric",
    "heart-rate",
    "--format",
    "ndjson",
  )
  expect(parseLines(buckets.stdout).map(({ count }) => count)).toEqual([10, 60, 60, 60, 10])
  const folder = makeFolder()
  const exported = await command("export", "-o", folder, "--device", "k8", "--format", "ndjson")
  expect(exported).toMatchObject({ code: 0, stdout: "" })
  expect(exported.stderr).toContain("201 readings in 1 file")
  // field Q9: a line a reading, and the manifest says how many.
  expect(parseLines(readFileSync(join(folder, "readings-device-k8.ndjson"), "utf8"))).toHaveLength(201)
  const coverage = await command("coverage", "k8", "--from", "2026-01-31", "--to", "2026-02-01")
  expect(coverage).toMatchObject({ code: 0 })
  expect(coverage.stdout).toMatch(/heart-rate {2}every 1 s[^\n]*\n {2}2026-01-31 {2}[^\n]*200/)
})

test("times that are the wrong way round are a usage fault", async () => {
  const { code, stdout, stderr } = await command("query", "--from", "2026-01-31", "--to", "2026-01-30")
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain("--to must be after --from")
})

test.each([
  ["query", ["query", "--metric", "glucos"]],
  ["export", ["export", "-o", "FOLDER", "--metric", "glucos"]],
  ["coverage of a device", ["coverage", "k7", "--metric", "glucos"]],
])("field Q1: %s names a metric that nobody knows, and the nearest", async (_name, args) => {
  const folder = makeFolder()
  const { code, stdout, stderr } = await command(...args.map((arg) => (arg === "FOLDER" ? folder : arg)))
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
  expect(stderr).toContain(
    "metric glucos is not in the catalogue, and no device has sent it; did you mean glucose?",
  )
  expect(readdirSync(folder)).toEqual([])
})

test("field Q1: a metric of the catalogue without readings is empty", async () => {
  const query = await command("query", "--metric", "glucose", "--format", "csv")
  expect(query).toMatchObject({ code: 0 })
  expect(query.stderr).toContain("0 readings; sealed up to block")
})

test("field Q2: times in milliseconds, without a zone or in another order are usage faults that say so", async () => {
  for (const [args, from, words] of [
    [["query"], "1780272000000", "looks like milliseconds. Give 1780272000"],
    [["export", "-o", "never-made"], "2026-06-01T12:00:00", "must have its zone"],
    [["coverage", "k7"], "01.06.2026", "must begin with the year"],
  ] as const) {
    const { code, stdout, stderr } = await command(...args, "--from", from)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(words)
  }
})

test("field S14: texts by a device reach a terminal without controls, and a spreadsheet without formulas", async () => {
  const device = await stand.enrol("sly")
  const value = "\u009b2J\u202e\u009d0;x\u009c"
  await say(device, { kind: "text", name: "note", unit: null, times: [noon], values: [value] })
  await say(device, {
    kind: "text",
    name: "note",
    unit: null,
    times: [noon + 1],
    values: ['=HYPERLINK("x")'],
  })
  const asked = ["--device", "sly", "--unsealed"]
  for (const args of [
    ["query", ...asked, "--format", "table"],
    ["readings", "--device", "sly"],
  ]) {
    const { stdout } = await command(...args)
    expect(stdout).toContain("\\u009b2J\\u202e\\u009d0;x\\u009c")
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202e]/u)
  }
  const lines = await command("query", ...asked, "--format", "ndjson")
  expect(lines.stdout).toContain("\\u009b2J")
  expect(parseLines(lines.stdout)[0]).toMatchObject({ text: value })
  const sheet = await command("query", ...asked, "--format", "csv", "--spreadsheet-safe")
  expect(parse(sheet.stdout, { columns: true })).toMatchObject([
    { text: value },
    { text: `'=HYPERLINK("x")` },
  ])
})

test("field Q3: query has buckets of the wearer's days, and names a zone that there is not", async () => {
  const days = await command(
    "query",
    "--device",
    "k8",
    "--metric",
    "heart-rate",
    "--bucket",
    "1d",
    "--timezone",
    "Pacific/Auckland",
    "--format",
    "csv",
  )
  expect(parse(days.stdout, { columns: true })).toMatchObject([
    {
      time: "2026-01-31T11:00:00.000Z",
      local: "2026-02-01T00:00:00+13:00",
      count: "200",
      seconds: "86400",
      partial: "0",
    },
  ])
  const wrong = await command("query", "--bucket", "1d", "--timezone", "Auckland")
  expect(wrong).toMatchObject({ code: 2, stdout: "" })
  expect(wrong.stderr).toContain("must be the name of a time zone such as Europe/Berlin")
  expect(await command("query", "--timezone", "Europe/Berlin")).toMatchObject({ code: 2 })
})

test("field Q10: verify of an export says that it is not evidence, and how to get evidence", async () => {
  const folder = makeFolder()
  for (const format of ["parquet", "csv", "ndjson"] as const) {
    const { manifest } = await exportTo(join(folder, format), { format })
    const file = join(folder, format, manifest.files[0]!.name)
    await expect(refuseExport(file)).rejects.toThrow("an export is not evidence")
    await expect(refuseExport(join(folder, format))).rejects.toThrow("an export is not evidence")
    await expect(refuseExport(join(folder, format, "manifest.json"))).rejects.toThrow(
      "the manifest of an export",
    )
  }
  await expect(refuseExport(folder)).rejects.toThrow(
    "is a folder: evidence, a proof or a receipt is one file",
  )
  await refuseExport(join(folder, "none"))
  const { code, stdout, stderr } = await tidemark(["verify", join(folder, "parquet")])
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
  expect(stderr).toMatch(
    /is an export, and an export is not evidence.*\n {2}.*tidemark evidence DEVICE --blocks/,
  )
})

test("field Q10: psql by DATABASE_URL shows no password", async () => {
  const { code, stdout } = await command("psql", "--print")
  expect(code).toBe(0)
  expect(stdout).toContain('psql "$DATABASE_URL"')
  expect(stdout).not.toContain(new URL(stand.url).password)
})
