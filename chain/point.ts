/** What may stand as a point of Ed25519, decided by comparing bytes (FORMAT §2). */
import { parseHex } from "./bytes.ts"

/** Why 32 bytes may stand neither as A nor as R, or null: canonical (y < p) and none of the 14 small-order encodings. */
export function ed25519PointFault(encoded: Uint8Array): string | null {
  if (encoded.length !== 32) return "does not have 32 bytes"
  // y with the sign bit masked. Its bytes are the encoding's but for the last, so that no copy need be made.
  const last = encoded[31]! & 0x7f
  if (last === 0x7f && !isBelowPrime(encoded)) return "is not canonical"
  for (const small of smallOrderYs) {
    if (last === small[31] && equalBut(encoded, small)) return "is a point of small order"
  }
  return null
}

/** Whether y < p, where the last byte is p's: then the others decide, from the highest down. */
function isBelowPrime(encoded: Uint8Array): boolean {
  for (let index = 30; index > 0; index--) if (encoded[index]! !== 0xff) return true
  return encoded[0]! < ed25519Prime[0]!
}

/** Whether all bytes but the last are equal. */
function equalBut(encoded: Uint8Array, small: Uint8Array): boolean {
  for (let index = 0; index < 31; index++) if (encoded[index] !== small[index]) return false
  return true
}

const fromHex = (text: string): Uint8Array => parseHex(text)!

/** p = 2^255 - 19 and L, little-endian (RFC 8032 §5.1). */
const ed25519Prime = fromHex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
export const ed25519Order = fromHex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")

/**
 * The y of the points of order 1, 2, 4 and 8, little-endian, canonical only (the others fail before); with either sign
 * bit they are the small-order encodings: 1, p - 1, 0, and the two of order 8.
 */
const smallOrderYs = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
].map(fromHex)

/** Both little-endian and of the same length. */
export function isBelowLittleEndian(value: Uint8Array, bound: Uint8Array): boolean {
  for (let index = bound.length - 1; index >= 0; index--) {
    if (value[index]! !== bound[index]!) return value[index]! < bound[index]!
  }
  return false
}
