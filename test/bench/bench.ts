/** `npm run bench -- --only ingest,floor --readings 60 --rounds 3`: exit 0 when everything asked for was measured. */
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import { profileLoads, runLoads } from "./load.ts"
import { LoadStand } from "./load-stand.ts"
import { type Measure, Samples } from "./measure.ts"
import { findMosquitto } from "./mosquitto.ts"
import { hasProcessorTime } from "./processor-time.ts"
import { formatLines, formatReport } from "./report.ts"
import { BenchService } from "./service.ts"

const parts = ["floor", "ingest", "peer"] as const
type Part = (typeof parts)[number]

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    readings: { type: "string" },
    rounds: { type: "string" },
    profile: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
})

const help = `npm run bench -- [options]
  --only NAME,...      of ${parts.join(", ")}
  --readings N,...     a statement's, for ingest, floor and peer (default 1,60,512)
  --rounds N           turns of each (default 3)
  --profile FOLDER     profiles of the service and of Postgres too, into a folder that is there
  --quick              a small version
  --json               an object a line
  --seed N             of keys and readings (default 1)`

const say = (line: string): void => void process.stderr.write(`${line}\n`)

function readCount(text: string, option: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new RangeError(`--${option}: ${text} is no number above 0`)
  return Number(text)
}

function readParts(text: string | undefined): ReadonlySet<Part> {
  const names = text?.split(",") ?? parts
  const stranger = names.find((name) => !parts.some((part) => part === name))
  if (stranger !== undefined)
    throw new RangeError(`--only: there is no ${stranger}; there are ${parts.join(", ")}`)
  return new Set(names as readonly Part[])
}

async function run(): Promise<Measure[]> {
  const chosen = readParts(values.only)
  const seed = readCount(values.seed, "seed")
  const rounds = readCount(values.rounds ?? (values.quick ? "1" : "3"), "rounds")
  const sizes = (values.readings ?? "1,60,512").split(",").map((text) => readCount(text, "readings"))
  if (!hasProcessorTime) say("there is no /proc here: processor time is left out")
  const samples = new Samples()
  const service = await BenchService.open({ isProfiled: values.profile !== undefined })
  try {
    if (["floor", "ingest", "peer"].some((name) => chosen.has(name as Part))) {
      const stand = await LoadStand.open(service, 100, seed, Math.floor(Date.now() / 1000))
      try {
        const mosquitto = chosen.has("peer") ? findMosquitto() : null
        if (chosen.has("peer") && mosquitto === null) say("there is no mosquitto here: the peer is skipped")
        if (chosen.has("floor")) await stand.openFloor()
        if (mosquitto !== null) await stand.openPeer(mosquitto.path)
        const loads = sizes.map((readings) => ({
          readings,
          statements: (values.quick ? 0.2 : 1) * (readings === 1 ? 10_000 : readings >= 512 ? 8_000 : 20_000),
        }))
        await runLoads(stand, samples, {
          loads,
          rounds,
          isFloorRun: chosen.has("floor"),
          isPeerRun: mosquitto !== null,
          peerReadingsMax: values.quick ? 200_000 : 1_000_000,
          say,
        })
        if (values.profile !== undefined) await profileLoads(stand, { loads, folder: values.profile, say })
      } finally {
        await stand.close()
      }
    }
  } finally {
    await service.close()
  }
  return samples.measures()
}

if (values.help) process.stdout.write(`${help}\n`)
else {
  // Until all is measured.
  process.exitCode = 1
  const measures = await run()
  if (values.json) for (const measure of measures) process.stdout.write(`${JSON.stringify(measure)}\n`)
  else {
    const machine = `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), Node ${process.version}`
    const text = process.stdout.isTTY ? formatReport(measures) : formatLines(measures)
    process.stdout.write(`${text}\n\n${machine}\n`)
  }
  process.exitCode = 0
}
