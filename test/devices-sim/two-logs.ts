/** One device between two services, each with a log of its own: every step of it is chosen by a test. */
import { p256 as nobleP256 } from "@noble/curves/nist.js"
import { formatBase64 } from "../../chain/bytes.ts"
import { firstPrevOf } from "../../chain/genesis.ts"
import type { Hash } from "../../chain/hash.ts"
import { algorithmEd25519, algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { decodeReceipt } from "../../chain/receipt.ts"
import { decodeStatement, signedBytesOf } from "../../chain/statement.ts"
import {
  type DeviceEvent,
  type DeviceState,
  type Effect,
  stepDevice,
  wakeDevice,
} from "../../devices-sim/device.ts"
import { type Alarm, type DeviceContext, deviceRulesDefault } from "../../devices-sim/device-state.ts"
import { type Signer, makeSigner, makeSpeaker, signNatively } from "../../devices-sim/device-sign.ts"
import { OutboxIndex } from "../../devices-sim/outbox.ts"
import { recordsOf, takeRecord } from "../../devices-sim/outbox-record.ts"
import type { Message } from "../../broker/submit.ts"
import { type ModelPlace, ModelService } from "./device-service.ts"

export type LogName = "A" | "B"

export type LogAction =
  | { readonly kind: "say" | "cut" | "lose-outbox" | "compact" }
  | { readonly kind: "go" | "lose-answers"; readonly count: number }
  /** The power goes; so many of the writes that were not synced are kept. */
  | { readonly kind: "power-loss"; readonly count: number }
  /** The network leads to this service from now on. */
  | { readonly kind: "lead"; readonly log: LogName }
  /** The device is started again with this configuration. */
  | { readonly kind: "configure"; readonly log: LogName | null }

type Write = (index: OutboxIndex) => void

interface Connection {
  readonly place: ModelPlace
  readonly log: LogName
  readonly toService: { readonly message: Message; readonly number: number | null }[]
  readonly toDevice: DeviceEvent[]
}

const iat = 1_795_000_000
const nowMs = iat * 1000

export class TwoLogs {
  readonly services: Readonly<Record<LogName, ModelService>>
  readonly alarms: Alarm[] = []
  /** Faults that were noticed on the way. */
  readonly faults: string[] = []
  /** Contents whose outbox was lost before they were known to be stored. */
  readonly lost = new Set<string>()
  readonly said = new Set<string>()
  configured: LogName | null
  private readonly context: Omit<DeviceContext, "firstPrev">
  private leadsTo: LogName = "A"
  private outbox = new OutboxIndex()
  private durable: Write[] = []
  private unsynced: Write[] = []
  private state!: DeviceState
  private effects: Effect[] = []
  private current: Connection | null = null
  private isTimerSet = false
  private answersLost = 0
  private signedAt = new Map<string, string>()

  /** @param isRandom the key signs by P-256, and never twice with the same bytes, as secure elements do */
  constructor(configured: LogName | null, isRandom: boolean) {
    this.services = { A: serviceOf("a.example"), B: serviceOf("b.example") }
    const signer = isRandom
      ? randomSigner()
      : makeSigner(makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(3)), signNatively)
    for (const service of Object.values(this.services)) service.enrol("k7", signer.publicKey)
    const rules = { ...deviceRulesDefault, inFlightMax: 3, entriesMax: 6 }
    this.context = { speaker: makeSpeaker("k7", signer), rules }
    this.configured = configured
    this.leadsTo = configured ?? "A"
    this.wake()
  }

  act(action: LogAction): void {
    switch (action.kind) {
      case "say":
        this.say()
        return
      case "go":
        for (let step = 0; step < action.count; step++) this.go()
        return
      case "cut":
        this.cut()
        return
      case "lose-answers":
        this.answersLost = action.count
        return
      case "compact":
        this.finish()
        this.compact()
        return
      case "power-loss":
        this.powerOff(action.count)
        this.wake()
        return
      case "lose-outbox":
        // Without an outbox and without a configuration, nothing tells a device to which log it belongs.
        if (this.configured === null) return
        this.powerOff(0)
        for (const { payload } of this.outbox.content().entries) this.lost.add(textOf(payload))
        this.durable = []
        this.signedAt.clear()
        // Nothing tells such a device another log from its own, where that log knows it already.
        this.leadsTo = this.configured ?? this.leadsTo
        this.wake()
        this.say()
        this.calmDown()
        return
      case "lead":
        this.cut()
        this.leadsTo = action.log
        return
      default:
        this.powerOff(this.unsynced.length)
        this.configured = action.log
        this.wake()
    }
  }

  /** The network keeps its word and leads where the device belongs, until nothing is left to do. */
  calmDown(): void {
    this.answersLost = 0
    this.leadsTo = this.home()
    this.cut()
    for (let step = 0; step < 3_000; step++) {
      if (!this.go()) return
      if (this.alarms.length > 1_000) break
    }
    this.faults.push(`never comes to rest: ${JSON.stringify(this.alarms.at(-1))}`)
  }

  get isAtRest(): boolean {
    return this.state.phase === "ready" && this.state.entries.length === 0
  }

  /** Everything that is stored, wherever. */
  stored(): Set<string> {
    return new Set(Object.values(this.services).flatMap((service) => service.payloadsOf("k7").map(textOf)))
  }

  private home(): LogName {
    if (this.configured !== null) return this.configured
    const known = this.state.firstPrev
    if (known === null) return this.leadsTo
    return formatBase64(known) === formatBase64(this.firstPrev("A")!) ? "A" : "B"
  }

  private firstPrev(log: LogName | null): Hash | null {
    return log === null ? null : firstPrevOf(this.services[log].binding, "k7")
  }

  private wake(): void {
    this.outbox = new OutboxIndex()
    for (const write of this.durable) write(this.outbox)
    this.state = wakeDevice(this.outbox.content(), this.firstPrev(this.configured))
    this.take({ kind: "start" })
  }

  private powerOff(kept: number): void {
    if (this.current !== null) this.drop()
    this.effects = []
    this.isTimerSet = false
    this.durable.push(...this.unsynced.splice(0).slice(0, kept))
    const index = new OutboxIndex()
    for (const write of this.durable) write(index)
    this.outbox = index
  }

  private write(isSynced: boolean, write: Write): void {
    write(this.outbox)
    this.unsynced.push(write)
    if (isSynced) this.durable.push(...this.unsynced.splice(0))
  }

  private compact(): void {
    this.unsynced = []
    this.durable = compacted(this.outbox)
  }

  private take(event: DeviceEvent): void {
    this.finish()
    if (event.kind === "timer") this.isTimerSet = false
    this.step(event)
  }

  private finish(): void {
    while (this.effects.length > 0) this.work()
  }

  private step(event: DeviceEvent): void {
    const context = { ...this.context, firstPrev: this.firstPrev(this.configured) }
    const step = stepDevice(this.state, event, context)
    this.state = step.state
    this.effects.push(...step.effects)
  }

  private say(): void {
    this.finish()
    if (this.state.entries.length >= this.context.rules.entriesMax) return
    const text = `${this.said.size}`
    const payload = new TextEncoder().encode(text)
    this.take({ kind: "content", draft: { content: "text/plain", payload, iat, sub: "k7" }, readings: 1 })
    this.finish()
    this.said.add(text)
  }

  private go(): boolean {
    if (this.effects.length > 0) this.work()
    else if (this.isTimerSet) this.take({ kind: "timer", nowMs })
    else if (this.current !== null && this.current.toService.length > 0) this.deliver(this.current)
    else if (this.current !== null && this.current.toDevice.length > 0) this.hear(this.current)
    else return false
    return true
  }

  private work(): void {
    const effect = this.effects.shift()
    switch (effect?.kind) {
      case "wait":
        this.isTimerSet = true
        return
      case "connect":
        this.current = {
          place: this.services[this.leadsTo].open("k7"),
          log: this.leadsTo,
          toService: [],
          toDevice: [{ kind: "connected" }],
        }
        return
      case "subscribe":
        this.current?.toService.push({ message: { kind: "question" }, number: null })
        return
      case "publish":
        this.noteSigned(effect.bytes)
        this.current?.toService.push({
          message: { kind: "statement", bytes: effect.bytes },
          number: effect.number,
        })
        return
      case "disconnect":
        if (this.current !== null) this.cut()
        return
      case "store":
        this.write(true, (index) => {
          for (const entry of effect.entries) index.put(entry)
        })
        return
      case "forget":
        this.write(false, (index) => index.forget(effect.upTo, effect.acceptedSeq, effect.acceptedEntry))
        return
      case "bind":
        this.write(true, (index) => index.bind(effect.firstPrev))
        return
      case "alarm":
        this.alarms.push(effect.alarm)
        return
      default:
    }
  }

  /** A place in a log is its seq and its prev, which leads back to the log's genesis. */
  private noteSigned(bytes: Uint8Array): void {
    const decoded = decodeStatement(bytes)
    if (decoded.kind !== "statement") throw new Error("a device publishes statements")
    const { seq, prev } = decoded.statement
    const place = `${seq} behind ${formatBase64(prev)}`
    const signed = formatBase64(signedBytesOf(decoded.statement))
    const before = this.signedAt.get(place)
    if (before !== undefined && before !== signed) this.faults.push(`signed twice: ${place}`)
    this.signedAt.set(place, signed)
  }

  private drop(): void {
    this.current?.place.close()
    this.current = null
  }

  private cut(): void {
    if (this.current === null) return
    this.drop()
    const pending = this.effects
    this.effects = []
    this.step({ kind: "closed", nowMs, chance: 0 })
    this.effects = [...pending, ...this.effects]
  }

  private hear({ toDevice }: Connection): void {
    const event = toDevice.shift()
    if (event?.kind === "closed") this.cut()
    else if (event !== undefined) this.take(event)
  }

  private deliver(connection: Connection): void {
    const letter = connection.toService.shift()
    if (letter === undefined) return
    const service = this.services[connection.log]
    const before = service.headOf("k7").seq
    const answer = connection.place.answer(letter.message)
    if (service.headOf("k7").seq > before && this.configured !== null && this.configured !== connection.log)
      this.faults.push(`configured for ${this.configured}, it said something in ${connection.log}`)
    if (this.answersLost > 0 && letter.number !== null) {
      this.answersLost -= 1
      return
    }
    if (answer.kind === "receipt") {
      connection.toDevice.push({ kind: "receipt", receipt: decodeReceipt(answer.receipt) })
      if (!answer.refused) {
        if (letter.number !== null) connection.toDevice.push({ kind: "puback", number: letter.number })
        return
      }
    }
    connection.toService.length = 0
    connection.toDevice.push({ kind: "closed", nowMs, chance: 0 })
  }
}

/** The writes of an outbox that is written again, as a file has them. */
function compacted(outbox: OutboxIndex): Write[] {
  return recordsOf(outbox.content()).map((record) => (index) => takeRecord(index, record))
}

function serviceOf(origin: string): ModelService {
  const service = new ModelService(nowMs)
  service.binding = { logVkey: `${origin}/log+00000000+model`, version: 2 }
  return service
}

const p256 = makePrivateKey(algorithmEsp256, new Uint8Array(32).fill(3))

/** Another nonce for each signature, where `makeSigner` would take the one of RFC 6979. */
function randomSigner(): Signer {
  let count = 0
  const sign = (message: Uint8Array): Uint8Array => {
    const extraEntropy = new Uint8Array(32)
    new DataView(extraEntropy.buffer).setUint32(0, (count += 1))
    return nobleP256.sign(message, p256.secret, { lowS: false, extraEntropy })
  }
  return { publicKey: p256.publicKey, sign }
}

const textOf = (payload: Uint8Array): string => new TextDecoder().decode(payload)
