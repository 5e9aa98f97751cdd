import { expect, test } from "vitest"
import { formatHex, parseHex } from "../../chain/bytes.ts"
import { FormatFault } from "../../chain/cbor.ts"
import {
  decodeSealedAnswer,
  decodeSealedQuestion,
  encodeSealedAnswer,
  encodeSealedQuestion,
} from "../../chain/sealed-answer.ts"

test("a question is the seq in CBOR, or nothing for the newest", () => {
  for (const question of [{ kind: "newest" } as const, { kind: "seq", seq: 118 } as const])
    expect(decodeSealedQuestion(encodeSealedQuestion(question))).toEqual(question)
  expect(formatHex(encodeSealedQuestion({ kind: "seq", seq: 118 }))).toBe("1876")
  for (const other of ["00", "20", "1801", "f6", "0101", "6137", "ff", "1b0020000000000000", "00".repeat(10)])
    expect([other, decodeSealedQuestion(parseHex(other)!)]).toEqual([other, null])
})

test("an answer is [seq, receipt], and each may be null", () => {
  for (const answer of [
    { seq: 118, receipt: Uint8Array.of(1, 2) },
    { seq: 118, receipt: null },
    { seq: null, receipt: null },
  ])
    expect(decodeSealedAnswer(encodeSealedAnswer(answer))).toEqual(answer)
  for (const other of ["", "80", "8101", "83010203", "82f5f6", "820143", "8201410000", "820101"])
    expect(() => decodeSealedAnswer(parseHex(other)!)).toThrow(FormatFault)
})
