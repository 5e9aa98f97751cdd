/** `npm run soak:neighbours`: a table of what each kind of bad neighbour costs honest devices. */
import { parseArgs } from "node:util"
import { type BadKind, badKinds } from "./bad-neighbour.ts"
import { type NeighboursReport, soakBesideNeighbours } from "./neighbours-soak.ts"

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    turn: { type: "string", default: "2000" },
    only: { type: "string", multiple: true },
  },
})
const kinds = badKinds.filter((kind) => values.only === undefined || values.only.includes(kind))
const report = await soakBesideNeighbours({
  seed: Number(values.seed),
  rounds: Number(values.rounds),
  turnMs: Number(values.turn),
  kinds,
})
process.stdout.write(`${formatTable(report)}\n`)
if (report.faults.length > 0) process.exitCode = 1

function formatTable({ table, acknowledged, stored, verdicts, faults }: NeighboursReport): string {
  const row = (kind: BadKind): string => {
    const { without, beside } = table.get(kind)!
    const cells = (["p50", "p95", "p99"] as const).map((name) => {
      const [a, b] = [without[name], beside[name]]
      return `${a.toFixed(1).padStart(8)} ${b.toFixed(1).padStart(8)} ${(b / a).toFixed(2).padStart(6)}`
    })
    return `${kind.padEnd(20)} ${String(without.count).padStart(6)} ${String(beside.count).padStart(6)} ${cells.join("  ")}`
  }
  return [
    "ms to PUBACK of 20 honest devices, without and beside a bad neighbour, and the ratio",
    `${"".padEnd(20)} ${"n".padStart(6)} ${"n".padStart(6)} ${["p50", "p95", "p99"].map((name) => name.padEnd(24)).join("  ")}`,
    ...kinds.map(row),
    `acknowledged ${acknowledged}, stored ${stored}`,
    [...verdicts].map(([name, count]) => `${name.replace(/^.*="(.*)"}$/, "$1")} ${count}`).join(", "),
    ...faults.map((fault) => `FAULT ${fault}`),
  ].join("\n")
}
