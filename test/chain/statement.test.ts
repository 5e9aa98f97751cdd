import * as fc from "fast-check"
import { expect, test } from "vitest"
import { formatHex, joinBytes } from "../../chain/bytes.ts"
import { encodeCbor } from "../../chain/cbor.ts"
import { parseHash, sha256, zeroHash } from "../../chain/hash.ts"
import { kidOf } from "../../chain/key.ts"
import { checkSignature } from "../../chain/signature.ts"
import {
  type Claims,
  type Content,
  contentBlock,
  contentLost,
  contentPolicy,
  contentRegistry,
  contentSenml,
  decodeStatement,
  encodeSignedBytes,
  encodeStatement,
  entryOf,
  signStatement,
  signedBytesOf,
  statementSizeMax,
} from "../../chain/statement.ts"
import { heartRatePack, sigStructure, spokenAt } from "../vectors/draft.ts"
import { ecKey, edKey, keyInFile, vectorOrigin } from "../vectors/keys.ts"
import { DeviceFold } from "./fold.ts"

const first: Omit<Claims, "algorithm" | "kid"> = {
  content: contentSenml,
  iss: "k7",
  sub: "k7",
  iat: spokenAt,
  seq: 1,
  prev: zeroHash,
  payload: heartRatePack(spokenAt),
}

const deviceId = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$/)
const content = fc.oneof<fc.Arbitrary<Content>[]>(
  fc.constantFrom<Content>(contentSenml, contentLost, contentRegistry, "text/plain", "", "Größe"),
  fc.record(
    {
      digestAlgorithm: fc.constantFrom(-16, -43, -44),
      preimageContent: fc.oneof(fc.maxSafeNat(), fc.constant("application/dicom")),
      location: fc.webUrl(),
    },
    { requiredKeys: ["digestAlgorithm"] },
  ),
)
const claims: fc.Arbitrary<Omit<Claims, "algorithm" | "kid">> = fc.record({
  content,
  iss: deviceId,
  sub: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/),
  iat: fc.maxSafeNat(),
  seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  prev: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(parseHash),
  payload: fc.uint8Array({ maxLength: 300 }),
})

test("what is signed decodes to what was said, and encodes to the same bytes", () => {
  fc.assert(
    fc.property(claims, fc.constantFrom(edKey, ecKey), (said, key) => {
      const statement = signStatement(said, key)
      expect(statement).toMatchObject(said)
      const decoded = decodeStatement(statement.bytes)
      expect(decoded).toEqual({ kind: "statement", statement })
      expect(encodeStatement(statement, statement.signature)).toEqual(statement.bytes)
      expect(signedBytesOf(statement)).toEqual(encodeSignedBytes(statement))
      expect(
        checkSignature(key.publicKey, statement.algorithm, signedBytesOf(statement), statement.signature),
      ).toBe("good")
    }),
    { seed: 1, numRuns: 60 },
  )
})

test("what is signed is the Sig_structure of RFC 9052, spelled out", () => {
  const statement = signStatement(first, edKey)
  const header = encodeCbor(
    new Map<number, number | Uint8Array | ReadonlyMap<number, string | number | Uint8Array>>([
      [1, -19],
      [3, 112],
      [4, kidOf(edKey.publicKey)],
      [
        15,
        new Map<number, string | number | Uint8Array>([
          [1, "k7"],
          [2, "k7"],
          [6, spokenAt],
          [-65_537, 1],
          [-65_538, zeroHash],
        ]),
      ],
    ]),
  )
  expect(signedBytesOf(statement)).toEqual(sigStructure(header, first.payload))
})

test.each([
  ["Ed25519", edKey],
  ["P-256", ecKey],
])("%s: flip any bit of a statement and it is not accepted", (_, key) => {
  const { bytes } = signStatement(first, key)
  const { kid, firstSeq, lastSeq, endedBy } = { ...keyInFile(key), kid: kidOf(key.publicKey) }
  const keys = [{ kid, key: key.publicKey, firstSeq, lastSeq, endedBy }]
  expect(new DeviceFold("k7", keys).take(bytes, spokenAt * 1000).verdict).toBe("accepted")
  const verdicts = new Map<string, number>()
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = Uint8Array.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    const { verdict } = new DeviceFold("k7", keys).take(flipped, spokenAt * 1000)
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
  }
  const acceptable = ["malformed", "wrong-device", "unknown-key", "bad-signature", "high-s"]
  expect([...verdicts.keys()].filter((verdict) => !acceptable.includes(verdict))).toEqual([])
  expect([...verdicts.values()].reduce((sum, count) => sum + count, 0)).toBe(8 * bytes.length)
  // 64 bytes of signature and most of the payload: the flips that only the signature can catch.
  expect(verdicts.get("bad-signature")).toBeGreaterThan(500)
})

test("no bytes make the decoder throw, and what it takes is what would be encoded", () => {
  const { bytes } = signStatement(first, edKey)
  let taken = 0
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat({ max: 3 }), (place, byte, tail) => {
      const changed = Uint8Array.from(bytes.subarray(0, bytes.length - (tail === 3 ? 1 : 0)))
      changed[place % changed.length] = byte
      const decoded = decodeStatement(changed)
      if (decoded.kind !== "statement") return
      taken += 1
      expect(encodeStatement(decoded.statement, decoded.statement.signature)).toEqual(changed)
    }),
    { seed: 2, numRuns: 5000 },
  )
  expect(taken).toBeGreaterThan(1000)
})

test("the largest statement has 65,535 bytes, and a larger one is too large whatever it holds", () => {
  const overhead = signStatement({ ...first, payload: new Uint8Array(60_000) }, edKey).bytes.length - 60_000
  const largest = signStatement({ ...first, payload: new Uint8Array(statementSizeMax - overhead) }, edKey)
  expect(largest.bytes.length).toBe(65_535)
  expect(() => signStatement({ ...first, payload: new Uint8Array(65_536 - overhead) }, edKey)).toThrow(
    "65536 bytes",
  )
  expect(decodeStatement(new Uint8Array(65_536))).toEqual({ kind: "too-large", sizeBytes: 65_536 })
  expect(decodeStatement(joinBytes(largest.bytes, Uint8Array.of(0))).kind).toBe("too-large")
})

test.each<[string, Partial<Claims>, RegExp]>([
  ["an empty device id", { iss: "" }, /iss is a device id/],
  ["a device id with a line feed behind it", { iss: "k7\n" }, /control character/],
  ["a device id of 51 characters", { iss: "k".repeat(51) }, /iss is a device id/],
  ["the operator's name", { iss: vectorOrigin }, /iss is a device id/],
  ["an empty subject", { sub: "" }, /sub must match/],
  ["a subject of 129 characters", { sub: "s".repeat(129) }, /sub must match/],
  ["seq 0", { seq: 0 }, /seq begins with 1/],
  ["half a seq", { seq: 1.5 }, /seq expected|floats/],
  ["a seq of 2^53", { seq: 2 ** 53 }, /seq expected/],
  ["a negative clock", { iat: -1 }, /iat expected/],
  ["a prev of 31 bytes", { prev: zeroHash.subarray(1) as typeof zeroHash }, /prev has 32 bytes/],
  ["SenML written out", { content: "application/senml+cbor" }, /written as 112/],
  ["the operator's policy", { content: contentPolicy }, /operator's content types/],
  ["the operator's block", { content: contentBlock }, /operator's content types/],
  [
    "an own type that there is not",
    { content: "application/vnd.tidemark.mood+cbor" },
    /operator's content types/,
  ],
  ["a digest by SHA-1", { content: { digestAlgorithm: -14 } }, /payload-hash-alg/],
])("a signer is told that %s cannot be", (_, change, message) => {
  expect(() => signStatement({ ...first, ...change }, edKey)).toThrow(message)
})

test("the operator speaks under the log's origin and with types of its own, where its chain is read and nowhere else", () => {
  const said = { ...first, iss: vectorOrigin, sub: "block", content: contentBlock }
  const { bytes } = signStatement(said, edKey, vectorOrigin)
  expect(decodeStatement(bytes, vectorOrigin).kind).toBe("statement")
  expect(decodeStatement(bytes).kind).toBe("malformed")
  expect(decodeStatement(bytes, "another.example/log").kind).toBe("malformed")
  // A device does not become the operator by standing in the operator's table.
  expect(() => signStatement({ ...first, content: contentBlock }, edKey, vectorOrigin)).toThrow(/operator's/)
})

test("a malformed statement is told by the byte at which it goes wrong", () => {
  const { bytes } = signStatement(first, edKey)
  const at = formatHex(bytes).indexOf("3a00010000") / 2 + 5
  const changed = Uint8Array.from(bytes)
  expect(changed[at]).toBe(1)
  changed[at] = 0
  expect(decodeStatement(changed)).toEqual({ kind: "malformed", rule: "seq begins with 1", offset: at })
})

test("the entry is SHA-256 of the whole statement, the signature included", () => {
  const { bytes } = signStatement(first, edKey)
  expect(entryOf(bytes)).toEqual(sha256(bytes))
})
