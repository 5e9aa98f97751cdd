/** Signatures made to be disagreed about, from one seed: no vectors, but the same question as the vectors ask. */
import { ed25519 } from "@noble/curves/ed25519.js"
import { sha512 } from "@noble/hashes/sha2.js"
import { expect, test } from "vitest"
import { joinBytes, parseHex } from "../../chain/bytes.ts"
import { hmacSha256 } from "../../chain/heads.ts"
import { sha256 } from "../../chain/hash.ts"
import {
  type PrivateKey,
  type PublicKey,
  algorithmEd25519,
  algorithmEsp256,
  makePrivateKey,
} from "../../chain/key.ts"
import { type SignatureVerdict, negateS, signMessage } from "../../chain/signature.ts"
import { type Random, makeRandom } from "../../devices-sim/random.ts"
import { hmacNative, sha256Native } from "../../ingest/native.ts"
import { judgeByAll } from "./agreement.ts"

/** `expected` is what follows from how it was made. */
interface Crafted {
  readonly key: PublicKey
  readonly message: Uint8Array
  readonly signature: Uint8Array
  readonly expected: SignatureVerdict
}

const { Point } = ed25519
const order = Point.Fn.ORDER
const prime = 2n ** 255n - 19n
const orderP256 = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** A generator of the eight points of small order: a point of order 8 (C2SP/CCTV lists all 14 encodings). */
const torsion = Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}

function encodeInteger(value: bigint, endian: "little" | "big"): Uint8Array {
  const big = parseHex(value.toString(16).padStart(64, "0"))!
  return endian === "big" ? big : big.toReversed()
}

function challenge(r: Uint8Array, a: Uint8Array, message: Uint8Array): bigint {
  return littleEndian(sha512(joinBytes(r, a, message))) % order
}

function scalar(random: Random, bound: bigint): bigint {
  return 1n + (littleEndian(random.bytes(40)) % (bound - 1n))
}

/** One of the eight points of small order. */
function smallPoint(random: Random, indexMin: number): InstanceType<typeof Point> {
  return torsion.multiplyUnsafe(BigInt(random.int(indexMin, 7)))
}

function flipBit(bytes: Uint8Array, random: Random): Uint8Array {
  const flipped = Uint8Array.from(bytes)
  const bit = random.int(0, 8 * bytes.length - 1)
  flipped[bit >> 3]! ^= 1 << (bit & 7)
  return flipped
}

/** An encoding of a y from p to 2^255 - 1, with either sign. */
function nonCanonical(random: Random): Uint8Array {
  const bytes = encodeInteger(prime + BigInt(random.int(0, 18)), "little")
  if (random.int(0, 1) === 1) bytes[31]! |= 0x80
  return bytes
}

/** A signature whose key is aB + `onA` and whose R is rB + `onR`; S is honest, so the residue is onR + k onA. */
function signWithTorsion(
  random: Random,
  message: Uint8Array,
  onA: InstanceType<typeof Point>,
  onR: InstanceType<typeof Point>,
  isMixed: boolean,
): Crafted {
  // Without a part in the large group A and R are the points of small order themselves.
  const a = isMixed || !onA.is0() ? scalar(random, order) : 0n
  const base = Point.BASE
  const aPoint = (isMixed ? base.multiplyUnsafe(a) : Point.ZERO).add(onA)
  const r = scalar(random, order)
  const rPoint = base.multiplyUnsafe(r).add(onR)
  const key = { algorithm: algorithmEd25519, bytes: aPoint.toBytes() }
  const rBytes = rPoint.toBytes()
  const k = challenge(rBytes, key.bytes, message)
  const s = (r + (isMixed ? k * a : 0n)) % order
  const residue = onR.add(onA.multiplyUnsafe(k))
  return {
    key,
    message,
    signature: joinBytes(rBytes, encodeInteger(s, "little")),
    expected: residue.is0() && isMixed ? "good" : "bad",
  }
}

const ed25519Kinds: Record<string, (key: PrivateKey, message: Uint8Array, random: Random) => Crafted> = {
  honest: (key, message) => ({
    key: key.publicKey,
    message,
    signature: signMessage(key, message),
    expected: "good",
  }),
  "a bit of the signature flipped": (key, message, random) => ({
    key: key.publicKey,
    message,
    signature: flipBit(signMessage(key, message), random),
    expected: "bad",
  }),
  "a bit of the message flipped": (key, message, random) => ({
    key: key.publicKey,
    message: flipBit(message, random),
    signature: signMessage(key, message),
    expected: "bad",
  }),
  "a bit of the key flipped": (key, message, random) => ({
    key: { ...key.publicKey, bytes: flipBit(key.publicKey.bytes, random) },
    message,
    signature: signMessage(key, message),
    expected: "bad",
  }),
  "S + a multiple of L": (key, message, random) => {
    const signature = signMessage(key, message)
    const s = littleEndian(signature.subarray(32)) + BigInt(random.int(1, 14)) * order
    return {
      key: key.publicKey,
      message,
      signature: joinBytes(signature.subarray(0, 32), encodeInteger(s, "little")),
      expected: "bad",
    }
  },
  "R not canonical": (key, message, random) => {
    const r = nonCanonical(random)
    const k = challenge(r, key.publicKey.bytes, message)
    return {
      key: key.publicKey,
      message,
      signature: joinBytes(r, encodeInteger(k, "little")),
      expected: "bad",
    }
  },
  "A not canonical": (_, message, random) => {
    const r = scalar(random, order)
    const rBytes = Point.BASE.multiplyUnsafe(r).toBytes()
    return {
      key: { algorithm: algorithmEd25519, bytes: nonCanonical(random) },
      message,
      signature: joinBytes(rBytes, encodeInteger(r, "little")),
      expected: "bad",
    }
  },
  "A of small order": (_, message, random) =>
    signWithTorsion(random, message, smallPoint(random, 0), Point.ZERO, false),
  "R of small order": (key, message, random) => {
    // [S]B - [k]A is the neutral point, so a cofactored law takes it.
    const secret = littleEndian(ed25519.utils.getExtendedPublicKey(key.secret).head.slice(0, 32)) % order
    const rBytes = smallPoint(random, 0).toBytes()
    const k = challenge(rBytes, key.publicKey.bytes, message)
    const s = (k * secret) % order
    return {
      key: key.publicKey,
      message,
      signature: joinBytes(rBytes, encodeInteger(s, "little")),
      expected: "bad",
    }
  },
  "torsion on A": (_, message, random) =>
    signWithTorsion(random, message, smallPoint(random, 1), Point.ZERO, true),
  "torsion on R": (_, message, random) =>
    signWithTorsion(random, message, Point.ZERO, smallPoint(random, 1), true),
  "torsion on A and R": (_, message, random) =>
    signWithTorsion(random, message, smallPoint(random, 1), smallPoint(random, 1), true),
  noise: (_, message, random) => ({
    key: { algorithm: algorithmEd25519, bytes: random.bytes(32) },
    message,
    signature: joinBytes(random.bytes(63), Uint8Array.of(0)),
    expected: "bad",
  }),
}

function withR(signature: Uint8Array, r: bigint): Uint8Array {
  return joinBytes(encodeInteger(r, "big"), signature.subarray(32))
}

function withS(signature: Uint8Array, s: bigint): Uint8Array {
  return joinBytes(signature.subarray(0, 32), encodeInteger(s, "big"))
}

const edges = [0n, 1n, orderP256 - 1n, orderP256, orderP256 + 1n, 2n ** 256n - 1n, orderP256 >> 1n]

const p256Kinds: Record<string, (key: PrivateKey, message: Uint8Array, random: Random) => Crafted> = {
  honest: (key, message) => ({
    key: key.publicKey,
    message,
    signature: signMessage(key, message),
    expected: "good",
  }),
  "high s": (key, message) => ({
    key: key.publicKey,
    message,
    signature: negateS(signMessage(key, message)),
    expected: "high-s",
  }),
  "r at an edge": (key, message, random) => ({
    key: key.publicKey,
    message,
    signature: withR(signMessage(key, message), random.pick(edges)),
    expected: "bad",
  }),
  "s at an edge": (key, message, random) => ({
    key: key.publicKey,
    message,
    signature: withS(signMessage(key, message), random.pick(edges)),
    expected: "bad",
  }),
  "both at an edge": (key, message, random) => ({
    key: key.publicKey,
    message,
    signature: withR(withS(signMessage(key, message), random.pick(edges)), random.pick(edges)),
    expected: "bad",
  }),
  "a bit of the signature flipped": (key, message, random) => ({
    key: key.publicKey,
    message,
    signature: flipBit(signMessage(key, message), random),
    expected: "bad",
  }),
  "a bit of the message flipped": (key, message, random) => ({
    key: key.publicKey,
    message: flipBit(message, random),
    signature: signMessage(key, message),
    expected: "bad",
  }),
  "the key's other half": (key, message) => {
    const { bytes } = key.publicKey
    const primeP256 = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n
    const y = BigInt(`0x${Buffer.from(bytes.subarray(32)).toString("hex")}`)
    const negated = joinBytes(bytes.subarray(0, 32), encodeInteger(primeP256 - y, "big"))
    const signature = signMessage(key, message)
    return { key: { algorithm: algorithmEsp256, bytes: negated }, message, signature, expected: "bad" }
  },
  "a key off the curve": (key, message, random) => ({
    key: { algorithm: algorithmEsp256, bytes: flipBit(key.publicKey.bytes, random) },
    message,
    signature: signMessage(key, message),
    expected: "bad",
  }),
}

async function judgeCrafted(
  algorithm: PublicKey["algorithm"],
  kinds: typeof ed25519Kinds,
  count: number,
): Promise<Map<string, number>> {
  const random = makeRandom("signatures made to be disagreed about")
  const keys = Array.from({ length: 8 }, () => makePrivateKey(algorithm, random.bytes(32)))
  const names = Object.keys(kinds)
  const seen = new Map<string, number>()
  for (let index = 0; index < count; index++) {
    const kind = names[index % names.length]!
    const crafted = kinds[kind]!(random.pick(keys), random.bytes(random.int(1, 40)), random)
    const name = `${index}, ${kind}`
    const verdict = await judgeByAll(crafted.key, crafted.message, crafted.signature, name)
    expect(`${name}: ${verdict}`).toBe(`${name}: ${crafted.expected}`)
    seen.set(`${kind}: ${verdict}`, (seen.get(`${kind}: ${verdict}`) ?? 0) + 1)
  }
  return seen
}

test("2,600 crafted Ed25519 signatures get one verdict from all verifiers, the one they were made for", async () => {
  const seen = await judgeCrafted(algorithmEd25519, ed25519Kinds, 2_600)
  expect(seen.get("honest: good")).toBe(200)
  // A part of small order that leaves no residue verifies: the law is cofactorless, and enrolment keeps such keys out.
  expect(seen.get("torsion on A: good")).toBeGreaterThan(10)
  expect(seen.get("torsion on A and R: good")).toBeGreaterThan(10)
  expect(seen.get("torsion on R: bad")).toBe(200)
})

test("1,400 crafted P-256 signatures get one verdict from all verifiers, the one they were made for", async () => {
  const seen = await judgeCrafted(algorithmEsp256, p256Kinds, 1_400)
  expect(seen.get("high s: high-s")).toBe(156)
  expect(seen.get("s at an edge: bad")).toBeGreaterThan(150)
})

test("node's digests are noble's", () => {
  const random = makeRandom("digests")
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1_000, 65_535]) {
    const message = random.bytes(length)
    const key = random.bytes(random.int(1, 100))
    expect(sha256Native(message)).toEqual(sha256(message))
    expect(hmacNative(key, message)).toEqual(hmacSha256(key, message))
  }
})
