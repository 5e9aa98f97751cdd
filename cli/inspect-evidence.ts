/** `tidemark inspect` of an evidence file: every item and what it shows. Nothing is verified here. */
import { decodeManifest } from "../chain/block.ts"
import { FormatFault } from "../chain/cbor.ts"
import { CborSequence, type SequenceItem } from "../chain/cbor-sequence.ts"
import { parseCheckpoint } from "../chain/checkpoint.ts"
import { type DumpLine, dumpCbor } from "../chain/dump.ts"
import {
  type EvidenceItem,
  decodeEvidenceItem,
  evidenceItemSizeMax,
  evidenceMembersMax,
} from "../chain/evidence.ts"
import { evidenceShape } from "../chain/evidence-shape.ts"
import { parseNote } from "../chain/note.ts"
import { readPayload } from "../chain/payload.ts"
import { countPackReadings } from "../chain/senml.ts"
import { contentBlock, contentPolicy, decodeStatement } from "../chain/statement.ts"
import { count } from "./output.ts"
import { formatTable } from "./table.ts"

export interface InspectedItem {
  /** From 1, as refusals count. */
  readonly item: number
  readonly offset: number
  readonly sizeBytes: number
  /** First leaf, and how many; null for the head. */
  readonly leaf: number | null
  readonly leaves: number
  readonly kind: EvidenceItem["kind"]
  readonly text: string
}

export interface InspectedEvidence {
  readonly items: readonly InspectedItem[]
  /** Where the bytes leave the format. */
  readonly wrong: { readonly item: number; readonly offset: number; readonly rule: string } | null
}

export function inspectEvidence(bytes: Uint8Array): InspectedEvidence {
  const sequence = new CborSequence(evidenceItemSizeMax, evidenceMembersMax)
  sequence.push(bytes)
  const items: InspectedItem[] = []
  let origin = ""
  let leaf = 0
  try {
    for (let next = sequence.next(); next !== null; next = sequence.next()) {
      const item = decodeEvidenceItem(next.bytes)
      if (item.kind === "head") origin = item.origin
      items.push(describe(item, next, items.length + 1, leaf, origin))
      leaf += leavesOf(item)
    }
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    const { offset } = sequence
    // The item was taken where its inside is wrong, and was not where its end could not be found.
    const start = items.length === 0 ? 0 : items.at(-1)!.offset + items.at(-1)!.sizeBytes
    return { items, wrong: { item: items.length + 1, offset: Math.min(start, offset), rule: error.rule } }
  }
  const rule = "the file ends inside an item"
  const wrong = sequence.leftBytes > 0 ? { item: items.length + 1, offset: sequence.offset, rule } : null
  return { items, wrong }
}

function leavesOf(item: EvidenceItem): number {
  return item.kind === "head" ? 0 : item.kind === "gap" ? item.count : 1
}

function describe(
  item: EvidenceItem,
  { offset, bytes }: SequenceItem,
  number: number,
  leaf: number,
  origin: string,
): InspectedItem {
  const place = { leaf: item.kind === "head" ? null : leaf, leaves: leavesOf(item) }
  return {
    item: number,
    offset,
    sizeBytes: bytes.length,
    ...place,
    kind: item.kind,
    text: explain(item, origin),
  }
}

function explain(item: EvidenceItem, origin: string): string {
  switch (item.kind) {
    case "head": {
      const note = parseNote(new TextDecoder().decode(item.checkpoint))
      const checkpoint = note === null ? null : parseCheckpoint(note.text)
      const under =
        note === null || checkpoint === null
          ? "a checkpoint that cannot be read"
          : `a checkpoint of ${count(checkpoint.size, "leaf", "leaves")} with ${count(note.signatures.length, "signature")}`
      return `head: device ${item.device} in blocks ${item.from} to ${item.to} of ${item.origin}, under ${under}`
    }
    case "gap": {
      const arrivals = item.arrivals === null ? "" : `, ${item.arrivals.length} of arrivals`
      return `gap: ${item.nodes.length} nodes of the log${arrivals}`
    }
    case "manifest": {
      const { head, blocksAfter } = item
      const stands =
        head === null ? "" : `; the device at statement ${head.seq}, a path of ${head.path.length}`
      const last = blocksAfter === null ? "" : `; the last, ${blocksAfter.length} nodes of manifests`
      return `${explainStatement(item.statement, origin)}${stands}${last}`
    }
    default: {
      const { receivedAtMs } = item
      const arrival = receivedAtMs === null ? "" : `; arrived ${new Date(receivedAtMs).toISOString()}`
      return `${explainStatement(item.statement, origin)}${arrival}`
    }
  }
}

function explainStatement(bytes: Uint8Array, origin: string): string {
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind !== "statement")
    return `no statement: ${decoded.kind === "malformed" ? decoded.rule : "too large"}`
  const { statement } = decoded
  const { iss, seq, content } = statement
  const name = `statement ${seq} of ${iss === origin ? "the operator" : iss}`
  if (content === contentPolicy) return `${name}: the policy`
  try {
    if (content === contentBlock)
      return `${name}: manifest of block ${decodeManifest(statement.payload).height}`
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    return `${name}: a manifest that cannot be read`
  }
  const payload = readPayload(statement)
  if (payload.kind === "registry") return `${name}: ${payload.registry.action} ${payload.registry.device}`
  return payload.kind === "readings"
    ? `${name}: ${countPackReadings(payload.series)} readings`
    : `${name}: ${payload.kind}`
}

export function formatInspectedEvidence({ items, wrong }: InspectedEvidence, sizeBytes: number): string[] {
  const rows = items.map(({ item, offset, sizeBytes: size, leaf, leaves, text }) => {
    const place = leaf === null ? "" : leaves === 1 ? String(leaf) : `${leaf}-${leaf + leaves - 1}`
    return [item, offset, size, place, text]
  })
  return [
    formatTable(["item", "byte", "size", "leaf", "what"], rows),
    "",
    `evidence       ${sizeBytes} bytes, ${items.length} items; nothing was verified: tidemark verify FILE does`,
    ...(wrong === null ? [] : [`first wrong    item ${wrong.item}, at byte ${wrong.offset}: ${wrong.rule}`]),
  ]
}

/** An item byte by byte, its statement too; null where there is no such item. */
export function dumpEvidenceItem(
  bytes: Uint8Array,
  { items }: InspectedEvidence,
  number: number,
): { readonly lines: readonly DumpLine[]; readonly sizeBytes: number } | null {
  const item = items[number - 1]
  if (item === undefined) return null
  const { offset, sizeBytes, kind } = item
  return { lines: dumpCbor(bytes.subarray(offset, offset + sizeBytes), evidenceShape(kind)), sizeBytes }
}
