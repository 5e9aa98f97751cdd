import { readFileSync } from "node:fs"
import { ed25519 } from "@noble/curves/ed25519.js"
import { p256 } from "@noble/curves/nist.js"
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { equalBytes, joinBytes, parseHex } from "../../chain/bytes.ts"
import { type PublicKey, algorithmEd25519, algorithmEsp256, findKeyFault } from "../../chain/key.ts"
import { ed25519PointFault } from "../../chain/point.ts"
import {
  checkSignature,
  checkSignatureForm,
  negateS,
  signMessage,
  verifyEquation,
} from "../../chain/signature.ts"
import { type Statement, decodeStatement, signedBytesOf } from "../../chain/statement.ts"
import { ecKey, edKey, edKeyNext } from "../vectors/keys.ts"
import type { StatementVector } from "../vectors/statement-vector.ts"

const message = Uint8Array.from({ length: 100 }, (_, index) => index)
const hex = (digits: string): Uint8Array => parseHex(digits)!

function statementOf(name: string): Statement {
  const path = new URL(`../vectors/statements/invalid/${name}.json`, import.meta.url)
  const vector = JSON.parse(readFileSync(path, "utf8")) as StatementVector
  const decoded = decodeStatement(hex(vector.statement))
  if (decoded.kind !== "statement") throw new Error(`${name} is not even a statement`)
  return decoded.statement
}

test("what is signed verifies, under its own key, algorithm and message alone", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(edKey, ecKey), (said, key) => {
      const signature = signMessage(key, said)
      const { publicKey } = key
      expect(signature.length).toBe(64)
      expect(checkSignature(publicKey, publicKey.algorithm, said, signature)).toBe("good")
      expect(checkSignature(publicKey, publicKey.algorithm, joinBytes(said, hex("00")), signature)).toBe(
        "bad",
      )
    }),
    { seed: 1, numRuns: 50 },
  )
  const signature = signMessage(edKey, message)
  expect(checkSignature(edKeyNext.publicKey, algorithmEd25519, message, signature)).toBe("bad")
  expect(checkSignature(ecKey.publicKey, algorithmEsp256, message, signature)).toBe("bad")
  expect(checkSignature(edKey.publicKey, algorithmEsp256, message, signature)).toBe("bad")
})

test("an algorithm that does not fit the key is bad whatever the equation says", () => {
  const signature = signMessage(edKey, message)
  expect(checkSignature(edKey.publicKey, algorithmEd25519, message, signature, () => true)).toBe("good")
  expect(checkSignature(edKey.publicKey, algorithmEsp256, message, signature, () => true)).toBe("bad")
})

function neverAsked(): boolean {
  throw new Error("the equation was asked")
}

test.each([0, 1, 63, 65, 72])("a signature of %i bytes is bad and never reaches the equation", (size) => {
  for (const { publicKey } of [edKey, ecKey]) {
    expect(checkSignature(publicKey, publicKey.algorithm, message, new Uint8Array(size), neverAsked)).toBe(
      "bad",
    )
  }
})

// That only the one rule refuses these is what makes them vectors.
test("small order of R is what refuses small-order-r.json: its equation holds", () => {
  const statement = statementOf("small-order-r")
  expect(verifyEquation(edKey.publicKey, signedBytesOf(statement), statement.signature)).toBe(true)
  expect(ed25519PointFault(statement.signature.subarray(0, 32))).toContain("small order")
})

test("the missing cofactor is what refuses good-only-with-cofactor.json: noble's own verify takes it", () => {
  const statement = statementOf("good-only-with-cofactor")
  const signed = signedBytesOf(statement)
  const form = checkSignatureForm(edKey.publicKey, algorithmEd25519, statement.signature)
  expect(form).toBe("good")
  expect(ed25519.verify(statement.signature, signed, edKey.publicKey.bytes, { zip215: true })).toBe(true)
  expect(verifyEquation(edKey.publicKey, signed, statement.signature)).toBe(false)
})

test("the encoding of R is what refuses non-canonical-r.json: noble's own verify takes it", () => {
  const statement = statementOf("non-canonical-r")
  const signed = signedBytesOf(statement)
  expect(ed25519.verify(statement.signature, signed, edKey.publicKey.bytes, { zip215: true })).toBe(true)
  expect(ed25519PointFault(statement.signature.subarray(0, 32))).toContain("not canonical")
})

test("S < L is what refuses s-not-reduced.json: with S - L it is a good signature", () => {
  const statement = statementOf("s-not-reduced")
  const signed = signedBytesOf(statement)
  const right = signMessage(edKey, signed)
  expect(equalBytes(right.subarray(0, 32), statement.signature.subarray(0, 32))).toBe(true)
  expect(checkSignature(edKey.publicKey, algorithmEd25519, signed, right)).toBe("good")
  expect(checkSignatureForm(edKey.publicKey, algorithmEd25519, statement.signature)).toBe("bad")
})

test("of the two signatures of a P-256 pair the one with the low s is good, and the other high-s", () => {
  const { publicKey } = ecKey
  for (let index = 0; index < 20; index++) {
    const said = Uint8Array.of(index)
    const low = signMessage(ecKey, said)
    const high = negateS(low)
    expect(checkSignature(publicKey, algorithmEsp256, said, low)).toBe("good")
    expect(checkSignature(publicKey, algorithmEsp256, said, high)).toBe("high-s")
    expect(negateS(high)).toEqual(low)
    expect(checkSignature(publicKey, algorithmEsp256, Uint8Array.of(index, 0), high)).toBe("bad")
  }
})

const halfOrder = "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8"
const order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
const one = `${"00".repeat(31)}01`

test.each([
  ["s is 1", one, one, "good"],
  ["s is n / 2, rounded down", one, halfOrder, "good"],
  ["s is one more", one, `${halfOrder.slice(0, -2)}a9`, "high-s"],
  ["s is n - 1", one, `${order.slice(0, -2)}50`, "high-s"],
  ["s is n", one, order, "bad"],
  ["s is all ones", one, "ff".repeat(32), "bad"],
  ["s is 0", one, "00".repeat(32), "bad"],
  ["r is 0", "00".repeat(32), one, "bad"],
  ["r is n - 1", `${order.slice(0, -2)}50`, one, "good"],
  ["r is n", order, one, "bad"],
])("P-256: %s", (_, r, s, verdict) => {
  expect(checkSignatureForm(ecKey.publicKey, algorithmEsp256, hex(r + s))).toBe(verdict)
})

const orderOfEd25519 = "edd3f55c1a631258d69cf7a2def9de14" + "00".repeat(15) + "10"

test.each([
  ["S is 0", "00".repeat(32), "good"],
  ["S is L - 1", `ec${orderOfEd25519.slice(2)}`, "good"],
  ["S is L", orderOfEd25519, "bad"],
  ["S is L + 1", `ee${orderOfEd25519.slice(2)}`, "bad"],
  ["S is all ones", "ff".repeat(32), "bad"],
])("Ed25519: %s", (_, s, verdict) => {
  const r = signMessage(edKey, message).subarray(0, 32)
  expect(checkSignatureForm(edKey.publicKey, algorithmEd25519, joinBytes(r, hex(s)))).toBe(verdict)
  // The equation bears every S, zero too.
  expect(verifyEquation(edKey.publicKey, message, joinBytes(r, hex(s)))).toBe(false)
})

const { Point } = ed25519
/** One of order 8: its multiples are all points of small order. */
const torsion = Point.fromBytes(
  hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
  false,
)

test("no point of small order is a key or an R, with either sign bit", () => {
  const encodings = new Set<string>()
  for (let multiple = 0; multiple < 8; multiple++) {
    const encoded = torsion.multiplyUnsafe(BigInt(multiple)).toBytes()
    for (const sign of [0, 0x80]) {
      const bytes = Uint8Array.from(encoded)
      bytes[31] = (bytes[31]! & 0x7f) | sign
      encodings.add(bytes.join())
      expect(ed25519PointFault(bytes)).toContain("small order")
      expect(findKeyFault({ algorithm: algorithmEd25519, bytes })).toContain("small order")
    }
  }
  expect(encodings.size).toBe(10)
})

test("a y from p on is not canonical, up to the largest", () => {
  for (let above = 0; above < 19; above++) {
    for (const sign of ["7f", "ff"]) {
      const bytes = hex((0xed + above).toString(16).padStart(2, "0") + "ff".repeat(30) + sign)
      expect(ed25519PointFault(bytes)).toContain("not canonical")
    }
  }
  expect(ed25519PointFault(hex(`eb${"ff".repeat(30)}7f`))).toBeNull()
})

test("a key with a part of small order is found, though it is not of small order itself", () => {
  const mixed = Point.fromBytes(edKey.publicKey.bytes, false).add(torsion).toBytes()
  expect(ed25519PointFault(mixed)).toBeNull()
  expect(findKeyFault({ algorithm: algorithmEd25519, bytes: mixed })).toContain("part of small order")
  expect(findKeyFault(edKey.publicKey)).toBeNull()
})

test("a key that is no point verifies nothing and may not be enrolled", () => {
  const off: PublicKey = { algorithm: algorithmEd25519, bytes: hex(`02${"00".repeat(31)}`) }
  expect(findKeyFault(off)).toContain("not a point")
  expect(checkSignature(off, algorithmEd25519, message, signMessage(edKey, message))).toBe("bad")
  expect(findKeyFault({ algorithm: algorithmEsp256, bytes: new Uint8Array(64) })).toContain("not a point")
  expect(findKeyFault({ algorithm: algorithmEsp256, bytes: new Uint8Array(63) })).toContain("not a point")
  expect(findKeyFault(ecKey.publicKey)).toBeNull()
  expect(p256.Point.fromBytes(joinBytes(hex("04"), ecKey.publicKey.bytes)).is0()).toBe(false)
})
