import * as fc from "fast-check"
import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { parseHash } from "../../chain/hash.ts"
import { encodeCoseKey } from "../../chain/key.ts"
import { decodeLost, encodeLost, lostReasons } from "../../chain/lost.ts"
import {
  checkKeyProof,
  decodeRegistry,
  encodeRegistry,
  proveKey,
  registryActions,
} from "../../chain/registry.ts"
import { spokenAt } from "../vectors/draft.ts"
import { array, bytes, hex, int, isTrue, map, nil, single, text } from "../vectors/items.ts"
import { ecKey, edKey, edKeyNext, vectorOrigin } from "../vectors/keys.ts"

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(parseHash)
const proof = fc.uint8Array({ minLength: 64, maxLength: 64 })
const readable = fc.string({ unit: "grapheme" }).filter((said) => !/[\x00-\x1f\x7f]/.test(said))
const registry = fc.record(
  {
    action: fc.constantFrom(...registryActions),
    device: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$/),
    previous: hash,
    key: fc.constantFrom(edKey.publicKey, ecKey.publicKey),
    firstSeq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    lastGoodSeq: fc.maxSafeNat(),
    proofOfNew: proof,
    proofOfOld: proof,
    reason: readable,
    request: hash,
    caDigest: hash,
    attributes: fc.array(fc.tuple(readable, readable), { maxLength: 4 }).map((pairs) => new Map(pairs)),
  },
  { requiredKeys: ["action", "device"] },
)

test("a registry statement decodes to what was said, and encodes to the same bytes", () => {
  fc.assert(
    fc.property(registry, (said) => {
      const encoded = encodeRegistry(said)
      const decoded = decodeRegistry(encoded)
      expect(encodeRegistry(decoded)).toEqual(encoded)
      // Attributes come back sorted, which says the same.
      expect(decoded).toEqual(said)
    }),
    { seed: 1, numRuns: 200 },
  )
})

const device: [Uint8Array, Uint8Array] = [int(2), text("k7")]
const action: [Uint8Array, Uint8Array] = [int(1), int(3)]

test.each([
  ["no members", map([]), /1 \(action\) and 2 \(device\) are missing/],
  ["no device", map([action]), /are missing/],
  ["action 0", map([[int(1), int(0)], device]), /an action is 1 to 7/],
  ["action 8", map([[int(1), int(8)], device]), /an action is 1 to 7/],
  ["an empty name", map([action, [int(2), text("")]]), /1 to 128 characters/],
  ["a name of 129 characters", map([action, [int(2), text("n".repeat(129))]]), /1 to 128 characters/],
  ["an entry of 31 bytes", map([action, device, [int(3), bytes(new Uint8Array(31))]]), /32 bytes/],
  ["a key that is no COSE_Key", map([action, device, [int(4), map([])]]), /kty, crv and x/],
  [
    "a key in a byte string",
    map([action, device, [int(4), bytes(encodeCoseKey(edKey.publicKey))]]),
    /a COSE_Key expected/,
  ],
  ["first seq 0", map([action, device, [int(5), int(0)]]), /at least 1/],
  ["a last good seq below 0", map([action, device, [int(6), int(-1)]]), /a last good seq expected/],
  ["a proof of 65 bytes", map([action, device, [int(8), bytes(new Uint8Array(65))]]), /64 bytes/],
  ["a reason that is a number", map([action, device, [int(9), int(1)]]), /a reason expected/],
  [
    "attributes with a number",
    map([action, device, [int(12), map([[text("make"), int(1)]])]]),
    /text to text/,
  ],
  [
    "attributes under a number",
    map([action, device, [int(12), map([[int(1), text("make")]])]]),
    /text to text/,
  ],
  ["member 13", map([action, device, [int(13), nil]]), /1 to 12/],
  ["member 0", map([[int(0), nil], action, device]), /1 to 12/],
  ["a member in letters", map([action, device, [text("x"), nil]]), /1 to 12/],
  ["members out of order", map([device, action]), /sorted/],
  ["a member twice", map([action, action]), /twice/],
  ["an array", array(int(3), text("k7")), /a registry statement expected/],
])("%s make no registry statement", (_, encoded, rule) => {
  expect(() => decodeRegistry(encoded)).toThrow(rule)
})

test("a fault inside a key is named by a byte of the registry statement", () => {
  const encoded = map([
    action,
    device,
    [
      int(4),
      map([
        [int(1), int(1)],
        [int(-1), int(4)],
        [int(-2), bytes(new Uint8Array(32))],
      ]),
    ],
  ])
  const at = formatHex(encoded).indexOf("a3010120") / 2 + 4
  expect(() => decodeRegistry(encoded)).toThrow(`(at byte ${at - 1})`)
})

test.each([
  ["Ed25519", edKey],
  ["P-256", ecKey],
])("%s: a proof of possession holds for one log, one device, one seq and one key", (_, key) => {
  const { publicKey } = key
  const signed = proveKey(key, vectorOrigin, "k7", 5, edKeyNext.publicKey)
  const holds = (
    origin: string,
    id: string,
    seq: number,
    fresh = edKeyNext.publicKey,
    given = signed,
  ): boolean => checkKeyProof(publicKey, given, origin, id, seq, fresh)
  expect(holds(vectorOrigin, "k7", 5)).toBe(true)
  expect(holds("another.example/log", "k7", 5)).toBe(false)
  expect(holds(vectorOrigin, "k8", 5)).toBe(false)
  expect(holds(vectorOrigin, "k7", 6)).toBe(false)
  expect(holds(vectorOrigin, "k7", 5, publicKey)).toBe(false)
  expect(holds(vectorOrigin, "k7", 5, edKeyNext.publicKey, signed.slice(1))).toBe(false)
  expect(checkKeyProof(edKeyNext.publicKey, signed, vectorOrigin, "k7", 5, edKeyNext.publicKey)).toBe(false)
})

test("lost readings come out as they went in", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...lostReasons),
      fc.option(fc.maxSafeNat(), { nil: null }),
      fc.maxSafeNat(),
      fc.maxSafeNat(),
      (reason, count, one, other) => {
        const lost = { reason, count, from: Math.min(one, other), to: Math.max(one, other) }
        expect(decodeLost(encodeLost(lost))).toEqual(lost)
        expect(encodeLost(decodeLost(encodeLost(lost)))).toEqual(encodeLost(lost))
      },
    ),
    { seed: 2, numRuns: 300 },
  )
})

test.each([
  ["reason 0", array(int(0), nil, int(spokenAt), int(spokenAt)), /a reason is 1 to 5/],
  ["reason 6", array(int(6), nil, int(spokenAt), int(spokenAt)), /a reason is 1 to 5/],
  ["three items", array(int(1), nil, int(spokenAt)), /lost readings are/],
  ["five items", array(int(1), nil, int(spokenAt), int(spokenAt), nil), /lost readings are/],
  ["a count below 0", array(int(1), int(-1), int(spokenAt), int(spokenAt)), /a count, or null, expected/],
  ["a count that is true", array(int(1), isTrue, int(spokenAt), int(spokenAt)), /a count, or null, expected/],
  ["a float", array(int(1), nil, single(spokenAt), int(spokenAt)), /from expected/],
  ["an end before its beginning", array(int(1), nil, int(2), int(1)), /to is not before from/],
  ["a byte too many", hex("84 01 f6 01 01 00"), /after the end/],
])("%s: no such readings can be lost", (_, encoded, rule) => {
  expect(() => decodeLost(encoded)).toThrow(rule)
})
