/**
 * The arithmetic of `chain/` by libsodium and node:crypto. FORMAT §2 holds only where these stand behind
 * `checkSignatureForm`: alone they accept other sets of signatures, and node:crypto not the same one on every Node.
 */
import { hash, verify } from "node:crypto"
import { equalBytes } from "../chain/bytes.ts"
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

const blockSize = 64

/** A key as HMAC uses it (RFC 2104 §2): xored with 36 and 5c, each in front of what is hashed behind it. */
interface KeyPads {
  readonly key: Uint8Array
  inner: Uint8Array
  readonly outer: Uint8Array
}

let lastPads: KeyPads | null = null

function padsOf(key: Uint8Array): KeyPads {
  if (lastPads !== null && equalBytes(lastPads.key, key)) return lastPads
  const short = key.length > blockSize ? sha256Native(key) : key
  const inner = new Uint8Array(1024).fill(0x36, 0, blockSize)
  const outer = new Uint8Array(blockSize + hashSize).fill(0x5c, 0, blockSize)
  for (const [index, byte] of short.entries()) {
    inner[index]! ^= byte
    outer[index]! ^= byte
  }
  lastPads = { key: Uint8Array.from(key), inner, outer }
  return lastPads
}

/** By two one-shot hashes: 1.3 µs for 500 bytes, where createHmac takes 6. A log has one such key. */
export const hmacNative: Hmac = (key, message) => {
  const pads = padsOf(key)
  const size = blockSize + message.length
  if (size > pads.inner.length) {
    const grown = new Uint8Array(2 * size)
    grown.set(pads.inner.subarray(0, blockSize))
    pads.inner = grown
  }
  pads.inner.set(message, blockSize)
  pads.outer.set(sha256Native(pads.inner.subarray(0, size)), blockSize)
  return sha256Native(pads.outer)
}
