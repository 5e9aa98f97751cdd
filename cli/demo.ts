import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import type { Command } from "commander"
import { type FleetReport, type MemberReport, runFleet } from "../devices-sim/fleet.ts"
import type { Recording } from "../devices-sim/recording/recording.ts"
import { formatAudit } from "../verify/audit.ts"
import { programName } from "./command-line.ts"
import { DemoRoutes } from "./demo-routes.ts"
import { type Tampered, tamper } from "./demo-tamper.ts"
import { type LivePlay, playLive } from "./demo-live.ts"
import { CommandFault } from "./fault.ts"
import { addCommand } from "./option.ts"
import { Progress, formatBar, formatNumber, makeLogger, print } from "./output.ts"
import { packageRoot } from "./package-root.ts"
import { type GivenRecordingOptions, addRecordingOptions, readRecordings } from "./recording-options.ts"
import { formatSeal } from "./seal.ts"
import { type Service, startService } from "./service.ts"
import { countStored, openRecordings } from "./simulate.ts"
import { enrolKnown } from "./simulate-enrol.ts"
import { waitForSignal } from "./signal.ts"
import { auditDatabase, auditProgress, readPublishedNote } from "./audit.ts"

interface DemoOptions extends GivenRecordingOptions {
  readonly once: boolean
}

export function addDemo(program: Command): void {
  const command = addCommand(
    program,
    "demo",
    "see it work: recordings and a fleet in, sealed, verified, tampered with and found",
  ).option("--once", "end after the last step instead of keeping the service up", false)
  addRecordingOptions(command, "replay these instead: files or folders").action(runDemo)
}

async function runDemo(options: DemoOptions): Promise<void> {
  const stopping = waitForSignal()
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-demo-"))
  let service: Service | null = null
  let live: LivePlay | null = null
  try {
    print("Tidemark: what a device signed is what a researcher can check.\n")
    const interrupted = stopping.then((signal) => {
      throw new CommandFault(`interrupted by ${signal}`)
    })
    const shown = showAll(dataFolder, options, (started) => (service = started))
    await Promise.race([shown, interrupted])
    if (options.once) return
    print(`\nLook at it: http://127.0.0.1:${service!.http}/`)
    print(
      "Six devices say something now and then, and every minute is sealed. In another terminal, in this folder:\n",
    )
    for (const line of nextSteps(dataFolder, service!)) print(`  ${line}`)
    print("\nCtrl-C stops it and removes what the demo made.")
    live = playLive(service!)
    await stopping
  } finally {
    await live?.close()
    await (service as Service | null)?.close()
    await rm(dataFolder, { recursive: true, force: true })
  }
}

async function showAll(
  dataFolder: string,
  options: DemoOptions,
  onStart: (service: Service) => void,
): Promise<void> {
  const service = await step(1, "Start Postgres, broker and ingest on free ports", async () => {
    const routes = new DemoRoutes(dataFolder)
    const started = await startService({
      dataFolder,
      origin: "tidemark.invalid/demo",
      host: "127.0.0.1",
      mqtt: 0,
      http: 0,
      schedule: "0 * * * *",
      log: makeLogger("warn"),
      say: () => {},
      plugin: routes.plugin,
    })
    onStart(started)
    routes.open(started)
    return [
      started,
      `The page: http://127.0.0.1:${started.http}/\nMQTT on 127.0.0.1:${started.mqtt}, the API and metrics on the port of the page`,
    ]
  })
  const { folder, recordings } = await findRecordings(options)
  await step(
    2,
    `Replay ${recordings.length} recordings of ${folder} at their own times, a device each`,
    async (progress) => {
      const report = await playFleet(service, { devices: 0, recordings, readings: 200 }, progress)
      const lines = recordings.map((recording, index) => describeRecording(recording, report.devices[index]!))
      return [report, [...lines, describeFleet(report)].join("\n")]
    },
  )
  await step(3, "Simulate 20 devices, 20 statements each, from seed 1", async (progress) => {
    const report = await playFleet(service, { devices: 20, recordings: [], readings: 60 }, progress)
    return [report, describeFleet(report)]
  })
  await step(4, "Seal everything into a block of the Merkle log", async () => {
    const result = await service.seal()
    return [result, formatSeal(result)]
  })
  await step(
    5,
    "Verify everything stored: signatures, chains, series, arrivals, tree, checkpoint",
    async (progress) => {
      const published = await readPublishedNote(dataFolder)
      const result = await auditDatabase(service.database.pool, service.keys, published, {
        onProgress: auditProgress(progress),
      })
      if (result.kind !== "passed") throw new CommandFault(formatAudit(result))
      return [result, formatAudit(result)]
    },
  )
  await step(
    6,
    "Flip one bit of one stored statement, in a throw-away copy of the database, and verify that",
    async () => {
      const { tampered } = await tamper(service, dataFolder, null, async () => null)
      return [null, describeTampering(tampered)]
    },
  )
}

async function step<T>(
  number: number,
  title: string,
  work: (progress: Progress) => Promise<[T, string]>,
): Promise<T> {
  print(`${number}/6  ${title}`)
  const startedAt = performance.now()
  const progress = new Progress()
  const [result, text] = await work(progress)
  progress.done()
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  for (const line of text.split("\n")) print(`     ${line}`)
  print(`     done in ${seconds} s\n`)
  return result
}

async function playFleet(
  service: Service,
  fleet: { readonly devices: number; readonly recordings: readonly Recording[]; readonly readings: number },
  progress: Progress,
): Promise<FleetReport> {
  const { pool } = service.database
  const report = await runFleet({
    service: { url: `mqtt://127.0.0.1:${service.mqtt}` },
    seed: 1,
    statements: 20,
    intervalMs: 0,
    ...fleet,
    enrol: async (enrolments) => {
      await enrolKnown(pool, service.keys, enrolments)
    },
    countStored: (ids) => countStored(pool, ids),
    onProgress: ({ answered, total, perSecond }) =>
      progress.update(`     ${formatBar(answered, total)}  ${formatNumber(perSecond)} statements/s`),
  })
  if (!report.reconciles)
    throw new CommandFault(`the fleet's counts do not add up: ${report.faults.join("; ")}`)
  return report
}

function describeRecording({ format, signals }: Recording, { id, stored, readings }: MemberReport): string {
  const metrics = [...new Set(signals.map(({ metric }) => metric))]
  const shown =
    metrics.length > 4
      ? `${metrics.slice(0, 4).join(", ")} and ${metrics.length - 4} more`
      : metrics.join(", ")
  return `${id}  ${format.padEnd(20)}  ${formatNumber(stored).padStart(5)} statements  ${formatNumber(readings).padStart(8)} readings  ${shown}`
}

function describeFleet(report: FleetReport): string {
  const { acknowledged, stored, readings } = report.all
  return `${formatNumber(acknowledged)} statements acknowledged, ${formatNumber(stored)} stored, ${formatNumber(readings)} readings: they reconcile`
}

/** Ours, in the formats that are read. Their local times are in UTC, as `test/recordings/generate.ts` writes them. */
const own = {
  paths: [
    "dexcom-clarity",
    "ecg-csv",
    "empatica-e4",
    "empatica-e4-partial",
    "freestyle-libreview",
    "garmin",
    "ppg/datetime.csv",
    "ppg/timer-holes.csv",
    "ppg/timer.csv",
    "wfdb",
  ],
  options: { timezone: "UTC" },
} as const

/** The recordings given, or our own. */
async function findRecordings(
  options: DemoOptions,
): Promise<{ folder: string; recordings: readonly Recording[] }> {
  if (options.recording.length > 0)
    return { folder: "--recording", recordings: await openRecordings(options) }
  const folder = join(packageRoot, "test", "recordings")
  // Remarks are on files of users, who can do something about them.
  const paths = own.paths.map((path) => join(folder, path))
  const { recordings, fault } = await readRecordings(paths, own.options, () => undefined)
  if (fault !== null) throw new CommandFault(fault, "name recordings with --recording")
  return { folder: relative(process.cwd(), folder) || ".", recordings }
}

function describeTampering({ device, seq, byte, bit, audit }: Tampered): string {
  return `changed bit ${bit} of byte ${byte} of statement ${seq} of ${device}\n${formatAudit(audit)}`
}

function nextSteps(dataFolder: string, service: Service): string[] {
  const data = `--data ${dataFolder}`
  const tidemark = programName()
  return [
    `${tidemark} device list ${data}`,
    `${tidemark} readings --device sim-1-0001 --metric heart-rate ${data} | head`,
    `${tidemark} simulate --seed 2 ${data}`,
    `${tidemark} seal ${data} && ${tidemark} blocks ${data}`,
    `${tidemark} verify ${data}`,
    `curl http://127.0.0.1:${service.http}/metrics | grep ^tidemark`,
  ]
}
