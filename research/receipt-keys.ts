/** SCRAPI (draft-ietf-scitt-scrapi): the key that COSE Receipts are signed by, as those who check them look it up. */
import { equalBytes, parseBase64url, parseHex } from "../chain/bytes.ts"
import { type CborInput, encodeCbor } from "../chain/cbor.ts"
import { type PublicKey, coseKeyMap, kidOf } from "../chain/key.ts"

/** A COSE_Key Set (RFC 9052 §7): an array of keys, each with its kid. */
export function encodeReceiptKeys(keys: readonly PublicKey[]): Uint8Array {
  return encodeCbor(keys.map(keyWithKid))
}

/** One COSE_Key with its kid. */
export function encodeReceiptKey(key: PublicKey): Uint8Array {
  return encodeCbor(keyWithKid(key))
}

/** Label 2 is the kid that receipts carry in their protected header. */
function keyWithKid(key: PublicKey): ReadonlyMap<number, CborInput> {
  return new Map([...coseKeyMap(key), [2, kidOf(key)]])
}

/** A kid in a path: base64url without padding, as the draft has it for bytes that are not safe in a URL; or hex. */
export function isReceiptKid(text: string, key: PublicKey): boolean {
  const kid = kidOf(key)
  return [parseBase64url(text), parseHex(text)].some((bytes) => bytes !== null && equalBytes(bytes, kid))
}

/** Concise problem details (RFC 9290): -1 is the title, -2 the detail. */
export function noSuchKey(): Uint8Array {
  return encodeCbor(
    new Map([
      [-1, "No such key"],
      [-2, "this service signs its receipts by another key"],
    ]),
  )
}
