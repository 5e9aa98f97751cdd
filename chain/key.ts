/** Public keys of devices and of the log's operator: Ed25519 and P-256, as COSE_Key, with their names. */
import { ed25519 } from "@noble/curves/ed25519.js"
import { p256 } from "@noble/curves/nist.js"
import { equalBytes, joinBytes } from "./bytes.ts"
import { type CborInput, CborReader, FormatFault, encodeCbor } from "./cbor.ts"
import { type Hash, type Sha256, sha256 } from "./hash.ts"
import { ed25519PointFault } from "./point.ts"

/** COSE algorithm numbers (RFC 9864): Ed25519, and ECDSA on P-256 with SHA-256. */
export type Algorithm = -19 | -9
export const algorithmEd25519: Algorithm = -19
export const algorithmEsp256: Algorithm = -9

export interface PublicKey {
  readonly algorithm: Algorithm
  /** Ed25519: the 32 bytes of RFC 8032. P-256: x and y, 32 bytes each. */
  readonly bytes: Uint8Array
}

/** Key id: the first 8 bytes of the thumbprint. Short for the wire; the thumbprint is what names a key. */
export const kidSize = 8

/** COSE_Key (RFC 9052 §7, RFC 9053 §7) with the required members only, as a map to be encoded inside another. */
export function coseKeyMap({ algorithm, bytes }: PublicKey): ReadonlyMap<number, CborInput> {
  return algorithm === algorithmEd25519
    ? new Map<number, CborInput>([
        [1, 1],
        [-1, 6],
        [-2, bytes],
      ])
    : new Map<number, CborInput>([
        [1, 2],
        [-1, 1],
        [-2, bytes.subarray(0, 32)],
        [-3, bytes.subarray(32)],
      ])
}

/** The same as bytes, deterministic. */
export function encodeCoseKey(key: PublicKey): Uint8Array {
  return encodeCbor(coseKeyMap(key))
}

/** Takes exactly what `encodeCoseKey` makes, and a point that may be used. Throws a FormatFault. */
export function decodeCoseKey(bytes: Uint8Array): PublicKey {
  const key = decodeEnrolledKey(bytes)
  const pointFault = findKeyFault(key)
  if (pointFault !== null) throw new FormatFault(pointFault, 0)
  return key
}

/**
 * The same of a key that was looked at when it was enrolled: to look at an Ed25519 point again takes 1 ms, for which a
 * whole fleet that connects anew would wait.
 */
export function decodeEnrolledKey(bytes: Uint8Array): PublicKey {
  const reader = new CborReader(bytes, "deterministic")
  const members = reader.enterMap("a COSE_Key")
  const expect = (label: number, value: number): void => {
    const start = reader.offset
    if (reader.readInt("a label") !== label) reader.fault(`COSE_Key label ${label} expected`, start)
    if (reader.readInt("a value") !== value) reader.fault(`COSE_Key label ${label} must be ${value}`, start)
  }
  const coordinate = (label: number): Uint8Array => {
    const start = reader.offset
    if (reader.readInt("a label") !== label) reader.fault(`COSE_Key label ${label} expected`, start)
    const value = reader.readBytes("a coordinate")
    return value.length === 32 ? value : reader.fault("a coordinate has 32 bytes", start)
  }
  let key: PublicKey
  if (members === 3) {
    expect(1, 1)
    expect(-1, 6)
    key = { algorithm: algorithmEd25519, bytes: Uint8Array.from(coordinate(-2)) }
  } else if (members === 4) {
    expect(1, 2)
    expect(-1, 1)
    key = { algorithm: algorithmEsp256, bytes: joinBytes(coordinate(-2), coordinate(-3)) }
  } else {
    return reader.fault("a COSE_Key has kty, crv and x, and for P-256 y", 0)
  }
  reader.leave()
  reader.end()
  return key
}

/**
 * Why a key may not be enrolled, or null. Ed25519: canonical, on the curve, not of small order, torsion-free (FORMAT
 * §2). P-256: on the curve and not the identity.
 */
export function findKeyFault(key: PublicKey): string | null {
  if (key.algorithm === algorithmEd25519) {
    const encodingFault = ed25519PointFault(key.bytes)
    if (encodingFault !== null) return `the Ed25519 key ${encodingFault}`
    try {
      const point = ed25519.Point.fromBytes(key.bytes, false)
      return point.isTorsionFree() ? null : "the Ed25519 key has a part of small order"
    } catch {
      return "the Ed25519 key is not a point of the curve"
    }
  }
  try {
    p256.Point.fromBytes(joinBytes(Uint8Array.of(4), key.bytes)).assertValidity()
    return null
  } catch {
    return "the P-256 key is not a point of the curve"
  }
}

/** RFC 9679 §3: SHA-256 over the COSE_Key with its required members, deterministic; for these two key types that is `encodeCoseKey`. */
export function thumbprintOf(key: PublicKey, hash: Sha256 = sha256): Hash {
  return hash(encodeCoseKey(key))
}

export function kidOf(key: PublicKey, hash: Sha256 = sha256): Uint8Array {
  return thumbprintOf(key, hash).slice(0, kidSize)
}

export function equalKeys(a: PublicKey, b: PublicKey): boolean {
  return a.algorithm === b.algorithm && equalBytes(a.bytes, b.bytes)
}

/** Private key: the 32 byte seed of Ed25519 (RFC 8032 §5.1.5) or the 32 byte scalar of P-256, with its public key. */
export interface PrivateKey {
  readonly secret: Uint8Array
  readonly publicKey: PublicKey
}

/** Throws a RangeError on a secret that is not 32 bytes or, for P-256, not from 1 to n - 1. */
export function makePrivateKey(algorithm: Algorithm, secret: Uint8Array): PrivateKey {
  if (secret.length !== 32) throw new RangeError(`a secret has 32 bytes, got ${secret.length}`)
  if (algorithm === algorithmEsp256 && !p256.utils.isValidSecretKey(secret))
    throw new RangeError("a secret of P-256 is from 1 to n - 1")
  const bytes =
    algorithm === algorithmEd25519
      ? ed25519.getPublicKey(secret)
      : p256.getPublicKey(secret, false).subarray(1)
  return { secret: Uint8Array.from(secret), publicKey: { algorithm, bytes: Uint8Array.from(bytes) } }
}
