/** Proofs in the form of C2SP tlog-proof, each with what its reader trusts and what must be said of it. */
import { formatBase64, formatHex } from "../../chain/bytes.ts"
import { formatCheckpoint, signCheckpoint } from "../../chain/checkpoint.ts"
import { sha256 } from "../../chain/hash.ts"
import { encodeCoseKey } from "../../chain/key.ts"
import { entryOf } from "../../chain/statement.ts"
import { cosignedAt, policyWitnessed } from "./evidence-scene.ts"
import { ecKey, strangerKey, vectorOrigin } from "./keys.ts"
import {
  type ProofVector,
  draftProof,
  entry,
  flip,
  leafIndex,
  policyAlone,
  proofLog,
  says,
  signerKeyHex,
  statementBytes,
  treeSize,
  witness,
} from "./proof-scene.ts"

type Rest = Partial<ProofVector>

function verified(description: string, file: string, rest: Rest = {}): ProofVector {
  return { description, rule: "§11", policy: policyAlone, ...rest, result: "verified", says: { ...says, ...rest.says }, file }
}

function refused(
  description: string,
  code: ProofVector["code"] & string,
  names: string,
  file: string,
  rest: Rest = {},
): ProofVector {
  return { description, rule: "§11", policy: policyAlone, ...rest, result: "refused", code, names, file }
}

const entryHex = formatHex(entry)
const statement = formatHex(statementBytes)
const [first, ...others] = proofLog.path(leafIndex).map((node) => formatBase64(node)) as [string, ...string[]]
const witnessed = proofLog.note([witness("w1"), witness("w3")])
const other = proofLog.leaves[4]!.bytes
const format = (line: number): string => `line ${line} of the file`

const valid: Readonly<Record<string, ProofVector>> = {
  "with-its-statement": verified("The statement stands in the proof, as its extra data.", draftProof()),
  "statement-beside-it": verified("The reader has the statement.", draftProof({ extra: null }), { statement }),
  "entry-beside-it": verified("The reader has its digest alone.", draftProof({ extra: null }), { entry: entryHex }),
  "statement-twice": verified("In the proof and beside it: they are the same.", draftProof(), { statement }),
  "signer-named": verified("The reader knows the device's key.", draftProof(), { signerKeys: [signerKeyHex] }),
  "first-leaf": verified(
    "The policy, leaf 0, by the operator.",
    draftProof({
      extra: formatBase64(proofLog.leaves[0]!.bytes),
      index: "index 0",
      path: proofLog.path(0).map((node) => formatBase64(node)),
    }),
    { says: { entry: formatHex(proofLog.leaves[0]!.entry), leafIndex: 0 } },
  ),
  "last-leaf": verified(
    "The manifest, whose path is shorter than the others.",
    draftProof({
      extra: formatBase64(proofLog.leaves[5]!.bytes),
      index: "index 5",
      path: proofLog.path(5).map((node) => formatBase64(node)),
    }),
    { says: { entry: formatHex(proofLog.leaves[5]!.entry), leafIndex: 5 } },
  ),
  witnessed: verified("Two of three witnesses are demanded, and two have cosigned.", draftProof({ note: witnessed }), {
    policy: policyWitnessed,
  }),
  "recent-enough": verified("The reader wants cosignatures of a certain time.", draftProof({ note: witnessed }), {
    policy: policyWitnessed,
    since: cosignedAt * 1000,
  }),
}

const invalid: Readonly<Record<string, ProofVector>> = {
  "another-version": refused("", "format", format(1), draftProof({ magic: "c2sp.org/tlog-proof@v2" })),
  "carriage-returns": refused("", "format", format(1), draftProof().replaceAll("\n", "\r\n")),
  "extra-empty": refused("Without extra data there is no such line.", "format", format(2), draftProof({ extra: "" })),
  "extra-no-base64": refused("", "format", format(2), draftProof({ extra: "!" })),
  "extra-without-padding": refused("", "format", format(2), draftProof({ extra: "AAA" })),
  "extra-twice": refused("", "format", format(3), draftProof({ whole: (lines) => [lines[0]!, lines[1]!, ...lines.slice(1)] })),
  "extra-behind-the-index": refused("", "format", format(3), draftProof({ whole: ([a, b, c, ...rest]) => [a!, c!, b!, ...rest] })),
  "index-missing": refused("", "format", format(3), draftProof({ whole: (lines) => lines.toSpliced(2, 1) })),
  "index-with-a-zero": refused("", "format", format(3), draftProof({ index: "index 03" })),
  "index-in-hex": refused("", "format", format(3), draftProof({ index: "index 0x3" })),
  "index-negative": refused("", "format", format(3), draftProof({ index: "index -3" })),
  "index-beyond-2-53": refused("", "format", format(3), draftProof({ index: "index 9007199254740995" })),
  "index-with-a-space": refused("", "format", format(3), draftProof({ index: "index  3" })),
  "node-short": refused("Of 31 bytes.", "format", format(4), draftProof({ path: [formatBase64(new Uint8Array(31)), ...others] })),
  "node-in-base64url": refused("", "format", format(4), draftProof({ path: [`${"-_".repeat(21)}8=`, ...others] })),
  "empty-line-missing": refused("", "format", format(7), draftProof({ whole: (lines) => lines.filter((line, at) => line !== "" || at > 8) })),
  "checkpoint-missing": refused("", "format", format(8), draftProof({ note: "" })),
  "checkpoint-unsigned": refused("", "format", format(8), draftProof({ note: formatCheckpoint({ origin: vectorOrigin, size: treeSize, root: proofLog.root() }) })),
  "checkpoint-cut": refused("Its last byte is missing.", "format", format(8), draftProof().slice(0, -1)),
  "something-behind": refused("An empty line more.", "format", format(8), `${draftProof()}\n`),
  "checkpoint-by-another-key": refused("", "checkpoint", "the checkpoint", draftProof({ note: signCheckpoint({ origin: vectorOrigin, size: treeSize, root: proofLog.root() }, strangerKey) })),
  "checkpoint-of-another-log": refused("By a key and an origin that the reader does not trust.", "checkpoint", "the checkpoint", draftProof({ note: signCheckpoint({ origin: "other.example/log", size: treeSize, root: proofLog.root() }, strangerKey) })),
  "checkpoint-changed": refused("The size in it was made larger.", "checkpoint", "the checkpoint", draftProof({ note: proofLog.note().replace("\n6\n", "\n7\n") })),
  "witness-missing": refused("One of the two that are demanded.", "witness", "the checkpoint", draftProof({ note: proofLog.note([witness("w1")]) }), { policy: policyWitnessed }),
  "cosignature-too-old": refused("", "stale", "the checkpoint", draftProof({ note: witnessed }), { policy: policyWitnessed, since: cosignedAt * 1000 + 1 }),
  "since-without-witnesses": refused("A checkpoint does not say when it was made.", "stale", "the checkpoint", draftProof(), { since: 1 }),
  "index-of-the-neighbour": refused("", "root", "the path", draftProof({ index: "index 2" })),
  "index-beyond-the-tree": refused("", "root", "the path", draftProof({ index: "index 6" })),
  "path-without-its-end": refused("", "root", "the path", draftProof({ path: [first, ...others.slice(0, -1)] })),
  "path-with-a-node-more": refused("", "root", "the path", draftProof({ path: [first, ...others, first] })),
  "path-in-another-order": refused("", "root", "the path", draftProof({ path: [...others, first] })),
  "path-empty": refused("", "root", "the path", draftProof({ path: [] })),
  "node-changed": refused("", "root", "the path", draftProof({ path: [formatBase64(flip(proofLog.path(leafIndex)[0]!)), ...others] })),
  "leaf-hash-as-the-path": refused("A node of the tree passed off as a leaf.", "malformed", "the statement", draftProof({ extra: formatBase64(sha256(entry)) })),
  "statement-of-the-neighbour": refused("Another statement of the same log.", "root", "the path", draftProof({ extra: formatBase64(other) })),
  "statement-changed": refused("A bit of its signature.", "root", "the path", draftProof({ extra: formatBase64(flip(statementBytes, statementBytes.length - 1)) })),
  "statement-missing": refused("Neither in the proof nor beside it.", "missing", "the file", draftProof({ extra: null })),
  "statement-beside-it-is-another": refused("", "foreign", "the statement in the file", draftProof(), { statement: formatHex(other) }),
  "entry-beside-it-is-another": refused("", "foreign", "the statement in the file", draftProof(), { entry: formatHex(entryOf(other)) }),
  "extra-no-statement": refused("Bytes that are none.", "malformed", "the statement", draftProof({ extra: "AAAA" })),
  "signer-is-another": refused("The reader names another key.", "pin", "statement 1 of k7", draftProof(), { signerKeys: [formatHex(encodeCoseKey(ecKey.publicKey))] }),
  "signer-without-a-statement": refused("A signature cannot be checked against a digest.", "missing", "the statement", draftProof({ extra: null }), { entry: entryHex, signerKeys: [signerKeyHex] }),
}

export function proofVectors(): Map<string, ProofVector> {
  return new Map([
    ...Object.entries(valid).map(([name, vector]) => [`proofs/valid/${name}.json`, vector] as const),
    ...Object.entries(invalid).map(([name, vector]) => [`proofs/invalid/${name}.json`, vector] as const),
  ])
}
