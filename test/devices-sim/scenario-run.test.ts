/** Scenarios against the real service: what passes, and what must never. */
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { enrolKnown, makeOperator } from "../../cli/simulate-enrol.ts"
import { proveByEvidence } from "../../cli/simulate-proof.ts"
import type { RunOutcome } from "../../devices-sim/run-judge.ts"
import { writeUp, writeUpNotRun } from "../../devices-sim/report-run.ts"
import { formatRunHtml } from "../../devices-sim/report-html.ts"
import { formatRunJunit } from "../../devices-sim/report-junit.ts"
import { formatRunText } from "../../devices-sim/report-text.ts"
import type { Scenario } from "../../devices-sim/scenario.ts"
import { makeWallClock } from "../../devices-sim/scenario-clock.ts"
import { parseScenario } from "../../devices-sim/scenario-file.ts"
import { type ScenarioRunOptions, runScenario } from "../../devices-sim/scenario-run.ts"
import {
  type ServiceView,
  ServiceViewError,
  type StoredPlace,
  openHttpView,
} from "../../devices-sim/service-view.ts"
import { StallWatch } from "../../devices-sim/stall.ts"
import { Proxy } from "./fleet-proxy.ts"
import { type ServiceStand, openServiceStand } from "../ingest/service-stand.ts"

let stand: ServiceStand
let api: string

beforeAll(async () => {
  stand = await openServiceStand()
  api = `http://127.0.0.1:${stand.service.http}`
})
afterAll(() => stand.close())

function scenarioOf(text: string, seed: number): Scenario {
  const parsed = parseScenario(`name: test\nabout: Of a test\nseed: ${seed}\nsettle: 30s\n${text}`)
  if (parsed.kind === "faulty") throw new Error(JSON.stringify(parsed.faults))
  return parsed.scenario
}

async function play(
  text: string,
  seed: number,
  options: Partial<ScenarioRunOptions> = {},
  see: (view: ServiceView) => ServiceView = (view) => view,
): Promise<{ readonly outcome: RunOutcome; readonly scenario: Scenario }> {
  const scenario = scenarioOf(text, seed)
  const { keys, mqtt } = stand.service
  const outcome = await runScenario({
    scenario,
    recordings: new Map(),
    service: { url: `mqtt://127.0.0.1:${mqtt}` },
    origin: keys.origin,
    operator: makeOperator(stand.pool, keys),
    clock: makeWallClock(scenario.speed),
    view: see(openHttpView({ api, metrics: [api] })),
    enrol: (devices) => enrolKnown(stand.pool, keys, devices),
    seal: async () => {
      await stand.service.seal()
    },
    prove: (id) => proveByEvidence({ api }, id, keys),
    rules: { reconnectMsMin: 20, backoffMsBase: 5, backoffMsMax: 50 },
    cost: () => ({ cpuSeconds: 0, memoryBytes: 0 }),
    ...options,
  })
  return { outcome, scenario }
}

const against = ({ truths }: RunOutcome): readonly string[] => truths.flatMap((truth) => truth.against)
const facts = { repeat: "again", isVirtual: false, startedAt: "2026-11-25T00:00:00.000Z", version: "0" }

const mixed = `
groups:
  - name: honest
    devices: 3
    statements: 12
    readings: 5
  - name: bad
    devices: 4
    statements: 20
    readings: 5
    faults:
      - { fault: flip-bit }
      - { fault: gap, skip: 2 }
      - { fault: clone }
      - { fault: lost-memory }
      - { fault: disconnect, step: puback }
  - name: paced
    devices: 2
    every: 40ms
    readings: 3
    stages: [{ ramp: 2, over: 80ms }, { storm: 1, over: 80ms }, { offline: 120ms }, { hold: 120ms }]
network:
  - { toxic: latency, latency: 2ms, jitter: 1ms }
thresholds:
  unanswered: count == 0
  faults: count == 20
`

test("a run with faults, a storm, no network for a while and a slow one is true, and says so in every report", async () => {
  const { outcome, scenario } = await play(mixed, 1)
  expect(against(outcome)).toEqual([])
  expect(outcome.faults).toHaveLength(5)
  expect(outcome.faults.every(({ met, unmet, skipped }) => met === 4 && unmet === 0 && skipped === 0)).toBe(
    true,
  )
  expect(outcome.thresholds.every(({ passed }) => passed)).toBe(true)
  const { counts } = outcome
  expect(counts.stored).toBe(counts.demanded)
  expect(counts.sealed).toBe(counts.stored)
  expect(outcome.truths.find(({ name }) => name.startsWith("evidence"))?.skipped).toBeNull()

  const report = writeUp(scenario, outcome, facts)
  expect(report.verdict).toBe("passed")
  expect(JSON.parse(JSON.stringify(report))).toEqual(report)
  expect(formatRunText(report)).toContain("test with seed 1 passed\nrepeat: again")
  expect(formatRunJunit(report)).toContain('<testsuites name="tidemark test" tests="')
  expect(formatRunJunit(report)).toContain('failures="0" errors="0"')
  const html = formatRunHtml(report)
  expect(html).toContain('<p class="verdict passed">Passed</p>')
  expect(html).not.toContain("<script")
  expect(html.match(/<svg/g)).toHaveLength(3)
})

test("a device of a seed goes on where it was, and a missed threshold fails a run that is true", async () => {
  const small =
    "groups: [{ devices: 2, statements: 4, readings: 3 }]\nthresholds: { acknowledged: count > 1000 }"
  const first = await play(small, 21)
  const again = await play(small, 21)
  for (const { outcome, scenario } of [first, again]) {
    expect(against(outcome)).toEqual([])
    expect(outcome.accounts.map(({ stored }) => stored)).toEqual([4, 4])
    expect(writeUp(scenario, outcome, facts).verdict).toBe("failed")
  }
  // Of places in the chains: what is said again stands behind what was said.
  expect(again.outcome.fingerprint).not.toBe(first.outcome.fingerprint)
})

const four = "groups: [{ devices: 4, statements: 5, readings: 3 }]"

test("a service that loses, changes, accuses or miscounts fails the run, and each is named", async () => {
  const ids = [1, 2, 3, 4].map((number) => `device-31-000${number}`)
  const { outcome, scenario } = await play(four, 31, {}, (view) => ({
    ...view,
    devices: async (asked) => {
      const devices = new Map(await view.devices(asked))
      const change = (id: string, head: Partial<StoredPlace>): void => {
        const device = devices.get(id)!
        devices.set(id, { ...device, head: { ...device.head, ...head } })
      }
      change(ids[0]!, { seq: 4 })
      change(ids[1]!, { entry: "00".repeat(32) })
      return devices
    },
    detail: async (id) => ({
      ...(await view.detail(id)),
      ...(id === ids[2] ? { refusals: { fork: 1 }, forks: [2] } : {}),
    }),
    metrics: async () => new Map(await view.metrics()).set('tidemark_verdicts_total{verdict="accepted"}', 0),
  }))
  const found = against(outcome)
  for (const fault of [
    `${ids[0]}: acknowledged statements are missing: seq 5 was acknowledged, and 4 is the last one stored`,
    `${ids[1]}: what is stored at seq 5 is not what it signed for this place`,
    `${ids[2]}: the service counts 1 of its statements as fork, and nothing that it did calls for it`,
    `${ids[2]}: the service holds 1 forks of it`,
  ])
    expect(found).toContain(fault)
  expect(found.filter((fault) => fault.startsWith("/metrics: "))).not.toEqual([])
  expect(found.filter((fault) => fault.startsWith(ids[3]!))).toEqual([])
  const report = writeUp(scenario, outcome, facts)
  expect(report.verdict).toBe("failed")
  expect(formatRunJunit(report)).toContain(`<testcase name="${ids[0]}" classname="tidemark.test.devices"`)
})

test("a seal that leaves a statement out fails the run", async () => {
  const { outcome } = await play(four, 35, { seal: () => Promise.resolve() })
  expect(against(outcome)).toContainEqual(
    "device-35-0001: sealed up to seq 0 of 5, though everything stored must be in the block",
  )
})

test("a run that its user ends is written up, and owes only what was acknowledged", async () => {
  const controller = new AbortController()
  const { outcome, scenario } = await play(
    "groups: [{ devices: 2, every: 20ms, readings: 2, stages: [{ hold: 1h }] }]",
    37,
    {
      signal: controller.signal,
      onSample: (_, { measures }) => {
        if (measures.count("acknowledged") > 5) controller.abort()
      },
    },
  )
  expect(against(outcome)).toEqual([])
  expect(outcome.counts.acknowledged).toBeGreaterThan(5)
  expect(writeUp(scenario, outcome, facts).verdict).toBe("stopped")
})

test("field A1: a run whose service goes away ends at the stall limit, with a report of what is known", async () => {
  const proxy = await Proxy.open(stand.service.mqtt)
  onTestFinished(() => proxy.kill().catch(() => undefined))
  let isGone = false
  const { outcome, scenario } = await play(
    "groups: [{ devices: 2, statements: 100000, readings: 2 }]",
    39,
    {
      service: { url: `mqtt://127.0.0.1:${proxy.port}` },
      stallMs: 1_500,
      onSample: (_, { measures }) => {
        if (isGone || measures.count("acknowledged") < 20) return
        isGone = true
        void proxy.kill()
      },
    },
    (view) => ({
      ...view,
      devices: () => Promise.reject(new ServiceViewError("http://127.0.0.1:1: connect ECONNREFUSED")),
    }),
  )
  const report = writeUp(scenario, outcome, facts)
  expect(report).toMatchObject({
    verdict: "stalled",
    counts: { stored: null, sealed: null },
    ending: {
      why: expect.stringMatching(/^no statement was answered for 2 s, \d+ wait and no device is connected$/),
    },
  })
  expect(report.counts.acknowledged).toBeGreaterThanOrEqual(20)
  expect(report.counts.unanswered).toBeGreaterThan(0)
  expect(report.counts.made).toBe(outcome.accounts.reduce((sum, { made }) => sum + made, 0))
  expect(against(outcome)).toEqual(["http://127.0.0.1:1: connect ECONNREFUSED"])
  expect(formatRunJunit(report)).toContain('<failure message="no statement was answered for')
  expect(formatRunText(report)).toContain("STALLED: no statement was answered for")
  expect(formatRunHtml(report)).toContain('<p class="verdict stalled">Stalled</p>')
})

test("field A1: a run that could not begin has a report too", () => {
  const report = writeUpNotRun(scenarioOf("groups: [{ devices: 1, statements: 1 }]", 1), "no <broker>", facts)
  expect(formatRunJunit(report)).toContain('<failure message="no &lt;broker&gt;"')
  expect(formatRunHtml(report)).toContain("It did not run to its end: no &lt;broker&gt;.")
  expect(formatRunText(report)).toContain("could not run: no <broker>")
})

test("field A1: what a scenario takes away itself, and what is answered slowly, is no stall", () => {
  const watch = new StallWatch(1_000)
  const signs = { answered: 1, waiting: 3, connected: 0, isPlanned: false }
  const looks = [
    { nowMs: 0, ...signs },
    { nowMs: 900, ...signs },
    { nowMs: 1_800, ...signs, answered: 2 },
    { nowMs: 2_700, ...signs, answered: 2, isPlanned: true },
    { nowMs: 9_000, ...signs, answered: 2, isPlanned: true },
    { nowMs: 9_900, ...signs, answered: 2 },
    { nowMs: 9_999, ...signs, answered: 2, waiting: 0 },
    { nowMs: 14_000, ...signs, answered: 2, connected: 1 },
    { nowMs: 15_000, ...signs, answered: 2, connected: 1 },
  ]
  expect(looks.map((look) => watch.look(look)?.split(",")[0] ?? null)).toEqual([
    ...Array.from({ length: 8 }, () => null),
    "no statement was answered for 5 s",
  ])
})

test("field A1: a service that was killed and started again is asked with the key that it has now", async () => {
  const asked: string[] = []
  const view = openHttpView({
    api: "http://127.0.0.1:1",
    metrics: [],
    key: "before",
    findKey: () => Promise.resolve("after"),
    fetch: (_url, init) => {
      const sent = new Headers(init?.headers).get("authorization") ?? ""
      asked.push(sent)
      return Promise.resolve(
        sent === "Bearer after" ? Response.json({ items: [] }) : new Response(null, { status: 401 }),
      )
    },
  })
  expect([await view.lastBlock(), await view.lastBlock()]).toEqual([null, null])
  expect(asked).toEqual(["Bearer before", "Bearer after", "Bearer after"])
})
