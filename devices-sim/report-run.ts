/** A run's outcome as a report. */
import type { Measures } from "./measure.ts"
import type { GroupReport, RunReport } from "./run-report.ts"
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
  const { isCut, wallMs, scenarioMs, fingerprint } = outcome
  const isTrue = truths.every(({ againstCount }) => againstCount === 0)
  const isWithin = thresholds.every(({ passed }) => passed)
  return {
    scenario: name,
    about,
    seed,
    speed,
    ...facts,
    fingerprint,
    verdict: !isTrue || (!isWithin && !isCut) ? "failed" : isCut ? "cut" : "passed",
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
