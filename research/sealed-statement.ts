/** A sealed statement with its place in the log's last tree, and what proves it. */
import { equalBytes, formatHex } from "../chain/bytes.ts"
import { type CoseReceipt, encodeCoseReceipt } from "../chain/cose-receipt.ts"
import { type Hash, type Sha256, parseHash } from "../chain/hash.ts"
import { decodeEnrolledKey, kidOf } from "../chain/key.ts"
import { hashLeaf, rootOfPath } from "../chain/merkle.ts"
import type { Query } from "./evidence-nodes.ts"
import { Inclusions } from "./inclusion.ts"

/** A tree of the log, as of a block's checkpoint. */
export interface SealedTree {
  readonly height: number
  readonly size: number
  readonly root: Hash
  /** The checkpoint as a signed note. */
  readonly note: string
  /** Of the receipt key, as the log's policy names it. */
  readonly receiptKid: Uint8Array
  /** Null: sealed before there were receipts. */
  readonly receiptSignature: Uint8Array | null
}

export type FoundStatement =
  | {
      readonly kind: "sealed"
      readonly deviceId: string
      readonly leafIndex: number
      readonly bytes: Uint8Array
    }
  /** Accepted, and not sealed yet. */
  | { readonly kind: "waiting"; readonly deviceId: string }
  | { readonly kind: "unknown" }

interface TreeColumns {
  readonly height: number
  readonly size: number
  readonly root: Uint8Array
  readonly note: string
  readonly receipt_signature: Uint8Array | null
  readonly receipt_key: Uint8Array
}

/** The last tree, or that of a block; null where nothing is sealed. */
export async function readTree(query: Query, height?: number): Promise<SealedTree | null> {
  const [row] = await query<TreeColumns>(
    `select height, size, root, note, receipt_signature, (select receipt_key from log) as receipt_key from checkpoints
     where $1::bigint is null or height = $1 order by height desc limit 1`,
    [height ?? null],
  )
  if (row === undefined) return null
  const { size, root, note, receipt_signature: signature } = row
  const receiptSignature = signature === null ? null : Uint8Array.from(signature)
  const receiptKid = kidOf(decodeEnrolledKey(row.receipt_key))
  return { height: row.height, size, root: parseHash(root), note, receiptKid, receiptSignature }
}

/**
 * The statement of an entry. Throws an Error where its bytes are not what was accepted: the database is trusted with
 * nothing.
 */
export async function findStatement(query: Query, entry: Hash, hash: Sha256): Promise<FoundStatement> {
  const [row] = await query<{ device_id: string; leaf_index: number | null; bytes: Uint8Array | null }>(
    `select e.device_id, leaf_of(e.id) as leaf_index,
            (select s.bytes from statements s where s.id = e.id and s.received_at = e.received_at) as bytes
     from entries e where e.entry = $1`,
    [entry],
  )
  if (row === undefined) return { kind: "unknown" }
  const { device_id: deviceId, leaf_index: leafIndex } = row
  if (leafIndex === null) return { kind: "waiting", deviceId }
  const bytes = row.bytes === null ? null : Uint8Array.from(row.bytes)
  if (bytes === null || !equalBytes(hash(bytes), entry))
    throw new Error(
      `the bytes of statement ${formatHex(entry)} are not what was accepted: run tidemark verify`,
    )
  return { kind: "sealed", deviceId, leafIndex, bytes }
}

/** The path of an entry to the tree's root. Throws an Error where the stored tiles do not give that root. */
export async function readPath(
  query: Query,
  tree: SealedTree,
  leafIndex: number,
  entry: Hash,
  hash: Sha256,
): Promise<readonly Hash[]> {
  const path = await new Inclusions(query, tree.size, hash).read(leafIndex)
  const root = rootOfPath(hashLeaf(entry, hash), leafIndex, tree.size, path, hash)
  if (root === null || !equalBytes(root, tree.root))
    throw new Error(`the tiles of the log do not prove leaf ${leafIndex}: run tidemark verify`)
  return path
}

/** The COSE Receipt of a leaf; null where the tree was sealed before there were receipts. */
export function makeReceipt(
  origin: string,
  tree: SealedTree,
  index: number,
  path: readonly Hash[],
): Uint8Array | null {
  const { size, receiptKid: kid, receiptSignature: signature } = tree
  if (signature === null) return null
  const receipt: CoseReceipt = { origin, kid, size, index, path, signature }
  return encodeCoseReceipt(receipt)
}
