/**
 * A split view: the proof that a log has signed two histories, which anybody can check who has the log's key. Two signed
 * checkpoints, the root that the second one's tree has where the first one ended, and the proof that it has it. One root
 * of a given size is all that a tree can have, so two of them are two trees.
 */
import { encodeUtf8, equalBytes, formatBase64, parseBase64 } from "./bytes.ts"
import { type Checkpoint, parseExtendedCheckpoint } from "./checkpoint.ts"
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

export type ParsedSplitView =
  | { readonly kind: "view"; readonly view: SplitView }
  /** `line` is from 1. */
  | { readonly kind: "fault"; readonly line: number; readonly rule: string }

class LineFault extends Error {
  readonly line: number

  constructor(line: number, rule: string) {
    super(rule)
    this.line = line
  }
}

/** Takes exactly what `formatSplitView` makes of two checkpoints, in UTF-8. */
export function parseSplitView(bytes: Uint8Array): ParsedSplitView {
  try {
    return { kind: "view", view: readSplitView(bytes) }
  } catch (error) {
    if (!(error instanceof LineFault)) throw error
    return { kind: "fault", line: error.line, rule: error.message }
  }
}

function readSplitView(bytes: Uint8Array): SplitView {
  if (bytes.length > splitViewSizeMax)
    throw new LineFault(1, `a split view has at most ${splitViewSizeMax} bytes`)
  const lines = decodeUtf8(bytes).split("\n")
  if (lines[0] !== magic) throw new LineFault(1, `the first line is ${magic}`)
  const rootLine = lines[1] ?? ""
  if (!rootLine.startsWith("root ")) throw new LineFault(2, "root, a space, and a root in base64")
  const rootThere = parseHashLine(rootLine.slice("root ".length), 2)
  const end = findEmpty(lines, 2)
  if (end - 2 > proofHashesMax)
    throw new LineFault(3 + proofHashesMax, `a proof has at most ${proofHashesMax} hashes`)
  const proof = lines.slice(2, end).map((line, at) => parseHashLine(line, 3 + at))
  // Text, empty line, signatures: no line of a checkpoint's text is empty, and none of its signatures.
  const secondStart = findEmpty(lines, findEmpty(lines, end + 1) + 1) + 1
  const first = readNote(lines.slice(end + 1, secondStart), end + 2)
  const second = readNote(lines.slice(secondStart), secondStart + 1)
  return { first, second, rootThere, proof }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new LineFault(1, "a split view is UTF-8")
  }
}

/** The next empty line; the last of a file that ends with a line feed is none. */
function findEmpty(lines: readonly string[], from: number): number {
  const at = lines.indexOf("", from)
  if (at < 0 || at === lines.length - 1) throw new LineFault(lines.length, "the file ends too early")
  return at
}

function parseHashLine(line: string, number: number): Hash {
  const bytes = parseBase64(line)
  if (bytes?.length !== 32) throw new LineFault(number, "a hash of 32 bytes in base64")
  return parseHash(bytes)
}

/** @param lines with the empty one behind it, or what follows the last line feed */
function readNote(lines: readonly string[], number: number): Note {
  const text = lines.join("\n")
  const note = lines.at(-1) === "" ? parseNote(text) : null
  if (note === null || formatNote(note) !== text) throw new LineFault(number, "a signed note begins here")
  if (parseExtendedCheckpoint(note.text) === null) throw new LineFault(number, "the note is no checkpoint")
  return note
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
  const [one, other] = [parseExtendedCheckpoint(first.text), parseExtendedCheckpoint(second.text)]
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
