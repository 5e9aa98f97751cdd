/** An export, file by file, that can be cut anywhere and goes on where it was. */
import { mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Pool } from "pg"
import { describeAsOf, formatAsOf } from "../research/as-of.ts"
import { readingBatches } from "../research/batch.ts"
import {
  type ExportFile,
  type ExportManifest,
  type ExportQuestion,
  describeColumns,
  dictionaryName,
  formatHashes,
  formatManifest,
  hashesName,
  manifestName,
  nameOfBlock,
  nameOfDevice,
  parseManifest,
} from "../research/export-manifest.ts"
import { formatSeconds } from "../research/instant.ts"
import { parquetBytes } from "../research/parquet.ts"
import { filterOf } from "../research/reading-question.ts"
import { ndjsonShape, readingLines, runPieces } from "../research/reading-text.ts"
import { type Run, runsByArrival, runsByTime } from "../research/run.ts"
import { BlockIndex, Snapshot } from "../research/snapshot.ts"
import { readSeries } from "../research/stored-series.ts"
import { isWhole, replaceText, writeWhole } from "./export-file.ts"
import { CommandFault } from "./fault.ts"
import { checkMetrics } from "./known-metric.ts"

export interface ExportOptions {
  readonly pool: Pool
  readonly origin: string
  readonly createdBy: string
  readonly folder: string
  readonly question: ExportQuestion
  readonly signal: AbortSignal
  readonly onProgress: (progress: ExportProgress) => void
}

export interface ExportProgress {
  readonly filesDone: number
  readonly filesTotal: number
  readonly rows: number
  /** All readings that are sealed, of all devices: more than are asked for where there are filters. */
  readonly rowsMax: number
  readonly bytes: number
}

/** What a file is of. */
interface Part {
  readonly name: string
  readonly block?: number
  readonly device?: string
}

interface Tally {
  rows: number
  first: number
  last: number
}

/** Exports what is not there yet; gives the manifest of the whole, and how many files were there already. */
export async function runExport(
  options: ExportOptions,
): Promise<{ readonly manifest: ExportManifest; readonly kept: number }> {
  const { folder, question, onProgress } = options
  await mkdir(folder, { recursive: true })
  const before = await readManifest(folder, question)
  const blocks = new BlockIndex()
  const { manifest: begun, parts, rowsMax } = await planExport(options, blocks, before)
  const files: ExportFile[] = []
  let bytes = 0
  let kept = 0
  const manifestOf = (): ExportManifest => ({
    ...begun,
    rows: files.reduce((sum, { rows }) => sum + rows, 0),
    complete: files.length === parts.length,
    files,
  })
  await replaceText(folder, dictionaryName, `${JSON.stringify(describeColumns(), null, 2)}\n`)
  for (const part of parts) {
    const known = before?.files.find(({ name }) => name === part.name)
    if (known !== undefined && (await isWhole(folder, part.name, known))) {
      files.push(known)
      kept += 1
    } else {
      const rowsBefore = manifestOf().rows
      files.push(
        await exportPart(options, blocks, begun.asOf.height, part, (rows, fileBytes) =>
          onProgress({
            filesDone: files.length,
            filesTotal: parts.length,
            rows: rowsBefore + rows,
            rowsMax,
            bytes: bytes + fileBytes,
          }),
        ),
      )
      // After each file: a crash before this writes that file anew.
      await replaceText(folder, manifestName, formatManifest(manifestOf()))
    }
    bytes += files.at(-1)!.bytes
    onProgress({ filesDone: files.length, filesTotal: parts.length, rows: manifestOf().rows, rowsMax, bytes })
  }
  const manifest = manifestOf()
  await replaceText(folder, hashesName, formatHashes(manifest.files))
  // Last: who sees `complete` finds everything that it lists.
  await replaceText(folder, manifestName, formatManifest(manifest))
  return { manifest, kept }
}

/** The manifest of an export that was begun here; a fault where the folder holds another one. */
async function readManifest(folder: string, question: ExportQuestion): Promise<ExportManifest | null> {
  const path = join(folder, manifestName)
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null
    throw error
  })
  if (text === null) return null
  const parsed = parseManifest(text)
  if ("rule" in parsed)
    throw new CommandFault(`${path} ${parsed.rule}`, "name another folder with -o, or move this file away")
  if (JSON.stringify(parsed.manifest.question) !== JSON.stringify(question)) {
    throw new CommandFault(
      `${folder} holds an export of something else: ${JSON.stringify(parsed.manifest.question)}`,
      "name another folder with -o",
    )
  }
  return parsed.manifest
}

/** The block that the export stands on (an export that goes on stays on its own), and the files that it has. */
async function planExport(
  { pool, origin, createdBy, question, signal }: ExportOptions,
  blocks: BlockIndex,
  before: ExportManifest | null,
): Promise<{ readonly manifest: ExportManifest; readonly parts: readonly Part[]; readonly rowsMax: number }> {
  const snapshot = await openSnapshot(pool, blocks, signal, before?.asOf.height)
  try {
    const asOf = describeAsOf(snapshot.asOf)
    if (asOf === null)
      throw new CommandFault(
        "nothing is sealed yet",
        "tidemark seal makes a block now; an export is of sealed readings",
      )
    if (before !== null && (before.asOf.root !== asOf.root || before.log.origin !== origin))
      throw new CommandFault("the export in this folder is of another log", "name another folder with -o")
    const [row] = await snapshot.query<{ note: string; readings: number }>(
      `select cosigned_note($1) as note,
              (select coalesce(sum(readings), 0)::bigint from blocks where height <= $1) as readings`,
      [asOf.height],
    )
    const known = await snapshot.query<{ device: string }>(
      "select device_id as device from devices order by device_id",
    )
    const devices = known.map(({ device }) => device)
    const unknown = question.devices?.find((device) => !devices.includes(device))
    if (unknown !== undefined)
      throw new CommandFault(`device ${unknown} is not enrolled`, "tidemark device list shows those that are")
    await checkMetrics(snapshot, question)
    const parts: Part[] =
      question.by === "block"
        ? Array.from({ length: asOf.height + 1 }, (_, block) => ({
            name: nameOfBlock(block, question.format),
            block,
          }))
        : (question.devices ?? devices).map((device) => ({
            name: nameOfDevice(device, question.format),
            device,
          }))
    const manifest: ExportManifest = {
      kind: "tidemark-export",
      version: 1,
      createdBy,
      log: { origin },
      asOf,
      checkpoint: row!.note,
      question,
      filesTotal: parts.length,
      rows: 0,
      complete: false,
      files: [],
    }
    return { manifest, parts, rowsMax: row!.readings }
  } finally {
    await snapshot.close()
  }
}

async function exportPart(
  options: ExportOptions,
  blocks: BlockIndex,
  height: number,
  part: Part,
  onProgress: (rows: number, bytes: number) => void,
): Promise<ExportFile> {
  const { pool, folder, signal } = options
  // Of each file its own: a picture of the database that is held for hours keeps it from cleaning up.
  const snapshot = await openSnapshot(pool, blocks, signal, height)
  const tally: Tally = { rows: 0, first: Infinity, last: -Infinity }
  try {
    const runs = tallyRuns(readPart(options, snapshot, part), tally)
    const chunks = formatPart(options, snapshot, runs)
    const written = await writeWhole(folder, part.name, chunks, {
      onBytes: (bytes) => onProgress(tally.rows, bytes),
      signal,
    })
    return {
      ...part,
      rows: tally.rows,
      ...written,
      firstTime: tally.rows === 0 ? null : formatSeconds(tally.first),
      lastTime: tally.rows === 0 ? null : formatSeconds(tally.last),
    }
  } finally {
    await snapshot.close()
  }
}

const queryMsMax = 600_000

async function openSnapshot(
  pool: Pool,
  blocks: BlockIndex,
  signal: AbortSignal,
  height: number | undefined,
): Promise<Snapshot> {
  return Snapshot.open(pool, blocks, {
    timeoutMs: queryMsMax,
    signal,
    ...(height === undefined ? {} : { height }),
  })
}

/** A block's readings in the order of the log, a device's by metric and time. */
function readPart(
  { question }: ExportOptions,
  snapshot: Snapshot,
  { block, device }: Part,
): AsyncIterable<Run> {
  const window = { fromSeconds: question.from, toSeconds: question.to }
  const selection = {
    ...window,
    devices: device === undefined ? question.devices : [device],
    metrics: question.metrics,
    arrivedFromMs: null,
    arrivedToMs: null,
    blockFrom: block ?? null,
    blockTo: block ?? null,
    isUnsealedIncluded: false,
    isAheadIncluded: false,
  }
  const filter = filterOf(selection, { asOf: snapshot.asOf, blocks: snapshot.blocks, scope: null })
  return block === undefined
    ? runsByTime(readSeries(snapshot, filter, "time", null), window, null)
    : runsByArrival(readSeries(snapshot, filter, "arrival", null), window, null)
}

async function* tallyRuns(runs: AsyncIterable<Run>, tally: Tally): AsyncGenerator<Run> {
  for await (const run of runs) {
    tally.rows += run.to - run.from
    for (let place = run.from; place < run.to; place++) {
      const time = run.series.times[run.order === null ? place : run.order[place]!]!
      if (time < tally.first) tally.first = time
      if (time > tally.last) tally.last = time
    }
    yield run
  }
}

function formatPart(
  { question, origin, createdBy }: ExportOptions,
  snapshot: Snapshot,
  runs: AsyncIterable<Run>,
): AsyncIterable<string | Uint8Array> {
  const { format, liveWithinSeconds, by, isSpreadsheetSafe } = question
  if (format === "csv")
    return readingLines(runs, { liveWithinSeconds, isSpreadsheetSafe: isSpreadsheetSafe ?? false })
  if (format === "ndjson") {
    // The manifest says how many rows there are: a last line that is none would be a row for most readers.
    const shape = ndjsonShape(false)
    const { separator } = shape
    const order = by === "block" ? "arrival" : "time"
    const pieces = runPieces(runs, { limit: Infinity, count: () => {}, separator, order, liveWithinSeconds })
    return shape.frame(pieces, describeAsOf(snapshot.asOf), () => "")
  }
  const facts = new Map([
    ["tidemark.origin", origin],
    ["tidemark.asOf", formatAsOf(snapshot.asOf)],
  ])
  return parquetBytes(readingBatches(runs, liveWithinSeconds, facts), { facts, createdBy })
}
