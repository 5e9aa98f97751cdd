import * as fc from "fast-check"
import { expect, test } from "vitest"
import { decodeSamples, decodeWaveform, encodeSamples, encodeWaveform } from "../../chain/waveform.ts"
import { type Item, bytes, double, hex, int, map, tag, text } from "../vectors/items.ts"

const number = fc.double({ min: -1e300, max: 1e300, noNaN: true })

test("a waveform comes out as it went in, to the last bit", () => {
  fc.assert(
    fc.property(
      fc.record({
        periodMs: fc.double({ min: 1e-300, max: Number.MAX_VALUE, noNaN: true }),
        factor: number,
        origin: number,
        samples: fc.int16Array({ minLength: 1, maxLength: 300 }),
      }),
      (waveform) => {
        expect(decodeWaveform(encodeWaveform(waveform))).toEqual(waveform)
      },
    ),
    { seed: 1, numRuns: 500 },
  )
})

test("every sample there is goes through its two bytes", () => {
  const samples = Int16Array.from({ length: 65_536 }, (_, index) => index - 32_768)
  expect(decodeSamples(encodeSamples(samples))).toEqual(samples)
  expect(encodeSamples(Int16Array.of(1, -2))).toEqual(hex("0100 feff"))
})

const samples = tag(77, bytes(hex("0100 0200")))
const sound: Readonly<Record<string, Item>> = {
  data: samples,
  factor: int(1),
  origin: int(0),
  period: int(4),
}
const encode = (members: Readonly<Record<string, Item>>): Uint8Array =>
  map(Object.entries(members).map(([name, item]) => [text(name), item] as const))

test.each<[string, Readonly<Record<string, Item>>, RegExp]>([
  ["no samples", { ...sound, data: tag(77, bytes(hex(""))) }, /one or more samples/],
  ["half a sample", { ...sound, data: tag(77, bytes(hex("010002"))) }, /one or more samples of 2 bytes/],
  ["samples without a tag", { ...sound, data: bytes(hex("0100")) }, /tag 77/],
  ["samples as a text", { ...sound, data: tag(77, text("01")) }, /tag 77 holds a byte string/],
  ["a period of 0", { ...sound, period: int(0) }, /period is above 0/],
  ["a negative period", { ...sound, period: double(-0.5) }, /period is above 0/],
  ["a period of -0", { ...sound, period: double(-0) }, /period is above 0/],
  ["a period that is not a number", { ...sound, period: double(Number.NaN) }, /period is a finite number/],
  ["an infinite factor", { ...sound, factor: double(Infinity) }, /factor is a finite number/],
  ["a factor in letters", { ...sound, factor: text("1") }, /factor is a finite number/],
  ["an origin that is null", { ...sound, origin: hex("f6") }, /origin is a finite number/],
  ["values that leave the doubles", { ...sound, factor: double(1e305) }, /finite/],
  [
    "values that leave the doubles by their origin",
    { ...sound, factor: double(1e303), origin: double(1.79e308) },
    /finite/,
  ],
  ["a missing key", { data: samples, factor: int(1), origin: int(0) }, /has data, factor, origin and period/],
  ["a key too many", { ...sound, unit: text("mV") }, /has data, factor, origin and period/],
  [
    "another key",
    { data: samples, factor: int(1), offset: int(0), period: int(4) },
    /has data, factor, origin and period/,
  ],
])("%s make no waveform", (_, members, rule) => {
  expect(() => decodeWaveform(encode(members))).toThrow(rule)
})

test("a factor of 0 and a negative one are as good as any", () => {
  for (const factor of [0, -1]) {
    expect(decodeWaveform(encode({ ...sound, factor: int(factor) })).factor).toBe(factor)
  }
})
