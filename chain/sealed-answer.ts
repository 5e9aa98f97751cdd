/** A device asks over MQTT for the COSE Receipt of a statement of its own (chain/FORMAT.md §5), and what it is answered. */
import { CborReader, FormatFault, encodeCbor } from "./cbor.ts"

/** Which statement: by its seq, or the newest that is sealed. */
export type SealedQuestion = { readonly kind: "seq"; readonly seq: number } | { readonly kind: "newest" }

export interface SealedAnswer {
  /** Of the statement; null where nothing of the device is sealed, or the question could not be read. */
  readonly seq: number | null
  /** A COSE Receipt; null: there is none now. Ask again after the next block. */
  readonly receipt: Uint8Array | null
}

/** A question larger than any is. */
const questionSizeMax = 9

/** CBOR of the seq; nothing where the newest is meant. */
export function encodeSealedQuestion(question: SealedQuestion): Uint8Array {
  return question.kind === "newest" ? new Uint8Array(0) : encodeCbor(question.seq)
}

/** Null where it is none. */
export function decodeSealedQuestion(bytes: Uint8Array): SealedQuestion | null {
  if (bytes.length === 0) return { kind: "newest" }
  if (bytes.length > questionSizeMax) return null
  try {
    const reader = new CborReader(bytes, "deterministic")
    const seq = reader.readUint("a seq")
    reader.end()
    return seq < 1 ? null : { kind: "seq", seq }
  } catch (error) {
    if (error instanceof FormatFault) return null
    throw error
  }
}

/** Whether some bytes begin as an answer does: no other file here begins with an array of two. */
export function isSealedAnswer(bytes: Uint8Array): boolean {
  return bytes[0] === 0x82
}

export function encodeSealedAnswer({ seq, receipt }: SealedAnswer): Uint8Array {
  return encodeCbor([seq, receipt])
}

/** Takes exactly what `encodeSealedAnswer` makes; the receipt is for `decodeCoseReceipt`. Throws a FormatFault. */
export function decodeSealedAnswer(bytes: Uint8Array): SealedAnswer {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterArray("an answer") !== 2) reader.fault("an answer is [seq, receipt]", 0)
  const seq = isNull(reader) ? readNull(reader) : reader.readUint("a seq, or null,")
  const receipt = isNull(reader) ? readNull(reader) : reader.readBytes("a receipt, or null,")
  reader.leave()
  reader.end()
  return { seq, receipt }
}

function isNull(reader: CborReader): boolean {
  return reader.bytes[reader.offset] === 0xf6
}

function readNull(reader: CborReader): null {
  reader.readValue()
  return null
}
