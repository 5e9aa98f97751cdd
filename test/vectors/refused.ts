/** Vectors that are statements and do not enter: codes 12 to 22. One fault each. */
import { ed25519 } from "@noble/curves/ed25519.js"
import { p256 } from "@noble/curves/nist.js"
import { sha512 } from "@noble/hashes/sha2.js"
import { joinBytes } from "../../chain/bytes.ts"
import { sha256, zeroHash } from "../../chain/hash.ts"
import { type PrivateKey, algorithmEsp256, kidOf } from "../../chain/key.ts"
import { negateS, signMessage } from "../../chain/signature.ts"
import { entryOf } from "../../chain/statement.ts"
import { draftStatement, heartRatePack, honestHistory, sigStructure, spokenAt, withValue } from "./draft.ts"
import { array, bytes, hex, int, text } from "./items.ts"
import { ecKey, edKey, edKeyNext, keyInFile, strangerKey } from "./keys.ts"
import { type StatementVector, type VectorParts, makeVector } from "./statement-vector.ts"

const { Point } = ed25519
const order = Point.Fn.ORDER

function littleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, index) => Number((value >> BigInt(8 * index)) & 255n))
}

function fromLittleEndian(encoded: Uint8Array): bigint {
  return encoded.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

/** The private scalar of RFC 8032 §5.1.5. */
function scalarOf(key: PrivateKey): bigint {
  const digest = sha512(key.secret).slice(0, 32)
  digest[0]! &= 248
  digest[31] = (digest[31]! & 127) | 64
  return fromLittleEndian(digest) % order
}

/** `R ‖ S` with this encoded R, where S = r + k * a: what the equation demands of an R that is [r]B. */
function signatureWithR(encodedR: Uint8Array, r: bigint, key: PrivateKey, message: Uint8Array): Uint8Array {
  const k = fromLittleEndian(sha512(joinBytes(encodedR, key.publicKey.bytes, message))) % order
  return joinBytes(encodedR, littleEndian((r + k * scalarOf(key)) % order))
}

/** y = 1 is the neutral element; y = p + 1 is the same point written with a y that is not below p. */
const neutralPoint = hex("01" + "00".repeat(31))
const neutralNotCanonical = hex("ee" + "ff".repeat(30) + "7f")
/** A point of order 8. */
const torsionPoint = Point.fromBytes(
  hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
  false,
)

function sPlusOrder(signature: Uint8Array): Uint8Array {
  return joinBytes(signature.slice(0, 32), littleEndian(fromLittleEndian(signature.slice(32)) + order))
}

function flipped(source: Uint8Array, index: number): Uint8Array {
  return source.map((byte, place) => (place === index ? byte ^ 1 : byte))
}

/** The order of P-256, of which s is a remainder: n itself stands for zero. */
const p256Order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")

function signatureVectors(): [string, Omit<VectorParts, "rule">][] {
  const ec = { keys: [keyInFile(ecKey)] }
  const bad = 15 as const
  return [
    [
      "payload-bit-flipped",
      {
        description: "One bit of the reading is not what was signed.",
        verdict: bad,
        statement: draftStatement("payload-bit-flipped", {
          payloadItem: (payload) => bytes(flipped(payload, 25)),
        }),
      },
    ],
    [
      "header-bit-flipped",
      {
        description: "One bit of prev, in the header, is not what was signed.",
        verdict: bad,
        statement: draftStatement("header-bit-flipped", {
          signed: (header, payload) => sigStructure(flipped(header, header.length - 1), payload),
        }),
      },
    ],
    [
      "signature-bit-flipped",
      {
        description: "One bit of S is another.",
        verdict: bad,
        statement: draftStatement("signature-bit-flipped", {
          signature: (signature) => flipped(signature, 40),
        }),
      },
    ],
    [
      "signature-of-zeros",
      {
        description: "64 zero bytes as a signature.",
        verdict: bad,
        statement: draftStatement("signature-of-zeros", { signature: () => new Uint8Array(64) }),
      },
    ],
    [
      "signed-by-another-key",
      {
        description: "The kid of the enrolled key, signed by another.",
        verdict: bad,
        statement: draftStatement("signed-by-another-key", {
          signature: (_, message) => signMessage(strangerKey, message),
        }),
      },
    ],
    [
      "signed-without-context",
      {
        description: "The signature covers the payload alone, not the Sig_structure.",
        verdict: bad,
        statement: draftStatement("signed-without-context", { signed: (_, payload) => payload }),
      },
    ],
    [
      "signed-with-external-data",
      {
        description: "The signature covers external data that nobody else has.",
        verdict: bad,
        statement: draftStatement("signed-with-external-data", {
          signed: (header, payload) =>
            array(text("Signature1"), bytes(header), bytes(hex("6b 37")), bytes(payload)),
        }),
      },
    ],
    [
      "signed-as-cose-sign",
      {
        description: "The context string is that of COSE_Sign, Signature.",
        verdict: bad,
        statement: draftStatement("signed-as-cose-sign", {
          signed: (header, payload) =>
            array(text("Signature"), bytes(header), bytes(new Uint8Array(0)), bytes(payload)),
        }),
      },
    ],
    [
      "alg-not-of-the-key",
      {
        description: "alg says ESP256 and the key is Ed25519.",
        verdict: bad,
        statement: draftStatement("alg-not-of-the-key", {
          header: (pairs) => withValue(pairs, 1, int(algorithmEsp256)),
        }),
      },
    ],
    [
      "s-not-reduced",
      {
        description: "S + L in place of S: the equation holds, and one statement would have two entries.",
        verdict: bad,
        statement: draftStatement("s-not-reduced", { signature: sPlusOrder }),
      },
    ],
    [
      "small-order-r",
      {
        description:
          "R is the neutral element and S = k * a: the equation holds, and the rule on R does not.",
        verdict: bad,
        statement: draftStatement("small-order-r", {
          signature: (_, message) => signatureWithR(neutralPoint, 0n, edKey, message),
        }),
      },
    ],
    [
      "non-canonical-r",
      {
        description: "R is the neutral element with y = p + 1: some verifiers decode it and take it.",
        verdict: bad,
        statement: draftStatement("non-canonical-r", {
          signature: (_, message) => signatureWithR(neutralNotCanonical, 0n, edKey, message),
        }),
      },
    ],
    [
      "good-only-with-cofactor",
      {
        description:
          "R is off by a point of order 8: a verifier that multiplies by 8 takes it, one that does not refuses.",
        verdict: bad,
        statement: draftStatement("good-only-with-cofactor", {
          signature: (right, message) => {
            const r = fromLittleEndian(sha512(right)) % order
            return signatureWithR(Point.BASE.multiply(r).add(torsionPoint).toBytes(), r, edKey, message)
          },
        }),
      },
    ],
    [
      "ed25519ph",
      {
        description: "The signature is over SHA-512 of the Sig_structure.",
        verdict: bad,
        statement: draftStatement("ed25519ph", {
          signature: (_, message) => signMessage(edKey, sha512(message)),
        }),
      },
    ],
    [
      "high-s",
      {
        ...ec,
        description: "A good P-256 signature with s above n / 2.",
        verdict: 17,
        statement: draftStatement("high-s", { key: ecKey, signature: negateS }),
      },
    ],
    [
      "high-s-and-wrong",
      {
        ...ec,
        description: "s above n / 2 in a signature that is not good with n - s either.",
        verdict: bad,
        statement: draftStatement("high-s-and-wrong", {
          key: ecKey,
          signature: (signature) => flipped(negateS(signature), 63),
        }),
      },
    ],
    [
      "p256-r-zero",
      {
        ...ec,
        description: "r is zero.",
        verdict: bad,
        statement: draftStatement("p256-r-zero", {
          key: ecKey,
          signature: (signature) => joinBytes(new Uint8Array(32), signature.slice(32)),
        }),
      },
    ],
    [
      "p256-s-zero",
      {
        ...ec,
        description: "s is zero.",
        verdict: bad,
        statement: draftStatement("p256-s-zero", {
          key: ecKey,
          signature: (signature) => joinBytes(signature.slice(0, 32), new Uint8Array(32)),
        }),
      },
    ],
    [
      "p256-s-is-n",
      {
        ...ec,
        description: "s is n.",
        verdict: bad,
        statement: draftStatement("p256-s-is-n", {
          key: ecKey,
          signature: (signature) => joinBytes(signature.slice(0, 32), p256Order),
        }),
      },
    ],
    [
      "p256-little-endian",
      {
        ...ec,
        description: "r and s with their bytes reversed.",
        verdict: bad,
        statement: draftStatement("p256-little-endian", {
          key: ecKey,
          signature: (signature) =>
            joinBytes(signature.slice(0, 32).toReversed(), signature.slice(32).toReversed()),
        }),
      },
    ],
    [
      "p256-hashed-twice",
      {
        ...ec,
        description: "SHA-256 was taken twice: by the caller and by the signer.",
        verdict: bad,
        statement: draftStatement("p256-hashed-twice", {
          key: ecKey,
          signature: (_, message) =>
            p256.sign(sha256(message), ecKey.secret, { prehash: true, lowS: true, format: "compact" }),
        }),
      },
    ],
  ]
}

function placeVectors(): [string, Omit<VectorParts, "rule">][] {
  const rotated = [keyInFile(edKey, 1, 2, "rotation"), keyInFile(edKeyNext, 3)]
  const histories = new Map<string, ReturnType<typeof honestHistory>>()
  const before = (name: string, count: number): ReturnType<typeof honestHistory> => {
    if (!histories.has(name)) histories.set(name, honestHistory(name, count))
    return histories.get(name)!
  }
  const entryAt = (name: string, count: number, seq: number) => entryOf(before(name, count)[seq - 1]!.bytes)
  return [
    [
      "wrong-device",
      {
        description: "A sound statement of another device, on this device's topic.",
        verdict: 12,
        statement: draftStatement("wrong-device", { iss: "another-device" }),
      },
    ],
    [
      "kid-never-enrolled",
      {
        description: "Signed by a key that was never enrolled, under its own kid.",
        verdict: 13,
        statement: draftStatement("kid-never-enrolled", { key: strangerKey }),
      },
    ],
    [
      "kid-reversed",
      {
        description: "A kid that is no key's: the enrolled one with its bytes reversed.",
        verdict: 13,
        statement: draftStatement("kid-reversed", {
          header: (pairs) => withValue(pairs, 4, bytes(kidOf(edKey.publicKey).toReversed())),
        }),
      },
    ],
    [
      "seq-before-the-keys-first",
      {
        description: "The second key stands from seq 3; it signs seq 1.",
        verdict: 13,
        keys: rotated,
        statement: draftStatement("seq-before-the-keys-first", { key: edKeyNext }),
      },
    ],
    [
      "seq-after-a-rotation",
      {
        description: "A rotation ended the first key at seq 2; it signs seq 3.",
        verdict: 13,
        keys: rotated,
        before: before("seq-after-a-rotation", 2),
        statement: draftStatement("seq-after-a-rotation", {
          seq: 3,
          prev: entryAt("seq-after-a-rotation", 2, 2),
        }),
      },
    ],
    [
      "gap",
      {
        description: "seq 3 behind a head at 1.",
        verdict: 20,
        before: before("gap", 1),
        statement: draftStatement("gap", { seq: 3, prev: entryAt("gap", 1, 1) }),
      },
    ],
    [
      "first-is-seq-2",
      {
        description: "A device's first statement has seq 2.",
        verdict: 20,
        statement: draftStatement("first-is-seq-2", { seq: 2 }),
      },
    ],
    [
      "seq-largest",
      {
        description: "seq is 2^53 - 1 behind a head at 1.",
        verdict: 20,
        before: before("seq-largest", 1),
        statement: draftStatement("seq-largest", {
          seq: Number.MAX_SAFE_INTEGER,
          prev: entryAt("seq-largest", 1, 1),
        }),
      },
    ],
    [
      "prev-of-other-statement",
      {
        description: "seq 3, and prev is the entry of seq 1.",
        verdict: 21,
        before: before("prev-of-other-statement", 2),
        statement: draftStatement("prev-of-other-statement", {
          seq: 3,
          prev: entryAt("prev-of-other-statement", 2, 1),
        }),
      },
    ],
    [
      "prev-zeros-at-seq-2",
      {
        description: "seq 2 with the prev of a first statement.",
        verdict: 21,
        before: before("prev-zeros-at-seq-2", 1),
        statement: draftStatement("prev-zeros-at-seq-2", { seq: 2, prev: zeroHash }),
      },
    ],
    [
      "first-with-prev",
      {
        description: "seq 1 with a prev that is not zeros.",
        verdict: 21,
        statement: draftStatement("first-with-prev", { prev: sha256(text("nothing was before")) }),
      },
    ],
    [
      "old-seq-with-other-prev",
      {
        description: "Another seq 2 behind a head at 3, and its prev is not the entry of seq 1.",
        verdict: 21,
        before: before("old-seq-with-other-prev", 3),
        statement: draftStatement("old-seq-with-other-prev", {
          seq: 2,
          prev: sha256(text("another history")),
          payload: heartRatePack(spokenAt, 99),
        }),
      },
    ],
    [
      "prev-is-a-leaf-hash",
      {
        description: "prev is the leaf hash of the statement before, not its entry.",
        verdict: 21,
        before: before("prev-is-a-leaf-hash", 1),
        statement: draftStatement("prev-is-a-leaf-hash", {
          seq: 2,
          prev: sha256(joinBytes(hex("00"), entryAt("prev-is-a-leaf-hash", 1, 1))),
        }),
      },
    ],
    [
      "fork",
      {
        description: "Another seq 2 on the same prev, by the same key, behind a head at 2.",
        verdict: 22,
        before: before("fork", 2),
        statement: draftStatement("fork", {
          seq: 2,
          prev: entryAt("fork", 2, 1),
          payload: heartRatePack(spokenAt, 99),
        }),
      },
    ],
    [
      "fork-at-the-beginning",
      {
        description: "Another first statement.",
        verdict: 22,
        before: before("fork-at-the-beginning", 3),
        statement: draftStatement("fork-at-the-beginning", { payload: heartRatePack(spokenAt, 99) }),
      },
    ],
    [
      "fork-by-a-second-of-clock",
      {
        description:
          "The same reading signed again for one place with another iat: what a device does that does not keep its bytes.",
        verdict: 22,
        before: before("fork-by-a-second-of-clock", 1),
        statement: draftStatement("fork-by-a-second-of-clock", {
          iat: spokenAt + 1,
          payload: before("fork-by-a-second-of-clock", 1)[0]!.payload,
        }),
      },
    ],
  ]
}

export function refusedVectors(): StatementVector[] {
  return [
    ...signatureVectors().map(([name, parts]) => makeVector(name, { rule: "§2", ...parts })),
    ...placeVectors().map(([name, parts]) => makeVector(name, { rule: "§4", ...parts })),
  ]
}
