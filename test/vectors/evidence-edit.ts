/** A file of evidence taken apart, changed, and put together again: what somebody without any key can do. */
import { encodeUtf8, joinBytes } from "../../chain/bytes.ts"
import { CborSequence } from "../../chain/cbor-sequence.ts"
import { decodeEvidenceItem, encodeEvidenceItem, type EvidencedHead, type EvidenceGap, type EvidenceHead, type EvidenceItem, evidenceItemSizeMax, type EvidenceManifest, evidenceMembersMax, type EvidenceStatement } from "../../chain/evidence.ts"
import { type Hash, sha256 } from "../../chain/hash.ts"
import { decodeStatement, encodeStatement } from "../../chain/statement.ts"
import type { EvidenceSource } from "../../research/evidence.ts"
import { writeEvidence } from "../verify/simulated-log.ts"
import type { Scene } from "./evidence-scene.ts"
import { vectorOrigin } from "./keys.ts"

/** The items of a file. */
export function readItems(file: Uint8Array): EvidenceItem[] {
  const sequence = new CborSequence(evidenceItemSizeMax, evidenceMembersMax)
  sequence.push(file)
  const items: EvidenceItem[] = []
  for (let item = sequence.next(); item !== null; item = sequence.next()) items.push(decodeEvidenceItem(item.bytes))
  return items
}

export const writeItems = (items: readonly EvidenceItem[]): Uint8Array =>
  joinBytes(...items.map((item) => encodeEvidenceItem(item)))

export type Edit = (items: EvidenceItem[]) => EvidenceItem[] | void

export async function edited(file: Promise<Uint8Array>, edit: Edit): Promise<Uint8Array> {
  const items = readItems(await file)
  return writeItems(edit(items) ?? items)
}

/** The place of the n-th item of a kind. */
export function findItem(items: readonly EvidenceItem[], kind: EvidenceItem["kind"], number: number): number {
  const places = [...items.keys()].filter((place) => items[place]!.kind === kind)
  const place = places.at(number)
  if (place === undefined) throw new Error(`there is no ${kind} ${number}`)
  return place
}

/** Replaces the n-th item of a kind. */
export function change<Kind extends EvidenceItem["kind"]>(
  kind: Kind,
  number: number,
  edit: (item: Extract<EvidenceItem, { kind: Kind }>) => EvidenceItem,
): Edit {
  return (items) => {
    const place = findItem(items, kind, number)
    items[place] = edit(items[place] as Extract<EvidenceItem, { kind: Kind }>)
  }
}

export const changeHead = (edit: (head: EvidenceHead) => EvidenceHead): Edit => change("head", 0, edit)

export const changeGap = (number: number, edit: (gap: EvidenceGap) => EvidenceGap): Edit => change("gap", number, edit)

export const changeManifest = (number: number, edit: (item: EvidenceManifest) => EvidenceManifest): Edit =>
  change("manifest", number, edit)

export const changeSealed = (number: number, edit: (head: EvidencedHead) => Partial<EvidencedHead>): Edit =>
  changeManifest(number, (item) => ({ ...item, head: { ...item.head!, ...edit(item.head!) } }))

export const changeSaid = (number: number, edit: (item: EvidenceStatement) => Partial<EvidenceStatement>): Edit =>
  change("device", number, (item) => ({ ...(item as EvidenceStatement), ...edit(item as EvidenceStatement) }))

export const flip = (bytes: Uint8Array, place: number): Uint8Array =>
  bytes.map((byte, index) => (index === place ? byte ^ 1 : byte))

export const flipHash = (hash: Hash): Hash => flip(hash, 0) as Hash

export const nodeOf = (name: string): Hash => sha256(encodeUtf8(name))

/** A builder that leaves leaves out. */
export function without(
  { log }: Scene,
  isLeftOut: (leafIndex: number) => boolean,
  device = "k7",
  from = 2,
  to = 3,
): Promise<Uint8Array> {
  const honest = log.source()
  const source: EvidenceSource = {
    ...honest,
    async *readLeaves(...range) {
      for await (const leaf of honest.readLeaves(...range)) if (!isLeftOut(leaf.leafIndex)) yield leaf
    },
  }
  return writeEvidence(log, source, device, from, to)
}

/** The leaf of a device's n-th statement, from 1. */
export function leafOf({ log }: Scene, device: string, seq: number): number {
  const leaves = [...log.leaves.keys()].filter((place) => {
    const leaf = log.leaves[place]!
    return leaf.signer === "device" && leaf.device === device
  })
  return leaves[seq - 1]!
}

/** The leaf of the n-th registry statement about the device, from 0. */
export function registryLeafOf({ log }: Scene, device: string, number: number): number {
  return [...log.leaves.keys()].filter((place) => {
    const leaf = log.leaves[place]!
    return leaf.signer === "operator" && leaf.device === device
  })[number]!
}

/** A statement with other bytes for a signature. */
export function resigned(bytes: Uint8Array, signature: (old: Uint8Array) => Uint8Array): Uint8Array {
  const decoded = decodeStatement(bytes, vectorOrigin)
  if (decoded.kind !== "statement") throw new Error("no statement")
  return encodeStatement(decoded.statement, signature(decoded.statement.signature))
}
