import { expect, test } from "vitest"
import { encodeUtf8, formatHex, joinBytes, parseHex } from "../../chain/bytes.ts"
import { findLine, inspect } from "../../chain/inspect.ts"
import { formatInspectedProof, inspectProof } from "../../cli/inspect-proof.ts"
import { encodeSealedAnswer } from "../../chain/sealed-answer.ts"
import { vectorOrigin } from "../vectors/keys.ts"
import {
  draftProof,
  draftReceipt,
  draftTransparent,
  entry,
  leafIndex,
  statementBytes,
  treeSize,
} from "../vectors/proof-scene.ts"
import { receiptVectors } from "../vectors/receipts.ts"

test("every byte of a receipt and of a Transparent Statement stands in one line, also where a rule is broken", () => {
  for (const [path, { file }] of receiptVectors()) {
    const bytes = parseHex(file)!
    const { lines } = inspect(bytes, vectorOrigin)
    expect([path, formatHex(joinBytes(...lines.map((line) => line.bytes)))]).toEqual([path, file])
  }
})

test("what a receipt says is told, and what leaves its format is named at its byte", () => {
  const receipt = draftReceipt()
  expect(inspect(receipt)).toMatchObject({
    kind: "cose-receipt",
    receipt: { index: leafIndex, size: treeSize },
  })
  const texts = inspect(receipt).lines.map(({ text }) => text)
  for (const text of [
    "395 vds: 1, RFC9162_SHA256",
    "-65539 size of the tree: 6",
    "index of the leaf: 3",
    '2 sub: "log"',
  ])
    expect(texts).toContain(text)
  const wrongs = [...receiptVectors()].flatMap(([path, { code, names, file }]) => {
    const inspection = inspect(parseHex(file)!)
    if (code !== "format" || names !== "the receipt") return []
    const wrong = "wrong" in inspection ? inspection.wrong : null
    return [
      [path, wrong === null ? null : (findLine(inspection.lines, wrong.offset)?.text ?? "behind the end")],
    ]
  })
  expect(wrongs.length).toBeGreaterThan(20)
  expect(wrongs.filter(([, line]) => line === null)).toEqual([])
  expect(Object.fromEntries(wrongs)).toMatchObject({
    "receipts/invalid/algorithm-eddsa.json": "1 alg: -8",
    "receipts/invalid/size-of-the-proof-is-another.json": "size of the tree: 7",
    "receipts/invalid/payload-attached.json": "3. payload: a byte string of 32",
    "receipts/invalid/sub-of-the-statement.json": '2 sub: "k7"',
  })
})

test("the answer to a device that asked is explained, with a receipt and without", () => {
  const answer = encodeSealedAnswer({ seq: 1, receipt: draftReceipt() })
  expect(inspect(answer)).toMatchObject({ kind: "sealed-answer", seq: 1, receipt: { index: leafIndex } })
  expect(inspect(encodeSealedAnswer({ seq: 1, receipt: null }))).toMatchObject({ seq: 1, receipt: null })
  const broken = encodeSealedAnswer({ seq: 1, receipt: draftReceipt({ index: treeSize }) })
  const inspection = inspect(broken)
  if (inspection.kind !== "no-cose-receipt") throw new Error(inspection.kind)
  expect(findLine(inspection.lines, inspection.wrong.offset)?.text).toBe("index of the leaf: 6")
})

test("a Transparent Statement is explained as its statement, with its receipts", () => {
  const receipt = draftReceipt()
  const transparent = draftTransparent([receipt])
  const inspection = inspect(transparent)
  expect(inspection).toMatchObject({
    kind: "transparent",
    entry,
    receipts: [{ index: leafIndex }],
    wrong: null,
  })
  // A byte behind the receipts stands further on than in the statement.
  const broken = Uint8Array.from(transparent)
  const at = transparent.length - 66
  expect([broken[at], broken[at + 1]]).toEqual([0x58, 0x40])
  broken[at + 1] = 0x3f
  expect(inspect(broken)).toMatchObject({ kind: "no-transparent", wrong: { offset: at } })
  expect(inspect(joinBytes(transparent, Uint8Array.of(0)))).toMatchObject({
    kind: "no-transparent",
    wrong: { offset: transparent.length },
  })
  expect(inspect(statementBytes).kind).toBe("statement")
})

test("a tlog-proof is told line by line, and a broken one by its line", () => {
  const bytes = encodeUtf8(draftProof())
  const inspected = inspectProof(bytes)
  expect(inspected).toMatchObject({
    index: leafIndex,
    entry: formatHex(entry),
    statement: "statement 1 of device k7",
    path: 3,
    origin: vectorOrigin,
    treeSize,
    wrong: null,
  })
  expect(formatInspectedProof(bytes, inspected).join("\n")).toContain("statement 1 of device k7")
  const broken = encodeUtf8(draftProof({ index: "index 03" }))
  expect(formatInspectedProof(broken, inspectProof(broken)).join("\n")).toMatch(
    /^line 3 +"index 03"\n.*\nfirst wrong {4}line 3: index and a number/,
  )
})
