/** Certificate authorities by which devices may be enrolled (FORMAT §7, actions 6 and 7), replayed like devices. */
import { equalBytes, formatHex } from "./bytes.ts"
import { type Hash, zeroHash } from "./hash.ts"
import { type Registry, findMemberFault } from "./registry.ts"
import { subjectPattern } from "./statement.ts"

export interface AuthorityRecord {
  readonly name: string
  /** SHA-256 of the certificate in DER. */
  readonly digest: Hash
  readonly isTrusted: boolean
  /** Entry of the last registry statement about the authority. */
  readonly registry: Hash
}

export type AppliedAuthority =
  | { readonly kind: "applied"; readonly record: AuthorityRecord }
  | { readonly kind: "refused"; readonly rule: string }

/**
 * The authority after a registry statement of action 6 or 7, or the rule that forbids it. A name has one certificate at a
 * time; another one can be trusted under it once the first is distrusted. Devices that it enrolled stay as they are.
 *
 * @param authorities all that were ever trusted, by name
 * @param entry of the registry statement
 */
export function applyAuthority(
  authorities: ReadonlyMap<string, AuthorityRecord>,
  registry: Registry,
  entry: Hash,
): AppliedAuthority {
  const { action, device: name, previous, caDigest } = registry
  const record = authorities.get(name) ?? null
  if (action !== "trust-ca" && action !== "distrust-ca")
    return refused(`${action} is about a device, not a CA`)
  const fault = findMemberFault(registry)
  if (fault !== null) return refused(fault)
  if (previous === undefined || !equalBytes(previous, record?.registry ?? zeroHash))
    return refused("3 is not the entry of the previous registry statement about the CA")
  if (!subjectPattern.test(name)) return refused(`a CA's name must match ${subjectPattern.source}`)
  if (action === "distrust-ca") {
    if (record === null || !record.isTrusted) return refused(`CA ${name} is not trusted`)
    if (!equalBytes(record.digest, caDigest!)) return refused("11 is not the certificate that is trusted")
    return { kind: "applied", record: { ...record, isTrusted: false, registry: entry } }
  }
  if (record?.isTrusted === true) return refused(`CA ${name} is trusted already`)
  // Under two names, one of them would still stand when the other is distrusted.
  const other = findTrustedAuthority(authorities, caDigest!)
  if (other !== null) return refused(`this certificate is trusted already, as CA ${other.name}`)
  return { kind: "applied", record: { name, digest: caDigest!, isTrusted: true, registry: entry } }
}

/** The authority whose certificate has this SHA-256, while it is trusted. */
export function findTrustedAuthority(
  authorities: ReadonlyMap<string, AuthorityRecord>,
  digest: Hash,
): AuthorityRecord | null {
  const wanted = formatHex(digest)
  for (const record of authorities.values()) {
    if (record.isTrusted && formatHex(record.digest) === wanted) return record
  }
  return null
}

function refused(rule: string): AppliedAuthority {
  return { kind: "refused", rule }
}
