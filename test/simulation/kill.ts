/** `npm run soak:kill -- --rounds 20 --seed 1`: exit 0 when promise 1 was kept, 1 otherwise. */
import { parseArgs } from "node:util"
import { type KillReport, soakByKilling } from "./kill-soak.ts"

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "20" }, seed: { type: "string", default: "1" } },
})

// Until it is known to be kept: a soak that ends early has shown nothing.
process.exitCode = 1
const report = await soakByKilling({
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  say: (line) => process.stderr.write(`${line}\n`),
})
process.stdout.write(`${formatReport(report)}\n`)
if (report.isKept) process.exitCode = 0

function formatReport(kept: KillReport): string {
  const { acknowledged, signed, stored, lost, storedTwice, faults } = kept
  return [
    `seed                 ${kept.seed}`,
    `rounds               ${kept.rounds}`,
    ...Object.entries(kept.kills)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, count]) => `  ${String(count).padStart(3)}  ${what}`),
    `acknowledged         ${acknowledged} of ${signed} signed`,
    `stored               ${stored}, in ${kept.blocks} blocks`,
    `stored, no PUBACK    ${kept.storedSilently} (the head told)`,
    `sent again           ${kept.sentAgain}`,
    `connections          ${kept.connections}`,
    `lost                 ${lost}`,
    `stored twice         ${storedTwice}`,
    `took                 ${Math.round(kept.tookMs / 1000)} s`,
    ...faults.slice(0, 20).map((fault) => `FAULT                ${fault}`),
    kept.isKept ? "promise 1 was kept" : "PROMISE 1 WAS BROKEN",
  ].join("\n")
}
