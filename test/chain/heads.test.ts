import * as fc from "fast-check"
import { expect, test } from "vitest"
import { encodeUtf8, formatHex, joinBytes } from "../../chain/bytes.ts"
import { encodeCbor } from "../../chain/cbor.ts"
import { type Hash, parseHash, sha256, zeroHash } from "../../chain/hash.ts"
import {
  type MapPlace,
  type SealedHead,
  blindOf,
  checkHead,
  headKey,
  headValue,
  headsRootOf,
  hmacSha256,
  mapRootOf,
  proveHead,
} from "../../chain/heads.ts"

const secret = sha256(encodeUtf8("heads secret of a test"))
const headOf = (index: number): SealedHead => ({
  device: `device-${index}`,
  seq: index,
  entry: sha256(encodeUtf8(`entry ${index}`)),
  registry: sha256(encodeUtf8(`registry ${index}`)),
})

function bitsOf(key: Hash): string {
  return [...key].map((byte) => byte.toString(2).padStart(8, "0")).join("")
}

/** The rule as it stands in the protocol, with bits as text and no cleverness. */
function naiveRoot(places: readonly MapPlace[], prefix = ""): Hash {
  const within = places.filter(({ key }) => bitsOf(key).startsWith(prefix))
  const [only] = within
  if (only === undefined) return zeroHash
  if (within.length === 1) return sha256(joinBytes(Uint8Array.of(2), only.key, only.value))
  return sha256(joinBytes(Uint8Array.of(3), naiveRoot(within, `${prefix}0`), naiveRoot(within, `${prefix}1`)))
}

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(parseHash)
/** Keys that share long prefixes, as hashes never will: down to the last of the 256 bits. */
const closeKey = fc
  .tuple(fc.nat({ max: 255 }), fc.nat({ max: 3 }), fc.nat({ max: 255 }))
  .map(([bit, first, last]) => {
    const key = new Uint8Array(32)
    key[bit >> 3] = 0x80 >> (bit & 7)
    key[0] = (key[0]! & 0x3f) | (first << 6)
    key[31]! ^= last & 3
    return parseHash(key)
  })
const places = fc.uniqueArray(fc.record({ key: fc.oneof(hash, closeKey), value: hash }), {
  maxLength: 12,
  selector: ({ key }) => formatHex(key),
})

test("the root of a map is that of the plain recursion over 256 levels", () => {
  fc.assert(
    fc.property(places, (map) => {
      expect(mapRootOf(map)).toEqual(naiveRoot(map))
    }),
    { seed: 1, numRuns: 100 },
  )
})

test("two keys that part at the last bit only have a root of 256 levels", () => {
  const one = { key: zeroHash, value: sha256(Uint8Array.of(1)) }
  const key = parseHash(Uint8Array.from(zeroHash, (_, index) => (index === 31 ? 1 : 0)))
  const other = { key, value: sha256(Uint8Array.of(2)) }
  expect(mapRootOf([one, other])).toEqual(naiveRoot([one, other]))
})

test("the order in which devices come changes nothing", () => {
  const heads = Array.from({ length: 20 }, (_, index) => headOf(index))
  const root = headsRootOf(heads, secret, 7)
  fc.assert(
    fc.property(fc.shuffledSubarray(heads, { minLength: 20 }), (shuffled) => {
      expect(headsRootOf(shuffled, secret, 7)).toEqual(root)
    }),
    { seed: 2, numRuns: 20 },
  )
})

const one = headOf(1)
test.each<[string, Partial<SealedHead>]>([
  ["device", { device: "device-2x" }],
  ["seq", { seq: 2 }],
  ["entry", { entry: sha256(encodeUtf8("another")) }],
  ["registry", { registry: sha256(encodeUtf8("another")) }],
])("another %s of one device gives another root", (_, change) => {
  const heads = Array.from({ length: 5 }, (__, index) => headOf(index))
  const changed = heads.map((head) => (head.device === one.device ? { ...head, ...change } : head))
  expect(headsRootOf(changed, secret, 7)).not.toEqual(headsRootOf(heads, secret, 7))
})

test("another secret, another height, a device more or less: another root", () => {
  const heads = Array.from({ length: 5 }, (_, index) => headOf(index))
  const roots = [
    headsRootOf(heads, secret, 7),
    headsRootOf(heads, zeroHash, 7),
    headsRootOf(heads, secret, 8),
    headsRootOf(heads.slice(1), secret, 7),
    headsRootOf([...heads, headOf(9)], secret, 7),
  ].map(formatHex)
  expect(new Set(roots).size).toBe(roots.length)
})

test("no devices have the root of 32 zero bytes, and one device a root of its own place", () => {
  expect(headsRootOf([], secret, 0)).toEqual(zeroHash)
  const value = headValue(one, blindOf(secret, 3, one.device))
  expect(headsRootOf([one], secret, 3)).toEqual(
    sha256(joinBytes(Uint8Array.of(2), headKey(one.device), value)),
  )
})

test("a value is SHA-256 over a blind of that device and height and what is known of the device", () => {
  const blind = hmacSha256(secret, encodeCbor([3, one.device]))
  expect(blindOf(secret, 3, one.device)).toEqual(blind)
  expect(headValue(one, blind)).toEqual(
    sha256(joinBytes(blind, encodeCbor([one.device, one.seq, one.entry, one.registry]))),
  )
  expect(headKey(one.device)).toEqual(sha256(encodeUtf8(one.device)))
  // RFC 4231 §4.3, test case 2.
  expect(formatHex(hmacSha256(encodeUtf8("Jefe"), encodeUtf8("what do ya want for nothing?")))).toBe(
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  )
})

test("a device that stands twice is our mistake, and stops the program", () => {
  expect(() => headsRootOf([one, { ...one, seq: 2 }], secret, 0)).toThrow(RangeError)
})

test("each place of a map is proven, and no other value, key or path is", () => {
  for (const size of [1, 2, 3, 8, 50]) {
    const all = Array.from({ length: size }, (_, index) => {
      const head = headOf(index)
      return { key: headKey(head.device), value: headValue(head, blindOf(secret, 0, head.device)) }
    })
    const root = mapRootOf(all)
    const [first] = all
    for (const place of all) {
      const path = proveHead(all, place.key)
      expect(checkHead(place, path, root)).toBe(true)
      expect(checkHead({ ...place, value: sha256(place.value) }, path, root)).toBe(false)
      expect(checkHead({ ...place, key: sha256(place.key) }, path, root)).toBe(false)
      expect(checkHead(place, [...path, zeroHash], root)).toBe(false)
      const isFirst = checkHead({ ...place, key: first!.key }, path, root)
      expect(isFirst).toBe(place === first)
    }
    expect(() => proveHead(all, headKey("nobody"))).toThrow(RangeError)
  }
})

test("a path longer than a key has bits proves nothing", () => {
  const [key, value] = [headKey("k7"), sha256(encodeUtf8("value"))]
  expect(
    checkHead(
      { key, value },
      Array.from({ length: 257 }, () => zeroHash),
      zeroHash,
    ),
  ).toBe(false)
})
