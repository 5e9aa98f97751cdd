/** A device's key in words. */
import type { EnrolledKey } from "../chain/device.ts"
import { type PublicKey, algorithmEd25519 } from "../chain/key.ts"

export function nameAlgorithm(key: PublicKey): string {
  return key.algorithm === algorithmEd25519 ? "Ed25519" : "P-256"
}

export function formatKeyRange({ firstSeq, lastSeq, endedBy }: EnrolledKey): string {
  if (lastSeq === null) return `from seq ${firstSeq} on`
  if (endedBy === "rotation") return `from seq ${firstSeq} to ${lastSeq}`
  return lastSeq < firstSeq
    ? `revoked before its first seq, ${firstSeq}`
    : `from seq ${firstSeq}, revoked beyond seq ${lastSeq}`
}

/** On whose word the key stands (FORMAT §7), and whether the device proved that it has it. */
export function formatKeyWord(
  { introducedBy, isPossessionProven }: EnrolledKey,
  isFirst: boolean,
  authority: string | null,
): string {
  const possession = isPossessionProven ? "possession proven" : "without proof of possession"
  switch (introducedBy) {
    case "certificate":
      return `enrolled through CA ${authority ?? "unknown"}, ${possession}`
    case "old-key":
      return "rotation proven by the old and the new key"
    case "request":
      return "rotation asked for by the device itself, proven by both keys"
    case "operator":
  }
  return `${isFirst ? "enrolled" : "re-enrolled"} by the operator, ${possession}`
}
