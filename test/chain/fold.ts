/**
 * A device's history, folded statement by statement: the reference of FORMAT §4, built from the functions of `chain/`
 * alone. Ingest has a fold of its own, in groups and over a database; the two must never say different things.
 */
import { type ChainBinding, firstPrevOf } from "../../chain/genesis.ts"
import { type Hash, sha256, zeroHash } from "../../chain/hash.ts"
import {
  type DeviceKey,
  type DeviceStatus,
  type StoredPlace,
  findKey,
  judgeLink,
  verdictOfNext,
} from "../../chain/link.ts"
import { type Payload, isAhead, readPayload } from "../../chain/payload.ts"
import type { Head } from "../../chain/receipt.ts"
import { checkSignature } from "../../chain/signature.ts"
import { decodeStatement, entryOf, signedBytesOf } from "../../chain/statement.ts"
import type { Verdict } from "../../chain/verdict.ts"

export interface Folded {
  readonly verdict: Verdict
  /** The rule that a refusal names; null where the statement is stored. */
  readonly rule: string | null
  readonly entry: Hash | null
  readonly payload: Payload | null
}

export class DeviceFold {
  readonly device: string
  keys: readonly DeviceKey[]
  status: DeviceStatus = "active"
  head: Head
  private readonly places: StoredPlace[] = []
  private readonly firstPrev: Hash

  /** @param binding of the log; without one it is of version 1 */
  constructor(device: string, keys: readonly DeviceKey[], binding: ChainBinding | null = null) {
    this.device = device
    this.keys = keys
    this.firstPrev = binding === null ? zeroHash : firstPrevOf(binding, device)
    this.head = { seq: 0, entry: this.firstPrev }
  }

  /** Judges one message and, where it is accepted, takes it in. The order of checks is 11, 10, 12, 13, 15 or 17, link. */
  take(bytes: Uint8Array, receivedAtMs: number): Folded {
    const decoded = decodeStatement(bytes)
    if (decoded.kind === "too-large") return refuse("too-large", `${decoded.sizeBytes} bytes`)
    if (decoded.kind === "malformed") return refuse("malformed", decoded.rule)
    const { statement } = decoded
    if (statement.iss !== this.device) return refuse("wrong-device", "iss is another device")
    const finding = findKey(this.keys, statement.kid, statement.seq)
    if (finding.kind === "unknown-key") return refuse("unknown-key", finding.rule)
    const signed = signedBytesOf(statement)
    const { key } = finding.deviceKey
    const signature = checkSignature(key, statement.algorithm, signed, statement.signature)
    if (signature !== "good") {
      return refuse(signature === "high-s" ? "high-s" : "bad-signature", "the signature")
    }
    const entry = entryOf(bytes)
    const place: StoredPlace = { entry, signedDigest: sha256(signed) }
    const { seq, prev } = statement
    const link = judgeLink(
      { seq, prev, ...place, isRevokedBeyond: finding.isRevokedBeyond },
      {
        status: this.status,
        head: this.head,
        firstPrev: () => this.firstPrev,
        stored: (stored) => this.places[stored - 1] ?? null,
      },
    )
    if (link.kind === "duplicate") {
      return { verdict: "duplicate", rule: null, entry: this.places[seq - 1]!.entry, payload: null }
    }
    if (link.kind !== "next") return refuse(link.kind, link.rule)
    this.places.push(place)
    this.head = { seq, entry }
    const payload = readPayload(statement)
    const isAheadOfTime = isAhead(statement.iat, payload, receivedAtMs)
    return {
      verdict: verdictOfNext(payload.kind === "unread", isAheadOfTime),
      rule: null,
      entry,
      payload,
    }
  }
}

function refuse(verdict: Verdict, rule: string): Folded {
  return { verdict, rule, entry: null, payload: null }
}
