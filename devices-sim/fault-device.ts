/**
 * A device to which things happen: an honest `Device` on connections where faults wait for their places, with a power
 * supply that fails, a clock and an encoder that are wrong for a while, and an operator who may stop it.
 */
import { encodePack } from "../chain/senml.ts"
import type { Series } from "../chain/series.ts"
import { type Content, type Statement, contentSenml } from "../chain/statement.ts"
import { type Verdict, isRefusal } from "../chain/verdict.ts"
import { equalBytes } from "../chain/bytes.ts"
import {
  type Algorithm,
  algorithmEd25519,
  algorithmEsp256,
  equalKeys,
  kidOf,
  makePrivateKey,
} from "../chain/key.ts"
import { isAhead, readPayload } from "../chain/payload.ts"
import { openLink } from "./connection-mqtt.ts"
import {
  type Alarm,
  Device,
  type DeviceCounters,
  type DeviceOptions,
  type OpaqueContent,
  type Outbox,
  type Signer,
  type Timer,
  makeSigner,
  signNatively,
  makeMemoryKeyStore,
  makeMemoryOutbox,
} from "./connection.ts"
import { deviceRulesDefault } from "./device-state.ts"
import { type Account, Accounts } from "./fault-account.ts"
import { type Act, Acts } from "./fault-act.ts"
import { shiftSeries, spoilPack } from "./fault-content.ts"
import type { FaultFinding, PlannedFault } from "./fault.ts"
import type { Forger } from "./fault-forgery.ts"
import { openSabotaged } from "./fault-link.ts"
import { Saboteur } from "./fault-saboteur.ts"
import type { Random } from "./random.ts"

/** What an operator can do to a device; each resolves when it is committed. */
export interface Operator {
  revoke(device: string): Promise<void>
  suspend(device: string): Promise<void>
  resume(device: string): Promise<void>
}

export interface FaultyDeviceOptions extends Omit<DeviceOptions, "outbox" | "random"> {
  readonly faults: readonly PlannedFault[]
  /** A stream of the device's own: delays, and what is drawn for each fault. */
  readonly random: Random
  /** A key that no device has. */
  readonly stranger?: Signer
  /** The id of another device. */
  readonly neighbour?: string
  /** The device's next keys, for as many rotations as are planned; drawn by default, of the other algorithm in turn. */
  readonly nextSigners?: readonly Signer[]
  /** Needed where it is planned that one revokes or suspends the device. */
  readonly operator?: Operator
  /** How long the device waits for the answer to a statement that a fault kept from leaving; 10 s by default. */
  readonly giveUpMs?: number
  /** What survives a loss of power; `isLost`: a new one, since the one before is gone. In memory by default. */
  readonly openOutbox?: (isLost: boolean) => Outbox
}

/** An answer that none of the planned faults explains. */
export interface Surprise {
  readonly place: number | null
  readonly seq: number | null
  readonly verdict: Verdict
}

export class FaultyDevice {
  readonly id: string
  /** Statements of the device's own that were refused although nothing was done to them: an honest device accused. */
  readonly surprises: Surprise[] = []
  private readonly options: FaultyDeviceOptions
  private readonly acts: Acts
  private readonly saboteur: Saboteur
  private readonly accounts = new Accounts()
  private readonly keyStore: NonNullable<DeviceOptions["keyStore"]>
  private readonly signers: Signer[]
  private readonly openOutbox: (isLost: boolean) => Outbox
  private readonly timer: Timer
  private readonly clock: () => number
  private device: Device
  private readonly past: DeviceCounters[] = []
  private readonly contentActs = new Map<number, Act>()
  private place = 0
  private rotations = 0
  /** Resolves when no rotation is under way: a device makes one at a time. */
  private rotated: Promise<void> = Promise.resolve()
  /** Set while an operator holds it, or is about to. */
  private isSuspended = false
  /** What it was told then may be heard when it is let go already. */
  private wasSuspended = false
  private isResuming = false
  private operated: Promise<unknown> = Promise.resolve()
  private readonly isRevocable: boolean
  private readonly stranger: Signer
  private readonly neighbour: string
  /** Rotations of which nobody has told how they ended. */
  private readonly undecided: (() => Promise<void>)[] = []
  private isStopped = false
  /** Resolves when there is a device again. */
  private ready: Promise<void> = Promise.resolve()
  private cancelResume: (() => void) | null = null

  constructor(options: FaultyDeviceOptions) {
    this.options = options
    this.id = options.id
    this.acts = new Acts(options.faults)
    this.keyStore = options.keyStore ?? makeMemoryKeyStore()
    const random = options.random.fork("faults")
    this.stranger = options.stranger ?? drawSigner(random.fork("stranger"), algorithmEd25519)
    this.neighbour = options.neighbour ?? "neighbour"
    const rotations = options.faults.filter(({ fault }) => fault.kind === "rotate").length
    this.signers = [options.signer]
    for (let n = 0; n < rotations; n++) {
      // To the other algorithm and back.
      const { algorithm: before } = this.signers[n]!.publicKey
      const algorithm = before === algorithmEd25519 ? algorithmEsp256 : algorithmEd25519
      this.signers.push(options.nextSigners?.[n] ?? drawSigner(random.fork(`key ${n}`), algorithm))
    }
    this.isRevocable = options.faults.some(({ fault }) => fault.kind === "revoke")
    this.timer = options.timer ?? setTimer
    this.clock = options.clock ?? Date.now
    let memory = makeMemoryOutbox()
    this.openOutbox = options.openOutbox ?? ((isLost) => (isLost ? (memory = makeMemoryOutbox()) : memory))
    this.saboteur = new Saboteur({
      deviceId: options.id,
      acts: this.acts,
      openLink: options.openLink ?? openLink,
      random,
      placeOf: (number) => this.accounts.accountOf(number)?.place ?? null,
      forgerOf: (own) => this.forgerOf(own),
      kids: () => this.signers.slice(0, this.rotations + 1).map(({ publicKey }) => kidOf(publicKey)),
      giveUpMs: options.giveUpMs ?? 10_000,
      nowSeconds: () => Math.floor(this.clock() / 1000),
      timer: this.timer,
      upheaval: (act) => this.turnOver(act),
      answered: (number, verdict) => this.takeAnswer(number, verdict),
    })
    this.device = this.build(false)
  }

  /** Summed over all that the device was between its losses of power; what a fault kept from leaving was not sent. */
  get counters(): DeviceCounters {
    const { sent } = this.saboteur
    const sum: DeviceCounters = { made: 0, sent, acknowledged: 0, stored: 0, receipts: {}, reconnects: 0 }
    for (const counters of [...this.past, this.device.counters]) {
      for (const field of ["made", "acknowledged", "stored", "reconnects"] as const)
        sum[field] += counters[field]
      for (const [verdict, count] of Object.entries(counters.receipts) as [Verdict, number][])
        sum.receipts[verdict] = (sum.receipts[verdict] ?? 0) + count
    }
    return sum
  }

  get waiting(): number {
    return this.device.waiting
  }

  get head(): Device["head"] {
    return this.device.head
  }

  get isHalted(): boolean {
    return this.device.isHalted
  }

  /** What came of each fault so far. */
  get findings(): FaultFinding[] {
    return this.acts.findings(this.id)
  }

  start(): Promise<void> {
    return this.device.start()
  }

  /**
   * Says what is the next place's, as `Device.publish` does, with what is wrong at this place.
   *
   * @returns its account when it is settled
   */
  publish(
    said: readonly Series[] | OpaqueContent,
    at: { readonly iat?: number; readonly subject?: string } = {},
  ): Promise<Account> {
    this.place += 1
    const { place } = this
    const { content, payload, iat, verdicts } = this.spoil(
      place,
      said,
      at.iat ?? Math.floor(this.clock() / 1000),
    )
    return new Promise((resolve, reject) => {
      this.accounts.open({ place, payload, content, expected: verdicts }, resolve)
      this.do(() => {
        if (this.isStopped) {
          this.accounts.close()
          return
        }
        this.device
          .publish({ content, payload }, { ...at, iat })
          .then((delivery) => this.accounts.tell(payload, delivery), reject)
      })
    })
  }

  /** Until every fault that has begun has its answer, but no longer than this: one may come behind the last statement. */
  async settle(msMax: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.timer(msMax, resolve)
      void this.acts.settle().then(() => {
        cancel()
        return resolve()
      })
    })
  }

  /** Ends as `Device.stop` does; what is not settled is `kept`. */
  async stop(): Promise<void> {
    this.isStopped = true
    this.cancelResume?.()
    await this.ready
    await this.device.stop()
    this.accounts.close()
    for (const decide of this.undecided.splice(0)) await decide()
    // Nobody else lets it go.
    this.resume()
    await this.operated
  }

  /** One after the other, so that what is said while a device starts again is said behind that. */
  private do(work: () => Promise<void> | void): void {
    const before = this.ready
    this.ready = (async () => {
      await before
      try {
        await work()
      } catch (error) {
        this.options.listener?.failed?.(error)
      }
    })()
  }

  private build(isLost: boolean): Device {
    const { options, saboteur } = this
    return new Device({
      ...options,
      log: null,
      outbox: this.accounts.watch(this.openOutbox(isLost)),
      keyStore: this.keyStore,
      random: () => options.random.float(),
      openLink: openSabotaged(saboteur),
      listener: { ...options.listener, alarm: (alarm) => this.takeAlarm(alarm) },
    })
  }

  /** What a device's clock and encoder get wrong stands in the statement, and so comes before everything else. */
  private spoil(place: number, said: readonly Series[] | OpaqueContent, iat: number): Said {
    const act = this.acts.all.find(({ planned }) => isWrongAt(planned, place))
    const right: Said = {
      ...("content" in said
        ? { content: said.content, payload: Uint8Array.from(said.payload) }
        : { content: contentSenml, payload: encodePack(said) }),
      iat,
      verdicts: ["accepted"],
    }
    if (act === undefined || "content" in said) return right
    const { fault } = act.planned
    if (fault.kind !== "clock") {
      this.acts.begin(act, `no encoder makes the payload of statement ${place}`)
      this.contentActs.set(place, act)
      const payload = spoilPack(said, this.saboteur.randomOf(act))
      return { ...right, payload, verdicts: ["accepted-unread"] }
    }
    const payload = encodePack(shiftSeries(said, fault.offsetSeconds))
    const wrong: Pick<Said, "content" | "payload" | "iat"> = {
      content: contentSenml,
      payload,
      iat: Math.max(0, iat + fault.offsetSeconds),
    }
    const isNowAhead = isAhead(wrong.iat, readPayload(wrong), this.clock())
    if (act.planned.place === place) {
      act.expected = { ...act.expected, verdicts: [isNowAhead ? "accepted-ahead" : "accepted"] }
      this.acts.begin(act, `the clock was ${fault.offsetSeconds} s off from statement ${place} on`)
      this.contentActs.set(place, act)
    }
    // What was ahead when it was said may be of the past when it arrives.
    return { ...wrong, verdicts: isNowAhead ? ["accepted-ahead", "accepted"] : ["accepted"] }
  }

  private forgerOf(own: Statement): Forger {
    const signer = this.signers.find(({ publicKey }) => equalBytes(kidOf(publicKey), own.kid))
    return { signer: signer ?? this.options.signer, stranger: this.stranger, neighbour: this.neighbour }
  }

  /** Happens while a statement is in flight, in the middle of what the device does. */
  private turnOver(act: Act): void {
    const { fault } = act.planned
    switch (fault.kind) {
      case "lost-memory":
      case "lost-outbox":
        this.losePower(act, fault.kind === "lost-outbox")
        return
      case "rotate":
        this.rotate(act)
        return
      case "revoke":
        this.operate(async (operator) => {
          await operator.revoke(this.id)
          if (act.state === "under-way") this.saboteur.current?.cut()
        })
        return
      default:
        // Once is enough: this one waits until the device was let go.
        if (this.isSuspended) {
          this.acts.interrupt(act)
          return
        }
        this.isSuspended = true
        this.wasSuspended = true
        this.operate(async (operator) => {
          await operator.suspend(this.id)
          // Whatever was in flight may have been judged before: it is told when it comes again.
          if (act.state === "under-way") this.saboteur.current?.cut()
        })
    }
  }

  private losePower(act: Act, isOutboxLost: boolean): void {
    this.saboteur.current?.losePower()
    const dead = this.device
    this.do(async () => {
      await dead.stop()
      if (isOutboxLost) this.accounts.loseOutbox()
      this.past.push(dead.counters)
      this.device = this.build(isOutboxLost)
      this.acts.finish(act, null)
      if (this.isStopped) return
      // FORMAT §5: it connects at most once a second, however often it is switched on.
      const { reconnectMsMin } = { ...deviceRulesDefault, ...this.options.rules }
      await new Promise<void>((resolve) => {
        this.timer(reconnectMsMin, resolve)
      })
      if (!this.isStopped) await this.device.start()
    })
  }

  private rotate(act: Act): void {
    this.rotated = this.awaitRotation(act)
  }

  private async awaitRotation(act: Act): Promise<void> {
    await this.rotated
    const index = this.rotations + 1
    const finish = (isGranted: boolean): void =>
      this.acts.finish(act, isGranted ? "accepted" : "accepted-unread")
    try {
      this.rotations = index
      const result = await this.device.rotate(this.signers[index]!)
      if (result === "rotated" || result === "refused") finish(result === "rotated")
      // The answer was lost, by another fault or by the network: the next statements tell which key stands.
      else
        this.undecided.push(async () => {
          // Where it is not, the request was refused, which is an alarm, or lost, of which nobody tells.
          if (await this.hasReached(index)) finish(true)
          else this.acts.interrupt(act)
        })
    } catch {
      // It is not known yet how the one before has ended: at the next statement again.
      this.rotations = index - 1
      this.acts.interrupt(act)
    }
  }

  /** Whether the device has come as far as this key: it may have gone on to the next one since. */
  private async hasReached(index: number): Promise<boolean> {
    const keys = await this.keyStore.load()
    if (keys === null) return false
    const { publicKey } = keys.current
    return this.signers.findIndex((one) => equalKeys(one.publicKey, publicKey)) >= index
  }

  /** What an operator does, one after the other. */
  private operate(run: (operator: Operator) => Promise<void>): void {
    const { operator, listener } = this.options
    if (operator === undefined) throw new Error(`device ${this.id}: nobody is there to revoke or suspend it`)
    const before = this.operated
    this.operated = (async () => {
      await before
      await run(operator)
    })().catch((error: unknown) => listener?.failed?.(error))
  }

  private takeAnswer(number: number, verdict: Verdict): void {
    const account = this.accounts.accountOf(number)
    if (account === null) {
      if (isRefusal(verdict)) this.surprises.push({ place: null, seq: null, verdict })
      return
    }
    account.verdict = verdict
    const act = this.contentActs.get(account.place)
    if (act !== undefined) this.acts.finish(act, verdict)
    if (!account.expected.includes(verdict) && !this.isStoppedByOperator(verdict) && !this.isAside(verdict))
      this.surprises.push({ place: account.place, seq: account.seq, verdict })
  }

  private isAside(verdict: Verdict): boolean {
    return this.acts.all.some(({ tries, expected }) => tries > 0 && expected.asides.includes(verdict))
  }

  private isStoppedByOperator(verdict: Verdict): boolean {
    return verdict === "suspended" ? this.wasSuspended : verdict === "revoked" && this.isRevocable
  }

  /** What a fault had to bring is no alarm. */
  private takeAlarm(alarm: Alarm): void {
    // With its power a device may have lost its request before anybody had it.
    if (alarm.kind === "rotation-refused" && this.past.length > 0) return
    if (alarm.kind !== "waiting" || !this.isStoppedByOperator(alarm.verdict)) {
      this.options.listener?.alarm?.(alarm)
      return
    }
    if (alarm.verdict === "revoked") {
      this.isStopped = true
      this.do(async () => {
        await this.device.stop()
        this.accounts.close()
      })
      return
    }
    const suspension = this.acts.all.find(
      ({ planned: { fault }, state }) => fault.kind === "suspend" && state === "done",
    )
    const fault = suspension?.planned.fault
    if (this.cancelResume !== null || fault?.kind !== "suspend") return
    this.cancelResume = this.timer(fault.forMs, () => this.resume())
  }

  private resume(): void {
    this.cancelResume = null
    // Who is revoked meanwhile stays so.
    const isRevoked = this.acts.all.some(
      ({ planned: { fault }, tries }) => fault.kind === "revoke" && tries > 0,
    )
    if (!this.isSuspended || this.isResuming || isRevoked) return
    this.isResuming = true
    this.operate(async (operator) => {
      await operator.resume(this.id)
      // Not before: until then the device may be told that it is suspended.
      this.isSuspended = false
      this.isResuming = false
    })
  }
}

interface Said {
  readonly content: Content
  readonly payload: Uint8Array
  readonly iat: number
  /** One of these must answer it. */
  readonly verdicts: readonly Verdict[]
}

/** Whether a fault of the clock or the encoder is at this place. */
function isWrongAt({ fault, place: first }: PlannedFault, place: number): boolean {
  if (fault.kind === "clock") return place >= first && place < first + fault.statements
  return fault.kind === "unreadable" && place === first
}

const setTimer: Timer = (delayMs, run) => {
  const timer = setTimeout(run, delayMs)
  return () => clearTimeout(timer)
}

function drawSigner(random: Random, algorithm: Algorithm): Signer {
  for (;;) {
    try {
      return makeSigner(makePrivateKey(algorithm, random.bytes(32)), signNatively)
    } catch (error) {
      // One draw in 2^32 is 0 or at least n of P-256.
      if (!(error instanceof RangeError)) throw error
    }
  }
}
