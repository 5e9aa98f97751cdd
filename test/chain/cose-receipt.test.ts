import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { FormatFault } from "../../chain/cbor.ts"
import {
  type CoseReceipt,
  checkCoseReceipt,
  decodeCoseReceipt,
  encodeCoseReceipt,
  signReceiptTree,
} from "../../chain/cose-receipt.ts"
import { attachReceipts, detachReceipts, sortSign1 } from "../../chain/transparent-statement.ts"
import { sha256 } from "../../chain/hash.ts"
import { kidOf } from "../../chain/key.ts"
import { Frontier, type NodePlace, hashLeaf, proveInclusion } from "../../chain/merkle.ts"
import { entryOf } from "../../chain/statement.ts"
import { sha256Native, verifyNative } from "../../ingest/native.ts"
import { honestHistory } from "../vectors/draft.ts"
import { edKey, edKeyNext, vectorOrigin } from "../vectors/keys.ts"

const entries = Array.from({ length: 9 }, (_, index) => sha256(Uint8Array.of(index)))

function receiptOf(index: number, size: number): CoseReceipt {
  const tree = new Frontier()
  const nodes = new Map<string, ReturnType<typeof hashLeaf>>()
  for (const entry of entries.slice(0, size))
    tree.append(hashLeaf(entry), (place, hash) => nodes.set(`${place.level}/${place.index}`, hash))
  const read = ({ level, index: at }: NodePlace) => nodes.get(`${level}/${at}`)!
  return {
    origin: vectorOrigin,
    kid: kidOf(edKey.publicKey),
    size,
    index,
    path: proveInclusion(index, size, read),
    signature: signReceiptTree(vectorOrigin, size, tree.root(), edKey),
  }
}

test("every leaf of every small tree has a receipt, which is of no other entry, size, place or key", () => {
  for (let size = 2; size <= 5; size++) {
    for (let index = 0; index < size; index++) {
      const receipt = receiptOf(index, size)
      const decoded = decodeCoseReceipt(encodeCoseReceipt(receipt))
      expect(decoded).toEqual(receipt)
      expect(checkCoseReceipt(decoded, entries[index]!, edKey.publicKey).kind).toBe("good")
      expect(checkCoseReceipt(decoded, entries[index + 1]!, edKey.publicKey).kind).toBe("bad")
      expect(checkCoseReceipt(decoded, entries[index]!, edKeyNext.publicKey).kind).toBe("other-key")
      const other = (index + 1) % size
      expect(checkCoseReceipt({ ...decoded, index: other }, entries[index]!, edKey.publicKey).kind).toBe(
        "bad",
      )
      const grown = { ...decoded, size: size + 1 }
      expect(checkCoseReceipt(grown, entries[index]!, edKey.publicKey).kind).toBe("bad")
    }
  }
  expect(() => signReceiptTree(vectorOrigin, 1, entries[0]!, edKey)).toThrow(RangeError)
})

test("no bit of a receipt can be flipped: it is no receipt any more, or not this key's over this leaf", () => {
  const bytes = encodeCoseReceipt(receiptOf(2, 3))
  const good: number[] = []
  for (let bit = 0; bit < 8 * bytes.length; bit += 3) {
    const flipped = Uint8Array.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    const kind = judge(flipped)
    if (kind === "good") good.push(bit)
  }
  expect(good).toEqual([])
})

function judge(bytes: Uint8Array): string {
  try {
    return checkCoseReceipt(
      decodeCoseReceipt(bytes),
      entries[2]!,
      edKey.publicKey,
      verifyNative,
      sha256Native,
    ).kind
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    return error.rule
  }
}

test("a Transparent Statement is the statement and its receipts, and neither is touched", () => {
  const statement = honestHistory("k7", 1)[0]!.bytes
  const receipts = [encodeCoseReceipt(receiptOf(0, 2)), encodeCoseReceipt(receiptOf(1, 7))]
  const transparent = attachReceipts(statement, receipts)
  expect(detachReceipts(transparent)).toEqual({ statement, receipts })
  expect(entryOf(detachReceipts(transparent).statement)).toEqual(entryOf(statement))
  expect([statement, receipts[0]!, transparent].map(sortSign1)).toEqual([
    "statement",
    "receipt",
    "transparent",
  ])
  expect(() => attachReceipts(statement, [])).toThrow(RangeError)
  expect(() => attachReceipts(transparent, receipts)).toThrow(FormatFault)
  expect(() => detachReceipts(statement)).toThrow(FormatFault)
})

test("a receipt of three leaves is these bytes", () => {
  const parts = [
    "d284 5839 a5 0132 0448747ac4d145d04242",
    "0fa2 0178 18 746964656d61726b2e6578616d706c652f766563746f7273 0263 6c6f67",
    "19018b01 3a00010002 03",
    "a1 19018c a1 20 81 5826 83 03 02 81 5820 604d540f09268b91672ab011394d5266ccd7d4484d0d109411a55848126a1b2c",
    "f6 5840",
  ]
  const hex = formatHex(encodeCoseReceipt(receiptOf(2, 3)))
  expect(hex.slice(0, -128)).toBe(parts.join("").replaceAll(" ", ""))
})
