/** Vectors that are accepted although their payload cannot be read (code 3) or is ahead of its time (code 4). */
import { joinBytes } from "../../chain/bytes.ts"
import { type DraftParts, draftStatement, farAhead, heartRatePack, spokenAt } from "./draft.ts"
import { type Item, array, bytes, double, hex, int, map, nil, record, single, tag, text } from "./items.ts"
import { type SeriesInFile, type StatementVector, makeVector } from "./statement-vector.ts"

const t = spokenAt
/** A record that is whole; what is wrong is added to it or put in its place. */
const sound = { n: "heart-rate", u: "beat/min", v: 72, t } as const

function wave(members: Readonly<Record<string, Item>>): Item {
  const pairs = Object.entries(members).map(([name, item]) => [text(name), item] as const)
  return array(record({ n: "ecg", t, vd: bytes(map(pairs)), ct: "60" }))
}

const samples = tag(77, bytes(hex("0100 0200")))
const soundWave = { data: samples, factor: int(1), origin: int(0), period: int(4) }

const unreadPacks: readonly (readonly [name: string, description: string, payload: Uint8Array])[] = [
  ["unread-empty", "No bytes at all.", new Uint8Array(0)],
  ["unread-not-cbor", "Bytes that are no CBOR.", hex("ff")],
  [
    "unread-json",
    "SenML in JSON under the number of SenML in CBOR.",
    text('[{"n":"heart-rate","v":72}]').slice(2),
  ],
  ["unread-cut-short", "The last byte of the pack is missing.", heartRatePack(t).slice(0, -1)],
  ["unread-bytes-after-the-end", "A zero byte behind the pack.", joinBytes(heartRatePack(t), hex("00"))],
  ["unread-record-without-array", "A record that stands in no array.", record(sound)],
  ["unread-pack-of-no-records", "An empty array.", array()],
  [
    "unread-pack-of-10001-records",
    "One record too many.",
    array(record({ bn: "i", bt: t, v: 0 }), ...Array.from({ length: 10_000 }, () => record({ v: 0 }))),
  ],
  [
    "unread-pack-of-257-series",
    "One series too many.",
    array(...Array.from({ length: 257 }, (_, index) => record({ n: `s${index}`, v: 0, t }))),
  ],
  [
    "unread-array-of-indefinite-length",
    "The pack has no length and ends with a break.",
    joinBytes(hex("9f"), record(sound), hex("ff")),
  ],
  [
    "unread-map-of-indefinite-length",
    "A record has no length and ends with a break.",
    array(joinBytes(hex("bf"), record(sound).slice(1), hex("ff"))),
  ],
  [
    "unread-text-in-chunks",
    "A name in two chunks.",
    array(record({ ...sound, n: hex("7f 65 6865617274 65 2d72617465 ff") })),
  ],
  ["unread-integer-not-shortest", "72 in three bytes.", array(record({ ...sound, v: hex("19 0048") }))],
  [
    "unread-length-not-shortest",
    "The length of a name in an extra byte.",
    array(record({ ...sound, n: joinBytes(hex("78 0a"), text("heart-rate").slice(1)) })),
  ],
  [
    "unread-key-twice",
    "v stands twice.",
    array(joinBytes(hex("a5"), record(sound).slice(1), hex("02 18 48"))),
  ],
  [
    "unread-key-of-bytes",
    "An unknown label that is a byte string.",
    array(
      map([
        [int(0), text("heart-rate")],
        [int(2), int(72)],
        [int(6), int(t)],
        [hex("41 00"), int(1)],
      ]),
    ),
  ],
  ["unread-bignum", "A value as a bignum (tag 2).", array(record({ ...sound, v: hex("c2 41 48") }))],
  [
    "unread-integer-of-2-to-the-53",
    "A value of 2^53.",
    array(record({ ...sound, v: hex("1b 0020000000000000") })),
  ],
  ["unread-tag-1", "A time with the tag of an epoch.", array(record({ ...sound, t: tag(1, int(t)) }))],
  [
    "unread-nested-9-deep",
    "Arrays in an unknown label that reach depth 9.",
    array(record({ ...sound, "x-deep": hex("81 81 81 81 81 81 80") })),
  ],
  [
    "unread-unknown-label-indefinite",
    "An array without a length under an unknown label.",
    array(record({ ...sound, "x-note": hex("9f 01 ff") })),
  ],
  [
    "unread-unknown-label-not-shortest",
    "23 in two bytes under an unknown label.",
    array(record({ ...sound, "x-note": hex("18 17") })),
  ],
  [
    "unread-unknown-label-simple-below-32",
    "A simple value of two bytes that has one, under an unknown label: not well-formed.",
    array(record({ ...sound, "x-note": hex("f8 18") })),
  ],
  [
    "unread-unknown-label-reserved",
    "A head that means nothing (28) under an unknown label.",
    array(record({ ...sound, "x-note": hex("1c") })),
  ],
  [
    "unread-unknown-label-cut-short",
    "A text under an unknown label that is longer than the pack.",
    array(record({ ...sound, "x-note": hex("62 61") })),
  ],
  [
    "unread-control-character",
    "A tab in a text value.",
    array(record({ n: "posture", t, vs: "lying\tdown" })),
  ],
  [
    "unread-not-utf8",
    "A text value that is not UTF-8.",
    array(record({ n: "posture", t, vs: hex("62 c3 28") })),
  ],
  [
    "unread-surrogate",
    "A text value with half a surrogate pair.",
    array(record({ n: "posture", t, vs: hex("63 ed a0 80") })),
  ],

  [
    "unread-time-relative",
    "A time of 60: relative to now, and what is signed must not depend on when it is read.",
    array(record({ ...sound, t: 60 })),
  ],
  ["unread-time-missing", "No time, which means now.", array(record({ n: "heart-rate", v: 72 }))],
  ["unread-time-just-relative", "2^28 - 1.", array(record({ ...sound, t: 2 ** 28 - 1 }))],
  [
    "unread-time-in-the-second-record",
    "The first record is whole; t of the second brings it below 2^28.",
    array(record({ bn: "heart-rate", bt: t, v: 72 }), record({ v: 73, t: -t })),
  ],
  ["unread-time-as-text", "A time in letters.", array(record({ ...sound, t: "2025-06-01T08:00:00Z" }))],
  ["unread-two-values", "v and vs in one record.", array(record({ ...sound, vs: "72" }))],
  ["unread-no-value", "A record without a value or a sum.", array(record({ n: "heart-rate", t }))],
  ["unread-base-value-alone", "bv without v is no value.", array(record({ n: "heart-rate", bv: 72, t }))],
  ["unread-nan", "A value that is not a number.", array(record({ ...sound, v: hex("f9 7e00") }))],
  ["unread-infinity", "An infinite value.", array(record({ ...sound, v: hex("f9 7c00") }))],
  [
    "unread-sum-of-value-and-base-infinite",
    "bv + v leaves the doubles.",
    array(record({ ...sound, bv: double(1.7e308), v: double(1.7e308) })),
  ],
  ["unread-decimal-infinite", "1 * 10^400.", array(record({ ...sound, v: tag(4, array(int(400), int(1))) }))],
  [
    "unread-decimal-of-three",
    "A decimal fraction of three parts.",
    array(record({ ...sound, v: tag(4, array(int(0), int(72), int(0))) })),
  ],
  [
    "unread-decimal-of-floats",
    "A decimal fraction whose mantissa is a float.",
    array(record({ ...sound, v: tag(4, array(int(0), double(72))) })),
  ],
  ["unread-value-null", "v is null.", array(record({ ...sound, v: nil }))],
  ["unread-boolean-as-number", "vb is 1.", array(record({ n: "worn", t, vb: 1 }))],
  ["unread-unit-as-number", "u is a number.", array(record({ ...sound, u: 3 }))],
  ["unread-name-missing", "No name and no base name.", array(record({ v: 72, t }))],
  ["unread-name-with-space", "A name with a space.", array(record({ ...sound, n: "heart rate" }))],
  [
    "unread-name-beyond-ascii",
    "A name with a letter beyond ASCII.",
    array(record({ ...sound, n: "fréquence" })),
  ],
  [
    "unread-name-with-hyphen-first",
    "A name that begins with a hyphen.",
    array(record({ ...sound, n: "-heart-rate" })),
  ],
  [
    "unread-name-of-256-characters",
    "A name one character too long.",
    array(record({ ...sound, n: "n".repeat(256) })),
  ],
  [
    "unread-label-with-underscore",
    "A label that must be understood and is not.",
    array(record({ ...sound, "x-must_": 1 })),
  ],
  ["unread-version-11", "bver 11.", array(record({ bver: 11, ...sound }))],
  [
    "unread-version-changes",
    "bver 10, then 26.",
    array(record({ bver: 10, bn: "steps", bt: t, v: 1 }), record({ bver: 26, v: 2 })),
  ],
  ["unread-version-as-float", "bver 10.0.", array(record({ bver: single(10), ...sound }))],
  [
    "unread-content-type-as-number",
    "ct in figures.",
    array(record({ n: "frame", t, vd: bytes(hex("00")), ct: 60 })),
  ],

  [
    "unread-waveform-not-a-map",
    "ct is 60 and vd holds an integer.",
    array(record({ n: "ecg", t, vd: bytes(hex("00")), ct: "60" })),
  ],
  [
    "unread-waveform-of-no-samples",
    "No samples.",
    wave({ ...soundWave, data: tag(77, bytes(new Uint8Array(0))) }),
  ],
  [
    "unread-waveform-of-half-a-sample",
    "Three bytes of samples.",
    wave({ ...soundWave, data: tag(77, bytes(hex("010002"))) }),
  ],
  [
    "unread-waveform-without-tag",
    "Samples without tag 77.",
    wave({ ...soundWave, data: bytes(hex("0100")) }),
  ],
  [
    "unread-waveform-big-endian",
    "Samples with tag 73, the big-endian ones.",
    wave({ ...soundWave, data: tag(73, bytes(hex("0001"))) }),
  ],
  ["unread-waveform-period-zero", "A period of 0.", wave({ ...soundWave, period: int(0) })],
  ["unread-waveform-period-negative", "A period of -4.", wave({ ...soundWave, period: int(-4) })],
  ["unread-waveform-without-period", "No period.", wave({ data: samples, factor: int(1), origin: int(0) })],
  ["unread-waveform-with-a-fifth-key", "A key of its own.", wave({ ...soundWave, lead: text("II") })],
  [
    "unread-waveform-factor-nan",
    "A factor that is not a number.",
    wave({ ...soundWave, factor: hex("f9 7e00") }),
  ],
  [
    "unread-waveform-factor-as-decimal",
    "A factor as a decimal fraction: the map has numbers only.",
    wave({ ...soundWave, factor: tag(4, array(int(-3), int(5))) }),
  ],
  [
    "unread-waveform-without-end",
    "Three samples so far apart that the time of the last is infinite.",
    wave({ ...soundWave, data: tag(77, bytes(hex("0100 0200 0300"))), period: double(1e308) }),
  ],
  [
    "unread-waveform-period-zero-in-seconds",
    "A period above 0 in milliseconds, and 0 in seconds.",
    wave({ ...soundWave, period: double(5e-324) }),
  ],
  [
    "unread-waveform-too-large",
    "Samples times factor leave the doubles.",
    wave({ ...soundWave, factor: double(1e305) }),
  ],
]

const lostType = text("application/vnd.tidemark.lost+cbor")
const registryType = text("application/vnd.tidemark.registry+cbor")

const unreadOthers: readonly (readonly [
  name: string,
  description: string,
  rule: string,
  parts: DraftParts,
])[] = [
  [
    "unread-lost-of-reason-6",
    "Reasons are 1 to 5.",
    "§4",
    { content: lostType, payload: array(int(6), nil, int(t), int(t)) },
  ],
  [
    "unread-lost-of-three-items",
    "to is missing.",
    "§4",
    { content: lostType, payload: array(int(1), nil, int(t)) },
  ],
  [
    "unread-lost-to-before-from",
    "It ends before it begins.",
    "§4",
    { content: lostType, payload: array(int(1), nil, int(t), int(t - 1)) },
  ],
  [
    "unread-lost-count-negative",
    "Fewer than none were lost.",
    "§4",
    { content: lostType, payload: array(int(1), int(-1), int(t), int(t)) },
  ],
  [
    "unread-lost-not-shortest",
    "Our own types are encoded strictly: a reason in two bytes.",
    "§4",
    { content: lostType, payload: joinBytes(hex("84 18 01 f6"), int(t), int(t)) },
  ],
  [
    "unread-lost-as-float",
    "from is a float.",
    "§4",
    { content: lostType, payload: array(int(1), nil, single(t), int(t)) },
  ],
  ["unread-registry-of-nothing", "An empty map.", "§7", { content: registryType, payload: map([]) }],
  [
    "unread-registry-member-13",
    "A member that there is not.",
    "§7",
    {
      content: registryType,
      payload: map([
        [int(1), int(2)],
        [int(2), text("unread-registry-member-13")],
        [int(13), nil],
      ]),
    },
  ],
  [
    "unread-registry-out-of-order",
    "2 stands before 1.",
    "§7",
    {
      content: registryType,
      payload: map([
        [int(2), text("unread-registry-out-of-order")],
        [int(1), int(2)],
      ]),
    },
  ],
  [
    "unread-registry-proof-of-63-bytes",
    "A proof that lacks a byte.",
    "§7",
    {
      content: registryType,
      payload: map([
        [int(1), int(2)],
        [int(2), text("unread-registry-proof-of-63-bytes")],
        [int(7), bytes(new Uint8Array(63))],
      ]),
    },
  ],
  [
    "unread-and-ahead",
    "iat is far ahead and the pack cannot be read: unread goes first.",
    "§4",
    { iat: farAhead, payload: hex("ff") },
  ],
]

type Ahead = readonly [
  name: string,
  description: string,
  parts: DraftParts,
  now: number,
  series?: readonly SeriesInFile[],
]

const waveAhead = {
  kind: "waveform",
  name: "ecg",
  unit: null,
  startsAt: farAhead,
  periodMs: 1000,
  factor: 1,
  origin: 0,
  samples: Array.from({ length: 302 }, () => 0),
}

function heartRateAt(time: number): SeriesInFile[] {
  return [{ kind: "number", name: "heart-rate", unit: "beat/min", times: [time], values: [72] }]
}

const ahead: readonly Ahead[] = [
  [
    "ahead-by-iat",
    "iat is far ahead, the reading is not.",
    { iat: farAhead, payload: heartRatePack(t) },
    spokenAt,
    heartRateAt(t),
  ],
  [
    "ahead-by-a-reading",
    "A reading is far ahead, iat is not.",
    { payload: heartRatePack(farAhead) },
    spokenAt,
    heartRateAt(farAhead),
  ],
  [
    "ahead-by-301-s",
    "iat is one second too far ahead.",
    { iat: farAhead + 301, payload: heartRatePack(t) },
    farAhead,
    heartRateAt(t),
  ],
  [
    "ahead-by-a-reading-of-many",
    "The first of two readings is ahead.",
    { payload: array(record({ bn: "steps", bt: farAhead, v: 1 }), record({ bt: t, v: 2 })) },
    spokenAt,
    [{ kind: "number", name: "steps", unit: null, times: [farAhead, t], values: [1, 2] }],
  ],
  [
    "ahead-by-the-last-sample",
    "A waveform of 302 samples, one a second, begins now: its last sample is 301 s ahead.",
    {
      iat: farAhead,
      payload: array(
        record({
          n: "ecg",
          t: farAhead,
          vd: bytes(
            map([
              [text("data"), tag(77, bytes(new Uint8Array(604)))],
              [text("factor"), int(1)],
              [text("origin"), int(0)],
              [text("period"), int(1000)],
            ]),
          ),
          ct: "60",
        }),
      ),
    },
    farAhead,
    [waveAhead],
  ],
  [
    "ahead-opaque",
    "An opaque statement with an iat far ahead.",
    { iat: farAhead, content: text("text/plain"), payload: hex("2a") },
    spokenAt,
  ],
  [
    "ahead-milliseconds-as-seconds",
    "Milliseconds sent as seconds, in iat and in the reading.",
    { iat: t * 1000, payload: heartRatePack(t * 1000) },
    spokenAt,
    heartRateAt(t * 1000),
  ],
  [
    "ahead-iat-largest",
    "iat is 2^53 - 1.",
    { iat: Number.MAX_SAFE_INTEGER, payload: heartRatePack(t) },
    spokenAt,
    heartRateAt(t),
  ],
  [
    "ahead-time-largest",
    "A reading at the largest double.",
    { payload: array(record({ ...sound, t: double(Number.MAX_VALUE) })) },
    spokenAt,
    heartRateAt(Number.MAX_VALUE),
  ],
]

export function unreadVectors(): StatementVector[] {
  return [
    ...unreadPacks.map(([name, description, payload]) =>
      makeVector(name, { description, rule: "§3", verdict: 3, statement: draftStatement(name, { payload }) }),
    ),
    ...unreadOthers.map(([name, description, rule, parts]) =>
      makeVector(name, { description, rule, verdict: 3, statement: draftStatement(name, parts) }),
    ),
  ]
}

export function aheadVectors(): StatementVector[] {
  return ahead.map(([name, description, parts, now, series]) =>
    makeVector(name, {
      description,
      rule: "§4",
      verdict: 4,
      now,
      statement: draftStatement(name, parts),
      ...(series === undefined ? {} : { series }),
    }),
  )
}
