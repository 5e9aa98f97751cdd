/** `tidemark export`: sealed readings as files that say what they are. */
import { type Command, InvalidArgumentError, Option } from "commander"
import { devicePattern } from "../chain/statement.ts"
import {
  type ExportFormat,
  type ExportPart,
  exportFormats,
  exportParts,
  manifestName,
} from "../research/export-manifest.ts"
import { Problem } from "../research/problem.ts"
import { liveWithinDefault } from "../research/reading-json.ts"
import { openExistingLog } from "./data-folder.ts"
import { type ExportProgress, runExport } from "./export-run.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { addCommand, dataOption, parseCount, parseInstant, spreadsheetOption } from "./option.ts"
import { Progress, count, formatBar, formatNumber, say } from "./output.ts"
import { version } from "./version.ts"

interface ExportCommandOptions {
  readonly data: string
  readonly format: ExportFormat
  readonly by: ExportPart
  readonly output: string
  readonly device?: readonly string[]
  readonly metric?: readonly string[]
  readonly from?: number
  readonly to?: number
  readonly liveWithin: number
  readonly spreadsheetSafe: boolean
}

export function addExport(program: Command): void {
  addCommand(
    program,
    "export",
    "sealed readings as files, with a manifest of rows, hashes and the root they stand on; goes on where it was cut",
  )
    .addOption(new Option("--format <format>").choices(exportFormats).default("parquet"))
    .addOption(
      new Option("--by <part>", "a file per block, or per device").choices(exportParts).default("device"),
    )
    .option("-o, --output <folder>", "where to", "./export")
    .option("--device <id...>", "only these", collectDevice)
    .option("--metric <metric...>", "only these, such as heart-rate")
    .option("--from <time>", "by the device's clock, from this instant on", parseInstant)
    .option("--to <time>", "before this instant", parseInstant)
    .option(
      "--live-within <seconds>",
      "what arrived later than this after its time is backfill",
      parseCount(0, 1_000_000_000),
      liveWithinDefault,
    )
    .addOption(spreadsheetOption())
    .addOption(dataOption())
    .action(async (options: ExportCommandOptions) => {
      await exportReadings(options)
    })
}

export function collectDevice(text: string, before: readonly string[] = []): readonly string[] {
  if (!devicePattern.test(text)) throw new InvalidArgumentError("It must be a device's id.")
  return [...before, text]
}

async function exportReadings(options: ExportCommandOptions): Promise<void> {
  const { device, metric, from, to } = options
  if (from !== undefined && to !== undefined && to <= from) throw new UsageFault("--to must be after --from")
  if (options.spreadsheetSafe && options.format !== "csv")
    throw new UsageFault("--spreadsheet-safe is for --format csv")
  const log = await openExistingLog(options.data)
  const progress = new Progress()
  const stop = new AbortController()
  // The file under way is taken away again; what is whole stays, and the same command goes on.
  const onSignal = (): void => stop.abort(new Error("stopped"))
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal)
  try {
    const { manifest, kept } = await runExport({
      pool: log.pool,
      origin: log.keys.origin,
      createdBy: `tidemark ${version}`,
      folder: options.output,
      question: {
        format: options.format,
        by: options.by,
        devices: device === undefined ? null : [...new Set(device)].toSorted(),
        metrics: metric === undefined ? null : [...new Set(metric)].toSorted(),
        from: from ?? null,
        to: to ?? null,
        liveWithinSeconds: options.liveWithin,
        ...(options.spreadsheetSafe ? { isSpreadsheetSafe: true } : {}),
      },
      signal: stop.signal,
      onProgress: (now) => progress.update(formatProgress(now)),
    })
    progress.done()
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0)
    say(
      `${count(manifest.rows, "reading")} in ${count(manifest.files.length, "file")}, ${formatSize(bytes)}, in ${options.output}${kept > 0 ? ` (${formatNumber(kept)} there before)` : ""}`,
    )
    say(
      `sealed up to block ${manifest.asOf.height}, tree of ${formatNumber(manifest.asOf.treeSize)} leaves, root ${manifest.asOf.root}`,
    )
    say(`${manifestName} lists rows and SHA-256 of each file; dictionary.json says what the columns mean`)
  } catch (error) {
    progress.done()
    if (error instanceof Problem)
      throw new CommandFault(error.message, options.by === "device" ? "--by block needs no sorting" : null, {
        cause: error,
      })
    if (!stop.signal.aborted) throw error
    say("stopped: the same command goes on where this ended")
    process.exitCode = 1
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal)
    await log.close()
  }
}

export function formatProgress({ filesDone, filesTotal, rows, rowsMax, bytes }: ExportProgress): string {
  // Rows say it best; where filters leave most of them out, files do.
  const bar =
    rows > filesDone
      ? formatBar(Math.max(rows / Math.max(1, rowsMax), filesDone / filesTotal), 1)
      : formatBar(filesDone, filesTotal)
  return `${bar}  file ${formatNumber(Math.min(filesTotal, filesDone + 1))} of ${formatNumber(filesTotal)}, ${formatNumber(rows)} readings, ${formatSize(bytes)}`
}

/** `1.2 MB`. */
function formatSize(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"]
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  const value = bytes / 1000 ** power
  return `${power === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[power]}`
}
