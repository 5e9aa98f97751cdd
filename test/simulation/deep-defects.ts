/**
 * `npm run simulate:defects`: plants each defect in a copy of the source and says which seed finds it. Exit 0 when all are
 * found, and when the source as it is breaks nothing.
 */
import { execFile } from "node:child_process"
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs, promisify } from "node:util"
import { fileURLToPath } from "node:url"
import { type Defect, defects } from "./deep/defects.ts"
import type { Fault } from "./deep/truth.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    /** Seeds that are tried for each defect. */
    runs: { type: "string", default: "300" },
    /** Only those whose name has this in it. */
    only: { type: "string", default: "" },
  },
})

const root = fileURLToPath(new URL("../../", import.meta.url))
const parts = [
  "broker",
  "chain",
  "cli",
  "devices-sim",
  "disk",
  "ingest",
  "research",
  "test/simulation",
  "verify",
  "package.json",
]

interface Found {
  readonly seed: string
  readonly faults: readonly Fault[]
}

process.exitCode = 1
const copy = await mkdtemp(join(tmpdir(), "tidemark-defects-"))
try {
  for (const part of parts) await cp(join(root, part), join(copy, part), { recursive: true })
  await symlink(join(root, "node_modules"), join(copy, "node_modules"))
  const chosen = defects.filter(({ name }) => name.includes(values.only))
  if (chosen.length === 0) throw new RangeError(`no defect is called ${values.only}`)
  let missed = 0
  for (const defect of chosen) {
    const found = await plant(defect)
    if (found === null) missed += 1
    process.stdout.write(`${formatFound(defect, found)}\n`)
  }
  process.stdout.write(missed === 0 ? "every defect was found\n" : `${missed} DEFECTS WERE NOT FOUND\n`)
  if (missed === 0) process.exitCode = 0
} finally {
  await rm(copy, { recursive: true, force: true })
}

async function plant({ edits, name }: Defect): Promise<Found | null> {
  const before = new Map<string, string>()
  for (const { file, find, replace } of edits) {
    const path = join(copy, file)
    const text = await readFile(path, "utf8")
    if (!before.has(path)) before.set(path, text)
    if (text.split(find).length !== 2)
      throw new Error(`"${name}": what it changes does not stand once in ${file}`)
    await writeFile(
      path,
      text.replace(find, () => replace),
    )
  }
  try {
    return await look()
  } finally {
    for (const [path, text] of before) await writeFile(path, text)
  }
}

/** The first seed that finds something. */
async function look(): Promise<Found | null> {
  const script = join(copy, "test/simulation/deep.ts")
  const options = ["--seed", values.seed, "--runs", values.runs, "--stop-at-first", "--json"]
  const tsx = join(root, "node_modules/tsx/dist/cli.mjs")
  const run = promisify(execFile)(process.execPath, [tsx, script, ...options], { cwd: copy })
  const { stdout } = await run.catch((error: { stdout?: string; stderr?: string }) => {
    if (!error.stdout?.startsWith("[")) throw new Error(error.stderr)
    return { stdout: error.stdout }
  })
  const [found] = JSON.parse(stdout) as readonly Found[]
  return found ?? null
}

function formatFound({ name, promise }: Defect, found: Found | null): string {
  if (found === null) return `NOT FOUND  ${name} (in ${values.runs} seeds)`
  const broken = [...new Set(found.faults.map((fault) => fault.promise))].toSorted((a, b) => a - b)
  const said = found.faults.find((fault) => fault.promise === promise) ?? found.faults[0]!
  return [
    `found      ${name}`,
    `           by seed ${found.seed}, promise${broken.length > 1 ? "s" : ""} ${broken.join(", ")}: ${said.what.split("\n")[0]}`,
  ].join("\n")
}
