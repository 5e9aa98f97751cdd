/**
 * The network between devices and service: connections in order, that are slow, cut, go silent, or bring what was sent
 * long ago; and what the broker does at the service's end, PUBACK behind receipt (FORMAT §5).
 */
import type { Random } from "../../../devices-sim/random.ts"
import type { IntakeAnswer, IntakeMessage, IntakePlace } from "../../../ingest/intake.ts"
import type { Clock } from "./clock.ts"
import type { Plan, Trouble } from "./plan.ts"

/** What a connection is opened to: a process of the service that listens. */
export interface Listening {
  readonly isListening: boolean
  /** Told of the connection, so that it ends with the process. */
  accept(wire: Wire): IntakePlace
  /** How long a message waited for its answer. */
  waited(ms: number): void
  /** Before the answer goes out. */
  answered(device: string, message: IntakeMessage, answer: IntakeAnswer): void
}

export interface WireEnd {
  connected(): void
  receipt(payload: Uint8Array): void
  acknowledged(number: number): void
  closed(reason: string): void
}

export interface Letter {
  readonly message: IntakeMessage
  /** By which it is acknowledged; null at QoS 0 and for questions. */
  readonly number: number | null
}

/** A peer that went silent is found out after so long. */
const keepaliveMs = 45_000

export class Network {
  readonly clock: Clock
  readonly random: Random
  readonly plan: Plan
  readonly wires = new Set<Wire>()
  /** Nothing goes wrong any more. */
  isCalm = false

  constructor(clock: Clock, random: Random, plan: Plan) {
    this.clock = clock
    this.random = random
    this.plan = plan
  }

  has(trouble: Trouble): boolean {
    return !this.isCalm && this.plan.troubles.has(trouble)
  }

  open(device: string, to: Listening, end: WireEnd): Wire {
    const wire = new Wire(this, device, to, end)
    this.wires.add(wire)
    return wire
  }

  delayMs(): number {
    const { random } = this
    return this.has("slow") && random.float() < 0.1 ? random.float() * 3_000 : 1 + random.float() * 20
  }
}

export class Wire {
  readonly device: string
  private readonly network: Network
  private readonly to: Listening
  private readonly end: WireEnd
  private place: IntakePlace | null = null
  /** When the last thing that was sent arrives: nothing overtakes. */
  private arrivesAtMs = 0
  private answersAtMs = 0
  /** What was sent and has not arrived by now arrives then. */
  private heldUntilMs = 0
  private isSubscribed = false
  /** At the device's end. */
  private isOpenHere = true
  /** At the service's end: nothing more is submitted, or answered. */
  private isOpenThere = true
  /** Nothing arrives any more, in either direction, and nobody is told. */
  private isSilent = false

  constructor(network: Network, device: string, to: Listening, end: WireEnd) {
    this.network = network
    this.device = device
    this.to = to
    this.end = end
    this.toService(() => this.begin())
  }

  subscribe(): void {
    this.toService(() => {
      this.isSubscribed = true
      this.submit({ message: { kind: "question" }, number: null })
    })
  }

  send(letter: Letter): void {
    const { network } = this
    const { random } = network
    const spoilt = network.has("corrupt") && random.float() < 0.02 ? corrupt(letter, random) : letter
    if (network.has("scramble") && random.float() < 0.03) {
      // Lost, or behind what comes after it: no TCP, but brokers between do such things.
      if (random.float() < 0.5) return
      network.clock.after(random.float() * 200, () => this.toService(() => this.submit(spoilt)))
      return
    }
    this.toService(() => this.submit(spoilt))
    if (network.has("repeat") && random.float() < 0.05) this.toService(() => this.submit(spoilt))
  }

  /** In whatever comes, it is not damaged on its way. */
  sendWhole(letter: Letter): void {
    this.toService(() => this.submit(letter))
  }

  /** The device's end goes. What it has sent may still arrive, for long after it has connected again. */
  cut(): void {
    if (!this.isOpenHere) return
    this.isOpenHere = false
    this.network.wires.delete(this)
    const { random, clock } = this.network
    const isLate = this.network.has("late-letters") && random.float() < 0.8
    if (isLate) {
      // Some router keeps it: it comes when the device has long connected elsewhere.
      const lateMs = random.float() * 6_000
      this.heldUntilMs = clock.nowMs + lateMs
      clock.after(lateMs + 1_000, () => this.endThere())
    } else if (random.float() < 0.5) this.toService(() => this.endThere())
    else this.endThere()
    this.end.closed("cut")
  }

  /** The service's end goes: the device hears of it, unless the connection is silent. */
  endThere(): void {
    if (!this.isOpenThere) return
    this.isOpenThere = false
    this.place?.close()
    this.toDevice(() => this.closeHere("closed by the service"))
  }

  /** Half open: both ends find out by their keepalive. */
  goSilent(): void {
    if (this.isSilent) return
    this.isSilent = true
    const { clock, random } = this.network
    clock.after(keepaliveMs * (0.5 + random.float()), () => this.closeHere("keepalive"))
    clock.after(keepaliveMs * (0.5 + random.float()), () => {
      this.isOpenThere = false
      this.place?.close()
    })
  }

  /** The process at the other end is gone. */
  loseService(isSilent: boolean): void {
    this.isOpenThere = false
    if (isSilent) this.goSilent()
    else this.toDevice(() => this.closeHere("reset"))
  }

  private begin(): void {
    if (!this.to.isListening) {
      this.isOpenThere = false
      this.toDevice(() => this.closeHere("refused"))
      return
    }
    this.place = this.to.accept(this)
    this.toDevice(() => this.end.connected())
  }

  private submit({ message, number }: Letter): void {
    const { place } = this
    if (!this.isOpenThere || place === null) return
    const answering = async (): Promise<void> => {
      const { clock } = this.network
      const submittedAtMs = clock.nowMs
      const answer = await place.submit(message)
      this.to.waited(clock.nowMs - submittedAtMs)
      this.to.answered(this.device, message, answer)
      if (this.isOpenThere) this.answer(message, number, answer)
    }
    void answering()
  }

  private answer(message: IntakeMessage, number: number | null, answer: IntakeAnswer): void {
    if (answer.kind === "dropped") {
      this.endThere()
      return
    }
    const { receipt, refused } = answer
    if (refused || this.isSubscribed || message.kind === "question")
      this.toDevice(() => this.end.receipt(receipt))
    if (!refused && number !== null) this.toDevice(() => this.end.acknowledged(number))
    if (refused || answer.closes === true) this.endThere()
  }

  private closeHere(reason: string): void {
    if (!this.isOpenHere) return
    this.isOpenHere = false
    this.network.wires.delete(this)
    this.end.closed(reason)
  }

  private toService(work: () => void): void {
    const { clock } = this.network
    this.arrivesAtMs = Math.max(this.arrivesAtMs, clock.nowMs + this.network.delayMs())
    const arrive = (): void => {
      if (this.isSilent) return
      if (this.heldUntilMs > clock.nowMs) clock.after(this.heldUntilMs - clock.nowMs, arrive)
      else work()
    }
    clock.after(this.arrivesAtMs - clock.nowMs, arrive)
  }

  private toDevice(work: () => void): void {
    const { clock } = this.network
    this.answersAtMs = Math.max(this.answersAtMs, clock.nowMs + this.network.delayMs())
    clock.after(this.answersAtMs - clock.nowMs, () => {
      if (!this.isSilent && this.isOpenHere) work()
    })
  }
}

function corrupt(letter: Letter, random: Random): Letter {
  if (letter.message.kind !== "statement") return letter
  const bytes = Uint8Array.from(letter.message.bytes)
  bytes[random.int(0, bytes.length - 1)]! ^= 1 << random.int(0, 7)
  return { ...letter, message: { kind: "statement", bytes } }
}
