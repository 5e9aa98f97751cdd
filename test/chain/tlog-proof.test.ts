import { expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { signCheckpoint } from "../../chain/checkpoint.ts"
import { sha256 } from "../../chain/hash.ts"
import { type TlogProof, formatTlogProof, isTlogProof, parseTlogProof } from "../../chain/tlog-proof.ts"
import { edKey, vectorOrigin } from "../vectors/keys.ts"

const node = sha256(Uint8Array.of(1))
const checkpoint = signCheckpoint({ origin: vectorOrigin, size: 9, root: node }, edKey)
const proof: TlogProof = { extra: encodeUtf8("what"), index: 5, path: [node, sha256(node)], checkpoint }
const text = formatTlogProof(proof)
const lines = text.split("\n")

const parse = (changed: string) => parseTlogProof(encodeUtf8(changed))

test("what is printed is read, with and without extra data and a path, and begins with its name", () => {
  for (const one of [proof, { ...proof, extra: null }, { ...proof, path: [] }, { ...proof, index: 0 }])
    expect(parse(formatTlogProof(one))).toEqual({ kind: "proof", proof: one })
  expect(lines.slice(0, 3)).toEqual(["c2sp.org/tlog-proof@v1", "extra d2hhdA==", "index 5"])
  expect(text.endsWith(`\n\n${checkpoint}`)).toBe(true)
  expect(isTlogProof(encodeUtf8(text))).toBe(true)
  expect(isTlogProof(encodeUtf8(text.slice(1)))).toBe(false)
})

const swap = (line: number, other: string): string => lines.with(line, other).join("\n")

test.each([
  ["another version", swap(0, "c2sp.org/tlog-proof@v2"), 1],
  ["a carriage return", swap(0, "c2sp.org/tlog-proof@v1\r"), 1],
  ["extra data that is no base64", swap(1, "extra d2hhdA"), 2],
  ["extra data that is empty", swap(1, "extra "), 2],
  ["extra data with spare bits", swap(1, "extra d2hhdB=="), 2],
  ["extra data twice", [...lines.slice(0, 2), ...lines.slice(1)].join("\n"), 3],
  ["no index", [...lines.slice(0, 2), ...lines.slice(3)].join("\n"), 3],
  ["an index with a zero in front", swap(2, "index 05"), 3],
  ["an index with a sign", swap(2, "index +5"), 3],
  ["an index beyond 2^53", swap(2, "index 9007199254740993"), 3],
  ["a node of 31 bytes", swap(3, "AAAA"), 4],
  ["a node in base64url", swap(3, lines[3]!.replaceAll("+", "-").replaceAll("/", "_").replace(/=$/, "")), 4],
  ["no empty line", [...lines.slice(0, 5), ...lines.slice(6)].join("\n"), 6],
  [
    "a path of 54 nodes",
    [...lines.slice(0, 3), ...Array.from({ length: 54 }, () => lines[3]!), "", checkpoint].join("\n"),
    57,
  ],
  ["no checkpoint", lines.slice(0, 6).join("\n"), 7],
  ["a checkpoint without signatures", `${lines.slice(0, 6).join("\n")}\n${checkpoint.split("\n\n")[0]}\n`, 7],
  ["a checkpoint that was cut", text.slice(0, -1), 7],
  ["something behind the checkpoint", `${text}\n`, 7],
] as const)("%s is no proof, and the line is named", (_, changed, line) => {
  expect(parse(changed)).toMatchObject({ kind: "fault", line })
})

test("bytes that are no UTF-8 and a file without end are no proof", () => {
  expect(parseTlogProof(Uint8Array.of(...encodeUtf8(text), 0xff))).toMatchObject({ kind: "fault" })
  expect(parse(text + "—\n".repeat(100_000))).toMatchObject({ kind: "fault", line: 1 })
})
