/**
 * A connection on which faults happen. They happen to frames: the device behind it is an honest one, whose answer to each
 * of them is a part of what is tried.
 *
 * The service judges a connection's statements in order and answers each one, so the n-th answer is the n-th statement's.
 */
import { generate } from "mqtt-packet"
import { FormatFault } from "../chain/cbor.ts"
import { decodeReceipt } from "../chain/receipt.ts"
import { type Statement, decodeStatement } from "../chain/statement.ts"
import { type Verdict, isRefusal, parseVerdictCode } from "../chain/verdict.ts"
import type { Link, LinkKey, LinkListener, OpenLink, Service } from "./connection-mqtt.ts"
import type { Act } from "./fault-act.ts"
import { type DisconnectStep, canHappenTo } from "./fault.ts"
import { type ForgedFault, forge, verdictOfDamaged } from "./fault-forgery.ts"
import type { Saboteur } from "./fault-saboteur.ts"

/** How a connection is opened. */
interface Way {
  readonly deviceId: string
  readonly service: Service
  readonly key: LinkKey
  readonly open: OpenLink
}

interface Sent {
  /** Of the outbox entry; `nobody` where the device does not wait for it. */
  readonly number: number
  readonly bytes: Uint8Array
  /** What its answer tells of. */
  readonly act: Act | null
  /** Whether the device hears the answer. */
  readonly isOwn: boolean
}

const nobody = -1

/** These make a device wait for minutes or for a person; where it was not the one who spoke, it does not hear them. */
const silencing: readonly Verdict[] = ["wrong-device", "unknown-key", "fork"]

/** Steps at which the next connection breaks, rather than the one with the statement on it. */
const earlySteps: readonly DisconnectStep[] = ["connect", "connack", "question", "head"]

/** Opens connections on which this saboteur is at work. */
export function openSabotaged(saboteur: Saboteur): OpenLink {
  return (deviceId, service, key, listener) => {
    const link = new FaultyLink(
      saboteur,
      { deviceId, service, key, open: saboteur.options.openLink },
      listener,
    )
    saboteur.current = link
    return link
  }
}

class FaultyLink implements Link {
  private readonly saboteur: Saboteur
  private readonly way: Way
  private readonly listener: LinkListener
  private readonly base: Link
  /** Without an answer so far, in order. */
  private readonly awaited: Sent[] = []
  /** Answered, and something happens at their PUBACK. */
  private readonly acknowledging = new Map<number, Sent>()
  /** Acts whose end is the end of this connection. */
  private readonly closing: Act[] = []
  /** Waits for the one behind it, or is dropped. */
  private held: Sent | null = null
  /** Who says one thing at a time waits for an answer that does not come: at some time it begins again. */
  private cancelGiveUp: (() => void) | null = null
  private stalled: (() => void)[] | null = null
  private isAsking = false
  /** Something was sent that will be refused: nothing behind it is judged. */
  private isDoomed = false
  /** What follows half a packet would be taken for its other half. */
  private isMute = false
  private isGone = false
  private isCloned = false
  private isTold = false
  private hasPower = true

  constructor(saboteur: Saboteur, way: Way, listener: LinkListener) {
    this.saboteur = saboteur
    this.way = way
    this.listener = listener
    this.base = way.open(way.deviceId, way.service, way.key, {
      connected: () => {
        if (!this.breaksAt("connect")) listener.connected()
      },
      receipt: (payload) => this.takeReceipt(payload),
      acknowledged: (number) => this.takePuback(number),
      closed: (reason) => this.takeClosed(reason),
    })
  }

  subscribe(): void {
    if (this.isGone || this.breaksAt("connack")) return
    this.isAsking = true
    this.base.subscribe()
  }

  publish(number: number, bytes: Uint8Array): void {
    if (this.stalled === null) this.say(number, bytes)
    // Anew: one of those before may be late as well, and nothing overtakes it.
    else this.stalled.push(() => this.publish(number, bytes))
  }

  write(bytes: Uint8Array): void {
    if (!this.isGone) this.base.write(bytes)
  }

  async end(): Promise<void> {
    if (!this.isGone) await this.base.end()
  }

  cut(): void {
    this.base.cut()
  }

  /** The connection ends, and the device never hears of it. */
  losePower(): void {
    this.hasPower = false
    this.base.cut()
  }

  private say(number: number, bytes: Uint8Array): void {
    if (this.isGone) return
    const { held } = this
    const own: Sent = { number, bytes, act: null, isOwn: true }
    if (held !== null) {
      this.held = null
      this.cancelGiveUp?.()
      this.send({ ...own, act: held.act })
      if (held.act?.planned.fault.kind === "reorder") this.send({ ...held, act: null })
      return
    }
    const { acts, placeOf } = this.saboteur.options
    const place = placeOf(number)
    const act = place === null || this.isDoomed ? null : acts.next(place, (one) => this.isReady(one, bytes))
    if (act === null) this.send(own)
    else this.perform(act, own)
  }

  /** Whether a fault is one of connections, and may happen now. */
  private isReady({ planned: { fault } }: Act, own: Uint8Array): boolean {
    if (fault.kind === "unreadable" || fault.kind === "clock") return false
    // Its key may be another one by now.
    if (fault.kind === "high-s") return canHappenTo(fault, readOwn(own).algorithm)
    if (fault.kind === "replay") return this.saboteur.past !== null
    return fault.kind !== "disconnect" || this.saboteur.early === null
  }

  private perform(act: Act, own: Sent): void {
    const { acts, giveUpMs, placeOf, timer, upheaval } = this.saboteur.options
    const { fault } = act.planned
    const { seq } = readOwn(own.bytes)
    switch (fault.kind) {
      case "drop":
      case "reorder":
        acts.begin(act, `seq ${seq} was ${fault.kind === "drop" ? "not sent" : "sent behind the next"}`)
        this.held = { ...own, act }
        this.isDoomed = true
        this.cancelGiveUp = timer(giveUpMs, () => {
          // Nothing follows this one, since the device says one thing at a time: it waits for another.
          act.place = (placeOf(own.number) ?? act.place) + 1
          this.base.cut()
        })
        return
      case "delay":
        acts.begin(act, `seq ${seq} and what followed waited ${fault.delayMs} ms`)
        this.stalled = [() => this.send({ ...own, act })]
        timer(fault.delayMs, () => this.flow())
        return
      case "duplicate":
        acts.begin(act, `seq ${seq} was sent twice`)
        this.send(own)
        this.send({ ...own, number: nobody, act })
        return
      case "replay":
        acts.begin(act, `a statement from before seq ${seq} was sent again`)
        this.send({ number: nobody, bytes: this.saboteur.past!, act, isOwn: true })
        this.send(own)
        return
      case "disconnect":
        acts.begin(act, `the connection broke at "${fault.step}" of seq ${seq}`)
        this.disconnect(act, fault.step, own)
        return
      case "clone":
        acts.begin(act, `a copy of the device signed something else for seq ${seq}`)
        this.acknowledging.set(own.number, { ...own, act })
        this.send(own)
        return
      case "lost-memory":
      case "lost-outbox":
      case "rotate":
      case "revoke":
      case "suspend":
        acts.begin(act, `${fault.kind} while seq ${seq} was in flight`)
        if (fault.kind === "revoke" || fault.kind === "suspend") this.saboteur.await(act)
        this.send(own)
        upheaval(act)
        return
      case "unreadable":
      case "clock":
        // In the statement since before it was signed.
        this.send(own)
        return
      default:
        this.forge(act, fault, own)
    }
  }

  private flow(): void {
    const stalled = this.stalled ?? []
    this.stalled = null
    for (const say of stalled) say()
  }

  private forge(act: Act, fault: ForgedFault, own: Sent): void {
    const { acts, deviceId, forgerOf, kids } = this.saboteur.options
    const statement = readOwn(own.bytes)
    const random = this.saboteur.randomOf(act)
    this.isDoomed = true
    if (fault.kind === "garbage" && fault.as === "packet") {
      acts.begin(act, `bytes that are no MQTT were sent before seq ${statement.seq}`)
      this.closing.push(act)
      // Type 0 is reserved (MQTT 3.1.1 §2.2.1). With length 0 it is whole, and nothing that follows is waited for.
      this.base.write(Uint8Array.of(0x00, 0x00, ...random.bytes(random.int(1, 300))))
      this.isMute = true
      return
    }
    const bytes = forge(fault, statement, forgerOf(statement), random)
    if (fault.kind === "flip-bit")
      act.expected = { ...act.expected, verdicts: [verdictOfDamaged(bytes, deviceId, kids())] }
    const isInPlace = fault.kind === "truncate" || fault.kind === "flip-bit" || fault.kind === "high-s"
    const isBehind = fault.kind === "fork"
    acts.begin(act, `${fault.kind} ${isInPlace ? "of" : isBehind ? "behind" : "before"} seq ${statement.seq}`)
    // Nobody reads a packet that is too long for that: the connection closes, and no verdict comes.
    if (act.expected.verdicts.length === 0) this.closing.push(act)
    if (isBehind) this.send(own)
    this.send({ number: isInPlace ? own.number : nobody, bytes, act, isOwn: isInPlace })
    if (!isInPlace && !isBehind) this.send(own)
  }

  private disconnect(act: Act, step: DisconnectStep, own: Sent): void {
    const { deviceId, timer } = this.saboteur.options
    this.isDoomed = true
    if (earlySteps.includes(step)) {
      this.saboteur.early = { act, step }
      this.base.cut()
      return
    }
    if (step === "receipt" || step === "puback" || step === "acknowledged") {
      this.acknowledging.set(own.number, { ...own, act })
      this.send(own)
      return
    }
    this.closing.push(act)
    if (step === "publish") {
      this.base.cut()
      return
    }
    if (step === "published") this.send(own)
    else this.base.write(halfOf(deviceId, own.bytes))
    this.isMute = true
    // In a turn of its own: what was written is out then.
    timer(0, () => this.base.cut())
  }

  private send(sent: Sent): void {
    if (this.isGone || this.isMute) return
    this.awaited.push(sent)
    this.saboteur.sent += 1
    this.base.publish(sent.number, sent.bytes)
  }

  private takeReceipt(payload: Uint8Array): void {
    if (this.isGone) return
    const verdict = readVerdict(payload)
    if (this.isAsking) {
      this.isAsking = false
      if (this.breaksAt("question")) return
      if (verdict !== null) this.saboteur.finishStanding(verdict)
      this.listener.receipt(payload)
      this.breaksAt("head")
      return
    }
    const sent = this.awaited.shift()
    if (sent === undefined || verdict === null) {
      this.listener.receipt(payload)
      return
    }
    this.answer(sent, verdict)
    if (sent.isOwn && !(sent.act !== null && silencing.includes(verdict))) this.listener.receipt(payload)
    const waiting = this.acknowledging.get(sent.number)
    if (stepOf(waiting) === "receipt") this.break(waiting!.act!)
  }

  private answer({ number, bytes, act }: Sent, verdict: Verdict): void {
    const { acts, answered } = this.saboteur.options
    if (!isRefusal(verdict) && number !== nobody) this.saboteur.keepStored(bytes)
    if (this.saboteur.finishStanding(verdict)) return
    const isDelayed = act?.planned.fault.kind === "delay"
    if (act !== null && !isDelayed) {
      this.finish(act, verdict)
      return
    }
    // To be late changes no verdict.
    if (act !== null) acts.finish(act, isRefusal(verdict) ? verdict : null)
    if (number !== nobody) answered(number, verdict)
  }

  /** What a device is told while an operator holds it says nothing of what it said: 14 and 40 come before 20 to 22. */
  private finish(act: Act, verdict: Verdict): void {
    const { acts } = this.saboteur.options
    const isHeld = verdict === "suspended" || verdict === "revoked"
    if (isHeld && !act.expected.verdicts.includes(verdict)) acts.interrupt(act)
    else acts.finish(act, verdict)
  }

  private takePuback(number: number): void {
    if (this.isGone || number === nobody) return
    const at = this.awaited.findIndex((sent) => sent.number === number)
    // Its receipt comes before it or never.
    if (at >= 0) this.awaited.splice(0, at + 1)
    const waiting = this.acknowledging.get(number)
    const step = stepOf(waiting)
    if (step === "puback") {
      this.break(waiting!.act!)
      return
    }
    this.listener.acknowledged(number)
    if (waiting === undefined) return
    this.acknowledging.delete(number)
    if (step === "acknowledged") this.break(waiting.act!)
    else this.clone(waiting.act!, waiting.bytes)
  }

  /** The copy has the device's key, and so logs in as it. It does not ask for the head: what it has seems enough to it. */
  private clone(act: Act, own: Uint8Array): void {
    const { acts, forgerOf, nowSeconds } = this.saboteur.options
    // One copy at a time: two would end each other's connections.
    if (this.isCloned || this.isGone) {
      acts.interrupt(act)
      return
    }
    const statement = readOwn(own)
    const forged = forge({ kind: "clone" }, statement, forgerOf(statement), this.saboteur.randomOf(act))
    const { deviceId, service, key, open } = this.way
    this.isCloned = true
    const copy = open(
      deviceId,
      service,
      { ...key, nowSeconds: nowSeconds() },
      {
        connected: () => copy.publish(nobody, forged),
        receipt: (payload) => {
          const verdict = readVerdict(payload)
          if (verdict !== null) this.finish(act, verdict)
          copy.cut()
        },
        acknowledged: () => {},
        closed: () => {
          acts.interrupt(act)
          this.isCloned = false
          if (this.isGone) this.tellClosed(null)
        },
      },
    )
  }

  /** Whether this connection ends here, on the way to its head. */
  private breaksAt(step: DisconnectStep): boolean {
    const { early } = this.saboteur
    if (early?.step !== step || this.isGone) return false
    this.saboteur.early = null
    this.break(early.act)
    return true
  }

  private break(act: Act): void {
    this.saboteur.options.acts.finish(act, null)
    this.base.cut()
  }

  private takeClosed(reason: string | null): void {
    if (this.isGone) return
    this.isGone = true
    const { acts } = this.saboteur.options
    for (const act of this.closing) acts.finish(act, null)
    for (const { act } of [...this.awaited, ...this.acknowledging.values()])
      if (act !== null) acts.interrupt(act)
    if (this.held !== null) acts.interrupt(this.held.act!)
    this.cancelGiveUp?.()
    // The service takes the copy for the device and ends this connection. Would the device be back at once, it would end
    // the copy's, whose statement is then judged by nobody.
    if (!this.isCloned) this.tellClosed(reason)
  }

  /** Once: a device takes every end for that of the connection that it has. */
  private tellClosed(reason: string | null): void {
    if (!this.hasPower || this.isTold) return
    this.isTold = true
    this.listener.closed(reason)
  }
}

function stepOf(sent: Sent | undefined): DisconnectStep | null {
  const fault = sent?.act?.planned.fault
  return fault?.kind === "disconnect" ? fault.step : null
}

function readOwn(bytes: Uint8Array): Statement {
  const decoded = decodeStatement(bytes)
  if (decoded.kind !== "statement") throw new Error("a device publishes statements")
  return decoded.statement
}

function readVerdict(payload: Uint8Array): Verdict | null {
  try {
    return parseVerdictCode(decodeReceipt(payload).code)
  } catch (error) {
    if (error instanceof FormatFault) return null
    throw error
  }
}

/** The first half of a PUBLISH. */
function halfOf(deviceId: string, statement: Uint8Array): Uint8Array {
  const frame = generate({
    cmd: "publish",
    topic: `v1/${deviceId}/statements`,
    payload: Buffer.from(statement),
    qos: 1,
    messageId: 65_535,
    dup: false,
    retain: false,
  })
  return frame.subarray(0, frame.length >> 1)
}
