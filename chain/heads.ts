/** The heads map of a block (FORMAT §6): one place per device, so that one head per device and block can be shown. */
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js"
import { compareBytes, encodeUtf8, equalBytes, joinBytes } from "./bytes.ts"
import { encodeCbor } from "./cbor.ts"
import { type Hash, type Sha256, hashSize, sha256, zeroHash } from "./hash.ts"

/** A device as a block leaves it. */
export interface SealedHead {
  readonly device: string
  /** 0 before its first statement. */
  readonly seq: number
  /** Before its first statement, the `prev` that it needs (`firstPrevOf`). */
  readonly entry: Hash
  /** Entry of the last registry statement about the device. */
  readonly registry: Hash
}

/** HMAC-SHA-256. Native in the service, noble's elsewhere. */
export type Hmac = (key: Uint8Array, message: Uint8Array) => Uint8Array

export const hmacSha256: Hmac = (key, message) => hmac(nobleSha256, key, message)

/** A place of the map: 32 bytes of key, read from the top bit on, and a value. */
export interface MapPlace {
  readonly key: Hash
  readonly value: Hash
}

/** The key of a device: SHA-256 of its id. */
export function headKey(device: string, hash: Sha256 = sha256): Hash {
  return hash(encodeUtf8(device))
}

/** HMAC-SHA-256(heads secret, cbor([height, device])): shown only in that device's evidence. */
export function blindOf(
  headsSecret: Uint8Array,
  height: number,
  device: string,
  mac: Hmac = hmacSha256,
): Uint8Array {
  return mac(headsSecret, encodeCbor([height, device]))
}

/** SHA-256(blind ‖ cbor([device, seq, entry, registry])) */
export function headValue(head: SealedHead, blind: Uint8Array, hash: Sha256 = sha256): Hash {
  return hash(joinBytes(blind, encodeCbor([head.device, head.seq, head.entry, head.registry])))
}

/** The root of the map over these devices, in any order; each at most once. 32 zero bytes for none. */
export function headsRootOf(
  heads: Iterable<SealedHead>,
  headsSecret: Uint8Array,
  height: number,
  hash: Sha256 = sha256,
  mac: Hmac = hmacSha256,
): Hash {
  const places: MapPlace[] = []
  for (const head of heads) places.push(mapPlaceOf(head, headsSecret, height, hash, mac))
  return mapRootOf(places, hash)
}

/** Where a device stands in a block's map. 10 µs natively: who has many and other things to do takes them bit by bit. */
export function mapPlaceOf(
  head: SealedHead,
  headsSecret: Uint8Array,
  height: number,
  hash: Sha256 = sha256,
  mac: Hmac = hmacSha256,
): MapPlace {
  const blind = blindOf(headsSecret, height, head.device, mac)
  return { key: headKey(head.device, hash), value: headValue(head, blind, hash) }
}

/**
 * The root of a map: a subtree with one place is SHA-256(02 ‖ key ‖ value), else SHA-256(03 ‖ left ‖ right), an empty
 * side being 32 zero bytes. Throws a RangeError where a key stands twice.
 */
export function mapRootOf(places: readonly MapPlace[], hash: Sha256 = sha256): Hash {
  const sorted = places.toSorted((a, b) => compareBytes(a.key, b.key))
  for (let index = 1; index < sorted.length; index++) {
    if (compareBytes(sorted[index - 1]!.key, sorted[index]!.key) === 0)
      throw new RangeError("a device stands twice")
  }
  return subtreeRoot(sorted, 0, sorted.length, 0, hash)
}

/**
 * The path of a place: its siblings from the place up, 32 zero bytes for an empty side. Throws a RangeError where the map
 * does not have the key.
 */
export function proveHead(places: readonly MapPlace[], key: Hash, hash: Sha256 = sha256): Hash[] {
  const sorted = places.toSorted((a, b) => compareBytes(a.key, b.key))
  const path: Hash[] = []
  let from = 0
  let to = sorted.length
  for (let depth = 0; to - from > 1; depth++) {
    const middle = middleOf(sorted, from, to, depth)
    const isRight = bitOf(key, depth) === 1
    path.unshift(
      isRight
        ? subtreeRoot(sorted, from, middle, depth + 1, hash)
        : subtreeRoot(sorted, middle, to, depth + 1, hash),
    )
    if (isRight) from = middle
    else to = middle
  }
  if (to === from || compareBytes(sorted[from]!.key, key) !== 0)
    throw new RangeError("the map has no place of this key")
  return path
}

/** Whether the path leads from the place to the root. A key has at most one place in the map of a root. */
export function checkHead(
  { key, value }: MapPlace,
  path: readonly Hash[],
  root: Hash,
  hash: Sha256 = sha256,
): boolean {
  // A place lies at most as deep as a key has bits.
  if (path.length > 8 * hashSize) return false
  let node = tagged(2, key, value, hash)
  for (const [index, sibling] of path.entries()) {
    const isRight = bitOf(key, path.length - 1 - index) === 1
    node = isRight ? tagged(3, sibling, node, hash) : tagged(3, node, sibling, hash)
  }
  return equalBytes(node, root)
}

/**
 * The root of the places `from` to `to` - 1, which share the first `depth` bits of their keys and are sorted by them. In
 * one piece `mapRootOf` is this over all places from depth 0.
 */
export function subtreeRoot(
  sorted: readonly MapPlace[],
  from: number,
  to: number,
  depth: number,
  hash: Sha256,
): Hash {
  if (from === to) return zeroHash
  if (to - from === 1) return tagged(2, sorted[from]!.key, sorted[from]!.value, hash)
  const middle = middleOf(sorted, from, to, depth)
  const left = subtreeRoot(sorted, from, middle, depth + 1, hash)
  const right = subtreeRoot(sorted, middle, to, depth + 1, hash)
  return mapNodeOf(left, right, hash)
}

/** The first place on the right side of a subtree. */
export function middleOf(sorted: readonly MapPlace[], from: number, to: number, depth: number): number {
  let middle = from
  while (middle < to && bitOf(sorted[middle]!.key, depth) === 0) middle += 1
  return middle
}

export function mapNodeOf(left: Hash, right: Hash, hash: Sha256 = sha256): Hash {
  return tagged(3, left, right, hash)
}

function bitOf(key: Hash, depth: number): number {
  return (key[depth >> 3]! >> (7 - (depth & 7))) & 1
}

function tagged(tag: number, left: Hash, right: Hash, hash: Sha256): Hash {
  const message = new Uint8Array(1 + 2 * hashSize)
  message[0] = tag
  message.set(left, 1)
  message.set(right, 1 + hashSize)
  return hash(message)
}
