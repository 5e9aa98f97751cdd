/**
 * The last checkpoint taken to a witness (C2SP tlog-witness): proofs from the database's tiles, the 409 catch-up, and what
 * it shows where it knows more than this database. Nothing here is waited for by a seal.
 */
import type { Pool } from "pg"
import { checkCosignature, cosignerKeyHash } from "../chain/cosignature.ts"
import { equalBytes } from "../chain/bytes.ts"
import type { Hash } from "../chain/hash.ts"
import { LogFault, TiledTree, type TileReader } from "../chain/log-reader.ts"
import { formatAddCheckpoint } from "../chain/tlog-witness.ts"
import {
  type SealedCheckpoint,
  readCosignedSize,
  readLastCheckpoint,
  storeCosignature,
} from "./cosignatures.ts"
import type { CheckpointSigner } from "./log-keys.ts"
import { sha256Native, verifyNative } from "./native.ts"
import { checkShown, publishLast } from "./publication.ts"
import { type ClientLimits, type WitnessTrouble, postCheckpoint, readWitnessed } from "./witness-client.ts"
import type { AskedWitness } from "./witness-plan.ts"

export interface CosignOptions {
  readonly pool: Pool
  readonly dataFolder: string
  readonly keys: CheckpointSigner
  /** Of the database, for proofs. */
  readonly tiles: TileReader
  readonly nowMs: () => number
  readonly limits?: ClientLimits
}

export type CosignOutcome =
  /** `isWitnessed`: with it the quorum is met. */
  | { readonly kind: "cosigned"; readonly height: number; readonly isWitnessed: boolean }
  /** Nothing is sealed that it has not cosigned. */
  | { readonly kind: "current" }
  | CosignTrouble

export type CosignTrouble =
  | WitnessTrouble
  /** Its record and our database do not fit, and it shows nothing by our key that would prove it. */
  | { readonly kind: "disagrees"; readonly rule: string }

/** The witness's size may move while it is asked: by another process of ours, or by its own word. */
const attemptsMax = 3
/** Seconds that a witness's clock may be ahead of ours, and behind. */
const aheadSecondsMax = 3_600
const behindSecondsMax = 86_400

/**
 * Asks a witness for its cosignature of the last checkpoint, keeps it and publishes it.
 *
 * @throws LogRolledBack where it shows a checkpoint by our key that the database does not lead to
 */
export async function cosignLast(options: CosignOptions, witness: AskedWitness): Promise<CosignOutcome> {
  const { pool, tiles, limits } = options
  let oldSize = await readCosignedSize(pool, witness.cosigner)
  for (let attempt = 1; ; attempt++) {
    const checkpoint = await readLastCheckpoint(pool)
    if (checkpoint === null || (attempt === 1 && oldSize === checkpoint.size)) return { kind: "current" }
    if (oldSize > checkpoint.size) return disagree(options, witness, checkpoint, oldSize)
    const proof = await prove(tiles, checkpoint, oldSize)
    if (proof === null)
      return { kind: "disagrees", rule: "our tiles do not give our own checkpoint: run tidemark verify" }
    const body = formatAddCheckpoint({ oldSize, proof, note: checkpoint.note })
    const reply = await postCheckpoint(witness.url, body, limits)
    if (reply.kind === "cosigned") return keep(options, witness, checkpoint, reply.signatures)
    if (reply.kind === "refused" && reply.status === 422)
      return disagree(options, witness, checkpoint, oldSize)
    if (reply.kind !== "conflict") return reply
    if (attempt === attemptsMax)
      return { kind: "nonsense", rule: `it names another size each time, at last ${reply.size}` }
    oldSize = reply.size
  }
}

/** From a size that the witness names to the checkpoint; null where the tiles do not give the checkpoint's root. */
async function prove(
  tiles: TileReader,
  checkpoint: SealedCheckpoint,
  oldSize: number,
): Promise<Hash[] | null> {
  if (oldSize === 0 || oldSize === checkpoint.size) return []
  try {
    const tree = await TiledTree.open(tiles, checkpoint, sha256Native)
    return await tree.proveConsistency(oldSize)
  } catch (error) {
    if (error instanceof LogFault) return null
    throw error
  }
}

async function keep(
  { pool, dataFolder, nowMs }: CosignOptions,
  { cosigner }: AskedWitness,
  { height, note }: SealedCheckpoint,
  signatures: Parameters<typeof checkCosignature>[0]["signatures"],
): Promise<CosignOutcome> {
  const finding = checkCosignature({ text: note.text, signatures }, cosigner, verifyNative)
  if (finding.kind === "none")
    return { kind: "nonsense", rule: "its answer has no cosignature by the key that the policy names" }
  if (finding.kind === "bad")
    return { kind: "nonsense", rule: "its cosignature of the checkpoint does not verify" }
  const behindSeconds = Math.floor(nowMs() / 1000) - finding.timestamp
  if (behindSeconds < -aheadSecondsMax || behindSeconds > behindSecondsMax)
    return {
      kind: "nonsense",
      rule: `its clock is ${Math.abs(behindSeconds)} s ${behindSeconds < 0 ? "ahead of" : "behind"} ours`,
    }
  const keyHash = cosignerKeyHash(cosigner)
  const signature = signatures.find((one) => one.name === cosigner.name && equalBytes(one.keyHash, keyHash))!
  const isWitnessed = await storeCosignature(pool, height, cosigner, signature, finding.timestamp)
  await publishLast(pool, dataFolder)
  return { kind: "cosigned", height, isWitnessed }
}

/** What a witness shows decides: a checkpoint by our own key is proof, and anything else is its word. */
async function disagree(
  { pool, dataFolder, keys, limits }: CosignOptions,
  { url }: AskedWitness,
  { size }: SealedCheckpoint,
  oldSize: number,
): Promise<CosignOutcome> {
  const shown = await readWitnessed(url, keys.origin, limits)
  if (shown.kind === "note") await checkShown(pool, dataFolder, keys, shown.note)
  return {
    kind: "disagrees",
    rule:
      oldSize > size
        ? `it says that it has cosigned ${oldSize} leaves, and this log has ${size}; it shows no checkpoint by our key that says so`
        : `it refuses our proof from ${oldSize} to ${size} leaves, and shows no checkpoint by our key that contradicts the database`,
  }
}

/** What a witness shows of this log, compared with the database before anything is built on it. */
export async function compareWithWitness(
  { pool, dataFolder, keys, limits }: Omit<CosignOptions, "nowMs" | "tiles">,
  { url }: AskedWitness,
): Promise<WitnessTrouble | { readonly kind: "agrees" } | { readonly kind: "none" }> {
  const shown = await readWitnessed(url, keys.origin, limits)
  if (shown.kind !== "note") return shown
  await checkShown(pool, dataFolder, keys, shown.note)
  return { kind: "agrees" }
}
