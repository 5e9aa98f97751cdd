import { expect, test } from "vitest"
import { parseBase64 } from "../../chain/bytes.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { formatNote, formatVkey, parseNote, parseVkey, signNote, verifyNote } from "../../chain/note.ts"
import { verifyNative } from "../../ingest/native.ts"
import { hasVectors, readVectorJson } from "./folder.ts"

interface SignedNotes {
  readonly cases: readonly {
    readonly name: string
    readonly vkeys: readonly string[]
    readonly note: string
    readonly verified?: readonly string[]
    readonly error?: "unverified" | "invalid signature" | "malformed"
  }[]
  readonly badVkeys: readonly string[]
  readonly testOnlySigningKeys: Readonly<Record<string, string>>
  readonly logVkeys: Readonly<Record<string, string>>
}

const readNotes = (): SignedNotes => readVectorJson("extracted/signed-notes.json") as SignedNotes

test.runIf(hasVectors)("signed notes of C2SP and Go open as they do there", () => {
  const { cases } = readNotes()
  const seen = { verified: 0, unverified: 0, "invalid signature": 0, malformed: 0 }
  for (const { name, vkeys, note, verified, error } of cases) {
    const keys = vkeys.map((vkey) => parseVkey(vkey)!)
    expect(keys.map(formatVkey)).toEqual(vkeys)
    const parsed = parseNote(note)
    const signers = parsed === null ? null : verifyNote(parsed, keys)
    const found = {
      name,
      malformed: parsed === null,
      signers: signers?.map((key) => key.name) ?? null,
      native:
        (parsed === null ? null : verifyNote(parsed, keys, verifyNative))?.map((key) => key.name) ?? null,
      printed: parsed === null ? note : formatNote(parsed),
    }
    // A note that nobody known has signed opens for us with no signers: whether that is enough is for who asks.
    const signersExpected = error === "unverified" ? [] : (verified ?? null)
    expect(found).toEqual({
      name,
      // More than 100 signatures are malformed here, and never read in Go.
      malformed: error === "malformed",
      signers: signersExpected,
      native: signersExpected,
      printed: note,
    })
    seen[error ?? "verified"] += 1
  }
  expect(seen).toEqual({ verified: 3, unverified: 1, "invalid signature": 1, malformed: 7 })
})

test.runIf(hasVectors)("a vkey that is damaged or of a kind that we do not verify is none", () => {
  const { badVkeys, logVkeys } = readNotes()
  expect(badVkeys.map(parseVkey)).toEqual([null, null])
  expect(badVkeys.length).toBe(2)
  const known = Object.entries(logVkeys).map(([name, vkey]) => [name, parseVkey(vkey)?.name ?? null])
  // Type 4 is a witness's Ed25519 cosignature (C2SP tlog-cosignature), 6 a mirror's: not a signed note's key.
  expect(Object.fromEntries(known)).toEqual({
    tesseraTestdata: "example.com/log/testdata",
    sunlightWitness: null,
    sunlightMirror: null,
  })
})

test.runIf(hasVectors)("we sign Go's note with Go's key to the same bytes", () => {
  const { cases, testOnlySigningKeys } = readNotes()
  const { note, vkeys } = cases.find(({ name }) => name === "go two sigs one known")!
  const encoded = testOnlySigningKeys["peter"]!.split("+").slice(4).join("+")
  const key = makePrivateKey(algorithmEd25519, parseBase64(encoded)!.slice(1))
  const theirs = parseNote(note)!
  const ours = signNote(theirs.text, "PeterNeumann", key)
  expect(ours.signatures[0]).toEqual(theirs.signatures[0])
  expect(formatVkey({ name: "PeterNeumann", publicKey: key.publicKey })).toBe(vkeys[0])
})
