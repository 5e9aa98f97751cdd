/** Evidence that was changed by somebody without any key, or is read by somebody who demands more. */
import { encodeUtf8, joinBytes } from "../../chain/bytes.ts"
import { encodeCbor } from "../../chain/cbor.ts"
import { encodeEvidenceItem, type EvidenceGap, type EvidenceManifest, type EvidenceStatement } from "../../chain/evidence.ts"
import { type Hash, sha256 } from "../../chain/hash.ts"
import { formatNote, formatVkey, parseNote } from "../../chain/note.ts"
import { entryOf } from "../../chain/statement.ts"
import type { EvidenceSource } from "../../research/evidence.ts"
import type { EvidenceCode } from "../../verify/evidence.ts"
import { type SimulatedWitness, writeEvidence } from "../verify/simulated-log.ts"
import { change, changeGap, changeHead, changeManifest, changeSaid, changeSealed, type Edit, edited, findItem, flip, flipHash, leafOf, nodeOf, readItems, registryLeafOf, without, writeItems } from "./evidence-edit.ts"
import { type Case, cosignedAt, type InvalidCase, openScene, playScene, policyWitnessed, sayBlock, type Scene, thumbprint, witness } from "./evidence-scene.ts"
import { edKeyNext, strangerKey, vectorOrigin } from "./keys.ts"

export function editedCases(): Record<string, InvalidCase> {
  const scene = playScene()
  const { log } = scene
  const good = log.evidence("k7", 2, 3)
  const edit = (description: string, code: EvidenceCode, names: string, how: Edit): InvalidCase =>
    refused(description, code, names, edited(good, how))
  const witnessed = (description: string, code: EvidenceCode, witnesses: readonly SimulatedWitness[], more: Partial<Case> = {}): InvalidCase =>
    refused(description, code, "the checkpoint", log.evidence("k7", 2, 3, witnesses), { policy: policyWitnessed, ...more })
  return {
    "statement-removed-from-the-middle": refused("Statement 4 is in a gap.", "missing", "statement 4 of device k7", without(scene, (leaf) => leaf === leafOf(scene, "k7", 4))),
    "statement-removed-from-the-start": refused("Statement 3, the first of the range.", "missing", "statement 3 of device k7", without(scene, (leaf) => leaf === leafOf(scene, "k7", 3))),
    "statement-removed-from-the-end": refused("Statement 7, the last of the range.", "missing", "statement 7 of device k7", without(scene, (leaf) => leaf === leafOf(scene, "k7", 7))),
    "all-statements-removed": refused("The device is said to have been silent.", "missing", "statement 3 of device k7", without(scene, (leaf) => leaf > leafOf(scene, "k7", 2) && leaf < leafOf(scene, "k7", 8) && log.leaves[leaf]!.device === "k7")),
    "last-statements-removed-with-the-head": edit("The head of block 3 is said to be statement 5.", "heads", "block 3", changeSealed(2, () => ({ seq: 5 }))),
    "two-statements-swapped": edit("3 stands where 4 was.", "missing", "statement 3 of device k7", (items) => {
      const [one, other] = [findItem(items, "device", 0), findItem(items, "device", 1)]
      ;[items[one], items[other]] = [items[other]!, items[one]!]
    }),
    "statement-twice": edit("Statement 3 stands twice.", "chain", "statement 3 of device k7", (items) => {
      const place = findItem(items, "device", 0)
      items.splice(place, 0, items[place]!)
    }),
    "statement-changed": edit("A byte of the payload of statement 4.", "signature", "statement 4 of device k7", changeSaid(1, ({ statement }) => ({ statement: flip(statement, statement.length - 68) }))),
    "statement-of-another-device": refused("A neighbour's statement is shown as the device's.", "foreign", "statement 3 of n1", showNeighbour(scene)),
    "statement-outside-the-range": refused("Statement 2, in block 1, is shown, and asks for no key.", "order", "statement 2 of device k7", showOutside(scene)),
    "wrong-arrival": edit("Statement 4 is said to have arrived a minute earlier.", "arrival", "block 2", changeSaid(1, ({ receivedAtMs }) => ({ receivedAtMs: receivedAtMs! - 60_000 }))),
    "arrival-missing": edit("Statement 4 has no arrival.", "format", "statement 4 of device k7", changeSaid(1, () => ({ receivedAtMs: null }))),
    "arrival-outside-the-range": edit("The policy, in block 0, has an arrival.", "format", "statement 1 of the operator", change("operator", 0, (item) => ({ ...(item as EvidenceStatement), receivedAtMs: 1_748_764_801_000 }))),
    "policy-left-out": edit("The first item is a registry statement.", "policy", "statement 2 of the operator", (items) => items.toSpliced(findItem(items, "operator", 0), 1)),
    "policy-in-a-gap": edit("The log begins with a gap.", "policy", "leaf 0", (items) => {
      items[findItem(items, "operator", 0)] = { kind: "gap", count: 1, nodes: [nodeOf("policy")], arrivals: null }
    }),
    "enrolment-left-out": refused("The registry begins in a gap.", "heads", "block 1", without(scene, (leaf) => leaf === registryLeafOf(scene, "k7", 0))),
    "head-before-left-out": edit("Block 1 does not say where it leaves the device.", "heads", "block 1", changeManifest(0, (item) => ({ ...item, head: null }))),
    "head-after-left-out": edit("Block 3 does not say where it leaves the device.", "heads", "block 3", changeManifest(2, (item) => ({ ...item, head: null }))),
    "head-of-another-block": edit("Block 3 shows the head of block 1.", "heads", "block 3", (items) => {
      const [one, other] = [findItem(items, "manifest", 0), findItem(items, "manifest", 2)]
      items[other] = { ...(items[other] as EvidenceManifest), head: (items[one] as EvidenceManifest).head }
    }),
    "head-with-another-blind": edit("", "heads", "block 1", changeSealed(0, ({ blind }) => ({ blind: flip(blind, 31) }))),
    "head-with-another-registry": edit("", "heads", "block 1", changeSealed(0, ({ registry }) => ({ registry: flipHash(registry) }))),
    "head-with-another-path": edit("", "heads", "block 1", changeSealed(0, ({ path }) => ({ path: [...path, nodeOf("more")] }))),
    "manifest-left-out": edit("That of block 2 is in a gap.", "manifest", "the manifest of block 2", hideManifest(1)),
    "manifest-twice": edit("Block 2 ends twice.", "chain", "statement 6 of the operator", (items) => {
      const place = findItem(items, "manifest", 1)
      items.splice(place, 0, items[place]!)
    }),
    "manifests-swapped": edit("Block 1 is shown with the manifest of block 2.", "manifest", "the manifest of block 1", (items) => {
      const [one, other] = [findItem(items, "manifest", 0), findItem(items, "manifest", 1)]
      const statement = (place: number): Uint8Array => (items[place] as EvidenceManifest).statement
      items[one] = { ...(items[one] as EvidenceManifest), statement: statement(other) }
    }),
    "manifest-behind-the-range": refused("That of a block behind the range, which is not the last.", "manifest", "the manifest of block 4", showManifestBehind()),
    "last-manifest-not-the-last": edit("The manifest of block 3 is said to be the last of the log.", "order", "the last manifest", (items) => {
      const place = findItem(items, "manifest", 2)
      items[place] = { ...(items[place] as EvidenceManifest), blocksAfter: [] }
      return items.slice(0, place + 1)
    }),
    "manifests-node-changed": edit("A node of the tree of manifests.", "blocks", "the manifest of block 4", changeHead((head) => ({ ...head, blocksBefore: head.blocksBefore.map(flipHash) }))),
    "manifests-node-too-many": edit("", "format", "the tree of manifests before the range", changeHead((head) => ({ ...head, blocksBefore: [...head.blocksBefore, nodeOf("more")] }))),
    "range-shifted": edit("Blocks 2 and 3 are said to be 1 and 2.", "format", "the tree of manifests before the range", changeHead((head) => ({ ...head, from: 1, to: 2 }))),
    "range-cut-short": edit("Only block 2 is said to be shown.", "heads", "block 2", changeHead((head) => ({ ...head, to: 2 }))),
    "device-renamed": edit("The file is said to be about n1.", "foreign", "statement 2 of the operator", changeHead((head) => ({ ...head, device: "n1" }))),
    "node-changed": edit("A node of a gap in block 2.", "root", "block 2", changeGap(2, (gap) => ({ ...gap, nodes: gap.nodes.map(flipHash) }))),
    "arrivals-node-changed": edit("A node of the arrivals of block 2.", "arrival", "block 2", changeGap(2, (gap) => ({ ...gap, arrivals: gap.arrivals!.map(flipHash) }))),
    "node-too-many": edit("", "format", "the gap at leaf 12", changeGap(2, (gap) => ({ ...gap, nodes: [...gap.nodes, nodeOf("more")] }))),
    "node-missing": edit("", "format", "the gap at leaf 12", changeGap(2, (gap) => ({ ...gap, nodes: [] }))),
    "arrivals-node-too-many": edit("", "format", "the gap at leaf 12", changeGap(2, (gap) => ({ ...gap, arrivals: [...gap.arrivals!, nodeOf("more")] }))),
    "arrivals-missing": edit("A gap in block 2 has only nodes of the log.", "format", "the gap at leaf 12", changeGap(2, (gap) => ({ ...gap, arrivals: null }))),
    "gap-too-long": edit("By a leaf, with the nodes to cover it.", "manifest", "the manifest of block 1", lengthen(0, 1)),
    "gap-too-short": edit("By a leaf.", "manifest", "the manifest of block 1", lengthen(0, -1)),
    "gap-beyond-the-log": edit("The last gap covers the last manifest too.", "order", "leaf 22", lengthen(-1, 1)),
    "gap-of-2-to-the-53": refused("A count that is no integer here.", "format", "item 2", withItem(good, Uint8Array.of(0x83, 1, 0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0, 0x40))),
    "two-gaps": edit("A gap of six as two.", "order", "the gap at leaf 3", splitGap(0)),
    "head-twice": edit("", "order", "the file", (items) => [items[0]!, ...items]),
    "head-missing": edit("", "order", "the file", (items) => items.slice(1)),
    "another-version": refused("Version 2.", "format", "the file", good.then((file) => file.map((byte, place) => (place === 19 ? 2 : byte)))),
    "integer-not-shortest": refused("A count of 1 in two bytes.", "format", "item 2", withItem(good, Uint8Array.of(0x83, 1, 0x18, 1, 0x40))),
    "unknown-kind": refused("An item of kind 5.", "format", "item 2", withItem(good, encodeCbor([5, 1]))),
    "item-of-another-form": refused("A map.", "format", "item 2", withItem(good, encodeCbor(new Map([[1, 1]])))),
    "item-too-large": refused("A statement that is said to have 1 GB.", "format", "item 2", withItem(good, joinBytes(Uint8Array.of(0x83, 3, 0x5a, 0x40, 0, 0, 0)))),
    "cut-inside-an-item": refused("By its last byte.", "cut", "the file", good.then((file) => file.slice(0, -1))),
    "cut-between-items": edit("The last manifest is missing.", "cut", "the file", (items) => items.slice(0, -1)),
    "cut-to-nothing": refused("An empty file.", "cut", "the file", Promise.resolve(new Uint8Array(0))),
    "trailing-byte": refused("", "trailing", "the file", good.then((file) => joinBytes(file, Uint8Array.of(0)))),
    "trailing-item": edit("A gap behind the last manifest.", "trailing", "the file", (items) => [...items, { kind: "gap", count: 1, nodes: [nodeOf("more")], arrivals: null }]),
    "checkpoint-changed": edit("A size that was not signed.", "checkpoint", "the checkpoint", changeHead((head) => ({ ...head, checkpoint: encodeUtf8(new TextDecoder().decode(head.checkpoint).replace("\n25\n", "\n26\n")) }))),
    "checkpoint-without-signatures": edit("", "checkpoint", "the checkpoint", changeHead((head) => ({ ...head, checkpoint: encodeUtf8(`${new TextDecoder().decode(head.checkpoint).split("\n\n")[0]}\n`) }))),
    "checkpoint-of-another-size": refused("Signed, of the log as it was a block before.", "order", "leaf 21", olderCheckpoint(scene)),
    "checkpoint-by-another-key": refused("The reader trusts another key under this origin.", "checkpoint", "the checkpoint", good, { policy: `log ${formatVkey({ name: vectorOrigin, publicKey: strangerKey.publicKey })}\nquorum none\n` }),
    "checkpoint-of-another-log": refused("The reader trusts another log.", "checkpoint", "the checkpoint", good, { policy: `log ${formatVkey({ name: "other.example/log", publicKey: log.logKey.publicKey })}\nquorum none\n` }),
    "origin-of-another-log": edit("The file is said to be of another log than its checkpoint.", "checkpoint", "the checkpoint", changeHead((head) => ({ ...head, origin: "other.example/log" }))),
    "witness-missing": witnessed("One of two that are demanded.", "witness", [witness("w2")]),
    "witnesses-missing": witnessed("None.", "witness", []),
    "witness-unknown": witnessed("The second is by a key that the reader does not know.", "witness", [witness("w2"), witness("w4")]),
    "witness-with-another-key": witnessed("The second has the name of a witness, and another key.", "witness", [witness("w2"), { ...witness("w1"), key: strangerKey }]),
    "witness-twice": witnessed("One witness is no two.", "witness", [witness("w2"), witness("w2", cosignedAt + 60)]),
    "cosignature-changed": refused("A witness's time was changed.", "witness", "the checkpoint", changeCosignature(log.evidence("k7", 2, 3, [witness("w1"), witness("w2"), witness("w3")])), { policy: policyWitnessed }),
    "stale-cosignature": witnessed("One of the two cosigned before the time from which on the reader wants it.", "stale", [witness("w1"), witness("w2", cosignedAt - 86_400)], { since: cosignedAt * 1000 - 10_000_000 }),
    "stale-checkpoint": refused("The last block ended before the time from which on the reader wants it.", "stale", "the checkpoint", good, { since: cosignedAt * 1000 }),
    "key-not-named-by-the-reader": refused("The reader knows another key of the device.", "pin", "statement 3 of device k7", good, { deviceKeys: [thumbprint(edKeyNext)] }),
  }
}

function showNeighbour(scene: Scene): Promise<Uint8Array> {
  const honest = scene.log.source()
  const source: EvidenceSource = {
    ...honest,
    async *readLeaves(device, first, last) {
      const neighbour = leafOf(scene, "n1", 3)
      let isShown = false
      for await (const leaf of honest.readLeaves(device, first, last)) {
        if (!isShown && leaf.leafIndex > neighbour) {
          const { bytes: statement, receivedAtMs } = scene.log.leaves[neighbour]!
          yield { leafIndex: neighbour, signer: "device", statement, receivedAtMs }
          isShown = true
        }
        yield leaf
      }
    },
  }
  return writeEvidence(scene.log, source, "k7", 2, 3)
}

function showOutside({ log }: Scene): Promise<Uint8Array> {
  const honest = log.source()
  const readLeaves: EvidenceSource["readLeaves"] = (device, first, last) =>
    honest.readLeaves(device, { ...first, firstLeaf: 7 }, last)
  const source = { ...honest, readLeaves }
  return writeEvidence(log, source, "k7", 2, 3)
}

/** Evidence of blocks 2 and 3 of a log of six that shows the manifest of block 4 as well. */
async function showManifestBehind(): Promise<Uint8Array> {
  const { log } = playScene()
  log.seal()
  const items = readItems(await log.evidence("k7", 2, 3))
  const [from, to] = [log.manifests[3]!.leafIndex + 1, log.manifests[4]!.leafIndex]
  return writeItems([
    ...items.slice(0, findItem(items, "manifest", 2) + 1),
    { kind: "gap", count: to - from, nodes: log.cover(from, to), arrivals: null },
    { kind: "manifest", statement: log.manifests[4]!.statement, head: null, blocksAfter: null },
  ])
}

/** Puts a manifest into the gap around it. */
function hideManifest(number: number): Edit {
  return (items) => {
    const place = findItem(items, "manifest", number)
    const { statement } = items[place] as EvidenceManifest
    // The item is replaced by a gap of its one leaf.
    const node = sha256(joinBytes(Uint8Array.of(0), entryOf(statement)))
    items[place] = { kind: "gap", count: 1, nodes: [node], arrivals: [nodeOf("no arrival")] }
  }
}

/** A gap with more or fewer leaves, and as many nodes as cover them. */
function lengthen(number: number, by: number): Edit {
  return (items) => {
    const place = findItem(items, "gap", number)
    const at = items.slice(1, place).reduce((sum, item) => sum + (item.kind === "gap" ? item.count : 1), 0)
    const gap = items[place] as EvidenceGap
    const count = gap.count + by
    const nodes = coverNames(at, at + count)
    items[place] = { ...gap, count, nodes, arrivals: gap.arrivals === null ? null : nodes }
  }
}

/** As many made-up nodes as cover these leaves. */
function coverNames(from: number, to: number): Hash[] {
  const names: Hash[] = []
  for (let at = from; at < to; ) {
    let width = 1
    while (at % (2 * width) === 0 && at + 2 * width <= to) width *= 2
    names.push(nodeOf(`${at} ${width}`))
    at += width
  }
  return names
}

function splitGap(number: number): Edit {
  return (items) => {
    const place = findItem(items, "gap", number)
    const at = items.slice(1, place).reduce((sum, item) => sum + (item.kind === "gap" ? item.count : 1), 0)
    const gap = items[place] as EvidenceGap
    const parts: EvidenceGap[] = [
      { ...gap, count: 1, nodes: coverNames(at, at + 1) },
      { ...gap, count: gap.count - 1, nodes: coverNames(at + 1, at + gap.count) },
    ]
    items.splice(place, 1, ...parts)
  }
}

/** A file with some bytes as its second item. */
async function withItem(file: Promise<Uint8Array>, bytes: Uint8Array): Promise<Uint8Array> {
  const [head, ...rest] = readItems(await file)
  return joinBytes(encodeEvidenceItem(head!), bytes, writeItems(rest))
}

/** The file under the checkpoint of the log before its last block, which the log has signed as well. */
async function olderCheckpoint({ log }: Scene): Promise<Uint8Array> {
  const older = openScene()
  for (let height = 0; height < 4; height++) {
    sayBlock(older, height)
    older.log.seal()
  }
  const note = encodeUtf8(older.log.note())
  return edited(log.evidence("k7", 2, 3), changeHead((head) => ({ ...head, checkpoint: note })))
}

/** The last cosignature says a later time. */
async function changeCosignature(file: Promise<Uint8Array>): Promise<Uint8Array> {
  return edited(file, changeHead((head) => {
    const note = parseNote(new TextDecoder().decode(head.checkpoint))!
    const [log, ...rest] = note.signatures
    const last = rest.at(-1)!
    const changed = { ...last, signature: flip(last.signature, 7) }
    const signatures = [log!, ...rest.slice(0, -1), changed]
    return { ...head, checkpoint: encodeUtf8(formatNote({ ...note, signatures })) }
  }))
}

export function refused(
  description: string,
  code: EvidenceCode,
  names: string,
  file: Promise<Uint8Array>,
  more: Partial<Case> = {},
): InvalidCase {
  return { description, code, names, file, ...more }
}
