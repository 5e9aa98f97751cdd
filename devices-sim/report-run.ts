/** A run's outcome as a report. */
import type { Measures } from "./measure.ts"
import { type GroupReport, type RunEnding, type RunReport, makeTruth } from "./run-report.ts"
import { percentilesOf } from "./sampler.ts"
import type { Scenario } from "./scenario.ts"
import type { RunOutcome } from "./run-judge.ts"

export interface RunFacts {
  readonly repeat: string
  readonly isVirtual: boolean
  /** ISO 8601. */
  readonly startedAt: string
  readonly version: string
}

export function writeUp(scenario: Scenario, outcome: RunOutcome, facts: RunFacts): RunReport {
  const { name, about, seed, speed } = scenario
  const { accounts, counts, measures, thresholds, truths, faults, samples, block, generator } = outcome
  const { ending, wallMs, scenarioMs, fingerprint } = outcome
  const isTrue = truths.every(({ againstCount }) => againstCount === 0)
  const isWithin = thresholds.every(({ passed }) => passed)
  return {
    scenario: name,
    about,
    seed,
    speed,
    ...facts,
    fingerprint,
    verdict: verdictOf(ending, isTrue, isWithin),
    ending,
    wallMs,
    scenarioMs,
    counts,
    ackMs: percentilesOf(measures.trend("puback_ms")),
    thresholds,
    truths,
    faults,
    groups: scenario.groups.map((group) => groupOf(group.name, group.devices, measures)),
    samples,
    block,
    generator,
    devices: accounts,
  }
}

/** Thresholds say nothing about a run that did not come to its end; a broken truth is reported all the same. */
function verdictOf(ending: RunEnding, isTrue: boolean, isWithin: boolean): RunReport["verdict"] {
  if (ending.kind === "stopped") return isTrue ? "stopped" : "failed"
  if (ending.kind !== "whole") return ending.kind
  return isTrue && isWithin ? "passed" : "failed"
}

/** Reports a run that could not begin: an archive and a continuous integration get a file all the same. */
export function writeUpNotRun(scenario: Scenario, why: string, facts: RunFacts): RunReport {
  const nothing = { demanded: 0, made: 0, sent: 0, acknowledged: 0, stored: null, sealed: null }
  return {
    scenario: scenario.name,
    about: scenario.about,
    seed: scenario.seed,
    speed: scenario.speed,
    ...facts,
    fingerprint: "",
    verdict: "not-run",
    ending: { kind: "not-run", why },
    wallMs: 0,
    scenarioMs: 0,
    counts: { ...nothing, unanswered: 0, readings: 0, reconnects: 0, receipts: {} },
    ackMs: null,
    thresholds: [],
    truths: [makeTruth("the scenario could run", [why])],
    faults: [],
    groups: [],
    samples: [],
    block: null,
    generator: { cpuSeconds: 0, cpuShare: 0, memoryBytesMax: 0, cpuMicrosPerStatement: null },
    devices: [],
  }
}

function groupOf(name: string, devices: number, measures: Measures): GroupReport {
  const part = `group:${name}`
  return {
    name,
    devices,
    made: measures.count("made", part),
    acknowledged: measures.count("acknowledged", part),
    stored: measures.count("stored", part),
    ackMs: percentilesOf(measures.trend(`puback_ms{${part}}`)),
  }
}
