/** `tidemark query`: sealed readings, with the filters of /v1/readings. */
import { type Command, InvalidArgumentError, Option } from "commander"
import { describeAsOf } from "../research/as-of.ts"
import { type BucketGroup, bucketSchema, bucketsOf, describeBucket, parseBucket } from "../research/bucket.ts"
import { Problem } from "../research/problem.ts"
import { liveWithinDefault } from "../research/reading-json.ts"
import { type Selection, filterOf } from "../research/reading-question.ts"
import {
  type Piece,
  type Shape,
  bucketLines,
  bucketPieces,
  jsonShape,
  ndjsonShape,
  readingLines,
  runPieces,
} from "../research/reading-text.ts"
import { type Run, runsByArrival, runsByTime } from "../research/run.ts"
import { BlockIndex, Snapshot } from "../research/snapshot.ts"
import { readSeries } from "../research/stored-series.ts"
import type { Zone } from "../research/zone.ts"
import { type OpenedLog, openExistingLog } from "./data-folder.ts"
import { collectDevice } from "./export.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { checkMetrics } from "./known-metric.ts"
import { addCommand, dataOption, parseCount, parseInstant, parseZone, spreadsheetOption } from "./option.ts"
import { count, say, writeOut } from "./output.ts"
import { bucketTable, readingTable } from "./query-table.ts"

const formats = ["table", "csv", "ndjson", "json"] as const

interface QueryOptions {
  readonly data: string
  readonly device?: readonly string[]
  readonly metric?: readonly string[]
  readonly from?: number
  readonly to?: number
  readonly arrivedFrom?: number
  readonly arrivedTo?: number
  readonly blockFrom?: number
  readonly blockTo?: number
  readonly unsealed: boolean
  readonly ahead: boolean
  readonly bucket?: string
  readonly timezone?: Zone
  readonly order: "time" | "arrival"
  readonly limit: number
  readonly liveWithin: number
  readonly endLine: boolean
  readonly spreadsheetSafe: boolean
  readonly format?: (typeof formats)[number]
}

const heightMax = Number.MAX_SAFE_INTEGER

export function addQuery(program: Command): void {
  addCommand(
    program,
    "query",
    "sealed readings by device, metric, time, arrival and block; raw or in buckets",
  )
    .option("--device <id...>", "only these", collectDevice)
    .option("--metric <metric...>", "only these, such as heart-rate")
    .option(
      "--from <time>",
      "by the device's clock, from this instant on: ISO 8601 or Unix seconds",
      parseInstant,
    )
    .option("--to <time>", "before this instant", parseInstant)
    .option("--arrived-from <time>", "arrived at this instant or later", parseInstant)
    .option("--arrived-to <time>", "arrived before this instant", parseInstant)
    .option("--block-from <height>", "sealed in this block or a later one", parseCount(0, heightMax))
    .option("--block-to <height>", "sealed in this block or an earlier one", parseCount(0, heightMax))
    .option("--unsealed", "also what no block has sealed yet", false)
    .option("--ahead", "also what was ahead of its time when it came", false)
    .option(
      "--bucket <width>",
      "count, min, max, mean, first and last of each 30s, 5m, 1h or 1d",
      parseBucketText,
    )
    .option(
      "--timezone <zone>",
      "whose clock buckets follow, such as Europe/Berlin: a day may have 23 or 25 hours (default: UTC)",
      parseZone,
    )
    .addOption(new Option("--order <order>").choices(["time", "arrival"]).default("time"))
    .option("--limit <rows>", "at most so many rows", parseCount(1, Number.MAX_SAFE_INTEGER), Infinity)
    .option(
      "--live-within <seconds>",
      "what arrived later than this after its time is backfill",
      parseCount(0, 1_000_000_000),
      liveWithinDefault,
    )
    .addOption(
      new Option("--format <format>", "(default: table on a terminal, csv elsewhere)").choices(formats),
    )
    .option("--end-line", "ndjson ends with a line that says complete, rows and the block", false)
    .addOption(spreadsheetOption())
    .addOption(dataOption())
    .action(async (options: QueryOptions) => {
      const log = await openExistingLog(options.data)
      try {
        await printQuery(log, options)
      } catch (error) {
        if (error instanceof Problem) throw new CommandFault(error.message, null, { cause: error })
        throw error
      } finally {
        await log.close()
      }
    })
}

function parseBucketText(text: string): string {
  if (!new RegExp(bucketSchema.pattern).test(text))
    throw new InvalidArgumentError("It must be a width such as 30s, 5m, 1h or 1d.")
  return text
}

function selectionOf(options: QueryOptions): Selection {
  const { from, to, arrivedFrom, arrivedTo, blockFrom, blockTo, unsealed, bucket, order } = options
  if (from !== undefined && to !== undefined && to <= from) throw new UsageFault("--to must be after --from")
  if (arrivedFrom !== undefined && arrivedTo !== undefined && arrivedTo <= arrivedFrom)
    throw new UsageFault("--arrived-to must be after --arrived-from")
  if (blockFrom !== undefined && blockTo !== undefined && blockTo < blockFrom)
    throw new UsageFault("--block-to must not be below --block-from")
  if (unsealed && blockTo !== undefined)
    throw new UsageFault("--unsealed and --block-to: what is not sealed is in no block")
  if (bucket !== undefined && order === "arrival") throw new UsageFault("--bucket needs --order time")
  if (options.timezone !== undefined && bucket === undefined)
    throw new UsageFault("--timezone needs --bucket: readings have their time in UTC")
  return {
    devices: options.device?.toSorted() ?? null,
    metrics: options.metric?.toSorted() ?? null,
    fromSeconds: from ?? null,
    toSeconds: to ?? null,
    arrivedFromMs: arrivedFrom === undefined ? null : arrivedFrom * 1000,
    arrivedToMs: arrivedTo === undefined ? null : arrivedTo * 1000,
    blockFrom: blockFrom ?? null,
    blockTo: blockTo ?? null,
    isUnsealedIncluded: unsealed,
    isAheadIncluded: options.ahead,
  }
}

const queryMsMax = 600_000

async function printQuery({ pool }: OpenedLog, options: QueryOptions): Promise<void> {
  const selection = selectionOf(options)
  const stop = new AbortController()
  const snapshot = await Snapshot.open(pool, new BlockIndex(), { timeoutMs: queryMsMax, signal: stop.signal })
  try {
    await checkDevices(snapshot, selection.devices ?? [])
    await checkMetrics(snapshot, selection)
    const { order, limit } = options
    const filter = filterOf(selection, { asOf: snapshot.asOf, blocks: snapshot.blocks, scope: null })
    const series = readSeries(snapshot, filter, order, null)
    const all =
      order === "time" ? runsByTime(series, selection, null) : runsByArrival(series, selection, null)
    let rows = 0
    const add = (more: number): void => void (rows += more)
    const chunks = formatRows(all, { snapshot, selection, options, add })
    for await (const chunk of chunks) await writeOut(chunk, formOf(options))
    // Never a silent end: what the answer speaks of, and whether it was cut.
    const { asOf } = snapshot
    const upTo = asOf === null ? "nothing is sealed yet" : `sealed up to block ${asOf.height}`
    const cut = rows === limit ? `, cut at --limit ${limit}` : ""
    say(
      `${count(rows, options.bucket === undefined ? "reading" : "bucket")}${cut}; ${upTo}${options.unsealed ? ", and what is not sealed yet" : ""}`,
    )
  } finally {
    await snapshot.close()
  }
}

async function checkDevices(snapshot: Snapshot, devices: readonly string[]): Promise<void> {
  const known = await snapshot.query<{ device: string }>(
    "select device_id as device from devices where device_id = any($1)",
    [devices],
  )
  const unknown = devices.find((device) => !known.some((one) => one.device === device))
  if (unknown !== undefined)
    throw new CommandFault(`device ${unknown} is not enrolled`, "tidemark device list shows those that are")
}

function formOf({ format }: QueryOptions): (typeof formats)[number] {
  return format ?? (process.stdout.isTTY ? "table" : "csv")
}

function formatRows(
  all: AsyncIterable<Run>,
  {
    snapshot,
    selection,
    options,
    add,
  }: {
    readonly snapshot: Snapshot
    readonly selection: Selection
    readonly options: QueryOptions
    readonly add: (rows: number) => void
  },
): AsyncIterable<string> {
  const { bucket, order, limit, liveWithin } = options
  const format = formOf(options)
  const buckets =
    bucket === undefined
      ? null
      : bucketsOf(all, {
          widthSeconds: parseBucket(bucket),
          zone: options.timezone ?? null,
          window: selection,
          liveWithinSeconds: liveWithin,
        })
  if (format === "json" || format === "ndjson") {
    const shape: Shape = format === "json" ? jsonShape : ndjsonShape(options.endLine)
    const { separator } = shape
    const pieces: AsyncIterable<Piece> =
      buckets === null
        ? runPieces(all, { limit, separator, count: add, order, liveWithinSeconds: liveWithin })
        : bucketPieces(buckets, { limit, separator, count: add })
    // There is no page that follows: what the limit cut is said by `complete`.
    return shape.frame(pieces, describeAsOf(snapshot.asOf), () => "cut by --limit")
  }
  if (buckets !== null) {
    const groups = limitGroups(buckets, limit, add)
    return format === "csv"
      ? bucketLines(groups, options.spreadsheetSafe)
      : bucketTable(describeGroups(groups), options.timezone?.name ?? "UTC")
  }
  const runs = limitRuns(all, limit, add)
  return format === "csv"
    ? readingLines(runs, { liveWithinSeconds: liveWithin, isSpreadsheetSafe: options.spreadsheetSafe })
    : readingTable(runs)
}

async function* describeGroups(groups: AsyncIterable<BucketGroup>) {
  for await (const group of groups) yield group.map(describeBucket)
}

async function* limitRuns(
  runs: AsyncIterable<Run>,
  limit: number,
  add: (rows: number) => void,
): AsyncGenerator<Run> {
  let left = limit
  for await (const run of runs) {
    const to = Math.min(run.to, run.from + left)
    left -= to - run.from
    add(to - run.from)
    yield { ...run, to }
    if (left === 0) return
  }
}

async function* limitGroups(
  groups: AsyncIterable<BucketGroup>,
  limit: number,
  add: (rows: number) => void,
): AsyncGenerator<BucketGroup> {
  let left = limit
  for await (const group of groups) {
    const taken = group.slice(0, left)
    left -= taken.length
    add(taken.length)
    yield taken
    if (left === 0) return
  }
}
