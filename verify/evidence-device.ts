/** The device as the evidence has shown it so far: its keys by the registry, and its chain. */
import { equalBytes } from "../chain/bytes.ts"
import { type DeviceRecord, type KeyRequest, applyRegistry } from "../chain/device.ts"
import type { EvidencedHead } from "../chain/evidence.ts"
import { type ChainBinding, emptyHeadOf } from "../chain/genesis.ts"
import type { Hash, Sha256 } from "../chain/hash.ts"
import type { PublicKey } from "../chain/key.ts"
import { findRequestFault } from "../chain/key-request.ts"
import { findKey, judgeLink, noHead } from "../chain/link.ts"
import { type Payload, readPayload } from "../chain/payload.ts"
import type { Head } from "../chain/receipt.ts"
import type { Registry } from "../chain/registry.ts"
import { type VerifyEquation, checkSignature } from "../chain/signature.ts"
import { type Statement, signedBytesOf } from "../chain/statement.ts"
import { EvidenceFault } from "./evidence-fault.ts"

export class EvidencedDevice {
  readonly device: string
  /** By the registry statements so far; null before its enrolment. */
  record: DeviceRecord | null = null
  /** The last statement that is known; while the chain is shown, its head. */
  head: Head = noHead
  /** The head before the first statement. */
  private empty: Head = noHead
  private readonly origin: string
  private readonly verify: VerifyEquation | undefined
  /** Whether the chain is shown here, so that `head` is the head and no less. */
  private isShown = false
  /** What the head is at least. */
  private headSeqMin = 0
  /** The head, where it asks for the next key and the operator has not answered yet. */
  private request: KeyRequest | null = null

  constructor(device: string, origin: string, verify: VerifyEquation | undefined) {
    this.device = device
    this.origin = origin
    this.verify = verify
  }

  name(seq: number): string {
    return `statement ${seq} of device ${this.device}`
  }

  /** The policy is read: it says where the device's chain begins. Comes before everything else. */
  begin(binding: ChainBinding, hash: Sha256): void {
    this.empty = emptyHeadOf(binding, this.device, hash)
    this.head = this.empty
  }

  /** From here every statement is shown. */
  beginRange(): void {
    this.isShown = true
  }

  /** From here only the registry is shown. */
  endRange(): void {
    this.isShown = false
  }

  /** Takes a registry statement in. Throws an EvidenceFault that calls it `what`. */
  applyRegistry(registry: Registry, entry: Hash, what: string): void {
    const { request } = this
    if (request !== null && registry.request === undefined)
      throw new EvidenceFault(
        "registry",
        what,
        "stands before the answer to the device's request for its next key",
      )
    const outcome = applyRegistry(this.record, registry, {
      origin: this.origin,
      entry,
      headSeq: this.headSeqFor(registry),
      request,
      // Whether a CA was trusted is said by other statements than the device's: here it is the operator's word.
      isTrustedAuthority: () => true,
      ...(this.verify === undefined ? {} : { verify: this.verify }),
    })
    if (outcome.kind === "refused")
      throw new EvidenceFault("registry", what, `is a registry statement against the rules: ${outcome.rule}`)
    if (!this.isShown && registry.lastGoodSeq !== undefined)
      this.headSeqMin = Math.max(this.headSeqMin, registry.lastGoodSeq)
    this.record = outcome.record
    this.request = null
  }

  /**
   * The head by which a registry statement is judged. Where the chain is not shown it is one that may have been: the
   * statement is refused only if it breaks a rule under every head that is possible there.
   */
  private headSeqFor({ action, firstSeq, lastGoodSeq }: Registry): number {
    if (this.isShown) return this.head.seq
    if (action === "rotate" && firstSeq !== undefined) return Math.max(this.headSeqMin, firstSeq - 1)
    return Math.max(this.headSeqMin, lastGoodSeq ?? 0)
  }

  /**
   * The next statement of the chain: the judgement of ingest again (FORMAT §4), at the place where it was accepted.
   * Throws an EvidenceFault. Moves the head.
   */
  follow(statement: Statement, entry: Hash): { readonly payload: Payload; readonly key: PublicKey } {
    const { seq, prev } = statement
    const what = this.name(seq)
    const { head, record } = this
    if (record === null)
      throw new EvidenceFault("key", what, "is by a device that was not enrolled before it")
    if (seq > head.seq + 1)
      throw new EvidenceFault(
        "missing",
        this.name(head.seq + 1),
        `is missing: statement ${seq} follows ${head.seq}`,
      )
    if (seq <= head.seq) throw new EvidenceFault("chain", what, `stands behind statement ${head.seq}`)
    if (this.request !== null)
      throw new EvidenceFault(
        "registry",
        what,
        "follows a request for the next key that the operator did not answer",
      )
    const finding = findKey(record.keys, statement.kid, seq)
    if (finding.kind === "unknown-key") throw new EvidenceFault("key", what, `has no key: ${finding.rule}`)
    const { deviceKey, isRevokedBeyond } = finding
    // The whole statement is one candidate against the head: no place below it can come up, so no digest is compared.
    const candidate = { seq, prev, entry, signedDigest: entry, isRevokedBeyond }
    const firstPrev = (): Hash => this.empty.entry
    const link = judgeLink(candidate, { status: record.status, head, firstPrev, stored: () => null })
    if (link.kind === "broken")
      throw new EvidenceFault(
        "chain",
        what,
        seq === 1
          ? "does not begin the device's chain in this log: its prev is neither its genesis nor, in a log of version 1, zeros"
          : `does not follow: its prev is not the entry of statement ${seq - 1}`,
      )
    if (link.kind !== "next") throw new EvidenceFault("key", what, `should have been refused: ${link.rule}`)
    this.checkSignature(statement, deviceKey.key)
    const payload = this.readPayload(statement, entry)
    this.head = { seq, entry }
    this.headSeqMin = seq
    this.request = payload.kind === "registry" ? { entry, registry: payload.registry } : null
    return { payload, key: deviceKey.key }
  }

  /** A statement outside the range: the device's request for its next key, which a rotation names. */
  takeRequest(statement: Statement, entry: Hash): void {
    const { seq } = statement
    const what = this.name(seq)
    const { record } = this
    if (record === null)
      throw new EvidenceFault("key", what, "is by a device that was not enrolled before it")
    const finding = findKey(record.keys, statement.kid, seq)
    if (finding.kind === "unknown-key") throw new EvidenceFault("key", what, `has no key: ${finding.rule}`)
    if (seq <= this.headSeqMin)
      throw new EvidenceFault("chain", what, `stands behind statement ${this.headSeqMin}`)
    this.checkSignature(statement, finding.deviceKey.key)
    const payload = this.readPayload(statement, entry)
    if (payload.kind !== "registry")
      throw new EvidenceFault("order", what, "stands outside the blocks that are shown, and asks for no key")
    this.head = { seq, entry }
    this.headSeqMin = seq
    this.request = { entry, registry: payload.registry }
  }

  /** The head that a block commits to, beside what was shown. Throws an EvidenceFault. */
  meet(sealed: EvidencedHead, height: number): void {
    const { record, head, request } = this
    const block = `block ${height}`
    if (record === null || !equalBytes(record.registry, sealed.registry))
      throw new EvidenceFault(
        "registry",
        block,
        `knows another last registry statement about device ${this.device}: one is left out`,
      )
    if (request !== null)
      throw new EvidenceFault(
        "registry",
        this.name(head.seq),
        "asks for the next key, and the operator did not answer",
      )
    const { seq, entry } = sealed
    if (this.isShown && seq > head.seq)
      throw new EvidenceFault(
        "missing",
        this.name(head.seq + 1),
        `is missing: ${block} leaves the device at statement ${seq}`,
      )
    if (seq < (this.isShown ? head.seq : this.headSeqMin))
      throw new EvidenceFault(
        "heads",
        block,
        `leaves the device at statement ${seq}, and later ones were shown`,
      )
    if (seq === head.seq && !equalBytes(entry, head.entry))
      throw new EvidenceFault("chain", this.name(seq), `is not the one at which ${block} leaves the device`)
    this.head = { seq, entry }
    this.headSeqMin = seq
  }

  private checkSignature(statement: Statement, key: PublicKey): void {
    const { algorithm, signature, seq } = statement
    const message = signedBytesOf(statement)
    if (checkSignature(key, algorithm, message, signature, this.verify) !== "good")
      throw new EvidenceFault(
        "signature",
        this.name(seq),
        "has a signature that does not verify under its key",
      )
  }

  /** As ingest takes it: a request for the next key that breaks a rule is not read. */
  private readPayload(statement: Statement, entry: Hash): Payload {
    const payload = readPayload(statement)
    if (payload.kind !== "registry" || this.record === null) return payload
    const { origin, verify } = this
    const place = { origin, seq: statement.seq, entry, ...(verify === undefined ? {} : { verify }) }
    const rule = findRequestFault(this.record, payload.registry, place)
    return rule === null ? payload : { kind: "unread", rule, offset: 0 }
  }
}
