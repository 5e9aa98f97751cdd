/** Runs a scenario: devices that play their parts, trouble at its times, and at the end the two sides of the truth. */
import { setMaxListeners } from "node:events"
import type { PrivateKey, PublicKey } from "../chain/key.ts"
import type { DeviceRules, OpenLink, Service } from "./connection.ts"
import { openWireLink } from "./connection-wire.ts"
import type { Operator } from "./fault-device.ts"
import { Measures } from "./measure.ts"
import { type PlayContext, type PlayedDevice, Player } from "./player.ts"
import type { Recording } from "./recording/recording.ts"
import { type ProcessCost, type RunOutcome, detailsMax, judgeRun } from "./run-judge.ts"
import type { RunEnding, Sample } from "./run-report.ts"
import { Sampler } from "./sampler.ts"
import { type Network, openNetwork } from "./network-proxy.ts"
import { makeRandom } from "./random.ts"
import { type Scenario, type ScenarioGroup, type TamperKind, networkOf, troubleTimes } from "./scenario.ts"
import { type ScenarioClock, VirtualClock, sleep } from "./scenario-clock.ts"
import { Gate } from "./scenario-gate.ts"
import { type ScenarioMember, enlistScenario } from "./scenario-member.ts"
import { StallWatch, stallMsDefault } from "./stall.ts"
import type { ServiceMetrics, ServiceView, StoredDetail, StoredDevice } from "./service-view.ts"
import { type PlannedServiceFault, type ServiceHost, planServiceFaults } from "./service-fault.ts"

/** Makes the devices known to the service. @returns those that it knew already */
export type Enrol = (
  devices: readonly {
    readonly id: string
    readonly publicKey: PublicKey
    readonly privateKey: PrivateKey
  }[],
) => Promise<ReadonlySet<string>>

export interface ScenarioRunOptions {
  readonly scenario: Scenario
  /** By the names of groups. */
  readonly recordings: ReadonlyMap<string, readonly Recording[]>
  readonly service: Service
  /** The log's. */
  readonly origin: string
  /** Who can revoke and suspend devices. */
  readonly operator: Operator
  readonly clock: ScenarioClock
  /** By MQTT where it is left out. */
  readonly openLink?: OpenLink
  readonly enrol: Enrol
  readonly view: ServiceView
  /** Seals a block of what is stored; null: nobody here may. */
  readonly seal: (() => Promise<void>) | null
  /** What is shown about some of the devices by what is sealed: why not, or null. */
  readonly prove?: (id: string) => Promise<string | null>
  /** What speaks against everything that is stored. */
  readonly audit?: () => Promise<readonly string[]>
  /** Changes something of these devices in a copy: why that was not found, or null. */
  readonly tamper?: (kind: TamperKind, devices: readonly string[]) => Promise<string | null>
  readonly host?: ServiceHost | null
  /** Of a virtual run: what has to be done before a moment. */
  readonly onTime?: (atMs: number) => Promise<void>
  readonly rules?: Partial<DeviceRules>
  /** Its user wants it to end: verdicts are waited for a little. */
  readonly signal?: AbortSignal
  /** Its user wants it to end now. */
  readonly hurry?: AbortSignal
  /**
   * The run ends when statements wait, none is answered for so long (wall time) and no device is connected; five times as
   * long where some are. Time for which the scenario itself takes the service or the network away is not counted.
   */
  readonly stallMs?: number
  readonly onSample?: (sample: Sample, progress: RunProgress) => void
  /** For a person: what happens now. */
  readonly say?: (line: string) => void
  /** Of this process so far. */
  readonly cost: () => ProcessCost
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

/** How long verdicts are still waited for when a user has ended the run, wall time. */
const graceMs = 5_000
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
  private strikes = 0
  private howEnded: RunEnding = { kind: "whole" }
  private readonly stall: StallWatch
  /** Faults of the service that are under way. */
  private striking = 0
  private readonly troubles: string[] = []

  constructor(options: ScenarioRunOptions) {
    this.options = options
    this.members = enlistScenario(options.scenario, options.recordings)
    this.sampler = new Sampler(options.clock, this.measures)
    this.stall = new StallWatch(options.stallMs ?? stallMsDefault)
    for (const { signal } of [this.ending, this.ended]) setMaxListeners(0, signal)
  }

  async run(): Promise<RunOutcome> {
    const { clock, view, enrol, cost, scenario, prove, audit, tamper } = this.options
    this.known = await enrol(
      this.members.map(({ id, privateKey }) => ({ id, publicKey: privateKey.publicKey, privateKey })),
    )
    await this.lookBefore()
    this.metricsBefore = await view.metrics()
    const costBefore = cost()
    clock.begin()
    const played = await this.play()
    const wallMs = clock.wallMs()
    // It goes on while the last verdicts are waited for, which is nothing of the scenario's.
    const scenarioMs = Math.min(clock.nowMs(), endOf(scenario) ?? Infinity)
    this.sampler.take()
    const costAfter = cost()
    const isSealed = await this.sealAll()
    return judgeRun({
      scenario,
      view,
      prove,
      audit,
      tamper,
      measures: this.measures,
      samples: this.sampler.samples,
      played,
      known: this.known,
      before: this.before,
      detailsBefore: this.detailsBefore,
      metricsBefore: this.isKilled ? null : this.metricsBefore,
      ending: this.howEnded,
      isSealed,
      troubles: this.troubles,
      strikes: this.strikes,
      wallMs,
      scenarioMs,
      costBefore,
      costAfter,
      memoryBytesMax: this.memoryBytesMax,
    })
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
    const network = await this.openNetwork()
    const gates = new Map(scenario.groups.map((group) => [group.name, this.makeGate()]))
    const players = this.members.map(
      (member) => new Player(member, this.contextOf(gates.get(member.group.name)!, network)),
    )
    const stop = (): void => {
      this.endAs({ kind: "stopped" })
      void sleep(graceMs).then(() => this.ended.abort())
    }
    const hurry = (): void => this.ended.abort()
    signal?.addEventListener("abort", stop, { once: true })
    this.options.hurry?.addEventListener("abort", hurry, { once: true })
    if (signal?.aborted === true) stop()
    const troubles = [
      ...scenario.groups.map((group) => this.trouble(group, gates.get(group.name)!)),
      ...scenario.sealsAtMs.map((atMs) => this.sealAt(atMs)),
      this.strikeAll(),
    ]
    const sampling = setInterval(() => {
      this.look(players)
      this.watchStall(players, [...gates.values()])
    }, 100)
    const all = Promise.all(players.map((player) => player.play())).finally(() => this.ending.abort())
    try {
      await (clock instanceof VirtualClock
        ? clock.drive(all, this.options.onTime ?? (() => Promise.resolve()))
        : all)
      await Promise.all(troubles)
    } finally {
      clearInterval(sampling)
      signal?.removeEventListener("abort", stop)
      this.options.hurry?.removeEventListener("abort", hurry)
      await network?.close()
    }
    return players.map((player) => player.report())
  }

  /** The first reason is the one that counts. */
  private endAs(ending: RunEnding): void {
    if (this.howEnded.kind === "whole") this.howEnded = ending
    this.ending.abort()
  }

  private watchStall(players: readonly Player[], gates: readonly Gate[]): void {
    if (this.options.clock instanceof VirtualClock || this.ending.signal.aborted) return
    const { measures, sampler } = this
    const why = this.stall.look({
      nowMs: performance.now(),
      answered: measures.count("acknowledged") + measures.count("refused") + measures.count("readings"),
      waiting: players.reduce((sum, { waitingCount }) => sum + waitingCount, 0),
      connected: sampler.connected,
      isPlanned: this.striking > 0 || gates.some(({ isClosed }) => isClosed),
    })
    if (why === null) return
    this.options.say?.(`the run is ended: ${why}`)
    this.endAs({ kind: "stalled", why })
    this.ended.abort()
  }

  /** What stands between the devices and the service; null: nothing. */
  private async openNetwork(): Promise<Network | null> {
    const { clock, scenario, service } = this.options
    if (scenario.network.length === 0) return null
    const { hostname, port } = new URL(service.url)
    return openNetwork({
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: Number(port),
      rules: networkOf(scenario),
      random: makeRandom(scenario.seed).fork("network"),
      now: () => clock.wallMs(),
    })
  }

  private makeGate(): Gate {
    return new Gate(this.options.openLink ?? openWireLink, {
      connected: () => (this.sampler.connected += 1),
      disconnected: () => (this.sampler.connected -= 1),
    })
  }

  private contextOf(gate: Gate, network: Network | null): PlayContext {
    const { clock, scenario, rules } = this.options
    const service = network === null ? this.options.service : throughNetwork(this.options.service, network)
    return {
      clock,
      startsAt: scenario.startsAt,
      isVirtual: clock instanceof VirtualClock,
      service,
      origin: this.options.origin,
      operator: this.options.operator,
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

  private async sealAt(atMs: number): Promise<void> {
    const { clock, seal } = this.options
    await clock.sleepUntil(atMs, this.ending.signal)
    if (this.ending.signal.aborted || seal === null) return
    await this.during(seal()).catch((error: unknown) => {
      this.troubles.push(`a seal failed: ${(error as Error).message}`)
    })
  }

  /** One after the other: a service that is down cannot be killed again. */
  private async strikeAll(): Promise<void> {
    const { clock, scenario, host } = this.options
    const random = makeRandom(scenario.seed).fork("service")
    for (const planned of planServiceFaults(random, scenario.serviceFaults)) {
      await clock.sleepUntil(planned.atMs, this.ending.signal)
      if (this.ending.signal.aborted || host == null) return
      await this.strike(planned, host).catch((error: unknown) => {
        this.troubles.push(`${planned.fault.kind}: ${(error as Error).message}`)
      })
    }
  }

  private async strike({ fault }: PlannedServiceFault, host: ServiceHost): Promise<void> {
    const isService = fault.kind === "kill-service"
    this.options.say?.(isService ? "the service is killed" : "the database is stopped")
    this.strikes += 1
    this.striking += 1
    // Counters of a process begin at 0.
    this.isKilled ||= isService
    try {
      await (isService ? host.killService() : host.stopDatabase())
      await sleep(fault.downMs)
      await (isService ? host.startService() : host.startDatabase())
    } finally {
      this.striking -= 1
    }
    this.options.say?.(isService ? "the service is back" : "the database is back")
  }

  private during<T>(work: Promise<T>): Promise<T> {
    const { clock } = this.options
    return clock instanceof VirtualClock ? clock.during(work) : work
  }

  private look(players: readonly Player[]): void {
    const { clock, onSample, cost, scenario } = this.options
    this.memoryBytesMax = Math.max(this.memoryBytesMax, cost().memoryBytes)
    if (!this.sampler.isDue) return
    this.measures.raise(
      "faults",
      players.reduce((sum, { faultCount }) => sum + faultCount, this.strikes),
    )
    const planned = this.members.map(({ statements }) => statements)
    const sample = this.sampler.take()
    onSample?.(sample, {
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
    if (seal === null || this.howEnded.kind !== "whole") return false
    try {
      await seal()
      return true
    } catch (error) {
      this.troubles.push(`the last seal failed: ${(error as Error).message}`)
      return false
    }
  }
}

/** The same service by way of the network. A silent connection is only found by its silence, so it is asked more often. */
function throughNetwork(service: Service, { port }: Network): Service {
  const url = new URL(service.url)
  const { hostname } = url
  url.hostname = "127.0.0.1"
  url.port = String(port)
  return { ...service, url: url.href.replace(/\/$/, ""), servername: hostname, keepaliveSeconds: 3 }
}

function endOf({ groups }: Scenario): number | null {
  const ends = groups.map(({ stages }) => stages.reduce((sum, { durationMs }) => sum + durationMs, 0))
  return Math.max(...ends) || null
}
