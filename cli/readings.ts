import { type Command, Option } from "commander"
import type { PoolClient, QueryResultRow } from "pg"
import { formatBase64 } from "../chain/bytes.ts"
import { showControls } from "../chain/visible-text.ts"
import { beginReading } from "../ingest/database/pool.ts"
import { formatCell } from "../research/csv.ts"
import { type OpenedLog, openExistingLog } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { checkMetrics } from "./known-metric.ts"
import { addCommand, dataOption, parseInstant, spreadsheetOption } from "./option.ts"
import { say, writeOut } from "./output.ts"

interface ReadingsOptions {
  readonly data: string
  readonly device: string
  readonly metric?: string
  readonly from?: number
  readonly to?: number
  readonly format: "table" | "csv" | "ndjson"
  readonly spreadsheetSafe: boolean
}

interface ReadingRow {
  readonly seconds: number
  readonly metric: string
  readonly kind: string
  readonly value: number | null
  readonly text_value: string | null
  readonly blob: Uint8Array | null
  readonly unit: string | null
  readonly arrived_ms: number
  readonly statement: number
  readonly ahead: boolean
  readonly block: number | null
}

export function addReadings(program: Command): void {
  addCommand(program, "readings", "the readings of a device, by its own clock")
    .requiredOption("--device <id>")
    .option("--metric <metric>", "only this one, such as heart-rate")
    .option("--from <time>", "from this instant on: ISO 8601 or Unix seconds", parseInstant)
    .option("--to <time>", "before this instant", parseInstant)
    .addOption(new Option("--format <format>").choices(["table", "csv", "ndjson"]).default("table"))
    .addOption(spreadsheetOption())
    .addOption(dataOption())
    .action(async (options: ReadingsOptions) => {
      const log = await openExistingLog(options.data)
      try {
        await printReadings(log, options)
      } finally {
        await log.close()
      }
    })
}

const pageSize = 5_000

async function printReadings({ pool }: OpenedLog, options: ReadingsOptions): Promise<void> {
  const client = await pool.connect()
  try {
    const { rowCount } = await client.query("select from devices where device_id = $1", [options.device])
    if (rowCount === 0)
      throw new CommandFault(
        `device ${options.device} is not enrolled`,
        "tidemark device list shows those that are",
      )
    const { device, metric } = options
    const metrics = metric === undefined ? null : [metric]
    const query = async <Row extends QueryResultRow>(sql: string, values: readonly unknown[] = []) =>
      (await client.query<Row>(sql, [...values])).rows
    await checkMetrics({ query }, { metrics, devices: [device] })
    await beginReading(client)
    const { count, unsealed, ahead } = await printPages(client, options)
    await client.query("commit")
    // Never a silent end: what was left out, and how much of it is not sealed yet, is said.
    say(
      `${count} ${count === 1 ? "reading" : "readings"}${unsealed > 0 ? `, ${unsealed} of them not sealed yet` : ""}${ahead > 0 ? `, ${ahead} marked as ahead of their time` : ""}`,
    )
  } finally {
    client.release()
  }
}

async function printPages(
  client: PoolClient,
  { device, metric, from, to, format, spreadsheetSafe }: ReadingsOptions,
) {
  await client.query({
    text: `declare page no scroll cursor for
      select r.seconds, r.metric, r.kind, r.value, r.text_value, r.blob, r.unit, r.statement, r.ahead,
             (extract(epoch from r.arrived) * 1000)::bigint as arrived_ms,
             (select min(height) from blocks where manifest_id >= r.statement) as block
      from readings_between(${quote(device)}, ${metric === undefined ? "null" : quote(metric)}, ${from ?? "'-infinity'"}, ${to ?? "'infinity'"}) r
      order by r.seconds, r.statement, r.metric`,
  })
  const write = writerOf(format, spreadsheetSafe)
  let count = 0
  let unsealed = 0
  let ahead = 0
  for (;;) {
    const { rows } = await client.query<ReadingRow>(`fetch ${pageSize} from page`)
    const lines = write(rows, count === 0)
    await writeOut(lines, format)
    count += rows.length
    unsealed += rows.filter(({ block }) => block === null).length
    ahead += rows.filter((row) => row.ahead).length
    if (rows.length < pageSize) return { count, unsealed, ahead }
  }
}

/** A cursor takes no parameters. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

const columns = ["time", "metric", "value", "unit", "arrived", "block", "statement"] as const

function writerOf(
  format: ReadingsOptions["format"],
  isSpreadsheetSafe: boolean,
): (rows: readonly ReadingRow[], isFirst: boolean) => string {
  if (format === "ndjson") return (rows) => rows.map((row) => `${JSON.stringify(describe(row))}\n`).join("")
  if (format === "csv") {
    return (rows, isFirst) => {
      const lines = rows.map((row) => {
        const described = describe(row)
        return columns.map((column) => formatCsvCell(described[column], isSpreadsheetSafe)).join(",")
      })
      return (isFirst ? `${columns.join(",")}\n` : "") + lines.map((line) => `${line}\n`).join("")
    }
  }
  return (rows, isFirst) => {
    const title = isFirst
      ? formatRow(["time (device, UTC)", "metric", "value", "unit", "arrived (UTC)", "block"])
      : ""
    return (
      title +
      rows
        .map((row) => {
          const { time, metric, value, unit, arrived, block } = describe(row)
          return formatRow([
            time,
            metric,
            String(value),
            unit ?? "",
            arrived,
            block === null ? "-" : String(block),
          ])
        })
        .join("")
    )
  }
}

const widths = [27, 20, -12, 9, 24, -5]

/** Columns of fixed width, so that a long answer need not be held to be aligned; a negative width is for numbers. */
function formatRow(cells: readonly string[]): string {
  const padded = cells.map(showControls).map((cell, column) => {
    const width = widths[column]!
    return width < 0 ? cell.padStart(-width) : cell.padEnd(width)
  })
  return `${padded.join("  ").trimEnd()}\n`
}

function describe(row: ReadingRow) {
  const value =
    row.kind === "boolean"
      ? row.value === 1
      : (row.value ?? row.text_value ?? (row.blob === null ? null : formatBase64(row.blob)))
  return {
    time: formatSeconds(row.seconds),
    metric: row.metric,
    value,
    unit: row.unit,
    arrived: new Date(row.arrived_ms).toISOString(),
    block: row.block,
    statement: row.statement,
    ...(row.ahead ? { ahead: true } : {}),
  }
}

/** ISO 8601 with the millisecond, and microseconds where there are any; seconds that no date reaches stay a number. */
function formatSeconds(seconds: number): string {
  const wholeMs = Math.floor(seconds * 1000 + 1e-4)
  if (Math.abs(wholeMs) > 8.64e15) return String(seconds)
  const rest = Math.round((seconds * 1000 - wholeMs) * 1000)
  const iso = new Date(wholeMs).toISOString()
  return rest > 0 && rest < 1000 ? `${iso.slice(0, -1)}${String(rest).padStart(3, "0")}Z` : iso
}

function formatCsvCell(value: string | number | boolean | null, isSpreadsheetSafe: boolean): string {
  return formatCell(typeof value === "boolean" ? String(value) : value, isSpreadsheetSafe)
}
