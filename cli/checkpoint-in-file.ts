/** The checkpoint that a file holds: a signed note alone, a tlog-proof, or evidence. */
import { joinBytes } from "../chain/bytes.ts"
import { FormatFault } from "../chain/cbor.ts"
import { CborSequence } from "../chain/cbor-sequence.ts"
import { decodeEvidenceItem, evidenceItemSizeMax, evidenceMembersMax, isEvidence } from "../chain/evidence.ts"
import { isTlogProof, parseTlogProof } from "../chain/tlog-proof.ts"
import { CommandFault } from "./fault.ts"
import { gunzip } from "./gzip.ts"
import { readPieces } from "./verify-evidence.ts"

/** Of evidence the first item; of anything else the whole file. */
const sizeMax = 524_288

/** The note's bytes; whether it is one is for its reader. Throws a CommandFault that names the file. */
export async function readCheckpointIn(path: string): Promise<Uint8Array> {
  let file: Uint8Array = new Uint8Array(0)
  for await (const piece of gunzip(readPieces(path), path)) {
    file = joinBytes(file, piece)
    if (file.length > sizeMax) break
  }
  const fault = (rule: string): CommandFault =>
    new CommandFault(
      `${path} ${rule}`,
      "name a file with a checkpoint: the note alone, a tlog-proof, or evidence",
    )
  if (isEvidence(file)) {
    const items = new CborSequence(evidenceItemSizeMax, evidenceMembersMax)
    try {
      items.push(file)
      const first = items.next()
      const head = first === null ? null : decodeEvidenceItem(first.bytes)
      if (head?.kind !== "head") throw fault("is evidence without its head")
      return head.checkpoint
    } catch (error) {
      if (error instanceof FormatFault) throw fault(`is no evidence: ${error.rule}`)
      throw error
    }
  }
  if (isTlogProof(file)) {
    const parsed = parseTlogProof(file)
    if (parsed.kind === "fault") throw fault(`is no tlog-proof: line ${parsed.line}: ${parsed.rule}`)
    return new TextEncoder().encode(parsed.proof.checkpoint)
  }
  if (file.length > sizeMax) throw fault("is too large for a checkpoint")
  return file
}
