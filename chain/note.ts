/** C2SP signed-note: a text, and Ed25519 signatures by named keys. */
import {
  compareBytes,
  encodeUtf8,
  equalBytes,
  formatBase64,
  formatHex,
  joinBytes,
  parseBase64,
  parseHex,
} from "./bytes.ts"
import { sha256 } from "./hash.ts"
import { type PrivateKey, type PublicKey, algorithmEd25519 } from "./key.ts"
import { type VerifyEquation, checkSignature, signMessage, verifyEquation } from "./signature.ts"

/** Who may sign a note: `name+hash+key` in text form. */
export interface NoteKey {
  /** Not empty, no spaces, no `+`. */
  readonly name: string
  readonly publicKey: PublicKey
}

export interface NoteSignature {
  readonly name: string
  /** First 4 bytes of SHA-256(name ‖ "\n" ‖ 01 ‖ key). */
  readonly keyHash: Uint8Array
  /** What follows the key hash: 64 bytes for Ed25519; other kinds have other lengths. */
  readonly signature: Uint8Array
}

export interface Note {
  /** Ends with a newline, which the signatures cover. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** C2SP signed-note: type byte of Ed25519. */
const typeEd25519 = 1
const signaturesMax = 100
const dash = "\u2014"

export function isNoteName(name: string): boolean {
  return name !== "" && !/[\s\p{White_Space}+\x00-\x1f\x7f]/u.test(name) && name.isWellFormed()
}

export function noteKeyHash({ name, publicKey }: NoteKey): Uint8Array {
  return sha256(joinBytes(encodeUtf8(`${name}\n`), Uint8Array.of(typeEd25519), publicKey.bytes)).slice(0, 4)
}

/** `name+hash+key`, the vkey of C2SP signed-note. */
export function formatVkey(key: NoteKey): string {
  const encoded = formatBase64(joinBytes(Uint8Array.of(typeEd25519), key.publicKey.bytes))
  return `${key.name}+${formatHex(noteKeyHash(key))}+${encoded}`
}

/** Takes exactly what `formatVkey` makes; null for anything else. */
export function parseVkey(text: string): NoteKey | null {
  const [name, hash, ...rest] = text.split("+")
  // Base64 has `+` of its own.
  const encoded = parseBase64(rest.join("+"))
  if (name === undefined || hash === undefined || !isNoteName(name)) return null
  if (encoded?.length !== 33 || encoded[0] !== typeEd25519) return null
  const key: NoteKey = { name, publicKey: { algorithm: algorithmEd25519, bytes: encoded.slice(1) } }
  const given = parseHex(hash)
  return given !== null && equalBytes(given, noteKeyHash(key)) && formatVkey(key) === text ? key : null
}

/** Throws a RangeError on a text that no note can hold. */
export function signNote(text: string, name: string, key: PrivateKey): Note {
  if (!text.endsWith("\n") || /[\x00-\x09\x0b-\x1f\x7f]/.test(text) || !text.isWellFormed()) {
    throw new RangeError("a note is lines of text without control characters")
  }
  if (!isNoteName(name))
    throw new RangeError("the name of a note's key is not empty and has neither spaces nor +")
  const keyHash = noteKeyHash({ name, publicKey: key.publicKey })
  return { text, signatures: [{ name, keyHash, signature: signMessage(key, encodeUtf8(text)) }] }
}

export function formatNote({ text, signatures }: Note): string {
  return `${text}\n${formatSignatures(signatures)}`
}

/** A line for each: what stands below the empty line of a note. */
export function formatSignatures(signatures: readonly NoteSignature[]): string {
  return signatures
    .map(({ name, keyHash, signature }) => `${dash} ${name} ${formatBase64(joinBytes(keyHash, signature))}\n`)
    .join("")
}

/** Takes exactly what `formatNote` makes, with at least one signature and at most 100; null for anything else. */
export function parseNote(note: string): Note | null {
  const split = note.lastIndexOf("\n\n")
  if (split < 0 || !note.endsWith("\n") || /[\x00-\x09\x0b-\x1f\x7f]/.test(note) || !note.isWellFormed())
    return null
  const text = note.slice(0, split + 1)
  const signatures = parseSignatures(note.slice(split + 2))
  return signatures === null ? null : { text, signatures }
}

/** Takes exactly what `formatSignatures` makes of 1 to 100 signatures; null for anything else. */
export function parseSignatures(text: string): NoteSignature[] | null {
  if (!text.endsWith("\n")) return null
  const lines = text.slice(0, -1).split("\n")
  if (lines.length > signaturesMax) return null
  const signatures: NoteSignature[] = []
  for (const line of lines) {
    const [mark, name, encoded, ...rest] = line.split(" ")
    const bytes = encoded === undefined ? null : parseBase64(encoded)
    if (mark !== dash || name === undefined || !isNoteName(name) || rest.length > 0) return null
    if (bytes === null || bytes.length < 5) return null
    signatures.push({ name, keyHash: bytes.slice(0, 4), signature: bytes.slice(4) })
  }
  return signatures
}

/**
 * The keys among these that signed the note. A signature that names a known key and does not verify spoils the whole
 * note: null (C2SP signed-note). Unknown signatures are ignored; a second one by the same key as well.
 */
export function verifyNote(
  note: Note,
  keys: readonly NoteKey[],
  verify: VerifyEquation = verifyEquation,
): NoteKey[] | null {
  const message = encodeUtf8(note.text)
  const signers: NoteKey[] = []
  for (const { name, keyHash, signature } of note.signatures) {
    const key = keys.find((one) => one.name === name && compareBytes(noteKeyHash(one), keyHash) === 0)
    if (key === undefined || signers.includes(key)) continue
    if (checkSignature(key.publicKey, algorithmEd25519, message, signature, verify) !== "good") return null
    signers.push(key)
  }
  return signers
}
