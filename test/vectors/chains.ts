/** Whole histories of one device: what came, in order of arrival, and what a service must say to each. */
import { formatHex } from "../../chain/bytes.ts"
import { type DeviceRecord, applyRegistry } from "../../chain/device.ts"
import { type ChainBinding, firstPrevOf } from "../../chain/genesis.ts"
import { type Hash, sha256, zeroHash } from "../../chain/hash.ts"
import { type PrivateKey, encodeCoseKey } from "../../chain/key.ts"
import type { DeviceStatus } from "../../chain/link.ts"
import { type Registry, encodeRegistry } from "../../chain/registry.ts"
import { entryOf } from "../../chain/statement.ts"
import { p256 } from "@noble/curves/nist.js"
import { negateS } from "../../chain/signature.ts"
import { type DraftParts, draftStatement, farAhead, heardAt, heartRatePack, spokenAt } from "./draft.ts"
import { hex } from "./items.ts"
import { type KeyInFile, ecKey, edKey, edKeyNext, strangerKey, vectorOrigin } from "./keys.ts"

/** A message of the device, or something that the operator said about it. */
export type Step = StatementStep | OperatorStep

export interface StatementStep {
  readonly says: string
  readonly statement: string
  readonly verdict: number
  /** The head behind this verdict. */
  readonly head: { readonly seq: number; readonly entry: string }
}

export interface OperatorStep {
  readonly says: string
  readonly operator: {
    readonly action: "enrol" | "rotate" | "revoke" | "suspend" | "resume"
    readonly coseKey?: string
    readonly firstSeq?: number
    readonly lastGoodSeq?: number
  }
  /** The device's standing after it. */
  readonly status: DeviceStatus
  readonly keys: readonly KeyInFile[]
}

export interface ChainVector {
  readonly description: string
  readonly rule: string
  readonly device: string
  readonly origin: string
  /** Of the protocol, and the log's vkey; absent in vectors of version 1. */
  readonly version?: 2
  readonly vkey?: string
  /** The service's clock for all of it, Unix seconds. */
  readonly now: number
  readonly steps: readonly Step[]
}

/** Writes down a history. It knows what it meant to be accepted; whether that is right is for the test's fold to say. */
export class Story {
  private readonly name: string
  private readonly binding: ChainBinding | null
  private readonly steps: Step[] = []
  private readonly kept: Uint8Array[] = []
  private record: DeviceRecord | null = null

  /** @param binding of the log; null: it has version 1 */
  constructor(name: string, binding: ChainBinding | null = null) {
    this.name = name
    this.binding = binding
  }

  enrol(key: PrivateKey = edKey): this {
    return this.operate("the device is enrolled", { action: "enrol", key: key.publicKey, firstSeq: 1 })
  }

  rotate(key: PrivateKey, firstSeq: number): this {
    return this.operate(`its next key stands from seq ${firstSeq}`, {
      action: "rotate",
      key: key.publicKey,
      firstSeq,
    })
  }

  revoke(lastGoodSeq?: number): this {
    return lastGoodSeq === undefined
      ? this.operate("the device is revoked", { action: "revoke" })
      : this.operate(`its key is revoked above seq ${lastGoodSeq}`, { action: "revoke", lastGoodSeq })
  }

  suspend(): this {
    return this.operate("the device is suspended", { action: "suspend" })
  }

  resume(): this {
    return this.operate("the device is resumed", { action: "resume" })
  }

  /** The next statement of an honest device, which is accepted with this code. */
  next(says: string, parts: DraftParts = {}, verdict = 1): this {
    const statement = this.make({ ...parts })
    this.kept.push(statement)
    return this.arrive(says, statement, verdict)
  }

  /** A statement that changes nothing: its parts, on top of those of the next one, say why. */
  other(says: string, parts: DraftParts, verdict: number): this {
    return this.arrive(says, this.make(parts), verdict)
  }

  /** The stored statement of this seq once more. */
  again(says: string, seq: number, verdict = 2): this {
    return this.arrive(says, this.kept[seq - 1]!, verdict)
  }

  entry(seq: number): Hash {
    if (seq > 0) return entryOf(this.kept[seq - 1]!)
    return this.binding === null ? zeroHash : firstPrevOf(this.binding, this.name)
  }

  /** The next statement, or what these parts make of it, without sending it. */
  make(parts: DraftParts = {}): Uint8Array {
    const seq = parts.seq ?? this.kept.length + 1
    const iat = parts.iat ?? spokenAt - 3600 + 60 * seq
    return draftStatement(this.name, {
      seq,
      iat,
      prev: parts.prev ?? this.entry(Math.min(seq - 1, this.kept.length)),
      payload: heartRatePack(spokenAt - 3600 + 60 * seq, 60 + seq),
      ...parts,
    })
  }

  /** Takes a statement that was made for accepted, without writing it down. */
  keep(statement: Uint8Array): void {
    this.kept.push(statement)
  }

  arrive(says: string, statement: Uint8Array, verdict: number): this {
    const seq = this.kept.length
    this.steps.push({
      says,
      statement: formatHex(statement),
      verdict,
      head: { seq, entry: formatHex(this.entry(seq)) },
    })
    return this
  }

  tell(description: string, rule = "§4"): ChainVector {
    const { name: device, steps, binding } = this
    const log = binding === null ? {} : ({ version: 2, vkey: binding.logVkey } as const)
    return { description, rule, device, origin: vectorOrigin, ...log, now: heardAt, steps }
  }

  private operate(says: string, order: Pick<Registry, "action" | "key" | "firstSeq" | "lastGoodSeq">): this {
    const registry: Registry = { ...order, device: this.name, previous: this.record?.registry ?? zeroHash }
    const applied = applyRegistry(this.record, registry, {
      origin: vectorOrigin,
      // Of the operator's statement in a real log; here only something that names this step.
      entry: sha256(encodeRegistry(registry)),
      headSeq: this.kept.length,
    })
    if (applied.kind === "refused") throw new Error(`${this.name}: ${applied.rule}`)
    this.record = applied.record
    const { action, key, firstSeq, lastGoodSeq } = order
    this.steps.push({
      says,
      operator: {
        action: action as OperatorStep["operator"]["action"],
        ...(key === undefined ? {} : { coseKey: formatHex(encodeCoseKey(key)) }),
        ...(firstSeq === undefined ? {} : { firstSeq }),
        ...(lastGoodSeq === undefined ? {} : { lastGoodSeq }),
      },
      status: applied.record.status,
      keys: applied.record.keys.map((enrolled) => ({
        coseKey: formatHex(encodeCoseKey(enrolled.key)),
        kid: formatHex(enrolled.kid),
        firstSeq: enrolled.firstSeq,
        lastSeq: enrolled.lastSeq,
        endedBy: enrolled.endedBy,
      })),
    })
    return this
  }
}

/** Another good signature over the same bytes: ECDSA with a nonce of its own, and s low as it must be. */
function signedAgain(_: Uint8Array, message: Uint8Array): Uint8Array {
  return p256.sign(message, ecKey.secret, {
    prehash: true,
    lowS: true,
    format: "compact",
    // RFC 6979 §3.6: extra data gives another nonce.
    extraEntropy: sha256(message),
  })
}

const otherPayload = heartRatePack(spokenAt, 199)

function story(name: string): Story {
  return new Story(`chain-${name}`)
}

export function chainVectors(): ChainVector[] {
  const stories: ChainVector[] = []

  stories.push(
    story("honest")
      .enrol()
      .next("the first")
      .next("the second")
      .next("the third")
      .next("the fourth")
      .tell("An honest device on a good day."),
  )
  stories.push(
    story("duplicates")
      .enrol()
      .next("the first")
      .again("its retry", 1)
      .next("the second")
      .next("the third")
      .again("a late copy of the first", 1)
      .again("a late copy of the second", 2)
      .again("a retry of the head", 3)
      .next("the fourth")
      .tell("Copies that come late are duplicates, and never a fork."),
  )
  stories.push(
    story("re-signed")
      .enrol(ecKey)
      .next("the first", { key: ecKey })
      .other(
        "the first, signed again: the same signed bytes, another signature",
        { key: ecKey, seq: 1, prev: zeroHash, signature: signedAgain },
        2,
      )
      .next("the second links to what was stored", { key: ecKey })
      .other(
        "a second that links to the signature that was not stored",
        {
          key: ecKey,
          seq: 2,
          prev: entryOf(
            draftStatement("chain-re-signed", {
              key: ecKey,
              iat: spokenAt - 3540,
              payload: heartRatePack(spokenAt - 3540, 61),
              signature: signedAgain,
            }),
          ),
        },
        21,
      )
      .tell("A P-256 device that lost its bytes and signed the same place once more is not a fork."),
  )
  stories.push(
    story("gap-filled")
      .enrol()
      .next("the first")
      .other("the third before the second", { seq: 3, prev: sha256(hex("02")) }, 20)
      .next("the second")
      .next("the third")
      .other("the sixth, far too early", { seq: 6, prev: sha256(hex("05")) }, 20)
      .tell("A gap is refused and changes nothing: the device goes on from head + 1."),
  )
  stories.push(
    story("begins-late")
      .enrol()
      .other("seq 2 of a device that never said seq 1", { seq: 2, prev: zeroHash }, 20)
      .other("seq 1 with a prev that is not zeros", { seq: 1, prev: sha256(hex("00")) }, 21)
      .next("the first, made anew")
      .tell("A chain begins with seq 1 and zeros."),
  )
  stories.push(
    story("broken-link")
      .enrol()
      .next("the first")
      .next("the second")
      .other("a third that links to the first", { prev: sha256(hex("77")) }, 21)
      .other("a second with a prev of another history", { seq: 2, prev: sha256(hex("78")) }, 21)
      .next("the third, made anew")
      .tell("What does not link is broken, at the head and below it."),
  )
  stories.push(
    story("fork-at-the-head")
      .enrol()
      .next("the first")
      .next("the second")
      .other("another second on the same prev", { seq: 2, payload: otherPayload }, 22)
      .next("the third links to what was stored")
      .tell("Two signed bytes for one place by one key: the first stays, the second is evidence."),
  )
  stories.push(
    story("fork-below-the-head")
      .enrol()
      .next("the first")
      .next("the second")
      .next("the third")
      .other("another first", { seq: 1, prev: zeroHash, payload: otherPayload }, 22)
      .other("another second", { seq: 2, payload: otherPayload }, 22)
      .other(
        "a third on top of the other second: its prev is stored nowhere",
        { seq: 3, prev: sha256(hex("79")) },
        21,
      )
      .tell("A second history begins with a fork; what is built on it is broken."),
  )
  stories.push(
    story("rotation")
      .enrol()
      .next("the first")
      .rotate(ecKey, 3)
      .other("the next key before its time", { key: ecKey }, 13)
      .next("the second, by the old key up to its end")
      .other("the third by the old key", {}, 13)
      .next("the third, by the next key", { key: ecKey })
      .again("a late copy of the second, under the old key", 2)
      .other(
        "a fork of the first under the old key is one still",
        { seq: 1, prev: zeroHash, payload: otherPayload },
        22,
      )
      .other("the second by the next key", { seq: 2, key: ecKey }, 13)
      .rotate(edKeyNext, 4)
      .next("the fourth, by a third key", { key: edKeyNext })
      .tell("For one seq at most one key stands.", "§7"),
  )
  stories.push(
    story("revoked-beyond-a-seq")
      .enrol()
      .next("the first")
      .next("the second")
      .next("the third, by whoever stole the key")
      .revoke(2)
      .other("the fourth", {}, 14)
      .again("the third once more: it is stored, though revoked", 3)
      .again("the second once more", 2)
      .other("another third", { seq: 3, payload: otherPayload }, 14)
      .other("another second is a fork: its seq is good", { seq: 2, payload: otherPayload }, 22)
      .other(
        "a bad signature beyond the last good seq is a bad signature",
        { signature: () => new Uint8Array(64) },
        15,
      )
      .rotate(edKeyNext, 4)
      .next("the fourth, by the next key, on top of the third", { key: edKeyNext })
      .tell("What lies beyond the last good seq stays; anything new there is revoked.", "§7"),
  )
  stories.push(
    story("key-cut-off-before-it-began")
      .enrol()
      .next("the first")
      .next("the second")
      .rotate(ecKey, 6)
      .revoke(1)
      .other("the third, by the key that was cut off", {}, 14)
      .other("the third, by the key that was announced", { key: ecKey }, 13)
      .other("the sixth by it: it was revoked before it began", { key: ecKey, seq: 6, prev: sha256(hex("05")) }, 14)
      .rotate(edKeyNext, 3)
      .next("the third, by a new key behind the head", { key: edKeyNext })
      .tell("A key that a revocation cut off before its first seq is in no other key's way.", "§7"),
  )
  stories.push(
    story("revoked-device")
      .enrol()
      .next("the first")
      .revoke()
      .again("the first once more", 1)
      .other("the second", {}, 14)
      .other("another first", { seq: 1, prev: zeroHash, payload: otherPayload }, 14)
      .other("a gap", { seq: 5, prev: sha256(hex("04")) }, 14)
      .other("a stranger's", { key: strangerKey }, 13)
      .tell("A revoked device is told so, and only then anything about its chain.", "§7"),
  )
  stories.push(
    story("suspended")
      .enrol()
      .next("the first")
      .suspend()
      .again("the first once more", 1)
      .other("the second", {}, 40)
      .other("another first", { seq: 1, prev: zeroHash, payload: otherPayload }, 40)
      .other("a gap", { seq: 5, prev: sha256(hex("04")) }, 40)
      .resume()
      .next("the second, byte for byte as it was refused")
      .suspend()
      .revoke()
      .other("the third", {}, 14)
      .tell("A suspended device waits; nothing is lost by it.", "§7"),
  )
  stories.push(
    story("unread-in-the-middle")
      .enrol()
      .next("the first")
      .next("one whose pack is cut", { payload: heartRatePack(spokenAt).slice(0, -1) }, 3)
      .again("its retry is a duplicate like any other", 2)
      .next("the third")
      .next("one whose clock ran away", { iat: farAhead, payload: heartRatePack(farAhead) }, 4)
      .next("the fifth, by a mended clock")
      .tell("What a payload says never stops its chain."),
  )
  stories.push(
    story("refusals-change-nothing")
      .enrol(ecKey)
      .next("the first", { key: ecKey })
      .other("the second with s above n / 2", { key: ecKey, signature: negateS }, 17)
      .other("the second with a bad signature", { key: ecKey, signature: () => hex("01".repeat(64)) }, 15)
      .other("the second in another device's name", { key: ecKey, iss: "another-device" }, 12)
      .other("the second by a key never enrolled", { key: strangerKey }, 13)
      .arrive("no statement at all", hex("a0"), 10)
      .arrive("65,536 bytes", new Uint8Array(65_536), 11)
      .next("the second at last, with s mended", { key: ecKey })
      .tell("Every refusal, and the chain goes on as if it had not been."),
  )
  stories.push(
    story("order-of-checks")
      .enrol()
      .next("the first")
      .arrive("too large goes before malformed", new Uint8Array(70_000), 11)
      .other("malformed goes before wrong device", { iss: "another-device", unprotected: hex("80") }, 10)
      .other("wrong device goes before unknown key", { iss: "another-device", key: strangerKey }, 12)
      .other(
        "unknown key goes before bad signature",
        { key: strangerKey, signature: () => new Uint8Array(64) },
        13,
      )
      .other("bad signature goes before gap", { seq: 9, signature: () => new Uint8Array(64) }, 15)
      .other(
        "bad signature goes before fork",
        { seq: 1, prev: zeroHash, payload: otherPayload, signature: () => new Uint8Array(64) },
        15,
      )
      .other("gap goes before an unread payload", { seq: 9, payload: hex("ff") }, 20)
      .other("fork goes before an unread payload", { seq: 1, prev: zeroHash, payload: hex("ff") }, 22)
      .next("unread goes before ahead", { iat: farAhead, payload: hex("ff") }, 3)
      .tell("Where two things are wrong, the first check speaks."),
  )
  return stories
}
