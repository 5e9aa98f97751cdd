/**
 * A message before the database is asked: decoded, its key found, its signature checked, its payload read
 * (FORMAT §4, checks 11, 10, 12, 13, 15 and 17).
 */
import type { DeviceRecord } from "../chain/device.ts"
import type { Hash } from "../chain/hash.ts"
import { findKey } from "../chain/link.ts"
import { type Payload, readPayload } from "../chain/payload.ts"
import { checkSignatureForm } from "../chain/signature.ts"
import { type Statement, decodeStatement, entryOf, signedBytesOf } from "../chain/statement.ts"
import type { Verdict } from "../chain/verdict.ts"
import { hmacNative, sha256Native } from "./native.ts"
import type { SignatureRequest } from "./verifier.ts"

export type Checked =
  | { readonly kind: "question" }
  /** Refused for what it is. The registry it was judged by is asked again under the head's lock. */
  | {
      readonly kind: "refused"
      readonly verdict: Verdict
      readonly rule: string
      readonly seq: number | null
    }
  | { readonly kind: "signed"; readonly signed: SignedCandidate }

/** A statement whose signature is good under a key of its device. */
export interface SignedCandidate {
  readonly statement: Statement
  readonly entry: Hash
  readonly signedDigest: Uint8Array
  readonly payload: Payload
  readonly isRevokedBeyond: boolean
}

/** A statement that could be read: what does not change with the registry. */
export type Decoded =
  | { readonly kind: "decoded"; readonly statement: Statement }
  | {
      readonly kind: "refused"
      readonly verdict: Verdict
      readonly rule: string
      readonly seq: number | null
    }

/** Checks 11, 10 and 12. */
export function decodeCandidate(device: string, bytes: Uint8Array): Decoded {
  const decoded = decodeStatement(bytes)
  if (decoded.kind === "too-large") {
    return { kind: "refused", verdict: "too-large", rule: `${decoded.sizeBytes} bytes`, seq: null }
  }
  if (decoded.kind === "malformed") {
    return {
      kind: "refused",
      verdict: "malformed",
      rule: `${decoded.rule} (at byte ${decoded.offset})`,
      seq: null,
    }
  }
  const { statement } = decoded
  if (statement.iss !== device) {
    return { kind: "refused", verdict: "wrong-device", rule: `iss is ${statement.iss}`, seq: statement.seq }
  }
  return { kind: "decoded", statement }
}

/** A statement whose key was found, and what its signature is to be checked by. */
export interface KeyedCandidate {
  readonly kind: "keyed"
  readonly statement: Statement
  readonly request: SignatureRequest
  readonly isHighS: boolean
  readonly isRevokedBeyond: boolean
}

/** Check 13, and 15 as far as it needs no curve, by the device's record as it was read; null: not enrolled. */
export function findCandidateKey(
  statement: Statement,
  record: DeviceRecord | null,
): KeyedCandidate | (Checked & { readonly kind: "refused" }) {
  if (record === null) return refuse(statement, "unknown-key", "no such device")
  const finding = findKey(record.keys, statement.kid, statement.seq)
  if (finding.kind === "unknown-key") return refuse(statement, "unknown-key", finding.rule)
  const { key } = finding.deviceKey
  const { algorithm, signature } = statement
  const form = checkSignatureForm(key, algorithm, signature)
  if (form === "bad") {
    return refuse(statement, "bad-signature", "the signature's form or algorithm does not fit the key")
  }
  return {
    kind: "keyed",
    statement,
    request: { key, message: signedBytesOf(statement), signature },
    isHighS: form === "high-s",
    isRevokedBeyond: finding.isRevokedBeyond,
  }
}

/** Checks 15 and 17, once it is known whether the equation holds. Only what was signed is read any further. */
export function checkCandidate(
  { statement, request, isHighS, isRevokedBeyond }: KeyedCandidate,
  isVerified: boolean,
  digestKey: Uint8Array,
): Checked {
  if (!isVerified) return refuse(statement, "bad-signature", "the signature does not verify")
  if (isHighS) return refuse(statement, "high-s", "s is above n / 2")
  return {
    kind: "signed",
    signed: {
      statement,
      entry: entryOf(statement.bytes, sha256Native),
      signedDigest: hmacNative(digestKey, request.message),
      payload: readPayload(statement),
      isRevokedBeyond,
    },
  }
}

function refuse({ seq }: Statement, verdict: Verdict, rule: string) {
  return { kind: "refused", verdict, rule, seq } as const
}
