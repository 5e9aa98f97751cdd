/** What the operator's chain says of one device: its keys and its standing, replayed registry statement by statement. */
import { equalBytes } from "./bytes.ts"
import { type Hash, zeroHash } from "./hash.ts"
import { type PublicKey, kidOf } from "./key.ts"
import type { DeviceKey, DeviceStatus } from "./link.ts"
import { type Registry, checkKeyProof } from "./registry.ts"
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
}

export interface EnrolledKey extends DeviceKey {
  /** Whether the device proved that it holds the key. */
  readonly isPossessionProven: boolean
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
  readonly verify?: VerifyEquation
}

/**
 * The device after a registry statement (PROTOCOL §7), or the rule that forbids it. Ingest asks before it signs, the
 * audit asks again.
 *
 * @param record the device before it, or null where it is not enrolled
 */
export function applyRegistry(
  record: DeviceRecord | null,
  registry: Registry,
  place: RegistryPlace,
): AppliedRegistry {
  const expected = record?.registry ?? zeroHash
  if (registry.previous === undefined || !equalBytes(registry.previous, expected)) {
    return refused("3 is not the entry of the previous registry statement about the device")
  }
  if (registry.action === "enrol") return enrol(record, registry, place)
  if (record === null) return refused(`device ${registry.device} is not enrolled`)
  const next: DeviceRecord = { ...record, registry: place.entry }
  switch (registry.action) {
    case "rotate":
      return rotate(next, registry, place)
    case "revoke":
      return revoke(next, registry, place)
    case "suspend":
      return record.status === "active"
        ? applied({ ...next, status: "suspended" })
        : refused(`the device is ${record.status}`)
    case "resume":
      return record.status === "suspended"
        ? applied({ ...next, status: "active" })
        : refused(`the device is ${record.status}`)
    default:
      return refused(`${registry.action} is about a CA, not a device`)
  }
}

function enrol(record: DeviceRecord | null, registry: Registry, place: RegistryPlace): AppliedRegistry {
  const { device, key, firstSeq, proofOfNew } = registry
  if (record !== null) return refused(`device ${device} is enrolled already`)
  if (!devicePattern.test(device)) return refused(`a device id must match ${devicePattern.source}`)
  if (key === undefined || firstSeq === undefined) return refused("an enrolment has a key and its first seq")
  if (firstSeq !== 1) return refused("an enrolment begins at seq 1")
  if (
    proofOfNew !== undefined &&
    !checkKeyProof(key, proofOfNew, place.origin, device, firstSeq, key, place.verify)
  ) {
    return refused("the proof of possession does not verify")
  }
  return applied({
    device,
    status: "active",
    keys: [newKey(key, firstSeq, proofOfNew !== undefined)],
    registry: place.entry,
    attributes: registry.attributes ?? new Map(),
  })
}

function rotate(record: DeviceRecord, registry: Registry, place: RegistryPlace): AppliedRegistry {
  const { device, key, firstSeq, proofOfNew, proofOfOld } = registry
  const verify = place.verify ?? verifyEquation
  if (record.status === "revoked") return refused("the device was revoked")
  if (key === undefined || firstSeq === undefined) return refused("a rotation has a key and its first seq")
  if (firstSeq <= place.headSeq) return refused(`a first seq is above the head, ${place.headSeq}`)
  const old = record.keys.at(-1)
  if (old !== undefined && firstSeq <= old.firstSeq)
    return refused(`a first seq is above the one before, ${old.firstSeq}`)
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
    (old === undefined || !checkKeyProof(old.key, proofOfOld, place.origin, device, firstSeq, key, verify))
  ) {
    return refused("the proof of the old key does not verify")
  }
  const ended = record.keys.map((other) =>
    other.lastSeq === null ? { ...other, lastSeq: firstSeq - 1, endedBy: "rotation" as const } : other,
  )
  return applied({ ...record, keys: [...ended, newKey(key, firstSeq, proofOfNew !== undefined)] })
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

function newKey(key: PublicKey, firstSeq: number, isPossessionProven: boolean): EnrolledKey {
  return { kid: kidOf(key), key, firstSeq, lastSeq: null, endedBy: null, isPossessionProven }
}

function applied(record: DeviceRecord): AppliedRegistry {
  return { kind: "applied", record }
}

function refused(rule: string): AppliedRegistry {
  return { kind: "refused", rule }
}
