/**
 * A split view: the proof that a log has signed two histories, which anybody can check who has the log's key. Two signed
 * checkpoints, the root that the second one's tree has where the first one ended, and the proof that it has it. One root
 * of a given size is all that a tree can have, so two of them are two trees.
 */
import { encodeUtf8, equalBytes, formatBase64, parseBase64 } from "./bytes.ts"
import { type Checkpoint, parseCheckpoint } from "./checkpoint.ts"
import { type Hash, type Sha256, parseHash, sha256 } from "./hash.ts"
import { checkConsistency } from "./merkle.ts"
import { type Note, type NoteKey, formatNote, parseNote, verifyNote } from "./note.ts"
import { type VerifyEquation, verifyEquation } from "./signature.ts"

export interface SplitView {
  /** Each a checkpoint; the first is not the larger one. As they were published, with whatever cosignatures. */
  readonly first: Note
  readonly second: Note
  /** Of the second history, over as many leaves as the first checkpoint has. */
  readonly rootThere: Hash
  /** From there to the second checkpoint (RFC 9162 §2.1.4); empty where both have one size. */
  readonly proof: readonly Hash[]
}

const magic = "tidemark/split-view@v1"
/** A tree of 2^53 leaves has no longer one; C2SP tlog-witness allows as many. */
const proofHashesMax = 63
/** Two notes of 64 KiB are more than 100 signatures each have of any kind in use, and a proof has 3 KiB. */
export const splitViewSizeMax = 262_144

/** The lines of the proof, an empty line, and the two notes with an empty line between them. */
export function formatSplitView({ first, second, rootThere, proof }: SplitView): string {
  const lines = [magic, `root ${formatBase64(rootThere)}`, ...proof.map(formatBase64)]
  return `${lines.join("\n")}\n\n${formatNote(first)}\n${formatNote(second)}`
}

/** Whether bytes claim to be a split view: their first line says so. */
export function isSplitView(bytes: Uint8Array): boolean {
  const mark = encodeUtf8(`${magic}\n`)
  return equalBytes(bytes.subarray(0, mark.length), mark)
}

/** Takes exactly what `formatSplitView` makes of two checkpoints; null for anything else. */
export function parseSplitView(text: string): SplitView | null {
  if (text.length > splitViewSizeMax) return null
  const head = text.indexOf("\n\n")
  if (head < 0) return null
  const [first, rootLine, ...proofLines] = text.slice(0, head).split("\n")
  if (first !== magic || !rootLine?.startsWith("root ") || proofLines.length > proofHashesMax) return null
  const rootThere = parseHashLine(rootLine.slice("root ".length))
  const proof = proofLines.map(parseHashLine)
  // Text, empty line, signatures, empty line: neither a checkpoint's text nor its signatures have an empty line.
  const notes = text.slice(head + 2)
  const signatures = notes.indexOf("\n\n") + 2
  const end = signatures < 2 ? -1 : notes.indexOf("\n\n", signatures)
  if (rootThere === null || end < 0) return null
  const [one, other] = [parseNote(notes.slice(0, end + 1)), parseNote(notes.slice(end + 2))]
  if (one === null || other === null) return null
  if (parseCheckpoint(one.text) === null || parseCheckpoint(other.text) === null) return null
  const hashes = proof.filter((hash) => hash !== null)
  const view: SplitView = { first: one, second: other, rootThere, proof: hashes }
  return hashes.length === proof.length && formatSplitView(view) === text ? view : null
}

function parseHashLine(line: string): Hash | null {
  const bytes = parseBase64(line)
  return bytes?.length === 32 ? parseHash(bytes) : null
}

export type SplitFinding =
  | { readonly kind: "split"; readonly first: Checkpoint; readonly second: Checkpoint }
  | {
      readonly kind: "none"
      /** The kind of fault, for programs. */
      readonly code: "origin" | "order" | "signature" | "proof" | "consistent"
      /** `the first checkpoint` */
      readonly what: string
      /** Reads on after it. */
      readonly rule: string
    }

/** Whether two histories are shown, both signed by this key. Cosignatures take no part in it. */
export function checkSplitView(
  { first, second, rootThere, proof }: SplitView,
  log: NoteKey,
  verify: VerifyEquation = verifyEquation,
  hash: Sha256 = sha256,
): SplitFinding {
  const [one, other] = [parseCheckpoint(first.text), parseCheckpoint(second.text)]
  if (one === null || other === null) throw new RangeError("a split view is of two checkpoints")
  for (const [note, checkpoint, what] of [
    [first, one, "the first checkpoint"],
    [second, other, "the second checkpoint"],
  ] as const) {
    if (checkpoint.origin !== log.name)
      return {
        kind: "none",
        code: "origin",
        what,
        rule: `is of the log ${checkpoint.origin}, not of ${log.name}`,
      }
    if (verifyNote(note, [log], verify)?.length !== 1)
      return { kind: "none", code: "signature", what, rule: `is not signed by the key of ${log.name}` }
  }
  if (one.size < 1 || one.size > other.size)
    return {
      kind: "none",
      code: "order",
      what: "the first checkpoint",
      rule: `has ${one.size} leaves, and must have at least 1 and at most the ${other.size} of the second`,
    }
  if (!checkConsistency(one.size, other.size, rootThere, other.root, proof, hash))
    return {
      kind: "none",
      code: "proof",
      what: "the proof",
      rule: `does not lead from the root that it names at ${one.size} leaves to that of the second checkpoint`,
    }
  if (equalBytes(rootThere, one.root))
    return {
      kind: "none",
      code: "consistent",
      what: "the second checkpoint",
      rule: "goes on from the first: they are of one history",
    }
  return { kind: "split", first: one, second: other }
}
