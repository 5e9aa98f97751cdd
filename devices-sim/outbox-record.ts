/**
 * The records of an outbox on disk: `u32 length (big-endian) ‖ first 8 bytes of the body's SHA-256 ‖ body`, the body
 * being CBOR: `[0, forgotten up to, accepted seq, ? its entry]`, `[1, number, statement]`, `[2, number, unsigned statement]`,
 * `[3, 0, where the chain begins]`; and where the file is written again `[4, accepted seq, where a chain begins that was
 * left, ? the entry at that seq]` and `[5, number, where its chain begins, statement, 1 if it was acknowledged and 0 if not]`.
 */
import { createHash } from "node:crypto"
import { equalBytes, joinBytes } from "../chain/bytes.ts"
import { CborReader, FormatFault, encodeCbor } from "../chain/cbor.ts"
import { type Hash, hashSize, parseHash, zeroHash } from "../chain/hash.ts"
import { algorithmEd25519, kidSize } from "../chain/key.ts"
import { signatureSize } from "../chain/signature.ts"
import { decodeStatement, encodeStatement, entryOf, statementSizeMax } from "../chain/statement.ts"
import type { OutboxContent, OutboxEntry, OutboxIndex, Signed } from "./outbox.ts"

export type OutboxRecord =
  | {
      readonly kind: "forget"
      readonly upTo: number
      readonly acceptedSeq: number
      readonly acceptedEntry: Hash | null
    }
  | { readonly kind: "bind"; readonly firstPrev: Hash }
  | { readonly kind: "entry"; readonly entry: OutboxEntry }
  | {
      readonly kind: "left"
      readonly firstPrev: Hash
      readonly acceptedSeq: number
      readonly acceptedEntry: Hash | null
    }
  | {
      readonly kind: "kept"
      readonly firstPrev: Hash
      readonly entry: OutboxEntry & { readonly signed: Signed }
      readonly isAccepted: boolean
    }

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
    case "left": {
      const { acceptedSeq, firstPrev, acceptedEntry } = record
      return encodeCbor([4, acceptedSeq, firstPrev, ...(acceptedEntry === null ? [] : [acceptedEntry])])
    }
    case "kept": {
      const { firstPrev, entry, isAccepted } = record
      return encodeCbor([5, entry.number, firstPrev, entry.signed.bytes, isAccepted ? 1 : 0])
    }
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
    if (kind === 4) {
      const firstPrev = readHash(reader)
      return {
        kind: "left",
        firstPrev,
        acceptedSeq: number,
        acceptedEntry: members === 4 ? readHash(reader) : null,
      }
    }
    const keptIn = kind === 5 ? readHash(reader) : null
    const decoded = decodeStatement(Uint8Array.from(reader.readBytes("a statement")))
    if (decoded.kind !== "statement") return null
    const { content, payload, iat, sub, seq, prev, bytes } = decoded.statement
    const draft = { number, content, payload, iat, sub }
    if (kind === 2) return { kind: "entry", entry: { ...draft, signed: null } }
    const entry = { ...draft, signed: { seq, prev, bytes, entry: entryOf(bytes) } }
    if (keptIn === null) return { kind: "entry", entry }
    return { kind: "kept", firstPrev: keptIn, entry, isAccepted: reader.readUint("0 or 1") === 1 }
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

/**
 * The records of a file that is written again. A kit from before chains were bound passes over one record that it does
 * not know and takes a second one for a torn end: so those come last.
 */
export function recordsOf(content: OutboxContent): OutboxRecord[] {
  const { entries, forgottenUpTo, acceptedSeq, acceptedEntry = null, firstPrev = null } = content
  const { lastAccepted = null, left = [] } = content
  const waiting: OutboxRecord[] = [
    { kind: "forget", upTo: forgottenUpTo, acceptedSeq, acceptedEntry },
    ...entries.map((entry): OutboxRecord => ({ kind: "entry", entry })),
  ]
  if (firstPrev === null) return waiting
  // Acknowledged in another log since they were signed for this one: their numbers are forgotten, and they are not.
  const again = entries.filter(({ number }) => number <= forgottenUpTo)
  return [
    { kind: "bind", firstPrev },
    ...waiting,
    ...keptOf(firstPrev, lastAccepted, again),
    ...left.flatMap((chain): OutboxRecord[] => [
      { ...chain, kind: "left" },
      ...keptOf(chain.firstPrev, chain.lastAccepted, chain.entries),
    ]),
  ]
}

function keptOf(
  firstPrev: Hash,
  lastAccepted: OutboxEntry | null,
  entries: readonly OutboxEntry[],
): OutboxRecord[] {
  const all = [...(lastAccepted === null ? [] : [lastAccepted]), ...entries]
  return all.flatMap((entry) =>
    entry.signed === null
      ? []
      : [
          {
            kind: "kept",
            firstPrev,
            entry: { ...entry, signed: entry.signed },
            isAccepted: entry === lastAccepted,
          },
        ],
  )
}

/** What a record says, said to an outbox in memory. */
export function takeRecord(index: OutboxIndex, record: OutboxRecord): void {
  switch (record.kind) {
    case "entry":
      index.put(record.entry)
      return
    case "bind":
      index.bind(record.firstPrev)
      return
    case "left":
      index.keepChain(record.firstPrev, record.acceptedSeq, record.acceptedEntry)
      return
    case "kept":
      index.keep(record.firstPrev, record.entry, record.isAccepted)
      return
    default:
      index.forget(record.upTo, record.acceptedSeq, record.acceptedEntry)
  }
}
