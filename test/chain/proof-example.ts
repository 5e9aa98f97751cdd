/** The examples of chain/FORMAT.md, §11: a tlog-proof, and a receipt byte by byte. `npx tsx test/chain/proof-example.ts` prints them. */
import { pathToFileURL } from "node:url"
import { formatHex, joinBytes } from "../../chain/bytes.ts"
import { kidOf } from "../../chain/key.ts"
import { simulatedReceiptKey } from "../verify/simulated-log.ts"
import { bytes, hex, int, text } from "../vectors/items.ts"
import { vectorOrigin } from "../vectors/keys.ts"
import { draftProof, draftReceipt, leafIndex, proofLog, treeSize } from "../vectors/proof-scene.ts"

/** Leaf 3 of the example of §8. */
export const exampleProof = draftProof({ extra: null })
export const exampleReceipt = draftReceipt()

const path = proofLog.path(leafIndex)

/** Every byte of the receipt, in order, with what it means. */
export const exampleReceiptParts: readonly (readonly [Uint8Array, string])[] = [
  [hex("d2 84"), "tag 18 (COSE_Sign1), array of 4"],
  [hex("58 39"), "1. protected header: a byte string of 57"],
  [hex("a5"), "  map of 5"],
  [joinBytes(int(1), int(-19)), "  1 alg: -19, Ed25519"],
  [joinBytes(int(4), bytes(kidOf(simulatedReceiptKey.publicKey))), "  4 kid"],
  [joinBytes(int(15), hex("a2")), "  15 CWT claims: map of 2"],
  [joinBytes(int(1), text(vectorOrigin)), "    1 iss: the log's origin"],
  [joinBytes(int(2), text("log")), "    2 sub: log"],
  [joinBytes(int(395), int(1)), "  395 vds: 1, RFC9162_SHA256"],
  [joinBytes(int(-65_539), int(treeSize)), "  -65539 size of the tree: 6"],
  [hex("a1"), "2. unprotected header: map of 1"],
  [joinBytes(int(396), hex("a1")), "  396 vdp: map of 1"],
  [joinBytes(int(-1), hex("81")), "    -1 inclusion proofs: array of 1"],
  [hex("58 6a"), "      a byte string of 106"],
  [hex("83"), "        array of 3"],
  [int(treeSize), "          size of the tree: 6"],
  [int(leafIndex), "          index of the leaf: 3"],
  [hex("83"), "          path: array of 3"],
  [bytes(path[0]!), "            leaf 2"],
  [bytes(path[1]!), "            leaves 0 and 1"],
  [bytes(path[2]!), "            leaves 4 and 5"],
  [hex("f6"), "3. payload: nil; the root"],
  [exampleReceipt.subarray(-66), "4. signature: a byte string of 64"],
]

const bytesPerLine = 18

/** The lines of the block in FORMAT.md, between its fences. */
export function formatReceiptExample(): string {
  const lines = exampleReceiptParts.flatMap(([part, note]) => {
    const rows: string[] = []
    for (let from = 0; from < part.length; from += bytesPerLine)
      rows.push(formatHex(part.subarray(from, from + bytesPerLine)))
    return rows.map((row, place) => (place === 0 ? `${row.padEnd(2 * bytesPerLine)}  ${note}` : row))
  })
  return [...lines, "", `${exampleReceipt.length} bytes.`, ""].join("\n")
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  process.stdout.write(`${exampleProof}\n${formatReceiptExample()}`)
