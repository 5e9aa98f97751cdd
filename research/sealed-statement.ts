/** A sealed statement, its place in the log's published tree, and what proves it. */
import { equalBytes, formatHex } from "../chain/bytes.ts"
import { type CoseReceipt, encodeCoseReceipt } from "../chain/cose-receipt.ts"
import type { Hash, Sha256 } from "../chain/hash.ts"
import { kidOf } from "../chain/key.ts"
import type { PublishedCheckpoint, PublishedLog } from "./log-published.ts"
import type { QueryLog } from "./log-tiles.ts"

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

/**
 * The statement of an entry. Throws an Error where its bytes are not what was accepted: the database is trusted with
 * nothing.
 */
export async function findStatement(query: QueryLog, entry: Hash, hash: Sha256): Promise<FoundStatement> {
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

/** A leaf of a published tree. */
export interface ProvenLeaf {
  readonly published: PublishedCheckpoint
  readonly index: number
  readonly path: readonly Hash[]
}

/** Null where the leaf stands behind what is published. Throws a LogFault where the stored tiles do not prove it. */
export async function proveLeaf(log: PublishedLog, index: number): Promise<ProvenLeaf | null> {
  const published = await log.readCheckpoint()
  if (published === null || index >= published.tree.size) return null
  return { published, index, path: await published.tree.proveInclusion(index) }
}

/** The COSE Receipt of a leaf; null where its tree was sealed before there were receipts. */
export async function makeReceipt(
  query: QueryLog,
  log: PublishedLog,
  { published, index, path }: ProvenLeaf,
): Promise<Uint8Array | null> {
  const [row] = await query<{ receipt_signature: Uint8Array | null }>(
    "select receipt_signature from checkpoints where height = $1",
    [published.height],
  )
  const signature = row?.receipt_signature
  if (signature == null) return null
  const { origin, receiptKey } = await log.readIdentity()
  const receipt: CoseReceipt = {
    origin,
    kid: kidOf(receiptKey),
    size: published.tree.size,
    index,
    path,
    signature,
  }
  return encodeCoseReceipt(receipt)
}
