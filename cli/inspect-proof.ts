/** `tidemark inspect` of a tlog-proof: what each line says. Nothing is verified here. */
import { formatHex } from "../chain/bytes.ts"
import { parseCheckpoint } from "../chain/checkpoint.ts"
import { parseNote } from "../chain/note.ts"
import { decodeStatement, entryOf } from "../chain/statement.ts"
import { parseTlogProof } from "../chain/tlog-proof.ts"
import { count } from "./output.ts"

export interface InspectedProof {
  readonly kind: "tlog-proof"
  readonly sizeBytes: number
  readonly index: number | null
  /** Of what stands in extra. */
  readonly entry: string | null
  readonly statement: string | null
  readonly path: number
  readonly origin: string | null
  readonly treeSize: number | null
  readonly signatures: readonly string[]
  readonly wrong: { readonly line: number; readonly rule: string } | null
}

export function inspectProof(bytes: Uint8Array): InspectedProof {
  const parsed = parseTlogProof(bytes)
  const nothing = {
    kind: "tlog-proof",
    sizeBytes: bytes.length,
    index: null,
    entry: null,
    statement: null,
    path: 0,
    origin: null,
    treeSize: null,
    signatures: [],
  } as const
  if (parsed.kind === "fault") return { ...nothing, wrong: { line: parsed.line, rule: parsed.rule } }
  const { extra, index, path, checkpoint } = parsed.proof
  const note = parseNote(checkpoint)!
  const { origin, size } = parseCheckpoint(note.text)!
  return {
    ...nothing,
    index,
    entry: extra === null ? null : formatHex(entryOf(extra)),
    statement: extra === null ? null : nameStatement(extra, origin),
    path: path.length,
    origin,
    treeSize: size,
    signatures: note.signatures.map(({ name, keyHash }) => `${name}+${formatHex(keyHash)}`),
    wrong: null,
  }
}

function nameStatement(bytes: Uint8Array, origin: string): string {
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind !== "statement")
    return `no statement: ${decoded.kind === "malformed" ? decoded.rule : "too large"}`
  const { iss, seq } = decoded.statement
  return `statement ${seq} of ${iss === origin ? "the operator" : `device ${iss}`}`
}

export function formatInspectedProof(bytes: Uint8Array, inspected: InspectedProof): string[] {
  const { index, entry, statement, path, origin, treeSize, signatures, wrong } = inspected
  const lines = new TextDecoder().decode(bytes).split("\n")
  const head = `tlog-proof     ${bytes.length} bytes; nothing was verified: tidemark verify FILE does`
  if (wrong !== null) {
    // As long as a terminal is wide: the line may be a statement in base64.
    const line = lines[wrong.line - 1] ?? ""
    const shown = line.length > 80 ? `${line.slice(0, 80)}…` : line
    return [
      `line ${wrong.line}         ${JSON.stringify(shown)}`,
      head,
      `first wrong    line ${wrong.line}: ${wrong.rule}`,
    ]
  }
  return [
    head,
    `extra          ${statement === null ? "none: whoever checks it must have the statement" : `${statement}, entry ${entry}`}`,
    `index          leaf ${index}`,
    `path           ${count(path, "node")}`,
    `checkpoint     ${count(treeSize!, "leaf", "leaves")} of ${origin}`,
    ...signatures.map((signature) => `signed         ${signature}`),
  ]
}
