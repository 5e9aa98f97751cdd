import { expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { type DeviceRecord, applyRegistry } from "../../chain/device.ts"
import { type Hash, sha256, zeroHash } from "../../chain/hash.ts"
import type { PrivateKey } from "../../chain/key.ts"
import { findKey } from "../../chain/link.ts"
import { type Registry, proveKey } from "../../chain/registry.ts"
import { ecKey, edKey, edKeyNext, strangerKey, vectorOrigin } from "../vectors/keys.ts"

/** What the operator says, without what every registry statement has. */
type Order = Omit<Registry, "device" | "previous"> & Partial<Pick<Registry, "device" | "previous">>

const entry = (word: string): Hash => sha256(encodeUtf8(word))

/** The device after an order, or the rule that forbids it. `headSeq` is the device's head at that moment. */
function apply(
  record: DeviceRecord | null,
  order: Order,
  headSeq = 0,
  word = "statement",
): DeviceRecord | string {
  const registry: Registry = { device: "k7", previous: record?.registry ?? zeroHash, ...order }
  const applied = applyRegistry(record, registry, { origin: vectorOrigin, entry: entry(word), headSeq })
  return applied.kind === "applied" ? applied.record : applied.rule
}

function accept(record: DeviceRecord | null, order: Order, headSeq = 0, word = "statement"): DeviceRecord {
  const after = apply(record, order, headSeq, word)
  if (typeof after === "string") throw new Error(after)
  return after
}

const enrolment: Order = { action: "enrol", key: edKey.publicKey, firstSeq: 1 }
const enrolled = accept(null, enrolment, 0, "enrolment")

function rotation(next: PrivateKey, firstSeq: number, old?: PrivateKey): Order {
  return {
    action: "rotate",
    key: next.publicKey,
    firstSeq,
    proofOfNew: proveKey(next, vectorOrigin, "k7", firstSeq, next.publicKey),
    ...(old === undefined ? {} : { proofOfOld: proveKey(old, vectorOrigin, "k7", firstSeq, next.publicKey) }),
  }
}

const rotated = accept(enrolled, rotation(ecKey, 6, edKey), 3, "rotation")
const revoked = accept(enrolled, { action: "revoke" }, 3)
const suspended = accept(enrolled, { action: "suspend" }, 3)
const revokedFrom3 = accept(rotated, { action: "revoke", lastGoodSeq: 2 }, 3)

/** Where a key stands at these seqs: k a key, r revoked beyond, - none. */
function standing(record: DeviceRecord, { publicKey }: PrivateKey, to = 8): string {
  const kid = record.keys.find(({ key }) => key === publicKey)?.kid ?? new Uint8Array(8)
  return Array.from({ length: to }, (_, index) => {
    const found = findKey(record.keys, kid, index + 1)
    return found.kind === "unknown-key" ? "-" : found.isRevokedBeyond ? "r" : "k"
  }).join("")
}

test("an enrolment makes a device with one key from seq 1", () => {
  expect(enrolled).toMatchObject({ device: "k7", status: "active", registry: entry("enrolment") })
  expect(enrolled.keys).toHaveLength(1)
  expect(standing(enrolled, edKey)).toBe("kkkkkkkk")
  expect(enrolled.keys[0]?.isPossessionProven).toBe(false)
  const proofOfNew = proveKey(edKey, vectorOrigin, "k7", 1, edKey.publicKey)
  expect(accept(null, { ...enrolment, proofOfNew }).keys[0]?.isPossessionProven).toBe(true)
  const attributes = new Map([["make", "Example"]])
  expect(accept(null, { ...enrolment, attributes }).attributes).toBe(attributes)
})

test("a rotation ends the old key before the new one's first seq, and for one seq at most one key stands", () => {
  expect(standing(rotated, edKey)).toBe("kkkkk---")
  expect(standing(rotated, ecKey)).toBe("-----kkk")
  const again = accept(rotated, rotation(edKeyNext, 8, ecKey), 7)
  expect(standing(again, edKey)).toBe("kkkkk---")
  expect(standing(again, ecKey)).toBe("-----kk-")
  expect(standing(again, edKeyNext)).toBe("-------k")
})

test("a revocation without a last good seq revokes the device and leaves its keys as they were", () => {
  expect(revoked.status).toBe("revoked")
  expect(standing(revoked, edKey)).toBe("kkkkkkkk")
})

test("a revocation with a last good seq ends every key there, also one that a rotation had announced", () => {
  expect(revokedFrom3.status).toBe("active")
  expect(standing(revokedFrom3, edKey)).toBe("kkrrrrrr")
  expect(standing(revokedFrom3, ecKey)).toBe("-----rrr")
})

test("after a revocation of its keys a device goes on under a new one, above its head", () => {
  const back = accept(accept(enrolled, { action: "revoke", lastGoodSeq: 2 }, 3), rotation(edKeyNext, 4), 3)
  expect(standing(back, edKey)).toBe("kkrrrrrr")
  expect(standing(back, edKeyNext)).toBe("---kkkkk")
})

test("a suspended device can be resumed, revoked, and given a new key", () => {
  expect(suspended.status).toBe("suspended")
  expect(accept(suspended, { action: "resume" }).status).toBe("active")
  expect(accept(suspended, { action: "revoke" }).status).toBe("revoked")
  expect(accept(suspended, rotation(ecKey, 4, edKey), 3).status).toBe("suspended")
})

test.each<[string, DeviceRecord | null, Order, number, RegExp]>([
  [
    "a first statement whose previous is not zeros",
    null,
    { ...enrolment, previous: entry("x") },
    0,
    /3 is not the entry/,
  ],
  [
    "a statement that skips one about the device",
    rotated,
    { action: "revoke", previous: enrolled.registry },
    3,
    /3 is not the entry/,
  ],
  ["a second enrolment", enrolled, enrolment, 0, /enrolled already/],
  ["an enrolment of a revoked device", revoked, enrolment, 3, /revoked for good/],
  [
    "an enrolment of a name that is no device id",
    null,
    { ...enrolment, device: "left wrist" },
    0,
    /device id must match/,
  ],
  [
    "an enrolment under the log's origin",
    null,
    { ...enrolment, device: vectorOrigin },
    0,
    /device id must match/,
  ],
  ["an enrolment without a key", null, { action: "enrol", firstSeq: 1 }, 0, /has no member 4/],
  ["an enrolment without a first seq", null, { action: "enrol", key: edKey.publicKey }, 0, /has no member 5/],
  ["an enrolment at seq 2", null, { ...enrolment, firstSeq: 2 }, 0, /begins at seq 1/],
  [
    "an enrolment with another key's proof",
    null,
    { ...enrolment, proofOfNew: proveKey(strangerKey, vectorOrigin, "k7", 1, edKey.publicKey) },
    0,
    /possession does not verify/,
  ],
  [
    "an enrolment with a proof for another log",
    null,
    { ...enrolment, proofOfNew: proveKey(edKey, "another.example/log", "k7", 1, edKey.publicKey) },
    0,
    /possession does not verify/,
  ],
  ["a rotation of a device that is not enrolled", null, rotation(ecKey, 1), 0, /not enrolled/],
  ["a rotation of a revoked device", revoked, rotation(ecKey, 4), 3, /was revoked/],
  ["a rotation without a key", enrolled, { action: "rotate", firstSeq: 4 }, 3, /has no member 4/],
  [
    "a rotation without a first seq",
    enrolled,
    { action: "rotate", key: ecKey.publicKey },
    3,
    /has no member 5/,
  ],
  ["a rotation at the head", enrolled, rotation(ecKey, 3), 3, /above the head, 3/],
  [
    "a rotation at the first seq of the key before",
    rotated,
    rotation(edKeyNext, 6),
    3,
    /above the one before, 6/,
  ],
  [
    "a rotation below the first seq of the key before",
    rotated,
    rotation(edKeyNext, 5),
    3,
    /above the one before, 6/,
  ],
  ["a rotation to the key that stands", enrolled, rotation(edKey, 4), 3, /had a key of this kid/],
  ["a rotation back to a key of old", rotated, rotation(edKey, 8), 7, /had a key of this kid/],
  [
    "a rotation whose new key was not proven by itself",
    enrolled,
    { ...rotation(ecKey, 4), proofOfNew: proveKey(edKey, vectorOrigin, "k7", 4, ecKey.publicKey) },
    3,
    /the new key does not verify/,
  ],
  [
    "a rotation whose new key was proven for another seq",
    enrolled,
    { ...rotation(ecKey, 4), proofOfNew: proveKey(ecKey, vectorOrigin, "k7", 5, ecKey.publicKey) },
    3,
    /the new key does not verify/,
  ],
  [
    "a rotation that a stranger signed in the old key's place",
    enrolled,
    rotation(ecKey, 4, strangerKey),
    3,
    /the old key does not verify/,
  ],
  ["a revocation of a revoked device", revoked, { action: "revoke" }, 3, /revoked before/],
  ["a revocation above the head", enrolled, { action: "revoke", lastGoodSeq: 4 }, 3, /at most the head, 3/],
  ["a revocation of a device that is not enrolled", null, { action: "revoke" }, 0, /not enrolled/],
  ["a suspension of a suspended device", suspended, { action: "suspend" }, 3, /is suspended/],
  ["a suspension of a revoked device", revoked, { action: "suspend" }, 3, /is revoked/],
  ["a resumption of an active device", enrolled, { action: "resume" }, 3, /is active/],
  ["a resumption of a revoked device", revoked, { action: "resume" }, 3, /is revoked/],
  ["trust in a CA, said of a device", enrolled, { action: "trust-ca" }, 3, /about a CA/],
])("%s is refused by name", (_, record, order, headSeq, rule) => {
  expect(apply(record, order, headSeq)).toMatch(rule)
})

test("a rotation without proofs is the operator's word, and shown as such", () => {
  const { proofOfNew: _, ...order } = rotation(ecKey, 4)
  expect(accept(enrolled, order, 3).keys[1]?.isPossessionProven).toBe(false)
  expect(accept(enrolled, rotation(ecKey, 4), 3).keys[1]?.isPossessionProven).toBe(true)
})

test("every order moves the device's registry entry, and leaves the record before it untouched", () => {
  const before = JSON.stringify(enrolled)
  expect(rotated.registry).toEqual(entry("rotation"))
  expect(revoked.registry).toEqual(entry("statement"))
  expect(JSON.stringify(enrolled)).toBe(before)
})
