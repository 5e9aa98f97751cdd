import { execFile, execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { afterAll, expect, test } from "vitest"
import { RunningUp, makeFolder, removeFolders, run } from "../cli/command.ts"
import { repository } from "../cli/program.ts"

const python = process.env["TIDEMARK_PEERS_COSE_PYTHON"] ?? "python3"

afterAll(removeFolders)

/** Whether this machine has a COSE library of others, which is said where it has not; in CI that is a failure. */
function hasPackages(): boolean {
  try {
    execFileSync(python, ["-c", "import cbor2, cwt"], { stdio: "pipe" })
    return true
  } catch (error) {
    if (process.env["CI"] !== undefined) throw error
    process.stderr.write("skipped: python3 with cwt (3.3.0 was tried) is missing on this machine\n")
    return false
  }
}

test("a COSE library of others takes the statement, the receipt and the Transparent Statement, and none that was changed", async () => {
  if (!hasPackages()) return
  const data = await makeFolder()
  const folder = dirname(data)
  const up = await RunningUp.start(data)
  await run(["simulate", "--data", data, "--devices", "2", "--statements", "5"])
  await run(["seal", "--data", data])
  const get = async (path: string): Promise<Uint8Array> => {
    const response = await fetch(`${up.http}${path}`)
    if (!response.ok) throw new Error(`${path} was answered ${response.status}`)
    return new Uint8Array(await response.arrayBuffer())
  }
  const getJson = async <T>(path: string): Promise<T> =>
    JSON.parse(new TextDecoder().decode(await get(path))) as T
  for (const device of ["sim-1-0001", "sim-1-0002"]) {
    const { items } = await getJson<{ items: { entry: string }[] }>(`/v1/readings?device=${device}&limit=1`)
    const path = `/v1/statements/${items[0]!.entry}`
    const { bytes, key } = await getJson<{ bytes: string; key: { coseKey: string } }>(path)
    const files = {
      statement: Buffer.from(bytes, "base64"),
      receipt: await get(`${path}/receipt`),
      transparent: await get(`${path}/transparent`),
      "keys.cbor": await get("/.well-known/scitt-keys"),
    }
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
    const script = join(repository, "test", "peers", "receipts.py")
    const { stdout } = await promisify(execFile)(python, [script, folder, key.coseKey])
    expect(stdout.trim().split("\n")).toEqual([
      "statement is signed",
      "transparent statement is signed",
      expect.stringMatching(/^receipt is signed: leaf \d+ of \d+$/),
      "a changed statement is refused",
      "a changed receipt is refused",
    ])
  }
  await up.end("SIGTERM")
})
