import * as fc from "fast-check"
import { expect, test } from "vitest"
import { formatHex, parseHex } from "../../chain/bytes.ts"
import {
  type CborInput,
  type CborProfile,
  CborReader,
  CborWriter,
  FormatFault,
  decodeCbor,
  encodeCbor,
} from "../../chain/cbor.ts"

const hex = (digits: string): Uint8Array => parseHex(digits.replaceAll(" ", ""))!

/** The rule that these bytes break, or null where they decode. */
function ruleOf(bytes: Uint8Array, profile: CborProfile): string | null {
  try {
    decodeCbor(bytes, profile)
    return null
  } catch (error) {
    if (error instanceof FormatFault) return error.rule
    throw error
  }
}

const textInUse = fc
  .string({ unit: "binary" })
  // No control characters: that rule has its own test.
  .filter((text) => !/[\x00-\x1f\x7f]/.test(text))
const integer = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: -300, max: 300 }),
  fc.constantFrom(-(2 ** 53) + 1, 2 ** 53 - 1, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32),
)
const leaf = fc.oneof(integer, fc.boolean(), fc.constant(null), textInUse, fc.uint8Array({ maxLength: 300 }))

/** Items without floats, nested less deep than is allowed. */
const item: fc.Arbitrary<CborInput> = fc.letrec<{ item: CborInput }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie("item"), { maxLength: 5 }),
    fc
      .uniqueArray(fc.tuple(fc.oneof(integer, textInUse), tie("item")), {
        selector: ([key]) => `${typeof key} ${key}`,
        maxLength: 5,
      })
      .map((pairs) => new Map(pairs)),
    fc.tuple(fc.constant(18), tie("item")).map(([tag, value]) => ({ tag, value })),
  ),
})).item

test("what is encoded decodes, and encodes to the same bytes", () => {
  fc.assert(
    fc.property(item, (value) => {
      const bytes = encodeCbor(value)
      const decoded = decodeCbor(bytes, "deterministic")
      expect(formatHex(encodeCbor(decoded))).toBe(formatHex(bytes))
      // The looser profile takes whatever the strict one takes, and understands the same.
      expect(decodeCbor(bytes, "senml")).toEqual(decoded)
    }),
    { seed: 1, numRuns: 1000 },
  )
})

test("whatever decodes strictly is exactly what would be encoded, also after a byte was changed", () => {
  let taken = 0
  fc.assert(
    fc.property(item, fc.nat(), fc.integer({ min: 0, max: 255 }), (value, place, byte) => {
      const bytes = encodeCbor(value)
      bytes[place % bytes.length] = byte
      if (ruleOf(bytes, "deterministic") !== null) return
      taken += 1
      expect(formatHex(encodeCbor(decodeCbor(bytes, "deterministic")))).toBe(formatHex(bytes))
    }),
    { seed: 2, numRuns: 5000 },
  )
  expect(taken).toBeGreaterThan(500)
})

test("every two bytes either are refused by name or are the encoding of what they mean", () => {
  let taken = 0
  for (let pair = 0; pair < 0x1_0000; pair++) {
    const bytes = Uint8Array.of(pair >> 8, pair & 255)
    if (ruleOf(bytes, "deterministic") !== null) continue
    taken += 1
    expect(encodeCbor(decodeCbor(bytes, "deterministic"))).toEqual(bytes)
  }
  expect(taken).toBeGreaterThan(600)
})

test("no bytes at all make the decoder throw anything but a fault that names a rule and a place", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom("deterministic", "senml"),
      (bytes, profile) => {
        const rule = ruleOf(bytes, profile)
        expect(rule === null || rule.length > 5).toBe(true)
      },
    ),
    { seed: 3, numRuns: 5000 },
  )
})

test.each([
  [0, "00"],
  [23, "17"],
  [24, "1818"],
  [255, "18ff"],
  [256, "190100"],
  [65_535, "19ffff"],
  [65_536, "1a00010000"],
  [2 ** 32 - 1, "1affffffff"],
  [2 ** 32, "1b0000000100000000"],
  [2 ** 53 - 1, "1b001fffffffffffff"],
  [-1, "20"],
  [-24, "37"],
  [-25, "3818"],
  [-(2 ** 53) + 1, "3b001ffffffffffffe"],
  [false, "f4"],
  [true, "f5"],
  [null, "f6"],
  ["", "60"],
  ["µ", "62c2b5"],
  [1.5, "f93e00"],
  [-0, "f98000"],
  [65_504.5, "fa477fe080"],
  [5.960464477539063e-8, "f90001"],
  [1e-10, "fb3ddb7cdfd9d7bdbb"],
  [2 ** 53, "fa5a000000"],
  [0.1, "fb3fb999999999999a"],
])("%s is encoded as %s", (value, digits) => {
  expect(formatHex(encodeCbor(value))).toBe(digits)
  expect(decodeCbor(hex(digits), "senml")).toBe(value)
})

test("keys are sorted by their encoded bytes: small numbers, large ones, negative ones, texts", () => {
  const map = new Map<number | string, number>([
    ["aa", 0],
    [-1, 0],
    ["b", 0],
    [258, 0],
    [10, 0],
    [100, 0],
    [-65_537, 0],
  ])
  expect(formatHex(encodeCbor(map))).toBe(
    "a7 0a00 186400 19010200 2000 3a0001000000 616200 62616100".replaceAll(" ", ""),
  )
})

test.each([
  ["1800", "shortest form"],
  ["1817", "shortest form"],
  ["190000", "shortest form"],
  ["1900ff", "shortest form"],
  ["1a0000ffff", "shortest form"],
  ["1b00000000ffffffff", "shortest form"],
  ["3817", "shortest form"],
  ["5800", "shortest form"],
  ["7800", "shortest form"],
  ["9800", "shortest form"],
  ["b800", "shortest form"],
  ["1b0020000000000000", "up to 2^53 - 1"],
  ["1bffffffffffffffff", "up to 2^53 - 1"],
  ["3b001fffffffffffff", "down to -(2^53 - 1)"],
  ["1c", "definite"],
  ["1f", "definite"],
  ["5f4100ff", "definite"],
  ["7f6161ff", "definite"],
  ["9fff", "definite"],
  ["bfff", "definite"],
  ["", "end where an item was expected"],
  ["18", "end inside"],
  ["1900", "end inside"],
  ["41", "longer than the bytes"],
  ["6261", "longer than the bytes"],
  ["81", "longer than the bytes"],
  ["a100", "longer than the bytes"],
  ["9b001fffffffffffff", "longer than the bytes"],
  ["bb001fffffffffffff", "longer than the bytes"],
  ["5b001fffffffffffff", "longer than the bytes"],
  ["0000", "after the end"],
  ["a200000000", "stands twice"],
  ["a2616100616100", "stands twice"],
  ["a141 0000", "keys are integers and texts"],
  ["a1f500", "keys are integers and texts"],
  ["a18000", "keys are integers and texts"],
  ["6100", "control character"],
  ["611f", "control character"],
  ["617f", "control character"],
  ["61ff", "UTF-8"],
  ["62c080", "UTF-8"],
  ["63eda080", "UTF-8"],
  ["64f4908080", "UTF-8"],
  ["c000", "tag 0"],
  ["c24101", "tag 2"],
  ["d84d00", "tag 77"],
  ["c400", "exponent"],
  ["c481 00", "exponent"],
  ["c4830000 00", "exponent"],
  ["c482 00f93c00", "mantissa"],
  ["f7", "simple values"],
  ["f0", "simple values"],
  ["f820", "simple values"],
  ["ff", "simple values"],
])("%s is refused in both profiles: %s", (digits, rule) => {
  expect(ruleOf(hex(digits), "deterministic")).toContain(rule)
  expect(ruleOf(hex(digits), "senml")).toContain(rule)
})

test.each([
  ["f93e00", "floats"],
  ["fa3fc00000", "floats"],
  ["fb3ff8000000000000", "floats"],
  ["a2 0100 0000", "sorted"],
  ["a2 6161 00 00 00", "sorted"],
  ["a2 626161 00 6162 00", "sorted"],
])("%s is refused strictly and taken in a pack", (digits, rule) => {
  expect(ruleOf(hex(digits), "deterministic")).toContain(rule)
  expect(ruleOf(hex(digits), "senml")).toBeNull()
})

function nested(depth: number, opening: string): Uint8Array {
  return hex(opening.repeat(depth) + "00")
}

test("arrays, maps and tags nest 8 deep and no deeper", () => {
  for (const opening of ["81", "a100", "d2"]) {
    expect(ruleOf(nested(8, opening), "deterministic")).toBeNull()
    expect(ruleOf(nested(9, opening), "deterministic")).toContain("8 deep")
    expect(ruleOf(nested(100_000, opening), "senml")).toContain("8 deep")
  }
})

test("every half float that is finite is read, and written back as the same half float", () => {
  for (let half = 0; half < 0x1_0000; half++) {
    if ((half & 0x7c00) === 0x7c00) continue
    const bytes = Uint8Array.of(0xf9, half >> 8, half & 255)
    const writer = new CborWriter()
    writer.writeFloat(decodeCbor(bytes, "senml") as number)
    expect(writer.finish()).toEqual(bytes)
  }
})

test("a float is written in the shortest width that keeps it to the last bit", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true }), (value) => {
      const writer = new CborWriter()
      writer.writeFloat(value)
      const bytes = writer.finish()
      expect(decodeCbor(bytes, "senml")).toBe(value)
      expect(bytes.length === 9).toBe(!Object.is(Math.fround(value), value))
    }),
    { seed: 4, numRuns: 5000 },
  )
})

test("a writer takes nothing that a reader would refuse in a text or an integer", () => {
  expect(() => encodeCbor("a\u0000")).toThrow(RangeError)
  expect(() => encodeCbor("a\u007f")).toThrow(RangeError)
  expect(() => encodeCbor("\ud800")).toThrow(RangeError)
  expect(() => new CborWriter().writeInt(2 ** 53)).toThrow(RangeError)
  expect(() => new CborWriter().writeInt(0.5)).toThrow(RangeError)
})

test("a byte string is a view of what was read, and the place of a fault is a byte of it", () => {
  const bytes = hex("82 4201 02 f7".replaceAll(" ", ""))
  const reader = new CborReader(bytes, "deterministic")
  reader.enterArray("a pair")
  expect(reader.readBytes("the first").buffer).toBe(bytes.buffer)
  expect(() => reader.readValue()).toThrow("at byte 4")
})
