/** What a run came to: the two sides of the truth are brought together, and thresholds are held against what was measured. */
import { createHash } from "node:crypto"
import { type Verdict, isRefusal } from "../chain/verdict.ts"
import type { FaultFinding } from "./fault.ts"
import { faultsAgainst, tallyFaults } from "./fault-tally.ts"
import type { Measures } from "./measure.ts"
import type { PlayedDevice } from "./player.ts"
import type { FaultTally, GeneratorCost, RunCounts, RunEnding, Sample, Truth } from "./run-report.ts"
import { makeTruth } from "./run-report.ts"
import type { Scenario, TamperKind } from "./scenario.ts"
import {
  type SealedBlock,
  type ServiceMetrics,
  type ServiceView,
  ServiceViewError,
  type StoredDetail,
  type StoredDevice,
} from "./service-view.ts"
import { type ThresholdResult, checkThreshold } from "./threshold.ts"
import { type DeviceAccount, accountOf, allowanceOf, counterFaults } from "./truth.ts"

/** What a run came to, before it is written up. */
export interface RunOutcome {
  readonly ending: RunEnding
  readonly accounts: readonly DeviceAccount[]
  readonly counts: RunCounts
  readonly measures: Measures
  readonly thresholds: readonly ThresholdResult[]
  readonly truths: readonly Truth[]
  readonly faults: readonly FaultTally[]
  readonly samples: readonly Sample[]
  readonly block: SealedBlock | null
  readonly generator: GeneratorCost
  readonly wallMs: number
  readonly scenarioMs: number
  /** SHA-256 over the last entry of each device, hex: two runs of one seed on empty chains have the same. */
  readonly fingerprint: string
}

/** Of the simulator's own process. */
export interface ProcessCost {
  readonly cpuSeconds: number
  readonly memoryBytes: number
}

/** What a run has gathered when everybody has ended. */
export interface RunRecord {
  readonly scenario: Scenario
  readonly view: ServiceView
  /** What is shown about some of the devices by what is sealed: why not, or null. */
  readonly prove?: ((id: string) => Promise<string | null>) | undefined
  readonly audit?: (() => Promise<readonly string[]>) | undefined
  readonly tamper?: ((kind: TamperKind, devices: readonly string[]) => Promise<string | null>) | undefined
  readonly measures: Measures
  readonly samples: readonly Sample[]
  readonly played: readonly PlayedDevice[]
  /** Devices that were known before. */
  readonly known: ReadonlySet<string>
  readonly before: ReadonlyMap<string, StoredDevice>
  readonly detailsBefore: ReadonlyMap<string, StoredDetail>
  /** Null: the service was killed in between, and its counters began at 0. */
  readonly metricsBefore: ServiceMetrics | null
  readonly ending: RunEnding
  readonly isSealed: boolean
  /** What could not be done to the service. */
  readonly troubles: readonly string[]
  /** How often something was. */
  readonly strikes: number
  readonly wallMs: number
  readonly scenarioMs: number
  readonly costBefore: ProcessCost
  readonly costAfter: ProcessCost
  readonly memoryBytesMax: number
}

/** Devices that are asked for one by one at the end, beside those that were told anything but good. */
export const detailsMax = 200
const provenMax = 3

export function judgeRun(record: RunRecord): Promise<RunOutcome> {
  return new RunJudge(record).judge()
}

class RunJudge {
  private readonly record: RunRecord
  private readonly isCut: boolean
  /** Why the service could not be asked; null while it answers. After the first time it is not asked again. */
  private silence: string | null = null

  constructor(record: RunRecord) {
    this.record = record
    this.isCut = record.ending.kind !== "whole"
  }

  /** Null where the service does not answer: a run is written up with what is known. */
  private async ask<T>(question: () => Promise<T>): Promise<T | null> {
    if (this.silence !== null) return null
    try {
      return await question()
    } catch (error) {
      if (!(error instanceof ServiceViewError)) throw error
      this.silence = error.message
      return null
    }
  }

  async judge(): Promise<RunOutcome> {
    const { view, scenario, played, measures, wallMs, scenarioMs, isSealed, ending } = this.record
    const after = await this.ask(() => view.devices(played.map(({ id }) => id)))
    const details = await this.lookAtDetails(played)
    const circumstances = { isCut: this.isCut, isSealed }
    const accounts = played.map((device) =>
      accountOf(
        {
          played: device,
          before: this.record.before.get(device.id) ?? null,
          after: after === null ? undefined : (after.get(device.id) ?? null),
          detail: details.get(device.id) ?? null,
          detailBefore: this.record.detailsBefore.get(device.id) ?? null,
          allowance: allowanceOf(device.findings),
        },
        circumstances,
      ),
    )
    const counts = sumUp(accounts)
    const metrics = await this.ask(() => view.metrics())
    const proofs = await this.prove(accounts, isSealed)
    const block = await this.ask(() => view.lastBlock())
    for (const { group, stored, sealed } of accounts) {
      measures.add("stored", stored ?? 0, `group:${group}`)
      measures.add("sealed", sealed ?? 0, `group:${group}`)
    }
    for (const { group, sent, reconnects } of accounts) {
      measures.add("sent", sent, `group:${group}`)
      measures.add("reconnects", reconnects, `group:${group}`)
    }
    const findings = played.flatMap((device): readonly FaultFinding[] => device.findings)
    measures.raise(
      "faults",
      this.record.strikes + findings.filter(({ result }) => result !== "skipped").length,
    )
    const generator = costOf(this.record, counts.made)
    measures.wallMs = wallMs
    measures.set("simulator_cpu", generator.cpuShare)
    measures.set("simulator_memory_mb", generator.memoryBytesMax / 1e6)
    return {
      ending,
      accounts,
      counts,
      measures,
      thresholds: scenario.thresholds.map((threshold) => checkThreshold(threshold, measures)),
      truths: [
        makeTruth(
          "every statement is accounted for: made, acknowledged, stored, sealed as the ground truth demands",
          accounts.flatMap(({ id, faults }) => faults.map((fault) => `${id}: ${fault}`)),
        ),
        this.truthOfCounters(metrics, counts),
        proofs,
        ...(await this.truthsOfAudit()),
        ...this.truthsOfFaults(findings),
        ...(this.silence === null
          ? []
          : [makeTruth("the service answers at the end of the run", [this.silence])]),
      ],
      faults: tallyFaults(findings),
      samples: this.record.samples,
      block,
      generator,
      wallMs,
      scenarioMs,
      fingerprint: fingerprintOf(played),
    }
  }

  private truthOfCounters(metrics: ServiceMetrics | null, { receipts, stored }: RunCounts): Truth {
    const name = "the service's counters add up, and count what devices were told"
    if (metrics === null) return makeTruth(name, [], "the service does not answer")
    return makeTruth(name, counterFaults(this.record.metricsBefore, metrics, { receipts, stored }))
  }

  /** Where the scenario asks for it: it reads everything that is stored. */
  private async truthsOfAudit(): Promise<Truth[]> {
    const { scenario, audit, tamper, isSealed, played } = this.record
    const { isCut } = this
    const truths: Truth[] = []
    const whole = "the audit of everything stored passes"
    if (scenario.isAudited)
      truths.push(
        audit === undefined || isCut
          ? makeTruth(whole, [], isCut ? "the run was cut short" : "the database is not within reach")
          : makeTruth(whole, await audit()),
      )
    for (const kind of scenario.tamper) {
      const name = `the audit finds and names a change behind the log's back: ${kind}`
      if (tamper === undefined || isCut || !isSealed) {
        truths.push(makeTruth(name, [], "nothing was sealed at the end, or no copy can be made"))
        continue
      }
      const why = await tamper(
        kind,
        played.map(({ id }) => id),
      )
      truths.push(makeTruth(name, why === null ? [] : [why]))
    }
    return truths
  }

  private truthsOfFaults(findings: readonly FaultFinding[]): Truth[] {
    const truths: Truth[] = []
    if (findings.length > 0)
      truths.push(
        makeTruth(
          "every kind of fault came to happen, and each was answered as it must be",
          faultsAgainst(findings, this.isCut),
        ),
      )
    const { serviceFaults, sealsAtMs } = this.record.scenario
    const planned = serviceFaults.length + sealsAtMs.length
    if (planned > 0 || this.record.troubles.length > 0)
      truths.push(makeTruth("what was to happen to the service has happened", this.record.troubles))
    return truths
  }

  /** Of those that were told anything but good, and of some of the others. */
  private async lookAtDetails(played: readonly PlayedDevice[]): Promise<Map<string, StoredDetail>> {
    const told = played.filter(({ receipts, alarms, failure }) => {
      const isRefused = (Object.keys(receipts) as Verdict[]).some(isRefusal)
      return isRefused || alarms.length > 0 || failure !== null
    })
    const others = played.filter((device) => !told.includes(device))
    const details = new Map<string, StoredDetail>()
    for (const { id } of [...told, ...others].slice(0, detailsMax)) {
      // Without what was before, refusals of earlier runs would look like ones of this.
      if (this.record.known.has(id) && !this.record.detailsBefore.has(id)) continue
      const detail = await this.ask(() => this.record.view.detail(id))
      if (detail !== null) details.set(id, detail)
    }
    return details
  }

  private async prove(accounts: readonly DeviceAccount[], isSealed: boolean): Promise<Truth> {
    const name = "evidence of sealed statements verifies offline"
    const { prove } = this.record
    if (this.silence !== null) return makeTruth(name, [], "the service does not answer")
    if (prove === undefined) return makeTruth(name, [], "no evidence can be had here")
    if (!isSealed) return makeTruth(name, [], "nothing was sealed at the end")
    const against: string[] = []
    const sealed = accounts.filter(({ sealed: count }) => (count ?? 0) > 0)
    // The first, the last, and one in the middle.
    const chosen = new Set([sealed[0], sealed[sealed.length >> 1], sealed.at(-1)].slice(0, provenMax))
    for (const account of chosen) {
      if (account === undefined) continue
      const why = await prove(account.id)
      if (why !== null) against.push(`${account.id}: ${why}`)
    }
    return makeTruth(
      name,
      against,
      chosen.size === 0 || sealed.length === 0 ? "no device has a sealed statement" : null,
    )
  }
}

function sumUp(accounts: readonly DeviceAccount[]): RunCounts {
  const receipts: Partial<Record<Verdict, number>> = {}
  for (const account of accounts)
    for (const [verdict, count] of Object.entries(account.receipts) as [Verdict, number][])
      receipts[verdict] = (receipts[verdict] ?? 0) + count
  const sum = (of: (account: DeviceAccount) => number): number =>
    accounts.reduce((total, account) => total + of(account), 0)
  const isAsked = accounts.every(({ stored }) => stored !== null)
  return {
    demanded: sum(({ demanded }) => demanded),
    made: sum(({ made }) => made),
    sent: sum(({ sent }) => sent),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    stored: isAsked ? sum(({ stored }) => stored ?? 0) : null,
    sealed: isAsked ? sum(({ sealed }) => sealed ?? 0) : null,
    unanswered: sum(({ unanswered }) => unanswered),
    readings: sum(({ readings }) => readings),
    reconnects: sum(({ reconnects }) => reconnects),
    receipts,
  }
}

function costOf(
  { costBefore: before, costAfter: after, wallMs, memoryBytesMax }: RunRecord,
  made: number,
): GeneratorCost {
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds
  return {
    cpuSeconds,
    cpuShare: (cpuSeconds * 1000) / Math.max(1, wallMs),
    memoryBytesMax: Math.max(memoryBytesMax, after.memoryBytes),
    cpuMicrosPerStatement: made === 0 ? null : (cpuSeconds * 1e6) / made,
  }
}

function fingerprintOf(played: readonly PlayedDevice[]): string {
  const hash = createHash("sha256")
  for (const { id, last } of played) {
    hash.update(`${id} ${last?.seq ?? 0} `)
    if (last !== null) hash.update(last.entry)
  }
  return hash.digest("hex")
}
