import { readFile, readdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { gunzipSync } from "node:zlib"
import { afterAll, beforeAll, expect, test } from "vitest"
import { parseHex } from "../../chain/bytes.ts"
import { readItems } from "../vectors/evidence-edit.ts"
import type { EvidenceVector } from "../vectors/evidence-scene.ts"
import { holdDatabase, makeFolder, parseLines, removeFolders, run, tidemark } from "./command.ts"

let data: string
let folder: string
let vkey: string
let file: string

beforeAll(async () => {
  data = await makeFolder()
  folder = dirname(data)
  await run(["simulate", "--devices", "2", "--statements", "3", "--readings", "5", "--data", data])
  await run(["seal", "--data", data])
  await holdDatabase(data)
  file = join(folder, "one.evidence.gz")
  const stdout = await run(["evidence", "sim-1-0001", "-o", file, "--data", data])
  vkey = /--log-key (\S+)/.exec(stdout)![1]!
})
afterAll(removeFolders)

test("evidence writes a file whole, says what is in it, and verify passes it by the log's key alone", async () => {
  const { code, stdout } = await tidemark(["verify", file, "--log-key", vkey, "--data", join(folder, "none")])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^3 statements of device sim-1-0001 \(seq 1 to 3\) with 15 readings, in block 0/)
  expect(stdout).toMatch(
    /\nverified: nothing of device sim-1-0001 is missing from block 0, and nothing was added\n$/,
  )
  expect((await readdir(folder)).filter((name) => name.endsWith(".new"))).toEqual([])
})

test("verify of a file that was changed ends with 1 and names the statement, and on the operator's machine the data folder says whom to trust", async () => {
  const bytes = gunzipSync(await readFile(file))
  // The signature of the last statement of the device: the third of its kind, before the last manifest.
  const [statement] = readItems(bytes)
    .filter((item) => item.kind === "device")
    .slice(-1)
  if (statement?.kind !== "device") throw new Error("the file has no statement")
  bytes[bytes.indexOf(statement.statement) + statement.statement.length - 1]! ^= 1
  const changed = join(folder, "changed.evidence")
  await writeFile(changed, bytes)
  const { code, stdout } = await tidemark(["verify", changed, "--data", data])
  expect(code).toBe(1)
  expect(stdout).toMatch(/^refused: statement 3 of device sim-1-0001 has a signature that does not verify/m)
})

test("verify asks what its reader trusts, and takes nothing from the file", async () => {
  const { code, stderr } = await tidemark(["verify", file, "--data", join(folder, "none")])
  expect(code).toBe(2)
  expect(stderr).toContain("--log-key")
})

test("a policy file that demands witnesses refuses a file without them", async () => {
  const path = join(import.meta.dirname, "../vectors/evidence/invalid/witness-missing.json")
  const vector = JSON.parse(await readFile(path, "utf8")) as EvidenceVector
  const policy = join(folder, "policy")
  const evidence = join(folder, "vector.evidence")
  await writeFile(policy, vector.policy)
  await writeFile(evidence, parseHex(vector.evidence)!)
  const { code, stdout } = await tidemark(["verify", evidence, "--policy", policy, "--json"])
  expect(code).toBe(1)
  expect(parseLines(stdout)).toMatchObject([{ kind: "refused", code: "witness", what: "the checkpoint" }])
})

test("evidence that cannot be made ends with 1 or 2, and leaves no file", async () => {
  const out = join(folder, "none.evidence")
  const make = (...args: string[]) => tidemark(["evidence", ...args, "-o", out, "--data", data])
  const nobody = await make("nobody")
  expect(nobody.code).toBe(1)
  expect(nobody.stderr).toContain("device nobody was not enrolled")
  expect((await make("sim-1-0001", "--blocks", "5..0")).code).toBe(2)
  expect((await readdir(folder)).filter((name) => name.startsWith("none"))).toEqual([])
})
