/** Keys as people keep them: PEM, JWK and binary COSE_Key, read; JWK and SubjectPublicKeyInfo, written. */
import { equalBytes, formatBase64url, joinBytes, parseBase64, parseBase64url, parseHex } from "./bytes.ts"
import { FormatFault } from "./cbor.ts"
import { readDer } from "./der.ts"
import {
  type Algorithm,
  type PrivateKey,
  type PublicKey,
  algorithmEd25519,
  algorithmEsp256,
  decodeCoseKey,
  equalKeys,
  findKeyFault,
  makePrivateKey,
} from "./key.ts"

/** Why a text or file is not a key that can be used. Never carries key material. */
export class KeyFault extends Error {
  override readonly name = "KeyFault"
}

const spkiEd25519 = parseHex("302a300506032b6570032100")!
const spkiP256 = parseHex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")!
const oidEd25519 = parseHex("2b6570")!
const oidEcPublicKey = parseHex("2a8648ce3d0201")!
const oidP256 = parseHex("2a8648ce3d030107")!

/**
 * A public key from PEM (SubjectPublicKeyInfo, or a private key whose public half is taken), a JWK as JSON text, or a
 * binary COSE_Key. Throws a KeyFault that says which formats are read and what is wrong.
 */
export function parsePublicKey(file: Uint8Array): PublicKey {
  const key = parseAnyKey(file)
  const publicKey = "secret" in key ? key.publicKey : key
  const fault = findKeyFault(publicKey)
  if (fault !== null) throw new KeyFault(fault)
  return publicKey
}

/** A private key from PEM (PKCS #8, or SEC 1 for P-256) or a JWK with `d`. Throws a KeyFault. */
export function parsePrivateKey(file: Uint8Array): PrivateKey {
  const key = parseAnyKey(file)
  if (!("secret" in key)) throw new KeyFault("this is a public key, and a private key is needed")
  return key
}

function parseAnyKey(file: Uint8Array): PublicKey | PrivateKey {
  const text = new TextDecoder().decode(file).trim()
  if (text.startsWith("{")) return parseJwk(text)
  const pem = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----/
  // `openssl ecparam -genkey` puts a block of parameters before the key.
  const [, label, body] =
    pem.exec(text.replace(/-----BEGIN EC PARAMETERS-----[^-]*-----END EC PARAMETERS-----/, "")) ?? []
  if (label !== undefined && body !== undefined) {
    const der = parseBase64(body.replaceAll(/\s/g, ""))
    if (der === null) throw new KeyFault("the PEM block is not base64")
    return parsePemBlock(label, der)
  }
  if (text.includes("-----BEGIN")) throw new KeyFault("the PEM block is cut or damaged")
  try {
    return decodeCoseKey(file)
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    throw new KeyFault(`neither PEM nor JWK, and as a binary COSE_Key: ${error.message}`, { cause: error })
  }
}

function parsePemBlock(label: string, der: Uint8Array): PublicKey | PrivateKey {
  if (label === "PUBLIC KEY") return decodeSpki(der)
  if (label === "PRIVATE KEY") return decodePkcs8(der)
  if (label === "EC PRIVATE KEY") return decodeSec1(der)
  if (label === "ENCRYPTED PRIVATE KEY") throw new KeyFault("the private key is encrypted; decrypt it first")
  throw new KeyFault(`PEM blocks PUBLIC KEY, PRIVATE KEY and EC PRIVATE KEY are read, not ${label}`)
}

function decodeSpki(der: Uint8Array): PublicKey {
  if (der.length === 44 && equalBytes(der.subarray(0, 12), spkiEd25519)) {
    return { algorithm: algorithmEd25519, bytes: der.slice(12) }
  }
  if (der.length === 91 && equalBytes(der.subarray(0, 27), spkiP256)) {
    return { algorithm: algorithmEsp256, bytes: der.slice(27) }
  }
  throw new KeyFault("the key is neither Ed25519 nor P-256 with an uncompressed point")
}

/** RFC 5958 §2, RFC 8410 §7, RFC 5915 §3. */
function decodePkcs8(der: Uint8Array): PrivateKey {
  const [version, algorithm, secret] = readDer(der)?.children ?? []
  const [oid, curve] = algorithm?.children ?? []
  if (version === undefined || oid === undefined || secret === undefined)
    throw new KeyFault("not a PKCS #8 key")
  if (equalBytes(oid.content, oidEd25519)) {
    const seed = readDer(secret.content)
    if (seed === null || seed.tag !== 0x04 || seed.content.length !== 32)
      throw new KeyFault("not an Ed25519 seed")
    return makePrivateKey(algorithmEd25519, seed.content)
  }
  if (equalBytes(oid.content, oidEcPublicKey) && curve !== undefined && equalBytes(curve.content, oidP256)) {
    return decodeSec1(secret.content)
  }
  throw new KeyFault("the key is neither Ed25519 nor P-256")
}

function decodeSec1(der: Uint8Array): PrivateKey {
  const [version, secret, parameters] = readDer(der)?.children ?? []
  if (version === undefined || secret === undefined || secret.content.length !== 32) {
    throw new KeyFault("not a SEC 1 private key of P-256")
  }
  const curve = parameters?.tag === 0xa0 ? parameters.children[0] : undefined
  if (curve !== undefined && !equalBytes(curve.content, oidP256)) throw new KeyFault("the curve is not P-256")
  return makeKey(algorithmEsp256, secret.content)
}

function makeKey(algorithm: Algorithm, secret: Uint8Array): PrivateKey {
  try {
    return makePrivateKey(algorithm, secret)
  } catch {
    throw new KeyFault("the private number of P-256 must be from 1 to n - 1")
  }
}

/** RFC 7517 with RFC 8037 (OKP) and RFC 7518 §6.2 (EC). */
function parseJwk(text: string): PublicKey | PrivateKey {
  let jwk: Record<string, unknown>
  try {
    jwk = JSON.parse(text) as Record<string, unknown>
  } catch {
    throw new KeyFault("the JWK is not JSON")
  }
  const member = (name: string): Uint8Array => {
    const value = jwk[name]
    const bytes = typeof value === "string" ? parseBase64url(value) : null
    if (bytes?.length !== 32) throw new KeyFault(`JWK member ${name} must be 32 bytes in base64url`)
    return bytes
  }
  let key: PublicKey
  if (jwk["kty"] === "OKP" && jwk["crv"] === "Ed25519")
    key = { algorithm: algorithmEd25519, bytes: member("x") }
  else if (jwk["kty"] === "EC" && jwk["crv"] === "P-256") {
    key = { algorithm: algorithmEsp256, bytes: joinBytes(member("x"), member("y")) }
  } else throw new KeyFault("a JWK must be OKP with Ed25519, or EC with P-256")
  if (jwk["d"] === undefined) return key
  const privateKey = makeKey(key.algorithm, member("d"))
  if (!equalKeys(privateKey.publicKey, key))
    throw new KeyFault("the JWK's public and private halves do not fit")
  return privateKey
}

/** JWK of a public key, as JSON text. */
export function formatJwk(key: PublicKey): string {
  return key.algorithm === algorithmEd25519
    ? JSON.stringify({ kty: "OKP", crv: "Ed25519", x: formatBase64url(key.bytes) })
    : JSON.stringify({
        kty: "EC",
        crv: "P-256",
        x: formatBase64url(key.bytes.subarray(0, 32)),
        y: formatBase64url(key.bytes.subarray(32)),
      })
}

/** SubjectPublicKeyInfo in DER (RFC 8410 §4, RFC 5480 §2): what node:crypto and OpenSSL read. */
export function encodeSpki(key: PublicKey): Uint8Array {
  return joinBytes(key.algorithm === algorithmEd25519 ? spkiEd25519 : spkiP256, key.bytes)
}
