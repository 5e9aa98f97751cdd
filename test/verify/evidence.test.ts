import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { parseHex } from "../../chain/bytes.ts"
import { decodeEvidenceItem, encodeEvidenceItem } from "../../chain/evidence.ts"
import { policyOfLog } from "../../chain/tlog-policy.ts"
import {
  type EvidenceResult,
  EvidenceVerifier,
  describeEvidence,
  formatEvidence,
} from "../../verify/evidence.ts"
import { readItems } from "../vectors/evidence-edit.ts"
import type { EvidenceVector } from "../vectors/evidence-scene.ts"
import { makeEvidenceFiles } from "../vectors/generate.ts"
import { native, readEvidence, trustOf } from "./evidence-file.ts"
import { SimulatedLog } from "./simulated-log.ts"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))
const list = (name: string): string[] =>
  ["evidence", "version-2/evidence"].flatMap((kind) =>
    readdirSync(`${folder}${kind}/${name}`).map((file) => `${kind}/${name}/${file}`),
  )
const read = (path: string): EvidenceVector =>
  JSON.parse(readFileSync(folder + path, "utf8")) as EvidenceVector
const fileOf = ({ evidence }: EvidenceVector): Uint8Array => parseHex(evidence)!

const valid = list("valid")
const invalid = list("invalid")

test("the generator makes the evidence that is committed, and no file is without one", async () => {
  const made = await makeEvidenceFiles()
  expect([...made.keys()].toSorted()).toEqual([...valid, ...invalid].toSorted())
  const others = [...made].filter(([path, content]) => readFileSync(folder + path, "utf8") !== content)
  expect(others.map(([path]) => path)).toEqual([])
})

test("there are at least 5 valid and 25 invalid vectors of evidence", () => {
  expect(valid.length).toBeGreaterThanOrEqual(5)
  expect(invalid.length).toBeGreaterThanOrEqual(25)
})

test.each(valid)("%s is verified, and says what it must", (path) => {
  const vector = read(path)
  const result = readEvidence(fileOf(vector), trustOf(vector))
  if (result.kind === "refused") throw new Error(`${result.what} ${result.rule}`)
  const {
    unread = 0,
    ahead = 0,
    opaque = 0,
    lost = 0,
    status = "active",
    revoked = [],
    ...says
  } = vector.says!
  expect(result.kind).toBe("verified")
  expect(result).toMatchObject({
    device: says.device,
    blocks: { from: says.blocks[0], to: says.blocks[1] },
    seqs: says.seqs === null ? null : { from: says.seqs[0], to: says.seqs[1] },
    statements: says.statements,
    readings: says.readings,
    unread,
    ahead,
    opaque,
    lost,
    status,
    revoked: revoked.map(([from, to]) => ({ from, to })),
    isPinned: vector.deviceKeys !== undefined,
    bytes: fileOf(vector).length,
  })
})

test.each(invalid)("%s is refused, and the refusal names what is wrong", (path) => {
  const vector = read(path)
  const result = readEvidence(fileOf(vector), trustOf(vector))
  expect(result).toMatchObject({ kind: "refused", code: vector.code, what: vector.names })
})

test("whole, in two pieces and byte by byte a file gives the same result", () => {
  for (const path of [
    "evidence/valid/rotated-in-the-range.json",
    "evidence/invalid/statement-removed-from-the-middle.json",
    "evidence/invalid/item-too-large.json",
    "evidence/invalid/integer-not-shortest.json",
    "evidence/invalid/cut-inside-an-item.json",
    "evidence/invalid/trailing-byte.json",
  ]) {
    const vector = read(path)
    const file = fileOf(vector)
    const whole = readEvidence(file, trustOf(vector), file.length)
    for (const pieceSize of [Math.ceil(file.length / 2), 1])
      expect(readEvidence(file, trustOf(vector), pieceSize)).toEqual(whole)
  }
})

test("noble's arithmetic says the same as the native one", () => {
  for (const path of [
    "evidence/valid/p-256.json",
    "evidence/valid/witnessed.json",
    "evidence/invalid/signature-high-s.json",
  ]) {
    const vector = read(path)
    const file = fileOf(vector)
    expect(readEvidence(file, trustOf(vector), 65_536, {})).toEqual(readEvidence(file, trustOf(vector)))
  }
})

test("an item that is read is written as the same bytes", () => {
  for (const path of valid.slice(0, 6))
    for (const item of readItems(fileOf(read(path))))
      expect(decodeEvidenceItem(encodeEvidenceItem(item))).toEqual(item)
})

test("without a trust a whole file is consistent, and nothing more", () => {
  const vector = read("evidence/valid/two-blocks.json")
  const result = readEvidence(fileOf(vector), null)
  expect(result.kind).toBe("consistent")
  expect(formatEvidence(result)).toContain("consistent, not verified")
  const forged = read("evidence/invalid/forged-chain-between-true-heads.json")
  expect(readEvidence(fileOf(forged), null)).toMatchObject({ kind: "refused", code: "root" })
})

test("after a refusal nothing more is read", () => {
  const verifier = new EvidenceVerifier({ trust: null, ...native })
  verifier.push(Uint8Array.of(0x61))
  expect(verifier.refused).toMatchObject({ code: "format", what: "the file" })
  const vector = read("evidence/valid/two-blocks.json")
  verifier.push(fileOf(vector))
  expect(verifier.end()).toMatchObject({ kind: "refused", what: "the file", offset: 0 })
})

test("statements are handed out in order, with their place in the log and their readings", async () => {
  const log = new SimulatedLog()
  const k7 = log.enrol("k7")
  const n1 = log.enrol("n1")
  log.seal()
  log.say(n1)
  log.say(k7)
  log.seal()
  log.say(k7, { readings: 5 })
  log.seal()
  const seen: unknown[] = []
  const verifier = new EvidenceVerifier({
    trust: { policy: policyOfLog(log.vkey) },
    ...native,
    onStatement: ({ seq, leafIndex, height, code, payload, receivedAtMs, entry }) => {
      expect(entry).toEqual(log.leaves[leafIndex]!.entry)
      expect(receivedAtMs).toBe(log.leaves[leafIndex]!.receivedAtMs)
      const [series] = payload.kind === "readings" ? payload.series : []
      seen.push([seq, leafIndex, height, code, series?.kind === "number" ? series.values.length : null])
    },
  })
  verifier.push(await log.evidence("k7", 1, 2))
  expect(verifier.end().kind).toBe("verified")
  expect(seen).toEqual([
    [1, 5, 1, 1, 3],
    [2, 7, 2, 1, 5],
  ])
  expect(verifier.progress).toMatchObject({ statements: 2, leaves: 9, leavesTotal: 9 })
})

function text(path: string): string {
  const vector = read(path)
  return formatEvidence(readEvidence(fileOf(vector), trustOf(vector)))
}

test("the words of a result say what was proved, as of when, and what cannot be", () => {
  expect(text("evidence/valid/witnessed.json").split("\n").at(-1)).toBe(
    "verified: nothing of device k7 is missing from blocks 2 to 3, and nothing was added",
  )
  expect(text("evidence/valid/witnessed.json")).toMatch(/seen by w1 at 2025-06-01T08:20:00.000Z, w3 at/)
  expect(text("evidence/valid/witnessed.json")).not.toContain("the operator could keep two")
  expect(text("evidence/valid/two-blocks.json")).toContain("the operator could keep two")
  expect(text("evidence/valid/two-blocks.json")).toContain("that the device said all that it measured")
  expect(text("evidence/valid/revoked-after-the-range.json")).toContain(
    "seq 5 to 7 lies beyond the last good seq",
  )
  expect(text("evidence/valid/silent-device.json")).toContain("said nothing in blocks 2 to 3")
  expect(text("evidence/invalid/statement-removed-from-the-end.json")).toContain(
    "refused: statement 7 of device k7 is missing: block 3 leaves the device at statement 7",
  )
})

test("a result for programs is plain JSON, and carries no reading", () => {
  const vector = read("evidence/valid/two-blocks.json")
  const result: EvidenceResult = readEvidence(fileOf(vector), trustOf(vector))
  const json = JSON.parse(JSON.stringify(describeEvidence(result))) as Record<string, unknown>
  expect(json).toMatchObject({
    kind: "verified",
    seqs: { from: 3, to: 7 },
    blocks: { from: 2, to: 3, begin: "2025-06-01T08:00:09.000Z" },
    keys: [{ algorithm: "Ed25519", introducedBy: "operator", signed: { from: 3, to: 7 } }],
    checkpoint: { size: 25, height: 4, cosigned: [] },
  })
  expect(JSON.stringify(json)).not.toContain("heart-rate")
})
