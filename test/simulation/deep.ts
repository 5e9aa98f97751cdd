/**
 * `npm run simulate:deep -- --seed 1 --runs 1000`: the whole system in one process, on one seed at a time. Exit 0 when every
 * promise was kept in every run, 1 where one was broken, and the seed says how to see it again.
 */
import { parseArgs } from "node:util"
import { type SeedResult, runSeed } from "./deep/run.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "200" },
    /** Ends at the first seed that breaks a promise. */
    "stop-at-first": { type: "boolean", default: false },
    /** What it says is read by a program. */
    json: { type: "boolean", default: false },
  },
})

// Until it is known to be kept: a simulation that ends early has shown nothing.
process.exitCode = 1
const first = wholeNumber("seed")
const runs = wholeNumber("runs")
const startedAt = performance.now()
const seen = new Map<string, number>()
const broken: SeedResult[] = []
const sums = { statements: 0, blocks: 0, steps: 0, simulatedMs: 0 }
let done = 0
for (; done < runs; done++) {
  const result = await runSeed(first + done)
  for (const [what, count] of result.seen) seen.set(what, (seen.get(what) ?? 0) + count)
  for (const key of ["statements", "blocks", "steps", "simulatedMs"] as const) sums[key] += result[key]
  if (runs === 1)
    process.stdout.write(
      `root                 ${result.root}\ntroubles             ${result.troubles.join(", ")}\n`,
    )
  if (result.faults.length === 0) continue
  broken.push(result)
  if (!values.json) process.stdout.write(`${formatBroken(result)}\n`)
  if (values["stop-at-first"]) break
}
if (values.json)
  process.stdout.write(`${JSON.stringify(broken.map(({ seed, faults }) => ({ seed, faults })))}\n`)
else process.stdout.write(`${formatSum()}\n`)
if (broken.length === 0) process.exitCode = 0

function wholeNumber(name: "seed" | "runs"): number {
  const number = Number(values[name])
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`--${name} is a whole number`)
  return number
}

function formatBroken({ seed, faults, troubles }: SeedResult): string {
  return [
    `seed ${seed}: ${faults.length} faults, under ${troubles.join(", ")}`,
    ...faults
      .slice(0, 10)
      .map(({ promise, what }) => `  ${promise === 0 ? "at all" : `promise ${promise}`}: ${what}`),
    `  again: npm run simulate:deep -- --seed ${seed} --runs 1`,
  ].join("\n")
}

function formatSum(): string {
  return [
    ...[...seen]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, count]) => `${String(count).padStart(8)}  ${what}`),
    `seeds                ${done === runs ? `${first} to ${first + runs - 1}` : `${first} to ${first + done}`}`,
    `statements           ${sums.statements}, in ${sums.blocks} blocks`,
    `happenings           ${sums.steps} in ${Math.round(sums.simulatedMs / 3_600_000)} simulated hours`,
    `took                 ${Math.round((performance.now() - startedAt) / 1000)} s`,
    broken.length === 0
      ? "all promises were kept"
      : `PROMISES WERE BROKEN by ${broken.length} seeds: ${broken.map(({ seed }) => seed).join(", ")}`,
  ].join("\n")
}
