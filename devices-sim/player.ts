/** One device's way through a scenario: when it is on, what it says, and what it is told. */
import { algorithmEd25519 } from "../chain/key.ts"
import type { Hash } from "../chain/hash.ts"
import { type Verdict, parseVerdictCode } from "../chain/verdict.ts"
import {
  type Alarm,
  Device,
  type DeviceListener,
  type DeviceOptions,
  type DeviceRules,
  type OpenLink,
  type Service,
  makeSigner,
  signNatively,
} from "./connection.ts"
import type { FaultFinding } from "./fault.ts"
import type { FaultyDelivery } from "./fault-account.ts"
import { FaultyDevice, type Operator, type Surprise } from "./fault-device.ts"
import type { FleetPack } from "./fleet-member.ts"
import { Ledger, type SignedPlace } from "./ledger.ts"
import type { Measures } from "./measure.ts"
import { onTimes } from "./scenario.ts"
import type { ScenarioClock } from "./scenario-clock.ts"
import type { ScenarioMember } from "./scenario-member.ts"

export interface PlayContext {
  readonly clock: ScenarioClock
  /** What the devices' clocks say at the beginning, Unix seconds. */
  readonly startsAt: number
  /** Whether the service's clock is the scenario's: then nothing is said before it was measured. */
  readonly isVirtual: boolean
  readonly service: Service
  /** The log's; devices that ask for their next key need it. */
  readonly origin: string
  readonly openLink: OpenLink
  /** Who can revoke and suspend devices. */
  readonly operator: Operator
  readonly rules: Partial<DeviceRules>
  readonly settleMs: number
  readonly measures: Measures
  readonly onAcknowledged: (ackMs: number) => void
  /** Nothing more is said; verdicts are waited for a little. */
  readonly ending: AbortSignal
  /** Nothing is waited for any more. */
  readonly ended: AbortSignal
}

/** What a device did and was told: its own side of the truth. */
export interface PlayedDevice {
  readonly id: string
  readonly group: string
  readonly key: "Ed25519" | "P-256"
  readonly made: number
  readonly sent: number
  readonly acknowledged: number
  /** Answers to statements; those to questions are not counted by the service either. */
  readonly receipts: Partial<Record<Verdict, number>>
  /** Statements that it knows to be stored, of its own making `lost` ones too. */
  readonly known: number
  /** Of those made. */
  readonly stored: number
  readonly refused: Partial<Record<Verdict, number>>
  readonly overflowed: number
  /** Lost with the device's outbox: nobody knows whether they are stored. */
  readonly gone: number
  readonly unanswered: number
  readonly readings: number
  readonly reconnects: number
  /** The highest seq that a PUBACK or a receipt has promised. */
  readonly promisedSeq: number
  readonly alarms: readonly Alarm[]
  /** Of what was planned for it. */
  readonly findings: readonly FaultFinding[]
  /** Answers that nothing which was done to it explains. */
  readonly surprises: readonly Surprise[]
  /** It could not go on: why. */
  readonly failure: string | null
  /** The last place that it knows to be stored; null: none. */
  readonly last: SignedPlace | null
  /** What it signed for a place; null: nothing that it remembers. */
  readonly entryAt: (seq: number) => Hash | null
}

/** Statements of one device that may wait for their verdicts before it makes more, where nothing else sets the pace. */
const waitingMax = 200
/** Of one to which things happen: of what is in flight already, a fault that comes behind another misses its place. */
const waitingMaxFaulty = 2
/** Without a seq these answer a question (FORMAT §5). */
const standings: ReadonlySet<Verdict> = new Set(["unknown-key", "revoked", "suspended"])
/** The answer to a fault may come behind the last statement. */
const faultsMsMax = 3_000

export class Player {
  readonly member: ScenarioMember
  private readonly context: PlayContext
  private readonly ledger = new Ledger()
  private readonly device: Device | FaultyDevice
  private readonly part: string
  private readonly alarms: Alarm[] = []
  private readonly refused: Partial<Record<Verdict, number>> = {}
  private readonly receipts: Partial<Record<Verdict, number>> = {}
  private failure: string | null = null
  private made = 0
  private stored = 0
  private overflowed = 0
  private gone = 0
  private unanswered = 0
  private readings = 0
  private promisedSeq = 0
  private waiting = 0
  private isHalted = false
  private wake: () => void = () => {}

  constructor(member: ScenarioMember, context: PlayContext) {
    this.member = member
    this.context = context
    this.part = `group:${member.group.name}`
    for (const signal of [context.ending, context.ended]) signal.addEventListener("abort", () => this.wake())
    this.device = this.build(member, context)
  }

  /** Resolves when everything is said and has its verdict, or when the run is over. */
  async play(): Promise<void> {
    const { clock, ending } = this.context
    const { group, index } = this.member
    const speech = this.member.speech()
    for (const { fromMs, toMs } of onTimes(group.stages, group.devices, index)) {
      await clock.sleepUntil(fromMs, ending)
      if (ending.aborted || this.isHalted) break
      await this.device.start()
      const isDone = await this.say(speech, fromMs, toMs ?? this.endMs())
      await this.settle()
      if (this.device instanceof FaultyDevice && !this.context.ended.aborted)
        await this.device.settle(Math.min(this.context.settleMs, faultsMsMax))
      await this.device.stop()
      if (isDone) break
    }
    // What still waited resolved as kept.
    while (this.waiting > 0) await this.change()
  }

  report(): PlayedDevice {
    const { counters } = this.device
    const { device, member, made, stored, overflowed, gone, unanswered, readings } = this
    const { promisedSeq, alarms, failure } = this
    const faulty = device instanceof FaultyDevice ? device : null
    return {
      id: member.id,
      group: member.group.name,
      key: member.privateKey.publicKey.algorithm === algorithmEd25519 ? "Ed25519" : "P-256",
      made,
      sent: counters.sent,
      acknowledged: counters.acknowledged,
      receipts: this.receipts,
      // Not by the device's counters: one that loses its power forgets them.
      known: this.ledger.known,
      stored,
      refused: this.refused,
      overflowed,
      gone,
      unanswered,
      readings,
      reconnects: counters.reconnects,
      promisedSeq,
      alarms,
      findings: faulty?.findings ?? [],
      surprises: faulty?.surprises ?? [],
      failure,
      last: this.ledger.last,
      entryAt: (seq) => this.ledger.entryAt(seq),
    }
  }

  /** Statements without a verdict so far. */
  get waitingCount(): number {
    return this.waiting
  }

  /** Faults that have happened so far. */
  get faultCount(): number {
    const { device } = this
    if (!(device instanceof FaultyDevice)) return 0
    return device.findings.filter(({ result }) => result !== "skipped").length
  }

  /** When the last stage ends; without stages a device says what it has to say. */
  private endMs(): number {
    const { stages } = this.member.group
    return stages.length === 0 ? Infinity : stages.reduce((sum, { durationMs }) => sum + durationMs, 0)
  }

  /** @returns whether there is nothing left to say */
  private async say(
    speech: ReturnType<ScenarioMember["speech"]>,
    fromMs: number,
    toMs: number,
  ): Promise<boolean> {
    const { clock, ending, startsAt, isVirtual } = this.context
    const { group, phaseMs, statements } = this.member
    const { everyMs } = group
    for (let turn = 0; ; turn++) {
      if (statements !== null && this.made >= statements) return true
      const dueMs = fromMs + phaseMs + (turn + 1) * everyMs
      if (everyMs > 0 && dueMs > toMs) {
        await clock.sleepUntil(toMs, ending)
        return false
      }
      await clock.sleepUntil(dueMs, ending)
      if (ending.aborted || this.isHalted) return true
      // By when it is due and not by when it is said: a busy machine must not change what a seed says.
      const pack = speech.next(everyMs === 0 ? 0 : startsAt + dueMs / 1000)
      if (pack === null) return true
      if (isVirtual) await clock.sleepUntil((pack.iat - startsAt) * 1000, ending)
      void this.publish(pack)
      await this.pause()
    }
  }

  private async publish({ series, readings, iat }: FleetPack): Promise<void> {
    const { measures } = this.context
    this.made += 1
    this.waiting += 1
    measures.add("made", 1, this.part)
    try {
      const { device } = this
      if (device instanceof FaultyDevice) {
        const { delivery } = await device.publish(series, { iat })
        this.count(delivery ?? { kind: "kept", reason: "the device has stopped", ackMs: null }, readings)
      } else this.count(await device.publish(series, { iat }), readings)
    } catch (error) {
      this.unanswered += 1
      this.fail(error)
    }
    this.waiting -= 1
    this.wake()
  }

  private count(delivery: FaultyDelivery, readings: number): void {
    const { measures } = this.context
    switch (delivery.kind) {
      case "stored":
        this.stored += 1
        this.readings += readings
        measures.add("readings", readings, this.part)
        if (delivery.via !== "head") this.promisedSeq = Math.max(this.promisedSeq, delivery.seq)
        return
      case "refused":
        this.refused[delivery.verdict] = (this.refused[delivery.verdict] ?? 0) + 1
        measures.add("refused", 1, this.part)
        return
      case "overflowed":
        this.overflowed += 1
        return
      case "gone":
        this.gone += 1
        return
      case "kept":
        this.unanswered += 1
        measures.add("unanswered", 1, this.part)
    }
  }

  private build(member: ScenarioMember, context: PlayContext): Device | FaultyDevice {
    const { clock, service, origin, openLink, rules, startsAt, isVirtual, operator } = context
    const options: DeviceOptions = {
      id: member.id,
      signer: makeSigner(member.privateKey, signNatively),
      service,
      origin,
      openLink,
      rules,
      log: null,
      timer: clock.timer,
      // A login's JWT is of the wall's time.
      ...(isVirtual ? { clock: () => startsAt * 1000 + clock.nowMs() } : {}),
      listener: this.listen(context),
    }
    const random = member.random.fork("chance")
    if (member.faults.length === 0)
      return new Device({ ...options, outbox: this.ledger, random: () => random.float() })
    return new FaultyDevice({
      ...options,
      faults: member.faults,
      random,
      neighbour: member.neighbour,
      operator,
      openOutbox: (isLost) => {
        if (isLost) this.ledger.lose()
        return this.ledger
      },
    })
  }

  private listen({ measures, onAcknowledged }: PlayContext): DeviceListener {
    return {
      alarm: (alarm) => this.takeAlarm(alarm),
      acknowledged: (ackMs) => {
        measures.add("acknowledged", 1, this.part)
        measures.time("puback_ms", ackMs, this.part)
        onAcknowledged(ackMs)
      },
      receipt: ({ code, seq }) => {
        const verdict = parseVerdictCode(code)
        if (verdict === null) return
        measures.add("verdicts", 1, `verdict:${verdict}`)
        if (verdict === "head" || (seq === null && standings.has(verdict))) return
        this.receipts[verdict] = (this.receipts[verdict] ?? 0) + 1
      },
      failed: (error) => this.fail(error),
    }
  }

  /** Until the next statement may be made. */
  private async pause(): Promise<void> {
    // Making and signing take about a millisecond: sockets, timers and the other devices get their turn in between, also
    // where all are behind their time. Without it 20 devices with 695 statements each held everything up for 38 s.
    await new Promise<void>((resolve) => setImmediate(resolve))
    const isFaulty = this.member.faults.length > 0
    if (this.member.group.everyMs > 0 && !isFaulty) return
    const most = isFaulty ? waitingMaxFaulty : waitingMax
    while (this.waiting >= most && !this.context.ending.aborted && !this.isHalted) await this.change()
  }

  /** Until everything said has its verdict, for so long as the scenario allows. */
  private async settle(): Promise<void> {
    const { clock, ended, settleMs } = this.context
    const late = new AbortController()
    const cancel = clock.timer(settleMs, () => {
      late.abort()
      this.wake()
    })
    while (this.waiting > 0 && !late.signal.aborted && !ended.aborted && !this.isHalted) await this.change()
    cancel()
  }

  /** The next verdict, or the end. */
  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
    })
  }

  private takeAlarm(alarm: Alarm): void {
    this.alarms.push(alarm)
    // It asks again after minutes: nothing that a run waits for.
    this.isHalted ||= alarm.kind !== "rotation-refused"
    this.wake()
  }

  private fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error.message : String(error)
    this.isHalted = true
    this.wake()
  }
}
