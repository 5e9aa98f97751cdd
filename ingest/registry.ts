/** The registry: which keys stand for which device. Every change is a statement of the operator's chain first. */
import type { Pool, PoolClient } from "pg"
import { type AuthorityRecord, applyAuthority, findTrustedAuthority } from "../chain/authority.ts"
import { equalBytes } from "../chain/bytes.ts"
import { FormatFault } from "../chain/cbor.ts"
import { type DeviceRecord, applyRegistry } from "../chain/device.ts"
import type { ChainBinding } from "../chain/genesis.ts"
import { type Hash, zeroHash } from "../chain/hash.ts"
import { type PublicKey, decodeEnrolledKey, equalKeys } from "../chain/key.ts"
import { parseVkey } from "../chain/note.ts"
import { type Registry, type RegistryAction, decodeRegistry, encodeRegistry } from "../chain/registry.ts"
import { contentRegistry } from "../chain/statement.ts"
import { inTransaction } from "./database/pool.ts"
import type { IngestKeys } from "./log-keys.ts"
import { sha256Native, verifyNative } from "./native.ts"
import { OperatorChain, lockOperator, lockSealShared } from "./operator.ts"
import {
  endTokens,
  insertDevices,
  lockHeads,
  raiseEpochs,
  readAuthorities,
  readDevices,
  updateDevices,
  writeAuthority,
} from "./registry-rows.ts"
import { readClock, takeIds } from "./storage.ts"

export { readAuthorities, readDevices } from "./registry-rows.ts"

/**
 * A registry statement without what this file fills in: 3, and of a CA 11. Not 10: a device's own request is answered
 * where it is accepted, in `group.ts`.
 */
export interface RegistryChange extends Omit<Registry, "previous" | "request"> {
  /** The CA's certificate in DER, with trust-ca. */
  readonly certificate?: Uint8Array
}

export type ChangeResult =
  | {
      readonly kind: "changed"
      readonly action: RegistryAction
      readonly device: string
      /** Of the registry statement. */
      readonly entry: Hash
      /** After the change; null of a CA. */
      readonly record: DeviceRecord | null
    }
  | {
      readonly kind: "refused"
      readonly action: RegistryAction
      readonly device: string
      readonly rule: string
    }

/**
 * The one way to change the registry: each change is a registry statement on the operator's chain, judged by
 * `applyRegistry` or `applyAuthority` before it is signed, and committed in one transaction with the rows and with the
 * raised epochs of the devices. A change that the rules forbid is refused with the rule, and the others go in.
 *
 * @returns one result per change, in the same order
 */
export async function changeRegistry(
  pool: Pool,
  keys: IngestKeys,
  changes: readonly RegistryChange[],
): Promise<ChangeResult[]> {
  if (changes.length === 0) return []
  return inTransaction(pool, async (client) => {
    await lockSealShared(client)
    const operator = new OperatorChain(keys, await lockOperator(client, keys.origin))
    const devices = [...new Set(changes.flatMap((change) => (isOfAuthority(change) ? [] : [change.device])))]
    const heads = await lockHeads(client, devices)
    const known = await readDevices(client, devices)
    const authorities = await readAuthorities(client)
    const ownKeys = await readOwnKeys(client)
    const receivedAtMs = await readClock(client)
    const ids = await takeIds(client, changes.length)
    const batch = new RegistryBatch(
      { origin: keys.origin, binding: keys.binding, ownKeys },
      heads,
      known,
      authorities,
    )
    const results = changes.map((change, index): ChangeResult => {
      const { action, device } = change
      const registry = batch.registryOf(change)
      const rule = batch.judge(registry, change.certificate)
      if (rule !== null) return { kind: "refused", action, device, rule }
      const payload = encodeRegistry(registry)
      const entry = operator.sign({
        id: ids[index]!,
        sub: device,
        content: contentRegistry,
        payload,
        receivedAtMs,
      })
      return { kind: "changed", action, device, entry, record: batch.take(entry) }
    })
    await operator.store(client)
    await batch.store(client)
    return results
  })
}

/** The log's three keys, as its policy has them. */
async function readOwnKeys(client: PoolClient): Promise<PublicKey[]> {
  const { rows } = await client.query<{ vkey: string; operator_key: Uint8Array; receipt_key: Uint8Array }>(
    "select vkey, operator_key, receipt_key from log",
  )
  return rows.flatMap(({ vkey, operator_key: operator, receipt_key: receipt }) => {
    const log = parseVkey(vkey)?.publicKey
    return [...(log === undefined ? [] : [log]), decodeEnrolledKey(operator), decodeEnrolledKey(receipt)]
  })
}

/** Far below a statement's: reasons and attributes are texts for people. */
const payloadSizeMax = 8_192

function isOfAuthority({ action }: Pick<Registry, "action">): boolean {
  return action === "trust-ca" || action === "distrust-ca"
}

/** What is signed must be readable: texts without control characters, keys that are points, and no more than fits. */
function findFormatFault(registry: Registry): string | null {
  try {
    const payload = encodeRegistry(registry)
    if (payload.length > payloadSizeMax)
      return `it would have ${payload.length} bytes, and a registry statement at most ${payloadSizeMax}`
    decodeRegistry(payload)
    return null
  } catch (error) {
    if (error instanceof FormatFault) return error.rule
    // What CBOR of this profile cannot say, such as a line feed in a text.
    if (error instanceof RangeError) return error.message
    throw error
  }
}

/** The registry as the changes so far leave it. */
class RegistryBatch {
  private readonly log: {
    readonly origin: string
    readonly binding: ChainBinding
    readonly ownKeys: readonly PublicKey[]
  }
  private readonly heads: ReadonlyMap<string, { readonly seq: number }>
  private readonly known: ReadonlyMap<string, DeviceRecord>
  private readonly authorities: Map<string, AuthorityRecord>
  private readonly changed = new Map<string, DeviceRecord>()
  private readonly revoked = new Set<string>()
  private readonly changedAuthorities = new Map<string, Uint8Array | null>()
  /** Judged, and not yet signed. */
  private pending:
    | { readonly kind: "device"; readonly record: DeviceRecord; readonly isRevocation: boolean }
    | {
        readonly kind: "authority"
        readonly record: AuthorityRecord
        readonly certificate: Uint8Array | null
      }
    | null = null

  constructor(
    log: RegistryBatch["log"],
    heads: ReadonlyMap<string, { readonly seq: number }>,
    known: ReadonlyMap<string, DeviceRecord>,
    authorities: Map<string, AuthorityRecord>,
  ) {
    this.log = log
    this.heads = heads
    this.known = known
    this.authorities = authorities
  }

  registryOf({ certificate, ...change }: RegistryChange): Registry {
    const last = isOfAuthority(change) ? this.authorities.get(change.device) : this.find(change.device)
    // A certificate that is not given is the one that is trusted.
    const caDigest =
      certificate !== undefined
        ? sha256Native(certificate)
        : change.action === "distrust-ca"
          ? (change.caDigest ?? this.authorities.get(change.device)?.digest)
          : change.caDigest
    return {
      ...change,
      previous: last?.registry ?? zeroHash,
      ...(caDigest === undefined ? {} : { caDigest }),
    }
  }

  /** The rule that forbids this statement, or null: then `take` follows. */
  judge(registry: Registry, certificate: Uint8Array | undefined): string | null {
    const fault = findFormatFault(registry)
    if (fault !== null) return fault
    const { key } = registry
    // Who holds a device's key could sign as the log then, and the other way round.
    if (key !== undefined && this.log.ownKeys.some((own) => equalKeys(own, key)))
      return "the key is one of the log's own, and a device has another"
    // The entry is known once it is signed, and it is signed once it is judged.
    const entry = zeroHash
    if (isOfAuthority(registry)) {
      if (registry.action === "trust-ca" && certificate === undefined)
        return "a CA is trusted with its certificate"
      if (registry.action === "distrust-ca" && registry.caDigest === undefined)
        return `CA ${registry.device} is not trusted`
      const outcome = applyAuthority(this.authorities, registry, entry)
      if (outcome.kind === "refused") return outcome.rule
      this.pending = { kind: "authority", record: outcome.record, certificate: certificate ?? null }
      return null
    }
    const outcome = applyRegistry(this.find(registry.device), registry, {
      origin: this.log.origin,
      entry,
      headSeq: this.heads.get(registry.device)?.seq ?? 0,
      isTrustedAuthority: (digest) => findTrustedAuthority(this.authorities, digest) !== null,
      verify: verifyNative,
    })
    if (outcome.kind === "refused") return outcome.rule
    this.pending = { kind: "device", record: outcome.record, isRevocation: registry.action === "revoke" }
    return null
  }

  /** What was judged last is signed, and has this entry. */
  take(entry: Hash): DeviceRecord | null {
    const { pending } = this
    this.pending = null
    if (pending === null) throw new Error("a registry statement was signed that nobody judged")
    if (pending.kind === "device") {
      const record = { ...pending.record, registry: entry }
      this.changed.set(record.device, record)
      if (pending.isRevocation) this.revoked.add(record.device)
      return record
    }
    const { record, certificate } = pending
    this.authorities.set(record.name, { ...record, registry: entry })
    this.changedAuthorities.set(record.name, certificate ?? this.changedAuthorities.get(record.name) ?? null)
    return null
  }

  async store(client: PoolClient): Promise<void> {
    const records = [...this.changed.values()]
    await insertDevices(
      client,
      this.log.binding,
      records.filter(({ device }) => !this.known.has(device)),
    )
    const moved = records.filter(({ device }) => this.known.has(device))
    await updateDevices(client, moved)
    await raiseEpochs(
      client,
      moved.map(({ device }) => device),
    )
    await endTokens(client, [...this.revoked])
    for (const [name, certificate] of this.changedAuthorities)
      await writeAuthority(client, this.authorities.get(name)!, certificate)
  }

  private find(device: string): DeviceRecord | null {
    return this.changed.get(device) ?? this.known.get(device) ?? null
  }
}

export interface Enrolment {
  readonly device: string
  readonly key: PublicKey
  /** Proof of possession (FORMAT §7), 64 bytes; without it the device is shown as enrolled without possession. */
  readonly proof?: Uint8Array
  /** make, model, firmware */
  readonly attributes?: ReadonlyMap<string, string>
}

export type EnrolmentResult =
  | { readonly kind: "enrolled"; readonly device: string; readonly entry: Hash }
  | { readonly kind: "refused"; readonly device: string; readonly rule: string }

/**
 * Enrols devices in one transaction; one that may not be enrolled is refused with the rule, and the others go in.
 *
 * @returns one result per enrolment, in the same order
 */
export async function enrolDevices(
  pool: Pool,
  keys: IngestKeys,
  enrolments: readonly Enrolment[],
): Promise<EnrolmentResult[]> {
  const results = await changeRegistry(
    pool,
    keys,
    enrolments.map(({ device, key, proof, attributes }) => ({
      action: "enrol",
      device,
      key,
      firstSeq: 1,
      ...(proof === undefined ? {} : { proofOfNew: proof }),
      ...(attributes === undefined || attributes.size === 0 ? {} : { attributes }),
    })),
  )
  return results.map((result) => {
    const { device } = result
    return result.kind === "refused"
      ? { kind: "refused", device, rule: result.rule }
      : { kind: "enrolled", device, entry: result.entry }
  })
}

export interface CertifiedDevice {
  readonly device: string
  /** The key in the device's certificate. */
  readonly key: PublicKey
  /** SHA-256 of the DER of the CA's certificate that signed it. */
  readonly caDigest: Hash
}

/**
 * Enrols a device at its first connect by a certificate of a trusted CA. Whether the certificate is one of that CA is for
 * the caller to have checked; that the CA is trusted is asked here, under the operator's lock.
 *
 * - `enrolled`: now, by this call
 * - `known`: this key is one of the device's already, whatever its standing; nothing was done
 * - `refused`: with the rule; also where the device is enrolled with other keys
 */
export async function enrolByCertificate(
  pool: Pool,
  keys: IngestKeys,
  { device, key, caDigest }: CertifiedDevice,
): Promise<{ readonly kind: "enrolled" | "known" } | { readonly kind: "refused"; readonly rule: string }> {
  const isKnown = async (): Promise<boolean> => {
    const record = (await readDevices(pool, [device])).get(device)
    return record?.keys.some((other) => equalKeys(other.key, key)) ?? false
  }
  if (await isKnown()) return { kind: "known" }
  const [result] = await changeRegistry(pool, keys, [{ action: "enrol", device, key, firstSeq: 1, caDigest }])
  if (result?.kind === "changed") return { kind: "enrolled" }
  // Another connection of the same device may have come first.
  if (await isKnown()) return { kind: "known" }
  return { kind: "refused", rule: result?.rule ?? "" }
}

/** A CA that is trusted now, for whoever checks certificates of devices. */
export interface TrustedAuthority {
  readonly name: string
  /** X.509 in DER. */
  readonly certificate: Uint8Array
  /** Its SHA-256. */
  readonly digest: Hash
}

/** Rejects where a stored certificate is not the one of its digest: nobody may be enrolled by it. */
export async function readTrustedAuthorities(pool: Pool | PoolClient): Promise<TrustedAuthority[]> {
  const { rows } = await pool.query<{ name: string; certificate: Uint8Array; digest: Uint8Array }>(
    "select name, certificate, digest from certificate_authorities where trusted order by name",
  )
  return rows.map(({ name, certificate, digest }) => {
    const computed = sha256Native(certificate)
    if (!equalBytes(computed, digest))
      throw new Error(
        `the stored certificate of CA ${name} is not the one that is trusted: run tidemark verify`,
      )
    return { name, certificate: Uint8Array.from(certificate), digest: computed }
  })
}

/** Two records of one device, compared by the last registry statement that made them. */
export function isSameRegistry(record: DeviceRecord | null, registry: Uint8Array | null): boolean {
  if (record === null || registry === null) return record === null && registry === null
  return equalBytes(record.registry, registry)
}
