/** C2SP tlog-proof: that a leaf is in a log, as a text that holds the path and the checkpoint. */
import { formatBase64, parseBase64 } from "./bytes.ts"
import { parseCheckpoint } from "./checkpoint.ts"
import { type Hash, hashSize, parseHash } from "./hash.ts"
import { parseNote } from "./note.ts"
import { statementSizeMax } from "./statement.ts"

export interface TlogProof {
  /** Of our proofs the statement itself, so that one file is enough. Nothing vouches for it but the path. Null: none. */
  readonly extra: Uint8Array | null
  /** Of the leaf, from 0. */
  readonly index: number
  /** From the leaf's sibling up to the root's child. */
  readonly path: readonly Hash[]
  /** The signed note with its cosignatures, to the byte. */
  readonly checkpoint: string
}

export type ParsedTlogProof =
  | { readonly kind: "proof"; readonly proof: TlogProof }
  /** `line` is from 1. */
  | { readonly kind: "fault"; readonly line: number; readonly rule: string }

export const tlogProofMagic = "c2sp.org/tlog-proof@v1"
/** A tree of 2^53 - 1 leaves has no longer path. */
export const pathLengthMax = 53
/** A statement in base64, and a note of a hundred signatures with names of 255 characters each. */
export const tlogProofSizeMax = 131_072

/** Whether some bytes begin as a tlog-proof. */
export function isTlogProof(bytes: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(bytes.subarray(0, tlogProofMagic.length)) === tlogProofMagic
}

export function formatTlogProof({ extra, index, path, checkpoint }: TlogProof): string {
  const lines = [
    tlogProofMagic,
    ...(extra === null ? [] : [`extra ${formatBase64(extra)}`]),
    `index ${index}`,
    ...path.map((node) => formatBase64(node)),
    "",
  ]
  return `${lines.join("\n")}\n${checkpoint}`
}

/**
 * Takes exactly what `formatTlogProof` makes: of a checkpoint without extension lines, and of `extra` only what a
 * statement can be.
 */
export function parseTlogProof(bytes: Uint8Array): ParsedTlogProof {
  if (bytes.length > tlogProofSizeMax) return fault(1, `a proof has at most ${tlogProofSizeMax} bytes here`)
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return fault(1, "a proof is UTF-8")
  }
  const lines = text.split("\n")
  if (lines[0] !== tlogProofMagic) return fault(1, `a proof begins with the line ${tlogProofMagic}`)
  let at = 1
  let extra: Uint8Array | null = null
  if (lines[at]?.startsWith("extra ") === true) {
    extra = parseBase64(lines[at]!.slice("extra ".length))
    if (extra === null || extra.length === 0 || extra.length > statementSizeMax)
      return fault(at + 1, `extra is base64 of 1 to ${statementSizeMax} bytes`)
    at += 1
  }
  const index = parseIndex(lines[at])
  if (index === null) return fault(at + 1, "index and a number in decimal, below 2^53, without leading zeros")
  const path: Hash[] = []
  for (at += 1; lines[at] !== ""; at++) {
    const node = lines[at] === undefined ? null : parseBase64(lines[at]!)
    if (node?.length !== hashSize)
      return fault(at + 1, "a line of the path is base64 of 32 bytes, and an empty line ends it")
    if (path.length === pathLengthMax) return fault(at + 1, `a path has at most ${pathLengthMax} nodes`)
    path.push(parseHash(node))
  }
  const checkpoint = lines.slice(at + 1).join("\n")
  const note = parseNote(checkpoint)
  if (note === null || parseCheckpoint(note.text) === null)
    return fault(at + 2, "a signed checkpoint stands behind the empty line")
  const proof: TlogProof = { extra, index, path, checkpoint }
  return { kind: "proof", proof }
}

function parseIndex(line: string | undefined): number | null {
  const [, digits] = /^index (0|[1-9][0-9]{0,15})$/.exec(line ?? "") ?? []
  const index = Number(digits)
  return digits !== undefined && Number.isSafeInteger(index) ? index : null
}

function fault(line: number, rule: string): ParsedTlogProof {
  return { kind: "fault", line, rule }
}
