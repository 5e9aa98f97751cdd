/** C2SP tlog-witness: what a log sends a witness, and the rules by which a witness cosigns it. */
import { encodeUtf8, equalBytes, formatBase64, parseBase64 } from "./bytes.ts"
import { type Checkpoint, type ExtendedCheckpoint, parseExtendedCheckpoint } from "./checkpoint.ts"
import { type Hash, type Sha256, hashSize, parseHash, sha256 } from "./hash.ts"
import { checkConsistency, emptyRoot, oldRootOf } from "./merkle.ts"
import { type Note, type NoteKey, formatNote, parseNote, verifyNote } from "./note.ts"
import type { VerifyEquation } from "./signature.ts"

/** The body of `POST …/add-checkpoint`. */
export interface AddCheckpoint {
  /** Leaves of the checkpoint that the witness cosigned last, as the log knows it; 0: none. */
  readonly oldSize: number
  /** RFC 9162 §2.1.4 from `oldSize` to the checkpoint's size; at most 63 hashes. */
  readonly proof: readonly Hash[]
  /** The signed checkpoint. */
  readonly note: Note
}

/** The document: a client must not send more. */
export const proofHashesMax = 63
/** 63 hashes, and a note of some hundred signatures; those of ML-DSA-44 have 3.3 kB. */
export const addCheckpointSizeMax = 131_072
/** Of the answer 409: the size that the witness cosigned last, and a line feed. */
export const contentTlogSize = "text/x.tlog.size"

/** Throws a RangeError on a proof that is too long. */
export function formatAddCheckpoint({ oldSize, proof, note }: AddCheckpoint): string {
  if (proof.length > proofHashesMax) throw new RangeError(`a proof has at most ${proofHashesMax} hashes`)
  return `old ${oldSize}\n${proof.map((hash) => `${formatBase64(hash)}\n`).join("")}\n${formatNote(note)}`
}

export type ParsedAddCheckpoint =
  | { readonly kind: "request"; readonly request: AddCheckpoint; readonly checkpoint: ExtendedCheckpoint }
  | { readonly kind: "malformed"; readonly rule: string }

/** Takes exactly what `formatAddCheckpoint` makes, of any log's checkpoint. */
export function parseAddCheckpoint(body: Uint8Array): ParsedAddCheckpoint {
  if (body.length > addCheckpointSizeMax)
    return malformed(`a request has at most ${addCheckpointSizeMax} bytes`)
  const text = decodeUtf8(body)
  const split = text?.indexOf("\n\n") ?? -1
  if (text === null || split < 0)
    return malformed("lines of text: the old size, a proof, an empty line, a checkpoint")
  const [oldLine, ...proofLines] = text.slice(0, split).split("\n")
  const oldSize = parseSize(/^old (.*)$/.exec(oldLine!)?.[1])
  if (oldSize === null) return malformed("the first line is old, a space and a size in decimal")
  if (proofLines.length > proofHashesMax) return malformed(`a proof has at most ${proofHashesMax} hashes`)
  const proof: Hash[] = []
  for (const line of proofLines) {
    const bytes = parseBase64(line)
    if (bytes?.length !== hashSize) return malformed("a line of the proof is 32 bytes in base64")
    proof.push(parseHash(bytes))
  }
  const note = parseNote(text.slice(split + 2))
  const checkpoint = note === null ? null : parseExtendedCheckpoint(note.text)
  if (note === null || checkpoint === null) return malformed("behind the empty line is no signed checkpoint")
  return { kind: "request", request: { oldSize, proof, note }, checkpoint }
}

/** Of the answer 409; null for anything but a size and a line feed. */
export function parseTlogSize(body: string): number | null {
  return body.endsWith("\n") ? parseSize(body.slice(0, -1)) : null
}

function malformed(rule: string): ParsedAddCheckpoint {
  return { kind: "malformed", rule }
}

function parseSize(text: string | undefined): number | null {
  if (text === undefined || !/^(0|[1-9][0-9]{0,15})$/.test(text)) return null
  const size = Number(text)
  return Number.isSafeInteger(size) ? size : null
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

/** What a witness knows of a log. */
export interface WitnessedLog {
  /** By which this log signs; empty: the witness does not know the log. */
  readonly keys: readonly NoteKey[]
  /** The last checkpoint that it cosigned; null where it never did. */
  readonly last: Pick<Checkpoint, "size" | "root"> | null
}

/** What a witness makes of a request. All but `cosign` is a refusal. */
export type WitnessVerdict =
  /** Record it, then cosign it. */
  | { readonly kind: "cosign" }
  | { readonly kind: "unknown-log" }
  /** By none of the log's keys, or a signature by one of them does not verify. */
  | { readonly kind: "unsigned" }
  | { readonly kind: "shrinking" }
  /** The old size is not that of the last checkpoint. */
  | { readonly kind: "conflict"; readonly size: number; readonly split: WitnessedSplit | null }
  | { readonly kind: "inconsistent"; readonly rule: string; readonly split: WitnessedSplit | null }

/** The log has signed two histories: with the two checkpoints this is a split view (see `SplitView`). */
export interface WitnessedSplit {
  /** Of the new checkpoint's tree, over as many leaves as were cosigned last. */
  readonly rootThere: Hash
  /** From there to the new checkpoint. */
  readonly proof: readonly Hash[]
}

/**
 * The rules of a witness, in the document's order. Persist before answering, and let nothing come between this and that.
 * A refused request may hold the proof that the log has signed two histories: another root for the size that was cosigned
 * last, or a proof that leads from such a root.
 */
export function judgeCheckpoint(
  { oldSize, proof, note }: AddCheckpoint,
  { size, root }: Checkpoint,
  { keys, last }: WitnessedLog,
  verify?: VerifyEquation,
  hash: Sha256 = sha256,
): WitnessVerdict {
  if (keys.length === 0) return { kind: "unknown-log" }
  const signers = verifyNote(note, keys, verify)
  if (signers === null || signers.length === 0) return { kind: "unsigned" }
  if (oldSize > size) return { kind: "shrinking" }
  const sizeNow = last?.size ?? 0
  const isOtherRoot = last !== null && last.size === size && !equalBytes(last.root, root)
  const split = isOtherRoot ? { rootThere: root, proof: [] } : null
  if (oldSize !== sizeNow) return { kind: "conflict", size: sizeNow, split }
  const inconsistent = (rule: string, shown: WitnessedSplit | null = split): WitnessVerdict => ({
    kind: "inconsistent",
    rule,
    split: shown,
  })
  if (size === 0 && !equalBytes(root, emptyRoot(hash)))
    return inconsistent("the root of a tree without leaves is the hash of nothing")
  if (sizeNow === 0 || last === null)
    return proof.length === 0 ? { kind: "cosign" } : inconsistent("from the empty tree there is no proof")
  if (isOtherRoot) return inconsistent(`another root was cosigned at ${size} leaves`)
  if (checkConsistency(sizeNow, size, last.root, root, proof, hash)) return { kind: "cosign" }
  // A proof that fits the new tree shows which root the log takes for the old one.
  const rootThere = oldRootOf(sizeNow, size, root, proof, hash)
  return inconsistent(
    `the proof does not lead from the ${sizeNow} leaves that were cosigned`,
    rootThere === null ? null : { rootThere, proof },
  )
}

/** Where a witness shows a log's last checkpoint: `<prefix>/<this>/checkpoint`. */
export function originHash(origin: string): Hash {
  return sha256(encodeUtf8(origin))
}
