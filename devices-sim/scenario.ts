/** What a run of the simulator is to be: who takes part, what happens to them, and what has to come out. */
import { type RecordingOptions, startsAtDefault } from "./recording/recording.ts"
import { type VitalName, vitals } from "./signal/vital.ts"
import type { FaultRule } from "./fault.ts"
import type { ServiceFaultRule } from "./service-fault.ts"
import type { Threshold } from "./threshold.ts"
import type { ToxicRule } from "./toxic.ts"

/** As it is run: every default filled in, durations in ms of scenario time. */
export interface Scenario {
  /** Lower case, digits and hyphens. */
  readonly name: string
  /** One line for a list. */
  readonly about: string
  /** For people: what happens, and what must come out. */
  readonly description: string
  readonly seed: number
  /** Scenario time per wall time: 60 makes an hour of the devices a minute. */
  readonly speed: number
  /** What the devices' clocks say when the scenario begins, Unix seconds. */
  readonly startsAt: number
  readonly groups: readonly ScenarioGroup[]
  /** At these moments of scenario time a block is sealed, beside the one at the end. */
  readonly sealsAtMs: readonly number[]
  /** What happens to the service and its database; `atMs`, `jitterMs` and `everyMs` are of scenario time. */
  readonly serviceFaults: readonly ServiceFaultRule[]
  /** What the network does; `fromMs` and `toMs` are of scenario time. */
  readonly network: readonly ToxicRule[]
  /** Whether everything stored is audited at the end. */
  readonly isAudited: boolean
  /** What is changed at the end in a copy, for the audit to find. */
  readonly tamper: readonly TamperKind[]
  /** How long verdicts are waited for when everything is said; wall time, ms. */
  readonly settleMs: number
  readonly thresholds: readonly Threshold[]
}

export type TamperKind = "statement" | "reading" | "arrival" | "deletion"

export interface ScenarioGroup {
  /** Begins the ids of its devices. */
  readonly name: string
  readonly devices: number
  /** `both`: Ed25519 and P-256 in turn. */
  readonly keys: "ed25519" | "p256" | "both"
  readonly source: ReadingSource
  /** Of the devices' clocks, between two statements of a device; 0: as fast as they are acknowledged. */
  readonly everyMs: number
  /** Of each device; null: until the stages end, or the recording. */
  readonly statements: number | null
  readonly stages: readonly Stage[]
  readonly faults: readonly FaultRule[]
}

export type ReadingSource =
  | {
      readonly kind: "worn"
      readonly signals: readonly VitalName[]
      /** In a statement; null: what the sensors measure between two statements. */
      readonly readings: number | null
      /** Of an ECG in each statement; 0: none. */
      readonly ecgSamples: number
    }
  | {
      readonly kind: "recordings"
      readonly paths: readonly string[]
      /** How they are read where their files do not say it. */
      readonly options: RecordingOptions
      readonly readings: number
      readonly samples: number
    }

/** What a group does one after the other. */
export type Stage =
  /** Devices are switched on, or off from the last one on, evenly. */
  | { readonly kind: "ramp"; readonly to: number; readonly durationMs: number }
  | { readonly kind: "hold"; readonly durationMs: number }
  /** So often everybody loses the connection at once. */
  | { readonly kind: "storm"; readonly times: number; readonly durationMs: number }
  /** Devices go on measuring, and find no network. */
  | { readonly kind: "offline"; readonly durationMs: number }

export const allSignals = Object.keys(vitals) as readonly VitalName[]

export const groupDefaults = {
  keys: "both",
  everyMs: 0,
  readings: 60,
  samples: 2_500,
} as const

export const scenarioDefaults = {
  seed: 1,
  speed: 1,
  startsAt: startsAtDefault,
  settleMs: 60_000,
} as const

/** The moments at which a device of a group is switched on and off, by its index; `to` is null where it stays on. */
export function onTimes(
  stages: readonly Stage[],
  devices: number,
  index: number,
): readonly { readonly fromMs: number; readonly toMs: number | null }[] {
  const times: { fromMs: number; toMs: number | null }[] = []
  // Without a ramp at its beginning a group is there at once.
  const isRamped = stages[0]?.kind === "ramp"
  let on = isRamped ? 0 : devices
  let atMs = 0
  if (index < on) times.push({ fromMs: 0, toMs: null })
  for (const stage of stages) {
    if (stage.kind === "ramp") {
      const to = Math.min(stage.to, devices)
      // The n-th of those that change does so after n steps of as many.
      const step = stage.durationMs / Math.max(1, Math.abs(to - on))
      if (on <= index && index < to) times.push({ fromMs: atMs + (index - on) * step, toMs: null })
      if (to <= index && index < on) times.at(-1)!.toMs = atMs + (on - index) * step
      on = to
    }
    atMs += stage.durationMs
  }
  return times
}

/** Of all stages; null where a group has none and ends when its devices have said everything. */
export function stagesMs(stages: readonly Stage[]): number | null {
  return stages.length === 0 ? null : stages.reduce((sum, { durationMs }) => sum + durationMs, 0)
}

/** When everybody loses the connection, and from when to when nobody finds one. */
export function troubleTimes(stages: readonly Stage[]): {
  readonly cutsMs: readonly number[]
  readonly offlineMs: readonly { readonly fromMs: number; readonly toMs: number }[]
} {
  const cutsMs: number[] = []
  const offlineMs: { fromMs: number; toMs: number }[] = []
  let atMs = 0
  for (const stage of stages) {
    if (stage.kind === "storm") {
      for (let i = 0; i < stage.times; i++) cutsMs.push(atMs + ((i + 0.5) * stage.durationMs) / stage.times)
    }
    if (stage.kind === "offline") offlineMs.push({ fromMs: atMs, toMs: atMs + stage.durationMs })
    atMs += stage.durationMs
  }
  return { cutsMs, offlineMs }
}

/** What the network does, by ms of the run: it is bound to the wall. */
export function networkOf({ network, speed }: Scenario): ToxicRule[] {
  return network.map(({ fromMs, toMs, ...rule }) => ({
    ...rule,
    ...(fromMs === undefined ? {} : { fromMs: fromMs / speed }),
    ...(toMs === undefined ? {} : { toMs: toMs / speed }),
  }))
}
