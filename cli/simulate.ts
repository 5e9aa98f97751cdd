import type { Command } from "commander"
import { setMaxListeners } from "node:events"
import type { Pool } from "pg"
import { type FleetReport, runFleet } from "../devices-sim/fleet.ts"
import type { Service as FleetService } from "../devices-sim/connection.ts"
import type { Recording } from "../devices-sim/recording/recording.ts"
import { formatReport } from "../devices-sim/report.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { openExistingLog } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption, parseCount, readNamedFile } from "./option.ts"
import { Progress, formatBar, formatNumber, makeLogger, print, say } from "./output.ts"
import {
  type GivenRecordingOptions,
  addRecordingOptions,
  readRecordings,
  recordingOptionsOf,
} from "./recording-options.ts"
import { awaitReceiving } from "./running.ts"
import { startService } from "./service.ts"
import { enrolKnown } from "./simulate-enrol.ts"
import { addScenarios } from "./simulate-scenario.ts"
import { type TargetOptions, addTargetOptions, checkListening, findUrl } from "./simulate-target.ts"

interface SimulateOptions extends TargetOptions, GivenRecordingOptions {
  readonly devices: number
  readonly statements: number
  readonly readings: number
  readonly interval: number
  readonly seed: number
  readonly json: boolean
}

export function addSimulate(program: Command): void {
  const simulateCommand = addCommand(
    program,
    "simulate",
    "a fleet of devices: enrols them, publishes, waits for every verdict, and reconciles; or a scenario with faults and a verdict",
  )
    // What stands behind run, list or show is theirs.
    .enablePositionalOptions()
  addTargetOptions(simulateCommand)
  addRecordingOptions(
    simulateCommand,
    "replay recordings at their own times, a device each: files or folders",
  )
    .option("-c, --devices <count>", "how many devices", parseCount(1, 10_000), 10)
    .option("--statements <count>", "per device", parseCount(1, 1_000_000), 20)
    .option("--readings <count>", "per statement", parseCount(1, 5_000), 60)
    .option(
      "-i, --interval <ms>",
      "between two statements of a device; 0: as fast as they are acknowledged",
      parseCount(0, 86_400_000),
      0,
    )
    .option(
      "--seed <number>",
      "the same seed gives the same devices, keys and readings",
      parseCount(0, 2 ** 32 - 1),
      1,
    )
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async (options: SimulateOptions) => {
      const recordings = await openRecordings(options)
      const report = await simulate(options, recordings)
      if (!report.reconciles) process.exitCode = 1
    })
  addScenarios(simulateCommand)
}

export async function openRecordings(options: GivenRecordingOptions): Promise<readonly Recording[]> {
  const { recordings, fault } = await readRecordings(options.recording, recordingOptionsOf(options), say)
  if (fault !== null) throw new CommandFault(fault)
  return recordings
}

async function simulate(options: SimulateOptions, recordings: readonly Recording[]): Promise<FleetReport> {
  const isNamed = options.mqtt !== undefined || options.url !== undefined
  const running = isNamed ? null : await awaitReceiving(options.data, say)
  const url = findUrl(options, running)
  if (url !== null) {
    await checkListening(url)
    const ca = options.tlsCa === undefined ? null : await readNamedFile(options.tlsCa, "the file of CAs")
    const log = await openExistingLog(options.data)
    const isLoginWanted = options.login === "jwt" || (running !== null && running.logins !== "none")
    try {
      const service: FleetService = {
        url,
        ...(ca === null ? {} : { ca }),
        ...(isLoginWanted ? { jwt: { origin: log.keys.origin } } : {}),
      }
      return await runAgainst(log.pool, log.keys, service, options, recordings)
    } finally {
      await log.close()
    }
  }
  // No service runs here: one of our own, for as long as the fleet does.
  say(`no service runs on ${options.data}: starting one for this run`)
  const service = await startService({
    dataFolder: options.data,
    host: "127.0.0.1",
    mqtt: 0,
    http: 0,
    schedule: null,
    isOfOneRun: true,
    ...(options.login === undefined ? {} : { connecting: { ports: {}, logins: "required" as const } }),
    log: makeLogger("warn"),
    say,
  })
  try {
    const { keys, mqtt, database } = service
    const own: FleetService = {
      url: `mqtt://127.0.0.1:${mqtt}`,
      ...(options.login === undefined ? {} : { jwt: { origin: keys.origin } }),
    }
    return await runAgainst(database.pool, keys, own, options, recordings)
  } finally {
    await service.close()
  }
}

async function runAgainst(
  pool: Pool,
  keys: LogKeys,
  service: FleetService,
  options: SimulateOptions,
  recordings: readonly Recording[],
): Promise<FleetReport> {
  const progress = new Progress()
  const controller = new AbortController()
  // Each device of the fleet listens.
  setMaxListeners(0, controller.signal)
  process.once("SIGINT", () => controller.abort())
  const { seed, devices, statements, readings, interval: intervalMs } = options
  let trouble = ""
  const report = await runFleet({
    service,
    seed,
    devices,
    statements,
    readings,
    intervalMs,
    recordings,
    enrol: async (enrolments) => {
      await enrolKnown(pool, keys, enrolments)
    },
    countStored: (ids) => countStored(pool, ids),
    signal: controller.signal,
    onDisconnected: (device, reason) => (trouble = `; ${device}: ${reason ?? "connection closed"}`),
    onProgress: ({ answered, total, perSecond }) => {
      progress.update(
        `${formatBar(answered, total)}  ${formatNumber(answered)} of ${formatNumber(total)} statements answered, ${formatNumber(perSecond)}/s${trouble}`,
      )
      trouble = ""
    },
  })
  progress.done()
  print(options.json ? JSON.stringify(report) : formatReport(report))
  return report
}

/** What the database holds of these devices: statements by device, counted where they are stored. */
export async function countStored(pool: Pool, ids: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ device_id: string; count: number }>(
    "select device_id, count(*) as count from entries where device_id = any($1) group by device_id",
    [ids],
  )
  return new Map(rows.map(({ device_id: device, count }) => [device, count]))
}
