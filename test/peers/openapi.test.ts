import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { RunningUp, makeFolder, removeFolders, run } from "../cli/command.ts"
import { repository } from "../cli/program.ts"

const exec = promisify(execFile)
const python = process.env["TIDEMARK_PEERS_COSE_PYTHON"] ?? "python3"
/** A folder with openapi-typescript, openapi-fetch and a TypeScript that these know. */
const modules = process.env["TIDEMARK_PEERS_OPENAPI_MODULES"]
let folder: string
let up: RunningUp

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tidemark-openapi-"))
  const data = await makeFolder()
  up = await RunningUp.start(data)
  await run(["simulate", "--data", data, "--devices", "2", "--statements", "3"])
  await run(["seal", "--data", data])
  const api = await fetch(`${up.http}/openapi.json`)
  writeFileSync(join(folder, "openapi.json"), await api.text())
})
afterAll(async () => {
  await up.end("SIGTERM")
  rmSync(folder, { recursive: true, force: true })
  await removeFolders()
})

/** Says what is missing on this machine; in CI that is a failure. */
function isMissing(what: string, look: () => unknown): boolean {
  try {
    look()
    return false
  } catch (error) {
    if (process.env["CI"] !== undefined) throw error
    process.stderr.write(`skipped: ${what} is missing on this machine\n`)
    return true
  }
}

test("field Q11: a generated Python client reads every kind of answer, and nothing of the API is left out of it", async () => {
  const look = (): unknown =>
    execFileSync(python, ["-c", "import openapi_python_client, dateutil"], { stdio: "pipe" })
  if (isMissing("python3 with test/peers/requirements.txt", look)) return
  const client = join(folder, "client")
  const generator = join(dirname(python), "openapi-python-client")
  const made = await exec(generator, [
    "generate",
    "--path",
    join(folder, "openapi.json"),
    "--output-path",
    client,
  ])
  // It warns of what it leaves out.
  expect(made.stdout + made.stderr).not.toMatch(/WARNING|Unsupported|omitted/)
  const { stdout } = await exec(python, [
    join(repository, "test", "peers", "openapi.py"),
    client,
    up.http,
    "sim-1-0001",
  ])
  expect(stdout.trim().split("\n")).toEqual([
    "devices ['sim-1-0001', 'sim-1-0002'] complete True",
    "kinds ['number']",
    "block 0",
    "readings [True, True]",
    "coverage ['heart-rate']",
    "proof c2sp.org/tlog-proof@v1",
    "evidence bytes",
    "receipt bytes",
    "fhir 200",
  ])
})

/** As a researcher would write it: each answer has its type, and a parameter that is not there would not compile. */
const script = `
import createClient from "openapi-fetch"
import type { paths } from "./api.ts"

const [url, device] = process.argv.slice(2) as [string, string]
const client = createClient<paths>({ baseUrl: url })
const devices = await client.GET("/v1/devices")
console.log("devices", devices.data!.items.map(({ id }) => id).join(), devices.data!.complete)
const readings = await client.GET("/v1/readings", {
  params: { query: { device: [device], metric: ["heart-rate"], limit: 2 } },
})
// The same address gives CSV and NDJSON, as text.
if (typeof readings.data !== "object") throw new Error("no JSON")
console.log("readings", readings.data.items.length)
const coverage = await client.GET("/v1/coverage", { params: { query: { device, timezone: "Europe/Berlin", liveWithin: 900, gaps: 50 } } })
console.log("coverage", coverage.data!.timezone)
const evidence = await client.GET("/v1/evidence", { params: { query: { device } }, parseAs: "arrayBuffer" })
console.log("evidence", evidence.data!.byteLength > 100)
const refused = await client.GET("/v1/coverage", { params: { query: { device: "nobody", timezone: "UTC", liveWithin: 900, gaps: 50 } } })
console.log("refused", refused.error !== undefined && "parameter" in refused.error ? refused.error.parameter : "")
`

test("field Q11: a generated TypeScript client compiles and reads every kind of answer", async () => {
  const look = (): unknown =>
    execFileSync("ls", [join(modules ?? "", "node_modules", "openapi-fetch")], { stdio: "pipe" })
  if (isMissing("openapi-typescript with openapi-fetch (TIDEMARK_PEERS_OPENAPI_MODULES)", look)) return
  const program = (name: string): string => join(modules!, "node_modules", ".bin", name)
  symlinkSync(join(modules!, "node_modules"), join(folder, "node_modules"))
  await exec(program("openapi-typescript"), [join(folder, "openapi.json"), "-o", join(folder, "api.ts")])
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }')
  writeFileSync(join(folder, "client.ts"), script)
  const options =
    "--noEmit --strict --skipLibCheck --target es2023 --module nodenext --moduleResolution nodenext --allowImportingTsExtensions --types node"
  await exec(program("tsc"), [...options.split(" "), join(folder, "client.ts")]).catch(
    (error: { stdout: string }) => {
      throw new Error(error.stdout)
    },
  )
  const tsx = join(repository, "node_modules", ".bin", "tsx")
  const { stdout } = await exec(tsx, [join(folder, "client.ts"), up.http, "sim-1-0001"])
  expect(stdout.trim().split("\n")).toEqual([
    "devices sim-1-0001,sim-1-0002 true",
    "readings 2",
    "coverage Europe/Berlin",
    "evidence true",
    "refused device",
  ])
})
