import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { encodeUtf8, formatBase64, parseHex } from "../../chain/bytes.ts"
import { sortSign1 } from "../../chain/transparent-statement.ts"
import { parseHash } from "../../chain/hash.ts"
import { type PublicKey, decodeCoseKey } from "../../chain/key.ts"
import { formatNote, formatVkey, noteKeyHash, parseNote } from "../../chain/note.ts"
import { isTlogProof } from "../../chain/tlog-proof.ts"
import { parseTlogPolicy } from "../../chain/tlog-policy.ts"
import { sha256Native, verifyNative } from "../../ingest/native.ts"
import type { EvidenceTrust } from "../../verify/evidence.ts"
import {
  type ProofOptions,
  type ProofResult,
  describeProof,
  formatProof,
  openLogPolicy,
  verifyReceipt,
  verifyTlogProof,
  verifyTransparent,
} from "../../verify/proof.ts"
import { policyAlone } from "../vectors/evidence-scene.ts"
import { makeProofFiles } from "../vectors/generate.ts"
import { strangerKey } from "../vectors/keys.ts"
import { type ProofVector, draftProof, proofLog } from "../vectors/proof-scene.ts"
import { simulatedReceiptKey } from "./simulated-log.ts"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))
const list = (name: string): string[] => readdirSync(`${folder}${name}`).map((file) => `${name}/${file}`)
const read = (path: string): ProofVector => JSON.parse(readFileSync(folder + path, "utf8")) as ProofVector
const valid = [...list("proofs/valid"), ...list("receipts/valid")]
const invalid = [...list("proofs/invalid"), ...list("receipts/invalid")]
const native = { sha256: sha256Native, verify: verifyNative }

function trustOf(policy: string, since?: number): EvidenceTrust {
  const parsed = parseTlogPolicy(encodeUtf8(policy))
  if (parsed.kind === "fault") throw new Error(parsed.rule)
  return { policy: parsed.policy, ...(since === undefined ? {} : { sinceMs: since }) }
}

const keyOf = (hex: string): PublicKey => decodeCoseKey(parseHex(hex)!)

function verifyVector(vector: ProofVector): ProofResult {
  const { statement, entry, signerKeys = [], policy, since, receiptKey, file } = vector
  const given: ProofOptions["given"] =
    statement !== undefined
      ? { kind: "statement", bytes: parseHex(statement)! }
      : entry !== undefined
        ? { kind: "entry", entry: parseHash(parseHex(entry)!) }
        : null
  const options: ProofOptions = { given, signerKeys: signerKeys.map(keyOf), ...native }
  if (policy !== undefined) return verifyTlogProof(encodeUtf8(file), trustOf(policy, since), options)
  const bytes = parseHex(file)!
  const check = sortSign1(bytes) === "receipt" ? verifyReceipt : verifyTransparent
  return check(bytes, keyOf(receiptKey!), options)
}

test("the generator makes the proofs and receipts that are committed, and no file is without one", () => {
  const made = makeProofFiles()
  expect([...made.keys()].toSorted()).toEqual([...valid, ...invalid].toSorted())
  const others = [...made].filter(([path, text]) => readFileSync(folder + path, "utf8") !== text)
  expect(others.map(([path]) => path)).toEqual([])
  expect(invalid.length).toBeGreaterThan(80)
})

test.each(valid)("%s is verified", (path) => {
  const vector = read(path)
  const result = verifyVector(vector)
  expect(describeProof(result)).toMatchObject({ kind: "verified", ...vector.says })
  expect(formatProof(result)).toMatch(/\nverified: .* is in the log tidemark\.example\/vectors$/)
  // How much was said, and never what.
  expect(formatProof(result)).not.toContain("heart-rate")
  expect(vector.policy !== undefined).toBe(isTlogProof(encodeUtf8(vector.file)))
})

test.each(invalid)("%s is refused, and what is wrong is named", (path) => {
  const { code, names, ...vector } = read(path)
  const result = verifyVector(vector)
  expect(result).toMatchObject({ kind: "refused", code, what: names })
  expect(formatProof(result)).toMatch(/^refused: /)
  expect(describeProof(result)).toEqual(result)
})

test("what stands under the checkpoint in the name of another log that the reader trusts changes nothing", () => {
  const other = { name: "other.example/log", publicKey: strangerKey.publicKey }
  const note = parseNote(proofLog.note())!
  const forged = { name: other.name, keyHash: noteKeyHash(other), signature: new Uint8Array(64) }
  for (const signatures of [
    [forged, ...note.signatures],
    [...note.signatures, forged],
  ]) {
    const file = draftProof({ note: formatNote({ ...note, signatures }) })
    const policy = `log ${formatVkey(other)}\n${policyAlone}`
    const result = verifyTlogProof(encodeUtf8(file), trustOf(policy), {
      given: null,
      signerKeys: [],
      ...native,
    })
    expect(describeProof(result)).toMatchObject({ kind: "verified", log: formatVkey(proofLog.vkey) })
  }
})

test("a proof of the log's first leaf gives the key of its receipts to whoever trusts the log's key", () => {
  const first = proofLog.leaves[0]!
  const policyProof = draftProof({
    extra: formatBase64(first.bytes),
    index: "index 0",
    path: proofLog.path(0).map((node) => formatBase64(node)),
  })
  const opened = openLogPolicy(encodeUtf8(policyProof), trustOf(policyAlone), native)
  expect(opened).toMatchObject({ kind: "policy", policy: { receiptKey: simulatedReceiptKey.publicKey } })
  expect(openLogPolicy(encodeUtf8(draftProof()), trustOf(policyAlone), native)).toMatchObject({
    kind: "refused",
    code: "policy",
  })
  expect(
    openLogPolicy(encodeUtf8(policyProof.replace("index 0", "index 1")), trustOf(policyAlone), native),
  ).toMatchObject({ kind: "refused", code: "root" })
})
