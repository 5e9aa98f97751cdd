import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import {
  type CborInput,
  type CborProfile,
  type CborValue,
  FormatFault,
  decodeCbor,
  encodeCbor,
} from "../../chain/cbor.ts"
import { type Outside, readItem } from "./cbor-item.ts"
import { hasVectors, listVectors, readVector } from "./folder.ts"

const folder = "cbor-wg-cbor-test-vectors/tests"

interface Case {
  readonly name: string
  readonly encoded: Uint8Array
  readonly decoded: unknown
  /** False where `encoded` is not the preferred encoding. */
  readonly isPreferred: boolean
}

/** The cases of one file. Each file is CBOR itself. */
function readCases(path: string): Case[] {
  const file = readItem(readVector(path)).value as Map<string, unknown>
  return (file.get("tests") as Map<string, unknown>[]).map((one) => ({
    name: `${path.slice(folder.length + 1)}: ${String(one.get("description"))}`,
    encoded: one.get("encoded") as Uint8Array,
    decoded: one.get("decoded"),
    isPreferred: one.get("roundtrip") !== false,
  }))
}

/** The value, or the rule that the bytes break. */
function decode(bytes: Uint8Array, profile: CborProfile): { value: CborValue } | { rule: string } {
  try {
    return { value: decodeCbor(bytes, profile) }
  } catch (error) {
    if (error instanceof FormatFault) return { rule: error.rule }
    throw error
  }
}

const rules: Readonly<Record<Outside, string>> = {
  "not shortest": "integers and lengths must have their shortest form",
  "not definite": "lengths must be definite, and 28 to 30 mean nothing",
  "integer over 2^53 - 1": "integers go up to 2^53 - 1",
  tag: "tag N is not in use here",
  "simple value": "of the simple values only false, true and null are in use here",
  key: "keys are integers and texts",
  depth: "arrays, maps and tags nest at most 8 deep",
  "control character": "no control character may stand in a text",
}

const files = (): string[] => listVectors(folder, ".cbor").filter((path) => !path.endsWith("bad.cbor"))

test.runIf(hasVectors)(
  "well-formed CBOR inside the profile decodes to its value, and the rest is refused by its rule",
  () => {
    const cases = files().flatMap(readCases)
    const outsiders: Record<string, number> = {}
    let insiders = 0
    for (const { name, encoded, decoded } of cases) {
      const { outside } = readItem(encoded)
      const [first] = outside
      const got = decode(encoded, "senml")
      const seen =
        "rule" in got ? { name, rule: got.rule.replace(/^tag \d+/, "tag N") } : { name, value: got.value }
      expect(seen).toEqual(first === undefined ? { name, value: decoded } : { name, rule: rules[first] })
      if (first === undefined) insiders += 1
      else outsiders[first] = (outsiders[first] ?? 0) + 1
    }
    expect(cases.length).toBe(88 + 81)
    expect(insiders).toBe(123)
    expect(outsiders).toEqual({
      tag: 13,
      "not shortest": 12,
      "not definite": 11,
      key: 3,
      "simple value": 3,
      "integer over 2^53 - 1": 2,
      depth: 2,
    })
  },
)

test.runIf(hasVectors)("what is inside the profile and preferred encodes to the same bytes again", () => {
  const cases = files().flatMap(readCases)
  let same = 0
  let merged = 0
  const notNumbers: string[] = []
  for (const { name, encoded, isPreferred } of cases) {
    const item = readItem(encoded)
    if (item.outside.length > 0 || !isPreferred) continue
    const value = decodeCbor(encoded, "senml")
    if (Number.isNaN(value)) {
      notNumbers.push(name)
      continue
    }
    const again = encodeCbor(value)
    // An integer and a float of the same value are one number here, so the float comes back as the integer.
    const expected = item.hasIntegralFloat ? encodeCbor(readItem(encoded).value as CborInput) : encoded
    expect({ name, bytes: formatHex(again) }).toEqual({ name, bytes: formatHex(expected) })
    if (item.hasIntegralFloat) merged += 1
    else same += 1
  }
  // NaN decodes, for a member that nobody knows may hold it, and is never written.
  expect(notNumbers).toEqual(["rfc8949-appendixA/mt7-float.cbor: Trivial NaN"])
  expect(() => encodeCbor(Number.NaN)).toThrow(RangeError)
  expect({ same, merged }).toEqual({ same: 102, merged: 8 })
})

test.runIf(hasVectors)("what the deterministic profile takes has no other encoding", () => {
  const seen = { taken: 0, floats: 0 }
  for (const { name, encoded } of files().flatMap(readCases)) {
    const got = decode(encoded, "deterministic")
    if ("rule" in got) {
      if (got.rule === "floats do not belong here") seen.floats += 1
      continue
    }
    expect({ name, bytes: formatHex(encodeCbor(got.value)) }).toEqual({ name, bytes: formatHex(encoded) })
    seen.taken += 1
  }
  expect(seen).toEqual({ taken: 48, floats: 75 })
})

test.runIf(hasVectors)("all 47 that are no CBOR are refused by both profiles", () => {
  const cases = readCases(`${folder}/rfc8949/bad.cbor`)
  const accepted = cases.filter(({ encoded }) =>
    (["senml", "deterministic"] as const).some((profile) => "value" in decode(encoded, profile)),
  )
  expect(accepted).toEqual([])
  expect(cases.length).toBe(47)
})
