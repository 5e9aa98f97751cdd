/** What a run of a scenario is asked for. */
import type { Scenario } from "../devices-sim/scenario.ts"
import type { ScenarioRunOptions } from "../devices-sim/scenario-run.ts"
import type { TargetOptions } from "./simulate-target.ts"

export interface RunOptions extends TargetOptions {
  readonly http?: string
  readonly key?: string
  readonly seed?: number
  readonly speed?: number
  /** Seconds. */
  readonly stall: number
  readonly virtual: boolean
  readonly report: readonly string[]
  readonly json: boolean
}

/** A scenario that was asked for. */
export interface NamedScenario {
  /** As it was asked for. */
  readonly given: string
  readonly path: string
  readonly scenario: Scenario
}

/** What of a run does not hang on where it goes to. */
export type RunBase = Pick<
  ScenarioRunOptions,
  "scenario" | "recordings" | "signal" | "hurry" | "stallMs" | "onSample" | "say" | "cost"
>
