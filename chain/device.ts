/** What the operator's chain says of one device: its keys and its standing, replayed registry statement by statement. */
import { equalBytes } from "./bytes.ts"
import { type Hash, zeroHash } from "./hash.ts"
import { type PublicKey, equalKeys, kidOf } from "./key.ts"
import type { DeviceKey, DeviceStatus } from "./link.ts"
import { type Registry, checkKeyProof, findMemberFault } from "./registry.ts"
import { type VerifyEquation, verifyEquation } from "./signature.ts"
import { devicePattern } from "./statement.ts"

export interface DeviceRecord {
  readonly device: string
  readonly status: DeviceStatus
  /** In order of their first seq. */
  readonly keys: readonly EnrolledKey[]
  /** Entry of the last registry statement about the device. */
  readonly registry: Hash
  readonly attributes: ReadonlyMap<string, string>
  /** SHA-256 of the certificate of the CA by which it was enrolled; null where the operator enrolled it. */
  readonly caDigest: Hash | null
}

/**
 * Whose word a key rests on: the operator's alone, a CA's certificate, the old key's proof (with the new one's beside
 * it), or the device's own request, which the old key signed.
 */
export const keyIntroductions = ["operator", "certificate", "old-key", "request"] as const
export type KeyIntroduction = (typeof keyIntroductions)[number]

export interface EnrolledKey extends DeviceKey {
  /** Whether the device proved that it holds the key. */
  readonly isPossessionProven: boolean
  readonly introducedBy: KeyIntroduction
}

/** A device's own request for its next key: the statement that is the device's head. */
export interface KeyRequest {
  readonly entry: Hash
  readonly registry: Registry
}

export type AppliedRegistry =
  | { readonly kind: "applied"; readonly record: DeviceRecord }
  | { readonly kind: "refused"; readonly rule: string }

/** Where a registry statement falls. */
export interface RegistryPlace {
  readonly origin: string
  readonly entry: Hash
  /** The device's head at that moment. */
  readonly headSeq: number
  /** The request that the device's head is, if it is one. */
  readonly request?: KeyRequest | null
  /** Whether a CA of this digest is trusted at this place of the operator's chain; without it, none is. */
  readonly isTrustedAuthority?: (digest: Hash) => boolean
  readonly verify?: VerifyEquation
}

/**
 * The device after a registry statement (FORMAT §7), or the rule that forbids it. Ingest asks before it signs, the
 * audit asks again.
 *
 * @param record the device before it, or null where it is not enrolled
 */
export function applyRegistry(
  record: DeviceRecord | null,
  registry: Registry,
  place: RegistryPlace,
): AppliedRegistry {
  const { action } = registry
  if (action === "trust-ca" || action === "distrust-ca")
    return refused(`${action} is about a CA, not a device`)
  const fault = findMemberFault(registry)
  if (fault !== null) return refused(fault)
  const expected = record?.registry ?? zeroHash
  if (registry.previous === undefined || !equalBytes(registry.previous, expected)) {
    return refused("3 is not the entry of the previous registry statement about the device")
  }
  if (action === "enrol") return enrol(record, registry, place)
  if (record === null) return refused(`device ${registry.device} is not enrolled`)
  const next: DeviceRecord = { ...record, registry: place.entry }
  switch (action) {
    case "rotate":
      return rotate(next, registry, place)
    case "revoke":
      return revoke(next, registry, place)
    case "suspend":
      return record.status === "active"
        ? applied({ ...next, status: "suspended" })
        : refused(`the device is ${record.status}`)
    case "resume":
  }
  return record.status === "suspended"
    ? applied({ ...next, status: "active" })
    : refused(`the device is ${record.status}`)
}

/** The key that goes on without an end; null where a revocation has cut off all of them. */
export function findOpenKey(record: DeviceRecord): EnrolledKey | null {
  return record.keys.find(({ lastSeq }) => lastSeq === null) ?? null
}

/** Where a device's next key may begin at the earliest, the rules of `rotate` being kept. */
export function findFirstSeqMin(record: DeviceRecord, headSeq: number): number {
  return Math.max(headSeq, ...record.keys.filter(isEverStanding).map(({ firstSeq }) => firstSeq)) + 1
}

/** False of a key that a revocation cut off before its first seq: it never stands, and is in nobody's way. */
function isEverStanding({ firstSeq, lastSeq }: DeviceKey): boolean {
  return lastSeq === null || lastSeq >= firstSeq
}

function enrol(record: DeviceRecord | null, registry: Registry, place: RegistryPlace): AppliedRegistry {
  const { device, proofOfNew, caDigest } = registry
  // Both are there: findMemberFault.
  const [key, firstSeq] = [registry.key!, registry.firstSeq!]
  if (record !== null)
    return refused(
      record.status === "revoked"
        ? `device ${device} was revoked for good: enrol what replaces it under another id`
        : findOpenKey(record) === null
          ? `device ${device} is enrolled, and a revocation ended its keys: rotate it to the next one`
          : `device ${device} is enrolled already`,
    )
  if (!devicePattern.test(device)) return refused(`a device id must match ${devicePattern.source}`)
  if (firstSeq !== 1) return refused("an enrolment begins at seq 1")
  if (caDigest !== undefined && place.isTrustedAuthority?.(caDigest) !== true)
    return refused("11 is the certificate of no CA that is trusted")
  if (
    proofOfNew !== undefined &&
    !checkKeyProof(key, proofOfNew, place.origin, device, firstSeq, key, place.verify)
  ) {
    return refused("the proof of possession does not verify")
  }
  const introducedBy = caDigest === undefined ? "operator" : "certificate"
  return applied({
    device,
    status: "active",
    keys: [newKey(key, firstSeq, proofOfNew !== undefined, introducedBy)],
    registry: place.entry,
    attributes: registry.attributes ?? new Map(),
    caDigest: caDigest ?? null,
  })
}

function rotate(record: DeviceRecord, registry: Registry, place: RegistryPlace): AppliedRegistry {
  const { device, proofOfNew, proofOfOld } = registry
  const [key, firstSeq] = [registry.key!, registry.firstSeq!]
  const verify = place.verify ?? verifyEquation
  if (record.status === "revoked") return refused("the device was revoked")
  if (firstSeq <= place.headSeq) return refused(`a first seq is above the head, ${place.headSeq}`)
  const seqMin = findFirstSeqMin(record, place.headSeq)
  if (firstSeq < seqMin) return refused(`a first seq is above the one before, ${seqMin - 1}`)
  const old = findOpenKey(record)
  // Else the seqs between would have no key, and could get none: no first seq lies below an earlier one.
  if (old === null && firstSeq !== seqMin)
    return refused(`no key stands behind the head, so the next one begins at seq ${seqMin}`)
  const kid = kidOf(key)
  if (record.keys.some((other) => equalBytes(other.kid, kid)))
    return refused("the device had a key of this kid")
  if (
    proofOfNew !== undefined &&
    !checkKeyProof(key, proofOfNew, place.origin, device, firstSeq, key, verify)
  ) {
    return refused("the proof of the new key does not verify")
  }
  if (
    proofOfOld !== undefined &&
    (old === null || !checkKeyProof(old.key, proofOfOld, place.origin, device, firstSeq, key, verify))
  ) {
    return refused("the proof of the old key does not verify")
  }
  if (registry.request !== undefined && !isRequested(registry, place.request ?? null))
    return refused("10 is not the device's head, or that does not ask for this key")
  const ended = record.keys.map((other) =>
    other.lastSeq === null ? { ...other, lastSeq: firstSeq - 1, endedBy: "rotation" as const } : other,
  )
  const added = newKey(key, firstSeq, proofOfNew !== undefined, introductionOf(registry))
  // A key that was cut off before it began may have a later first seq.
  return applied({ ...record, keys: [...ended, added].toSorted((a, b) => a.firstSeq - b.firstSeq) })
}

/** FORMAT §7: without 7 and one of 8 and 10 it is a re-enrolment by the operator. */
function introductionOf({ proofOfNew, proofOfOld, request }: Registry): KeyIntroduction {
  if (proofOfNew === undefined) return "operator"
  if (request !== undefined) return "request"
  return proofOfOld === undefined ? "operator" : "old-key"
}

function isRequested(rotation: Registry, request: KeyRequest | null): boolean {
  if (request === null || !equalBytes(rotation.request!, request.entry)) return false
  const { device, key, firstSeq, proofOfNew } = request.registry
  return (
    device === rotation.device &&
    key !== undefined &&
    equalKeys(key, rotation.key!) &&
    firstSeq === rotation.firstSeq &&
    proofOfNew !== undefined &&
    rotation.proofOfNew !== undefined &&
    equalBytes(proofOfNew, rotation.proofOfNew)
  )
}

function revoke(record: DeviceRecord, registry: Registry, place: RegistryPlace): AppliedRegistry {
  const { lastGoodSeq } = registry
  if (record.status === "revoked") return refused("the device was revoked before")
  if (lastGoodSeq === undefined) return applied({ ...record, status: "revoked" })
  if (lastGoodSeq > place.headSeq) return refused(`a last good seq is at most the head, ${place.headSeq}`)
  const keys = record.keys.map((key) =>
    key.lastSeq === null || key.lastSeq > lastGoodSeq
      ? { ...key, lastSeq: lastGoodSeq, endedBy: "revocation" as const }
      : key,
  )
  return applied({ ...record, keys })
}

function newKey(
  key: PublicKey,
  firstSeq: number,
  isPossessionProven: boolean,
  introducedBy: KeyIntroduction,
): EnrolledKey {
  return { kid: kidOf(key), key, firstSeq, lastSeq: null, endedBy: null, isPossessionProven, introducedBy }
}

function applied(record: DeviceRecord): AppliedRegistry {
  return { kind: "applied", record }
}

function refused(rule: string): AppliedRegistry {
  return { kind: "refused", rule }
}
