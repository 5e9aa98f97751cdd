/** `npm run bench -- --only ingest,floor --readings 60 --rounds 3`: exit 0 when everything asked for was measured. */
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import { runAnswers } from "./answers.ts"
import type { BenchContext } from "./context.ts"
import { runProving, runVerifying } from "./proof-speed.ts"
import { runGrowth } from "./growth.ts"
import { makeHistory } from "./history.ts"
import { runQueries } from "./query.ts"
import { IngestStand } from "./ingest-stand.ts"
import { profileLoads, runLoads } from "./load.ts"
import { LoadStand } from "./load-stand.ts"
import { runMany } from "./many.ts"
import { Samples } from "./measure.ts"
import { findMosquitto } from "./mosquitto.ts"
import { runProcesses } from "./processes.ts"
import { hasProcessorTime } from "./processor-time.ts"
import { formatLines, formatReport } from "./report.ts"
import { runSealing } from "./sealing.ts"
import { BenchService } from "./service.ts"

const parts = [
  "floor",
  "ingest",
  "peer",
  "ingest-many",
  "processes",
  "seal",
  "prove",
  "verify",
  "query",
  "answers",
  "growth",
] as const
type Part = (typeof parts)[number]

const help = `npm run bench -- [options]
  --only NAME,...      of ${parts.join(", ")}
  --readings N,...     a statement's, for ingest, floor and peer (default 1,60,512)
  --rounds N           turns of each (default 3)
  --profile FOLDER     profiles of the service and of Postgres too, into a folder that is there
  --deep               with growth too: a log of 100 million readings, an hour and 20 GB
  --quick              a small version
  --json               an object a line
  --seed N             of keys and readings (default 1)`

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    readings: { type: "string" },
    rounds: { type: "string" },
    profile: { type: "string" },
    deep: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
})

function readCount(text: string, option: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new RangeError(`--${option}: ${text} is no number above 0`)
  return Number(text)
}

function readParts(text: string | undefined): ReadonlySet<Part> {
  // Growth takes longer than all others together.
  const names = text?.split(",") ?? parts.filter((part) => part !== "growth" || values.deep)
  const stranger = names.find((name) => !parts.some((part) => part === name))
  if (stranger !== undefined)
    throw new RangeError(`--only: there is no ${stranger}; there are ${parts.join(", ")}`)
  return new Set(names as readonly Part[])
}

/** Statements of a slot: some seconds of each. */
function statementsOf(readings: number, isQuick: boolean): number {
  const statements = readings === 1 ? 10_000 : readings >= 512 ? 8_000 : 20_000
  return isQuick ? statements / 5 : statements
}

async function runService(chosen: ReadonlySet<Part>, context: BenchContext): Promise<void> {
  const service = await BenchService.open({ isProfiled: values.profile !== undefined })
  try {
    if (chosen.has("ingest") || chosen.has("floor") || chosen.has("peer")) {
      await service.start()
      await runBeside(service, chosen, context)
    }
    if (chosen.has("ingest-many")) {
      if (!service.isUp) await service.start()
      await runMany(service, context)
    }
    await service.stop()
    if (chosen.has("processes")) await runProcesses(service, context)
  } finally {
    await service.close()
  }
}

async function runBeside(
  service: BenchService,
  chosen: ReadonlySet<Part>,
  context: BenchContext,
): Promise<void> {
  const { samples, seed, nowS, isQuick, rounds, say } = context
  const mosquitto = chosen.has("peer") ? findMosquitto() : null
  if (chosen.has("peer") && mosquitto === null) say("there is no mosquitto here: the peer is skipped")
  if (mosquitto !== null) say(`the peer's broker is mosquitto ${mosquitto.version}`)
  const stand = await IngestStand.open(service, { name: "load", devices: 100, seed, nowS })
  const beside = new LoadStand(stand)
  try {
    if (chosen.has("floor")) await beside.openFloor()
    if (mosquitto !== null) await beside.openPeer(mosquitto.path)
    const loads = (values.readings ?? "1,60,512").split(",").map((text) => {
      const readings = readCount(text, "readings")
      return { readings, statements: statementsOf(readings, isQuick) }
    })
    const peerReadingsMax = isQuick ? 200_000 : 1_000_000
    const isPeerRun = mosquitto !== null
    await runLoads(beside, samples, {
      loads,
      rounds,
      isFloorRun: chosen.has("floor"),
      isPeerRun,
      peerReadingsMax,
      say,
    })
    if (values.profile !== undefined) await profileLoads(beside, { loads, folder: values.profile, say })
  } finally {
    await beside.close()
    await stand.close()
  }
}

async function runHistory(chosen: ReadonlySet<Part>, context: BenchContext): Promise<void> {
  const history = await makeHistory(context)
  try {
    if (chosen.has("query")) await runQueries(history, context)
    const evidence = chosen.has("prove") ? await runProving(history, context) : null
    if (chosen.has("verify")) await runVerifying(history, evidence, context)
  } finally {
    await history.service.close()
  }
}

async function run(): Promise<Samples> {
  const chosen = readParts(values.only)
  const context: BenchContext = {
    samples: new Samples(),
    seed: readCount(values.seed, "seed"),
    rounds: readCount(values.rounds ?? (values.quick ? "1" : "3"), "rounds"),
    isQuick: values.quick,
    nowS: Math.floor(Date.now() / 1000),
    say: (line) => void process.stderr.write(`${line}\n`),
  }
  if (!hasProcessorTime) context.say("there is no /proc here: processor time is left out")
  if ((["floor", "ingest", "peer", "ingest-many", "processes"] as const).some((part) => chosen.has(part)))
    await runService(chosen, context)
  if (chosen.has("seal")) await runSealing(context)
  if (["prove", "verify", "query"].some((part) => chosen.has(part as Part))) await runHistory(chosen, context)
  if (chosen.has("answers")) await runAnswers(context)
  if (chosen.has("growth")) await runGrowth(context)
  return context.samples
}

if (values.help) process.stdout.write(`${help}\n`)
else {
  // Until all is measured.
  process.exitCode = 1
  const measures = (await run()).measures()
  if (values.json) for (const measure of measures) process.stdout.write(`${JSON.stringify(measure)}\n`)
  else {
    const machine = `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), Node ${process.version}`
    const text = process.stdout.isTTY ? formatReport(measures) : formatLines(measures)
    process.stdout.write(`${text}\n\n${machine}\n`)
  }
  process.exitCode = 0
}
