import { expect, test } from "vitest"
import { type Hash, parseHash } from "../../chain/hash.ts"
import { formatHex } from "../../chain/bytes.ts"
import type { PlayedDevice } from "../../devices-sim/player.ts"
import { type Sides, accountOf, counterFaults, honest } from "../../devices-sim/truth.ts"

const entryOf = (seq: number): Hash => parseHash(new Uint8Array(32).fill(seq))
const placeOf = (seq: number) => ({ seq, entry: formatHex(entryOf(seq)) })

const played: PlayedDevice = {
  id: "k7",
  group: "device",
  key: "Ed25519",
  made: 5,
  sent: 5,
  acknowledged: 5,
  receipts: { accepted: 5 },
  known: 5,
  stored: 5,
  refused: {},
  overflowed: 0,
  gone: 0,
  unanswered: 0,
  readings: 50,
  reconnects: 0,
  promisedSeq: 5,
  alarms: [],
  findings: [],
  surprises: [],
  failure: null,
  last: { seq: 5, entry: entryOf(5) },
  entryAt: entryOf,
}
const stored = { head: placeOf(5), sealed: { ...placeOf(5), block: 0 } }
const sides: Sides = {
  played,
  before: null,
  after: stored,
  detail: { verdicts: { accepted: 5 }, refusals: {}, forks: [] },
  detailBefore: null,
  allowance: honest,
}
const whole = { isCut: false, isSealed: true }

test("a device whose two sides agree has no fault, and every statement stands where it was counted", () => {
  expect(accountOf(sides, whole)).toMatchObject({
    demanded: 5,
    made: 5,
    sent: 5,
    acknowledged: 5,
    receipts: { accepted: 5 },
    stored: 5,
    sealed: 5,
    faults: [],
  })
})

test("what was there before the run is not of the run", () => {
  const after = { head: placeOf(9), sealed: { ...placeOf(9), block: 1 } }
  const before = { head: placeOf(4), sealed: null }
  const later = { ...played, promisedSeq: 9 }
  expect(accountOf({ ...sides, played: later, before, after }, whole)).toMatchObject({
    stored: 5,
    faults: [],
  })
})

test.each<[string, Partial<PlayedDevice>, Partial<Sides>, string]>([
  [
    "an acknowledged statement is missing",
    {},
    { after: { ...stored, head: placeOf(4) } },
    "acknowledged statements are missing: seq 5 was acknowledged, and 4 is the last one stored",
  ],
  ["the device is not known at all", {}, { after: null }, "acknowledged statements are missing: seq 5"],
  [
    "another statement stands in its place",
    {},
    { after: { ...stored, head: { seq: 5, entry: "00" } } },
    "what is stored at seq 5 is not what it signed",
  ],
  [
    "more is stored than it said",
    {},
    { after: { head: placeOf(7), sealed: { ...placeOf(7), block: 0 } } },
    "7 statements are stored, and it said 5",
  ],
  [
    "what is stored is not sealed",
    {},
    { after: { ...stored, sealed: { ...placeOf(4), block: 0 } } },
    "sealed up to seq 4 of 5",
  ],
  [
    "what is sealed is another thing",
    {},
    { after: { ...stored, sealed: { seq: 5, entry: "00", block: 0 } } },
    "what is sealed at seq 5 is not what is stored",
  ],
  [
    "a statement has no verdict",
    { stored: 4, known: 4, unanswered: 1 },
    {},
    "1 of 5 statements have no verdict",
  ],
  ["a statement vanished in the device", { stored: 4 }, {}, "made 5, but stored 4"],
  ["an honest device is refused", { receipts: { accepted: 5, gap: 1 } }, {}, "it was refused 1 time as gap"],
  [
    "an honest device is called a fork",
    { alarms: [{ kind: "fork", seq: 3 }] },
    {},
    "it is said to have forked at seq 3",
  ],
  [
    "the service holds a fork of an honest device",
    {},
    { detail: { verdicts: {}, refusals: {}, forks: [3] } },
    "the service holds 1 forks of it",
  ],
  [
    "the service counts a refusal of which the device was never told",
    {},
    { detail: { verdicts: {}, refusals: { broken: 2 }, forks: [] } },
    "the service counts 2 of its statements as broken",
  ],
  [
    "a refusal is told and not counted",
    { receipts: { accepted: 5, gap: 1 } },
    { allowance: { ...honest, refusals: new Set(["gap"] as const) } },
    "it was told 1 times that it is refused as gap, and the service counts 0",
  ],
  [
    "a fork leaves no evidence",
    {},
    { allowance: { ...honest, evidence: "must" } },
    "the service holds no evidence",
  ],
  [
    "the service lost what it had acknowledged",
    { alarms: [{ kind: "service-lost-statements", acceptedSeq: 5, headSeq: 2 }] },
    {},
    "acknowledged statements are missing: seq 5 was acknowledged, and the head is 2",
  ],
])("it is found when %s", (_, device, others, fault) => {
  const { faults } = accountOf({ ...sides, ...others, played: { ...played, ...device } }, whole)
  expect(faults).toContainEqual(expect.stringContaining(fault))
})

test("a run that its user cut short owes no verdicts, and still owes what was acknowledged", () => {
  const cut = { isCut: true, isSealed: false }
  const waiting = { ...played, stored: 3, known: 3, unanswered: 2, promisedSeq: 3 }
  const after = { head: placeOf(4), sealed: null }
  expect(accountOf({ ...sides, played: waiting, after }, cut).faults).toEqual([])
  const lost = { head: placeOf(2), sealed: null }
  expect(accountOf({ ...sides, played: waiting, after: lost }, cut).faults).not.toEqual([])
})

function metrics(received: number, verdicts: Readonly<Record<string, number>>): Map<string, number> {
  return new Map([
    ["tidemark_statements_received_total", received],
    ...Object.entries(verdicts).map(
      ([verdict, count]) => [`tidemark_verdicts_total{verdict="${verdict}"}`, count] as const,
    ),
  ])
}

test("counters add up, and none of them misses what devices were told", () => {
  const before = metrics(10, { accepted: 10 })
  const told = { receipts: { accepted: 4, gap: 1 }, stored: 5 }
  expect(counterFaults(before, metrics(16, { accepted: 15, gap: 1 }), told)).toEqual([])
  expect(counterFaults(before, metrics(17, { accepted: 15, gap: 1 }), told)).toEqual([
    "/metrics: 17 statements were received, and the verdicts are 16",
  ])
  expect(counterFaults(before, metrics(15, { accepted: 15 }), told)).toEqual([
    "/metrics: 0 statements were judged as gap, and devices heard 1",
  ])
  expect(counterFaults(before, metrics(15, { accepted: 14, gap: 1 }), told)).toEqual([
    "/metrics: 4 statements were accepted, and chains grew by 5",
  ])
  // Of a service that was started anew only the sum can be checked.
  expect(counterFaults(null, metrics(3, { accepted: 3 }), told)).toEqual([])
})
