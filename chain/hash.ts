import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js"

declare const hashBrand: unique symbol

/** A SHA-256 digest: always 32 bytes, made only by a `Sha256`, `parseHash` and the constants here. */
export type Hash = Uint8Array & { readonly [hashBrand]: true }

/**
 * SHA-256 of some bytes, which it neither keeps nor changes. Functions here take one as an argument so that the service
 * can pass a native one.
 */
export type Sha256 = (bytes: Uint8Array) => Hash

export const sha256: Sha256 = (bytes) => nobleSha256(bytes) as Hash

export const hashSize = 32

/** 32 zero bytes: the `prev` of a first statement, and the empty place of a heads map. */
export const zeroHash = new Uint8Array(hashSize) as Hash

/** A copy of 32 bytes as a hash. Throws a RangeError on any other length: by then somebody must have checked. */
export function parseHash(bytes: Uint8Array): Hash {
  if (bytes.length !== hashSize) throw new RangeError(`a hash has 32 bytes, got ${bytes.length}`)
  return new Uint8Array(bytes) as Hash
}
