/** What the vectors of proofs and receipts are made of: a small log, and its leaf 3, which a reader wants proven. */
import { encodeUtf8, formatBase64, formatHex, joinBytes } from "../../chain/bytes.ts"
import { signReceiptTree } from "../../chain/cose-receipt.ts"
import { type Hash, zeroHash } from "../../chain/hash.ts"
import { encodeCoseKey, kidOf } from "../../chain/key.ts"
import { entryOf } from "../../chain/statement.ts"
import type { EvidenceCode } from "../../verify/evidence.ts"
import { exampleLog } from "../chain/evidence-example.ts"
import { exampleStatement } from "../chain/example.ts"
import { simulatedReceiptKey } from "../verify/simulated-log.ts"
import { policyAlone, witness } from "./evidence-scene.ts"
import { type Item, type Pairs, array, bytes, int, map, nil, tag, text } from "./items.ts"
import { edKey, vectorOrigin } from "./keys.ts"

/** Of both folders. What a reader does not name is left out. */
export interface ProofVector {
  readonly description: string
  readonly rule: string
  /** Of a tlog-proof: the reader's C2SP tlog-policy, and Unix ms. */
  readonly policy?: string
  readonly since?: number
  /** Of receipts: the log's receipt key, COSE_Key in hex. */
  readonly receiptKey?: string
  /** The signer's, COSE_Key in hex. */
  readonly signerKeys?: readonly string[]
  /** What the reader has beside the file, in hex: the statement, or its entry. */
  readonly statement?: string
  readonly entry?: string
  readonly result: "verified" | "refused"
  readonly says?: object
  readonly code?: EvidenceCode
  /** What a refusal must name. */
  readonly names?: string
  /** Of a tlog-proof its text, of anything else hex. */
  readonly file: string
}

/** Leaves: policy, enrolments of k7 and n1, a statement of each, the manifest. */
export const proofLog = exampleLog()
export const leafIndex = 3
export const statementBytes = exampleStatement.bytes
export const entry = entryOf(statementBytes)
export const treeSize = proofLog.leaves.length
export const receiptKeyHex = formatHex(encodeCoseKey(simulatedReceiptKey.publicKey))
export const signerKeyHex = formatHex(encodeCoseKey(edKey.publicKey))

/** Of what is verified, under the policy or the key of these vectors. */
export const says = {
  origin: vectorOrigin,
  entry: formatHex(entry),
  leafIndex,
  tree: { size: treeSize, root: formatBase64(proofLog.root()) },
}

/** What a tlog-proof may be made of in place of what is right. */
export interface ProofParts {
  readonly magic?: string
  readonly extra?: string | null
  readonly index?: string
  readonly path?: readonly string[]
  readonly note?: string
  readonly whole?: (lines: string[]) => string[]
}

/** The lines of the C2SP document, spelled out: the vectors do not lean on the printer that they test. */
export function draftProof(parts: ProofParts = {}): string {
  const extra = parts.extra === undefined ? formatBase64(statementBytes) : parts.extra
  const lines = [
    parts.magic ?? "c2sp.org/tlog-proof@v1",
    ...(extra === null ? [] : [`extra ${extra}`]),
    parts.index ?? `index ${leafIndex}`,
    ...(parts.path ?? proofLog.path(leafIndex).map((node) => formatBase64(node))),
    "",
    ...(parts.note ?? proofLog.note()).split("\n"),
  ]
  return (parts.whole?.(lines) ?? lines).join("\n")
}

export { policyAlone, witness }

/** What a receipt may be made of in place of what is right; what is signed follows from the header. */
export interface ReceiptParts {
  readonly header?: (pairs: Pairs) => Pairs
  readonly claims?: Pairs
  readonly size?: number
  /** In the proof; that of the header is `size`. */
  readonly proofSize?: number
  readonly index?: number
  readonly path?: readonly Uint8Array[]
  readonly proof?: (proof: Item) => Item
  readonly proofs?: (proof: Item) => readonly Item[]
  readonly unprotected?: (pairs: Pairs) => Pairs
  readonly root?: Hash
  readonly payload?: Item
  readonly signature?: (signature: Uint8Array) => Uint8Array
  readonly tag?: number
  readonly after?: Uint8Array
}

/** RFC 9942 §5.2, spelled out likewise. */
export function draftReceipt(parts: ReceiptParts = {}): Uint8Array {
  const size = parts.size ?? treeSize
  const claims: Pairs = parts.claims ?? [
    [int(1), text(vectorOrigin)],
    [int(2), text("log")],
  ]
  const pairs: Pairs = [
    [int(1), int(-19)],
    [int(4), bytes(kidOf(simulatedReceiptKey.publicKey))],
    [int(15), map(claims)],
    [int(395), int(1)],
    [int(-65_539), int(size)],
  ]
  const header = map(parts.header?.(pairs) ?? pairs)
  const path = (parts.path ?? proofLog.path(leafIndex)).map(bytes)
  const right = array(int(parts.proofSize ?? size), int(parts.index ?? leafIndex), array(...path))
  const proof = parts.proof?.(right) ?? right
  const proofs = parts.proofs?.(proof) ?? [bytes(proof)]
  const vdp: Pairs = [[int(396), map([[int(-1), array(...proofs)]])]]
  const signature = signReceiptTree(vectorOrigin, size, parts.root ?? proofLog.root(), simulatedReceiptKey)
  return joinBytes(
    tag(
      parts.tag ?? 18,
      array(
        bytes(header),
        map(parts.unprotected?.(vdp) ?? vdp),
        parts.payload ?? nil,
        bytes(parts.signature?.(signature) ?? signature),
      ),
    ),
    parts.after ?? new Uint8Array(0),
  )
}

/** The statement with an unprotected header of these receipts, or of anything. */
export function draftTransparent(receipts: readonly Uint8Array[], unprotected?: Item): Uint8Array {
  const header = unprotected ?? map([[int(394), array(...receipts.map(bytes))]])
  const { protectedEnd } = exampleStatement
  return joinBytes(
    statementBytes.subarray(0, protectedEnd),
    header,
    statementBytes.subarray(protectedEnd + 1),
  )
}

export function flip(value: Uint8Array, at = 0): Uint8Array {
  const flipped = Uint8Array.from(value)
  flipped[at]! ^= 1
  return flipped
}

export const otherRoot: Hash = zeroHash
export const textOf = (value: string): Uint8Array => encodeUtf8(value)
