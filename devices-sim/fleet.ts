/** The fleet that `tidemark simulate` runs: devices from a seed or from recordings, against a service over MQTT. */
import { algorithmEd25519, type PrivateKey, type PublicKey } from "../chain/key.ts"
import { verdictCodes } from "../chain/verdict.ts"
import {
  type Alarm,
  type Delivery,
  Device,
  type DeviceRules,
  type Service,
  makeSigner,
  signNatively,
} from "./connection.ts"
import { openWireLink } from "./connection-wire.ts"
import { type FleetMember, type FleetPack, type FleetPlan, enlist } from "./fleet-member.ts"
import {
  type FleetCounts,
  type FleetReport,
  type MemberReport,
  countRefused,
  rankAckTimes,
  sumUp,
  zeroCounts,
} from "./fleet-report.ts"

export type { AckTimes, FleetCounts, FleetReport, MemberReport } from "./fleet-report.ts"
export type { FleetPlan } from "./fleet-member.ts"

export interface FleetOptions extends FleetPlan {
  /** Where the service is and how to log in there: `mqtt://127.0.0.1:1883`. */
  readonly service: Service
  /** Between two statements of a device; 0: as fast as they are acknowledged. */
  readonly intervalMs: number
  /** Makes the devices known to the service, all at once; those that it knows already by this key, it leaves alone. */
  readonly enrol: (
    devices: readonly {
      readonly id: string
      readonly publicKey: PublicKey
      readonly privateKey: PrivateKey
    }[],
  ) => Promise<void>
  /** How many statements are stored of each of these devices, by the database's own count; asked before and after. */
  readonly countStored?: (ids: readonly string[]) => Promise<ReadonlyMap<string, number>>
  /** At most ten times a second, and at the end. */
  readonly onProgress?: (progress: FleetProgress) => void
  /** A device lost its connection, or got none: why, as far as it is known. */
  readonly onDisconnected?: (deviceId: string, reason: string | null) => void
  /** Ends the run: what has no verdict then is `unanswered`. */
  readonly signal?: AbortSignal
  readonly rules?: Partial<DeviceRules>
  /** A clock that only goes forward, in ms. */
  readonly clock?: () => number
}

export interface FleetProgress {
  readonly answered: number
  readonly total: number
  readonly perSecond: number
}

/** Statements of one device that may wait for their verdicts before it makes more. */
const waitingMax = 200
const progressMsMin = 100

/**
 * Runs a fleet until every statement has its verdict. A service that goes away is waited for; a device that is not let in
 * (12, 13, 14, 40), or that raises any other alarm, stops, and is named in the report.
 *
 * Rejects where `enrol` or `countStored` does.
 */
export async function runFleet(options: FleetOptions): Promise<FleetReport> {
  const clock = options.clock ?? (() => performance.now())
  const members = enlist(options)
  const ids = members.map(({ id }) => id)
  await options.enrol(
    members.map(({ id, privateKey }) => ({ id, publicKey: privateKey.publicKey, privateKey })),
  )
  const before = (await options.countStored?.(ids)) ?? null
  const progress = new Progress(options, members, clock)
  const startedAtMs = clock()
  const runs = members.map((member) => new MemberRun(member, options, clock, () => progress.answer()))
  await Promise.all(runs.map((run) => run.toEnd()))
  const wallMs = clock() - startedAtMs
  progress.finish()
  const after = (await options.countStored?.(ids)) ?? null
  const reports = runs.map((run) => {
    const { id } = run.member
    return run.report(after === null ? null : (after.get(id) ?? 0) - (before?.get(id) ?? 0))
  })
  const ackMs = runs.flatMap((run) => run.ackMs)
  return sumUp(options.seed, reports, ackMs, wallMs)
}

class Progress {
  private readonly options: FleetOptions
  private readonly clock: () => number
  private readonly total: number
  private readonly startedAtMs: number
  private saidAtMs: number
  private answered = 0

  constructor(options: FleetOptions, members: readonly FleetMember[], clock: () => number) {
    this.options = options
    this.clock = clock
    this.total = members.reduce((sum, { statementCount }) => sum + statementCount, 0)
    this.startedAtMs = clock()
    this.saidAtMs = this.startedAtMs
  }

  answer(): void {
    this.answered += 1
    if (this.clock() - this.saidAtMs >= progressMsMin) this.finish()
  }

  finish(): void {
    this.saidAtMs = this.clock()
    const seconds = Math.max(1, this.saidAtMs - this.startedAtMs) / 1000
    const { answered, total } = this
    this.options.onProgress?.({ answered, total, perSecond: answered / seconds })
  }
}

/** One device's way through a run. */
class MemberRun {
  readonly member: FleetMember
  readonly ackMs: number[] = []
  private readonly options: FleetOptions
  private readonly clock: () => number
  private readonly onAnswer: () => void
  private readonly device: Device
  private readonly counts: FleetCounts = zeroCounts()
  private readonly alarms: string[] = []
  private headBefore: number | null = null
  private headAfter: number | null = null
  private wallMs = 0
  private waiting = 0
  /** Set when the device stops before its end: wakes what waits. */
  private readonly ended = new AbortController()
  private wake: () => void = () => {}

  constructor(member: FleetMember, options: FleetOptions, clock: () => number, onAnswer: () => void) {
    this.member = member
    this.options = options
    this.clock = clock
    this.onAnswer = onAnswer
    const { service, rules } = options
    this.device = new Device({
      id: member.id,
      signer: makeSigner(member.privateKey, signNatively),
      service,
      random: () => member.random.float(),
      openLink: openWireLink,
      ...(rules === undefined ? {} : { rules }),
      log: null,
      listener: {
        alarm: (alarm) => this.end(formatAlarm(alarm)),
        acknowledged: (ackMs) => this.ackMs.push(ackMs),
        disconnected: (reason) => options.onDisconnected?.(member.id, reason),
        receipt: ({ code, head }) => {
          // 13 has no head: this device, or this key, is not known.
          if (code === verdictCodes["unknown-key"]) return
          this.headBefore ??= head.seq
          this.headAfter = head.seq
        },
      },
    })
  }

  async toEnd(): Promise<void> {
    const { signal } = this.options
    const abort = (): void => this.end("the run was ended")
    const startedAtMs = this.clock()
    await this.device.start()
    signal?.addEventListener("abort", abort)
    if (signal?.aborted === true) abort()
    for (const pack of this.member.packs()) {
      if (this.ended.signal.aborted) break
      void this.say(pack)
      await this.pause()
    }
    while (this.waiting > 0 && !this.ended.signal.aborted) await this.change()
    signal?.removeEventListener("abort", abort)
    // Whatever still waits resolves as kept.
    await this.device.stop()
    while (this.waiting > 0) await this.change()
    this.wallMs = this.clock() - startedAtMs
  }

  report(storedInDatabase: number | null): MemberReport {
    const { counters } = this.device
    const counts: FleetCounts = {
      ...this.counts,
      sent: counters.sent,
      acknowledged: counters.acknowledged,
      receipts: counters.receipts,
      reconnects: counters.reconnects,
    }
    const { headBefore, headAfter, wallMs, ackMs } = this
    const { id, privateKey } = this.member
    return {
      ...counts,
      id,
      key: privateKey.publicKey.algorithm === algorithmEd25519 ? "Ed25519" : "P-256",
      headBefore,
      headAfter,
      wallMs,
      ackMs: rankAckTimes(ackMs),
      faults: [...this.alarms, ...this.findFaults(counts, counters.stored, storedInDatabase)],
    }
  }

  /** @param storedCount with the device's own `lost` statements, which nobody made but which are in the chain */
  private findFaults(counts: FleetCounts, storedCount: number, storedInDatabase: number | null): string[] {
    const faults: string[] = []
    const { made, stored, unanswered } = counts
    const refusedCount = countRefused(counts)
    const planned = this.member.statementCount
    if (made !== planned) faults.push(`made ${made} of ${planned} statements`)
    if (unanswered > 0) faults.push(`${unanswered} of ${made} statements have no verdict`)
    if (made !== stored + refusedCount + unanswered) {
      faults.push(`made ${made}, but stored ${stored}, refused ${refusedCount} and unanswered ${unanswered}`)
    }
    const grown = (this.headAfter ?? 0) - (this.headBefore ?? 0)
    if (grown !== storedCount) faults.push(`its chain grew by ${grown}, but ${storedCount} were acknowledged`)
    if (storedInDatabase !== null && storedInDatabase !== storedCount) {
      faults.push(
        `the database has ${storedInDatabase} more than before, but ${storedCount} were acknowledged`,
      )
    }
    return faults
  }

  private async say({ series, readings, iat }: FleetPack): Promise<void> {
    this.counts.made += 1
    this.waiting += 1
    try {
      this.count(await this.device.publish(series, { iat }), readings)
    } catch (error) {
      this.counts.unanswered += 1
      this.end(error instanceof Error ? error.message : String(error))
    }
    this.waiting -= 1
    this.onAnswer()
    this.wake()
  }

  private count(delivery: Delivery, readings: number): void {
    const { counts } = this
    if (delivery.kind === "stored") {
      counts.stored += 1
      counts.readings += readings
    } else if (delivery.kind === "refused") {
      counts.refused[delivery.verdict] = (counts.refused[delivery.verdict] ?? 0) + 1
    } else counts.unanswered += 1
  }

  /** Until the next statement may be made. */
  private async pause(): Promise<void> {
    const { intervalMs } = this.options
    if (intervalMs > 0) await sleep(intervalMs, this.ended.signal)
    // Making and signing take about a millisecond: sockets and the other devices get their turn in between.
    else await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.waiting >= waitingMax && !this.ended.signal.aborted) await this.change()
  }

  /** The next verdict, or the end. */
  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
    })
  }

  private end(why: string): void {
    this.alarms.push(why)
    this.ended.abort()
    this.wake()
  }
}

function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, delayMs)
    signal.addEventListener("abort", done)
  })
}

function formatAlarm(alarm: Alarm): string {
  switch (alarm.kind) {
    case "fork":
      return `seq ${alarm.seq} is a fork: its key has signed another statement for this place`
    case "service-lost-statements":
      return `the service acknowledged seq ${alarm.acceptedSeq}, and now its head is ${alarm.headSeq}`
    case "another-signer":
      return `another statement stands at seq ${alarm.seq}: somebody else signs with this key`
    case "another-log":
      return `the service answers for another log: its head ${alarm.headSeq} is not of this device's chain`
    case "log-changed":
      return `begins a chain in another log: ${alarm.waiting} waiting statements are made again for it`
    case "waiting":
      return `not let in: ${alarm.verdict}`
    case "rotation-refused":
      return "its next key was not granted: the old one goes on"
    default:
      return `${alarm.seq === null ? "a statement" : `seq ${alarm.seq}`} is refused again and again as ${alarm.verdict}`
  }
}
