import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { encodeUtf8, formatHex, joinBytes } from "../../chain/bytes.ts"
import { decodeCoseReceipt, encodeCoseReceipt } from "../../chain/cose-receipt.ts"
import { genesisOf } from "../../chain/genesis.ts"
import { formatVkey } from "../../chain/note.ts"
import { checkSignature } from "../../chain/signature.ts"
import { signedBytesOf } from "../../chain/statement.ts"
import { parseTlogProof } from "../../chain/tlog-proof.ts"
import { policyOfLog } from "../../chain/tlog-policy.ts"
import { verdictCodes } from "../../chain/verdict.ts"
import { edKey, seedSentence } from "../vectors/keys.ts"
import { EvidenceVerifier } from "../../verify/evidence.ts"
import { splitVectors } from "../vectors/splits.ts"
import { exampleParts as evidenceParts, exampleLog, formatEvidenceExample } from "./evidence-example.ts"
import { exampleParts, exampleStatement, formatExample } from "./example.ts"
import { exampleProof, exampleReceipt, exampleReceiptParts, formatReceiptExample } from "./proof-example.ts"

const format = readFileSync(fileURLToPath(new URL("../../chain/FORMAT.md", import.meta.url)), "utf8")

test("the example of FORMAT.md is what the code makes, byte by byte", () => {
  const [, example] = /^```statement\n([^]*?)^```$/m.exec(format) ?? []
  expect(example).toBe(formatExample())
  expect(joinBytes(...exampleParts.map(([part]) => part))).toEqual(exampleStatement.bytes)
  const signed = signedBytesOf(exampleStatement)
  expect(checkSignature(edKey.publicKey, -19, signed, exampleStatement.signature)).toBe("good")
  expect(format).toContain(seedSentence)
})

test("the genesis of FORMAT.md is what the code makes", () => {
  const [, vkey, chain, genesis] =
    /^```genesis\nvkey +(\S+)\nchain id +(\S+)\ngenesis +(\S+)\n```$/m.exec(format) ?? []
  expect(vkey).toBe(formatVkey(exampleLog().vkey))
  expect(genesis).toBe(formatHex(genesisOf(vkey!, chain!)))
})

test("the example of evidence in FORMAT.md is what the code makes, byte by byte, and verifies", async () => {
  const [, example] = /^```evidence\n([^]*?)^```$/m.exec(format) ?? []
  expect(example).toBe(await formatEvidenceExample())
  const log = exampleLog()
  const file = await log.evidence("k7", 0, 0)
  expect(joinBytes(...(await evidenceParts()).map(([part]) => part))).toEqual(file)
  const verifier = new EvidenceVerifier({ trust: { policy: policyOfLog(log.vkey) } })
  verifier.push(file)
  expect(verifier.end()).toMatchObject({ kind: "verified", statements: 1, readings: 1 })
})

test("the proof and the receipt of FORMAT.md are what the code makes, byte by byte", () => {
  const [, proof] = /^```tlog-proof\n([^]*?)^```$/m.exec(format) ?? []
  expect(proof).toBe(exampleProof)
  expect(parseTlogProof(encodeUtf8(exampleProof))).toMatchObject({ kind: "proof", proof: { index: 3 } })
  const [, receipt] = /^```receipt\n([^]*?)^```$/m.exec(format) ?? []
  expect(receipt).toBe(formatReceiptExample())
  expect(joinBytes(...exampleReceiptParts.map(([part]) => part))).toEqual(exampleReceipt)
  expect(encodeCoseReceipt(decodeCoseReceipt(exampleReceipt))).toEqual(exampleReceipt)
})

test("the split view of FORMAT.md is the vector's, byte by byte", () => {
  const [, example] = /^```split-view\n([^]*?)^```$/m.exec(format) ?? []
  expect(example).toBe(splitVectors().get("splits/valid/grown-differently.json")!.file)
})

test("FORMAT.md has every verdict under its code", () => {
  const rows = [...format.matchAll(/^\| (\d+) \| ([a-z-]+) \|/gm)].map(([, code, verdict]) => [
    verdict,
    Number(code),
  ])
  expect(Object.fromEntries(rows)).toEqual(verdictCodes)
})

test("every section that a vector names is one of FORMAT.md", () => {
  const sections = new Set([...format.matchAll(/^## (\d+)\. /gm)].map(([, number]) => `§${number}`))
  const folder = fileURLToPath(new URL("../vectors/", import.meta.url))
  const named = [
    "statements/valid",
    "statements/invalid",
    "chains",
    "evidence/valid",
    "evidence/invalid",
    "splits/valid",
    "splits/invalid",
    "proofs/valid",
    "proofs/invalid",
    "receipts/valid",
    "receipts/invalid",
    "tiles/valid",
    "tiles/invalid",
    "checkpoints/valid",
    "checkpoints/invalid",
  ].flatMap((part) =>
    readdirSync(folder + part).map(
      (file) => (JSON.parse(readFileSync(`${folder}${part}/${file}`, "utf8")) as { rule: string }).rule,
    ),
  )
  expect(named.length).toBeGreaterThan(100)
  expect([...new Set(named)].filter((rule) => !sections.has(rule))).toEqual([])
})
