/** What a reader trusts, and the checkpoint under it. */
import { type Checkpoint, parseCheckpoint } from "../chain/checkpoint.ts"
import { checkCosignature } from "../chain/cosignature.ts"
import type { Hash } from "../chain/hash.ts"
import { type Note, type NoteKey, parseNote, parseVkey, verifyNote } from "../chain/note.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import { type TlogPolicy, isQuorum } from "../chain/tlog-policy.ts"
import { EvidenceFault } from "./evidence-fault.ts"

/** The reader's own word. Nothing in the file can widen it. */
export interface EvidenceTrust {
  /** The logs, and the witnesses that must have cosigned. */
  readonly policy: TlogPolicy
  /** Thumbprints: where they are given, a statement under any other key is refused, whatever the operator enrolled. */
  readonly deviceKeys?: readonly Hash[]
  /**
   * Unix ms: the checkpoint's last block ended then or later, and only cosignatures of then or later count. An old
   * checkpoint would be silent about a revocation since.
   */
  readonly sinceMs?: number
}

export interface Cosigned {
  /** Its name in the reader's policy. */
  readonly witness: string
  readonly atMs: number
}

export interface OpenedCheckpoint extends Checkpoint {
  readonly note: Note
  readonly cosigned: readonly Cosigned[]
}

const what = "the checkpoint"

/** The checkpoint of a note; with a trust, signed and witnessed as that demands. Throws an EvidenceFault. */
export function openCheckpoint(
  bytes: Uint8Array,
  trust: EvidenceTrust | null,
  verify?: VerifyEquation,
): OpenedCheckpoint {
  const note = readNote(bytes)
  const checkpoint = note === null ? null : parseCheckpoint(note.text)
  if (note === null || checkpoint === null)
    throw new EvidenceFault("checkpoint", what, "is no signed checkpoint of a log")
  if (trust === null) return { ...checkpoint, note, cosigned: [] }
  checkLog(note, checkpoint, trust.policy, verify)
  return { ...checkpoint, note, cosigned: checkWitnesses(note, trust, verify) }
}

function readNote(bytes: Uint8Array): Note | null {
  try {
    return parseNote(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return null
  }
}

function checkLog(
  note: Note,
  { origin }: Checkpoint,
  { logs }: TlogPolicy,
  verify: VerifyEquation | undefined,
): void {
  const keys = logs.filter(({ name }) => name === origin)
  if (keys.length === 0)
    throw new EvidenceFault("checkpoint", what, `is of the log ${origin}, which you do not trust`)
  const signers = verifyNote(note, keys, verify)
  if (signers === null)
    throw new EvidenceFault("checkpoint", what, "has a signature that does not verify under the log's key")
  if (signers.length === 0)
    throw new EvidenceFault("checkpoint", what, `is not signed by the key of ${origin} that you trust`)
}

/** The witnesses of the policy that cosigned, in time; a bad cosignature by one of them spoils the note. */
function checkWitnesses(note: Note, trust: EvidenceTrust, verify: VerifyEquation | undefined): Cosigned[] {
  const { policy, sinceMs } = trust
  const cosigned: Cosigned[] = []
  let stale = 0
  for (const { name, cosigner } of policy.witnesses) {
    const finding = cosigner === null ? { kind: "none" as const } : checkCosignature(note, cosigner, verify)
    if (finding.kind === "bad")
      throw new EvidenceFault("witness", what, `has a cosignature of witness ${name} that does not verify`)
    if (finding.kind === "none") continue
    const atMs = finding.timestamp * 1000
    if (sinceMs !== undefined && atMs < sinceMs) stale += 1
    else cosigned.push({ witness: name, atMs })
  }
  if (isQuorum(policy.quorum, new Set(cosigned.map(({ witness }) => witness)))) return cosigned
  const demanded = policy.quorum.kind === "none" ? "none" : policy.quorum.name
  const seen =
    cosigned.length === 0 ? "no witness of yours" : cosigned.map(({ witness }) => witness).join(", ")
  if (stale > 0)
    throw new EvidenceFault(
      "stale",
      what,
      `was cosigned too early by ${stale} of your witnesses: since then by ${seen}, and your quorum is ${demanded}`,
    )
  throw new EvidenceFault("witness", what, `was cosigned by ${seen}, and your quorum is ${demanded}`)
}

/** Whether the note is signed by the key of a vkey that the log gives itself. Of a note without a trust it is all there is. */
export function checkOwnKey(
  { note, origin }: OpenedCheckpoint,
  vkey: string,
  verify?: VerifyEquation,
): boolean {
  const key: NoteKey | null = parseVkey(vkey)
  return key !== null && key.name === origin && verifyNote(note, [key], verify)?.length === 1
}
