/** The example of chain/FORMAT.md, §8: an evidence file, item by item. `npx tsx test/chain/evidence-example.ts` prints it. */
import { pathToFileURL } from "node:url"
import { formatHex, joinBytes } from "../../chain/bytes.ts"
import { type EvidenceItem, encodeEvidenceItem } from "../../chain/evidence.ts"
import { entryOf } from "../../chain/statement.ts"
import { readItems } from "../vectors/evidence-edit.ts"
import { edKey, vectorOrigin } from "../vectors/keys.ts"
import { SimulatedLog } from "../verify/simulated-log.ts"
import { exampleStatement } from "./example.ts"

/** Six leaves: policy, enrolments of k7 and n1, a statement of each, the manifest. */
export function exampleLog(): SimulatedLog {
  const log = new SimulatedLog({ origin: vectorOrigin })
  const k7 = log.enrol("k7", edKey)
  const n1 = log.enrol("n1")
  const { bytes } = exampleStatement
  const entry = log.append({ signer: "device", bytes, receivedAtMs: (log.nowMs += 1_000), device: k7.id })
  log.heads.set("k7", { ...log.heads.get("k7")!, seq: 1, entry })
  log.say(n1)
  log.seal()
  return log
}

/** A part of the file and what it means; of what is too long to show, and shown elsewhere, only the beginning. */
type Part = readonly [bytes: Uint8Array, says: string, isCut?: boolean]

/** Every byte of the file, in order. */
export async function exampleParts(): Promise<Part[]> {
  const items = readItems(await exampleLog().evidence("k7", 0, 0))
  return items.flatMap((item, index) => partsOf(item, index))
}

const says: readonly (readonly string[])[] = [
  [
    "head: array of 8",
    "  the magic",
    "  version 1",
    "  the log's origin",
    "  the device",
    "  first block: 0",
    "  last block: 0",
    "  the checkpoint, a signed note",
    "  no manifests before",
  ],
  ["leaf 0: array of 3", "  2, by the operator", "  the policy", "  arrived 2025-06-01T08:00:01Z"],
  ["leaf 1: array of 3", "  2, by the operator", "  enrolment of k7", "  arrived 2025-06-01T08:00:02Z"],
  ["leaf 2: array of 4", "  1, a gap", "  of 1 leaf", "  the log's node", "  the node of the arrivals"],
  [
    "leaf 3: array of 3",
    "  3, by the device",
    "  the statement of the first example",
    "  arrived 2025-06-01T08:00:04Z",
  ],
  ["leaf 4: array of 4", "  1, a gap", "  of 1 leaf", "  the log's node", "  the node of the arrivals"],
  [
    "leaf 5: array of 8",
    "  4, a manifest",
    "  the manifest of block 0",
    "  it leaves k7 at seq 1",
    "  and this entry",
    "  last registry statement: the enrolment",
    "  blind",
    "  path: one sibling",
    "  no manifests behind: the last leaf",
  ],
]

/** Longer members are statements and the note: their beginning is enough. */
const memberSizeMax = 70

function partsOf(item: EvidenceItem, index: number): Part[] {
  const bytes = encodeEvidenceItem(item)
  const parts: Part[] = [[bytes.subarray(0, 1), says[index]![0]!]]
  let at = 1
  for (const text of says[index]!.slice(1)) {
    const end = at + memberSize(bytes, at)
    const member = bytes.subarray(at, end)
    parts.push(
      member.length > memberSizeMax
        ? [member, `${text}, ${member.length} bytes with its length`, true]
        : [member, text],
    )
    at = end
  }
  if (at !== bytes.length) throw new Error("the words do not cover the item")
  return parts
}

/** Of a CBOR integer or string that is not longer than 65,535 bytes, or of an integer of 8 bytes. */
function memberSize(bytes: Uint8Array, at: number): number {
  const [major, low] = [bytes[at]! >> 5, bytes[at]! & 31]
  const headSize = low < 24 ? 1 : 1 + 2 ** (low - 24)
  if (major < 2) return headSize
  let length = low < 24 ? low : 0
  for (let place = 1; place < headSize; place++) length = length * 256 + bytes[at + place]!
  return headSize + length
}

const bytesPerLine = 18

/** The lines of the block in FORMAT.md, between its fences. */
export async function formatEvidenceExample(): Promise<string> {
  const parts = await exampleParts()
  const lines = parts.flatMap(([part, text, isCut = false]) => {
    const shown = isCut ? part.subarray(0, bytesPerLine - 1) : part
    const rows: string[] = []
    for (let from = 0; from < shown.length; from += bytesPerLine)
      rows.push(formatHex(shown.subarray(from, from + bytesPerLine)))
    if (isCut) rows[0] += "…"
    return rows.map((row, place) => (place === 0 ? `${row.padEnd(2 * bytesPerLine)}  ${text}` : row))
  })
  const size = joinBytes(...parts.map(([part]) => part)).length
  const log = exampleLog()
  return [
    ...lines,
    "",
    `${size} bytes. The checkpoint is`,
    "",
    ...log.note().trimEnd().split("\n"),
    "",
    `and the statement of leaf 3 has the entry ${formatHex(entryOf(exampleStatement.bytes)).slice(0, 16)}….`,
    "",
  ].join("\n")
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  process.stdout.write(await formatEvidenceExample())
