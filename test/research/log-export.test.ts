import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { parseCheckpoint, signCheckpoint } from "../../chain/checkpoint.ts"
import { zeroHash } from "../../chain/hash.ts"
import { type TileReader, TiledTree } from "../../chain/log-reader.ts"
import { parseNote } from "../../chain/note.ts"
import { formatTilePath, listPlaces } from "../../chain/tile-path.ts"
import { sha256Native } from "../../ingest/native.ts"
import { type LogExportOptions, type LogExportResult, exportLog } from "../../research/log-export.ts"
import { tidemark } from "../cli/command.ts"
import { type Stand, type TestDevice, openStand } from "../ingest/stand.ts"
import { type LogStand, openLogStand, publishedLogOf, sayMany } from "./log-stand.ts"

let stand: Stand
let log: LogStand
let k1: TestDevice
/** Of every checkpoint so far. */
const sizes: number[] = []
/** Exported after each block. */
let grown: string
const folders: string[] = []

beforeAll(async () => {
  stand = await openStand()
  log = await openLogStand(stand)
  k1 = await stand.enrol("k1")
  grown = await makeFolder()
})
afterAll(async () => {
  await log.app.close()
  await stand.close()
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-export-"))
  folders.push(folder)
  return folder
}

const exportTo = (folder: string, options?: LogExportOptions): Promise<LogExportResult> =>
  exportLog(publishedLogOf(stand.pool), folder, options)

async function seal(statements: number): Promise<number> {
  await sayMany(stand, k1, statements)
  const result = await stand.seal({ isEmptyAllowed: true })
  if (result.kind !== "sealed") throw new Error("nothing was sealed")
  sizes.push(result.block.treeSize)
  return result.block.treeSize
}

async function listFiles(folder: string): Promise<string[]> {
  const items = await readdir(folder, { recursive: true, withFileTypes: true })
  return items
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name).slice(folder.length + 1))
    .toSorted()
}

const readIn = (folder: string, path: string): Promise<Buffer> => readFile(join(folder, path))

function readerOf(folder: string): TileReader {
  return {
    readTile: (level, index, width) => readIn(folder, formatTilePath({ kind: "tile", level, index, width })),
    readEntries: (index, width) => readIn(folder, formatTilePath({ kind: "entries", index, width })),
  }
}

/** The folder's checkpoint, and its tree, which must be there whole. */
async function readExported(folder: string): Promise<TiledTree> {
  const note = parseNote((await readIn(folder, "checkpoint")).toString())!
  const tree = await TiledTree.open(readerOf(folder), parseCheckpoint(note.text)!, sha256Native)
  for (let index = 0; index * 256 < tree.size; index++) await tree.readEntries(index)
  return tree
}

test("a log of which nothing is published has nothing to export", async () => {
  const folder = await makeFolder()
  expect(await exportTo(folder)).toEqual({ kind: "nothing" })
  expect(await listFiles(folder)).toEqual([])
})

test("block after block the folder holds the log as it is served, and only what is new is written", async () => {
  for (const statements of [4, 0, 300, 20]) {
    const sizeBefore = sizes.at(-1) ?? 0
    const size = await seal(statements)
    expect(await exportTo(grown)).toMatchObject({ kind: "exported", sizeBefore, size })
    expect((await readExported(grown)).size).toBe(size)
  }
  for (const path of await listFiles(grown)) {
    const url = path.startsWith(".well-known") ? `/${path}` : `/log/${path}`
    expect(Uint8Array.from(await readIn(grown, path))).toEqual((await log.get(url)).bytes)
  }
  // What the tree of each checkpoint so far is made of.
  const paths = new Set(await listFiles(grown))
  const missing = sizes
    .flatMap((size) => [...listPlaces(0, size)].map(formatTilePath))
    .filter((path) => !paths.has(path))
  expect(missing).toEqual([])
  expect(await exportTo(grown)).toMatchObject({ filesWritten: 0, bytesWritten: 0 })
})

test("who exports for the first time gets each checkpoint's partial tiles whose full ones are not there yet", async () => {
  const folder = await makeFolder()
  await exportTo(folder)
  const early = (await listFiles(grown)).filter((path) => /^tile\/(0|entries)\/000\.p/.test(path))
  expect(early.length).toBeGreaterThan(0)
  expect(await listFiles(folder)).toEqual((await listFiles(grown)).filter((path) => !early.includes(path)))
  await readExported(folder)
})

test("killed after any file, the folder is the older log whole, and the next export goes on", async () => {
  const older = sizes.at(-1)!
  const size = await seal(250)
  let files = 0
  await exportTo(await makeFolder(), { onFile: ({ filesOfAll }) => (files = filesOfAll) })
  for (let stop = 1; stop <= files; stop += 2) {
    const folder = await makeFolder()
    await copyFolder(grown, folder)
    const onFile: LogExportOptions["onFile"] = (done) => {
      if (done.files === stop) throw new Error("killed")
    }
    await exportTo(folder, { onFile }).catch((error: Error) => {
      if (error.message !== "killed") throw error
    })
    const found = (await readExported(folder)).size
    expect([older, size]).toContain(found)
    await exportTo(folder)
    expect((await readExported(folder)).size).toBe(size)
    expect((await listFiles(folder)).filter((path) => path.includes(".new"))).toEqual([])
  }
})

async function copyFolder(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true })
}

test("a folder that is not this log's, or was changed, is left as it is", async () => {
  const size = sizes.at(-1)!
  const { log: key } = stand.keys
  const checkpointOf = (changes: object): string =>
    signCheckpoint({ origin: stand.keys.origin, size: sizes[0]!, root: zeroHash, ...changes }, key)
  const cases = [
    ["checkpoint", "no checkpoint\n", "is not one that tidemark.invalid/test has signed"],
    [
      "checkpoint",
      checkpointOf({ origin: "example.org/other" }),
      "is not one that tidemark.invalid/test has signed",
    ],
    ["checkpoint", checkpointOf({ size: size + 1 }), `has ${size + 1} leaves and the published log ${size}`],
    ["checkpoint", checkpointOf({}), `has another root at ${sizes[0]} leaves than the log`],
    ["tile/0/000", "what somebody wrote", "is there and has other bytes than the log"],
  ] as const
  for (const [path, text, rule] of cases) {
    const folder = await makeFolder()
    await exportTo(folder)
    await rm(join(folder, "checkpoint"))
    await writeFile(join(folder, path), text)
    const result = await exportTo(folder)
    expect(result).toMatchObject({ kind: "refused", path, rule: expect.stringContaining(rule) as string })
    expect((await readIn(folder, path)).toString()).toBe(text)
    // Whatever else is wrong, no checkpoint of it is written.
    const found = (await listFiles(folder)).filter((one) => one === "checkpoint")
    expect(found).toEqual(path === "checkpoint" ? [path] : [])
  }
})

test("tidemark log export says what it wrote, and two at a time are one too many", async () => {
  const folder = join(await makeFolder(), "public", "log")
  const args = ["log", "export", folder, "--data", stand.dataFolder]
  const options = { env: { DATABASE_URL: stand.url } }
  const done = await tidemark(args, options)
  expect(done.code).toBe(0)
  expect(done.stdout).toMatch(/holds the log of \d+ leaves, 0 before: wrote \d+ files, [\d,]+ bytes\n$/)
  await readExported(folder)
  const inTheWay = await tidemark(["log", "export", join(folder, "checkpoint"), ...args.slice(3)], options)
  expect([inTheWay.code, inTheWay.stdout]).toEqual([1, ""])
  expect(inTheWay.stderr).toContain("checkpoint: a file is in its way")
  const other = await stand.pool.connect()
  await other.query("select pg_advisory_lock(7201605)")
  const second = await tidemark([...args, "--json"], options)
  other.release(true)
  expect([second.code, second.stdout]).toEqual([1, ""])
  expect(second.stderr).toContain("another export of this log is under way")
})
