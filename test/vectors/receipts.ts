/** COSE Receipts and Transparent Statements, each with the receipt key that its reader trusts. */
import { formatHex, joinBytes } from "../../chain/bytes.ts"
import { encodeCoseKey } from "../../chain/key.ts"
import { entryOf } from "../../chain/statement.ts"
import { without, withValue } from "./draft.ts"
import { array, bytes, hex, int, map, text } from "./items.ts"
import { ecKey, strangerKey, vectorOrigin } from "./keys.ts"
import {
  type ProofVector,
  draftReceipt,
  draftTransparent,
  entry,
  flip,
  leafIndex,
  otherRoot,
  proofLog,
  receiptKeyHex,
  says,
  signerKeyHex,
  statementBytes,
  treeSize,
} from "./proof-scene.ts"

type Rest = Partial<ProofVector>

const statement = formatHex(statementBytes)

function verified(description: string, file: Uint8Array, rest: Rest = {}): ProofVector {
  return {
    description,
    rule: "§11",
    receiptKey: receiptKeyHex,
    ...rest,
    result: "verified",
    says: { ...says, ...rest.says },
    file: formatHex(file),
  }
}

/** Of a receipt the reader has the statement, unless something else is said. */
function refused(
  description: string,
  code: ProofVector["code"] & string,
  names: string,
  file: Uint8Array,
  rest: Rest = { statement },
): ProofVector {
  return { description, rule: "§11", receiptKey: receiptKeyHex, ...rest, result: "refused", code, names, file: formatHex(file) }
}

const receipt = draftReceipt()
const ofOthers = joinBytes(hex("d284 43 a10127 a0 f6 58 40"), new Uint8Array(64))
const other = proofLog.leaves[4]!.bytes
const path = proofLog.path(leafIndex)
const inFile = {}

const valid: Readonly<Record<string, ProofVector>> = {
  receipt: verified("Of leaf 3 in a tree of 6.", receipt, { statement }),
  "receipt-of-an-entry": verified("The reader has the digest alone.", receipt, { entry: formatHex(entry) }),
  "receipt-signer-named": verified("The reader knows the device's key.", receipt, { statement, signerKeys: [signerKeyHex] }),
  "receipt-of-the-last-leaf": verified(
    "The manifest: its path is shorter.",
    draftReceipt({ index: 5, path: proofLog.path(5) }),
    {
      statement: formatHex(proofLog.leaves[5]!.bytes),
      says: { entry: formatHex(proofLog.leaves[5]!.entry), leafIndex: 5 },
    },
  ),
  transparent: verified("The statement with its receipt.", draftTransparent([receipt])),
  "transparent-with-receipts-of-others": verified(
    "One of another service before it, and one by another key behind it.",
    draftTransparent([ofOthers, receipt, draftReceipt({ header: (pairs) => withValue(pairs, 4, bytes(new Uint8Array(8))) })]),
  ),
}

const invalid: Readonly<Record<string, ProofVector>> = {
  "untagged": refused("Without tag 18.", "format", "the file", receipt.subarray(1)),
  "tag-97": refused("A COSE_Mac0.", "format", "the file", draftReceipt({ tag: 17 })),
  "algorithm-eddsa": refused("-8, which RFC 9864 retired.", "format", "the receipt", draftReceipt({ header: (pairs) => withValue(pairs, 1, int(-8)) })),
  "kid-missing": refused("", "format", "the receipt", draftReceipt({ header: (pairs) => without(pairs, 4) })),
  "kid-whole-thumbprint": refused("", "format", "the receipt", draftReceipt({ header: (pairs) => withValue(pairs, 4, bytes(new Uint8Array(32))) })),
  "kid-of-another-key": refused("", "key", "the receipt", draftReceipt({ header: (pairs) => withValue(pairs, 4, bytes(new Uint8Array(8))) })),
  "claims-missing": refused("", "format", "the receipt", draftReceipt({ header: (pairs) => without(pairs, 15) })),
  "sub-of-the-statement": refused("It would tell whose leaf it is.", "format", "the receipt", draftReceipt({ claims: [[int(1), text(vectorOrigin)], [int(2), text("k7")]] })),
  "claims-with-iat": refused("", "format", "the receipt", draftReceipt({ claims: [[int(1), text(vectorOrigin)], [int(2), text("log")], [int(6), int(1_748_764_802)]] })),
  "vds-missing": refused("", "format", "the receipt", draftReceipt({ header: (pairs) => without(pairs, 395) })),
  "vds-of-another-structure": refused("", "format", "the receipt", draftReceipt({ header: (pairs) => withValue(pairs, 395, int(2)) })),
  "size-not-signed": refused("As RFC 9942 alone has it: size and index are anybody's.", "format", "the receipt", draftReceipt({ header: (pairs) => without(pairs, -65_539) })),
  "size-of-one": refused("A path has at least one node.", "format", "the receipt", draftReceipt({ header: (pairs) => withValue(pairs, -65_539, int(1)), proofSize: 1, index: 0 })),
  "size-of-the-proof-is-another": refused("", "format", "the receipt", draftReceipt({ proofSize: treeSize + 1 })),
  "labels-not-sorted": refused("", "format", "the receipt", draftReceipt({ header: (pairs) => pairs.toReversed() })),
  "critical-headers": refused("A label more.", "format", "the receipt", draftReceipt({ header: ([alg, ...rest]) => [alg!, [int(2), array(int(395))], ...rest] })),
  "index-beyond-the-tree": refused("", "format", "the receipt", draftReceipt({ index: treeSize })),
  "index-of-the-neighbour": refused("", "root", "the path", draftReceipt({ index: 2 })),
  "path-empty": refused("", "format", "the receipt", draftReceipt({ path: [] })),
  "path-without-its-end": refused("", "root", "the path", draftReceipt({ path: path.slice(0, -1) })),
  "path-with-a-node-more": refused("", "root", "the path", draftReceipt({ path: [...path, otherRoot] })),
  "node-short": refused("", "format", "the receipt", draftReceipt({ path: [...path.slice(1), new Uint8Array(31)] })),
  "node-changed": refused("", "root", "the path", draftReceipt({ path: [flip(path[0]!), ...path.slice(1)] })),
  "proof-not-in-bytes": refused("The array itself, not a byte string of it.", "format", "the receipt", draftReceipt({ proofs: (proof) => [proof] })),
  "proof-twice": refused("", "format", "the receipt", draftReceipt({ proofs: (proof) => [bytes(proof), bytes(proof)] })),
  "proof-with-an-item-more": refused("", "format", "the receipt", draftReceipt({ proof: (proof) => joinBytes(hex("84"), proof.subarray(1), int(0)) })),
  "unprotected-with-a-label-more": refused("", "format", "the receipt", draftReceipt({ unprotected: (pairs) => [...pairs, [int(397), int(1)]] })),
  "consistency-in-place-of-inclusion": refused("", "format", "the receipt", draftReceipt({ unprotected: () => [[int(396), map([[int(-2), array(bytes(array()))]])]] })),
  "payload-attached": refused("The root itself: then it would be believed.", "format", "the receipt", draftReceipt({ payload: bytes(proofLog.root()) })),
  "signature-of-another-root": refused("", "root", "the path", draftReceipt({ root: otherRoot })),
  "signature-of-another-size": refused("Signed for a tree of 6, and 7 is said: leaf 3 has the same path in both.", "root", "the path", draftReceipt({ header: (pairs) => withValue(pairs, -65_539, int(treeSize + 1)), proofSize: treeSize + 1 })),
  "signature-changed": refused("", "root", "the path", draftReceipt({ signature: (signature) => flip(signature, 40) })),
  "signature-short": refused("", "format", "the receipt", draftReceipt({ signature: (signature) => signature.subarray(1) })),
  "something-behind": refused("", "format", "the receipt", draftReceipt({ after: Uint8Array.of(0) })),
  "by-another-key": refused("The reader trusts another receipt key.", "key", "the receipt", receipt, { statement, receiptKey: formatHex(encodeCoseKey(strangerKey.publicKey)) }),
  "statement-is-the-neighbour": refused("", "root", "the path", receipt, { statement: formatHex(other) }),
  "entry-is-the-neighbour": refused("", "root", "the path", receipt, { entry: formatHex(entryOf(other)) }),
  "statement-missing": refused("Neither the statement nor its entry is named.", "missing", "the file", receipt, inFile),
  "signer-is-another": refused("", "pin", "statement 1 of k7", receipt, { statement, signerKeys: [formatHex(encodeCoseKey(ecKey.publicKey))] }),
  "transparent-with-receipts-of-others-alone": refused("", "key", "the receipt", draftTransparent([ofOthers]), inFile),
  "transparent-with-a-receipt-of-another-statement": refused("", "root", "the path", draftTransparent([draftReceipt({ index: 4, path: proofLog.path(4) })]), inFile),
  "transparent-without-receipts": refused("An empty array.", "format", "the file", draftTransparent([]), inFile),
  "transparent-with-a-label-more": refused("", "format", "the file", draftTransparent([], map([[int(394), array(bytes(receipt))], [int(396), int(1)]])), inFile),
  "transparent-receipt-not-in-bytes": refused("", "format", "the file", draftTransparent([], map([[int(394), array(receipt)]])), inFile),
  "transparent-statement-changed": refused("A bit of its signature.", "root", "the path", flip(draftTransparent([receipt]), draftTransparent([receipt]).length - 1), inFile),
}

export function receiptVectors(): Map<string, ProofVector> {
  return new Map([
    ...Object.entries(valid).map(([name, vector]) => [`receipts/valid/${name}.json`, vector] as const),
    ...Object.entries(invalid).map(([name, vector]) => [`receipts/invalid/${name}.json`, vector] as const),
  ])
}
