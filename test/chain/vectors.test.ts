import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { formatHex, parseHex } from "../../chain/bytes.ts"
import { decodeCoseKey, kidOf } from "../../chain/key.ts"
import type { DeviceKey } from "../../chain/link.ts"
import { isStored, parseVerdictCode, verdictCodes } from "../../chain/verdict.ts"
import type { ChainVector } from "../vectors/chains.ts"
import { makeVectorFiles } from "../vectors/generate.ts"
import type { KeyInFile } from "../vectors/keys.ts"
import type { RegistryVector } from "../vectors/registry.ts"
import { type StatementVector, seriesInFile } from "../vectors/statement-vector.ts"
import { DeviceFold } from "./fold.ts"
import { RegistryFold } from "./registry-fold.ts"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))
const list = (name: string): string[] => readdirSync(`${folder}${name}`).map((file) => `${name}/${file}`)
const read = (path: string): unknown => JSON.parse(readFileSync(folder + path, "utf8"))
const readStatement = (path: string): StatementVector => read(path) as StatementVector
const readChain = (path: string): ChainVector => read(path) as ChainVector

const valid = list("statements/valid")
const invalid = list("statements/invalid")
const chains = [...list("chains"), ...list("version-2/chains")]
const registry = [...list("registry/valid"), ...list("registry/invalid")]

function keysOf(keys: readonly KeyInFile[]): DeviceKey[] {
  return keys.map(({ coseKey, firstSeq, lastSeq, endedBy, kid }) => {
    const key = decodeCoseKey(parseHex(coseKey)!)
    expect(formatHex(kidOf(key))).toBe(kid)
    return { kid: kidOf(key), key, firstSeq, lastSeq, endedBy }
  })
}

test("the generator makes the files that are committed, and no file is without one", () => {
  const made = makeVectorFiles()
  expect([...made.keys()].toSorted()).toEqual([...valid, ...invalid, ...chains, ...registry].toSorted())
  const others = [...made].filter(([path, text]) => readFileSync(folder + path, "utf8") !== text)
  expect(others.map(([path]) => path)).toEqual([])
})

test("there are at least 70 statements and 45 refusals, and every verdict on a statement but 14 and 40 is among them", () => {
  expect(valid.length + invalid.length).toBeGreaterThanOrEqual(70)
  expect(invalid.length).toBeGreaterThanOrEqual(45)
  const codes = new Set([...valid, ...invalid].map((path) => readStatement(path).verdict))
  expect([...codes].toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 10, 11, 12, 13, 15, 17, 20, 21, 22])
  const inChains = new Set(
    chains.flatMap((path) =>
      readChain(path).steps.flatMap((step) => ("verdict" in step ? [step.verdict] : [])),
    ),
  )
  expect(inChains).toEqual(new Set(Object.values(verdictCodes).filter((code) => code > 0)))
})

test.each([...valid, ...invalid])("%s has the verdict that it says", (path) => {
  const vector = readStatement(path)
  const fold = new DeviceFold(vector.device, keysOf(vector.keys))
  for (const before of vector.before) {
    expect(fold.take(parseHex(before)!, vector.now * 1000).verdict).toBe("accepted")
  }
  const headBefore = fold.head
  const folded = fold.take(parseHex(vector.statement)!, vector.now * 1000)
  expect([folded.rule, folded.verdict].join(": ")).toBe(
    [folded.rule, parseVerdictCode(vector.verdict)].join(": "),
  )
  expect(path.includes("/valid/")).toBe(isStored(folded.verdict))
  expect(folded.entry === null ? undefined : formatHex(folded.entry)).toBe(vector.entry)
  expect(fold.head.seq - headBefore.seq).toBe(folded.verdict.startsWith("accepted") ? 1 : 0)
  const { payload } = folded
  const series = payload?.kind === "readings" ? payload.series.map(seriesInFile) : undefined
  expect(series).toEqual(vector.series)
})

test.each(chains)("%s has the verdicts that it says, and the heads", (path) => {
  const vector = readChain(path)
  const { version, vkey } = vector
  const binding = version === undefined ? null : { logVkey: vkey!, version }
  const fold = new DeviceFold(vector.device, [], binding)
  expect(vector.steps.length).toBeGreaterThan(3)
  for (const step of vector.steps) {
    if ("operator" in step) {
      fold.keys = keysOf(step.keys)
      fold.status = step.status
      continue
    }
    const folded = fold.take(parseHex(step.statement)!, vector.now * 1000)
    const head = { seq: fold.head.seq, entry: formatHex(fold.head.entry) }
    expect({ says: step.says, verdict: verdictCodes[folded.verdict], head }).toEqual({
      says: step.says,
      verdict: step.verdict,
      head: step.head,
    })
  }
})

test("there are vectors for every action of the registry, taken and refused", () => {
  const named = registry.map((path) => /[a-z]+/.exec(path.split("/")[2]!)![0])
  expect(new Set(named)).toEqual(
    new Set(["enrol", "rotate", "revoke", "suspend", "resume", "trust", "distrust"]),
  )
  expect(registry.length).toBeGreaterThan(50)
})

test.each(registry)("%s has the verdict that it says", (path) => {
  const vector = read(path) as RegistryVector
  const fold = new RegistryFold(vector)
  for (const before of vector.before) expect(fold.take(before)).toBeNull()
  const rule = fold.take(vector.statement)
  expect(rule === null ? "applied" : "refused").toBe(vector.verdict)
  expect(path.includes("/valid/")).toBe(vector.verdict === "applied")
})

test("no two files hold the same statement", () => {
  const statements = [...valid, ...invalid].map((path) => readStatement(path).statement)
  expect(new Set(statements).size).toBe(statements.length)
})
