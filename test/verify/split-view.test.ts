import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { signCheckpoint } from "../../chain/checkpoint.ts"
import { TiledTree } from "../../chain/log-reader.ts"
import { type Note, type NoteKey, formatVkey, parseNote, parseVkey } from "../../chain/note.ts"
import {
  type SplitView,
  checkSplitView,
  formatSplitView,
  isSplitView,
  parseSplitView,
} from "../../chain/split-view.ts"
import { parseTlogPolicy } from "../../chain/tlog-policy.ts"
import { sha256Native, verifyNative } from "../../ingest/native.ts"
import { describeSplitResult, formatSplitResult, verifySplitView } from "../../verify/split-view.ts"
import { PublishedTree, entryOfLeaf } from "../chain/published-tree.ts"
import { makeSplitFiles } from "../vectors/generate.ts"
import { edKey, vectorOrigin } from "../vectors/keys.ts"
import type { SplitVector } from "../vectors/splits.ts"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))
const list = (name: string): string[] => readdirSync(`${folder}${name}`).map((file) => `${name}/${file}`)
const read = (path: string): SplitVector => JSON.parse(readFileSync(folder + path, "utf8")) as SplitVector
const files = [...list("splits/valid"), ...list("splits/invalid")]

const verifyVector = ({ policy, file }: SplitVector) => {
  const parsed = parseTlogPolicy(encodeUtf8(policy))
  if (parsed.kind === "fault") throw new Error(parsed.rule)
  return verifySplitView(encodeUtf8(file), parsed.policy, verifyNative)
}

test("the generator makes the split views that are committed, and no file is without one", () => {
  const made = makeSplitFiles()
  expect([...made.keys()].toSorted()).toEqual(files.toSorted())
  const others = [...made].filter(([path, text]) => readFileSync(folder + path, "utf8") !== text)
  expect(others.map(([path]) => path)).toEqual([])
})

test.each(list("splits/valid"))("%s proves that a log has signed two histories", (path) => {
  const vector = read(path)
  const result = verifyVector(vector)
  expect(describeSplitResult(result)).toEqual({ kind: vector.result, ...vector.says })
  expect(formatSplitResult(result)).toMatch(/^verified: the log .* has signed two histories/m)
})

test.each(list("splits/invalid"))("%s proves nothing", (path) => {
  const vector = read(path)
  const result = verifyVector(vector)
  expect(result).toMatchObject({ kind: vector.result, code: vector.code })
  expect(formatSplitResult(result)).toContain("This file proves nothing")
})

const logKey: NoteKey = { name: vectorOrigin, publicKey: edKey.publicKey }
const [one, other] = [
  new PublishedTree(40),
  new PublishedTree(40, (leaf) => entryOfLeaf(leaf < 13 ? leaf : leaf + 1000)),
]
const notes = new Map<string, Note>()
/** Each signed once: that is most of what these tests cost. */
function noteOf(published: PublishedTree, size: number): Note {
  const name = `${published === one} ${size}`
  const made =
    notes.get(name) ?? parseNote(signCheckpoint({ origin: vectorOrigin, ...published.head(size) }, edKey))!
  notes.set(name, made)
  return made
}

async function viewOf(
  from: PublishedTree,
  size1: number,
  to: PublishedTree,
  size2: number,
): Promise<SplitView> {
  const tree = await TiledTree.open(to, to.head(size2), sha256Native)
  return {
    first: noteOf(from, size1),
    second: noteOf(to, size2),
    rootThere: to.roots[size1]!,
    proof: await tree.proveConsistency(size1),
  }
}

test("of every two checkpoints of two logs a file proves the split where it is one, and of one log never", async () => {
  for (let size1 = 1; size1 <= 40; size1 += 3) {
    for (let size2 = size1; size2 <= 40; size2 += 4) {
      const twice = await viewOf(one, size1, other, size2)
      const check = (view: SplitView) => checkSplitView(view, logKey, verifyNative).kind
      expect(check(twice)).toBe(size1 > 13 ? "split" : "none")
      expect(check(await viewOf(one, size1, one, size2))).toBe("none")
      expect(parseSplitView(encodeUtf8(formatSplitView(twice)))).toEqual({ kind: "view", view: twice })
    }
  }
})

test("a file with any byte changed proves nothing", async () => {
  const file = encodeUtf8(formatSplitView(await viewOf(one, 17, other, 30)))
  const policy = { logs: [logKey], witnesses: [], quorum: { kind: "none" as const } }
  expect(isSplitView(file)).toBe(true)
  expect(verifySplitView(file, policy, verifyNative)).toMatchObject({
    kind: "split",
    first: one.head(17),
    second: other.head(30),
  })
  fc.assert(
    fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
      const changed = file.map((byte, place) => (place === at ? byte ^ bits : byte))
      expect(verifySplitView(changed, policy, verifyNative).kind).toBe("refused")
      const parsed = parseSplitView(changed)
      const printed = parsed.kind === "view" ? encodeUtf8(formatSplitView(parsed.view)) : changed
      expect(printed).toEqual(changed)
    }),
    { seed: 7, numRuns: 500 },
  )
})

test("the key of a split view is the one that the reader named, and not one in the file", async () => {
  const file = encodeUtf8(formatSplitView(await viewOf(one, 17, other, 30)))
  expect(formatVkey(logKey)).toBe(formatVkey(parseVkey(formatVkey(logKey))!))
  expect(verifySplitView(file, { logs: [], witnesses: [], quorum: { kind: "none" } })).toMatchObject({
    kind: "refused",
    code: "origin",
  })
})
