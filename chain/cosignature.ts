/** C2SP tlog-cosignature, version 1 of Ed25519: a witness says at which time it saw a log at a checkpoint. */
import { encodeUtf8, equalBytes, formatBase64, formatHex, joinBytes, parseBase64, parseHex } from "./bytes.ts"
import { sha256 } from "./hash.ts"
import { type PrivateKey, type PublicKey, algorithmEd25519 } from "./key.ts"
import { type Note, type NoteSignature, isNoteName } from "./note.ts"
import {
  type VerifyEquation,
  checkSignature,
  signMessage,
  signatureSize,
  verifyEquation,
} from "./signature.ts"

/** A witness: its name, and the Ed25519 key by which it cosigns. */
export interface Cosigner {
  /** Of the form of a note's key name. */
  readonly name: string
  readonly publicKey: PublicKey
}

/** C2SP signed-note: type byte of a timestamped Ed25519 cosignature. */
const typeCosignature = 4
const timestampSize = 8

/** First 4 bytes of SHA-256(name ‖ "\n" ‖ 04 ‖ key). */
export function cosignerKeyHash({ name, publicKey }: Cosigner): Uint8Array {
  return sha256(joinBytes(encodeUtf8(`${name}\n`), Uint8Array.of(typeCosignature), publicKey.bytes)).slice(
    0,
    4,
  )
}

/** `name+hash+key` of type 04. */
export function formatCosignerVkey(cosigner: Cosigner): string {
  const encoded = formatBase64(joinBytes(Uint8Array.of(typeCosignature), cosigner.publicKey.bytes))
  return `${cosigner.name}+${formatHex(cosignerKeyHash(cosigner))}+${encoded}`
}

/** Takes exactly what `formatCosignerVkey` makes; null for anything else. */
export function parseCosignerVkey(text: string): Cosigner | null {
  const [name, hash, ...rest] = text.split("+")
  // Base64 has `+` of its own.
  const encoded = parseBase64(rest.join("+"))
  if (name === undefined || hash === undefined || !isNoteName(name)) return null
  if (encoded?.length !== 33 || encoded[0] !== typeCosignature) return null
  const cosigner: Cosigner = {
    name,
    publicKey: { algorithm: algorithmEd25519, bytes: encoded.slice(1) },
  }
  const given = parseHex(hash)
  return given !== null &&
    equalBytes(given, cosignerKeyHash(cosigner)) &&
    formatCosignerVkey(cosigner) === text
    ? cosigner
    : null
}

/** What a cosignature covers: two lines, and the whole text of the note. */
function encodeCosignedMessage(text: string, timestamp: bigint): Uint8Array {
  return encodeUtf8(`cosignature/v1\ntime ${timestamp}\n${text}`)
}

/**
 * The signature of a witness for a note. Whether the log is consistent with what it saw before is for the witness to know.
 *
 * @param timestamp Unix seconds
 */
export function cosignNote(text: string, name: string, key: PrivateKey, timestamp: number): NoteSignature {
  const signature = signMessage(key, encodeCosignedMessage(text, BigInt(timestamp)))
  const stamped = new Uint8Array(timestampSize + signature.length)
  new DataView(stamped.buffer).setBigUint64(0, BigInt(timestamp))
  stamped.set(signature, timestampSize)
  return { name, keyHash: cosignerKeyHash({ name, publicKey: key.publicKey }), signature: stamped }
}

export type CosignatureFinding =
  | { readonly kind: "good"; /** Unix seconds. */ readonly timestamp: number }
  /** By this key's name and hash, and it does not verify: it spoils the note (C2SP signed-note). */
  | { readonly kind: "bad" }
  | { readonly kind: "none" }

/** The first cosignature of a witness under a note. */
export function checkCosignature(
  note: Note,
  cosigner: Cosigner,
  verify: VerifyEquation = verifyEquation,
): CosignatureFinding {
  const keyHash = cosignerKeyHash(cosigner)
  const found = note.signatures.find((one) => one.name === cosigner.name && equalBytes(one.keyHash, keyHash))
  if (found === undefined) return { kind: "none" }
  const { signature: stamped } = found
  if (stamped.length !== timestampSize + signatureSize) return { kind: "bad" }
  const timestamp = new DataView(stamped.buffer, stamped.byteOffset).getBigUint64(0)
  // The document allows 2^63 - 1; integers end at 2^53 - 1 here, which is the year 285,616,415.
  if (timestamp > BigInt(Number.MAX_SAFE_INTEGER)) return { kind: "bad" }
  const message = encodeCosignedMessage(note.text, timestamp)
  const verdict = checkSignature(
    cosigner.publicKey,
    algorithmEd25519,
    message,
    stamped.subarray(timestampSize),
    verify,
  )
  return verdict === "good" ? { kind: "good", timestamp: Number(timestamp) } : { kind: "bad" }
}
