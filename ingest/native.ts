/**
 * The arithmetic of `chain/` by libsodium and node:crypto. PROTOCOL §2 holds only where these stand behind
 * `checkSignatureForm`: alone they accept other sets of signatures, and node:crypto not the same one on every Node.
 */
import { createHmac, hash, verify } from "node:crypto"
import { type Hash, type Sha256, hashSize } from "../chain/hash.ts"
import type { Hmac } from "../chain/heads.ts"
import { type PublicKey, algorithmEd25519 } from "../chain/key.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import { keyObjectOf, verifyEd25519, verifyP256 } from "./equation.js"

export { sodiumMissing } from "./equation.js"

/** On this thread: about 54 µs for Ed25519 (115 without libsodium) and 70 µs for P-256, and nothing else runs meanwhile. */
export const verifyNative: VerifyEquation = ({ algorithm, bytes }, message, signature) =>
  algorithm === algorithmEd25519
    ? verifyEd25519(bytes, message, signature)
    : verifyP256(bytes, message, signature)

/**
 * The same on libuv's pool, by node:crypto, where one comes at a time: many at once are `Verifier`'s. node:crypto copies
 * message and signature before this returns. Rejects only where node:crypto itself fails.
 */
export function verifyNativeAsync(
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const keyObject = keyObjectOf(key.bytes)
  if (keyObject === null) return Promise.resolve(false)
  // Ed25519 takes the message itself, ECDSA its SHA-256.
  const digest = key.algorithm === algorithmEd25519 ? null : "sha256"
  return new Promise((resolve, reject) => {
    verify(digest, message, { key: keyObject, dsaEncoding: "ieee-p1363" }, signature, (error, isValid) => {
      if (error === null) resolve(isValid)
      else reject(error)
    })
  })
}

/**
 * One-shot `hash`, as text of a byte a character: 0.36 µs for 65 bytes. As a Buffer it takes 0.85, which go into making
 * the Buffer; createHash takes 1.2 and noble 1.7.
 */
export const sha256Native: Sha256 = (bytes) => {
  const digest = hash("sha256", bytes, "binary")
  const copy = new Uint8Array(hashSize)
  for (let index = 0; index < hashSize; index++) copy[index] = digest.charCodeAt(index)
  return copy as Hash
}

export const hmacNative: Hmac = (key, message) => plain(createHmac("sha256", key).update(message).digest())

/** `chain/` speaks Uint8Array: a Buffer's `slice` and equality are others. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
