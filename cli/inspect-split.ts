/** `tidemark inspect` of a split view: what its parts are. Nothing is verified here. */
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { parseExtendedCheckpoint } from "../chain/checkpoint.ts"
import type { Note } from "../chain/note.ts"
import { parseSplitView } from "../chain/split-view.ts"
import { count } from "./output.ts"

interface InspectedNote {
  readonly origin: string
  readonly treeSize: number
  readonly root: string
  readonly signatures: readonly string[]
}

export interface InspectedSplit {
  readonly kind: "split-view"
  readonly sizeBytes: number
  readonly first: InspectedNote | null
  readonly second: InspectedNote | null
  /** Of the second history, at the size of the first checkpoint. */
  readonly rootThere: string | null
  /** Hashes in it. */
  readonly proof: number
  readonly wrong: { readonly line: number; readonly rule: string } | null
}

export function inspectSplit(bytes: Uint8Array): InspectedSplit {
  const parsed = parseSplitView(bytes)
  const nothing = { kind: "split-view", sizeBytes: bytes.length } as const
  if (parsed.kind === "fault") {
    const { line, rule } = parsed
    return { ...nothing, first: null, second: null, rootThere: null, proof: 0, wrong: { line, rule } }
  }
  const { first, second, rootThere, proof } = parsed.view
  return {
    ...nothing,
    first: inspectNote(first),
    second: inspectNote(second),
    rootThere: formatBase64(rootThere),
    proof: proof.length,
    wrong: null,
  }
}

function inspectNote({ text, signatures }: Note): InspectedNote {
  const { origin, size, root } = parseExtendedCheckpoint(text)!
  return {
    origin,
    treeSize: size,
    root: formatBase64(root),
    signatures: signatures.map(({ name, keyHash }) => `${name}+${formatHex(keyHash)}`),
  }
}

export function formatInspectedSplit(inspected: InspectedSplit): string[] {
  const { sizeBytes, first, second, rootThere, proof, wrong } = inspected
  const head = `split view     ${sizeBytes} bytes; nothing was verified: tidemark verify FILE does`
  if (first === null || second === null || wrong !== null)
    return [head, `first wrong    line ${wrong!.line}: ${wrong!.rule}`]
  return [
    head,
    ...describe("first", first),
    ...describe("second", second),
    `its root       ${rootThere} over the first ${count(first.treeSize, "leaf", "leaves")}, by the file's word`,
    `proof          ${count(proof, "hash", "hashes")} from there to the second root`,
  ]
}

function describe(name: string, { origin, treeSize, root, signatures }: InspectedNote): string[] {
  return [
    `${name.padEnd(15)}${count(treeSize, "leaf", "leaves")} of ${origin}`,
    `  root         ${root}`,
    ...signatures.map((one) => `  signed by    ${one}`),
  ]
}
