/** The operator's chain as it is stored: who was enrolled, with which key, until when, and the blocks. */
import { decodeManifest } from "../chain/block.ts"
import { equalBytes, formatBase64, formatHex } from "../chain/bytes.ts"
import type { Sha256 } from "../chain/hash.ts"
import { encodeCoseKey, thumbprintOf } from "../chain/key.ts"
import { decodePolicy } from "../chain/policy.ts"
import { type Registry, decodeRegistry } from "../chain/registry.ts"
import {
  type Statement,
  contentBlock,
  contentPolicy,
  contentRegistry,
  decodeStatement,
} from "../chain/statement.ts"
import { formatMs } from "./instant.ts"
import type { QueryLog } from "./log-tiles.ts"

export const operatorKinds = ["policy", "registry", "block"] as const
export type OperatorKind = (typeof operatorKinds)[number]

interface OperatorColumns {
  readonly id: number
  readonly seq: number
  readonly entry: Uint8Array
  readonly received_ms: number
  readonly leaf_index: number | null
  readonly bytes: Uint8Array | null
}

/** A statement of the operator, whose bytes are what was accepted. */
export interface OperatorRow {
  readonly id: number
  readonly entry: Uint8Array
  readonly receivedAtMs: number
  /** Null: not sealed yet. */
  readonly leafIndex: number | null
  readonly statement: Statement
  readonly registry: Registry | null
}

export interface OperatorQuestion {
  readonly origin: string
  readonly kind: OperatorKind | null
  /** Registry statements about this device; then `kind` is registry. */
  readonly device: string | null
  readonly order: "asc" | "desc"
  /** Behind this seq in that order; null: from the beginning. */
  readonly after: number | null
  readonly limit: number
}

const select = `select e.id, e.seq, e.entry, (extract(epoch from e.received_at) * 1000)::float8 as received_ms,
    leaf_of(e.id) as leaf_index, s.bytes
  from entries e left join statements s on s.id = e.id and s.received_at = e.received_at`

/** Of a manifest its id stands in `blocks`, so no statement is read to find which are none. */
const conditions: Readonly<Record<OperatorKind, string>> = {
  policy: "and e.seq = 1",
  registry: "and e.seq > 1 and not exists (select from blocks b where b.manifest_id = e.id)",
  block: "and exists (select from blocks b where b.manifest_id = e.id)",
}

/** Up to `limit` rows in order. */
export async function listOperator(
  query: QueryLog,
  question: OperatorQuestion,
  hash: Sha256,
): Promise<readonly OperatorRow[]> {
  const { origin, kind, device, order, after, limit } = question
  if (device !== null) return listAbout(query, question, device, hash)
  const condition = kind === null ? "" : conditions[kind]
  const rows = await query<OperatorColumns>(
    `${select} where e.device_id = $1 and ($2::bigint is null or e.seq ${order === "asc" ? ">" : "<"} $2) ${condition}
     order by e.seq ${order} limit $3`,
    [origin, after, limit],
  )
  return rows.map((row) => readRow(row, origin, hash))
}

/** From the last registry statement about the device back: each names the one before. */
async function listAbout(
  query: QueryLog,
  { origin, order, after, limit }: OperatorQuestion,
  device: string,
  hash: Sha256,
): Promise<readonly OperatorRow[]> {
  const [head] = await query<{ registry: Uint8Array }>("select registry from devices where device_id = $1", [
    device,
  ])
  const rows: OperatorRow[] = []
  let entry: Uint8Array | undefined = head?.registry
  while (entry !== undefined && entry.some((byte) => byte !== 0)) {
    const [row]: OperatorColumns[] = await query<OperatorColumns>(`${select} where e.entry = $1`, [entry])
    if (row === undefined)
      throw new Error(`statement ${formatHex(entry)} of the registry is missing: run tidemark verify`)
    const read = readRow(row, origin, hash)
    // Each stands before the one that names it: a circle could only be a changed database.
    if (read.registry === null || read.statement.seq >= (rows.at(-1)?.statement.seq ?? Infinity))
      throw new Error("the registry statements about a device are not a chain: run tidemark verify")
    rows.push(read)
    entry = read.registry.previous
  }
  const ordered = order === "desc" ? rows : rows.toReversed()
  const isBehind = ({ statement: { seq } }: OperatorRow): boolean =>
    after === null || (order === "asc" ? seq > after : seq < after)
  return ordered.filter(isBehind).slice(0, limit)
}

function readRow(row: OperatorColumns, origin: string, hash: Sha256): OperatorRow {
  const bytes = row.bytes === null ? null : Uint8Array.from(row.bytes)
  const decoded = bytes !== null && equalBytes(hash(bytes), row.entry) ? decodeStatement(bytes, origin) : null
  if (decoded?.kind !== "statement")
    throw new Error(`statement ${row.seq} of the operator is not what was accepted: run tidemark verify`)
  const { statement } = decoded
  return {
    id: row.id,
    entry: row.entry,
    receivedAtMs: row.received_ms,
    leafIndex: row.leaf_index,
    statement,
    registry: statement.content === contentRegistry ? decodeRegistry(statement.payload) : null,
  }
}

/** What a statement of the operator says, by its kind. */
export function describeOperator({ statement, registry }: OperatorRow): Record<string, unknown> {
  if (registry !== null) return { kind: "registry", ...describeRegistry(registry) }
  if (statement.content === contentBlock) {
    const { height, fromMs, toMs, firstLeaf, size, root } = decodeManifest(statement.payload)
    const times = { from: formatMs(fromMs), to: formatMs(toMs) }
    return { kind: "block", height, ...times, firstLeaf, size, root: formatBase64(root) }
  }
  if (statement.content !== contentPolicy) return { kind: "other" }
  const { origin, logVkey, operatorKey, receiptKey, version } = decodePolicy(statement.payload)
  return {
    kind: "policy",
    origin,
    logVkey,
    operatorKey: formatHex(encodeCoseKey(operatorKey)),
    receiptKey: formatHex(encodeCoseKey(receiptKey)),
    version,
  }
}

function describeRegistry(registry: Registry): Record<string, unknown> {
  const { action, device, key, firstSeq, lastGoodSeq, reason, request, caDigest, attributes } = registry
  const isAuthority = action === "trust-ca" || action === "distrust-ca"
  return {
    action,
    [isAuthority ? "authority" : "device"]: device,
    ...(key === undefined
      ? {}
      : { coseKey: formatHex(encodeCoseKey(key)), thumbprint: formatHex(thumbprintOf(key)) }),
    ...(firstSeq === undefined ? {} : { firstSeq }),
    ...(lastGoodSeq === undefined ? {} : { lastGoodSeq }),
    ...(reason === undefined ? {} : { reason }),
    ...(request === undefined ? {} : { request: formatHex(request) }),
    ...(caDigest === undefined ? {} : { caDigest: formatHex(caDigest) }),
    ...(attributes === undefined ? {} : { attributes: Object.fromEntries(attributes) }),
    ...(key === undefined
      ? {}
      : {
          provenByNewKey: registry.proofOfNew !== undefined,
          provenByOldKey: registry.proofOfOld !== undefined,
        }),
  }
}
