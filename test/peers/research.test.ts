import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { RunningUp, makeFolder, removeFolders, run } from "../cli/command.ts"
import { repository } from "../cli/program.ts"

const python = process.env["TIDEMARK_PEERS_PYTHON"] ?? "python3"
let folder: string
let device: string

/** Whether this machine has what the script imports, which is said where it has not; in CI that is a failure. */
function hasPackages(): boolean {
  try {
    execFileSync(python, ["-c", "import duckdb, matplotlib, pandas, pyarrow"], { stdio: "pipe" })
    return true
  } catch (error) {
    if (process.env["CI"] !== undefined) throw error
    process.stderr.write(
      "skipped: python3 with examples/research/requirements.txt is missing on this machine\n",
    )
    return false
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tidemark-research-"))
  const data = await makeFolder()
  const up = await RunningUp.start(data)
  const said = await run([
    "simulate",
    "--data",
    data,
    "--devices",
    "2",
    "--statements",
    "5",
    "--readings",
    "400",
    "--json",
  ])
  device = (JSON.parse(said) as { devices: { id: string }[] }).devices[0]!.id
  await run(["seal", "--data", data])
  await run(["export", "--data", data, "-o", join(folder, "export")])
  await up.end("SIGTERM")
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await removeFolders()
})

const explore = async (...args: string[]) =>
  promisify(execFile)(python, [
    join(repository, "examples", "research", "explore.py"),
    join(folder, "export"),
    "--pictures",
    join(folder, "pictures"),
    ...args,
  ])

test("the script checks an export of ours, plots it, and refuses one that was changed", async () => {
  if (!hasPackages()) return
  const { stdout } = await explore("--device", device)
  expect(stdout).toContain("4,000 readings of")
  expect(stdout).toContain("each file has the rows that the manifest says")
  for (const name of ["coverage.png", "series.png"])
    expect(statSync(join(folder, "pictures", name)).size).toBeGreaterThan(5_000)
  expect(readFileSync(join(folder, "pictures", "resampled.csv"), "utf8")).toMatch(/^bin,mean,readings\n/)
  // field Q10: as a notebook, whose own arguments are none of ours, in the folder that holds the export.
  const path = join(repository, "examples", "research", "explore.py")
  const notebook = `import sys, types; sys.modules["ipykernel"] = types.ModuleType("ipykernel"); sys.argv = ["kernel", "-f", "x.json"]; exec(compile(open(${JSON.stringify(path)}).read(), "cell", "exec"))`
  const cells = await promisify(execFile)(python, ["-c", notebook], {
    cwd: folder,
    env: { ...process.env, MPLBACKEND: "Agg" },
  })
  expect(cells.stdout).toContain("each file has the rows that the manifest says")
  const manifest = join(folder, "export", "manifest.json")
  const changed = readFileSync(manifest, "utf8").replace(/"sha256": "./, '"sha256": "x')
  writeFileSync(manifest, changed)
  await expect(explore()).rejects.toMatchObject({
    stderr: expect.stringContaining("is not what the manifest says"),
  })
})
