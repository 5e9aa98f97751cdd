/**
 * COSE Receipts (RFC 9942): that a leaf is in a log, as a COSE_Sign1 whose payload is the root and is left out.
 *
 * A receipt signs the root alone, so size and index would be anybody's: one receipt of a log of 1,000 leaves verified
 * under 512 pairs of them. Here the size is in the protected header too, and must be the one of the proof.
 */
import { equalBytes } from "./bytes.ts"
import { CborReader, encodeCbor, readInside } from "./cbor.ts"
import { type Hash, type Sha256, hashSize, parseHash, sha256 } from "./hash.ts"
import { type Algorithm, type PrivateKey, type PublicKey, algorithmEd25519, kidOf, kidSize } from "./key.ts"
import { hashLeaf, rootOfPath } from "./merkle.ts"
import {
  type VerifyEquation,
  checkSignature,
  signMessage,
  signatureSize,
  verifyEquation,
} from "./signature.ts"
import { pathLengthMax } from "./tlog-proof.ts"

/** A tree of the log, as its receipt key signs it: once for all of its leaves. */
export interface ReceiptTree {
  readonly origin: string
  /** Of the receipt key: the first 8 bytes of its thumbprint. */
  readonly kid: Uint8Array
  /** Leaves; at least 2, since RFC 9942 has no path of no nodes. */
  readonly size: number
}

export interface CoseReceipt extends ReceiptTree {
  /** Of the leaf. */
  readonly index: number
  /** From the leaf's sibling up to the root's child. */
  readonly path: readonly Hash[]
  /** 64 bytes. */
  readonly signature: Uint8Array
}

/** sub of every receipt: it speaks of the log's tree. The statement's own would tell whose leaf it is. */
export const receiptSubject = "log"

const algorithm: Algorithm = algorithmEd25519
const labelVds = 395
/** In the unprotected header of a receipt. */
export const labelVdp = 396
/** Private use: FORMAT §11. */
const labelTreeSize = -65_539
/** RFC 9162 with SHA-256, of the COSE Verifiable Data Structure Algorithms. */
const vdsRfc9162 = 1
const inclusionProofs = -1
/** A path of 53 nodes, and a header with an origin of 255 characters of four bytes. */
const receiptSizeMax = 4_096

function encodeHeader({ origin, kid, size }: ReceiptTree): Uint8Array {
  return encodeCbor(
    new Map<number, number | Uint8Array | ReadonlyMap<number, string>>([
      [1, algorithm],
      [4, kid],
      [
        15,
        new Map([
          [1, origin],
          [2, receiptSubject],
        ]),
      ],
      [labelVds, vdsRfc9162],
      [labelTreeSize, size],
    ]),
  )
}

/** What the signature covers: `["Signature1", protected, h'', root]` (RFC 9052 §4.4, RFC 9942 §5.2.1). */
function encodeSigned(tree: ReceiptTree, root: Hash): Uint8Array {
  return encodeCbor(["Signature1", encodeHeader(tree), new Uint8Array(0), root])
}

/** The receipt key's signature over a tree: the same for each of its leaves, and deterministic. */
export function signReceiptTree(origin: string, size: number, root: Hash, key: PrivateKey): Uint8Array {
  if (size < 2) throw new RangeError("there is no receipt of a tree of one leaf")
  return signMessage(key, encodeSigned({ origin, kid: kidOf(key.publicKey), size }, root))
}

/** Whether this key signed a tree of this size and root. */
export function checkReceiptTree(
  origin: string,
  size: number,
  root: Hash,
  signature: Uint8Array,
  key: PublicKey,
  verify: VerifyEquation = verifyEquation,
): boolean {
  const message = encodeSigned({ origin, kid: kidOf(key), size }, root)
  return checkSignature(key, algorithm, message, signature, verify) === "good"
}

export function encodeCoseReceipt(receipt: CoseReceipt): Uint8Array {
  const { size, index, path, signature } = receipt
  const proof = encodeCbor([size, index, path])
  return encodeCbor({
    tag: 18,
    value: [
      encodeHeader(receipt),
      new Map([[labelVdp, new Map([[inclusionProofs, [proof]]])]]),
      null,
      signature,
    ],
  })
}

/** Takes exactly what `encodeCoseReceipt` makes. Throws a FormatFault. */
export function decodeCoseReceipt(bytes: Uint8Array): CoseReceipt {
  const reader = new CborReader(bytes, "deterministic")
  if (bytes.length > receiptSizeMax) reader.fault(`a receipt has at most ${receiptSizeMax} bytes`, 0)
  if (reader.enterTag("tag 18 of a COSE_Sign1") !== 18)
    reader.fault("a receipt begins with tag 18 (COSE_Sign1)", 0)
  if (reader.enterArray("a COSE_Sign1") !== 4) reader.fault("a COSE_Sign1 has four items", 1)
  const header = reader.readBytes("the protected header")
  const tree = readInside(reader.offset - header.length, () => readHeader(header))
  const { proof, start } = readProof(reader)
  const { size, index, path } = readInside(start, () => readPath(proof, tree.size))
  const payloadStart = reader.offset
  if (reader.bytes[payloadStart] !== 0xf6)
    reader.fault("the payload is nil: the root is computed", payloadStart)
  reader.readValue()
  const signatureStart = reader.offset
  const signature = reader.readBytes("the signature")
  if (signature.length !== signatureSize) reader.fault("a signature has 64 bytes", signatureStart)
  reader.leave()
  reader.leave()
  reader.end()
  return { ...tree, size, index, path, signature }
}

function readHeader(bytes: Uint8Array): ReceiptTree {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterMap("the protected header") !== 5)
    reader.fault("the protected header of a receipt has alg, kid, CWT claims, vds and the tree's size", 0)
  readMember(reader, 1, algorithm, "alg is -19 (Ed25519)")
  readLabel(reader, 4, "kid")
  const kidStart = reader.offset
  const kid = reader.readBytes("kid")
  if (kid.length !== kidSize) reader.fault("kid is the first 8 bytes of the key's thumbprint", kidStart)
  readLabel(reader, 15, "CWT claims")
  const claimsStart = reader.offset
  if (reader.enterMap("the CWT claims") !== 2)
    reader.fault("the CWT claims of a receipt are iss and sub", claimsStart)
  readLabel(reader, 1, "iss")
  const origin = reader.readText("iss")
  readLabel(reader, 2, "sub")
  const subStart = reader.offset
  if (reader.readText("sub") !== receiptSubject) reader.fault(`sub is ${receiptSubject}`, subStart)
  reader.leave()
  readMember(reader, labelVds, vdsRfc9162, "vds is 1 (RFC9162_SHA256)")
  readLabel(reader, labelTreeSize, "the tree's size")
  const sizeStart = reader.offset
  const size = reader.readUint("the tree's size")
  if (size < 2) reader.fault("there is no receipt of a tree of one leaf", sizeStart)
  reader.leave()
  reader.end()
  return { origin, kid, size }
}

/** `{396: {-1: [proof]}}`, with one proof: of more, one would be nobody's. */
function readProof(reader: CborReader): { readonly proof: Uint8Array; readonly start: number } {
  const start = reader.offset
  if (reader.enterMap("the unprotected header") !== 1)
    reader.fault("the unprotected header of a receipt has 396 (vdp) alone", start)
  readLabel(reader, labelVdp, "vdp")
  const proofsStart = reader.offset
  if (reader.enterMap("vdp") !== 1) reader.fault("vdp has -1 (inclusion proofs) alone", proofsStart)
  readLabel(reader, inclusionProofs, "inclusion proofs")
  const listStart = reader.offset
  if (reader.enterArray("inclusion proofs") !== 1)
    reader.fault("a receipt has one inclusion proof", listStart)
  const proof = reader.readBytes("an inclusion proof")
  const proofStart = reader.offset - proof.length
  reader.leave()
  reader.leave()
  reader.leave()
  return { proof, start: proofStart }
}

function readPath(
  bytes: Uint8Array,
  sizeSigned: number,
): { readonly size: number; readonly index: number; readonly path: readonly Hash[] } {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterArray("an inclusion proof") !== 3)
    reader.fault("an inclusion proof has the tree's size, the leaf's index and the path", 0)
  const sizeStart = reader.offset
  const size = reader.readUint("the tree's size")
  if (size !== sizeSigned) reader.fault("the tree's size is the one in the protected header", sizeStart)
  const indexStart = reader.offset
  const index = reader.readUint("the leaf's index")
  if (index >= size) reader.fault("the leaf's index is below the tree's size", indexStart)
  const pathStart = reader.offset
  const length = reader.enterArray("a path")
  if (length < 1 || length > pathLengthMax) reader.fault(`a path has 1 to ${pathLengthMax} nodes`, pathStart)
  const path: Hash[] = []
  for (let left = length; left > 0; left--) {
    const nodeStart = reader.offset
    const node = reader.readBytes("a node of the path")
    if (node.length !== hashSize) reader.fault("a node has 32 bytes", nodeStart)
    path.push(parseHash(node))
  }
  reader.leave()
  reader.leave()
  reader.end()
  return { size, index, path }
}

/** Throws a FormatFault where the next key is another. */
export function readLabel(reader: CborReader, expected: number, name: string): void {
  const start = reader.offset
  if (reader.readInt("a label") !== expected) reader.fault(`label ${expected} (${name}) expected`, start)
}

function readMember(reader: CborReader, label: number, value: number, rule: string): void {
  readLabel(reader, label, rule)
  const start = reader.offset
  if (reader.readInt(rule) !== value) reader.fault(rule, start)
}

export type ReceiptFinding =
  | { readonly kind: "good"; readonly root: Hash }
  | { readonly kind: "other-key" }
  /** The path is none of this leaf in a tree of this size, or gives a root that the key did not sign. */
  | { readonly kind: "bad" }

/** Whether a receipt is by this key and about this entry. Whose key it is, is for the reader to know. */
export function checkCoseReceipt(
  receipt: CoseReceipt,
  entry: Hash,
  key: PublicKey,
  verify: VerifyEquation = verifyEquation,
  hash: Sha256 = sha256,
): ReceiptFinding {
  if (!equalBytes(receipt.kid, kidOf(key, hash))) return { kind: "other-key" }
  const { origin, index, size, path, signature } = receipt
  const root = rootOfPath(hashLeaf(entry, hash), index, size, path, hash)
  return root !== null && checkReceiptTree(origin, size, root, signature, key, verify)
    ? { kind: "good", root }
    : { kind: "bad" }
}
