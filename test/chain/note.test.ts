import * as fc from "fast-check"
import { expect, test } from "vitest"
import { formatBase64, joinBytes } from "../../chain/bytes.ts"
import { formatCheckpoint, parseCheckpoint, signCheckpoint } from "../../chain/checkpoint.ts"
import { parseHash, sha256, zeroHash } from "../../chain/hash.ts"
import { makePrivateKey } from "../../chain/key.ts"
import {
  type Note,
  type NoteKey,
  formatNote,
  formatVkey,
  isNoteName,
  noteKeyHash,
  parseNote,
  parseVkey,
  signNote,
  verifyNote,
} from "../../chain/note.ts"
import { ecKey, edKey, edKeyNext, vectorOrigin } from "../vectors/keys.ts"

const logKey: NoteKey = { name: vectorOrigin, publicKey: edKey.publicKey }
const witnessKey: NoteKey = { name: "witness.example", publicKey: edKeyNext.publicKey }
const text = "tidemark.example/vectors\n3\nAAAA\n"
const note = signNote(text, logKey.name, edKey)

const line = fc.string({ unit: "grapheme" }).filter((said) => !/[\x00-\x1f\x7f]/.test(said))
const name = fc.stringMatching(/^[a-z0-9.\-/é]{1,20}$/)

test("a note is read back as it was signed, and prints as the same text", () => {
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), name, (lines, signer) => {
      const signed = signNote(`${lines.join("\n")}\n`, signer, edKey)
      const printed = formatNote(signed)
      expect(parseNote(printed)).toEqual(signed)
      expect(verifyNote(signed, [{ name: signer, publicKey: edKey.publicKey }])).toHaveLength(1)
    }),
    { seed: 1, numRuns: 50 },
  )
})

test("whatever parses as a note prints as the same text", () => {
  const printed = formatNote(note)
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom("", "\n", " ", "+", "\u2014", "A", "\t", "="), (place, put) => {
      const at = place % printed.length
      const changed = printed.slice(0, at) + put + printed.slice(at + 1)
      const parsed = parseNote(changed)
      expect(parsed === null || formatNote(parsed) === changed).toBe(true)
    }),
    { seed: 2, numRuns: 2000 },
  )
})

test("a character changed in the text spoils the note for who knows the key, and means nothing to who does not", () => {
  const changed: Note = { ...note, text: text.replace("3", "4") }
  expect(verifyNote(note, [logKey])).toEqual([logKey])
  expect(verifyNote(changed, [logKey])).toBeNull()
  expect(verifyNote(changed, [witnessKey])).toEqual([])
  expect(verifyNote(note, [])).toEqual([])
})

test("each known key counts once, in whatever company", () => {
  const both: Note = {
    text,
    signatures: [
      ...note.signatures,
      ...note.signatures,
      ...signNote(text, witnessKey.name, edKeyNext).signatures,
    ],
  }
  expect(verifyNote(both, [witnessKey, logKey])).toEqual([logKey, witnessKey])
  const stranger = { ...witnessKey, name: "other.example" }
  expect(verifyNote(both, [stranger])).toEqual([])
})

test.each([
  ["no signatures", `${text}\n`],
  ["no blank line", formatNote(note).replace("\n\n", "\n")],
  ["no newline at the end", formatNote(note).slice(0, -1)],
  ["a hyphen in place of the dash", formatNote(note).replace("\u2014", "-")],
  ["a control character", formatNote(note).replace("AAAA", "AA\tA")],
  ["a carriage return", formatNote(note).replaceAll("\n", "\r\n")],
  ["a signature that is not base64", formatNote(note).replace(/=*\n$/, "*\n")],
  [
    "a signature of four bytes, which is a key's hash and nothing more",
    `${text}\n\u2014 n ${formatBase64(new Uint8Array(4))}\n`,
  ],
  ["a word too many", formatNote(note).replace(/\n$/, " x\n")],
  [
    "101 signatures",
    formatNote({ text, signatures: Array.from({ length: 101 }, () => note.signatures[0]!) }),
  ],
  ["nothing", ""],
])("%s: no note", (_, printed) => {
  expect(parseNote(printed)).toBeNull()
})

test("100 signatures are a note", () => {
  const signatures = Array.from({ length: 100 }, () => note.signatures[0]!)
  expect(parseNote(formatNote({ text, signatures }))?.signatures).toHaveLength(100)
})

test.each(["", "a b", "a+b", "a\u00a0b", "a\u0085b", "a\nb", "a\u2028b", "\ud800"])(
  "%j names no key of a note",
  (bad) => {
    expect(isNoteName(bad)).toBe(false)
    expect(() => signNote(text, bad, edKey)).toThrow(RangeError)
  },
)

test.each(["no newline", "a\u0000b\n", "a\tb\n", "\ud800\n"])("%j is no text of a note", (bad) => {
  expect(() => signNote(bad, "name", edKey)).toThrow(RangeError)
})

test("a vkey is read back, and any other text is none", () => {
  const vkey = formatVkey(logKey)
  expect(parseVkey(vkey)).toEqual(logKey)
  const [keyName, hash, encoded] = vkey.split("+") as [string, string, string]
  expect(hash).toMatch(/^[0-9a-f]{8}$/)
  for (const bad of [
    `${keyName}+${hash}`,
    `+${hash}+${encoded}`,
    `${keyName}+${hash.toUpperCase()}+${encoded}`.replace(hash.toUpperCase(), "ABCDEF01"),
    `${keyName}+00000000+${encoded}`,
    `${keyName}x+${hash}+${encoded}`,
    `${keyName}+${hash}+${encoded.slice(0, -4)}`,
    `${keyName}+${hash}+${formatBase64(joinBytes(Uint8Array.of(2), edKey.publicKey.bytes))}`,
    ` ${vkey}`,
    `${vkey}\n`,
    "",
  ]) {
    expect(parseVkey(bad)).toBeNull()
  }
})

test("vkeys are read back though their base64 has a + of its own", () => {
  const keys = Array.from(
    { length: 200 },
    (_, index) => makePrivateKey(-19, sha256(Uint8Array.of(index))).publicKey,
  )
  const vkeys = keys.map((publicKey) => formatVkey({ name: "log.example", publicKey }))
  expect(vkeys.filter((vkey) => vkey.split("+").length > 3).length).toBeGreaterThan(20)
  expect(vkeys.map((vkey) => parseVkey(vkey)?.publicKey)).toEqual(keys)
})

test("the key hash of a note is of its name and its key", () => {
  const joined = joinBytes(
    new TextEncoder().encode(`${logKey.name}\n`),
    Uint8Array.of(1),
    logKey.publicKey.bytes,
  )
  expect(noteKeyHash(logKey)).toEqual(sha256(joined).slice(0, 4))
})

test("a checkpoint is read back as it was signed, and the same size and root give the same bytes", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.uint8Array({ minLength: 32, maxLength: 32 }), (size, root) => {
      const checkpoint = { origin: vectorOrigin, size, root: parseHash(root) }
      expect(parseCheckpoint(formatCheckpoint(checkpoint))).toEqual(checkpoint)
      const signed = signCheckpoint(checkpoint, edKey)
      expect(signCheckpoint(checkpoint, edKey)).toBe(signed)
      const parsed = parseNote(signed)!
      expect(parseCheckpoint(parsed.text)).toEqual(checkpoint)
      expect(verifyNote(parsed, [logKey])).toEqual([logKey])
    }),
    { seed: 3, numRuns: 30 },
  )
})

const root = formatBase64(zeroHash)
test.each([
  `\n3\n${root}\n`,
  `log\n03\n${root}\n`,
  `log\n+3\n${root}\n`,
  `log\n-1\n${root}\n`,
  `log\n3.0\n${root}\n`,
  `log\n\n${root}\n`,
  `log\n9007199254740992\n${root}\n`,
  `log\n3\n${root}`,
  `log\n3\n${root}\n\n`,
  `log\n3\n${root}\nextension\n`,
  `log\n3\n${root.slice(0, -4)}\n`,
  `log\n3\n${root.replace("=", "")}\n`,
  `log\n3\n${root.replace("A=", "B=")}\n`,
  "log\n3\n",
  "",
])("%j is no checkpoint of this log", (bad) => {
  expect(parseCheckpoint(bad)).toBeNull()
})

test("a note is not signed under P-256: its key would be another kind", () => {
  expect(verifyNote(note, [{ name: logKey.name, publicKey: ecKey.publicKey }])).toEqual([])
})
