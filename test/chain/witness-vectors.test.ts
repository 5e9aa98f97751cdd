import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { encodeUtf8, formatBase64, joinBytes, parseBase64 } from "../../chain/bytes.ts"
import { checkCosignature, formatCosignerVkey, parseCosignerVkey } from "../../chain/cosignature.ts"
import { parseHash } from "../../chain/hash.ts"
import { formatNote, parseNote, parseVkey } from "../../chain/note.ts"
import {
  type WitnessVerdict,
  formatAddCheckpoint,
  judgeCheckpoint,
  parseAddCheckpoint,
} from "../../chain/tlog-witness.ts"
import type { CosignatureVector } from "../vectors/cosignatures.ts"
import { makeWitnessFiles } from "../vectors/generate.ts"
import type { WitnessVector } from "../vectors/witnesses.ts"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))
const list = (name: string): string[] => readdirSync(`${folder}${name}`).map((file) => `${name}/${file}`)
const read = (path: string): unknown => JSON.parse(readFileSync(folder + path, "utf8"))

const cosignatures = [...list("cosignatures/valid"), ...list("cosignatures/invalid")]
const witnesses = [...list("witnesses/valid"), ...list("witnesses/invalid")]

test("the generator makes the files of cosignatures and witnesses, and no file is without one", () => {
  const made = makeWitnessFiles()
  expect([...made.keys()].toSorted()).toEqual([...cosignatures, ...witnesses].toSorted())
  const others = [...made].filter(([path, text]) => readFileSync(folder + path, "utf8") !== text)
  expect(others.map(([path]) => path)).toEqual([])
  const verdicts = new Set(witnesses.map((path) => (read(path) as WitnessVector).verdict))
  expect(verdicts.size).toBe(7)
})

test("the request to a witness in FORMAT.md is the vector's, byte by byte", () => {
  const format = readFileSync(fileURLToPath(new URL("../../chain/FORMAT.md", import.meta.url)), "utf8")
  const [, example] = /^```add-checkpoint\n([^]*?)^```$/m.exec(format) ?? []
  expect(example).toBe((read("witnesses/valid/grown.json") as WitnessVector).request)
})

test.each(cosignatures)("%s is what it says", (path) => {
  const { witness, note, finding, time } = read(path) as CosignatureVector
  const cosigner = parseCosignerVkey(witness)!
  expect(formatCosignerVkey(cosigner)).toBe(witness)
  const parsed = parseNote(note)!
  expect(formatNote(parsed)).toBe(note)
  expect(checkCosignature(parsed, cosigner)).toEqual(
    finding === "good" ? { kind: "good", timestamp: time } : { kind: finding },
  )
})

test.each(witnesses)("%s is judged as it says", (path) => {
  const { logKeys, last, request, verdict, answer, split } = read(path) as WitnessVector
  const judged = judge(request, {
    keys: logKeys.map((vkey) => parseVkey(vkey)!),
    last: last === null ? null : { size: last.size, root: parseHash(parseBase64(last.root)!) },
  })
  expect(judged.kind).toBe(verdict)
  const shown = "split" in judged ? judged.split : null
  expect(shown === null ? undefined : formatBase64(shown.rootThere)).toBe(split)
  expect(judged.kind === "conflict" ? `${judged.size}\n` : undefined).toBe(answer)
})

function judge(
  request: string,
  log: Parameters<typeof judgeCheckpoint>[2],
): WitnessVerdict | { readonly kind: "malformed" } {
  const parsed = parseAddCheckpoint(encodeUtf8(request))
  if (parsed.kind === "malformed") return parsed
  // Whatever is taken prints as it came.
  expect(formatAddCheckpoint(parsed.request)).toBe(request)
  return judgeCheckpoint(parsed.request, parsed.checkpoint, log)
}

const grown = read("witnesses/valid/grown.json") as WitnessVector

test("a byte of a good request changed is never cosigned, and whatever is parsed prints as it came", () => {
  const bytes = encodeUtf8(grown.request)
  const log = {
    keys: grown.logKeys.map((vkey) => parseVkey(vkey)!),
    last: { size: grown.last!.size, root: parseHash(parseBase64(grown.last!.root)!) },
  }
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = bytes.map((byte, index) => (index === at ? byte ^ change : byte))
      const parsed = parseAddCheckpoint(changed)
      if (parsed.kind === "malformed") return
      expect(encodeUtf8(formatAddCheckpoint(parsed.request))).toEqual(changed)
      expect(judgeCheckpoint(parsed.request, parsed.checkpoint, log).kind).not.toBe("cosign")
    }),
    { numRuns: 400 },
  )
})

test("whatever is sent to a witness is parsed or malformed: no bytes make it throw", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "old ",
      "0",
      "9",
      "\n",
      "\n\n",
      "\u2014 ",
      " ",
      "tidemark.example/vectors",
      "AAAA",
      "=",
      "\ufeff",
    ),
    fc.string({ maxLength: 8, unit: "binary" }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 24 }), fc.uint8Array({ maxLength: 4 }), (pieces, tail) => {
      const { kind } = parseAddCheckpoint(joinBytes(encodeUtf8(pieces.join("")), tail))
      expect(["malformed", "request"]).toContain(kind)
    }),
    { numRuns: 1_000 },
  )
})
