/** `tidemark coverage`: what arrived, what is missing, and why. */
import type { Command } from "commander"
import { beginReading } from "../ingest/database/pool.ts"
import type { Pool, PoolClient, QueryResultRow } from "pg"
import { type DeviceCoverage, reportCoverage } from "../research/coverage-report.ts"
import { type Queries, readLatest } from "../research/coverage-rows.ts"
import { daysMax, daysOf } from "../research/days.ts"
import { liveWithinDefault } from "../research/reading-json.ts"
import type { Zone } from "../research/zone.ts"
import {
  type StripOptions,
  formatDeviceTitle,
  formatFleetStrip,
  formatMetric,
  formatRefusals,
  formatRemarks,
  legend,
} from "./coverage-strip.ts"
import { type OpenedLog, openExistingLog } from "./data-folder.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { checkMetrics } from "./known-metric.ts"
import { addCommand, dataOption, jsonOption, parseCount, parseInstant, parseZone } from "./option.ts"
import { formatNumber, print, say } from "./output.ts"

interface CoverageOptions {
  readonly data: string
  readonly metric?: string
  readonly from?: number
  readonly to?: number
  readonly timezone: Zone | null
  readonly liveWithin: number
  readonly json: boolean
}

export function addCoverage(program: Command): void {
  addCommand(
    program,
    "coverage",
    "what arrived, what is missing, and why: of a device by day, or of the fleet",
  )
    .argument("[device]", "all devices where it is left out")
    .option("--metric <metric>", "only this one")
    .option("--from <time>", "from this day on, by the device's clock (default: 14 days)", parseInstant)
    .option("--to <time>", "up to before this instant (default: after the last reading)", parseInstant)
    .option("--timezone <zone>", "whose days, such as Europe/Berlin (default: UTC)", parseZone, null)
    .option(
      "--live-within <seconds>",
      "what arrived later than this after its time is late",
      parseCount(0, 1_000_000_000),
      liveWithinDefault,
    )
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async (device: string | undefined, options: CoverageOptions) => {
      const log = await openExistingLog(options.data)
      try {
        if (options.metric !== undefined) {
          const metrics = [options.metric]
          await checkMetrics(rowsOf(log.pool), { metrics, devices: device === undefined ? null : [device] })
        }
        if (device === undefined) await printFleet(log, options)
        else await printDevice(log, device, options)
      } finally {
        await log.close()
      }
    })
}

const secondsPerDay = 86_400
const daysDefault = 14

function rowsOf(connection: Pool | PoolClient): Queries {
  return {
    query: async <Columns extends QueryResultRow>(sql: string, values: readonly unknown[] = []) =>
      (await connection.query<Columns>(sql, [...values])).rows,
  }
}

/** In one transaction: all that is said of a device speaks of one state. */
async function withCoverage(
  { pool }: OpenedLog,
  device: string,
  options: CoverageOptions,
): Promise<DeviceCoverage | null> {
  const client = await pool.connect()
  const queries = rowsOf(client)
  try {
    await beginReading(client)
    const now = Date.now() / 1000
    const to = options.to ?? Math.min(now, (await readLatest(queries, device)) ?? now) + 0.001
    const from = options.from ?? to - (daysDefault - 1) * secondsPerDay
    if (from >= to) throw new UsageFault("--to must be after --from")
    if (to - from > daysMax * secondsPerDay)
      throw new UsageFault(`--from and --to must be at most ${daysMax} days apart`)
    const days = daysOf({ from, to, zone: options.timezone, now })
    const metric = options.metric ?? null
    return await reportCoverage(queries, { device, metric, days, liveWithinSeconds: options.liveWithin })
  } finally {
    await client.query("rollback").catch(() => {})
    client.release()
  }
}

const remarkLinesMax = 10

async function printDevice(log: OpenedLog, device: string, options: CoverageOptions): Promise<void> {
  const coverage = await withCoverage(log, device, options)
  if (coverage === null)
    throw new CommandFault(`device ${device} is not enrolled`, "tidemark device list shows those that are")
  if (options.metric !== undefined && coverage.metrics.length === 0)
    throw new CommandFault(`device ${device} has no readings of ${options.metric}`)
  if (options.json) return print(JSON.stringify(coverage))
  const strip = stripOptions()
  print(formatDeviceTitle(coverage))
  print(`days of ${options.timezone?.name ?? "UTC"}; ${legend}\n`)
  if (coverage.metrics.length === 0) print("no reading yet")
  for (const metric of coverage.metrics) print(`${formatMetric(coverage, metric, strip)}\n`)
  const remarks = formatRemarks(coverage, remarkLinesMax)
  if (remarks.length > 0) print(["the chain says", ...remarks].join("\n"))
  const refusals = formatRefusals(coverage)
  if (refusals.length > 0)
    print(["refused since it was enrolled: counted, without the time of each", ...refusals].join("\n"))
}

function stripOptions(): StripOptions {
  return { isColored: process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "" }
}

async function printFleet(log: OpenedLog, options: CoverageOptions): Promise<void> {
  const { rows } = await log.pool.query<{ device: string }>(
    "select device_id as device from devices order by device_id",
  )
  const strip = stripOptions()
  const width = Math.max(6, ...rows.map(({ device }) => device.length))
  if (rows.length === 0) say("no device is enrolled yet")
  else if (!options.json)
    print(
      `a sign is a day, the last one of each device to the right: █ whole  ▓ over 3/4  ▒ over 1/4  ░ less  · nothing  + counted only`,
    )
  for (const { device } of rows) {
    const coverage = await withCoverage(log, device, options)
    if (coverage === null) continue
    if (options.json) print(JSON.stringify(coverage))
    else print(formatFleetLine(coverage, width, strip))
  }
}

function formatFleetLine(coverage: DeviceCoverage, width: number, strip: StripOptions): string {
  const readings = coverage.metrics.flatMap(({ days }) => days).reduce((sum, day) => sum + day.readings, 0)
  const refused = coverage.refusals.reduce((sum, { count }) => sum + count, 0)
  return [
    coverage.device.padEnd(width),
    `▕${formatFleetStrip(coverage, strip)}▏`,
    coverage.days.at(-1) ?? "",
    `${formatNumber(readings).padStart(11)} readings`,
    coverage.metrics.map(({ metric }) => metric).join(", "),
    ...(refused > 0 ? [`refused ${formatNumber(refused)}`] : []),
    ...(coverage.status === "active" ? [] : [coverage.status]),
  ].join("  ")
}
