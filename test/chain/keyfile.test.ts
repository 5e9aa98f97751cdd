import { type KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto"
import { expect, test } from "vitest"
import { encodeUtf8, formatBase64, formatBase64url, formatHex, parseHex } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { decodeCoseKey, encodeCoseKey, kidOf, makePrivateKey, thumbprintOf } from "../../chain/key.ts"
import { KeyFault, encodeSpki, formatJwk, parsePrivateKey, parsePublicKey } from "../../chain/keyfile.ts"
import { ecKey, edKey } from "../vectors/keys.ts"

/** The same key as node:crypto holds it, from a JWK that this test writes itself. */
function nodeKey(key: typeof edKey): KeyObject {
  const jwk = JSON.parse(formatJwk(key.publicKey)) as Record<string, string>
  return createPrivateKey({ key: { ...jwk, d: formatBase64url(key.secret) }, format: "jwk" })
}

const text = (value: unknown): Uint8Array =>
  encodeUtf8(typeof value === "string" ? value : JSON.stringify(value))

const kinds = [
  ["Ed25519", edKey],
  ["P-256", ecKey],
] as const

test.each(kinds)("%s: PKCS #8 from OpenSSL gives the private key, and its public half", (_, key) => {
  const pem = text(nodeKey(key).export({ type: "pkcs8", format: "pem" }))
  expect(parsePrivateKey(pem)).toEqual(key)
  expect(parsePublicKey(pem)).toEqual(key.publicKey)
})

test.each(kinds)("%s: SubjectPublicKeyInfo is read and written as OpenSSL does it", (_, key) => {
  const publicKey = createPublicKey(nodeKey(key))
  expect(parsePublicKey(text(publicKey.export({ type: "spki", format: "pem" })))).toEqual(key.publicKey)
  const der = publicKey.export({ type: "spki", format: "der" })
  expect(formatHex(encodeSpki(key.publicKey))).toBe(formatHex(der))
})

test.each(kinds)("%s: a JWK is read with and without its private half, and written", (_, key) => {
  const jwk = nodeKey(key).export({ format: "jwk" })
  expect(parsePrivateKey(text(jwk))).toEqual(key)
  expect(parsePublicKey(text(jwk))).toEqual(key.publicKey)
  expect(parsePublicKey(text(formatJwk(key.publicKey)))).toEqual(key.publicKey)
})

test.each(kinds)("%s: a binary COSE_Key is read, and is exactly what is written", (_, key) => {
  expect(parsePublicKey(encodeCoseKey(key.publicKey))).toEqual(key.publicKey)
})

test("SEC 1, with and without the block of parameters that `openssl ecparam` puts before it", () => {
  const pem = nodeKey(ecKey).export({ type: "sec1", format: "pem" }) as string
  const parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
  expect(parsePrivateKey(text(pem))).toEqual(ecKey)
  expect(parsePrivateKey(text(parameters + pem))).toEqual(ecKey)
})

test("a PEM with Windows line ends, and words around it, is the same key", () => {
  const pem = nodeKey(edKey).export({ type: "pkcs8", format: "pem" }) as string
  expect(parsePrivateKey(text(`Bag Attributes: none\r\n${pem.replaceAll("\n", "\r\n")}\r\n`))).toEqual(edKey)
})

test("the thumbprint is SHA-256 over the COSE_Key's required members, and the kid its first 8 bytes", () => {
  // RFC 8032 §7.1, test 1: its public key.
  const secret = parseHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")!
  const key = makePrivateKey(-19, secret).publicKey
  expect(formatHex(encodeCoseKey(key))).toBe(
    "a301012006215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
  )
  expect(formatHex(thumbprintOf(key))).toBe(formatHex(sha256(encodeCoseKey(key))))
  expect(formatHex(kidOf(key))).toBe("866eefbd6718c884")
})

const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 })
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" })
const secp256k1 = generateKeyPairSync("ec", { namedCurve: "secp256k1" })
const x25519 = generateKeyPairSync("x25519")
const pkcs8 = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }) as string
const spki = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }) as string
const edPem = pkcs8(nodeKey(edKey))
const ecJwk = nodeKey(ecKey).export({ format: "jwk" })
const edJwk = nodeKey(edKey).export({ format: "jwk" })
const zeros = formatBase64url(new Uint8Array(32))
const pemOf = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${formatBase64(der)}\n-----END ${label}-----\n`
/** SEC 1 of P-256 with this private number. */
const sec1Of = (secret: string): string =>
  pemOf("EC PRIVATE KEY", parseHex(`302502010104 20${secret}`.replace(" ", ""))!)
const p256Order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

test.each<[string, string | Uint8Array | object, RegExp]>([
  ["an RSA key", spki(rsa.publicKey), /neither Ed25519 nor P-256/],
  ["an RSA private key", pkcs8(rsa.privateKey), /neither Ed25519 nor P-256/],
  ["a P-384 key", spki(p384.publicKey), /neither Ed25519 nor P-256/],
  ["a P-384 private key", pkcs8(p384.privateKey), /neither Ed25519 nor P-256/],
  [
    "a P-384 key in SEC 1",
    p384.privateKey.export({ type: "sec1", format: "pem" }),
    /not a SEC 1 private key of P-256/,
  ],
  [
    "a secp256k1 key in SEC 1",
    secp256k1.privateKey.export({ type: "sec1", format: "pem" }),
    /the curve is not P-256/,
  ],
  ["a secp256k1 key", spki(secp256k1.publicKey), /neither Ed25519 nor P-256/],
  ["an X25519 key", spki(x25519.publicKey), /neither Ed25519 nor P-256/],
  ["an X25519 private key", pkcs8(x25519.privateKey), /neither Ed25519 nor P-256/],
  [
    "an encrypted key",
    nodeKey(edKey).export({ type: "pkcs8", format: "pem", cipher: "aes-128-cbc", passphrase: "p" }),
    /encrypted; decrypt it first/,
  ],
  ["a certificate", pemOf("CERTIFICATE", Uint8Array.of(0x30, 0)), /not CERTIFICATE/],
  ["a PEM that is cut", edPem.slice(0, 60), /cut or damaged/],
  ["a PEM with a foreign character", edPem.replace("MC4", "M*4"), /cut or damaged/],
  ["a PEM whose base64 lacks a character", edPem.replace("MC4", "MC"), /not base64/],
  ["a PEM of nothing", pemOf("PRIVATE KEY", Uint8Array.of(0x30, 0)), /not a PKCS #8 key/],
  [
    "a PKCS #8 whose seed is short",
    pemOf("PRIVATE KEY", parseHex("300d020100300506032b657004 0104".replace(" ", ""))!),
    /not an Ed25519 seed/,
  ],
  ["a P-256 private number of 0", sec1Of("00".repeat(32)), /from 1 to n - 1/],
  ["a P-256 private number of n", sec1Of(p256Order), /from 1 to n - 1/],
  ["a JWK that is no JSON", `{"kty": "OKP", `, /not JSON/],
  ["a JWK of a secret", { kty: "oct", k: zeros }, /must be OKP with Ed25519, or EC with P-256/],
  ["a JWK of P-384", p384.publicKey.export({ format: "jwk" }), /must be OKP with Ed25519, or EC with P-256/],
  ["a JWK without y", { ...ecJwk, y: undefined }, /member y must be 32 bytes/],
  ["a JWK with padding", { ...edJwk, x: `${edJwk.x}=` }, /member x must be 32 bytes/],
  ["a JWK whose d is short", { ...edJwk, d: "AAAA" }, /member d must be 32 bytes/],
  ["a JWK whose halves do not fit", { ...edJwk, d: zeros }, /halves do not fit/],
  ["a JWK whose private number of P-256 is 0", { ...ecJwk, d: zeros }, /from 1 to n - 1/],
  ["a JWK off the curve", { kty: "EC", crv: "P-256", x: zeros, y: ecJwk.y }, /not a point of the curve/],
  ["a JWK of small order", { kty: "OKP", crv: "Ed25519", x: zeros }, /small order/],
  ["a COSE_Key off the curve", parseHex(`a30101200621582002${"00".repeat(31)}`)!, /not a point of the curve/],
  [
    "a COSE_Key with alg",
    parseHex(`a4010103322006215820${formatHex(edKey.publicKey.bytes)}`)!,
    /neither PEM nor JWK/,
  ],
  [
    "a COSE_Key with y compressed to a sign",
    parseHex(`a401022001215820${"11".repeat(32)}22f5`)!,
    /neither PEM nor JWK/,
  ],
  ["an empty file", "", /neither PEM nor JWK/],
  ["a word", "hunter2", /neither PEM nor JWK/],
  ["DER nested a thousand deep", pemOf("PRIVATE KEY", nestedDer(1000)), /not a PKCS #8 key/],
  ["DER nested ten thousand deep", pemOf("PRIVATE KEY", nestedDer(10_000)), /not a PKCS #8 key/],
])("%s is refused by name, without a byte of the key", (_, file, message) => {
  const bytes = file instanceof Uint8Array ? file : text(file)
  let fault: unknown
  try {
    parsePrivateKey(bytes)
    parsePublicKey(bytes)
  } catch (error) {
    fault = error
  }
  // A public key fails here as one; what is wrong with it is for parsePublicKey to say.
  if (fault instanceof KeyFault && fault.message.startsWith("this is a public key")) {
    fault = faultOfPublic(bytes)
  }
  expect(fault).toBeInstanceOf(KeyFault)
  const told = (fault as KeyFault).message
  expect(told).toMatch(message)
  for (const secret of [formatHex(edKey.secret), formatHex(ecKey.secret), edJwk.d!, ecJwk.d!, "hunter2"]) {
    for (let at = 0; at + 6 <= secret.length; at++) expect(told).not.toContain(secret.slice(at, at + 6))
  }
})

function faultOfPublic(bytes: Uint8Array): unknown {
  try {
    parsePublicKey(bytes)
    return null
  } catch (error) {
    return error
  }
}

/** A sequence in a sequence in a sequence, as deep as two bytes of length allow. */
function nestedDer(depth: number): Uint8Array {
  const nested = new Uint8Array(4 * depth)
  for (let level = 0; level < depth; level++) {
    const length = 4 * (depth - level - 1)
    nested.set([0x30, 0x82, length >> 8, length & 255], 4 * level)
  }
  return nested
}

test("a public key is not taken where a private one is needed", () => {
  expect(() => parsePrivateKey(text(formatJwk(edKey.publicKey)))).toThrow(/private key is needed/)
})

const edCose = formatHex(encodeCoseKey(edKey.publicKey))
const ecCose = formatHex(encodeCoseKey(ecKey.publicKey))

test.each([
  [edCose.replace(/^a30101/, "a30102"), /label 1 must be 1/],
  [edCose.replace(/^a301012006/, "a301012004"), /label -1 must be 6/],
  [ecCose.replace(/^a401022001/, "a401022002"), /label -1 must be 1/],
  [`${edCose}00`, /after the end/],
  ["a201012006", /kty, crv and x/],
])("the COSE_Key %s is refused by its label", (digits, rule) => {
  expect(() => decodeCoseKey(parseHex(digits)!)).toThrow(rule)
})
