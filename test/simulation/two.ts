/** `npm run soak:two -- --rounds 20 --seed 1 --processes 2`: exit 0 when the promises were kept, 1 otherwise. */
import { parseArgs } from "node:util"
import { soakTwo } from "./two-soak.ts"

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    processes: { type: "string", default: "2" },
    devices: { type: "string", default: "12" },
  },
})

// Until it is known to be kept: a soak that ends early has shown nothing.
process.exitCode = 1
const report = await soakTwo({
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  processes: Number(values.processes),
  devices: Number(values.devices),
  say: (line) => process.stderr.write(`${line}\n`),
})
const { moves, faults } = report
const lines = [
  `seed                 ${report.seed}`,
  `rounds               ${report.rounds}`,
  ...Object.entries(report.kills).map(([what, count]) => `  ${String(count).padStart(3)}  ${what} killed`),
  `connections          ${moves.connections}`,
  `  ${String(moves.cut).padStart(5)}  cut in the middle of a stream`,
  `  ${String(moves.late).padStart(5)}  whose last bytes came after the device had moved`,
  `acknowledged         ${report.acknowledged} of ${report.signed} signed`,
  `stored               ${report.stored}, in ${report.blocks} blocks`,
  `not sealed           ${report.unsealed}`,
  `refused              ${report.refused}`,
  `lost                 ${report.lost}`,
  `stored twice         ${report.storedTwice}`,
  `took                 ${Math.round(report.tookMs / 1000)} s`,
  ...faults.slice(0, 20).map((fault) => `FAULT                ${fault}`),
  report.isKept ? "the promises were kept" : "A PROMISE WAS BROKEN",
]
process.stdout.write(`${lines.join("\n")}\n`)
if (report.isKept) process.exitCode = 0
