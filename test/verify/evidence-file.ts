/** An evidence file read by the verifier, by native arithmetic or by noble's, and cut as a test wants it. */
import { encodeUtf8, parseHex } from "../../chain/bytes.ts"
import { type Hash, parseHash } from "../../chain/hash.ts"
import { parseTlogPolicy } from "../../chain/tlog-policy.ts"
import { sha256Native, verifyNative } from "../../ingest/native.ts"
import {
  type EvidenceOptions,
  type EvidenceResult,
  type EvidenceTrust,
  EvidenceVerifier,
} from "../../verify/evidence.ts"
import type { EvidenceVector } from "../vectors/evidence-scene.ts"

export const native = { sha256: sha256Native, verify: verifyNative }

/** Reads a file in pieces of this many bytes. */
export function readEvidence(
  file: Uint8Array,
  trust: EvidenceTrust | null,
  pieceSize = 65_536,
  options: Partial<EvidenceOptions> = native,
): EvidenceResult {
  const verifier = new EvidenceVerifier({ trust, ...options })
  for (let at = 0; at < file.length; at += pieceSize) verifier.push(file.subarray(at, at + pieceSize))
  return verifier.end()
}

/** What the reader of a vector trusts. */
export function trustOf({ policy, deviceKeys, since }: EvidenceVector): EvidenceTrust {
  const parsed = parseTlogPolicy(encodeUtf8(policy))
  if (parsed.kind === "fault") throw new Error(`line ${parsed.line}: ${parsed.rule}`)
  const pins = deviceKeys?.map((hex): Hash => parseHash(parseHex(hex)!))
  return {
    policy: parsed.policy,
    ...(pins === undefined ? {} : { deviceKeys: pins }),
    ...(since === undefined ? {} : { sinceMs: since }),
  }
}
