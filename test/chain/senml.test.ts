import * as fc from "fast-check"
import { expect, test } from "vitest"
import { FormatFault } from "../../chain/cbor.ts"
import { aheadMax, isAhead, readPayload } from "../../chain/payload.ts"
import { countPackReadings, decodePack, encodePack, latestOf } from "../../chain/senml.ts"
import { type Series, type Waveform, countReadings, metricOf, timesOf } from "../../chain/series.ts"
import { type Content, contentLost, contentRegistry, contentSenml } from "../../chain/statement.ts"
import { heartRatePack, spokenAt } from "../vectors/draft.ts"
import { type Item, array, double, hex, record } from "../vectors/items.ts"

const time = fc.oneof(
  fc.double({ min: 2 ** 28, max: 4e9, noNaN: true }),
  fc.integer({ min: 2 ** 28, max: 2 ** 32 }),
  fc.double({ min: 2 ** 28, max: Number.MAX_VALUE, noNaN: true }),
)
const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9\-:./_]{0,30}$/)
const unit = fc.option(fc.constantFrom("beat/min", "/", "Cel", "µS", ""), { nil: null })
const readable = fc.string({ unit: "grapheme" }).filter((text) => !/[\x00-\x1f\x7f]/.test(text))

function points(
  kind: "number" | "sum" | "boolean" | "text" | "bytes",
  value: fc.Arbitrary<unknown>,
): fc.Arbitrary<Series> {
  return fc
    .record({ name, unit, readings: fc.array(fc.tuple(time, value), { minLength: 1, maxLength: 8 }) })
    .map(({ readings, ...rest }) => {
      const times = readings.map(([at]) => at)
      const values = readings.map(([, reading]) => reading)
      return { kind, ...rest, times, values } as unknown as Series
    })
}

const anyWaveform: fc.Arbitrary<Waveform> = fc.record({
  kind: fc.constant("waveform" as const),
  name,
  unit,
  startsAt: fc.double({ min: 2 ** 28, max: 1e300, noNaN: true }),
  periodMs: fc.double({ min: 1e-9, max: 1e9, noNaN: true }),
  factor: fc.double({ min: -1e300, max: 1e300, noNaN: true }),
  origin: fc.double({ min: -1e300, max: 1e300, noNaN: true }),
  samples: fc.int16Array({ minLength: 1, maxLength: 50 }),
})

/** Series that stay apart in a pack: a point series is known by its kind, unit and name. */
const pack = fc
  .uniqueArray(
    fc.oneof(
      points("number", finite),
      points("sum", finite),
      points("boolean", fc.boolean()),
      points("text", readable),
      points("bytes", fc.uint8Array({ maxLength: 20 })),
      anyWaveform,
    ),
    { minLength: 1, maxLength: 8, selector: (series) => `${series.kind} ${series.unit} ${series.name}` },
  )
  // A base unit cannot be unset, so series without one come first.
  .map((series) => series.toSorted((a, b) => Number(a.unit !== null) - Number(b.unit !== null)))

test("whatever series go into a pack come out of it, to the last bit", () => {
  fc.assert(
    fc.property(pack, (series) => {
      const bytes = encodePack(series)
      expect(decodePack(bytes)).toEqual(series)
      expect(countPackReadings(series)).toBe(series.reduce((sum, one) => sum + countReadings(one), 0))
      expect(latestOf(series)).toBe(Math.max(...series.map((one) => timesOf(one).endsAt)))
    }),
    { seed: 1, numRuns: 500 },
  )
})

test("a measured -0 stays one", () => {
  const series: Series[] = [{ kind: "number", name: "t", unit: "Cel", times: [spokenAt], values: [-0] }]
  expect(decodePack(encodePack(series))).toEqual(series)
})

test("no bytes make the reader of packs throw anything but a fault", () => {
  const whole = heartRatePack(spokenAt)
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 255 }), (place, byte) => {
      const changed = Uint8Array.from(whole)
      changed[place % changed.length] = byte
      const payload = readPayload({ content: contentSenml, payload: changed })
      expect(["readings", "unread"]).toContain(payload.kind)
    }),
    { seed: 2, numRuns: 3000 },
  )
})

const one: Series = { kind: "number", name: "n", unit: null, times: [spokenAt], values: [1] }

test.each<[string, Series[]]>([
  ["no series", []],
  ["257 series", Array.from({ length: 257 }, (_, index) => ({ ...one, name: `n${index}` }))],
  [
    "10,001 readings",
    [
      {
        ...one,
        times: Array.from({ length: 10_001 }, () => spokenAt),
        values: Array.from({ length: 10_001 }, () => 1),
      },
    ],
  ],
  ["a time that is not absolute", [{ ...one, times: [2 ** 28 - 1] }]],
  ["a time that is not a number", [{ ...one, times: [Number.NaN] }]],
  ["a value that is not a number", [{ ...one, values: [Number.NaN] }]],
  ["an infinite value", [{ ...one, values: [Infinity] }]],
  ["a name of 256 characters", [{ ...one, name: "n".repeat(256) }]],
  ["an empty name", [{ ...one, name: "" }]],
  ["a name with a space", [{ ...one, name: "heart rate" }]],
  ["a text with a line feed", [{ kind: "text", name: "n", unit: null, times: [spokenAt], values: ["a\nb"] }]],
])("%s make no pack, and the sender is told", (_, series) => {
  expect(() => encodePack(series)).toThrow(RangeError)
})

test.each([
  [[{ ...one, values: [60, 61] }], /^series "n" has 1 times and 2 values: each value has a time$/],
  [[one, { ...one, name: "spo2", times: [] }], /^series "spo2" has 0 times and 1 values/],
  [[{ ...one, times: [spokenAt, spokenAt + 1] }], /^series "n" has 2 times and 1 values/],
])(
  "field D12: a series with more values than times, or fewer, is named with both lengths",
  (series, message) => {
    expect(() => encodePack(series as readonly Series[])).toThrow(message)
  },
)

const packing = (series: unknown) => () => encodePack([series as Series])

test("a series without a field is named with it", () => {
  const { unit: _unit, ...unitless } = one
  const { times: _times, ...timeless } = one
  expect(packing(unitless)).toThrow('series "n" has no unit: unit is null where there is none')
  expect(packing(timeless)).toThrow('series "n" has no times')
  expect(packing({ kind: "waveform", name: "ecg", unit: null })).toThrow('series "ecg" has no startsAt')
})

test("256 series and 10,000 readings make one", () => {
  const many = Array.from({ length: 256 }, (_, index) => ({ ...one, name: `n${index}` }))
  expect(decodePack(encodePack(many))).toHaveLength(256)
  const times = Array.from({ length: 10_000 }, (_, index) => spokenAt + index)
  expect(countPackReadings(decodePack(encodePack([{ ...one, times, values: times }])))).toBe(10_000)
})

test("an unread payload tells its rule and the byte, and never the reading", () => {
  const secret = 71.25
  const payload = array(record({ n: "heart-rate", v: double(secret), t: 60 }))
  const unread = readPayload({ content: contentSenml, payload })
  expect(unread).toEqual({
    kind: "unread",
    rule: "a resolved time is absolute: at least 2^28 seconds",
    offset: 1,
  })
  expect(JSON.stringify(unread)).not.toContain("71")
})

test("a fault inside a waveform is named by a byte of the pack", () => {
  const waveform: Waveform = {
    kind: "waveform",
    name: "ecg",
    unit: null,
    startsAt: spokenAt,
    periodMs: 4,
    factor: 1,
    origin: 0,
    samples: Int16Array.of(1),
  }
  const bytes = encodePack([waveform])
  const at = Buffer.from(bytes).indexOf(Buffer.from("period")) + "period".length
  bytes[at] = 0xf6
  expect(() => decodePack(bytes)).toThrow(FormatFault)
  const unread = readPayload({ content: contentSenml, payload: bytes })
  expect(unread).toMatchObject({ kind: "unread", rule: "period is a finite number" })
  // The map in vd begins behind the pack's, the record's, the label's and the string's heads.
  expect((unread as { offset: number }).offset).toBe(5)
})

test.each([
  ["heart-rate", "heart-rate"],
  ["k7/heart-rate", "heart-rate"],
  ["urn:dev:mac:0024befffe804ff1:heart-rate", "heart-rate"],
  ["urn:dev:ow:10e2073a01080063:a/b", "b"],
  ["a/b:c", "c"],
  ["trailing/", ""],
])("the metric of %s is %j", (resolved, metric) => {
  expect(metricOf(resolved)).toBe(metric)
})

const readingsAt = (...times: number[]): Item =>
  array(...times.map((t) => record({ n: "a", v: 1, t: double(t) })))

test.each([
  ["iat 300 s ahead", spokenAt + aheadMax, readingsAt(spokenAt), false],
  ["iat 301 s ahead", spokenAt + aheadMax + 1, readingsAt(spokenAt), true],
  ["a reading 300 s ahead", spokenAt, readingsAt(spokenAt + 300), false],
  ["a reading a thousandth more than 300 s ahead", spokenAt, readingsAt(spokenAt + 300.001), true],
  ["one of many readings ahead", spokenAt, readingsAt(spokenAt, spokenAt + 301, spokenAt), true],
  ["everything long ago", 0, readingsAt(2 ** 28), false],
  ["a pack that cannot be read, with iat in time", spokenAt, hex("ff"), false],
])("ahead of its time or not: %s", (_, iat, payload, expected) => {
  expect(isAhead(iat, readPayload({ content: contentSenml, payload }), spokenAt * 1000)).toBe(expected)
})

function wave(count: number): Waveform {
  const samples = new Int16Array(count)
  return {
    kind: "waveform",
    name: "w",
    unit: null,
    startsAt: spokenAt,
    periodMs: 1000,
    factor: 1,
    origin: 0,
    samples,
  }
}

test("of a waveform the last sample counts, not the first", () => {
  expect(timesOf(wave(301))).toEqual({ startsAt: spokenAt, endsAt: spokenAt + 300 })
  for (const [count, expected] of [
    [301, false],
    [302, true],
  ] as const) {
    const payload = readPayload({ content: contentSenml, payload: encodePack([wave(count)]) })
    expect(isAhead(spokenAt, payload, spokenAt * 1000)).toBe(expected)
  }
})

test("what is not ours to read is opaque, whatever its bytes", () => {
  const contents: Content[] = ["text/plain", "application/senml+json", { digestAlgorithm: -16 }]
  for (const content of contents) {
    expect(readPayload({ content, payload: hex("ff") })).toEqual({ kind: "opaque" })
  }
  const own: Content[] = [contentSenml, contentLost, contentRegistry]
  for (const content of own) {
    expect(readPayload({ content, payload: hex("ff") }).kind).toBe("unread")
  }
})
