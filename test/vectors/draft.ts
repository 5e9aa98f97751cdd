/** A statement put together by hand: all of it right but for the part that a vector replaces, and signed as it stands. */
import { joinBytes } from "../../chain/bytes.ts"
import { type Hash, zeroHash } from "../../chain/hash.ts"
import { type PrivateKey, kidOf } from "../../chain/key.ts"
import { signMessage } from "../../chain/signature.ts"
import { type Statement, contentSenml, entryOf, signStatement } from "../../chain/statement.ts"
import { type Item, type Pairs, array, bytes, hex, int, map, record, text } from "./items.ts"
import { edKey } from "./keys.ts"

/** 2025-06-01T08:00:00Z: when the devices of the vectors spoke. The service heard them two seconds later. */
export const spokenAt = Date.UTC(2025, 5, 1, 8) / 1000
export const heardAt = spokenAt + 2
/** 2200-01-01T00:00:00Z: ahead of any clock that runs these. */
export const farAhead = Date.UTC(2200, 0, 1) / 1000

/** One reading of the vectors: a heart rate at `time`. */
export function heartRatePack(time: number, value = 72): Uint8Array {
  return array(record({ n: "heart-rate", u: "beat/min", v: value, t: time }))
}

/** What a draft may replace. Pairs and items are encoded; `signature` is given what was rightly signed. */
export interface DraftParts {
  readonly key?: PrivateKey
  readonly iss?: string
  readonly sub?: string
  readonly iat?: number
  readonly seq?: number
  readonly prev?: Hash
  /** The content type, encoded. */
  readonly content?: Item
  readonly payload?: Uint8Array
  readonly claims?: (pairs: Pairs) => Pairs
  readonly claimsItem?: (pairs: Pairs) => Item
  readonly header?: (pairs: Pairs) => Pairs
  readonly headerBytes?: (pairs: Pairs) => Uint8Array
  readonly start?: Uint8Array
  readonly protectedItem?: (headerBytes: Uint8Array) => Item
  readonly unprotected?: Item
  readonly payloadItem?: (payload: Uint8Array) => Item
  /** What is signed in place of the Sig_structure. */
  readonly signed?: (headerBytes: Uint8Array, payload: Uint8Array) => Uint8Array
  readonly signature?: (signature: Uint8Array, message: Uint8Array) => Uint8Array
  readonly signatureItem?: (signature: Uint8Array) => Item
  readonly whole?: (statement: Uint8Array) => Uint8Array
}

/** RFC 9052 §4.4, spelled out once more on purpose: the vectors do not lean on the encoder that they test. */
export function sigStructure(headerBytes: Uint8Array, payload: Uint8Array): Uint8Array {
  return array(text("Signature1"), bytes(headerBytes), bytes(new Uint8Array(0)), bytes(payload))
}

export function draftStatement(device: string, parts: DraftParts = {}): Uint8Array {
  const key = parts.key ?? edKey
  const iat = parts.iat ?? spokenAt
  const claims: Pairs = [
    [int(1), text(parts.iss ?? device)],
    [int(2), text(parts.sub ?? device)],
    [int(6), int(iat)],
    [int(-65_537), int(parts.seq ?? 1)],
    [int(-65_538), bytes(parts.prev ?? zeroHash)],
  ]
  const claimsItem = parts.claimsItem?.(claims) ?? map(parts.claims?.(claims) ?? claims)
  const header: Pairs = [
    [int(1), int(key.publicKey.algorithm)],
    [int(3), parts.content ?? int(contentSenml)],
    [int(4), bytes(kidOf(key.publicKey))],
    [int(15), claimsItem],
  ]
  const headerBytes = parts.headerBytes?.(header) ?? map(parts.header?.(header) ?? header)
  const payload = parts.payload ?? heartRatePack(iat)
  const message = (parts.signed ?? sigStructure)(headerBytes, payload)
  const right = signMessage(key, message)
  const signature = parts.signature?.(right, message) ?? right
  const statement = joinBytes(
    parts.start ?? hex("d2 84"),
    parts.protectedItem?.(headerBytes) ?? bytes(headerBytes),
    parts.unprotected ?? hex("a0"),
    parts.payloadItem?.(payload) ?? bytes(payload),
    parts.signatureItem?.(signature) ?? bytes(signature),
  )
  return parts.whole?.(statement) ?? statement
}

/** The first statements of an honest device, as the product's own signer makes them. */
export function honestHistory(device: string, count: number, key: PrivateKey = edKey): Statement[] {
  const history: Statement[] = []
  for (let seq = 1; seq <= count; seq++) {
    const before = history.at(-1)
    history.push(
      signStatement(
        {
          content: contentSenml,
          iss: device,
          sub: device,
          iat: spokenAt - 60 * (count - seq + 1),
          seq,
          prev: before === undefined ? zeroHash : entryOf(before.bytes),
          payload: heartRatePack(spokenAt - 60 * (count - seq + 1), 60 + seq),
        },
        key,
      ),
    )
  }
  return history
}

/** Without the pair of this label. */
export function without(pairs: Pairs, label: number): Pairs {
  const key = int(label).join()
  return pairs.filter(([other]) => other.join() !== key)
}

/** With another value for this label. */
export function withValue(pairs: Pairs, label: number, value: Item): Pairs {
  const key = int(label).join()
  return pairs.map(([other, old]) => [other, other.join() === key ? value : old] as const)
}
