/** Vectors that are accepted and say what they mean: code 1. */
import { encodeLost } from "../../chain/lost.ts"
import { encodeRegistry, proveKey } from "../../chain/registry.ts"
import { sha256 } from "../../chain/hash.ts"
import { entryOf, statementSizeMax } from "../../chain/statement.ts"
import {
  type DraftParts,
  draftStatement,
  heardAt,
  heartRatePack,
  honestHistory,
  spokenAt,
  without,
} from "./draft.ts"
import {
  array,
  bytes,
  double,
  hex,
  int,
  isFalse,
  isTrue,
  map,
  nil,
  record,
  single,
  tag,
  text,
} from "./items.ts"
import { ecKey, edKey, edKeyNext, keyInFile, vectorOrigin } from "./keys.ts"
import { type SeriesInFile, type StatementVector, makeVector } from "./statement-vector.ts"

type Accepted = readonly [
  name: string,
  description: string,
  rule: string,
  parts: DraftParts,
  series?: readonly SeriesInFile[],
]

const t = spokenAt

function points(
  name: string,
  unit: string | null,
  times: readonly number[],
  values: readonly unknown[],
  kind = "number",
): SeriesInFile {
  return { kind, name, unit, times, values }
}

const heartRate = [points("heart-rate", "beat/min", [t], [72])]

/** Two records of one reading each, at 97 and 98 of a percent. */
const saturationFloats = (first: Uint8Array, second: Uint8Array): Uint8Array =>
  array(record({ bn: "spo2", bu: "/", bt: t, v: first }), record({ v: second, t: 1 }))

/** What stands under an unknown label and could stand nowhere else in a pack. */
const unknownValues: readonly (readonly [name: string, description: string, value: Uint8Array])[] = [
  ["integer-of-2-to-the-53", "2^53", hex("1b 0020000000000000")],
  ["integer-largest", "2^64 - 1", hex("1b ffffffffffffffff")],
  ["integer-smallest", "-2^64", hex("3b ffffffffffffffff")],
  ["bignum", "2^64 as a bignum (tag 2)", hex("c2 49 010000000000000000")],
  ["tag-0", "a date with its tag", hex("c0 6a 323032352d30362d3031")],
  ["tag-of-64-bits", "the largest tag that there can be", hex("db ffffffffffffffff 01")],
  ["decimal-of-floats", "tag 4 over two floats", hex("c4 82 f93c00 f93c00")],
  ["undefined", "the simple value undefined", hex("f7")],
  ["simple-255", "a simple value that nobody has given a meaning", hex("f8 ff")],
  ["not-a-number", "not a number", hex("f9 7e00")],
  ["control-character", "a text with a tab", hex("63 610962")],
  ["not-utf8", "a text that is not UTF-8", hex("62 c328")],
  ["key-of-bytes", "a map whose keys are byte strings, one of them twice", hex("a2 4100 01 4100 02")],
  ["nested-8-deep", "maps and tags that end at depth 8", hex("a1 01 d903e8 81 d903e8 81 80")],
]

const waveBytes = (members: readonly (readonly [string, Uint8Array])[]): Uint8Array =>
  map(members.map(([name, item]) => [text(name), item] as const))

const envelope = (...pairs: readonly (readonly [number, Uint8Array])[]): DraftParts => ({
  header: (header) => [...without(header, 3), ...pairs.map(([label, item]) => [int(label), item] as const)],
  payload: sha256(text("an electrocardiogram of a whole night")),
})

const nameLong = `urn:dev:mac:0024befffe804ff1:${"n".repeat(226)}`

const accepted: readonly Accepted[] = [
  ["ed25519", "A first statement under Ed25519.", "§1", {}, heartRate],
  ["p256", "A first statement under P-256, s at most n / 2.", "§1", { key: ecKey }, heartRate],
  ["iss-of-50-characters-0123456789-0123456789-0123456", "The longest device id.", "§1", {}, heartRate],
  ["Z", "The shortest device id, a capital letter.", "§1", {}, heartRate],
  ["sub-of-128-characters", "The longest subject.", "§1", { sub: `s/${"a.b_c-d".repeat(18)}` }, heartRate],
  [
    "sub-finer-than-the-device",
    "The subject is a part of the device.",
    "§1",
    { sub: "k7/left-wrist" },
    heartRate,
  ],
  [
    "iat-zero",
    "A device whose clock starts in 1970: the past is welcome.",
    "§1",
    { iat: 0, payload: heartRatePack(t) },
    heartRate,
  ],
  [
    "iat-300-s-ahead",
    "iat is exactly 300 s ahead, which is not yet too far.",
    "§4",
    { iat: heardAt + 300, payload: heartRatePack(t) },
    heartRate,
  ],
  [
    "iat-later-than-the-readings",
    "Readings of 2011, said in 2025.",
    "§4",
    { payload: heartRatePack(1_300_000_000) },
    [points("heart-rate", "beat/min", [1_300_000_000], [72])],
  ],

  // Content types.
  [
    "content-type-text",
    "A type that nobody here reads: chained and opaque.",
    "§3",
    { content: text("text/plain"), payload: text("on the left wrist").slice(1) },
  ],
  [
    "content-type-of-a-vendor",
    "A vendor's type.",
    "§3",
    { content: text("application/vnd.example.ecg+cbor"), payload: hex("ff") },
  ],
  [
    "content-type-empty-payload",
    "An opaque payload of no bytes.",
    "§3",
    { content: text("application/octet-stream"), payload: new Uint8Array(0) },
  ],
  [
    "lost-with-count",
    "120 readings were lost in a full buffer.",
    "§4",
    {
      content: text("application/vnd.tidemark.lost+cbor"),
      payload: encodeLost({ reason: "buffer-overflow", count: 120, from: t - 120, to: t }),
    },
  ],
  [
    "lost-without-count",
    "Not worn for an hour: nobody knows how many readings.",
    "§4",
    {
      content: text("application/vnd.tidemark.lost+cbor"),
      payload: array(int(4), nil, int(t - 3600), int(t)),
    },
  ],
  [
    "lost-at-one-moment",
    "from and to are the same second.",
    "§4",
    { content: text("application/vnd.tidemark.lost+cbor"), payload: array(int(5), int(1), int(t), int(t)) },
  ],
  [
    "hash-envelope",
    "A digest of something too large, with nothing said about it.",
    "§1",
    envelope([258, int(-16)]),
  ],
  [
    "hash-envelope-with-content-format",
    "The preimage's type in figures.",
    "§1",
    envelope([258, int(-16)], [259, int(60)]),
  ],
  [
    "hash-envelope-with-type-and-place",
    "The preimage's type, and where it lies.",
    "§1",
    envelope([258, int(-16)], [259, text("application/dicom")], [260, text("https://example.org/ecg/7")]),
  ],
  [
    "hash-envelope-with-place",
    "Where the preimage lies, and not what it is.",
    "§1",
    envelope([258, int(-44)], [260, text("https://example.org/ecg/7")]),
  ],
  ["hash-envelope-of-sha-384", "payload-hash-alg -43.", "§1", envelope([258, int(-43)])],

  // Numbers.
  [
    "float-half",
    "0.97 and 0.98 as the nearest half floats.",
    "§3",
    { payload: saturationFloats(hex("f9 3bc3"), hex("f9 3bd7")) },
    [points("spo2", "/", [t, t + 1], [0.97021484375, 0.97998046875])],
  ],
  [
    "float-single",
    "0.97 and 0.98 as single floats.",
    "§3",
    { payload: saturationFloats(single(0.97), single(0.98)) },
    [points("spo2", "/", [t, t + 1], [0.9700000286102295, 0.9800000190734863])],
  ],
  [
    "float-double",
    "0.97 and 0.98 as double floats.",
    "§3",
    { payload: saturationFloats(double(0.97), double(0.98)) },
    [points("spo2", "/", [t, t + 1], [0.97, 0.98])],
  ],
  [
    "float-wider-than-needed",
    "1.5 as a double: in a pack the width is the encoder's choice.",
    "§3",
    { payload: saturationFloats(double(1.5), hex("f9 3e00")) },
    [points("spo2", "/", [t, t + 1], [1.5, 1.5])],
  ],
  [
    "float-subnormal",
    "The smallest half, single and double floats above zero.",
    "§3",
    {
      payload: array(
        record({ bn: "lux", bt: t, v: hex("f9 0001") }),
        record({ v: hex("fa 00000001") }),
        record({ v: hex("fb 0000000000000001") }),
      ),
    },
    [points("lux", null, [t, t, t], [5.960464477539063e-8, 1.401298464324817e-45, 5e-324])],
  ],
  [
    "decimal",
    "97.3 as a decimal fraction, 973 * 10^-1.",
    "§3",
    {
      payload: array(
        record({ bn: "spo2", bu: "/100", bt: t, v: tag(4, array(int(-1), int(973))) }),
        record({ v: tag(4, array(int(2), int(-3))) }),
      ),
    },
    [points("spo2", "/100", [t, t], [97.3, -300])],
  ],
  [
    "decimal-time",
    "A time of milliseconds as a decimal fraction.",
    "§3",
    { payload: array(record({ n: "heart-rate", v: 72, t: tag(4, array(int(-3), int(t * 1000 + 125))) })) },
    [points("heart-rate", null, [t + 0.125], [72])],
  ],
  [
    "integer-largest",
    "2^53 - 1 and its negative.",
    "§3",
    {
      payload: array(
        record({ bn: "steps", bt: t, v: Number.MAX_SAFE_INTEGER }),
        record({ v: -Number.MAX_SAFE_INTEGER }),
      ),
    },
    [points("steps", null, [t, t], [9007199254740991, -9007199254740991])],
  ],
  [
    "time-with-fraction",
    "A base time as a double and times as half floats.",
    "§3",
    {
      payload: array(
        record({ bn: "ibi", bu: "s", bt: double(t + 0.25), v: hex("f9 3800") }),
        record({ v: hex("f9 3800"), t: hex("f9 3800") }),
      ),
    },
    [points("ibi", "s", [t + 0.25, t + 0.75], [0.5, 0.5])],
  ],
  [
    "time-at-the-border",
    "2^28: the first time that is absolute.",
    "§3",
    { payload: heartRatePack(2 ** 28) },
    [points("heart-rate", "beat/min", [268435456], [72])],
  ],

  // Packs.
  [
    "pack-of-two-series",
    "Two names in one pack.",
    "§3",
    {
      payload: array(
        record({ bn: "k7/", bt: t, n: "heart-rate", u: "beat/min", v: 72 }),
        record({ n: "steps", v: 12 }),
        record({ n: "heart-rate", u: "beat/min", v: 74, t: 1 }),
      ),
    },
    [points("k7/heart-rate", "beat/min", [t, t + 1], [72, 74]), points("k7/steps", null, [t], [12])],
  ],
  [
    "pack-base-fields-change",
    "Base fields apply from their record on.",
    "§3",
    {
      payload: array(
        record({ bn: "a/", bt: t, bu: "Cel", bv: 30, n: "t", v: 6 }),
        record({ n: "t", v: 7, t: 60 }),
        record({ bn: "b/", bt: t + 100, bv: 20, n: "t", v: 1 }),
        record({ bu: "K", n: "t", v: 2 }),
      ),
    },
    [
      points("a/t", "Cel", [t, t + 60], [36, 37]),
      points("b/t", "Cel", [t + 100], [21]),
      points("b/t", "K", [t + 100], [22]),
    ],
  ],
  [
    "pack-keys-in-any-order",
    "The time first, the name last, text keys between.",
    "§3",
    { payload: array(record({ t, "x-note": "a", v: 72, u: "beat/min", n: "heart-rate" })) },
    heartRate,
  ],
  [
    "pack-unit-of-one-record",
    "u stands for its record alone, bu for the rest.",
    "§3",
    {
      payload: array(record({ bn: "w", bt: t, bu: "kg", v: 1 }), record({ u: "g", v: 2 }), record({ v: 3 })),
    },
    [points("w", "kg", [t, t], [1, 3]), points("w", "g", [t], [2])],
  ],
  [
    "pack-secondary-units",
    "bver 26 and a secondary unit.",
    "§3",
    { payload: array(record({ bver: 26, n: "duration", u: "ms", v: 812, t })) },
    [points("duration", "ms", [t], [812])],
  ],
  [
    "pack-of-version-5",
    "bver 5, said again in the second record.",
    "§3",
    { payload: array(record({ bver: 5, bn: "steps", bt: t, v: 1 }), record({ bver: 5, v: 2 })) },
    [points("steps", null, [t, t], [1, 2])],
  ],
  [
    "pack-version-said-late",
    "No bver, then 10, which is the default.",
    "§3",
    { payload: array(record({ bn: "steps", bt: t, v: 1 }), record({ bver: 10, v: 2 })) },
    [points("steps", null, [t, t], [1, 2])],
  ],
  [
    "pack-sums",
    "Sums alone, with a base sum, and beside a value.",
    "§3",
    { payload: array(record({ bn: "steps", bt: t, bs: 1000, s: 5 }), record({ s: 9, v: 4, t: 1 })) },
    [points("steps", null, [t, t + 1], [1005, 1009], "sum"), points("steps", null, [t + 1], [4])],
  ],
  [
    "pack-texts-and-booleans",
    "vs and vb.",
    "§3",
    {
      payload: array(
        record({ bn: "k7/", bt: t, n: "posture", vs: "lying" }),
        record({ n: "worn", vb: isTrue }),
        record({ n: "worn", vb: isFalse, t: 1 }),
        record({ n: "posture", vs: "" }),
      ),
    },
    [
      points("k7/posture", null, [t, t], ["lying", ""], "text"),
      points("k7/worn", null, [t, t + 1], [true, false], "boolean"),
    ],
  ],
  [
    "pack-bytes",
    "vd without ct is a byte string as such.",
    "§3",
    { payload: array(record({ n: "frame", t, vd: bytes(hex("00 ff 7f")) })) },
    [points("frame", null, [t], ["00ff7f"], "bytes")],
  ],
  [
    "pack-bytes-of-other-type",
    "vd with a ct that is not 60.",
    "§3",
    { payload: array(record({ n: "frame", t, vd: bytes(hex("ff d8")), ct: "22" })) },
    [points("frame", null, [t], ["ffd8"], "bytes")],
  ],
  [
    "pack-base-content-type",
    "bct applies from its record on, until ct says otherwise.",
    "§3",
    {
      payload: array(
        record({
          bn: "ecg",
          bt: t,
          bct: "60",
          vd: bytes(
            waveBytes([
              ["data", tag(77, bytes(hex("0100")))],
              ["factor", int(1)],
              ["origin", int(0)],
              ["period", int(4)],
            ]),
          ),
        }),
        record({ vd: bytes(hex("01")), ct: "42" }),
      ),
    },
    [
      {
        kind: "waveform",
        name: "ecg",
        unit: null,
        startsAt: t,
        periodMs: 4,
        factor: 1,
        origin: 0,
        samples: [1],
      },
      points("ecg", null, [t], ["01"], "bytes"),
    ],
  ],
  [
    "pack-times-repeat-and-go-back",
    "Times are never a key.",
    "§3",
    {
      payload: array(
        record({ bn: "ppg", bt: t, v: 1 }),
        record({ v: 2 }),
        record({ v: 3, t: -5 }),
        record({ v: 4 }),
      ),
    },
    [points("ppg", null, [t, t, t - 5, t], [1, 2, 3, 4])],
  ],
  [
    "pack-unknown-labels",
    "Labels that nobody knows, in figures and in letters, with values of every kind.",
    "§3",
    {
      payload: array(
        record({
          n: "heart-rate",
          u: "beat/min",
          v: 72,
          t,
          ut: 60,
          "x-a": array(int(1), nil, isTrue, hex("f9 3c00")),
          "x-b": map([[int(-40), bytes(hex("00"))]]),
          "x-c": tag(77, bytes(hex("0000"))),
        }),
      ),
    },
    heartRate,
  ],
  ...unknownValues.map(
    ([name, description, value]): Accepted => [
      `pack-unknown-label-${name}`,
      `Under an unknown label ${description}.`,
      "§3",
      { payload: array(record({ n: "heart-rate", u: "beat/min", "x-note": value, v: 72, t })) },
      heartRate,
    ],
  ),
  [
    "pack-of-a-global-name",
    "The name of a MAC address; the metric is what follows the last colon.",
    "§3",
    {
      payload: array(
        record({ bn: "urn:dev:mac:0024befffe804ff1:", n: "heart-rate", u: "beat/min", v: 72, t }),
      ),
    },
    [points("urn:dev:mac:0024befffe804ff1:heart-rate", "beat/min", [t], [72])],
  ],
  [
    "pack-name-of-255-characters",
    "The longest resolved name.",
    "§3",
    { payload: array(record({ n: nameLong, v: 1, t })) },
    [points(nameLong, null, [t], [1])],
  ],
  [
    "pack-unit-of-letters-beyond-ascii",
    "A unit as it was sent, in UTF-8.",
    "§3",
    { payload: array(record({ n: "skin", u: "µS", v: 3, t })) },
    [points("skin", "µS", [t], [3])],
  ],
  [
    "pack-of-256-series",
    "As many series as a pack may hold.",
    "§3",
    { payload: array(...Array.from({ length: 256 }, (_, index) => record({ n: `s${index}`, v: index, t }))) },
    Array.from({ length: 256 }, (_, index) => points(`s${index}`, null, [t], [index])),
  ],
  [
    "pack-of-10000-records",
    "As many records as a pack may hold.",
    "§3",
    {
      payload: array(
        record({ bn: "i", bt: t, v: 0 }),
        ...Array.from({ length: 9999 }, (_, index) => record({ v: (index + 1) % 24 })),
      ),
    },
    [
      points(
        "i",
        null,
        Array.from({ length: 10_000 }, () => t),
        Array.from({ length: 10_000 }, (_, index) => index % 24),
      ),
    ],
  ],
  [
    "pack-nested-8-deep",
    "An unknown label whose arrays end at depth 8, the pack and the record counted.",
    "§3",
    {
      payload: array(
        record({ n: "heart-rate", u: "beat/min", v: 72, t, "x-deep": hex("81 81 81 81 81 80") }),
      ),
    },
    heartRate,
  ],

  // Waveforms.
  [
    "waveform",
    "Four samples of an electrocardiogram at 250 Hz.",
    "§3",
    {
      payload: array(
        record({
          n: "ecg",
          u: "mV",
          t: double(t + 0.5),
          vd: bytes(
            waveBytes([
              ["data", tag(77, bytes(hex("0000 ff7f 0080 ffff")))],
              ["factor", double(0.005)],
              ["origin", int(-1)],
              ["period", int(4)],
            ]),
          ),
          ct: "60",
        }),
      ),
    },
    [
      {
        kind: "waveform",
        name: "ecg",
        unit: "mV",
        startsAt: t + 0.5,
        periodMs: 4,
        factor: 0.005,
        origin: -1,
        samples: [0, 32767, -32768, -1],
      },
    ],
  ],
  [
    "waveform-keys-in-any-order",
    "The map in vd is encoded as loosely as the pack.",
    "§3",
    {
      payload: array(
        record({
          ct: "60",
          vd: bytes(
            waveBytes([
              ["period", single(31.25)],
              ["origin", hex("f9 0000")],
              ["data", tag(77, bytes(hex("0a00 0b00")))],
              ["factor", double(1)],
            ]),
          ),
          t,
          n: "acc-x",
        }),
      ),
    },
    [
      {
        kind: "waveform",
        name: "acc-x",
        unit: null,
        startsAt: t,
        periodMs: 31.25,
        factor: 1,
        origin: 0,
        samples: [10, 11],
      },
    ],
  ],
  [
    "waveforms-of-one-name",
    "Each waveform record is a series of its own.",
    "§3",
    {
      payload: array(
        ...[0, 1].map((second) =>
          record({
            n: "ppg",
            t: t + second,
            vd: bytes(
              waveBytes([
                ["data", tag(77, bytes(hex("0100 0200")))],
                ["factor", int(1)],
                ["origin", int(0)],
                ["period", int(500)],
              ]),
            ),
            ct: "60",
          }),
        ),
      ),
    },
    [0, 1].map((second) => ({
      kind: "waveform",
      name: "ppg",
      unit: null,
      startsAt: t + second,
      periodMs: 500,
      factor: 1,
      origin: 0,
      samples: [1, 2],
    })),
  ],
]

/** Those that need a history, a size or another key. */
function placed(): StatementVector[] {
  const second = honestHistory("second-links-to-the-first", 1)
  const after = honestHistory("first-under-a-rotated-key", 2)
  const request = "rotation-request"
  const exact = "size-65535"
  const content = text("application/octet-stream")
  const overhead = draftStatement(exact, { content, payload: new Uint8Array(65_000) }).length - 65_000
  return [
    makeVector("second-links-to-the-first", {
      description: "seq 2, and prev is the entry of seq 1.",
      rule: "§4",
      verdict: 1,
      before: second,
      statement: draftStatement("second-links-to-the-first", { seq: 2, prev: entryOf(second[0]!.bytes) }),
      series: heartRate,
    }),
    makeVector("first-under-a-rotated-key", {
      description: "The second key stands from seq 3 and links to what the first key signed.",
      rule: "§4",
      verdict: 1,
      keys: [keyInFile(edKey, 1, 2, "rotation"), keyInFile(ecKey, 3)],
      before: after,
      statement: draftStatement("first-under-a-rotated-key", {
        key: ecKey,
        seq: 3,
        prev: entryOf(after[1]!.bytes),
      }),
      series: heartRate,
    }),
    makeVector("duplicate-of-the-head", {
      description: "The head once more, byte for byte: a retry.",
      rule: "§4",
      verdict: 2,
      before: honestHistory("duplicate-of-the-head", 2),
      statement: honestHistory("duplicate-of-the-head", 2)[1]!.bytes,
    }),
    makeVector("duplicate-of-an-old-one", {
      description: "A late copy of seq 1 behind a head at 3 is not a fork.",
      rule: "§4",
      verdict: 2,
      before: honestHistory("duplicate-of-an-old-one", 3),
      statement: honestHistory("duplicate-of-an-old-one", 3)[0]!.bytes,
    }),
    makeVector(request, {
      description:
        "A device asks for its next key. A service whose origin is not the one given here must answer 3: the proof names the origin.",
      rule: "§7",
      verdict: 1,
      statement: draftStatement(request, {
        content: text("application/vnd.tidemark.registry+cbor"),
        payload: encodeRegistry({
          action: "rotate",
          device: request,
          key: edKeyNext.publicKey,
          firstSeq: 2,
          proofOfNew: proveKey(edKeyNext, vectorOrigin, request, 2, edKeyNext.publicKey),
        }),
      }),
    }),
    makeVector(exact, {
      description: "65,535 bytes: the largest statement there is.",
      rule: "§1",
      verdict: 1,
      statement: draftStatement(exact, {
        content,
        payload: new Uint8Array(statementSizeMax - overhead).fill(0x5a),
      }),
    }),
  ]
}

export function acceptedVectors(): StatementVector[] {
  return [
    ...accepted.map(([name, description, rule, parts, series]) =>
      makeVector(name, {
        description,
        rule,
        verdict: 1,
        statement: draftStatement(name, parts),
        ...(parts.key === undefined ? {} : { keys: [keyInFile(parts.key)] }),
        ...(series === undefined ? {} : { series }),
      }),
    ),
    ...placed(),
  ]
}
