/** The example of chain/FORMAT.md: one statement, byte by byte. `npx tsx test/chain/example.ts` prints it. */
import { pathToFileURL } from "node:url"
import { formatHex, joinBytes } from "../../chain/bytes.ts"
import { kidOf } from "../../chain/key.ts"
import { encodeReceipt } from "../../chain/receipt.ts"
import { zeroHash } from "../../chain/hash.ts"
import { entryOf, signStatement } from "../../chain/statement.ts"
import { spokenAt } from "../vectors/draft.ts"
import { array, bytes, hex, int, record, text } from "../vectors/items.ts"
import { edKey } from "../vectors/keys.ts"

const payload = array(record({ n: "heart-rate", u: "beat/min", v: 72, t: spokenAt }))

export const exampleStatement = signStatement(
  { content: 112, iss: "k7", sub: "k7", iat: spokenAt, seq: 1, prev: zeroHash, payload },
  edKey,
)

/** Every byte of the statement, in order, with what it means. */
export const exampleParts: readonly (readonly [Uint8Array, string])[] = [
  [hex("d2 84"), "tag 18 (COSE_Sign1), array of 4"],
  [hex("58 4d"), "1. protected header: a byte string of 77"],
  [hex("a4"), "  map of 4"],
  [joinBytes(int(1), int(-19)), "  1 alg: -19, Ed25519"],
  [joinBytes(int(3), int(112)), "  3 content type: 112, SenML in CBOR"],
  [joinBytes(int(4), bytes(kidOf(edKey.publicKey))), "  4 kid"],
  [joinBytes(int(15), hex("a5")), "  15 CWT claims: map of 5"],
  [joinBytes(int(1), text("k7")), "    1 iss: k7"],
  [joinBytes(int(2), text("k7")), "    2 sub: k7"],
  [joinBytes(int(6), int(spokenAt)), "    6 iat: 2025-06-01T08:00:00Z"],
  [joinBytes(int(-65_537), int(1)), "    -65537 seq: 1"],
  [joinBytes(int(-65_538), bytes(zeroHash)), "    -65538 prev: zeros, for the first"],
  [hex("a0"), "2. unprotected header: an empty map"],
  [joinBytes(hex("58"), Uint8Array.of(payload.length)), `3. payload: a byte string of ${payload.length}`],
  [hex("81 a4"), "  a pack of one record, map of 4"],
  [joinBytes(int(0), text("heart-rate")), "    0 n: heart-rate"],
  [joinBytes(int(1), text("beat/min")), "    1 u: beat/min"],
  [joinBytes(int(2), int(72)), "    2 v: 72"],
  [joinBytes(int(6), int(spokenAt)), "    6 t: the same second"],
  [bytes(exampleStatement.signature), "4. signature: a byte string of 64"],
]

const bytesPerLine = 18

/** The lines of the block in FORMAT.md, between its fences. */
export function formatExample(): string {
  const lines: string[] = []
  for (const [part, note] of exampleParts) {
    for (let from = 0; from < part.length; from += bytesPerLine) {
      const digits = formatHex(part.subarray(from, from + bytesPerLine))
      lines.push(from === 0 ? `${digits.padEnd(2 * bytesPerLine)}  ${note}` : digits)
    }
  }
  const entry = entryOf(exampleStatement.bytes)
  const receipt = encodeReceipt({ code: 1, seq: 1, head: { seq: 1, entry }, now: spokenAt + 2 })
  return [
    ...lines,
    "",
    `${exampleStatement.bytes.length} bytes; its entry is their SHA-256:`,
    formatHex(entry),
    "",
    "and the receipt [1, 1, 1, entry, 1748764802] that a device gets for it:",
    formatHex(receipt.subarray(0, 6)),
    formatHex(receipt.subarray(6, 38)),
    formatHex(receipt.subarray(38)),
    "",
  ].join("\n")
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.stdout.write(formatExample())
