/** The chains as the audit has followed them so far: in memory of the devices, not of the statements. */
import { equalBytes } from "../chain/bytes.ts"
import { type AuthorityRecord, applyAuthority, findTrustedAuthority } from "../chain/authority.ts"
import { type DeviceRecord, type KeyRequest, applyRegistry } from "../chain/device.ts"
import { type Hash, type Sha256, parseHash, zeroHash } from "../chain/hash.ts"
import { type PublicKey, kidOf } from "../chain/key.ts"
import { findRequestFault } from "../chain/key-request.ts"
import { type ChainBinding, emptyHeadOf, firstPrevOf } from "../chain/genesis.ts"
import { findKey, judgeLink, noHead } from "../chain/link.ts"
import { type Payload, readPayload } from "../chain/payload.ts"
import type { Head } from "../chain/receipt.ts"
import type { Policy } from "../chain/policy.ts"
import type { Registry } from "../chain/registry.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import type { Statement } from "../chain/statement.ts"

export interface Chain {
  head: Head
  /** By the registry statements so far; null for the operator, who has one key. */
  record: DeviceRecord | null
  /** The head, where it asks for the device's next key and the operator has not answered yet. */
  request: KeyRequest | null
}

/** Under which key a statement must verify, or the rule that keeps it out of its chain. */
export type Standing =
  { readonly kind: "stands"; readonly key: PublicKey } | { readonly kind: "fault"; readonly rule: string }

export class Chains {
  readonly origin: string
  readonly operator: Chain = { head: noHead, record: null, request: null }
  /** Enrolled devices. */
  readonly devices = new Map<string, Chain>()
  /** CAs that were ever trusted, by name. */
  readonly authorities = new Map<string, AuthorityRecord>()
  private readonly operatorKey: PublicKey
  private readonly operatorKid: Uint8Array
  private readonly binding: ChainBinding
  private readonly hash: Sha256 | undefined

  constructor(
    { origin, operatorKey, ...binding }: Pick<Policy, "origin" | "operatorKey" | "logVkey" | "version">,
    hash?: Sha256,
  ) {
    this.origin = origin
    this.operatorKey = operatorKey
    this.binding = binding
    this.hash = hash
    this.operatorKid = kidOf(operatorKey, hash)
  }

  find(device: string): Chain | null {
    return device === this.origin ? this.operator : (this.devices.get(device) ?? null)
  }

  /** The key that stands for this signer, kid and seq, whether or not the chain goes on there. */
  findKey({ iss, kid, seq }: Statement): PublicKey | null {
    if (iss === this.origin) return equalBytes(kid, this.operatorKid) ? this.operatorKey : null
    const record = this.devices.get(iss)?.record
    const finding = record == null ? null : findKey(record.keys, kid, seq)
    return finding?.kind === "key" ? finding.deviceKey.key : null
  }

  /** The judgement of ingest again (FORMAT §4), at the moment when the statement was accepted. */
  judge(statement: Statement, entry: Hash): Standing {
    const { iss, kid, seq, prev } = statement
    const chain = this.find(iss)
    if (chain === null) return { kind: "fault", rule: "is by a device that was not enrolled before it" }
    const gap = findGap(chain, seq)
    if (gap !== null) return { kind: "fault", rule: gap }
    if (chain.request !== null)
      return { kind: "fault", rule: "follows a request for the next key that the operator did not answer" }
    let key = this.operatorKey
    let isRevokedBeyond = false
    if (chain.record !== null) {
      const finding = findKey(chain.record.keys, kid, seq)
      if (finding.kind === "unknown-key") return { kind: "fault", rule: `has no key: ${finding.rule}` }
      key = finding.deviceKey.key
      isRevokedBeyond = finding.isRevokedBeyond
    } else if (!equalBytes(kid, this.operatorKid)) {
      return { kind: "fault", rule: "names another key than the operator's in the policy" }
    }
    // The whole statement is one candidate against the head: no place below it can come up, so no digest is compared.
    const candidate = { seq, prev, entry, signedDigest: entry, isRevokedBeyond }
    const status = chain.record?.status ?? "active"
    const firstPrev = (): Hash => (iss === this.origin ? zeroHash : firstPrevOf(this.binding, iss, this.hash))
    const link = judgeLink(candidate, { status, head: chain.head, firstPrev, stored: () => null })
    if (link.kind !== "next") return { kind: "fault", rule: `should have been refused: ${link.rule}` }
    return { kind: "stands", key }
  }

  /** Moves the head, also past a statement that was found bad: what follows is judged by itself. */
  advance(chain: Chain, seq: number, entry: Uint8Array): void {
    chain.head = { seq, entry: parseHash(entry) }
    chain.request = null
  }

  /** The payload as ingest takes it: a device's request for its next key that breaks a rule is not read. */
  readPayload(statement: Statement, entry: Hash, verify?: VerifyEquation): Payload {
    const payload = readPayload(statement)
    const { iss, seq } = statement
    const record = this.devices.get(iss)?.record ?? null
    if (payload.kind !== "registry" || iss === this.origin || record === null) return payload
    const place = { origin: this.origin, seq, entry, ...(verify === undefined ? {} : { verify }) }
    const rule = findRequestFault(record, payload.registry, place)
    return rule === null ? payload : { kind: "unread", rule, offset: 0 }
  }

  /** The device's head asks for its next key: the operator's rotation is to come before anything else about it. */
  expectRotation(device: string, request: KeyRequest): void {
    const chain = this.devices.get(device)
    if (chain !== undefined) chain.request = request
  }

  /** Applies a registry statement of the operator; the rule that it breaks, or null. */
  applyRegistry(registry: Registry, entry: Hash, verify?: VerifyEquation): string | null {
    if (registry.action === "trust-ca" || registry.action === "distrust-ca")
      return this.applyAuthority(registry, entry)
    const chain = this.devices.get(registry.device)
    const request = chain?.request ?? null
    if (request !== null && registry.request === undefined)
      return "the device's request for its next key is not answered before"
    const place = {
      origin: this.origin,
      entry,
      headSeq: chain?.head.seq ?? 0,
      request,
      isTrustedAuthority: (digest: Hash) => findTrustedAuthority(this.authorities, digest) !== null,
      ...(verify === undefined ? {} : { verify }),
    }
    const outcome = applyRegistry(chain?.record ?? null, registry, place)
    if (outcome.kind === "refused") return outcome.rule
    if (chain === undefined) {
      const head = emptyHeadOf(this.binding, registry.device, this.hash)
      this.devices.set(registry.device, { head, record: outcome.record, request: null })
      return null
    }
    chain.record = outcome.record
    chain.request = null
    return null
  }

  private applyAuthority(registry: Registry, entry: Hash): string | null {
    const outcome = applyAuthority(this.authorities, registry, entry)
    if (outcome.kind === "refused") return outcome.rule
    this.authorities.set(outcome.record.name, outcome.record)
    return null
  }
}

/** Why a statement of this seq cannot be the next of its chain; null where it can. */
export function findGap({ head }: Chain, seq: number): string | null {
  if (seq === head.seq + 1) return null
  return `follows statement ${head.seq} of its chain: one of them is at a wrong place, or what lay between is missing`
}
