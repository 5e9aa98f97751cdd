/**
 * A device that speaks MQTT: what a gateway in Node imports as `tidemark/device`, and what the simulator runs.
 *
 * ```ts
 * const device = new Device({
 *   id: "k7",
 *   signer: makeSigner(key),
 *   service: { url: "mqtt://127.0.0.1:1883" },
 *   outbox: makeFileOutbox({ path: "k7.outbox", deviceId: "k7" }),
 * })
 * await device.start({ timeoutMs: 10_000 }) // rejects with the reason where there is no connection by then
 * await device.publish([{ kind: "number", name: "heart-rate", unit: "beat/min", times: [1795000000], values: [72] }])
 * ```
 */
import { showControls } from "../chain/visible-text.ts"
import { FormatFault } from "../chain/cbor.ts"
import { genesisOf } from "../chain/genesis.ts"
import { parseVkey } from "../chain/note.ts"
import { type Receipt, decodeReceipt } from "../chain/receipt.ts"
import { type SealedAnswer, decodeSealedAnswer, encodeSealedQuestion } from "../chain/sealed-answer.ts"
import { countPackReadings, encodePack } from "../chain/senml.ts"
import type { Series } from "../chain/series.ts"
import { type Content, contentSenml, devicePattern } from "../chain/statement.ts"
import { type Verdict, isRefusal, parseVerdictCode } from "../chain/verdict.ts"
import { type Link, type LinkFailure, type OpenLink, type Service, openLink } from "./connection-mqtt.ts"
import { type DeviceEvent, stepDevice, wakeDevice } from "./device.ts"
import { type Signer, makeSpeaker } from "./device-sign.ts"
import { type KeyStore, keysOf, makeMemoryKeyStore, wakeKeys } from "./key-store.ts"
import {
  type Alarm,
  type DeviceContext,
  type DeviceRules,
  type DeviceState,
  type Effect,
  type Outcome,
  deviceRulesDefault,
} from "./device-state.ts"
import { type Draft, type Outbox, makeMemoryOutbox } from "./outbox.ts"
import {
  type Trouble,
  explainAlarm,
  explainFailure,
  explainRefusal,
  explainStored,
  nameService,
} from "./trouble.ts"
import { TroubleLog } from "./trouble-log.ts"

export type { Alarm, DeviceRules, Outcome } from "./device-state.ts"
export type { Link, LinkFailure, LinkKey, LinkListener, OpenLink, Service } from "./connection-mqtt.ts"
export type { Outbox } from "./outbox.ts"
export { type Signer, makeSigner, signNatively } from "./device-sign.ts"
export { makeFileOutbox } from "./outbox-file.ts"
export { makeMemoryOutbox } from "./outbox.ts"
export { type DeviceKeys, type KeyStore, makeMemoryKeyStore } from "./key-store.ts"
export { makeFileKeyStore } from "./key-store-file.ts"

export interface DeviceOptions {
  /** The device id of FORMAT §1, also the MQTT client id. */
  readonly id: string
  /** The key with which it was enrolled. Where `keyStore` holds a later one, that one signs. */
  readonly signer: Signer
  /** Without one a rotation does not survive the process. */
  readonly keyStore?: KeyStore
  /**
   * The verifier key of the log that this device belongs to (`origin+hash+key`, the `log` line of `/log/policy`). The
   * device then begins its chain at its genesis there and refuses every other log (FORMAT §4). Without it the device
   * trusts the log that it first meets and remembers it in its outbox. Leave it out for a log of protocol version 1.
   */
  readonly logVkey?: string
  /** The log's, as the device was told where it was enrolled; `rotate` needs it. By default of `logVkey` or `service.jwt`. */
  readonly origin?: string
  /** `jwt` without an origin is for the log of `origin` or `logVkey`. */
  readonly service: Omit<Service, "jwt"> & { readonly jwt?: { readonly origin?: string } }
  /** Without one that survives a loss of power, what was not acknowledged is lost with the process. */
  readonly outbox?: Outbox
  /** What statements are about where `publish` does not say; the device id by default. */
  readonly subject?: string
  readonly rules?: Partial<DeviceRules>
  /**
   * False where an external broker stands between: its PUBACK is its own word, and only a receipt says that a statement
   * is stored (FORMAT §5).
   */
  readonly isPubackTrusted?: boolean
  readonly listener?: DeviceListener
  /**
   * Takes a line whenever the device cannot go on: why, and what would mend it; again at growing intervals while it lasts.
   * Standard error by default; null for silence.
   */
  readonly log?: ((line: string) => void) | null
  /** The device's clock, Unix ms. */
  readonly clock?: () => number
  /** Chance in [0, 1), for the jitter of delays. */
  readonly random?: () => number
  /** Calls back once after a delay, and gives a function that prevents it. */
  readonly timer?: Timer
  /** How a connection is opened; by MQTT where it is left out. A simulator puts a bad network in its place, or none. */
  readonly openLink?: OpenLink
}

export type Timer = (delayMs: number, run: () => void) => () => void

/** What a device tells besides the outcomes of `publish`. None of these may throw. */
export interface DeviceListener {
  /** Something that a person should know. */
  readonly alarm?: (alarm: Alarm) => void
  /** Every receipt, also answers to questions; `now` in it is a clock for devices without one. */
  readonly receipt?: (receipt: Receipt) => void
  /** PUBACK, by how many ms after the publish. */
  readonly acknowledged?: (ackMs: number) => void
  /** A connection is gone; why, as far as it is known. */
  readonly disconnected?: (reason: string | null) => void
  /** The outbox could not be written: this device does nothing more, and `publish` rejects. */
  readonly failed?: (error: unknown) => void
}

export interface DeviceCounters {
  /** Contents that were given to `publish`. */
  made: number
  /** Statements as they went out, each repetition counted. */
  sent: number
  /** PUBACKs. */
  acknowledged: number
  /** Statements that are known to be stored, `lost` statements of the device's own among them. */
  stored: number
  receipts: Partial<Record<Verdict, number>>
  /** Connections that were opened after the first. */
  reconnects: number
}

/**
 * What became of a content. `kept`: the device stopped or halted, or `timeoutMs` was over, before it knew; a durable outbox
 * still has it, and a device that runs goes on delivering it. `reason` says why it is not known.
 */
export type Delivery = (Outcome | { readonly kind: "kept"; readonly reason: string }) & {
  /** From the last publish to its PUBACK; null where there was none. */
  readonly ackMs: number | null
}

export interface OpaqueContent {
  readonly content: Content
  readonly payload: Uint8Array
}

interface Pending {
  readonly resolve: (delivery: Delivery) => void
  readonly reject: (error: unknown) => void
}

interface Awaiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

interface SealedAsked {
  readonly resolve: (answer: SealedAnswer) => void
  readonly reject: (error: unknown) => void
}

interface Queued {
  readonly event: DeviceEvent
  readonly pending?: Pending
}

/**
 * A device that keeps its chain: it connects, asks for its head, signs, stores, publishes and starts over by itself after
 * whatever happens to the network or the service. One object per device, and one process per outbox.
 */
export class Device {
  readonly id: string
  readonly counters: DeviceCounters = {
    made: 0,
    sent: 0,
    acknowledged: 0,
    stored: 0,
    receipts: {},
    reconnects: 0,
  }
  private readonly options: Omit<DeviceOptions, "service"> & { readonly service: Service }
  private context: DeviceContext
  private readonly outbox: Outbox
  private readonly keyStore: KeyStore
  private readonly clock: () => number
  private readonly random: () => number
  private readonly timer: Timer
  private state: DeviceState | null = null
  private failure: { readonly error: unknown } | null = null
  private readonly queue: Queued[] = []
  private pumping: Promise<void> | null = null
  private link: Link | null = null
  private linkCount = 0
  private isRotating = false
  /** Questions for sealed receipts, in the order in which they are answered. */
  private sealedAsked: SealedAsked[] = []
  private cancelTimer: (() => void) | null = null
  private readonly pending = new Map<number, Pending>()
  /** When what is in flight was published. */
  private readonly sentAtMs = new Map<number, number>()
  /** How long the PUBACK of a statement took that is not settled yet. */
  private readonly ackMsByNumber = new Map<number, number>()
  /** Told by their receipts; their PUBACKs are on the way behind. */
  private readonly told = new Map<number, Outcome>()
  /** `start` with a time: until the head is known. */
  private readonly awaiting = new Set<Awaiting>()
  /** Why there is no connection, or nothing is taken; null while all is well. */
  private trouble: Trouble | null = null
  private readonly troubles: TroubleLog
  /** About single statements: nothing ends these. */
  private readonly remarks: TroubleLog
  /** This device ends the connection itself, and has said why where there is a reason. */
  private isEnding = false

  /** Throws a RangeError on an id or a vkey that is none, or a service that cannot be connected to as it is written. */
  constructor(options: DeviceOptions) {
    if (!devicePattern.test(options.id))
      throw new RangeError(`a device id must match ${devicePattern.source}`)
    if (options.logVkey !== undefined && parseVkey(options.logVkey) === null)
      throw new RangeError(
        "logVkey is no C2SP verifier key: it has the form origin+hash+key, as log/policy shows it",
      )
    this.id = options.id
    this.options = { ...options, service: nameLog(options) }
    if (options.openLink === undefined) checkService(options.id, this.options.service)
    const { log = writeToStandardError } = options
    const write = (words: string): void => log?.(`device ${options.id}: ${words}`)
    this.troubles = new TroubleLog(write)
    this.remarks = new TroubleLog(write)
    this.context = {
      speaker: makeSpeaker(options.id, options.signer),
      firstPrev: options.logVkey === undefined ? null : genesisOf(options.logVkey, options.id),
      rules: { ...deviceRulesDefault, ...options.rules },
    }
    this.outbox = options.outbox ?? makeMemoryOutbox()
    this.keyStore = options.keyStore ?? makeMemoryKeyStore()
    this.clock = options.clock ?? Date.now
    this.random = options.random ?? Math.random
    this.timer = options.timer ?? setTimer
  }

  /** How many statements wait in the outbox. */
  get waiting(): number {
    return this.state?.entries.length ?? 0
  }

  /** The last head that is known; null before the first answer. */
  get head(): DeviceState["head"] | null {
    return this.state !== null && this.state.phase === "ready" ? this.state.head : null
  }

  /** True after a fork, until a person has looked and made a new `Device`. */
  get isHalted(): boolean {
    return this.state?.phase === "halted"
  }

  /**
   * Reads the outbox and begins to connect.
   *
   * @param until with `timeoutMs` it resolves when the service has told the head of the chain; without, at once
   * @throws Error where the outbox cannot be read; after `timeoutMs` with the reason why there is no connection (rejects
   *   both). The device goes on trying after that until `stop`
   */
  async start(until: { readonly timeoutMs?: number } = {}): Promise<void> {
    if (this.state === null) {
      const loaded = await this.outbox.load()
      // An outbox that cannot remember a log does not show that it was of another one before.
      const { firstPrev = null } = this.context
      const content = this.outbox.bind === undefined && firstPrev !== null ? { ...loaded, firstPrev } : loaded
      const keys = await this.keyStore.load()
      this.context = { ...this.context, ...wakeKeys(this.id, keys, content.entries) }
      const { rotation = null } = this.context
      // A request that waits is made for the log that the device is configured for now.
      if (rotation !== null)
        this.context = {
          ...this.context,
          rotation: { ...rotation, origin: originOf(this.options) ?? rotation.origin },
        }
      this.state = wakeDevice(content, this.context.firstPrev)
    }
    await this.tell({ kind: "start" })
    if (until.timeoutMs !== undefined) await this.connected(until.timeoutMs)
  }

  private async connected(timeoutMs: number): Promise<void> {
    if (this.failure !== null) throw this.failure.error
    if (this.state?.phase === "ready") return
    await new Promise<void>((resolve, reject) => {
      const awaiting: Awaiting = {
        resolve: () => {
          end()
          resolve()
        },
        reject: (error) => {
          end()
          reject(error)
        },
      }
      const cancel = this.timer(timeoutMs, () =>
        awaiting.reject(
          new Error(`device ${this.id}: not connected after ${timeoutMs / 1000} s: ${this.reason()}`),
        ),
      )
      const end = (): void => {
        cancel()
        this.awaiting.delete(awaiting)
      }
      this.awaiting.add(awaiting)
      this.lookForHead()
    })
  }

  private reason(): string {
    return this.trouble?.words ?? `${nameService(this.options.service)} has not answered yet`
  }

  /**
   * Says something: series become a SenML pack, other content goes as it is. May be called at any time after `start`,
   * also without a connection.
   *
   * @param at iat in Unix seconds (the device's clock by default), what the statement is about, and how long to wait: after
   *   `timeoutMs` it is `kept` with the reason, and is delivered later by itself. Do not publish it again
   * @returns what became of it, when that is final: hours later where the service is away for hours. `log` says meanwhile
   *   why it waits
   * @throws RangeError on series that make no pack (rejects); an Error where the outbox cannot be written
   */
  async publish(
    said: readonly Series[] | OpaqueContent,
    at: { readonly iat?: number; readonly subject?: string; readonly timeoutMs?: number } = {},
  ): Promise<Delivery> {
    if (this.state === null) throw new Error(`device ${this.id}: start() comes before publish()`)
    const isSeries = !("content" in said)
    const draft: Draft = {
      content: isSeries ? contentSenml : said.content,
      payload: isSeries ? encodePack(said) : said.payload,
      iat: at.iat ?? Math.floor(this.clock() / 1000),
      sub: at.subject ?? this.options.subject ?? this.id,
    }
    const readings = isSeries ? countPackReadings(said) : null
    this.counters.made += 1
    return new Promise((resolve, reject) => {
      const cancel = this.keepAfter(at.timeoutMs, resolve)
      const pending: Pending = {
        resolve: (delivery) => {
          cancel()
          resolve(delivery)
        },
        reject: (error) => {
          cancel()
          reject(error)
        },
      }
      void this.tell({ kind: "content", draft, readings }, pending)
    })
  }

  private keepAfter(timeoutMs: number | undefined, resolve: (delivery: Delivery) => void): () => void {
    if (timeoutMs === undefined) return () => {}
    return this.timer(timeoutMs, () => {
      const reason = this.trouble?.words ?? `no answer in ${timeoutMs / 1000} s`
      resolve({ kind: "kept", reason, ackMs: null })
    })
  }

  /**
   * Goes on under the next key (FORMAT §7): the device asks for it in its chain, behind what it has said so far, and
   * what is published meanwhile waits for the answer. The key store has the key before the request goes out, and after a
   * loss of power the device finds out by itself which key stands.
   *
   * @returns `rotated`, or `refused` where the old key goes on (`device show` and the service's log say why); `unknown`
   *   where the answer was lost: the next statement tells; `kept` where the device stopped before
   * @throws Error without an origin, before `start`, while another rotation is under way, or where a store fails (rejects)
   */
  async rotate(next: Signer): Promise<"rotated" | "refused" | "unknown" | "kept"> {
    const origin = originOf(this.options)
    if (origin === undefined) throw new Error(`device ${this.id}: rotate() needs the log's origin`)
    if (this.state === null) throw new Error(`device ${this.id}: start() comes before rotate()`)
    if (this.isRotating || (this.context.rotation ?? null) !== null)
      throw new Error(`device ${this.id}: another rotation is under way`)
    this.isRotating = true
    const iat = Math.floor(this.clock() / 1000)
    const speaker = makeSpeaker(this.id, next)
    try {
      const delivery = await new Promise<Delivery>((resolve, reject) => {
        void this.tell({ kind: "rotate", next: speaker, origin, iat }, { resolve, reject })
      })
      if (delivery.kind !== "stored") return delivery.kind === "kept" ? "kept" : "refused"
      if (delivery.via !== "receipt" || delivery.verdict === "duplicate") return "unknown"
      return delivery.verdict === "accepted-unread" ? "refused" : "rotated"
    } finally {
      this.isRotating = false
    }
  }

  /**
   * Asks for the COSE Receipt of a sealed statement: of this seq, or of the newest that is sealed. Whoever keeps it beside
   * the statement can show that it is in the log, without the service.
   *
   * @returns the answer; its `receipt` is null where the next block has yet to be sealed
   * @throws Error without a connection, or where it is lost before the answer (rejects): ask again
   */
  async askSealed(seq?: number): Promise<SealedAnswer> {
    const { link } = this
    if (link?.askSealed === undefined || this.head === null)
      throw new Error(`device ${this.id}: there is no connection to ask over: ${this.reason()}`)
    return new Promise((resolve, reject) => {
      this.sealedAsked.push({ resolve, reject })
      link.askSealed?.(encodeSealedQuestion(seq === undefined ? { kind: "newest" } : { kind: "seq", seq }))
    })
  }

  /** Closes the connection and the outbox. What was not acknowledged resolves as `kept`. */
  async stop(): Promise<void> {
    if (this.state === null) return
    const { link } = this
    // With nothing in flight the service gets a DISCONNECT; else it would wait with it for answers.
    this.isEnding = true
    if (link !== null && this.sentAtMs.size === 0) {
      this.link = null
      await link.end()
    }
    await this.tell({ kind: "stop" })
    this.cancelTimer?.()
    this.keepPending("the device was stopped")
    this.giveUpWaiting("it was stopped")
    await this.outbox.close()
    this.state = null
    this.isEnding = false
  }

  /** Events are taken one after the other, and the effects of each are done before those of the next. */
  private tell(event: DeviceEvent, pending?: Pending): Promise<void> {
    if (this.failure !== null) {
      pending?.reject(this.failure.error)
      return Promise.resolve()
    }
    this.queue.push(pending === undefined ? { event } : { event, pending })
    this.pumping ??= this.pump()
    return this.pumping
  }

  private async pump(): Promise<void> {
    // In a turn of its own, so that everything said in one go is stored by one sync of the disk.
    await Promise.resolve()
    try {
      while (this.queue.length > 0) {
        const effects = this.queue.splice(0).flatMap((queued) => this.step(queued))
        await this.store(effects)
        const isBound = effects.some(({ kind }) => kind === "bind")
        for (const effect of effects) {
          if (isBound && effect.kind === "store") await this.outbox.append(effect.entries)
          else await this.perform(effect)
        }
        if (this.state?.phase === "halted") this.keepPending("the device has halted")
        this.lookForHead()
      }
    } catch (error) {
      this.fail(error)
    }
    this.pumping = null
  }

  private step({ event, pending }: Queued): readonly Effect[] {
    if (this.state === null) {
      pending?.resolve({ kind: "kept", reason: "the device is stopped", ackMs: null })
      return []
    }
    if (pending !== undefined) this.pending.set(this.state.numberNext, pending)
    const { state, context, effects } = stepDevice(this.state, event, this.context)
    this.state = state
    this.context = context
    return effects
  }

  /** Before all other effects: to store something earlier than asked never harms, and is one sync for all. */
  private async store(effects: readonly Effect[]): Promise<void> {
    // Keys first: a request that is in the outbox has its key in the key store. Of several the last one holds.
    const keys = effects.findLast((effect) => effect.kind === "keys")
    if (keys !== undefined) await this.keyStore.save(keysOf(keys))
    // A new beginning makes drafts of what was stored before it, so what comes after it is stored after it.
    if (effects.some(({ kind }) => kind === "bind")) return
    const entries = effects.flatMap((effect) => (effect.kind === "store" ? effect.entries : []))
    if (entries.length > 0) await this.outbox.append(entries)
  }

  private async perform(effect: Effect): Promise<void> {
    switch (effect.kind) {
      case "wait":
        this.cancelTimer?.()
        this.cancelTimer = this.timer(
          effect.delayMs,
          () => void this.tell({ kind: "timer", nowMs: this.clock() }),
        )
        return
      case "connect":
        this.connect()
        return
      case "subscribe":
        this.link?.subscribe()
        return
      case "disconnect":
        this.isEnding = true
        this.link?.cut()
        this.isEnding = false
        return
      case "store":
      case "keys":
        return
      case "forget":
        await this.outbox.forget(effect.upTo, effect.acceptedSeq, effect.acceptedEntry)
        return
      case "bind":
        await this.outbox.bind?.(effect.firstPrev)
        return
      case "publish":
        if (this.link === null) return
        this.counters.sent += 1
        this.sentAtMs.set(effect.number, performance.now())
        this.link.publish(effect.number, effect.bytes)
        return
      case "settle":
        this.remark(effect.outcome)
        if (effect.outcome.kind === "stored") this.counters.stored += 1
        if (this.sentAtMs.has(effect.number)) this.told.set(effect.number, effect.outcome)
        else this.deliver(effect.number, effect.outcome)
        return
      case "alarm":
        this.takeAlarm(effect.alarm)
        return
    }
  }

  private connect(): void {
    this.linkCount += 1
    if (this.linkCount > 1) this.counters.reconnects += 1
    const { listener } = this.options
    const { speaker, rotation = null } = this.context
    const isByNext = this.state?.isLoginByNext === true && rotation !== null
    const { signer } = isByNext ? rotation.other : speaker
    const key = { signer, nowSeconds: Math.floor(this.clock() / 1000) }
    const open = this.options.openLink ?? openLink
    let isReached = false
    /** The service closes by itself after a refusal, and has said why. */
    let isTold = false
    const link: Link = open(this.id, this.options.service, key, {
      connected: () => {
        isReached = true
        void this.tell({ kind: "connected" })
      },
      receipt: (payload) => {
        const verdict = this.takeReceipt(payload)
        isTold = verdict !== null && isRefusal(verdict)
      },
      sealed: (payload) => this.takeSealed(payload),
      acknowledged: (number) => this.takePuback(number),
      closed: (reason, failure) => {
        if (this.link === link) this.link = null
        if (!this.isEnding && !isTold) this.explainEnd(isReached, reason, failure)
        for (const { reject } of this.sealedAsked.splice(0))
          reject(new Error(`device ${this.id}: the connection was lost before the answer: ask again`))
        this.sentAtMs.clear()
        for (const [number, outcome] of this.told) this.deliver(number, outcome)
        listener?.disconnected?.(reason)
        void this.tell({ kind: "closed", nowMs: this.clock(), chance: this.random() })
      },
    })
    this.link = link
  }

  /** A connection that ends after it brought something is nothing to speak of: the next one tells. */
  private explainEnd(isReached: boolean, reason: string | null, failure?: LinkFailure): void {
    const why = failure ?? (reason === null ? ({ kind: "closed" } as const) : errorOf(reason))
    if (!isReached) {
      const { service } = this.options
      this.complain(explainFailure(why, { device: this.id, service, nowMs: this.clock() }))
      return
    }
    if (this.state === null || this.state.fruitless < 2) return
    const words = why.kind === "error" ? `: ${why.message}` : ""
    this.complain({
      reason: "lost",
      words: `the connection was lost ${this.state.fruitless + 1} times in a row before anything was stored${words}. Does another client connect as ${this.id}? The service's log says more`,
    })
  }

  private complain(trouble: Trouble): void {
    this.trouble = trouble
    this.troubles.tell(trouble, performance.now())
  }

  private takeAlarm(alarm: Alarm): void {
    const trouble = explainAlarm(alarm, this.id)
    const isPassing = !["another-signer", "rotation-refused", "log-changed"].includes(alarm.kind)
    if (isPassing) this.complain(trouble)
    else this.remarks.tell(trouble, performance.now())
    this.options.listener?.alarm?.(alarm)
  }

  private remark(outcome: Outcome): void {
    const trouble = explainOutcome(outcome)
    if (trouble !== null) this.remarks.tell(trouble, performance.now())
  }

  /** With the head known `start` has what it waits for; all is well again when something was stored, or nothing waits. */
  private lookForHead(): void {
    const { state } = this
    if (state?.phase === "halted") this.giveUpWaiting(this.reason())
    if (state?.phase !== "ready") return
    for (const { resolve } of this.awaiting) resolve()
    if (state.fruitless > 0) return
    this.trouble = null
    this.troubles.clear(`all is well again at ${nameService(this.options.service)}`)
  }

  private giveUpWaiting(why: string): void {
    for (const { reject } of this.awaiting) reject(new Error(`device ${this.id}: ${why}`))
  }

  private takeReceipt(payload: Uint8Array): Verdict | null {
    let receipt: Receipt
    try {
      receipt = decodeReceipt(payload)
    } catch (error) {
      // Not a receipt of this version: the head that is asked for next tells what there is to know.
      if (error instanceof FormatFault) return null
      throw error
    }
    const verdict = parseVerdictCode(receipt.code)
    if (verdict !== null) this.counters.receipts[verdict] = (this.counters.receipts[verdict] ?? 0) + 1
    // The others raise an alarm.
    if (verdict !== null && isMended(verdict))
      this.remarks.tell(explainRefusal(verdict, receipt.seq), performance.now())
    this.options.listener?.receipt?.(receipt)
    void this.tell({ kind: "receipt", receipt })
    return verdict
  }

  private takeSealed(payload: Uint8Array): void {
    const asked = this.sealedAsked.shift()
    try {
      asked?.resolve(decodeSealedAnswer(payload))
    } catch (error) {
      asked?.reject(error)
    }
  }

  private takePuback(number: number): void {
    const sentAtMs = this.sentAtMs.get(number)
    if (sentAtMs === undefined) return
    this.sentAtMs.delete(number)
    this.counters.acknowledged += 1
    const ackMs = performance.now() - sentAtMs
    this.options.listener?.acknowledged?.(ackMs)
    this.ackMsByNumber.set(number, ackMs)
    const outcome = this.told.get(number)
    if (outcome !== undefined) this.deliver(number, outcome)
    else if (this.options.isPubackTrusted !== false) void this.tell({ kind: "puback", number })
  }

  private deliver(number: number, outcome: Outcome): void {
    const ackMs = this.ackMsByNumber.get(number) ?? null
    this.told.delete(number)
    this.ackMsByNumber.delete(number)
    this.pending.get(number)?.resolve({ ...outcome, ackMs })
    this.pending.delete(number)
  }

  private keepPending(reason: string): void {
    for (const [number, outcome] of this.told) this.deliver(number, outcome)
    for (const { resolve } of this.pending.values()) resolve({ kind: "kept", reason, ackMs: null })
    this.pending.clear()
  }

  /** What cannot be stored must not be published: this device is done, and whoever waits is told why. */
  private fail(error: unknown): void {
    this.failure = { error }
    this.cancelTimer?.()
    this.isEnding = true
    this.link?.cut()
    const words = error instanceof Error ? error.message : String(error)
    this.remarks.tell({ reason: "failed", words: `it does nothing more: ${words}` }, performance.now())
    for (const { reject } of this.awaiting) reject(error instanceof Error ? error : new Error(words))
    for (const { pending } of this.queue.splice(0)) pending?.reject(error)
    for (const { reject } of this.pending.values()) reject(error)
    this.pending.clear()
    this.options.listener?.failed?.(error)
  }
}

const errorOf = (message: string): LinkFailure => ({ kind: "error", code: null, message })

/** Refusals after which a device makes the statement again by itself. */
function isMended(verdict: Verdict): boolean {
  return (
    isRefusal(verdict) && !["wrong-device", "unknown-key", "revoked", "suspended", "fork"].includes(verdict)
  )
}

function explainOutcome(outcome: Outcome): Trouble | null {
  switch (outcome.kind) {
    case "stored":
      return explainStored(outcome.verdict, outcome.seq)
    case "refused":
      // Its alarm has said it.
      if (outcome.verdict === "fork") return null
      return {
        reason: `given up ${outcome.verdict}`,
        words: `a statement will not be stored (${outcome.verdict}): ${outcome.rule}`,
      }
    default:
      return {
        reason: "overflowed",
        words: "the outbox is full: what is said now is lost, and the device will say so in its chain",
      }
  }
}

function originOf({ origin, logVkey, service }: DeviceOptions): string | undefined {
  const named = logVkey === undefined ? undefined : parseVkey(logVkey)?.name
  return origin ?? named ?? service.jwt?.origin
}

/** The service as a connection takes it: a JWT names the log that it is for. */
function nameLog(options: DeviceOptions): Service {
  const { jwt, ...service } = options.service
  if (jwt === undefined) return service
  const origin = jwt.origin ?? originOf(options)
  if (origin === undefined)
    throw new RangeError(
      `device ${options.id}: service.jwt wants the log's origin: give it as service.jwt.origin, or logVkey (tidemark device enroll prints both)`,
    )
  return { ...service, jwt: { origin } }
}

function checkService(id: string, service: Service): void {
  if (!/^(mqtts?|wss?|tcp|tls|ssl):$/.test(protocolOf(service.url)))
    throw new RangeError(
      `device ${id}: service.url must be mqtt://HOST:PORT, mqtts://…, ws://… or wss://…, and is ${nameService(service)}`,
    )
  for (const name of ["ca", "certificate", "key"] as const) {
    const pem = service[name]
    if (typeof pem === "string" && !pem.includes("-----BEGIN "))
      throw new RangeError(`device ${id}: service.${name} must be PEM, not the name of a file: read the file`)
  }
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : ""
}

function writeToStandardError(line: string): void {
  process.stderr.write(`${showControls(line)}\n`)
}

const setTimer: Timer = (delayMs, run) => {
  const timer = setTimeout(run, delayMs)
  return () => clearTimeout(timer)
}
