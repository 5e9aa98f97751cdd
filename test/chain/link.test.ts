import * as fc from "fast-check"
import { expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { type Hash, sha256, zeroHash } from "../../chain/hash.ts"
import { kidOf } from "../../chain/key.ts"
import {
  type Candidate,
  type ChainState,
  type DeviceKey,
  type DeviceStatus,
  findKey,
  judgeLink,
  noHead,
  verdictOfNext,
} from "../../chain/link.ts"
import {
  isRefusal,
  isStored,
  parseVerdictCode,
  statementVerdicts,
  verdictAdvice,
  verdictCodes,
} from "../../chain/verdict.ts"
import { ecKey, edKey, strangerKey } from "../vectors/keys.ts"

/** A place by a word: its entry, and the digest of what was signed there. */
const hash = (word: string): Hash => sha256(encodeUtf8(word))
const placeOf = (word: string): { entry: Hash; signedDigest: Hash } => ({
  entry: hash(`entry ${word}`),
  signedDigest: hash(`signed ${word}`),
})

/** A chain that holds these words, from seq 1 on. */
function chainOf(words: readonly string[], status: DeviceStatus = "active"): ChainState {
  const last = words.at(-1)
  return {
    status,
    firstPrev: () => zeroHash,
    head: last === undefined ? noHead : { seq: words.length, entry: placeOf(last).entry },
    stored: (seq) => (words[seq - 1] === undefined ? null : placeOf(words[seq - 1]!)),
  }
}

function candidate(
  word: string,
  seq: number,
  prevWord: string | null,
  parts: Partial<Candidate> = {},
): Candidate {
  const prev = prevWord === null ? zeroHash : placeOf(prevWord).entry
  return { seq, prev, ...placeOf(word), isRevokedBeyond: false, ...parts }
}

const abc = ["a", "b", "c"]
const beyond = { isRevokedBeyond: true }

test.each<[string, Candidate, ChainState, string]>([
  ["the first", candidate("a", 1, null), chainOf([]), "next"],
  ["the next", candidate("d", 4, "c"), chainOf(abc), "next"],
  ["the first with a prev", candidate("a", 1, "x"), chainOf([]), "broken"],
  ["the second of an empty chain", candidate("b", 2, "a"), chainOf([]), "gap"],
  ["the second of an empty chain, on zeros", candidate("b", 2, null), chainOf([]), "gap"],
  ["one too far", candidate("e", 5, "d"), chainOf(abc), "gap"],
  ["the largest seq", candidate("z", Number.MAX_SAFE_INTEGER, "c"), chainOf(abc), "gap"],
  ["the next on the statement before the head", candidate("d", 4, "b"), chainOf(abc), "broken"],
  ["the next on zeros", candidate("d", 4, null), chainOf(abc), "broken"],
  ["the head again", candidate("c", 3, "b"), chainOf(abc), "duplicate"],
  ["the first again", candidate("a", 1, null), chainOf(abc), "duplicate"],
  [
    "the head under another signature",
    candidate("c", 3, "b", { entry: hash("re-signed") }),
    chainOf(abc),
    "duplicate",
  ],
  ["other bytes in the head's place", candidate("x", 3, "b"), chainOf(abc), "fork"],
  ["other bytes in the middle", candidate("x", 2, "a"), chainOf(abc), "fork"],
  ["other bytes in the first place", candidate("x", 1, null), chainOf(abc), "fork"],
  ["other bytes in the middle on another prev", candidate("x", 2, "y"), chainOf(abc), "broken"],
  ["other bytes in the first place on a prev", candidate("x", 1, "y"), chainOf(abc), "broken"],
  [
    "the signed bytes of one place in another",
    candidate("a", 2, "a", { signedDigest: placeOf("a").signedDigest }),
    chainOf(abc),
    "fork",
  ],

  ["the next of a revoked device", candidate("d", 4, "c"), chainOf(abc, "revoked"), "revoked"],
  ["the head of a revoked device again", candidate("c", 3, "b"), chainOf(abc, "revoked"), "duplicate"],
  ["a fork of a revoked device", candidate("x", 3, "b"), chainOf(abc, "revoked"), "revoked"],
  ["a gap of a revoked device", candidate("x", 9, "b"), chainOf(abc, "revoked"), "revoked"],
  ["the next beyond the key's last good seq", candidate("d", 4, "c", beyond), chainOf(abc), "revoked"],
  ["what is stored beyond it, again", candidate("c", 3, "b", beyond), chainOf(abc), "duplicate"],
  ["a fork beyond it", candidate("x", 3, "b", beyond), chainOf(abc), "revoked"],
  ["beyond it, and suspended", candidate("d", 4, "c", beyond), chainOf(abc, "suspended"), "revoked"],
  ["the next of a suspended device", candidate("d", 4, "c"), chainOf(abc, "suspended"), "suspended"],
  ["the head of a suspended device again", candidate("c", 3, "b"), chainOf(abc, "suspended"), "duplicate"],
  ["a fork of a suspended device", candidate("x", 3, "b"), chainOf(abc, "suspended"), "suspended"],
  ["a gap of a suspended device", candidate("x", 9, "c"), chainOf(abc, "suspended"), "suspended"],
])("%s", (_, given, state, kind) => {
  expect(judgeLink(given, state).kind).toBe(kind)
})

test("a refusal names the seq and the rule", () => {
  expect(judgeLink(candidate("x", 9, "c"), chainOf(abc))).toEqual({
    kind: "gap",
    rule: "expected seq 4, got 9",
  })
  expect(judgeLink(candidate("d", 4, "b"), chainOf(abc))).toEqual({
    kind: "broken",
    rule: "prev is not the entry stored at seq 3",
  })
})

test("a store that lost a row stops the program and accuses nobody", () => {
  const lost: ChainState = { ...chainOf(abc), stored: (seq) => (seq === 2 ? null : chainOf(abc).stored(seq)) }
  const verdict = judgeLink(candidate("b", 2, "a"), lost)
  expect(verdict).toMatchObject({ kind: "broken", rule: expect.stringContaining("nothing is stored there") })
})

/** Delivers what may come: anything that the device has made so far, in any order, as often as the network likes. */
const deliveries = fc.record({
  made: fc.integer({ min: 1, max: 12 }),
  order: fc.array(fc.nat({ max: 11 }), { maxLength: 60 }),
})

test("an honest chain always links", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), (length) => {
      const kept: string[] = []
      for (let seq = 1; seq <= length; seq++) {
        const word = `statement ${seq}`
        expect(judgeLink(candidate(word, seq, kept.at(-1) ?? null), chainOf(kept)).kind).toBe("next")
        kept.push(word)
      }
    }),
    { seed: 1, numRuns: 20 },
  )
})

test("an honest device is never accused: whatever copies come in whatever order, none is a fork or broken", () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(deliveries, ({ made, order }) => {
      const kept: string[] = []
      for (const place of order) {
        const seq = 1 + (place % made)
        const given = candidate(`statement ${seq}`, seq, seq === 1 ? null : `statement ${seq - 1}`)
        const { kind } = judgeLink(given, chainOf(kept))
        seen.add(kind)
        expect(kind).toBe(seq <= kept.length ? "duplicate" : seq === kept.length + 1 ? "next" : "gap")
        if (kind === "next") kept.push(`statement ${seq}`)
      }
    }),
    { seed: 2, numRuns: 500 },
  )
  expect([...seen].toSorted()).toEqual(["duplicate", "gap", "next"])
})

test("a device has one history: of two that part, the second never gets in", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 1, max: 10 }),
      fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 9 })), { maxLength: 60 }),
      (shared, length, order) => {
        const kept: string[] = []
        const word = (isOther: boolean, seq: number): string =>
          isOther && seq > shared ? `other ${seq}` : `one ${seq}`
        for (const [isOther, place] of order) {
          const seq = 1 + (place % length)
          const given = candidate(word(isOther, seq), seq, seq === 1 ? null : word(isOther, seq - 1))
          if (judgeLink(given, chainOf(kept)).kind === "next") kept.push(word(isOther, seq))
        }
        // What is kept is one history from end to end, whichever came first where they part.
        const isOther = kept.some((one) => one.startsWith("other"))
        expect(kept).toEqual(kept.map((_, index) => word(isOther, index + 1)))
      },
    ),
    { seed: 3, numRuns: 500 },
  )
})

const first: DeviceKey = {
  kid: kidOf(edKey.publicKey),
  key: edKey.publicKey,
  firstSeq: 1,
  lastSeq: 4,
  endedBy: "rotation",
}
const second: DeviceKey = {
  kid: kidOf(ecKey.publicKey),
  key: ecKey.publicKey,
  firstSeq: 5,
  lastSeq: 8,
  endedBy: "revocation",
}

test.each([
  [edKey, 1, "key"],
  [edKey, 4, "key"],
  [edKey, 5, "unknown-key"],
  [ecKey, 4, "unknown-key"],
  [ecKey, 5, "key"],
  [ecKey, 8, "key"],
  [ecKey, 9, "beyond"],
  [strangerKey, 1, "unknown-key"],
])("a key stands from its first seq to its last (%#)", ({ publicKey }, seq, expected) => {
  const found = findKey([first, second], kidOf(publicKey), seq)
  expect(found.kind === "key" && found.isRevokedBeyond ? "beyond" : found.kind).toBe(expected)
})

test("a key without an end stands for every seq from its first", () => {
  const open: DeviceKey = { ...first, lastSeq: null, endedBy: null }
  expect(findKey([open], open.kid, Number.MAX_SAFE_INTEGER)).toEqual({
    kind: "key",
    deviceKey: open,
    isRevokedBeyond: false,
  })
  expect(findKey([], open.kid, 1).kind).toBe("unknown-key")
})

test("unread goes before ahead", () => {
  expect(verdictOfNext(true, true)).toBe("accepted-unread")
  expect(verdictOfNext(true, false)).toBe("accepted-unread")
  expect(verdictOfNext(false, true)).toBe("accepted-ahead")
  expect(verdictOfNext(false, false)).toBe("accepted")
})

test("every verdict on a statement is either stored or a refusal, has a code of its own and an advice", () => {
  for (const verdict of statementVerdicts) {
    expect(isStored(verdict)).toBe(!isRefusal(verdict))
    expect(parseVerdictCode(verdictCodes[verdict])).toBe(verdict)
    expect(verdictAdvice[verdict].length).toBeGreaterThan(5)
  }
  expect(statementVerdicts).toHaveLength(15)
  expect(isStored("head") || isRefusal("head")).toBe(false)
  expect([5, 16, 23, -1, 0.5].map(parseVerdictCode)).toEqual([null, null, null, null, null])
})
