/** A scenario's document, which its schema has taken: what the schema cannot say is checked here, and defaults are filled in. */
import { durationRule, parseDuration } from "./duration.ts"
import type { RecordingOptions } from "./recording/recording.ts"
import type { DateOrder } from "./recording/written-time.ts"
import { isZoneName, zoneRule } from "./recording/zone.ts"
import {
  type Scenario,
  type ScenarioGroup,
  type Stage,
  type TamperKind,
  allSignals,
  groupDefaults,
  scenarioDefaults,
  stagesMs,
} from "./scenario.ts"
import { type Path, type Places, type ScenarioFault } from "./scenario-place.ts"
import { type FaultDocument, type ToxicDocument, readFaultRule, readToxicRule } from "./scenario-trouble.ts"
import type { ServiceFaultRule } from "./service-fault.ts"
import type { VitalName } from "./signal/vital.ts"
import { type Threshold, findThresholdFault } from "./threshold.ts"

/** The document as its schema has it. */
export interface ScenarioDocument {
  readonly name: string
  readonly about: string
  readonly description?: string
  readonly seed?: number
  readonly speed?: number
  readonly start?: string
  readonly settle?: string | number
  readonly groups: readonly GroupDocument[]
  readonly network?: readonly ToxicDocument[]
  readonly events?: readonly EventDocument[]
  readonly audit?: boolean
  readonly tamper?: readonly TamperKind[]
  readonly thresholds?: Readonly<Record<string, string | readonly string[]>>
}

interface GroupDocument {
  readonly name?: string
  readonly devices: number
  readonly keys?: ScenarioGroup["keys"]
  readonly signals?: readonly VitalName[]
  readonly ecg?: number
  readonly recordings?: readonly string[]
  readonly dates?: DateOrder
  readonly timezone?: string
  readonly rate?: number
  readonly metric?: string
  readonly start?: string
  readonly readings?: number
  readonly every?: string | number
  readonly statements?: number
  readonly stages?: readonly StageDocument[]
  readonly faults?: readonly FaultDocument[]
}

interface StageDocument {
  readonly ramp?: number
  readonly storm?: number
  readonly over?: string | number
  readonly hold?: string | number
  readonly offline?: string | number
}

interface EventDocument {
  readonly at: string | number
  readonly every?: string | number
  readonly seal?: "now"
  readonly kill?: "service"
  readonly stop?: "database"
  readonly for?: string | number
  readonly jitter?: string | number
}

interface Events {
  readonly sealsAtMs: number[]
  readonly serviceFaults: ServiceFaultRule[]
}

/** What the schema cannot say, and defaults. */
export class DocumentReading {
  readonly faults: ScenarioFault[] = []
  private readonly places: Places

  constructor(places: Places) {
    this.places = places
  }

  scenario(document: ScenarioDocument): Scenario {
    const { name, about, description = "" } = document
    const groups = document.groups.map((group, at) => this.group(group, ["groups", at]))
    for (const [at, group] of groups.entries()) {
      if (groups.findIndex((other) => other.name === group.name) !== at)
        this.fault(["groups", at], `there is a group named ${group.name} already: give it another name`)
    }
    const lengths = groups.map(({ stages }) => stagesMs(stages) ?? 0)
    const events: Events = { sealsAtMs: [], serviceFaults: [] }
    for (const [at, event] of (document.events ?? []).entries())
      this.event(event, ["events", at], Math.max(...lengths), events)
    return {
      name,
      about,
      description,
      seed: document.seed ?? scenarioDefaults.seed,
      speed: document.speed ?? scenarioDefaults.speed,
      startsAt: this.instant(document.start),
      groups,
      sealsAtMs: events.sealsAtMs.toSorted((a, b) => a - b),
      serviceFaults: events.serviceFaults,
      network: (document.network ?? []).map((toxic, at) =>
        readToxicRule(toxic, (key, rule) => this.fault(["network", at], rule, key)),
      ),
      isAudited: document.audit ?? false,
      tamper: document.tamper ?? [],
      settleMs: this.duration(document.settle, ["settle"]) ?? scenarioDefaults.settleMs,
      thresholds: this.thresholds(document.thresholds ?? {}),
    }
  }

  /** Collects the faults of those parts that the schema has taken; what they say otherwise is of no use. */
  parts(document: unknown, isTaken: (path: Path) => boolean): void {
    if (typeof document !== "object" || document === null) return
    const { groups, events, network, thresholds } = document as Readonly<Record<string, unknown>>
    const each = (key: string, list: unknown, read: (item: never, path: Path) => unknown): void => {
      if (!Array.isArray(list)) return
      for (const [at, item] of list.entries()) if (isTaken([key, at])) read(item as never, [key, at])
    }
    each("groups", groups, (group: GroupDocument, path) => this.group(group, path))
    // The groups' length may not be known: what repeats is tried for a day.
    each("events", events, (event: EventDocument, path) =>
      this.event(event, path, 86_400_000, { sealsAtMs: [], serviceFaults: [] }),
    )
    each("network", network, (toxic: ToxicDocument, path) =>
      readToxicRule(toxic, (key, rule) => this.fault(path, rule, key)),
    )
    if (typeof thresholds !== "object" || thresholds === null) return
    for (const [metric, expression] of Object.entries(thresholds as ScenarioDocument["thresholds"] & object))
      if (isTaken(["thresholds", metric])) this.thresholds({ [metric]: expression })
  }

  private group(document: GroupDocument, path: Path): ScenarioGroup {
    const { name = "device", devices, keys = groupDefaults.keys, statements = null } = document
    const everyMs = this.duration(document.every, [...path, "every"]) ?? groupDefaults.everyMs
    const stages = (document.stages ?? []).map((stage, at) => this.stage(stage, [...path, "stages", at]))
    const { recordings } = document
    const isReplay = recordings !== undefined
    if (isReplay) {
      for (const key of ["signals", "ecg"] as const)
        if (document[key] !== undefined)
          this.fault(path, "stands beside recordings, which have their own", key)
    } else {
      for (const key of ["dates", "timezone", "rate", "metric", "start"] as const)
        if (document[key] !== undefined) this.fault(path, "is for a group with recordings", key)
    }
    if (!isReplay && statements === null && stages.length === 0) {
      this.fault(path, "needs statements, stages or recordings: it would never end")
    }
    if (stages.length > 0 && everyMs === 0 && !isReplay)
      this.fault(path, "has stages, so it needs `every`: how much time lies between two statements")
    if (document.faults !== undefined && statements === null && !isReplay)
      this.fault(path, "needs `statements`: the seed chooses among them", "faults")
    const faults = (document.faults ?? []).map((fault, at) =>
      readFaultRule(fault, (key, rule) => this.fault([...path, "faults", at], rule, key)),
    )
    return {
      name,
      devices,
      keys,
      everyMs,
      statements,
      stages,
      faults,
      source: isReplay
        ? {
            kind: "recordings",
            paths: recordings,
            options: this.recordingOptions(document, path),
            readings: document.readings ?? groupDefaults.readings,
            samples: groupDefaults.samples,
          }
        : {
            kind: "worn",
            signals: document.signals ?? allSignals,
            readings: document.readings ?? (everyMs === 0 ? groupDefaults.readings : null),
            ecgSamples: document.ecg ?? 0,
          },
    }
  }

  private recordingOptions(document: GroupDocument, path: Path): RecordingOptions {
    const { dates, timezone, rate, metric, start } = document
    if (timezone !== undefined && !isZoneName(timezone)) this.fault([...path, "timezone"], zoneRule)
    return {
      ...(dates === undefined ? {} : { dates }),
      ...(timezone === undefined ? {} : { timezone }),
      ...(rate === undefined ? {} : { rateHz: rate }),
      ...(metric === undefined ? {} : { metric }),
      ...(start === undefined ? {} : { startsAt: this.instant(start, [...path, "start"]) }),
    }
  }

  private stage(document: StageDocument, path: Path): Stage {
    const kinds = (["ramp", "storm", "hold", "offline"] as const).filter((key) => document[key] !== undefined)
    const [kind] = kinds
    if (kind === undefined || kinds.length > 1) {
      this.fault(path, "must be one of ramp, hold, storm and offline")
      return { kind: "hold", durationMs: 0 }
    }
    const isOver = kind === "ramp" || kind === "storm"
    if (isOver !== (document.over !== undefined))
      this.fault(
        path,
        isOver ? `${kind} needs \`over\`` : `${kind} has its duration: \`over\` is for ramp and storm`,
      )
    const durationMs =
      this.duration(isOver ? document.over : document[kind], [...path, isOver ? "over" : kind]) ?? 0
    if (kind === "ramp") return { kind, to: document.ramp!, durationMs }
    if (kind === "storm") return { kind, times: document.storm!, durationMs }
    return { kind, durationMs }
  }

  /** @param endMs of the stages: what repeats does so until then */
  private event(document: EventDocument, path: Path, endMs: number, events: Events): void {
    const kinds = (["seal", "kill", "stop"] as const).filter((key) => document[key] !== undefined)
    const [kind] = kinds
    if (kind === undefined || kinds.length > 1) {
      this.fault(path, "must be one of seal, kill and stop")
      return
    }
    for (const key of ["for", "jitter"] as const)
      if (kind === "seal" && document[key] !== undefined) this.fault(path, "is for kill and stop", key)
    const atMs = this.duration(document.at, [...path, "at"]) ?? 0
    const everyMs = this.duration(document.every, [...path, "every"])
    if (everyMs !== null && (everyMs <= 0 || endMs === 0)) {
      const rule = endMs === 0 ? "needs a group with stages, at whose end it ends" : "must be above 0"
      this.fault(path, rule, "every")
      return
    }
    const times = everyMs === null ? 1 : Math.max(1, Math.ceil((endMs - atMs) / everyMs))
    if (times > eventsMax) {
      this.fault(path, `would happen over ${eventsMax} times`, "every")
      return
    }
    if (kind === "seal") {
      for (let time = 0; time < times; time++) events.sealsAtMs.push(atMs + time * (everyMs ?? 0))
      return
    }
    const downMs = this.duration(document.for, [...path, "for"]) ?? 1_000
    events.serviceFaults.push({
      fault: { kind: kind === "kill" ? "kill-service" : "stop-database", downMs },
      atMs,
      jitterMs: Math.floor(this.duration(document.jitter, [...path, "jitter"]) ?? 0),
      times,
      everyMs: everyMs ?? 0,
    })
  }

  private thresholds(document: Readonly<Record<string, string | readonly string[]>>): Threshold[] {
    return Object.entries(document).flatMap(([metric, expressions]) =>
      [expressions].flat().map((expression, at): Threshold => {
        const threshold = { metric, expression: expression.trim() }
        const rule = findThresholdFault(threshold)
        if (rule !== null) {
          const isListed = Array.isArray(expressions)
          const path = ["thresholds", metric, ...(isListed ? [at] : [])]
          this.faults.push(
            /^(must be one of|is not known)/.test(rule)
              ? this.places.fault(["thresholds"], rule, metric)
              : this.places.fault(path, rule),
          )
        }
        return threshold
      }),
    )
  }

  private duration(value: string | number | undefined, path: Path): number | null {
    if (value === undefined) return null
    const durationMs = parseDuration(String(value))
    if (durationMs === null) this.fault(path, durationRule)
    return durationMs
  }

  private instant(text: string | undefined, path: Path = ["start"]): number {
    if (text === undefined) return scenarioDefaults.startsAt
    const ms = Date.parse(text)
    if (Number.isNaN(ms) || ms < 2 ** 28 * 1000) this.fault(path, "is no instant, or before July 1978")
    return Math.floor(ms / 1000)
  }

  private fault(path: Path, rule: string, key: string | null = null): void {
    this.faults.push(this.places.fault(path, rule, key))
  }
}

const eventsMax = 10_000
