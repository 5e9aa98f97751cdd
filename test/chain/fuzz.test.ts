/**
 * Every decoder of `chain/` under mutations of what it takes: it refuses in its own way, or what it read prints as the
 * same bytes. Nothing else is thrown, whatever comes.
 */
import { isDeepStrictEqual } from "node:util"
import { expect, test } from "vitest"
import { type Manifest, decodeManifest, encodeManifest } from "../../chain/block.ts"
import { encodeUtf8, equalBytes, formatHex, joinBytes } from "../../chain/bytes.ts"
import { type CborInput, FormatFault, encodeCbor } from "../../chain/cbor.ts"
import { formatCheckpoint, parseCheckpoint } from "../../chain/checkpoint.ts"
import { decodeCoseReceipt, encodeCoseReceipt } from "../../chain/cose-receipt.ts"
import { attachReceipts, detachReceipts } from "../../chain/transparent-statement.ts"
import { parseHash, sha256, zeroHash } from "../../chain/hash.ts"
import {
  algorithmEd25519,
  algorithmEsp256,
  decodeCoseKey,
  encodeCoseKey,
  makePrivateKey,
} from "../../chain/key.ts"
import { decodeLost, encodeLost } from "../../chain/lost.ts"
import { formatNote, formatVkey, parseNote, parseVkey, signNote } from "../../chain/note.ts"
import { decodePolicy, encodePolicy } from "../../chain/policy.ts"
import { decodeReceipt, encodeReceipt } from "../../chain/receipt.ts"
import { type Registry, decodeRegistry, encodeRegistry, proveKey } from "../../chain/registry.ts"
import { decodeSealedAnswer, encodeSealedAnswer } from "../../chain/sealed-answer.ts"
import { decodePack, encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import {
  type Claims,
  contentSenml,
  decodeStatement,
  encodeSignedBytes,
  encodeStatement,
  signStatement,
  signedBytesOf,
} from "../../chain/statement.ts"
import { type TlogProof, formatTlogProof, parseTlogProof } from "../../chain/tlog-proof.ts"
import { decodeWaveform, encodeWaveform } from "../../chain/waveform.ts"
import { type Random, makeRandom } from "../../devices-sim/random.ts"

const origin = "example.org/log"
const device = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(1))
const deviceP256 = makePrivateKey(algorithmEsp256, new Uint8Array(32).fill(2))
const log = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(3))
const hash = sha256(Uint8Array.of(1))

/** Takes one input apart: null where it refuses, and otherwise what the value prints as. */
type Reprint = (input: Uint8Array) => Uint8Array | null

function strict(decode: (input: Uint8Array) => Uint8Array): Reprint {
  return (input) => {
    try {
      return decode(input)
    } catch (error) {
      if (
        error instanceof FormatFault &&
        error.rule !== "" &&
        error.offset >= 0 &&
        error.offset <= input.length
      )
        return null
      throw error
    }
  }
}

function text(parse: (input: string) => string | null): Reprint {
  return (input) => {
    const given = new TextDecoder("utf-8", { ignoreBOM: true }).decode(input)
    const printed = parse(given)
    if (printed === null) return null
    return printed === given ? input : encodeUtf8(printed)
  }
}

const reprintStatement: Reprint = (input) => {
  const decoded = decodeStatement(input, origin)
  if (decoded.kind !== "statement") return null
  const { statement } = decoded
  if (!equalBytes(signedBytesOf(statement), encodeSignedBytes(statement))) {
    throw new Error("the signed bytes that were cut are not those that would be signed")
  }
  return encodeStatement(statement, statement.signature)
}

/** A pack has many encodings: ours of its series must decode to the same series, those without a unit first. */
const reprintPack = strict((input) => {
  const series = decodePack(input)
  const ordered = [
    ...series.filter(({ unit }) => unit === null),
    ...series.filter(({ unit }) => unit !== null),
  ]
  if (!isDeepStrictEqual(decodePack(encodePack(ordered)), ordered)) throw new Error("other series came back")
  return input
})

const claims: Omit<Claims, "algorithm" | "kid"> = {
  content: contentSenml,
  iss: "k7",
  sub: "k7/left-wrist",
  iat: 1_795_000_000,
  seq: 300,
  prev: hash,
  payload: Uint8Array.of(1, 2, 3),
}

const series: Series[] = [
  {
    kind: "number",
    name: "urn:dev:mac:0123:heart-rate",
    unit: "beat/min",
    times: [1_795_000_000, 1_795_000_000.5],
    values: [72, 71.5],
  },
  { kind: "sum", name: "steps", unit: null, times: [1_795_000_000], values: [12] },
  { kind: "boolean", name: "worn", unit: null, times: [1_795_000_000], values: [true] },
  { kind: "text", name: "note", unit: null, times: [1_795_000_000], values: ["gut geschlafen ☾"] },
  { kind: "bytes", name: "raw", unit: null, times: [1_795_000_000], values: [Uint8Array.of(1, 2)] },
  {
    kind: "waveform",
    name: "ecg",
    unit: "mV",
    startsAt: 1_795_000_000,
    periodMs: 4,
    factor: 0.005,
    origin: -1,
    samples: Int16Array.of(1, -2, 300),
  },
]

const waveform = encodeWaveform({
  periodMs: 4,
  factor: 0.005,
  origin: -1,
  samples: Int16Array.of(1, -2, 300),
})

/** As another encoder would have it: keys in any order, wide floats, a decimal fraction, unknown labels. */
const foreignPack = encodeCbor([
  new Map<number | string, CborInput>([
    [-1, 10],
    [-2, "urn:dev:ow:10e2073a01080063:"],
    [-3, 1_320_078_429.25],
    [-4, "Cel"],
    [-5, 0.5],
    [0, "temperature"],
    [2, { tag: 4, value: [-2, 2730] }],
    ["l", [1, new Map([["a", null]])]],
  ]),
  new Map<number | string, CborInput>([
    [0, "raw"],
    [6, -2.5],
    [8, waveform],
    ["ct", "60"],
  ]),
])

const registry: Registry = {
  action: "rotate",
  device: "k7",
  previous: hash,
  key: deviceP256.publicKey,
  firstSeq: 301,
  lastGoodSeq: 299,
  proofOfNew: proveKey(deviceP256, origin, "k7", 301, deviceP256.publicKey),
  proofOfOld: proveKey(device, origin, "k7", 301, deviceP256.publicKey),
  reason: "a new battery",
  request: zeroHash,
  caDigest: hash,
  attributes: new Map([
    ["make", "Acme"],
    ["model", "Größe 2"],
  ]),
}

const manifest: Manifest = {
  height: 23,
  fromMs: 1_795_000_000_000,
  toMs: 1_795_003_600_000,
  firstLeaf: 256,
  size: 70_000,
  root: hash,
  headsRoot: zeroHash,
  blocksRoot: hash,
  arrivalsRoot: hash,
  summary: hash,
}

const logKey = { name: origin, publicKey: log.publicKey }
const checkpoint = formatCheckpoint({ origin, size: 70_001, root: hash })
const note = signNote(checkpoint, origin, log)

const receiptParts = {
  origin,
  kid: hash.slice(0, 8),
  size: 2,
  index: 1,
  path: [hash],
  signature: new Uint8Array(64).fill(7),
}
const coseReceipt = encodeCoseReceipt(receiptParts)
const proof: TlogProof = { extra: null, index: 300, path: [hash, zeroHash], checkpoint: formatNote(note) }

interface Format {
  readonly reprint: Reprint
  readonly valid: readonly Uint8Array[]
}

const formats: Readonly<Record<string, Format>> = {
  statement: {
    reprint: reprintStatement,
    valid: [
      signStatement(claims, device).bytes,
      signStatement({ ...claims, seq: 1, prev: zeroHash, payload: encodePack(series) }, deviceP256).bytes,
      signStatement({ ...claims, content: "application/octet-stream" }, device).bytes,
      signStatement({ ...claims, content: { digestAlgorithm: -16 }, payload: hash }, device).bytes,
      signStatement(
        {
          ...claims,
          content: { digestAlgorithm: -44, preimageContent: 60, location: "https://example.org/1" },
        },
        device,
      ).bytes,
      signStatement({ ...claims, iss: origin, sub: "block", payload: encodeManifest(manifest) }, log, origin)
        .bytes,
    ],
  },
  pack: { reprint: reprintPack, valid: [encodePack(series), foreignPack] },
  waveform: {
    reprint: strict((input) => {
      const decoded = decodeWaveform(input)
      if (!isDeepStrictEqual(decodeWaveform(encodeWaveform(decoded)), decoded))
        throw new Error("another waveform came back")
      return input
    }),
    valid: [waveform],
  },
  manifest: {
    reprint: strict((input) => encodeManifest(decodeManifest(input))),
    valid: [encodeManifest(manifest), encodeManifest({ ...manifest, height: 0, firstLeaf: 0, size: 5 })],
  },
  registry: {
    reprint: strict((input) => encodeRegistry(decodeRegistry(input))),
    valid: [
      encodeRegistry(registry),
      encodeRegistry({
        action: "enrol",
        device: "k7",
        previous: zeroHash,
        key: device.publicKey,
        firstSeq: 1,
      }),
      encodeRegistry({ action: "revoke", device: "k7", previous: hash }),
    ],
  },
  policy: {
    reprint: strict((input) => encodePolicy(decodePolicy(input))),
    valid: [
      encodePolicy({
        origin,
        logVkey: formatVkey(logKey),
        operatorKey: device.publicKey,
        receiptKey: makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(5)).publicKey,
        version: 1,
      }),
    ],
  },
  lost: {
    reprint: strict((input) => encodeLost(decodeLost(input))),
    valid: [
      encodeLost({ reason: "not-worn", count: null, from: 1, to: 300 }),
      encodeLost({ reason: "refused", count: 12, from: 1_795_000_000, to: 1_795_000_000 }),
    ],
  },
  receipt: {
    reprint: strict((input) => encodeReceipt(decodeReceipt(input))),
    valid: [
      encodeReceipt({ code: 1, seq: 300, head: { seq: 300, entry: hash }, now: 1_795_000_001 }),
      encodeReceipt({ code: 0, seq: null, head: { seq: 0, entry: zeroHash }, now: 1_795_000_001 }),
    ],
  },
  key: {
    reprint: strict((input) => encodeCoseKey(decodeCoseKey(input))),
    valid: [encodeCoseKey(device.publicKey), encodeCoseKey(deviceP256.publicKey)],
  },
  note: {
    reprint: text((input) => {
      const parsed = parseNote(input)
      return parsed === null ? null : formatNote(parsed)
    }),
    valid: [
      encodeUtf8(formatNote(note)),
      encodeUtf8(
        formatNote({
          ...note,
          signatures: [...note.signatures, { name: "w", keyHash: hash.slice(0, 4), signature: hash }],
        }),
      ),
    ],
  },
  vkey: {
    reprint: text((input) => {
      const key = parseVkey(input)
      return key === null ? null : formatVkey(key)
    }),
    valid: [encodeUtf8(formatVkey(logKey))],
  },
  "COSE Receipt": {
    reprint: strict((input) => encodeCoseReceipt(decodeCoseReceipt(input))),
    valid: [
      coseReceipt,
      encodeCoseReceipt({ ...receiptParts, size: 70_001, index: 300, path: [hash, hash] }),
    ],
  },
  "Transparent Statement": {
    reprint: strict((input) => {
      const { statement, receipts } = detachReceipts(input)
      return attachReceipts(statement, receipts)
    }),
    valid: [attachReceipts(signStatement(claims, device).bytes, [coseReceipt, hash])],
  },
  "tlog-proof": {
    reprint: (input) => {
      const parsed = parseTlogProof(input)
      return parsed.kind === "fault" ? null : encodeUtf8(formatTlogProof(parsed.proof))
    },
    valid: [
      { ...proof, extra: Uint8Array.of(1, 2, 3) },
      { ...proof, path: [] },
    ].map((one) => encodeUtf8(formatTlogProof(one))),
  },
  "sealed answer": {
    reprint: strict((input) => encodeSealedAnswer(decodeSealedAnswer(input))),
    valid: [
      encodeSealedAnswer({ seq: 300, receipt: coseReceipt }),
      encodeSealedAnswer({ seq: null, receipt: null }),
    ],
  },
  checkpoint: {
    reprint: text((input) => {
      const parsed = parseCheckpoint(input)
      return parsed === null ? null : formatCheckpoint(parsed)
    }),
    valid: [encodeUtf8(checkpoint), encodeUtf8(formatCheckpoint({ origin, size: 0, root: parseHash(hash) }))],
  },
}

/** Bytes at which CBOR and text change their meaning. */
const telling = [
  0x00, 0x0a, 0x17, 0x18, 0x1b, 0x1f, 0x20, 0x2b, 0x3d, 0x40, 0x5f, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc2, 0xd2,
  0xf6, 0xf9, 0xfb, 0xff,
]

function mutate(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const at = random.int(0, input.length)
  const length = random.int(0, 4)
  const head = input.subarray(0, at)
  switch (random.int(0, 6)) {
    case 0: {
      const flipped = Uint8Array.from(input)
      if (at < input.length) flipped[at]! ^= 1 << random.int(0, 7)
      return flipped
    }
    case 1:
      return joinBytes(head, Uint8Array.of(random.pick(telling)), input.subarray(at + 1))
    case 2:
      return joinBytes(head, random.bytes(length), input.subarray(at))
    case 3:
      return joinBytes(head, input.subarray(at + length))
    case 4:
      return joinBytes(head, input.subarray(at, at + 40), input.subarray(at))
    case 5:
      return joinBytes(head, other.subarray(random.int(0, other.length)))
    default: {
      // One more or one less in a length, a label or a count.
      const moved = Uint8Array.from(input)
      if (at < input.length) moved[at]! += random.pick([-1, 1])
      return moved
    }
  }
}

interface Found {
  readonly format: string
  readonly input: string
  readonly fault: string
}

function findFault(format: string, input: Uint8Array): Found | "refused" | "read" {
  try {
    const printed = formats[format]!.reprint(input)
    if (printed === null) return "refused"
    if (equalBytes(printed, input)) return "read"
    return { format, input: formatHex(input), fault: `prints as ${formatHex(printed)}` }
  } catch (error) {
    return { format, input: formatHex(input), fault: String(error) }
  }
}

function fuzz(seed: string, count: number): { found: Found[]; refused: number; read: number } {
  const random = makeRandom(seed)
  const names = Object.keys(formats)
  const found: Found[] = []
  const seen = { refused: 0, read: 0 }
  for (let index = 0; index < count; index++) {
    const format = names[index % names.length]!
    const { valid } = formats[format]!
    let input = random.pick(valid)
    for (let left = random.int(1, 3); left > 0; left--) input = mutate(input, random.pick(valid), random)
    const fault = findFault(format, input)
    if (typeof fault === "string") seen[fault] += 1
    else found.push(fault)
  }
  return { found, ...seen }
}

test("what is valid is read, and prints as the same bytes", () => {
  for (const [format, { valid }] of Object.entries(formats)) {
    expect(valid.map((input) => findFault(format, input))).toEqual(valid.map(() => "read"))
  }
})

test("5,000 mutations are refused cleanly or print as the same bytes", () => {
  const { found, refused, read } = fuzz("mutations of everything", 5_000)
  expect(found).toEqual([])
  expect(refused + read).toBe(5_000)
  // Both must happen, or nothing was tried.
  expect(refused).toBeGreaterThan(2_000)
  expect(read).toBeGreaterThan(500)
})
