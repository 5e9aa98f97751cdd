/** How a device signs, and makes an entry of its outbox fit a place in its chain. */
import { type KeyObject, createPrivateKey, sign } from "node:crypto"
import { formatBase64url } from "../chain/bytes.ts"
import { type Hash, zeroHash } from "../chain/hash.ts"
import { type PrivateKey, type PublicKey, algorithmEd25519, kidOf } from "../chain/key.ts"
import { checkSignatureForm, negateS, signMessage, signatureSize } from "../chain/signature.ts"
import {
  type Claims,
  decodeStatement,
  encodeSignedBytes,
  encodeStatement,
  entryOf,
  statementSizeMax,
} from "../chain/statement.ts"
import type { Draft, Signed } from "./outbox.ts"

/** A private key in use; where it lies, in memory or in a secure element, is the caller's business. */
export interface Signer {
  readonly publicKey: PublicKey
  /** 64 bytes over the message. ECDSA may have a high s: it is replaced before anything is stored. */
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** A signer of a key in memory. `sign` is noble's by default; `signNatively` gives the same bytes, faster. */
export function makeSigner(
  key: PrivateKey,
  signWith: (key: PrivateKey, message: Uint8Array) => Uint8Array = signMessage,
): Signer {
  const signer: Signer = { publicKey: key.publicKey, sign: (message) => signWith(key, message) }
  privateKeys.set(signer, key)
  return signer
}

const privateKeys = new WeakMap<Signer, PrivateKey>()

/** The key in memory of a signer of ours, for a key store; null of any other. */
export function privateKeyOf(signer: Signer): PrivateKey | null {
  return privateKeys.get(signer) ?? null
}

/** A signature of which an ECDSA one has its low s. */
export function signLow(signer: Signer, message: Uint8Array): Uint8Array {
  const signature = signer.sign(message)
  const { publicKey } = signer
  return checkSignatureForm(publicKey, publicKey.algorithm, signature) === "high-s"
    ? negateS(signature)
    : signature
}

const keyObjects = new WeakMap<PrivateKey, KeyObject>()

/**
 * Ed25519 by node:crypto (RFC 8032 is deterministic: the same bytes as noble's), P-256 by noble, since node:crypto has
 * no RFC 6979.
 */
export function signNatively(key: PrivateKey, message: Uint8Array): Uint8Array {
  const { algorithm, bytes } = key.publicKey
  if (algorithm !== algorithmEd25519) return signMessage(key, message)
  let keyObject = keyObjects.get(key)
  if (keyObject === undefined) {
    const [d, x] = [formatBase64url(key.secret), formatBase64url(bytes)]
    keyObject = createPrivateKey({ key: { kty: "OKP", crv: "Ed25519", d, x }, format: "jwk" })
    keyObjects.set(key, keyObject)
  }
  return Uint8Array.from(sign(null, message, keyObject))
}

/** Who speaks: the device and its key. */
export interface Speaker {
  readonly id: string
  readonly signer: Signer
  readonly kid: Uint8Array
}

export function makeSpeaker(id: string, signer: Signer): Speaker {
  return { id, signer, kid: kidOf(signer.publicKey) }
}

function claimsOf(speaker: Speaker, draft: Draft, seq: number, prev: Hash): Claims {
  const { content, payload, iat, sub } = draft
  const { algorithm } = speaker.signer.publicKey
  return { algorithm, kid: speaker.kid, iss: speaker.id, content, payload, iat, sub, seq, prev }
}

/** Makes and signs a draft's statement for one place. Throws where `findDraftFault` would have found a fault. */
export function signDraft(speaker: Speaker, draft: Draft, seq: number, prev: Hash): Signed {
  const claims = claimsOf(speaker, draft, seq, prev)
  const bytes = encodeStatement(claims, signLow(speaker.signer, encodeSignedBytes(claims)))
  return { seq, prev, entry: entryOf(bytes), bytes }
}

/** The same statement with the other s: what verdict 17 asks for. The signed bytes stay, the entry changes. */
export function replaceS(signed: Signed): Signed {
  const cut = signed.bytes.length - signatureSize
  const bytes = Uint8Array.from(signed.bytes)
  bytes.set(negateS(signed.bytes.subarray(cut)), cut)
  return { ...signed, entry: entryOf(bytes), bytes }
}

export type DraftFault =
  | { readonly kind: "malformed"; readonly rule: string }
  | { readonly kind: "too-large"; readonly sizeBytes: number }

/** Why a draft cannot become a statement at whatever place, or null. Found before anything is stored or signed. */
export function findDraftFault(speaker: Speaker, draft: Draft): DraftFault | null {
  // The longest seq there is: a place further on must not make it too large.
  const claims = claimsOf(speaker, draft, Number.MAX_SAFE_INTEGER, zeroHash)
  const decoded = decodeStatement(encodeStatement(claims, new Uint8Array(signatureSize)))
  if (decoded.kind === "statement") return null
  if (decoded.kind === "malformed") return { kind: "malformed", rule: decoded.rule }
  return { kind: "too-large", sizeBytes: Math.max(decoded.sizeBytes, statementSizeMax + 1) }
}
