/** The one chain rule (FORMAT §4). Ingest, simulator and verifier call the same functions. */
import { equalBytes } from "./bytes.ts"
import { type Hash, zeroHash } from "./hash.ts"
import type { PublicKey } from "./key.ts"
import type { Head } from "./receipt.ts"
import type { Verdict } from "./verdict.ts"

/**
 * The head of a device that is not enrolled, and of the operator before its first statement. An enrolled device's head
 * begins at `emptyHeadOf` (chain/genesis.ts).
 */
export const noHead: Head = { seq: 0, entry: zeroHash }

/** A key of a device and the range of seqs for which it stands. */
export interface DeviceKey {
  readonly kid: Uint8Array
  readonly key: PublicKey
  readonly firstSeq: number
  /** The last seq for which it stands, or null while it has no end. */
  readonly lastSeq: number | null
  /** Why it has an end: what lies beyond is `unknown-key` after a rotation and `revoked` after a revocation. */
  readonly endedBy: "rotation" | "revocation" | null
}

export type DeviceStatus = "active" | "suspended" | "revoked"

export type KeyFinding =
  | { readonly kind: "key"; readonly deviceKey: DeviceKey; readonly isRevokedBeyond: boolean }
  | { readonly kind: "unknown-key"; readonly rule: string }

/**
 * The key under which a statement of this kid and seq must verify. A seq above the last good one of a revoked key still
 * has a key: its signature is checked, and only then is it 14 (or 2, if it was stored before).
 */
export function findKey(keys: readonly DeviceKey[], kid: Uint8Array, seq: number): KeyFinding {
  const deviceKey = keys.find((candidate) => equalBytes(candidate.kid, kid))
  if (deviceKey === undefined)
    return { kind: "unknown-key", rule: "this kid was never enrolled for the device" }
  if (seq < deviceKey.firstSeq) {
    return { kind: "unknown-key", rule: `this key stands from seq ${deviceKey.firstSeq}, not at ${seq}` }
  }
  const isBeyond = deviceKey.lastSeq !== null && seq > deviceKey.lastSeq
  if (isBeyond && deviceKey.endedBy === "rotation") {
    return { kind: "unknown-key", rule: `a rotation ended this key at seq ${deviceKey.lastSeq}` }
  }
  return { kind: "key", deviceKey, isRevokedBeyond: isBeyond }
}

/** What must be known of a statement whose signature is good, to place it in its chain. */
export interface Candidate {
  readonly seq: number
  readonly prev: Hash
  readonly entry: Hash
  /** Digest of the signed bytes, keyed or not, as long as it is the one by which stored ones are known. */
  readonly signedDigest: Uint8Array
  readonly isRevokedBeyond: boolean
}

/** A stored statement of the same device. Its kid is the one of the key that stands at its seq: there is only one. */
export interface StoredPlace {
  readonly entry: Hash
  readonly signedDigest: Uint8Array
}

export interface ChainState {
  readonly status: DeviceStatus
  readonly head: Head
  /** `prev` of the chain's first statement: `firstPrevOf` a device, zeros for the operator. */
  firstPrev(): Hash
  /** What is stored at this seq (1 to head.seq), or null. */
  stored(seq: number): StoredPlace | null
}

export type LinkVerdict =
  | { readonly kind: "next" }
  | {
      readonly kind: "duplicate" | "revoked" | "suspended" | "fork" | "broken" | "gap"
      readonly rule: string
    }

const beginsElsewhere =
  "prev is not where this chain begins in this log: it was signed for another log or for none (FORMAT §4, genesis)"

/**
 * Where a statement with a good signature falls. The order is the one of FORMAT §4: 2, 14, 40, 22, 21, 20.
 *
 * The state must come from the database, under the head's lock, never from a cached head.
 */
export function judgeLink(candidate: Candidate, state: ChainState): LinkVerdict {
  const { seq, prev } = candidate
  const { head } = state
  const same = seq <= head.seq ? state.stored(seq) : null
  if (same !== null && equalBytes(same.entry, candidate.entry)) {
    return { kind: "duplicate", rule: `seq ${seq} is stored with this entry` }
  }
  if (same !== null && equalBytes(same.signedDigest, candidate.signedDigest)) {
    return {
      kind: "duplicate",
      rule: `seq ${seq} is stored with the same signed bytes under another signature`,
    }
  }
  if (state.status === "revoked") return { kind: "revoked", rule: "the device was revoked" }
  if (candidate.isRevokedBeyond)
    return { kind: "revoked", rule: `seq ${seq} is above the key's last good seq` }
  if (state.status === "suspended") return { kind: "suspended", rule: "an operator suspended the device" }
  if (seq > head.seq + 1) return { kind: "gap", rule: `expected seq ${head.seq + 1}, got ${seq}` }
  // The store lost a row: our fault, and one device's. It takes its head and goes on; nobody else must wait for that.
  if (same === null && seq <= head.seq) {
    return {
      kind: "broken",
      rule: `seq ${seq} is at or below the head ${head.seq} and nothing is stored there: run tidemark verify`,
    }
  }

  const before =
    seq === 1 ? state.firstPrev() : seq === head.seq + 1 ? head.entry : (state.stored(seq - 1)?.entry ?? null)
  const isLinked = before !== null && equalBytes(prev, before)
  // The kid is the same as the stored one's: for one seq at most one key of a device stands (findKey).
  if (isLinked && same !== null) {
    return {
      kind: "fork",
      rule: `seq ${seq} is stored with other signed bytes by the same key on the same prev`,
    }
  }
  if (!isLinked)
    return {
      kind: "broken",
      rule: seq === 1 ? beginsElsewhere : `prev is not the entry stored at seq ${seq - 1}`,
    }
  return { kind: "next" }
}

/** The verdict of a link for the receipt; `next` becomes one of the accepted kinds by the payload. */
export function verdictOfNext(isUnread: boolean, isAheadOfTime: boolean): Verdict {
  if (isUnread) return "accepted-unread"
  return isAheadOfTime ? "accepted-ahead" : "accepted"
}
