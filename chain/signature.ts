/**
 * One signature law for everybody (FORMAT §2). What is checked here by comparing bytes, and the equation by noble or
 * by a native verifier, accepts the same set of signatures on every Node, in the browser and in the service.
 */
import { ed25519 } from "@noble/curves/ed25519.js"
import { p256 } from "@noble/curves/nist.js"
import { sha512 } from "@noble/hashes/sha2.js"
import { equalBytes, joinBytes, parseHex } from "./bytes.ts"
import { type Algorithm, type PrivateKey, type PublicKey, algorithmEd25519 } from "./key.ts"
import { ed25519Order, ed25519PointFault, isBelowLittleEndian } from "./point.ts"

export const signatureSize = 64

/**
 * The equation alone: given canonical inputs, does the signature verify? Ed25519 cofactorless, ECDSA with SHA-256 on raw
 * `r ‖ s` and s of any height. Never throws on 64 bytes and a key that was enrolled.
 */
export type VerifyEquation = (key: PublicKey, message: Uint8Array, signature: Uint8Array) => boolean

/** How a signature stands: `high-s` would be good with s replaced by n - s. */
export type SignatureVerdict = "good" | "bad" | "high-s"

/**
 * The law of FORMAT §2.
 *
 * @param algorithm what the statement says; one that does not fit the key is `bad`
 * @param verify the equation; noble's by default, a native one in the service
 */
export function checkSignature(
  key: PublicKey,
  algorithm: Algorithm,
  message: Uint8Array,
  signature: Uint8Array,
  verify: VerifyEquation = verifyEquation,
): SignatureVerdict {
  const form = checkSignatureForm(key, algorithm, signature)
  if (form === "bad" || !verify(key, message, signature)) return "bad"
  return form
}

/** The part of the law that needs no curve arithmetic, so that a native verifier can do the rest elsewhere. */
export function checkSignatureForm(
  key: PublicKey,
  algorithm: Algorithm,
  signature: Uint8Array,
): SignatureVerdict {
  if (algorithm !== key.algorithm || signature.length !== signatureSize) return "bad"
  if (algorithm === algorithmEd25519) {
    const isCanonical =
      ed25519PointFault(signature.subarray(0, 32)) === null &&
      ed25519PointFault(key.bytes) === null &&
      isBelowLittleEndian(signature.subarray(32), ed25519Order)
    return isCanonical ? "good" : "bad"
  }
  // SEC 1 §4.1.4: r and s from 1 to n - 1.
  const r = signature.subarray(0, 32)
  const s = signature.subarray(32)
  if (isZero(r) || isZero(s) || !isBelowBigEndian(r, p256Order) || !isBelowBigEndian(s, p256Order))
    return "bad"
  return isBelowBigEndian(p256HalfOrder, s) ? "high-s" : "good"
}

/** The equation by noble's arithmetic, not by its `verify()`, whose laws are others. */
export const verifyEquation: VerifyEquation = (key, message, signature) => {
  if (key.algorithm !== algorithmEd25519) {
    const point = joinBytes(Uint8Array.of(4), key.bytes)
    return p256.verify(signature, message, point, { prehash: true, lowS: false, format: "compact" })
  }
  const r = signature.subarray(0, 32)
  const { Point } = ed25519
  try {
    const a = Point.fromBytes(key.bytes, false)
    const k = Point.Fn.create(littleEndian(sha512(joinBytes(r, key.bytes, message))))
    const s = littleEndian(signature.subarray(32))
    // [S]B - [k]A, encoded, is R to the byte: RFC 8032 §5.1.7 without the cofactor. multiplyUnsafe takes zero.
    const product = Point.BASE.multiplyUnsafe(s).add(a.multiplyUnsafe(k).negate())
    return equalBytes(product.toBytes(), r)
  } catch {
    // A key that is not a point of the curve verifies nothing.
    return false
  }
}

/** Signs as a device must: Ed25519 of RFC 8032, or ECDSA by RFC 6979 with s at most n / 2. */
export function signMessage(key: PrivateKey, message: Uint8Array): Uint8Array {
  return key.publicKey.algorithm === algorithmEd25519
    ? ed25519.sign(message, key.secret)
    : p256.sign(message, key.secret, { prehash: true, lowS: true, format: "compact" })
}

/** The other signature of a P-256 pair: s replaced by n - s. What node:crypto and secure elements emit half of the time. */
export function negateS(signature: Uint8Array): Uint8Array {
  const negated = Uint8Array.from(signature)
  let borrow = 0
  for (let index = 31; index >= 0; index--) {
    const difference = p256Order[index]! - signature[32 + index]! - borrow
    borrow = difference < 0 ? 1 : 0
    negated[32 + index] = difference & 255
  }
  return negated
}

const fromHex = (text: string): Uint8Array => parseHex(text)!

/** n of P-256 and floor(n / 2), big-endian (FIPS 186-5 via SP 800-186 §3.2.1.3). */
const p256Order = fromHex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
const p256HalfOrder = fromHex("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8")

function isBelowBigEndian(value: Uint8Array, bound: Uint8Array): boolean {
  for (let index = 0; index < bound.length; index++) {
    if (value[index]! !== bound[index]!) return value[index]! < bound[index]!
  }
  return false
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n
  for (let index = bytes.length - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index]!)
  return value
}
