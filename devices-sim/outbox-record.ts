/**
 * The records of an outbox on disk: `u32 length (big-endian) ‖ first 8 bytes of the body's SHA-256 ‖ body`, the body
 * being CBOR: `[0, forgotten up to, accepted seq, ? its entry]`, `[1, number, statement]`, `[2, number, unsigned statement]`,
 * or `[3, 0, where the chain begins]`.
 */
import { createHash } from "node:crypto"
import { equalBytes, joinBytes } from "../chain/bytes.ts"
import { CborReader, FormatFault, encodeCbor } from "../chain/cbor.ts"
import { type Hash, hashSize, parseHash, zeroHash } from "../chain/hash.ts"
import { algorithmEd25519, kidSize } from "../chain/key.ts"
import { signatureSize } from "../chain/signature.ts"
import { decodeStatement, encodeStatement, entryOf, statementSizeMax } from "../chain/statement.ts"
import type { OutboxEntry } from "./outbox.ts"

export type OutboxRecord =
  | {
      readonly kind: "forget"
      readonly upTo: number
      readonly acceptedSeq: number
      readonly acceptedEntry: Hash | null
    }
  | { readonly kind: "bind"; readonly firstPrev: Hash }
  | { readonly kind: "entry"; readonly entry: OutboxEntry }

const checkSize = 8
const headSize = 4 + checkSize
/** Longer than any body: a length above it is no length. */
const bodySizeMax = statementSizeMax + 64

/** A draft has the form of a statement by nobody in particular, so that one strict parser reads both. */
const unsigned = {
  algorithm: algorithmEd25519,
  kid: new Uint8Array(kidSize),
  iss: "draft",
  seq: 1,
  prev: zeroHash,
} as const
const noSignature = new Uint8Array(signatureSize)

export function encodeRecord(record: OutboxRecord): Uint8Array {
  const body = encodeBody(record)
  const head = new Uint8Array(4)
  new DataView(head.buffer).setUint32(0, body.length)
  return joinBytes(head, checkOf(body), body)
}

function encodeBody(record: OutboxRecord): Uint8Array {
  switch (record.kind) {
    case "forget": {
      const { upTo, acceptedSeq, acceptedEntry } = record
      return encodeCbor([0, upTo, acceptedSeq, ...(acceptedEntry === null ? [] : [acceptedEntry])])
    }
    case "bind":
      return encodeCbor([3, 0, record.firstPrev])
    default: {
      const { entry } = record
      return entry.signed === null
        ? encodeCbor([2, entry.number, encodeDraft(entry)])
        : encodeCbor([1, entry.number, entry.signed.bytes])
    }
  }
}

function encodeDraft({ content, payload, iat, sub }: OutboxEntry): Uint8Array {
  return encodeStatement({ ...unsigned, content, payload, iat, sub }, noSignature)
}

function checkOf(body: Uint8Array): Uint8Array {
  return createHash("sha256").update(body).digest().subarray(0, checkSize)
}

/** What stands at `offset`: a record and where it ends; a damaged one with others behind it; or nothing whole any more. */
export type RecordFinding =
  | { readonly kind: "record"; readonly record: OutboxRecord; readonly end: number }
  | { readonly kind: "damaged"; readonly end: number }
  | { readonly kind: "torn" }

/**
 * Reads one record. A bad record counts as damaged only where a good one begins at its end: its length can then be
 * believed. Everything else is what a loss of power leaves behind, and was never published.
 */
export function readRecord(bytes: Uint8Array, offset: number): RecordFinding {
  const found = decodeRecordAt(bytes, offset)
  if (found === null) return { kind: "torn" }
  if (found.record !== null) return { kind: "record", record: found.record, end: found.end }
  const next = decodeRecordAt(bytes, found.end)
  return next === null || next.record === null ? { kind: "torn" } : { kind: "damaged", end: found.end }
}

function decodeRecordAt(
  bytes: Uint8Array,
  offset: number,
): { readonly record: OutboxRecord | null; readonly end: number } | null {
  if (offset + headSize > bytes.length) return null
  const length = new DataView(bytes.buffer, bytes.byteOffset + offset).getUint32(0)
  const end = offset + headSize + length
  if (length === 0 || length > bodySizeMax || end > bytes.length) return null
  const body = bytes.slice(offset + headSize, end)
  const isWhole = equalBytes(bytes.subarray(offset + 4, offset + headSize), checkOf(body))
  return { record: isWhole ? decodeBody(body) : null, end }
}

/** Null for a body that is whole and yet none of ours. */
function decodeBody(body: Uint8Array): OutboxRecord | null {
  try {
    const reader = new CborReader(body, "deterministic")
    const members = reader.enterArray("a record")
    const kind = reader.readUint("a kind")
    const number = reader.readUint("a number")
    if (kind === 0) {
      const acceptedSeq = reader.readUint("a seq")
      return {
        kind: "forget",
        upTo: number,
        acceptedSeq,
        acceptedEntry: members === 4 ? readHash(reader) : null,
      }
    }
    if (kind === 3) return { kind: "bind", firstPrev: readHash(reader) }
    const decoded = decodeStatement(Uint8Array.from(reader.readBytes("a statement")))
    if (decoded.kind !== "statement") return null
    const { content, payload, iat, sub, seq, prev, bytes } = decoded.statement
    const signed = kind === 1 ? { seq, prev, bytes, entry: entryOf(bytes) } : null
    return { kind: "entry", entry: { number, content, payload, iat, sub, signed } }
  } catch (error) {
    if (error instanceof FormatFault) return null
    throw error
  }
}

function readHash(reader: CborReader): Hash {
  const start = reader.offset
  const bytes = reader.readBytes("an entry")
  return bytes.length === hashSize ? parseHash(bytes) : reader.fault("an entry has 32 bytes", start)
}
