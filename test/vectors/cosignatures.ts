/** Cosignatures of a checkpoint by a witness (C2SP tlog-cosignature, Ed25519, version 1): good ones, and one fault each. */
import { encodeUtf8 } from "../../chain/bytes.ts"
import { formatCheckpoint } from "../../chain/checkpoint.ts"
import { type Cosigner, cosignNote, cosignerKeyHash, formatCosignerVkey } from "../../chain/cosignature.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEd25519 } from "../../chain/key.ts"
import { type NoteSignature, formatNote, signNote } from "../../chain/note.ts"
import { signMessage } from "../../chain/signature.ts"
import { strangerKey, testKey, vectorOrigin } from "./keys.ts"

export interface CosignatureVector {
  readonly description: string
  readonly rule: string
  /** The witness's key as its reader knows it. */
  readonly witness: string
  readonly note: string
  /** `none`: as if it had not cosigned. `bad`: the note is refused. */
  readonly finding: "good" | "bad" | "none"
  /** Of a good one: Unix seconds. */
  readonly time?: number
}

const key = testKey(algorithmEd25519, "witness")
const cosigner: Cosigner = { name: "witness.example/w1", publicKey: key.publicKey }
const logKey = testKey(algorithmEd25519, "log of the cosignatures")
const time = 1_795_000_000
const text = formatCheckpoint({ origin: vectorOrigin, size: 21, root: sha256(encodeUtf8("root")) })
const ofLog = signNote(text, vectorOrigin, logKey).signatures
const cosignature = cosignNote(text, cosigner.name, key, time)
const document = "C2SP tlog-cosignature"

const noteOf = (...signatures: readonly NoteSignature[]): string => formatNote({ text, signatures: [...ofLog, ...signatures] })
const bent = (at: number): NoteSignature => ({
  ...cosignature,
  signature: cosignature.signature.map((byte, index) => (index === at ? byte ^ 1 : byte)),
})
/** A time, big-endian, and what was signed. */
function stamp(seconds: bigint, message: string): NoteSignature {
  const signature = new Uint8Array(72)
  new DataView(signature.buffer).setBigUint64(0, seconds)
  signature.set(signMessage(key, encodeUtf8(message)), 8)
  return { name: cosigner.name, keyHash: cosignerKeyHash(cosigner), signature }
}
const beyond = 2n ** 53n

type Case = readonly [description: string, rule: string, note: string, finding: CosignatureVector["finding"]]

const cases: Readonly<Record<string, Case>> = {
  "cosigned": ["a witness that saw the checkpoint", document, noteOf(cosignature), "good"],
  "before-the-log": ["signatures stand in any order", "C2SP signed-note", formatNote({ text, signatures: [cosignature, ...ofLog] }), "good"],
  "among-others": [
    "beside a witness that its reader does not know",
    "C2SP signed-note",
    noteOf(cosignNote(text, "witness.example/w2", strangerKey, time), cosignature),
    "good",
  ],
  "with-an-extension-line": [
    "an extension line is covered",
    document,
    formatNote({ text: `${text}an extension\n`, signatures: [cosignNote(`${text}an extension\n`, cosigner.name, key, time)] }),
    "good",
  ],
  "second-by-the-same-key-is-passed-over": ["the first one by a key counts", "§9", noteOf(cosignature, bent(20)), "good"],
  "not-cosigned": ["no cosignature of this witness", document, noteOf(), "none"],
  "another-name": ["by its key, under another name: the hash is of another key", "C2SP signed-note", noteOf({ ...cosignature, name: "witness.example/w2" }), "none"],
  "another-key": ["under its name, by another key", "C2SP signed-note", noteOf(cosignNote(text, cosigner.name, strangerKey, time)), "none"],
  "of-another-tree": ["of a checkpoint with another root", document, noteOf(cosignNote(formatCheckpoint({ origin: vectorOrigin, size: 21, root: sha256(encodeUtf8("another")) }), cosigner.name, key, time)), "bad"],
  "another-time": ["a bit of its time is turned", document, noteOf(bent(7)), "bad"],
  "bad-signature": ["a bit of its signature is turned", document, noteOf(bent(40)), "bad"],
  "no-time": ["a plain Ed25519 signature under the key's hash of type 04", document, noteOf({ ...cosignature, signature: signMessage(key, encodeUtf8(text)) }), "bad"],
  "plain-message": ["a time, and a signature of the text alone", document, noteOf(stamp(BigInt(time), text)), "bad"],
  "version-2": ["another version in the first line of what is signed", document, noteOf(stamp(BigInt(time), `cosignature/v2\ntime ${time}\n${text}`)), "bad"],
  "time-with-a-zero-before-it": ["the time is signed as 01795000000", document, noteOf(stamp(BigInt(time), `cosignature/v1\ntime 0${time}\n${text}`)), "bad"],
  "time-beyond-integers": ["a time of 2^53 seconds, beyond what is counted here", "§12", noteOf(stamp(beyond, `cosignature/v1\ntime ${beyond}\n${text}`)), "bad"],
}

export function cosignatureVectors(): Map<string, CosignatureVector> {
  return new Map(
    Object.entries(cases).map(([name, [description, rule, note, finding]]) => [
      `cosignatures/${finding === "good" ? "valid" : "invalid"}/${name}.json`,
      {
        description,
        rule,
        witness: formatCosignerVkey(cosigner),
        note,
        finding,
        ...(finding === "good" ? { time } : {}),
      },
    ]),
  )
}
