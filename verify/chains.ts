/** The chains as the audit has followed them so far: in memory of the devices, not of the statements. */
import { equalBytes } from "../chain/bytes.ts"
import { type DeviceRecord, applyRegistry } from "../chain/device.ts"
import { type Hash, type Sha256, parseHash } from "../chain/hash.ts"
import { type PublicKey, kidOf } from "../chain/key.ts"
import { findKey, judgeLink, noHead } from "../chain/link.ts"
import type { Head } from "../chain/receipt.ts"
import type { Registry } from "../chain/registry.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import type { Statement } from "../chain/statement.ts"

export interface Chain {
  head: Head
  /** By the registry statements so far; null for the operator, who has one key. */
  record: DeviceRecord | null
}

/** Under which key a statement must verify, or the rule that keeps it out of its chain. */
export type Standing =
  { readonly kind: "stands"; readonly key: PublicKey } | { readonly kind: "fault"; readonly rule: string }

export class Chains {
  readonly origin: string
  readonly operator: Chain = { head: noHead, record: null }
  /** Enrolled devices. */
  readonly devices = new Map<string, Chain>()
  private readonly operatorKey: PublicKey
  private readonly operatorKid: Uint8Array

  constructor(origin: string, operatorKey: PublicKey, hash?: Sha256) {
    this.origin = origin
    this.operatorKey = operatorKey
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

  /** The judgement of ingest again (PROTOCOL §4), at the moment when the statement was accepted. */
  judge(statement: Statement, entry: Hash): Standing {
    const { iss, kid, seq, prev } = statement
    const chain = this.find(iss)
    if (chain === null) return { kind: "fault", rule: "is by a device that was not enrolled before it" }
    if (seq !== chain.head.seq + 1)
      return {
        kind: "fault",
        rule: `follows statement ${chain.head.seq} of its chain: one of them is at a wrong place, or what lay between is missing`,
      }
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
    const link = judgeLink(candidate, { status, head: chain.head, stored: () => null })
    if (link.kind !== "next") return { kind: "fault", rule: `should have been refused: ${link.rule}` }
    return { kind: "stands", key }
  }

  /** Moves the head, also past a statement that was found bad: what follows is judged by itself. */
  advance(chain: Chain, seq: number, entry: Uint8Array): void {
    chain.head = { seq, entry: parseHash(entry) }
  }

  /** Applies a registry statement of the operator; the rule that it breaks, or null. */
  applyRegistry(registry: Registry, entry: Hash, verify?: VerifyEquation): string | null {
    const chain = this.devices.get(registry.device)
    const place = {
      origin: this.origin,
      entry,
      headSeq: chain?.head.seq ?? 0,
      ...(verify === undefined ? {} : { verify }),
    }
    const outcome = applyRegistry(chain?.record ?? null, registry, place)
    if (outcome.kind === "refused") return outcome.rule
    if (chain === undefined) this.devices.set(registry.device, { head: noHead, record: outcome.record })
    else chain.record = outcome.record
    return null
  }
}
