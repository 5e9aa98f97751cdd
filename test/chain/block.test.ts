import * as fc from "fast-check"
import { expect, test } from "vitest"
import { encodeUtf8, joinBytes } from "../../chain/bytes.ts"
import {
  BlockBuilder,
  type BlockStart,
  type BlockStatement,
  type Manifest,
  decodeManifest,
  encodeArrival,
  encodeManifest,
  floorMs,
  hashSummary,
  saltSize,
} from "../../chain/block.ts"
import { encodeCbor } from "../../chain/cbor.ts"
import { type ChainBinding, emptyHeadOf } from "../../chain/genesis.ts"
import { type Hash, parseHash, sha256, zeroHash } from "../../chain/hash.ts"
import { type SealedHead, headsRootOf } from "../../chain/heads.ts"
import { Frontier, hashLeaf, rootOf } from "../../chain/merkle.ts"
import { bytes, int, map, nil } from "../vectors/items.ts"

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(parseHash)
const ordered = fc
  .tuple(fc.maxSafeNat(), fc.maxSafeNat())
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
const manifest: fc.Arbitrary<Manifest> = fc
  .record({
    height: fc.maxSafeNat(),
    time: ordered,
    leaves: ordered,
    root: hash,
    headsRoot: hash,
    blocksRoot: hash,
    arrivalsRoot: hash,
    summary: hash,
  })
  .map(({ time: [fromMs, toMs], leaves: [firstLeaf, size], ...rest }) => ({
    ...rest,
    fromMs,
    toMs,
    firstLeaf,
    size,
  }))

test("a manifest decodes to what was sealed, and encodes to the same bytes", () => {
  fc.assert(
    fc.property(manifest, (sealed) => {
      const encoded = encodeManifest(sealed)
      expect(decodeManifest(encoded)).toEqual(sealed)
      expect(encodeManifest(decodeManifest(encoded))).toEqual(encoded)
    }),
    { seed: 1, numRuns: 200 },
  )
})

const members = ([0, 10, 20, 3, 5].map((number) => int(number)) as Uint8Array[]).concat(
  Array.from({ length: 5 }, (_, index) => bytes(sha256(Uint8Array.of(index)))),
)
/** A manifest whose members are these, but for the ones that are replaced. */
const manifestWith = (changes: Readonly<Record<number, Uint8Array>>): Uint8Array =>
  map(members.map((item, index) => [int(index + 1), changes[index + 1] ?? item] as const))

test.each([
  ["a to before its from", manifestWith({ 3: int(9) }), /to is not before from/],
  ["a size below its first leaf", manifestWith({ 5: int(2) }), /size is not below the first leaf/],
  ["a negative height", manifestWith({ 1: int(-1) }), /height expected/],
  ["a root of 31 bytes", manifestWith({ 6: bytes(new Uint8Array(31)) }), /root has 32 bytes/],
  ["no summary but null", manifestWith({ 10: nil }), /summary expected/],
  [
    "a member missing",
    map(members.slice(1).map((item, index) => [int(index + 2), item] as const)),
    /members 1 to 10/,
  ],
  [
    "member 11 in place of 10",
    map(members.map((item, index) => [int(index === 9 ? 11 : index + 1), item] as const)),
    /member 10 expected/,
  ],
  ["a byte behind it", joinBytes(manifestWith({}), Uint8Array.of(0)), /after the end/],
])("%s make no manifest", (_, encoded, rule) => {
  expect(() => decodeManifest(encoded)).toThrow(rule)
})

test("an empty block in no time is a block", () => {
  expect(decodeManifest(manifestWith({ 3: int(10), 5: int(3) }))).toMatchObject({
    fromMs: 10,
    toMs: 10,
    size: 3,
  })
})

const secret = sha256(encodeUtf8("heads secret of a test"))
const binding: ChainBinding = { logVkey: "block.example/log+1+a", version: 2 }
const salt = new Uint8Array(saltSize).fill(7)
const entry = (word: string): Hash => sha256(encodeUtf8(word))

/** A log that has sealed one block of three leaves, and knows two devices. */
function startOf(devices: readonly string[]): BlockStart {
  const tree = new Frontier()
  for (const leaf of ["policy", "enrolment", "manifest 0"]) tree.append(hashLeaf(entry(leaf)))
  const blocks = new Frontier()
  blocks.append(hashLeaf(entry("manifest 0")))
  const heads = new Map<string, SealedHead>(
    devices.map((device) => [
      device,
      { device, seq: 0, entry: zeroHash, registry: entry(`registry ${device}`) },
    ]),
  )
  return { binding, height: 1, fromMs: 1_000_000, tree, blocks, heads }
}

/** A reading of one device, or something of the operator. */
const statements: fc.Arbitrary<BlockStatement[]> = fc
  .array(
    fc.record({
      place: fc.nat({ max: 3 }),
      readings: fc.nat({ max: 5 }),
      at: fc.double({ min: 2 ** 28, max: 4e9, noNaN: true }),
      span: fc.nat({ max: 1000 }),
      waitMs: fc.nat({ max: 5000 }),
    }),
    { maxLength: 30 },
  )
  .map((made) => {
    let receivedAtMs = 1_000_000
    const seqs = [0, 0]
    return made.map(({ place, readings, at, span, waitMs }, index): BlockStatement => {
      receivedAtMs += waitMs
      const common = { entry: entry(`leaf ${index}`), receivedAtMs }
      if (place > 1) {
        const registry =
          place === 2 ? { registry: { device: `k${index % 3}`, isEnrolment: index % 3 === 2 } } : {}
        return { ...common, origin: { kind: "operator", ...registry } }
      }
      seqs[place]! += 1
      const times = readings === 0 ? null : { startsAt: at, endsAt: at + span }
      return {
        ...common,
        origin: { kind: "device", device: `k${place}`, seq: seqs[place]!, readings, times },
      }
    })
  })

test("a block built statement by statement is the one that the protocol describes", () => {
  fc.assert(
    fc.property(statements, (taken) => {
      const start = startOf(["k0", "k1"])
      const builder = new BlockBuilder(start)
      for (const statement of taken) builder.add(statement)
      const toMs = builder.toMsMin() + 7
      builder.moveHeads()
      const headsRoot = headsRootOf(start.heads.values(), secret, 1)
      const made = builder.manifest({ toMs, salt, headsRoot })

      const before = ["policy", "enrolment", "manifest 0"].map(entry)
      const heads = startOf(["k0", "k1"]).heads
      for (const { entry: leaf, origin } of taken) {
        if (origin.kind === "device") {
          heads.set(origin.device, { ...heads.get(origin.device)!, seq: origin.seq, entry: leaf })
        } else if (origin.registry !== undefined) {
          const { device } = origin.registry
          const known = heads.get(device) ?? { device, ...emptyHeadOf(binding, device) }
          if (heads.has(device) || origin.registry.isEnrolment)
            heads.set(device, { ...known, registry: leaf })
        }
      }
      const said = taken.flatMap(({ origin }) => (origin.kind === "device" ? [origin] : []))
      const times = said.flatMap((one) => (one.times === null ? [] : [one.times]))
      const summary = [
        new Set(said.map(({ device }) => device)).size,
        said.length,
        said.reduce((sum, { readings }) => sum + readings, 0),
        times.length === 0 ? null : Math.min(...times.map(({ startsAt }) => Math.floor(startsAt * 1000))),
        times.length === 0 ? null : Math.max(...times.map(({ endsAt }) => Math.floor(endsAt * 1000))),
      ]
      expect(made).toEqual({
        height: 1,
        fromMs: 1_000_000,
        toMs,
        firstLeaf: 3,
        size: 3 + taken.length,
        root: rootOf([...before, ...taken.map((one) => one.entry)]),
        headsRoot: headsRootOf(heads.values(), secret, 1),
        blocksRoot: rootOf([entry("manifest 0")]),
        arrivalsRoot: rootOf(taken.map((one) => encodeCbor([one.entry, one.receivedAtMs]))),
        summary: sha256(joinBytes(salt, encodeCbor(summary))),
      })
      const moved = taken.flatMap(({ origin }) =>
        origin.kind === "device"
          ? [origin.device]
          : origin.registry === undefined
            ? []
            : [origin.registry.device],
      )
      expect(builder.moved).toEqual(new Set(moved))
      expect(decodeManifest(encodeManifest(made))).toEqual(made)
    }),
    { seed: 2, numRuns: 100 },
  )
})

test("an empty block has the tree before it, no arrivals and a summary of nothing", () => {
  const builder = new BlockBuilder(startOf([]))
  expect(builder.summary()).toEqual({
    devices: 0,
    statements: 0,
    readings: 0,
    earliestMs: null,
    latestMs: null,
  })
  const headsRoot = headsRootOf([], secret, 1)
  const made = builder.manifest({ toMs: builder.toMsMin(), salt, headsRoot })
  expect(made).toMatchObject({ firstLeaf: 3, size: 3, toMs: 1_000_000, headsRoot: zeroHash })
  expect(made.arrivalsRoot).toEqual(rootOf([]))
  expect(made.root).toEqual(startOf([]).tree.root())
})

test("a block ends no earlier than it began and than its latest arrival, though a clock was set back", () => {
  const builder = new BlockBuilder(startOf(["k0"]))
  expect(builder.toMsMin()).toBe(1_000_000)
  const origin = { kind: "device", device: "k0", readings: 0, times: null } as const
  builder.add({ entry: entry("a"), receivedAtMs: 1_000_500, origin: { ...origin, seq: 1 } })
  builder.add({ entry: entry("b"), receivedAtMs: 1_000_100, origin: { ...origin, seq: 2 } })
  expect(builder.toMsMin()).toBe(1_000_500)
})

/** How many values can be reached from this one, maps and sets included. */
function countReachable(value: unknown, seen = new Set<unknown>()): number {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array || seen.has(value)) return 1
  seen.add(value)
  const inside: unknown[] =
    value instanceof Map
      ? [...value.keys(), ...value.values()]
      : value instanceof Set
        ? [...value]
        : Object.values(value)
  return 1 + inside.reduce<number>((sum, one) => sum + countReachable(one, seen), 0)
}

/** What a builder holds when a block of this many statements by two devices is built. */
function sizeAfter(count: number): number {
  const builder = new BlockBuilder(startOf(["k0", "k1"]))
  for (let index = 0; index < count; index++) {
    const times = { startsAt: 1.7e9 + index, endsAt: 1.7e9 + index }
    const seq = 1 + (index >> 1)
    const origin = { kind: "device", device: `k${index % 2}`, seq, readings: 1, times } as const
    builder.add({ entry: entry(`${index}`), receivedAtMs: 1_000_000 + index, origin })
  }
  return countReachable(builder)
}

test("a builder keeps what devices there are, and nothing of the statements", () => {
  const small = sizeAfter(100)
  // Two trees of 2^12 leaves have a few more roots than two of 2^7.
  expect(sizeAfter(4000)).toBeLessThan(small + 60)
})

test("a statement of a device without an enrolment stops the seal", () => {
  const builder = new BlockBuilder(startOf(["k0"]))
  const origin = { kind: "device", device: "k9", seq: 1, readings: 0, times: null } as const
  expect(() => builder.add({ entry: entry("a"), receivedAtMs: 1_000_000, origin })).toThrow("k9")
})

test.each([
  [1.5, 1500],
  [1748764800.9996, 1748764800999],
  [2 ** 28, 268435456000],
  [9007199254740.992, 9007199254740991],
  [Number.MAX_VALUE, Number.MAX_SAFE_INTEGER],
])("%d s are %d ms in a summary: rounded down, and never beyond what an integer may be", (seconds, ms) => {
  expect(floorMs(seconds)).toBe(ms)
})

test("a summary shows nothing without its salt, and every field of it counts", () => {
  const summary = { devices: 2, statements: 3, readings: 4, earliestMs: 5, latestMs: 6 }
  const hashes = [
    hashSummary(summary, salt),
    hashSummary(summary, new Uint8Array(saltSize)),
    ...(["devices", "statements", "readings", "earliestMs", "latestMs"] as const).map((field) =>
      hashSummary({ ...summary, [field]: 7 }, salt),
    ),
    hashSummary({ ...summary, earliestMs: null }, salt),
  ].map((one) => one.join())
  expect(new Set(hashes).size).toBe(hashes.length)
  expect(encodeArrival(zeroHash, 5)).toEqual(encodeCbor([zeroHash, 5]))
})

test.each([0, 2 ** 32 - 1, 2 ** 32, 1_760_000_000_123, Number.MAX_SAFE_INTEGER])(
  "a leaf of the arrivals tree is the CBOR of its entry and %i",
  (receivedAtMs) => {
    expect(encodeArrival(entry("a"), receivedAtMs)).toEqual(encodeCbor([entry("a"), receivedAtMs]))
  },
)
