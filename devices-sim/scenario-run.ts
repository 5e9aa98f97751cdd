/** Runs a scenario: devices that play their parts, trouble at its times, and at the end the two sides of the truth. */
import { createHash } from "node:crypto"
import { setMaxListeners } from "node:events"
import type { PrivateKey, PublicKey } from "../chain/key.ts"
import { type Verdict, isRefusal } from "../chain/verdict.ts"
import type { DeviceRules, OpenLink, Service } from "./connection.ts"
import { openLink } from "./connection-mqtt.ts"
import { Measures } from "./measure.ts"
import { type PlayContext, type PlayedDevice, Player } from "./player.ts"
import type { Recording } from "./recording/recording.ts"
import type { FaultTally, GeneratorCost, RunCounts, Sample, Truth } from "./run-report.ts"
import { makeTruth } from "./run-report.ts"
import { Sampler } from "./sampler.ts"
import { type Scenario, type ScenarioEvent, type ScenarioGroup, troubleTimes } from "./scenario.ts"
import { type ScenarioClock, VirtualClock, sleep } from "./scenario-clock.ts"
import { Gate } from "./scenario-gate.ts"
import { type ScenarioMember, enlistScenario } from "./scenario-member.ts"
import type { SealedBlock, ServiceMetrics, ServiceView, StoredDetail, StoredDevice } from "./service-view.ts"
import { type ThresholdResult, checkThreshold } from "./threshold.ts"
import { type Allowance, type DeviceAccount, accountOf, counterFaults, honest } from "./truth.ts"

/** Makes the devices known to the service. @returns those that it knew already */
export type Enrol = (
  devices: readonly {
    readonly id: string
    readonly publicKey: PublicKey
    readonly privateKey: PrivateKey
  }[],
) => Promise<ReadonlySet<string>>

/** A service in a process of its own, and its database, that this run has started. */
export interface ServiceHost {
  killService(): Promise<void>
  startService(): Promise<void>
  stopDatabase(): Promise<void>
  startDatabase(): Promise<void>
}

export interface ScenarioRunOptions {
  readonly scenario: Scenario
  /** By the names of groups. */
  readonly recordings: ReadonlyMap<string, readonly Recording[]>
  readonly service: Service
  readonly clock: ScenarioClock
  /** By MQTT where it is left out. */
  readonly openLink?: OpenLink
  readonly enrol: Enrol
  readonly view: ServiceView
  /** Seals a block of what is stored; null: nobody here may. */
  readonly seal: (() => Promise<void>) | null
  /** What is shown about some of the devices by what is sealed: why not, or null. */
  readonly prove?: (id: string) => Promise<string | null>
  readonly host?: ServiceHost | null
  /** Of a virtual run: what has to be done before a moment. */
  readonly onTime?: (atMs: number) => Promise<void>
  readonly rules?: Partial<DeviceRules>
  /** Its user wants it to end. */
  readonly signal?: AbortSignal
  readonly onSample?: (sample: Sample, progress: RunProgress) => void
  /** For a person: what happens now. */
  readonly say?: (line: string) => void
  /** Of this process so far. */
  readonly cost: () => { readonly cpuSeconds: number; readonly memoryBytes: number }
}

export interface RunProgress {
  readonly measures: Measures
  readonly devices: number
  /** Statements that are planned; null: as many as there are until the end. */
  readonly planned: number | null
  readonly scenarioMs: number
  /** When the last stage ends; null where there is none. */
  readonly endMs: number | null
}

/** What a run came to, before it is written up. */
export interface RunOutcome {
  readonly isCut: boolean
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

/** How long verdicts are still waited for when a user has ended the run, wall time. */
const graceMs = 5_000
/** Devices that are asked for one by one at the end, beside those that were told anything but good. */
const detailsMax = 200
const provenMax = 3

/** A simulated fleet is tried for minutes: its devices come back sooner than one that saves its battery. */
const simulatedRules: Partial<DeviceRules> = {
  backoffMsMax: 5_000,
  waitLongMsMin: 2_000,
  waitLongMsMax: 4_000,
}

export async function runScenario(options: ScenarioRunOptions): Promise<RunOutcome> {
  return new ScenarioRun(options).run()
}

class ScenarioRun {
  private readonly options: ScenarioRunOptions
  private readonly members: readonly ScenarioMember[]
  private readonly measures = new Measures()
  private readonly sampler: Sampler
  private readonly ending = new AbortController()
  private readonly ended = new AbortController()
  private known: ReadonlySet<string> = new Set()
  private before: ReadonlyMap<string, StoredDevice> = new Map()
  private readonly detailsBefore = new Map<string, StoredDetail>()
  private metricsBefore: ServiceMetrics | null = null
  private memoryBytesMax = 0
  private isKilled = false
  private isCut = false
  private readonly troubles: string[] = []

  constructor(options: ScenarioRunOptions) {
    this.options = options
    this.members = enlistScenario(options.scenario, options.recordings)
    this.sampler = new Sampler(options.clock, this.measures)
    for (const { signal } of [this.ending, this.ended]) setMaxListeners(0, signal)
  }

  async run(): Promise<RunOutcome> {
    const { clock, view, enrol, cost } = this.options
    this.known = await enrol(
      this.members.map(({ id, privateKey }) => ({ id, publicKey: privateKey.publicKey, privateKey })),
    )
    await this.lookBefore()
    this.metricsBefore = await view.metrics()
    const costBefore = cost()
    clock.begin()
    const players = await this.play()
    const wallMs = clock.wallMs()
    const scenarioMs = clock.nowMs()
    this.sampler.take()
    const costAfter = cost()
    const isSealed = await this.sealAll()
    return this.judge(players, { wallMs, scenarioMs, costBefore, costAfter, isSealed })
  }

  /** Devices of this seed that said something before go on from there. */
  private async lookBefore(): Promise<void> {
    const { view } = this.options
    if (this.known.size === 0) return
    this.before = await view.devices([...this.known])
    if (this.known.size > detailsMax) return
    for (const id of this.known) this.detailsBefore.set(id, await view.detail(id))
  }

  private async play(): Promise<readonly PlayedDevice[]> {
    const { clock, scenario, signal } = this.options
    const gates = new Map(scenario.groups.map((group) => [group.name, this.makeGate()]))
    const players = this.members.map(
      (member) => new Player(member, this.contextOf(gates.get(member.group.name)!)),
    )
    const cut = (): void => {
      this.isCut = true
      this.ending.abort()
      void sleep(graceMs).then(() => this.ended.abort())
    }
    signal?.addEventListener("abort", cut, { once: true })
    if (signal?.aborted === true) cut()
    const troubles = [
      ...scenario.groups.map((group) => this.trouble(group, gates.get(group.name)!)),
      ...scenario.events.map((event) => this.happen(event)),
    ]
    const sampling = setInterval(() => this.look(), 100)
    const all = Promise.all(players.map((player) => player.play())).finally(() => this.ending.abort())
    try {
      await (clock instanceof VirtualClock
        ? clock.drive(all, this.options.onTime ?? (() => Promise.resolve()))
        : all)
      await Promise.all(troubles)
    } finally {
      clearInterval(sampling)
      signal?.removeEventListener("abort", cut)
    }
    return players.map((player) => player.report())
  }

  private makeGate(): Gate {
    return new Gate(this.options.openLink ?? openLink, {
      connected: () => (this.sampler.connected += 1),
      disconnected: () => (this.sampler.connected -= 1),
    })
  }

  private contextOf(gate: Gate): PlayContext {
    const { clock, scenario, service, rules } = this.options
    return {
      clock,
      startsAt: scenario.startsAt,
      isVirtual: clock instanceof VirtualClock,
      service,
      openLink: gate.open,
      rules: { ...simulatedRules, ...rules },
      settleMs: scenario.settleMs,
      measures: this.measures,
      onAcknowledged: (ackMs) => this.sampler.time(ackMs),
      ending: this.ending.signal,
      ended: this.ended.signal,
    }
  }

  /** Storms and times without a network. */
  private async trouble({ stages, name }: ScenarioGroup, gate: Gate): Promise<void> {
    const { clock } = this.options
    const { signal } = this.ending
    const { cutsMs, offlineMs } = troubleTimes(stages)
    const moments = [
      ...cutsMs.map((atMs) => ({ atMs, act: () => gate.cut(), text: `${name}: every connection is cut` })),
      ...offlineMs.flatMap(({ fromMs, toMs }) => [
        { atMs: fromMs, act: () => gate.shut(), text: `${name}: no network` },
        { atMs: toMs, act: () => gate.reopen(), text: `${name}: the network is back` },
      ]),
    ].toSorted((a, b) => a.atMs - b.atMs)
    for (const { atMs, act, text } of moments) {
      await clock.sleepUntil(atMs, signal)
      // Whoever has no network when the run ends gets it back, to say what it kept.
      if (signal.aborted) break
      this.options.say?.(text)
      act()
    }
    gate.reopen()
  }

  private async happen(event: ScenarioEvent): Promise<void> {
    const { clock, seal, host } = this.options
    await clock.sleepUntil(event.atMs, this.ending.signal)
    if (this.ending.signal.aborted) return
    try {
      if (event.kind === "seal") await this.during(seal?.() ?? Promise.resolve())
      else if (host != null) await this.strike(event, host)
    } catch (error) {
      this.troubles.push(`${event.kind}: ${(error as Error).message}`)
    }
  }

  private async strike(
    { kind, forMs }: Exclude<ScenarioEvent, { kind: "seal" }>,
    host: ServiceHost,
  ): Promise<void> {
    const isService = kind === "kill-service"
    this.options.say?.(isService ? "the service is killed" : "the database is stopped")
    // Counters of a process begin at 0.
    this.isKilled ||= isService
    await (isService ? host.killService() : host.stopDatabase())
    await sleep(forMs)
    await (isService ? host.startService() : host.startDatabase())
    this.options.say?.(isService ? "the service is back" : "the database is back")
  }

  private during<T>(work: Promise<T>): Promise<T> {
    const { clock } = this.options
    return clock instanceof VirtualClock ? clock.during(work) : work
  }

  private look(): void {
    const { clock, onSample, cost, scenario } = this.options
    this.memoryBytesMax = Math.max(this.memoryBytesMax, cost().memoryBytes)
    if (!this.sampler.isDue) return
    const planned = this.members.map(({ statements }) => statements)
    onSample?.(this.sampler.take(), {
      measures: this.measures,
      devices: this.members.length,
      planned: planned.reduce<number | null>(
        (sum, one) => (sum === null || one === null ? null : sum + one),
        0,
      ),
      scenarioMs: clock.nowMs(),
      endMs: endOf(scenario),
    })
  }

  /** @returns whether everything that is stored must be in a block now */
  private async sealAll(): Promise<boolean> {
    const { seal } = this.options
    if (seal === null || this.isCut) return false
    try {
      await seal()
      return true
    } catch (error) {
      this.troubles.push(`the last seal failed: ${(error as Error).message}`)
      return false
    }
  }

  private async judge(
    played: readonly PlayedDevice[],
    { wallMs, scenarioMs, costBefore, costAfter, isSealed }: Measured,
  ): Promise<RunOutcome> {
    const { view, scenario } = this.options
    const after = await view.devices(played.map(({ id }) => id))
    const details = await this.lookAtDetails(played)
    const circumstances = { isCut: this.isCut, isSealed }
    const accounts = played.map((device) =>
      accountOf(
        {
          played: device,
          before: this.before.get(device.id) ?? null,
          after: after.get(device.id) ?? null,
          detail: details.get(device.id) ?? null,
          detailBefore: this.detailsBefore.get(device.id) ?? null,
          allowance: this.allowanceOf(device),
        },
        circumstances,
      ),
    )
    const counts = sumUp(accounts)
    const metrics = await view.metrics()
    const counters = counterFaults(this.isKilled ? null : this.metricsBefore, metrics, {
      receipts: counts.receipts,
      stored: counts.stored,
    })
    const proofs = await this.prove(accounts, isSealed)
    for (const { group, stored, sealed } of accounts) {
      this.measures.add("stored", stored ?? 0, `group:${group}`)
      this.measures.add("sealed", sealed ?? 0, `group:${group}`)
    }
    for (const { group, sent, reconnects } of accounts) {
      this.measures.add("sent", sent, `group:${group}`)
      this.measures.add("reconnects", reconnects, `group:${group}`)
    }
    const generator = costOf(costBefore, costAfter, wallMs, this.memoryBytesMax, counts.made)
    this.measures.wallMs = wallMs
    this.measures.set("simulator_cpu", generator.cpuShare)
    this.measures.set("simulator_memory_mb", generator.memoryBytesMax / 1e6)
    return {
      isCut: this.isCut,
      accounts,
      counts,
      measures: this.measures,
      thresholds: scenario.thresholds.map((threshold) => checkThreshold(threshold, this.measures)),
      truths: [
        makeTruth(
          "every statement is accounted for: made, acknowledged, stored, sealed as the ground truth demands",
          accounts.flatMap(({ id, faults }) => faults.map((fault) => `${id}: ${fault}`)),
        ),
        makeTruth("the service's counters add up, and count what devices were told", counters),
        proofs,
        makeTruth("what the scenario does to the service was done", this.troubles),
      ],
      faults: [],
      samples: this.sampler.samples,
      block: await view.lastBlock(),
      generator,
      wallMs,
      scenarioMs,
      fingerprint: fingerprintOf(played),
    }
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
      if (this.known.has(id) && !this.detailsBefore.has(id)) continue
      details.set(id, await this.options.view.detail(id))
    }
    return details
  }

  private async prove(accounts: readonly DeviceAccount[], isSealed: boolean): Promise<Truth> {
    const name = "evidence of sealed statements verifies offline"
    const { prove } = this.options
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

  private allowanceOf(_device: PlayedDevice): Allowance {
    return honest
  }
}

interface Measured {
  readonly wallMs: number
  readonly scenarioMs: number
  readonly costBefore: ReturnType<ScenarioRunOptions["cost"]>
  readonly costAfter: ReturnType<ScenarioRunOptions["cost"]>
  readonly isSealed: boolean
}

function endOf({ groups }: Scenario): number | null {
  const ends = groups.map(({ stages }) => stages.reduce((sum, { durationMs }) => sum + durationMs, 0))
  return Math.max(...ends) || null
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
  before: Measured["costBefore"],
  after: Measured["costAfter"],
  wallMs: number,
  memoryBytesMax: number,
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
