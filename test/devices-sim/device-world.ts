/** One device, a network that does what it likes, and a model service: every step of it is chosen by a test. */
import type { Message } from "../../broker/submit.ts"
import { decodeReceipt } from "../../chain/receipt.ts"
import { type Algorithm, makePrivateKey } from "../../chain/key.ts"
import {
  type DeviceEvent,
  type DeviceState,
  type Effect,
  stepDevice,
  wakeDevice,
} from "../../devices-sim/device.ts"
import { type Alarm, type DeviceContext, deviceRulesDefault } from "../../devices-sim/device-state.ts"
import { makeSigner, makeSpeaker, signNatively } from "../../devices-sim/device-sign.ts"
import { OutboxIndex } from "../../devices-sim/outbox.ts"
import { type ModelPlace, ModelService } from "./device-service.ts"

/** What a statement on its way carries besides its bytes: the packet id by which MQTT acknowledges it. */
interface Letter {
  readonly message: Message
  readonly number: number | null
}

interface Connection {
  readonly place: ModelPlace
  readonly toService: Letter[]
  readonly toDevice: DeviceEvent[]
}

export const iat = 1_795_000_000
const nowMs = iat * 1000

export type Action =
  /** `go`: whatever is next where nothing goes wrong. */
  | { readonly kind: "go" | "say" | "work" | "timer" | "cut" | "power-loss" }
  | {
      readonly kind: "hear" | "deliver" | "repeat" | "lose-answer" | "lose-letter" | "corrupt"
      readonly pick: number
    }

export class DeviceWorld {
  readonly service = new ModelService(nowMs)
  readonly alarms: Alarm[] = []
  /** Contents that the device knows to be stored. */
  readonly settled = new Set<number>()
  readonly isDurable: boolean
  saidCount = 0
  /** Contents that were in the outbox at any time. */
  private takenCount = 0
  private readonly context: DeviceContext
  private outbox = new OutboxIndex()
  private state: DeviceState = wakeDevice(this.outbox.content())
  private effects: Effect[] = []
  private contentByNumber = new Map<number, number>()
  private connections: Connection[] = []
  private current: Connection | null = null
  private isTimerSet = false
  private corruptionsLeft: number

  constructor(algorithm: Algorithm, isDurable: boolean, corruptionsMax = 0) {
    const key = makePrivateKey(algorithm, new Uint8Array(32).fill(3))
    this.isDurable = isDurable
    this.corruptionsLeft = corruptionsMax
    const rules = { ...deviceRulesDefault, inFlightMax: 5 }
    this.context = { speaker: makeSpeaker("k7", makeSigner(key, signNatively)), rules }
    this.service.enrol("k7", key.publicKey)
    this.take({ kind: "start" })
  }

  act(action: Action): void {
    switch (action.kind) {
      case "go":
        this.go()
        return
      case "say":
        this.say()
        return
      case "work":
        this.work()
        return
      case "timer":
        if (this.isTimerSet) this.take({ kind: "timer", nowMs })
        return
      case "cut":
        if (this.current !== null) this.cut()
        return
      case "power-loss":
        this.losePower()
        return
      case "hear":
        this.hear(action.pick)
        return
      case "deliver":
        this.deliver(action.pick)
        return
      default:
        this.disturb(action.kind, action.pick)
    }
  }

  /** From now on the network keeps its word, until nothing is left to do. */
  calmDown(): void {
    if (this.current !== null) this.cut()
    this.connections = []
    for (let step = 0; step < 20_000; step++) if (!this.go()) return
    throw new Error("the device never comes to rest")
  }

  /** The contents that are stored, by their numbers, in the order of the chain. */
  storedContents(): number[] {
    return this.service.payloadsOf("k7").map((payload) => Number(new TextDecoder().decode(payload)))
  }

  get isAtRest(): boolean {
    return this.state.phase === "ready" && this.state.entries.length === 0
  }

  private take(event: DeviceEvent): void {
    // What was decided is done before anything else happens, as in the driver.
    while (this.effects.length > 0) this.work()
    if (event.kind === "timer") this.isTimerSet = false
    const step = stepDevice(this.state, event, this.context)
    this.state = step.state
    this.effects.push(...step.effects)
  }

  /** False where there is nothing to do. */
  private go(): boolean {
    if (this.effects.length > 0) this.work()
    else if (this.isTimerSet) this.take({ kind: "timer", nowMs })
    else if (this.current !== null && this.current.toService.length > 0) this.deliver(0, [this.current])
    else if (this.current !== null && this.current.toDevice.length > 0) this.hear(0)
    else return false
    return true
  }

  private say(): void {
    while (this.effects.length > 0) this.work()
    const number = this.state.numberNext
    this.contentByNumber.set(number, this.saidCount)
    const payload = new TextEncoder().encode(`${this.saidCount}`)
    this.saidCount += 1
    this.take({ kind: "content", draft: { content: "text/plain", payload, iat, sub: "k7" }, readings: 1 })
  }

  private work(): void {
    const effect = this.effects.shift()
    switch (effect?.kind) {
      case "wait":
        this.isTimerSet = true
        return
      case "connect":
        this.current = { place: this.service.open("k7"), toService: [], toDevice: [{ kind: "connected" }] }
        this.connections.push(this.current)
        return
      case "subscribe":
        this.current?.toService.push({ message: { kind: "question" }, number: null })
        return
      case "publish": {
        const { bytes, number } = effect
        this.current?.toService.push({ message: { kind: "statement", bytes }, number })
        return
      }
      case "disconnect":
        if (this.current !== null) this.cut()
        return
      case "store":
        for (const entry of effect.entries) {
          this.outbox.put(entry)
          this.takenCount = Math.max(this.takenCount, (this.contentByNumber.get(entry.number) ?? -1) + 1)
        }
        return
      case "forget":
        this.outbox.forget(effect.upTo, effect.acceptedSeq, effect.acceptedEntry)
        return
      case "bind":
        this.outbox.bind(effect.firstPrev)
        return
      case "settle": {
        const content = this.contentByNumber.get(effect.number)
        if (effect.outcome.kind === "stored" && content !== undefined) this.settled.add(content)
        return
      }
      case "alarm":
        this.alarms.push(effect.alarm)
        return
      default:
    }
  }

  /** The device's side of the connection is gone; what is on its way may still arrive at the service. */
  private cut(): void {
    this.current = null
    const pending = this.effects
    this.effects = []
    const step = stepDevice(this.state, { kind: "closed", nowMs, chance: 0 }, this.context)
    this.state = step.state
    this.effects = [...pending, ...step.effects]
  }

  private losePower(): void {
    this.effects = []
    this.current = null
    this.isTimerSet = false
    if (this.isDurable) this.saidCount = this.takenCount
    else this.outbox = new OutboxIndex()
    const content = this.outbox.content()
    this.contentByNumber = new Map(
      content.entries.map(({ number, payload }) => [number, Number(new TextDecoder().decode(payload))]),
    )
    this.state = wakeDevice(content)
    this.take({ kind: "start" })
  }

  private hear(pick: number): void {
    const inbox = this.current?.toDevice ?? []
    const [event] = inbox.splice(pick % Math.max(1, inbox.length), 1)
    if (event === undefined) return
    if (event.kind === "closed") this.cut()
    else this.take(event)
  }

  private deliver(pick: number, among = this.connections): void {
    const waiting = among.filter(({ toService }) => toService.length > 0)
    const connection = waiting[pick % Math.max(1, waiting.length)]
    if (connection === undefined) return
    const [letter] = connection.toService.splice((pick >>> 4) % connection.toService.length, 1)
    if (letter === undefined) return
    const answer = connection.place.answer(letter.message)
    if (answer.kind === "receipt") {
      connection.toDevice.push({ kind: "receipt", receipt: decodeReceipt(answer.receipt) })
      if (!answer.refused) {
        if (letter.number !== null) connection.toDevice.push({ kind: "puback", number: letter.number })
        return
      }
    }
    connection.place.close()
    connection.toService.length = 0
    connection.toDevice.push({ kind: "closed", nowMs, chance: 0 })
  }

  private disturb(kind: "repeat" | "lose-answer" | "lose-letter" | "corrupt", pick: number): void {
    const connection = this.connections[pick % Math.max(1, this.connections.length)]
    if (connection === undefined) return
    const { toService, toDevice } = connection
    const at = (pick >>> 4) % Math.max(1, toService.length)
    const letter = toService[at]
    if (kind === "lose-answer") {
      const lost = toDevice.findIndex((event) => event.kind === "receipt" || event.kind === "puback")
      if (lost >= 0) toDevice.splice(lost, 1)
    } else if (letter === undefined) return
    else if (kind === "repeat") toService.push(letter)
    else if (kind === "lose-letter") toService.splice(at, 1)
    else if (letter.message.kind === "statement" && this.corruptionsLeft > 0) {
      this.corruptionsLeft -= 1
      const bytes = Uint8Array.from(letter.message.bytes)
      bytes[(pick >>> 8) % bytes.length]! ^= 1 << (pick & 7)
      toService[at] = { ...letter, message: { kind: "statement", bytes } }
    }
  }
}
