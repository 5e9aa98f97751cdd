/** The short way through a pack against the plain one: the same series, or the same rule at the same byte. */
import { isDeepStrictEqual } from "node:util"
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { joinBytes } from "../../chain/bytes.ts"
import { FormatFault } from "../../chain/cbor.ts"
import { PointReader } from "../../chain/senml-point.ts"
import { decodePack, decodePackPlainly } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { heartRatePack, spokenAt } from "../vectors/draft.ts"
import { type Item, array, double, hex, int, map, record, single, tag, text } from "../vectors/items.ts"

type Outcome = readonly Series[] | { readonly rule: string; readonly offset: number }

function outcomeOf(decode: (bytes: Uint8Array) => readonly Series[], bytes: Uint8Array): Outcome {
  try {
    return decode(bytes)
  } catch (error) {
    if (error instanceof FormatFault) return { rule: error.rule, offset: error.offset }
    throw error
  }
}

/** What the two ways make of the same bytes, where it differs; -0 is not 0. */
function differenceOf(bytes: Uint8Array): { readonly short: Outcome; readonly plain: Outcome } | null {
  const plain = outcomeOf(decodePackPlainly, bytes)
  const short = outcomeOf(decodePack, bytes)
  return isDeepStrictEqual(short, plain) ? null : { short, plain }
}

/** Numbers at every border of their encodings, and what is no number or not the shortest form of one. */
const numberItem: fc.Arbitrary<Item> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -70_000, max: 70_000 }).map(int) },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom(
        0,
        23,
        24,
        255,
        256,
        65_535,
        65_536,
        2 ** 28 - 1,
        2 ** 28,
        2 ** 32 - 1,
        2 ** 32,
        2 ** 53 - 1,
      )
      .chain((value) => fc.constantFrom(int(value), int(-1 - value))),
  },
  { weight: 3, arbitrary: fc.double().map(double) },
  { weight: 2, arbitrary: fc.float().map(single) },
  {
    weight: 2,
    arbitrary: fc
      .integer({ min: 0, max: 65_535 })
      .map((half) => joinBytes(hex("f9"), Uint8Array.of(half >> 8, half & 255))),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        // Longer than need be, or no integers at all.
        ..."1817 1900ff 1a0000ffff 1b00000000ffffffff 3817 3900ff 3a0000ffff 1c 3f 1f".split(" "),
        // Not finite, -0, or no numbers.
        ..."f97e00 f97c00 fa7f800000 fb7ff0000000000000 fb8000000000000000 f98000 f5 f6 f8ff".split(" "),
      )
      .map(hex),
  },
  { weight: 1, arbitrary: fc.constant(tag(4, array(int(-1), int(615)))) },
)

const key = (label: number): Item => int(label)
const pair = (label: number) => numberItem.map((item) => [key(label), item] as const)

/** Mostly points, and between them what changes the bases, and whatever else a record may be or not be. */
const recordItem: fc.Arbitrary<Item> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(pair(2), pair(6)).map(map) },
  { weight: 4, arbitrary: fc.tuple(pair(6), pair(2)).map(map) },
  { weight: 4, arbitrary: pair(2).map((one) => map([one])) },
  { weight: 1, arbitrary: pair(6).map((one) => map([one])) },
  { weight: 1, arbitrary: fc.tuple(pair(2), pair(2)).map(map) },
  { weight: 1, arbitrary: fc.tuple(pair(5), pair(6)).map(map) },
  { weight: 2, arbitrary: fc.tuple(pair(2), fc.constantFrom(-3, -5, -6, 7, 9, 40).chain(pair)).map(map) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(pair(2), fc.constantFrom("heart-rate", "spo2", "", "a b"), fc.constantFrom(-2, 0, -4, 1))
      .map(([value, name, label]) => map([value, [key(label), text(name)]])),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      record({ vs: text("x") }),
      record({ vb: hex("f5") }),
      hex("80"),
      hex("b900020218480600"),
    ),
  },
)

const packItem: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    fc.constantFrom(
      record({ bn: text("heart-rate"), bt: spokenAt, v: 72 }),
      record({ bn: text("urn:dev:x:"), n: text("hr"), bt: spokenAt, bu: text("beat/min"), v: 72 }),
      record({ bn: text("hr"), bt: double(1e308), bv: double(-1e308), v: 72 }),
      record({ bn: text("hr"), v: 1, t: spokenAt }),
      record({ n: text("hr"), v: 1, t: spokenAt }),
    ),
    fc.array(recordItem, { maxLength: 12 }),
    fc.integer({ min: -1, max: 1 }),
  )
  .map(([first, records, off]) => {
    const bytes = array(first, ...records)
    // Now and then the head tells of one record more or less than there are.
    if (off !== 0 && records.length % 5 === 4) bytes[0]! += off
    return bytes
  })

test("packs of points, of near points and of what stands between them decode alike on both ways", () => {
  const seen = { series: 0, faults: 0, points: 0 }
  fc.assert(
    fc.property(packItem, (bytes) => {
      expect(differenceOf(bytes)).toBeNull()
      if ("rule" in outcomeOf(decodePack, bytes)) seen.faults += 1
      else seen.series += 1
      const reader = new PointReader(bytes)
      for (let at = 1; at < bytes.length; at++) if (reader.read(at) >= 0) seen.points += 1
    }),
    { seed: 1, numRuns: 4_000 },
  )
  // A property that only ever saw faults would hold too.
  expect(seen.series).toBeGreaterThan(500)
  expect(seen.faults).toBeGreaterThan(500)
  expect(seen.points).toBeGreaterThan(5_000)
})

test("a pack cut short or with any byte changed decodes alike on both ways", () => {
  const points = Array.from({ length: 6 }, (_, index) => record({ v: 60 + index, t: 20 * index }))
  const long = array(record({ bn: text("heart-rate"), bt: spokenAt, bu: text("beat/min"), v: 72 }), ...points)
  const differing: unknown[] = []
  for (const whole of [heartRatePack(spokenAt), long]) {
    for (let size = 0; size <= whole.length; size++) expect(differenceOf(whole.subarray(0, size))).toBeNull()
    for (let place = 0; place < whole.length; place++) {
      for (let byte = 0; byte < 256; byte++) {
        const changed = Uint8Array.from(whole)
        changed[place] = byte
        const difference = differenceOf(changed)
        if (difference !== null) differing.push({ place, byte, ...difference })
      }
    }
  }
  expect(differing).toEqual([])
})

test("noise decodes alike on both ways", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 60 }), (bytes, behind) => {
      expect(differenceOf(bytes)).toBeNull()
      const behindPoint = joinBytes(hex("85"), record({ bn: text("hr"), bt: spokenAt, v: 1 }), behind)
      expect(differenceOf(behindPoint)).toBeNull()
    }),
    { seed: 2, numRuns: 2_000 },
  )
})

test("a view into a larger buffer is read from its own beginning", () => {
  const pack = heartRatePack(spokenAt)
  const inside = joinBytes(hex("ffff"), pack, hex("ffff")).subarray(2, -2)
  expect(decodePack(inside)).toEqual(decodePackPlainly(pack))
})
