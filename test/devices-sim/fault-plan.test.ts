import { expect, test } from "vitest"
import { algorithmEd25519, algorithmEsp256 } from "../../chain/key.ts"
import { type Fault, type FaultRule, expectationOf, faultKinds, planFaults } from "../../devices-sim/fault.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { planServiceFaults } from "../../devices-sim/service-fault.ts"
import { type ToxicRule, drawToxics, isToxicOn } from "../../devices-sim/toxic.ts"

const rules: readonly FaultRule[] = [
  { fault: { kind: "drop" }, times: 3 },
  { fault: { kind: "high-s" } },
  { fault: { kind: "fork" }, devices: 0.5 },
  { fault: { kind: "clock", offsetSeconds: 3_600, statements: 4 } },
  { fault: { kind: "revoke" } },
]
const device = { statements: 40, algorithm: algorithmEsp256 } as const

test("a plan follows from the seed alone, and another seed has another one", () => {
  const plan = planFaults(makeRandom("a"), rules, device)
  expect(planFaults(makeRandom("a"), rules, device)).toEqual(plan)
  expect(planFaults(makeRandom("b"), rules, device)).not.toEqual(plan)
})

test("faults have places of their own, a clock has all that it is wrong for, and what ends a device is the last", () => {
  for (let seed = 0; seed < 200; seed++) {
    const plan = planFaults(makeRandom(seed), rules, device)
    const taken = plan.flatMap(({ fault, place }) =>
      Array.from({ length: fault.kind === "clock" ? 4 : 1 }, (_, index) => place + index),
    )
    expect(new Set(taken).size).toBe(taken.length)
    expect(Math.min(...taken)).toBeGreaterThanOrEqual(1)
    expect(Math.max(...taken)).toBeLessThanOrEqual(40)
    expect(plan.at(-1)?.fault.kind).toBe("revoke")
    expect(plan.filter(({ fault, place }) => fault.kind === "drop" && place === 40)).toEqual([])
  }
})

function hasGap(from: readonly FaultRule[], seed: number): boolean {
  return planFaults(makeRandom(seed), from, device).some(({ fault }) => fault.kind === "gap")
}

test("a rule that is added moves the places, and never who meets another rule", () => {
  const half: readonly FaultRule[] = [{ fault: { kind: "gap", skip: 1 }, devices: 0.5 }]
  const more: readonly FaultRule[] = [...half, { fault: { kind: "drop" } }]
  const met = Array.from({ length: 100 }, (_, seed) => hasGap(half, seed))
  expect(met.filter(Boolean).length).toBeGreaterThan(30)
  expect(met.filter(Boolean).length).toBeLessThan(70)
  expect(Array.from({ length: 100 }, (_, seed) => hasGap(more, seed))).toEqual(met)
})

test("an Ed25519 key has no high s, and more faults than places are a mistake with a name", () => {
  const edwards = { statements: 40, algorithm: algorithmEd25519 } as const
  expect(planFaults(makeRandom(1), rules, edwards).map(({ fault }) => fault.kind)).not.toContain("high-s")
  expect(() => planFaults(makeRandom(1), rules, { ...device, statements: 6 })).toThrow(
    /no place is left for the fault (drop|fork|high-s) among 6 statements/,
  )
})

test("every kind of fault says what must come of it, and only a second history may become evidence", () => {
  const samples: Readonly<Record<(typeof faultKinds)[number], Fault>> = {
    drop: { kind: "drop" },
    duplicate: { kind: "duplicate" },
    reorder: { kind: "reorder" },
    delay: { kind: "delay", delayMs: 100 },
    truncate: { kind: "truncate" },
    "flip-bit": { kind: "flip-bit" },
    "wrong-key": { kind: "wrong-key", as: "stranger" },
    "wrong-device": { kind: "wrong-device" },
    replay: { kind: "replay" },
    gap: { kind: "gap", skip: 1 },
    "broken-link": { kind: "broken-link" },
    fork: { kind: "fork" },
    clone: { kind: "clone" },
    "high-s": { kind: "high-s" },
    unreadable: { kind: "unreadable" },
    clock: { kind: "clock", offsetSeconds: 301, statements: 1 },
    oversized: { kind: "oversized", sizeBytes: 65_536 },
    garbage: { kind: "garbage", as: "statement" },
    disconnect: { kind: "disconnect", step: "puback" },
    "lost-memory": { kind: "lost-memory" },
    "lost-outbox": { kind: "lost-outbox" },
    rotate: { kind: "rotate" },
    revoke: { kind: "revoke" },
    suspend: { kind: "suspend", forMs: 100 },
  }
  const evidence = faultKinds.filter((kind) => expectationOf(samples[kind]).isEvidence)
  expect(evidence).toEqual(["fork", "clone"])
  const ending = faultKinds.filter((kind) => expectationOf(samples[kind]).device === "stops")
  expect(ending).toEqual(["revoke"])
  const losing = faultKinds.filter((kind) => expectationOf(samples[kind]).statement === "open")
  expect(losing).toEqual(["lost-outbox", "revoke"])
  expect(expectationOf({ kind: "oversized", sizeBytes: 300_000 }).verdicts).toEqual([])
  expect(expectationOf({ kind: "clock", offsetSeconds: -9, statements: 1 }).verdicts).toEqual(["accepted"])
})

test("a toxic befalls its share of connections, the same whoever else connects, while it is on", () => {
  const toxics: readonly ToxicRule[] = [
    { toxic: { kind: "latency", latencyMs: 100, jitterMs: 10 }, toxicity: 0.3 },
    { toxic: { kind: "reset_peer", timeoutMs: 0 }, fromMs: 1_000, toMs: 2_000 },
  ]
  const network = makeRandom("net")
  const draw = (number: number) => drawToxics(network, toxics, { device: "k7", number })
  const drawn = Array.from({ length: 1_000 }, (_, number) => draw(number).length - 1)
  const share = drawn.reduce((sum, one) => sum + one, 0) / drawn.length
  expect(share).toBeGreaterThan(0.25)
  expect(share).toBeLessThan(0.35)
  expect(draw(17)).toEqual(drawToxics(makeRandom("net"), toxics, { device: "k7", number: 17 }))
  expect([0, 999, 1_000, 1_999, 2_000].map((ms) => isToxicOn(toxics[1]!, ms))).toEqual([
    false,
    false,
    true,
    true,
    false,
  ])
})

test("what happens to the service is planned in order, so often and so far apart as was said", () => {
  const plan = planServiceFaults(makeRandom(3), [
    { fault: { kind: "stop-database", downMs: 50 }, atMs: 2_500 },
    { fault: { kind: "kill-service", downMs: 10 }, atMs: 1_000, times: 3, everyMs: 1_000, jitterMs: 200 },
  ])
  expect(plan.map(({ fault }) => fault.kind)).toEqual([
    "kill-service",
    "kill-service",
    "stop-database",
    "kill-service",
  ])
  const kills = plan.filter(({ fault }) => fault.kind === "kill-service")
  for (const [time, { atMs }] of kills.entries()) {
    expect(atMs).toBeGreaterThanOrEqual(1_000 * (time + 1))
    expect(atMs).toBeLessThanOrEqual(1_000 * (time + 1) + 200)
  }
})
