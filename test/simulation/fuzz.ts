/** `npm run soak:fuzz -- --count 1000000 --seed 1`: exit 0 when nothing that must hold was broken, 1 otherwise. */
import { parseArgs } from "node:util"
import { type FuzzReport, soakByFuzz } from "./fuzz-soak.ts"

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    lanes: { type: "string", default: "128" },
  },
})

const report = await soakByFuzz({
  count: Number(values.count),
  seed: Number(values.seed),
  from: Number(values.from),
  lanes: Number(values.lanes),
  say: (line) => process.stderr.write(`${line}\n`),
})
process.stdout.write(`${formatReport(report)}\n`)
if (report.faults.length > 0) process.exitCode = 1

function formatReport(fuzz: FuzzReport): string {
  const { heard, rssMiB, faults, count, tookMs } = fuzz
  return [
    `seed                 ${fuzz.seed}, from case ${fuzz.from}`,
    `cases                ${count} in ${Math.round(tookMs / 1000)} s, ${Math.round((1000 * count) / tookMs)}/s`,
    `outcomes             ${fuzz.answered} answered, ${fuzz.closed} closed`,
    `connections          ${heard.connections}`,
    `refused              ${list(fuzz.refusedConnections)}`,
    `verdicts             ${list(fuzz.verdicts)}`,
    `stored               ${fuzz.stored}`,
    `honest devices       ${fuzz.honestAcknowledged} acknowledged and stored once, none refused`,
    `memory               ${rssMiB[0]} MiB at first, ${Math.max(...rssMiB)} at most, ${rssMiB.at(-1)} at last; heap ${fuzz.heapMiB.join(" and ")}`,
    ...faults.map((fault) => `FAULT                ${fault}`),
    faults.length === 0
      ? "no crash, every one answered or closed, and everything adds up"
      : "THE FUZZ FOUND SOMETHING",
  ].join("\n")
}

function list(counts: ReadonlyMap<string | number, number>): string {
  return [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, one]) => `${name} ${one}`)
    .join(", ")
}
