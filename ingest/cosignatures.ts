/** Cosignatures as rows: which checkpoint was cosigned by whom, and from when on it was witnessed. */
import type { Pool, PoolClient } from "pg"
import { equalBytes } from "../chain/bytes.ts"
import type { Checkpoint } from "../chain/checkpoint.ts"
import { type Cosigner, formatCosignerVkey } from "../chain/cosignature.ts"
import { parseHash } from "../chain/hash.ts"
import { type Note, type NoteSignature, formatSignatures, parseNote } from "../chain/note.ts"
import { isQuorum, parseTlogPolicy } from "../chain/tlog-policy.ts"
import { inTransaction } from "./database/pool.ts"
import type { WitnessPlan } from "./witness-plan.ts"

/** The checkpoint of a block, signed by the log alone. */
export interface SealedCheckpoint extends Pick<Checkpoint, "size" | "root"> {
  readonly height: number
  readonly note: Note
}

/** Of the last block; null where nothing is sealed. */
export async function readLastCheckpoint(pool: Pool): Promise<SealedCheckpoint | null> {
  const { rows } = await pool.query<{ height: number; size: number; root: Uint8Array; note: string }>(
    "select height, size, root, note from checkpoints order by height desc limit 1",
  )
  const [row] = rows
  const note = row === undefined ? null : parseNote(row.note)
  return row === undefined || note === null
    ? null
    : { height: row.height, size: row.size, root: parseHash(row.root), note }
}

/** Leaves of the last checkpoint that a witness cosigned; 0 where it has cosigned none. */
export async function readCosignedSize(pool: Pool, cosigner: Cosigner): Promise<number> {
  const { rows } = await pool.query<{ size: number }>(
    "select size from checkpoints join cosignatures using (height) where vkey = $1 order by height desc limit 1",
    [formatCosignerVkey(cosigner)],
  )
  return rows[0]?.size ?? 0
}

/** Makes a policy the one in force; once more is harmless. */
export async function storePlan(pool: Pool, { file }: WitnessPlan): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query("lock table witness_policies in share row exclusive mode")
    const { rows } = await client.query<{ policy: Uint8Array }>(
      "select policy from witness_policies order by policy_id desc limit 1",
    )
    if (rows[0] !== undefined && equalBytes(rows[0].policy, file)) return
    await client.query("insert into witness_policies (policy) values ($1)", [file])
  })
  // What was cosigned under another policy may be enough under this one.
  const last = await readLastCheckpoint(pool)
  if (last !== null) await inTransaction(pool, (client) => settleWitnessed(client, last.height))
}

/**
 * Keeps a cosignature that was checked. Gives whether the checkpoint is witnessed by it: the quorum of the policy in force
 * is met, and was not before.
 *
 * @param timestamp as it was signed, Unix seconds
 */
export async function storeCosignature(
  pool: Pool,
  height: number,
  cosigner: Cosigner,
  signature: NoteSignature,
  timestamp: number,
): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    await client.query(
      `insert into cosignatures (height, vkey, line, cosigned_at) values ($1, $2, $3, to_timestamp($4))
       on conflict do nothing`,
      [height, formatCosignerVkey(cosigner), formatSignatures([signature]), timestamp],
    )
    return settleWitnessed(client, height)
  })
}

/** Of two that come together the second waits for the first's rows: else neither would see a quorum. */
async function settleWitnessed(client: PoolClient, height: number): Promise<boolean> {
  await client.query("lock table witnessed in share row exclusive mode")
  const { rows: policies } = await client.query<{ id: number; policy: Uint8Array }>(
    "select policy_id as id, policy from witness_policies order by policy_id desc limit 1",
  )
  const parsed = policies[0] === undefined ? null : parseTlogPolicy(policies[0].policy)
  if (parsed?.kind !== "policy") return false
  const { policy } = parsed
  const { rows } = await client.query<{ vkey: string }>("select vkey from cosignatures where height = $1", [
    height,
  ])
  const vkeys = new Set(rows.map(({ vkey }) => vkey))
  const names = policy.witnesses.filter(({ vkey }) => vkeys.has(vkey)).map(({ name }) => name)
  if (policy.quorum.kind === "none" || !isQuorum(policy.quorum, new Set(names))) return false
  const { rowCount } = await client.query(
    "insert into witnessed (height, policy_id) values ($1, $2) on conflict do nothing",
    [height, policies[0]!.id],
  )
  return rowCount === 1
}

/** How many blocks there are that no quorum has seen, and where the first of them ends (Unix ms). */
export async function readWitnessLag(
  pool: Pool,
): Promise<{ readonly blocks: number; readonly sinceMs: number | null; readonly height: number }> {
  const { rows } = await pool.query<{ blocks: number; since: number | null; height: number }>(
    `select count(*) as blocks, min(to_ms) as since, coalesce((select max(height) from witnessed), -1) as height
     from blocks where height > coalesce((select max(height) from witnessed), -1)`,
  )
  const { blocks, since, height } = rows[0]!
  return { blocks, sinceMs: since, height }
}
