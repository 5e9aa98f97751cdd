/**
 * The equation of a signature by native code, on whatever thread imports this. JavaScript and without imports of ours:
 * a thread is loaded by Node itself, also where our sources are TypeScript. FORMAT §2 holds only where this stands
 * behind `checkSignatureForm`: alone each of these accepts another set, and node:crypto not the same one on every Node.
 */
import { Buffer } from "node:buffer"
import { createPublicKey, verify } from "node:crypto"
import { createRequire } from "node:module"

/** @import { KeyObject } from "node:crypto" */

/**
 * The equation alone: an Ed25519 key of 32 bytes (cofactorless), or x and y of a P-256 key (ECDSA with SHA-256 on
 * `r ‖ s`), and a signature of 64 bytes. Never throws on these.
 *
 * @callback Equation
 * @param {Uint8Array} key
 * @param {Uint8Array} message
 * @param {Uint8Array} signature
 * @returns {boolean}
 */

/** @typedef {{ crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, key: Uint8Array): boolean | undefined }} Sodium */

/** Keys that stay parsed. To parse one costs about as much as to verify by it, and to keep it 1 to 3 KB. */
export const keyObjectsMax = 16_384

/**
 * By its bytes, the oldest first; null for bytes that are no key, which a device may try again and again.
 *
 * @type {Map<string, KeyObject | null>}
 */
const keyObjects = new Map()

/** @param {Uint8Array} key */
export function keyObjectOf(key) {
  const name = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1")
  const known = keyObjects.get(name)
  if (known !== undefined) return known
  const made = makeKeyObject(key)
  if (keyObjects.size >= keyObjectsMax) {
    const [oldest] = keyObjects.keys()
    if (oldest !== undefined) keyObjects.delete(oldest)
  }
  keyObjects.set(name, made)
  return made
}

/** @param {Uint8Array} key */
function makeKeyObject(key) {
  /** @param {number} from */
  const coordinate = (from) => Buffer.from(key.subarray(from, from + 32)).toString("base64url")
  const members =
    key.length === 32
      ? { kty: "OKP", crv: "Ed25519", x: coordinate(0) }
      : { kty: "EC", crv: "P-256", x: coordinate(0), y: coordinate(32) }
  try {
    return createPublicKey({ key: members, format: "jwk" })
  } catch {
    // OpenSSL refuses a P-256 point that is off the curve. It verifies nothing.
    return null
  }
}

/**
 * By OpenSSL: about 115 µs.
 *
 * @type {Equation}
 */
export const verifyEd25519ByNode = (key, message, signature) => {
  const keyObject = keyObjectOf(key)
  return keyObject !== null && verify(null, message, keyObject, signature)
}

/**
 * By OpenSSL: about 70 µs.
 *
 * @type {Equation}
 */
export const verifyP256 = (key, message, signature) => {
  const keyObject = keyObjectOf(key)
  return (
    keyObject !== null && verify("sha256", message, { key: keyObject, dsaEncoding: "ieee-p1363" }, signature)
  )
}

const { sodium, reason } = loadSodium()

/**
 * By libsodium: about 54 µs on the same machine; null where the addon has no build for this platform.
 *
 * @type {Equation | null}
 */
export const verifyEd25519BySodium =
  sodium === null
    ? null
    : // Its arguments' sizes are asserted in C, and a wrong one would end the process.
      (key, message, signature) =>
        key.length === 32 &&
        signature.length === 64 &&
        sodium.crypto_sign_verify_detached(signature, message, key) === true

/** The faster one of the two that there is. */
export const verifyEd25519 = verifyEd25519BySodium ?? verifyEd25519ByNode

/** Why libsodium could not be loaded, or null where it was. */
export const sodiumMissing = reason

/** @returns {{ readonly sodium: Sodium | null, readonly reason: string | null }} */
function loadSodium() {
  try {
    return { sodium: createRequire(import.meta.url)("sodium-native"), reason: null }
  } catch (error) {
    const [line = ""] = String(error instanceof Error ? error.message : error).split("\n")
    return { sodium: null, reason: line }
  }
}
