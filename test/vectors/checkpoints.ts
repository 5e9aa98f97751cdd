/** Checkpoints of a log as it publishes them (FORMAT.md §6), signed, and each refused for one fault. */
import { encodeUtf8, formatBase64, formatHex, joinBytes } from "../../chain/bytes.ts"
import { formatCheckpoint } from "../../chain/checkpoint.ts"
import { sha256 } from "../../chain/hash.ts"
import { type PrivateKey, algorithmEd25519 } from "../../chain/key.ts"
import { type NoteSignature, formatNote, formatVkey, noteKeyHash, signNote } from "../../chain/note.ts"
import { signMessage } from "../../chain/signature.ts"
import { strangerKey, testKey, vectorOrigin } from "./keys.ts"

export interface CheckpointVector {
  readonly description: string
  readonly rule: string
  /** Of the log, as its reader knows it. */
  readonly vkey: string
  readonly note: string
  readonly result: "opened" | "refused"
  readonly says?: { readonly origin: string; readonly size: number; readonly root: string }
}

const logKey = testKey(algorithmEd25519, "log")
const name = vectorOrigin
const vkey = formatVkey({ name, publicKey: logKey.publicKey })
const root = sha256(encodeUtf8("a root"))
const base = { origin: name, size: 1234, root }

function sign(text: string, key: PrivateKey = logKey, by = name): NoteSignature {
  return {
    name: by,
    keyHash: noteKeyHash({ name: by, publicKey: key.publicKey }),
    signature: signMessage(key, encodeUtf8(text)),
  }
}

const noteOf = (text: string, ...more: readonly NoteSignature[]): string =>
  formatNote({ text, signatures: [sign(text), ...more] })

const text = formatCheckpoint(base)
const good = noteOf(text)
const [own] = signNote(text, name, logKey).signatures
const unknown = sign(text, strangerKey, "witness.example/w1")

function opened(description: string, note: string, rest: Partial<typeof base> = {}): CheckpointVector {
  const { origin, size, root: ofTree } = { ...base, ...rest }
  return { description, rule: "§6", vkey, note, result: "opened", says: { origin, size, root: formatHex(ofTree) } }
}

/** Signed as it stands, whatever it says. */
function refused(description: string, note: string): CheckpointVector {
  return { description, rule: "§6", vkey, note, result: "refused" }
}

const lines = (size: string, encoded = formatBase64(root), origin = name): string => `${origin}\n${size}\n${encoded}\n`
const encodedRoot = formatBase64(root)

const valid: Readonly<Record<string, CheckpointVector>> = {
  signed: opened("By the log's key alone.", good),
  cosigned: opened("A line by somebody whom the reader does not know is passed over.", noteOf(text, unknown)),
  "cosigned-first": opened("The order of the lines says nothing.", formatNote({ text, signatures: [unknown, own!] })),
  "signed-twice": opened("A second line by the same key is passed over, whatever it holds.", noteOf(text, { ...own!, signature: new Uint8Array(64) })),
  "unknown-kind-of-key": opened(
    "A signature of another length, by a key that the reader does not know.",
    noteOf(text, { name: "other.example", keyHash: Uint8Array.of(1, 2, 3, 4), signature: new Uint8Array(2420) }),
  ),
  empty: opened("A log without leaves.", noteOf(formatCheckpoint({ ...base, size: 0 })), { size: 0 }),
  "largest-size": opened("2^53 - 1.", noteOf(formatCheckpoint({ ...base, size: 2 ** 53 - 1 })), { size: 2 ** 53 - 1 }),
  "hundred-signatures": opened("", noteOf(text, ...Array.from({ length: 99 }, () => unknown))),
}

const invalid: Readonly<Record<string, CheckpointVector>> = {
  "another-origin": refused("Of another log, signed by this one's key.", noteOf(lines("1234", encodedRoot, "tidemark.example/other"))),
  "origin-empty": refused("", noteOf(lines("1234", encodedRoot, ""))),
  "size-leading-zero": refused("", noteOf(lines("01234"))),
  "size-negative": refused("", noteOf(lines("-1"))),
  "size-plus": refused("", noteOf(lines("+1234"))),
  "size-in-hex": refused("", noteOf(lines("0x4d2"))),
  "size-with-a-fraction": refused("", noteOf(lines("1234.0"))),
  "size-missing": refused("", noteOf(lines(""))),
  "size-2-to-the-53": refused("One beyond the largest.", noteOf(lines("9007199254740992"))),
  "root-31-bytes": refused("", noteOf(lines("1234", formatBase64(root.slice(1))))),
  "root-33-bytes": refused("", noteOf(lines("1234", formatBase64(Uint8Array.of(...root, 0))))),
  "root-without-padding": refused("", noteOf(lines("1234", encodedRoot.replace("=", "")))),
  "root-base64url": refused("", noteOf(lines("1234", "-_".repeat(21) + "8="))),
  "root-spare-bits": refused("The last character has bits that no byte needs.", noteOf(lines("1234", encodedRoot.replace(/.=$/, "/=")))),
  "root-in-hex": refused("", noteOf(lines("1234", formatHex(root)))),
  "root-missing": refused("", noteOf(`${name}\n1234\n`)),
  "extension-line": refused("This log has none: who shows one shows something else.", noteOf(`${text}more\n`)),
  "space-behind-the-size": refused("", noteOf(lines("1234 "))),
  "carriage-returns": refused("", good.replaceAll("\n", "\r\n")),
  "empty-line-missing": refused("", good.replace("\n\n", "\n")),
  "last-line-feed-missing": refused("", good.slice(0, -1)),
  "line-behind": refused("", `${good}\n`),
  unsigned: refused("", `${text}\n`),
  "hyphen-for-a-dash": refused("", good.replace("\u2014", "-")),
  "signature-cut": refused("", noteOf(text).replace(/.{4}\n$/, "\n")),
  "signature-flipped": refused("", formatNote({ text, signatures: [{ ...own!, signature: own!.signature.map((byte, at) => (at === 5 ? byte ^ 1 : byte)) }] })),
  "signature-of-another-text": refused("The signature of 1,235 leaves.", formatNote({ text, signatures: [sign(formatCheckpoint({ ...base, size: 1235 }))] })),
  "signature-without-the-line-feed": refused(
    "It covers the text without its last line feed.",
    formatNote({ text, signatures: [{ ...own!, signature: signMessage(logKey, encodeUtf8(text.slice(0, -1))) }] }),
  ),
  "by-another-key": refused("Under the log's name.", formatNote({ text, signatures: [sign(text, strangerKey)] })),
  "by-another-name": refused("By the log's key, under another name.", formatNote({ text, signatures: [sign(text, logKey, "tidemark.example/other")] })),
  "key-hash-of-the-key-alone": refused(
    "The first four bytes of SHA-256 of the key: the name and the type are not in it.",
    formatNote({ text, signatures: [{ ...own!, keyHash: sha256(joinBytes(logKey.publicKey.bytes)).slice(0, 4) }] }),
  ),
  "by-nobody-known": refused("", formatNote({ text, signatures: [unknown] })),
  "hundred-and-one-signatures": refused("", noteOf(text, ...Array.from({ length: 100 }, () => unknown))),
}

/** Every file by its path under `test/vectors`. */
export function checkpointVectors(): Map<string, CheckpointVector> {
  const named = (folder: string, vectors: Readonly<Record<string, CheckpointVector>>) =>
    Object.entries(vectors).map(([file, vector]) => [`checkpoints/${folder}/${file}.json`, vector] as const)
  return new Map([...named("valid", valid), ...named("invalid", invalid)])
}
