/** The Transparent Statement of SCITT (RFC 9943): a statement with its receipts in the unprotected header. */
import { joinBytes } from "./bytes.ts"
import { CborReader, CborWriter, FormatFault } from "./cbor.ts"
import { labelVdp, readLabel } from "./cose-receipt.ts"

/** RFC 9942 §2. */
const labelReceipts = 394
const receiptsMax = 16
/** Of others' receipts too, which may hold more than a path. */
const receiptSizeMax = 65_535

/** A Transparent Statement taken apart: the statement as published, and receipts, of this log or of others. */
export interface TransparentStatement {
  readonly statement: Uint8Array
  readonly receipts: readonly Uint8Array[]
}

/** The statement with receipts in the unprotected header, in the order given. */
export function attachReceipts(statement: Uint8Array, receipts: readonly Uint8Array[]): Uint8Array {
  const at = findUnprotected(statement)
  if (receipts.length === 0) throw new RangeError("a Transparent Statement has at least one receipt")
  const writer = new CborWriter()
  writer.append(statement.subarray(0, at))
  writer.writeValue(new Map([[labelReceipts, receipts]]))
  writer.append(statement.subarray(at + 1))
  return writer.finish()
}

/** Where the empty unprotected header of a statement stands. Throws a FormatFault where that is no statement. */
function findUnprotected(statement: Uint8Array): number {
  const reader = new CborReader(statement, "deterministic")
  enterSign1(reader)
  const at = reader.offset
  if (reader.enterMap("the unprotected header") !== 0) reader.fault("the unprotected header is empty", at)
  return at
}

function enterSign1(reader: CborReader): void {
  if (reader.enterTag("tag 18 of a COSE_Sign1") !== 18)
    reader.fault("a statement begins with tag 18 (COSE_Sign1)", 0)
  if (reader.enterArray("a COSE_Sign1") !== 4) reader.fault("a COSE_Sign1 has four items", 1)
  reader.readBytes("the protected header")
}

/**
 * Takes exactly what `attachReceipts` makes; what is taken for the statement is for `decodeStatement` to judge, and each
 * receipt for who knows its log. Throws a FormatFault.
 */
export function detachReceipts(bytes: Uint8Array): TransparentStatement {
  const reader = new CborReader(bytes, "deterministic")
  enterSign1(reader)
  const start = reader.offset
  if (reader.enterMap("the unprotected header") !== 1)
    reader.fault("the unprotected header of a Transparent Statement has 394 (receipts) alone", start)
  readLabel(reader, labelReceipts, "receipts")
  const listStart = reader.offset
  const count = reader.enterArray("receipts")
  if (count < 1 || count > receiptsMax) reader.fault(`there are 1 to ${receiptsMax} receipts`, listStart)
  const receipts: Uint8Array[] = []
  for (let left = count; left > 0; left--) {
    const receiptStart = reader.offset
    const receipt = reader.readBytes("a receipt")
    if (receipt.length === 0 || receipt.length > receiptSizeMax)
      reader.fault("a receipt has 1 to 65,535 bytes", receiptStart)
    receipts.push(receipt)
  }
  reader.leave()
  reader.leave()
  const rest = bytes.subarray(reader.offset)
  return { statement: joinBytes(bytes.subarray(0, start), Uint8Array.of(0xa0), rest), receipts }
}

/** What a COSE_Sign1 wants to be, by the first label of its unprotected header; `statement` also of anything else. */
export function sortSign1(bytes: Uint8Array): "statement" | "transparent" | "receipt" {
  try {
    const reader = new CborReader(bytes, "deterministic")
    enterSign1(reader)
    if (reader.enterMap("the unprotected header") === 0) return "statement"
    const label = reader.readInt("a label")
    return label === labelVdp ? "receipt" : label === labelReceipts ? "transparent" : "statement"
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    return "statement"
  }
}
