/**
 * The arithmetic of `chain/` by node:crypto. PROTOCOL §2 holds only where these stand behind `checkSignatureForm`: alone
 * they accept another set of signatures, and not the same one on every Node.
 */
import { type KeyObject, createHmac, createPublicKey, hash, verify } from "node:crypto"
import type { Hash, Sha256 } from "../chain/hash.ts"
import type { Hmac } from "../chain/heads.ts"
import { type PublicKey, algorithmEd25519 } from "../chain/key.ts"
import { encodeSpki } from "../chain/keyfile.ts"
import type { VerifyEquation } from "../chain/signature.ts"

/** Keys that stay parsed. To parse one costs about as much as to verify by it, and to keep it 1 to 3 KB. */
export const keyObjectsMax = 16_384

/** By algorithm and bytes, the oldest first; null for bytes that are no key, which a device may try again and again. */
const keyObjects = new Map<string, KeyObject | null>()

function keyObjectOf(key: PublicKey): KeyObject | null {
  const { buffer, byteOffset, byteLength } = key.bytes
  const name = `${key.algorithm}${Buffer.from(buffer, byteOffset, byteLength).toString("latin1")}`
  const known = keyObjects.get(name)
  if (known !== undefined) return known
  const made = makeKeyObject(key)
  if (keyObjects.size >= keyObjectsMax) {
    const [oldest] = keyObjects.keys()
    keyObjects.delete(oldest!)
  }
  keyObjects.set(name, made)
  return made
}

function makeKeyObject(key: PublicKey): KeyObject | null {
  try {
    // createPublicKey wants a Buffer, and the bytes are ours.
    const der = Buffer.from(encodeSpki(key))
    return createPublicKey({ key: der, format: "der", type: "spki" })
  } catch {
    // OpenSSL refuses a P-256 point that is off the curve. It verifies nothing.
    return null
  }
}

/** Ed25519 takes the message itself, ECDSA its SHA-256. */
function digestOf(key: PublicKey): "sha256" | null {
  return key.algorithm === algorithmEd25519 ? null : "sha256"
}

/** On this thread: about 110 µs for Ed25519 and 70 µs for P-256, and nothing else runs meanwhile. */
export const verifyNative: VerifyEquation = (key, message, signature) => {
  const keyObject = keyObjectOf(key)
  if (keyObject === null) return false
  return verify(digestOf(key), message, { key: keyObject, dsaEncoding: "ieee-p1363" }, signature)
}

/**
 * The same on libuv's pool: many at once use every core. node:crypto copies message and signature before this returns.
 * Rejects only where node:crypto itself fails.
 */
export function verifyNativeAsync(
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const keyObject = keyObjectOf(key)
  if (keyObject === null) return Promise.resolve(false)
  return new Promise((resolve, reject) => {
    verify(
      digestOf(key),
      message,
      { key: keyObject, dsaEncoding: "ieee-p1363" },
      signature,
      (error, isValid) => {
        if (error === null) resolve(isValid)
        else reject(error)
      },
    )
  })
}

/** One-shot `hash`: 0.9 µs for 65 bytes, where createHash takes 1.3 and noble about 4. */
export const sha256Native: Sha256 = (bytes) => plain(hash("sha256", bytes, "buffer")) as Hash

export const hmacNative: Hmac = (key, message) => plain(createHmac("sha256", key).update(message).digest())

/** `chain/` speaks Uint8Array: a Buffer's `slice` and equality are others. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
