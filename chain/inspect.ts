/** A statement, a receipt, a COSE Receipt or a Transparent Statement explained to a person: every byte, what it says, and the first wrong one. */
import { CborReader, FormatFault, readInside } from "./cbor.ts"
import { type CoseReceipt, decodeCoseReceipt } from "./cose-receipt.ts"
import { detachReceipts, sortSign1 } from "./transparent-statement.ts"
import { type DumpLine, dumpCbor } from "./dump.ts"
import { coseReceiptShape, receiptShape, sealedAnswerShape, statementShape } from "./dump-shape.ts"
import type { Hash } from "./hash.ts"
import { type Payload, readPayload } from "./payload.ts"
import { type Receipt, decodeReceipt } from "./receipt.ts"
import { decodeSealedAnswer, isSealedAnswer } from "./sealed-answer.ts"
import { type Statement, decodeStatement, entryOf, statementSizeMax } from "./statement.ts"

/** Where bytes leave the format. `offset` is that of the first wrong byte in what was inspected. */
export interface Wrong {
  readonly rule: string
  readonly offset: number
}

export type Inspection =
  | {
      readonly kind: "statement"
      readonly lines: readonly DumpLine[]
      readonly statement: Statement
      readonly entry: Hash
      readonly payload: Payload
      /** Of the payload: such a statement is accepted, unread (3). */
      readonly wrong: Wrong | null
    }
  /** No statement of this profile: refused as malformed (10), or as too large (11). */
  | { readonly kind: "no-statement"; readonly lines: readonly DumpLine[]; readonly wrong: Wrong }
  | { readonly kind: "receipt"; readonly lines: readonly DumpLine[]; readonly receipt: Receipt }
  | { readonly kind: "no-receipt"; readonly lines: readonly DumpLine[]; readonly wrong: Wrong }
  | { readonly kind: "cose-receipt"; readonly lines: readonly DumpLine[]; readonly receipt: CoseReceipt }
  /** To a device that asked for a sealed receipt: null where there was none. */
  | {
      readonly kind: "sealed-answer"
      readonly lines: readonly DumpLine[]
      readonly seq: number | null
      readonly receipt: CoseReceipt | null
    }
  | { readonly kind: "no-cose-receipt"; readonly lines: readonly DumpLine[]; readonly wrong: Wrong }
  | {
      readonly kind: "transparent"
      readonly lines: readonly DumpLine[]
      readonly statement: Statement
      readonly entry: Hash
      readonly payload: Payload
      /** Null for one of another profile: of another service. */
      readonly receipts: readonly (CoseReceipt | null)[]
      readonly wrong: Wrong | null
    }
  | { readonly kind: "no-transparent"; readonly lines: readonly DumpLine[]; readonly wrong: Wrong }

/**
 * Explains bytes. What begins with an array of five is taken for a receipt of MQTT, with one of two for the answer to a device
 * that asked for a sealed one, a COSE_Sign1 with proofs or receipts in
 * its unprotected header for one of those, anything else for a statement.
 *
 * @param origin the log's origin where a statement of its operator may stand; null where only devices speak
 */
export function inspect(bytes: Uint8Array, origin: string | null = null): Inspection {
  if (bytes[0] === 0x85) return inspectReceipt(bytes)
  if (isSealedAnswer(bytes)) return inspectSealedAnswer(bytes)
  const kind = sortSign1(bytes)
  if (kind === "receipt") return inspectCoseReceipt(bytes)
  return kind === "transparent" ? inspectTransparent(bytes, origin) : inspectStatement(bytes, origin)
}

function inspectSealedAnswer(bytes: Uint8Array): Inspection {
  const lines = dumpCbor(bytes, sealedAnswerShape)
  try {
    const { seq, receipt } = decodeSealedAnswer(bytes)
    if (receipt === null) return { kind: "sealed-answer", lines, seq, receipt }
    const start = receipt.byteOffset - bytes.byteOffset
    const decoded = readInside(start, () => decodeCoseReceipt(receipt))
    return { kind: "sealed-answer", lines, seq, receipt: decoded }
  } catch (error) {
    return { kind: "no-cose-receipt", lines, wrong: wrongOf(error) }
  }
}

function inspectCoseReceipt(bytes: Uint8Array): Inspection {
  const lines = dumpCbor(bytes, coseReceiptShape)
  try {
    return { kind: "cose-receipt", lines, receipt: decodeCoseReceipt(bytes) }
  } catch (error) {
    return { kind: "no-cose-receipt", lines, wrong: wrongOf(error) }
  }
}

function inspectTransparent(bytes: Uint8Array, origin: string | null): Inspection {
  const lines = dumpCbor(bytes, statementShape())
  try {
    const { statement: plain, receipts } = detachReceipts(bytes)
    // Where a rule is broken behind the receipts, the byte is further on than in the statement without them.
    const more = bytes.length - plain.length
    const inspected = inspectStatement(plain, origin)
    const moved = (wrong: Wrong): Wrong => {
      const isBehind = wrong.offset >= protectedEndOf(plain)
      return isBehind ? { ...wrong, offset: wrong.offset + more } : wrong
    }
    if (inspected.kind !== "statement")
      return { kind: "no-transparent", lines, wrong: moved((inspected as { wrong: Wrong }).wrong) }
    const { statement, entry, payload, wrong } = inspected
    return {
      kind: "transparent",
      lines,
      statement,
      entry,
      payload,
      receipts: receipts.map(decodeIfOurs),
      wrong: wrong === null ? null : moved(wrong),
    }
  } catch (error) {
    return { kind: "no-transparent", lines, wrong: wrongOf(error) }
  }
}

/** Where the unprotected header of what was taken apart stands. */
function protectedEndOf(statement: Uint8Array): number {
  const reader = new CborReader(statement.subarray(2), "deterministic")
  reader.readBytes("the protected header")
  return 2 + reader.offset
}

function decodeIfOurs(bytes: Uint8Array): CoseReceipt | null {
  try {
    return decodeCoseReceipt(bytes)
  } catch (error) {
    if (error instanceof FormatFault) return null
    throw error
  }
}

/** Of a FormatFault. */
function wrongOf(error: unknown): Wrong {
  if (!(error instanceof FormatFault)) throw error
  return { rule: error.rule, offset: error.offset }
}

function inspectReceipt(bytes: Uint8Array): Inspection {
  const lines = dumpCbor(bytes, receiptShape)
  try {
    return { kind: "receipt", lines, receipt: decodeReceipt(bytes) }
  } catch (error) {
    return { kind: "no-receipt", lines, wrong: wrongOf(error) }
  }
}

function inspectStatement(bytes: Uint8Array, origin: string | null): Inspection {
  const lines = dumpCbor(bytes, statementShape())
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind === "malformed")
    return { kind: "no-statement", lines, wrong: { rule: decoded.rule, offset: decoded.offset } }
  if (decoded.kind === "too-large") {
    const rule = `a statement has at most ${statementSizeMax} bytes, and this is ${decoded.sizeBytes}`
    return { kind: "no-statement", lines, wrong: { rule, offset: statementSizeMax } }
  }
  const { statement } = decoded
  const payload = readPayload(statement)
  // A view of the whole, so its place in it is known.
  const payloadStart = statement.payload.byteOffset - bytes.byteOffset
  const wrong =
    payload.kind === "unread" ? { rule: payload.rule, offset: payloadStart + payload.offset } : null
  return { kind: "statement", lines, statement, entry: entryOf(bytes), payload, wrong }
}

/** The line of a dump in which a byte stands; null behind the last one. */
export function findLine(lines: readonly DumpLine[], offset: number): DumpLine | null {
  return lines.find((line) => offset >= line.offset && offset < line.offset + line.bytes.length) ?? null
}
