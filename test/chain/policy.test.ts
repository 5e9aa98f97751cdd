import { expect, test } from "vitest"
import { joinBytes } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { formatVkey } from "../../chain/note.ts"
import { type Policy, decodePolicy, encodePolicy, findOriginFault } from "../../chain/policy.ts"
import { devicePattern } from "../../chain/statement.ts"
import { ecKey, edKey, edKeyNext, strangerKey, vectorOrigin } from "../vectors/keys.ts"

const policy: Policy = {
  origin: vectorOrigin,
  logVkey: formatVkey({ name: vectorOrigin, publicKey: edKey.publicKey }),
  operatorKey: edKeyNext.publicKey,
  receiptKey: strangerKey.publicKey,
  version: 1,
}

test("a policy decodes to what was said, and encodes to the same bytes", () => {
  expect(decodePolicy(encodePolicy(policy))).toEqual(policy)
})

const spare = makePrivateKey(algorithmEd25519, sha256(Uint8Array.of(1))).publicKey
test.each<[string, Partial<Policy>, RegExp]>([
  ["an origin that looks like a device", { origin: "k7" }, /must not look like a device id/],
  ["an origin with a space", { origin: "my log" }, /neither spaces nor \+/],
  ["an origin with a plus", { origin: "a.example/log+1" }, /neither spaces nor \+/],
  ["an empty origin", { origin: "" }, /not empty/],
  ["an origin of 256 characters", { origin: "/".repeat(256) }, /at most 255/],
  ["a vkey that is none", { logVkey: "tidemark.example/vectors" }, /the log's vkey/],
  [
    "a vkey of another name",
    { logVkey: formatVkey({ name: "other.example", publicKey: spare }) },
    /under the origin's name/,
  ],
  ["version 0", { version: 0 as 1 }, /version, is 1 or 2/],
  ["version 3", { version: 3 as 1 }, /version, is 1 or 2/],
  ["an operator's key on P-256", { operatorKey: ecKey.publicKey }, /keys are Ed25519/],
  ["a receipt key on P-256", { receiptKey: ecKey.publicKey }, /keys are Ed25519/],
  ["one key for operator and receipts", { receiptKey: policy.operatorKey }, /three different keys/],
  ["one key for log and operator", { operatorKey: edKey.publicKey }, /three different keys/],
  ["one key for log and receipts", { receiptKey: edKey.publicKey }, /three different keys/],
])("%s: no policy", (_, change, rule) => {
  expect(() => decodePolicy(encodePolicy({ ...policy, ...change }))).toThrow(rule)
})

test("a byte behind a policy makes it none", () => {
  expect(() => decodePolicy(joinBytes(encodePolicy(policy), Uint8Array.of(0)))).toThrow(/after the end/)
})

test("no origin is a device id, so that the operator's chain and a device's never meet", () => {
  for (const origin of ["k7", "k".repeat(50), "0", "a_b-c"]) {
    expect(devicePattern.test(origin)).toBe(true)
    expect(findOriginFault(origin)).not.toBeNull()
  }
  for (const origin of [vectorOrigin, "k".repeat(51), "localhost/log", "-", "ein.beispiel/größe"]) {
    expect(devicePattern.test(origin)).toBe(false)
    expect(findOriginFault(origin)).toBeNull()
  }
})
