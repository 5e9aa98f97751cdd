/**
 * A message before the database is asked: decoded, its key found, its signature checked, its payload read
 * (PROTOCOL §4, checks 11, 10, 12, 13, 15 and 17).
 */
import type { DeviceRecord } from "../chain/device.ts"
import type { Hash } from "../chain/hash.ts"
import { findKey } from "../chain/link.ts"
import { type Payload, readPayload } from "../chain/payload.ts"
import { checkSignatureForm } from "../chain/signature.ts"
import { type Statement, decodeStatement, entryOf, signedBytesOf } from "../chain/statement.ts"
import type { Verdict } from "../chain/verdict.ts"
import { hmacNative, sha256Native, verifyNativeAsync } from "./native.ts"

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

/** Checks 13, 15 and 17, by the device's record as it was read; null: not enrolled. The equation runs off the main thread. */
export async function checkCandidate(
  statement: Statement,
  record: DeviceRecord | null,
  digestKey: Uint8Array,
): Promise<Checked> {
  const refuse = (verdict: Verdict, rule: string): Checked => ({
    kind: "refused",
    verdict,
    rule,
    seq: statement.seq,
  })
  if (record === null) return refuse("unknown-key", "no such device")
  const finding = findKey(record.keys, statement.kid, statement.seq)
  if (finding.kind === "unknown-key") return refuse("unknown-key", finding.rule)

  const { key } = finding.deviceKey
  const form = checkSignatureForm(key, statement.algorithm, statement.signature)
  if (form === "bad") return refuse("bad-signature", "the signature's form or algorithm does not fit the key")
  const message = signedBytesOf(statement)
  if (!(await verifyNativeAsync(key, message, statement.signature))) {
    return refuse("bad-signature", "the signature does not verify")
  }
  if (form === "high-s") return refuse("high-s", "s is above n / 2")
  return {
    kind: "signed",
    signed: {
      statement,
      entry: entryOf(statement.bytes, sha256Native),
      signedDigest: hmacNative(digestKey, message),
      payload: readPayload(statement),
      isRevokedBeyond: finding.isRevokedBeyond,
    },
  }
}
