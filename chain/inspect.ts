/** A statement or a receipt explained to a person: every byte, what it says, and the first wrong one. */
import { FormatFault } from "./cbor.ts"
import { type DumpLine, dumpCbor } from "./dump.ts"
import { receiptShape, statementShape } from "./dump-shape.ts"
import type { Hash } from "./hash.ts"
import { type Payload, readPayload } from "./payload.ts"
import { type Receipt, decodeReceipt } from "./receipt.ts"
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

/**
 * Explains bytes. What begins with an array of five is taken for a receipt, anything else for a statement.
 *
 * @param origin the log's origin where a statement of its operator may stand; null where only devices speak
 */
export function inspect(bytes: Uint8Array, origin: string | null = null): Inspection {
  return bytes[0] === 0x85 ? inspectReceipt(bytes) : inspectStatement(bytes, origin)
}

function inspectReceipt(bytes: Uint8Array): Inspection {
  const lines = dumpCbor(bytes, receiptShape)
  try {
    return { kind: "receipt", lines, receipt: decodeReceipt(bytes) }
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    return { kind: "no-receipt", lines, wrong: { rule: error.rule, offset: error.offset } }
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
