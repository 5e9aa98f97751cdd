/** What a run of a scenario came to. Plain values, so that it is JSON as it is. */
import type { Verdict } from "../chain/verdict.ts"
import type { SealedBlock } from "./service-view.ts"
import type { ThresholdResult } from "./threshold.ts"
import type { DeviceAccount } from "./truth.ts"

export interface RunReport {
  readonly scenario: string
  readonly about: string
  readonly seed: number
  readonly speed: number
  readonly isVirtual: boolean
  /** The command that does the same once more. */
  readonly repeat: string
  /** When it began and what version ran, for an archive; left out of what a seed decides. */
  readonly startedAt: string
  readonly version: string
  /** SHA-256 over every device's last entry: the same for two runs of one seed on empty chains. */
  readonly fingerprint: string
  /** `passed`, or why not; `stopped`: by its user; `stalled`: nothing went on; `not-run`: it could not begin. */
  readonly verdict: "passed" | "failed" | "stopped" | "stalled" | "not-run"
  readonly ending: RunEnding
  readonly wallMs: number
  /** Of the scenario, by the devices' clocks. */
  readonly scenarioMs: number
  readonly counts: RunCounts
  readonly ackMs: Percentiles | null
  readonly thresholds: readonly ThresholdResult[]
  /** Each thing that has to be true of a run, and whether it is. */
  readonly truths: readonly Truth[]
  /** Of planned faults, by kind. */
  readonly faults: readonly FaultTally[]
  readonly groups: readonly GroupReport[]
  readonly samples: readonly Sample[]
  readonly block: SealedBlock | null
  readonly generator: GeneratorCost
  readonly devices: readonly DeviceAccount[]
}

/** How a run came to its end. */
export type RunEnding =
  | { readonly kind: "whole" }
  /** By its user. */
  | { readonly kind: "stopped" }
  /** No statement was answered for the stall limit. */
  | { readonly kind: "stalled"; readonly why: string }
  /** It could not begin. */
  | { readonly kind: "not-run"; readonly why: string }

export interface RunCounts {
  readonly demanded: number
  readonly made: number
  readonly sent: number
  readonly acknowledged: number
  /** As the service says; null: it was not asked. */
  readonly stored: number | null
  readonly sealed: number | null
  readonly unanswered: number
  readonly readings: number
  readonly reconnects: number
  readonly receipts: Partial<Record<Verdict, number>>
}

export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export interface Truth {
  /** A sentence about the world. */
  readonly name: string
  /** What speaks against it; the first ten are named. */
  readonly against: readonly string[]
  readonly againstCount: number
  /** Why it could not be looked at; null: it was. */
  readonly skipped: string | null
}

export interface FaultTally {
  readonly kind: string
  readonly planned: number
  readonly met: number
  readonly unmet: number
  readonly skipped: number
  /** What was expected: verdicts by their words. */
  readonly expected: readonly string[]
  /** Of the first that were answered otherwise. */
  readonly details: readonly string[]
}

export interface GroupReport {
  readonly name: string
  readonly devices: number
  readonly made: number
  readonly acknowledged: number
  readonly stored: number | null
  readonly ackMs: Percentiles | null
}

/** What went on in a piece of the run. */
export interface Sample {
  /** Its end, ms of scenario time and of wall time. */
  readonly atMs: number
  readonly wallMs: number
  readonly connected: number
  readonly made: number
  readonly acknowledged: number
  readonly refused: number
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
}

/** The simulator's own, so that nobody takes it for the service's. */
export interface GeneratorCost {
  readonly cpuSeconds: number
  /** Per second of wall time: 1 is a core. */
  readonly cpuShare: number
  readonly memoryBytesMax: number
  readonly cpuMicrosPerStatement: number | null
}

export const namedMax = 10

export function makeTruth(name: string, against: readonly string[], skipped: string | null = null): Truth {
  return { name, against: against.slice(0, namedMax), againstCount: against.length, skipped }
}
