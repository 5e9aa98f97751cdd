import { Duplex } from "node:stream"
import { showText } from "../chain/shown-text.ts"
import { judgeFrame } from "./admission.ts"
import type { Admission, Pressure, Traffic } from "./admission.ts"
import type { Budget } from "./budget.ts"
import type { RefusedReason } from "./counters.ts"
import { lowerRequestedQos, packetType, readFixedHeader } from "./frame.ts"
import type { FixedHeader } from "./frame.ts"
import type { BrokerLimits } from "./limits.ts"
import { endGently } from "./linger.ts"
import { type StraightWay, mayGoStraight, readStraight, straightSizeMax } from "./straight.ts"

/** A PUBLISH that went through the gate; the hook that gets it takes its ticket, in the same order. */
export interface Ticket {
  /** Bytes of the budget that go with it: whoever takes the ticket gives them back. */
  readonly bytes: number
  /** Set where the payload was over 65,535 bytes and thrown away. */
  readonly sizeDiscarded: number | null
}

export interface GateOptions {
  readonly limits: BrokerLimits
  readonly budget: Budget
  /** The gate closes for this reason; called at most once, before `closed`. */
  readonly refused: (reason: RefusedReason, detail: string | null) => void
  /** Called once, when nothing more comes in or goes out. */
  readonly closed: () => void
}

const pingresp = Uint8Array.of(0xd0, 0x00)
const nothing = new Uint8Array(0)
const bufferSizeMax = 64 * 1024

/**
 * Stands between a socket and aedes, reads the fixed headers only, and passes everything else on as it came. aedes has
 * no limit on a packet's size, on messages in flight or on bytes in all, and stops reading (so that PINGREQ starves)
 * while one answer is awaited; so the gate
 * - closes at a declared length that is too large, and at a first byte that is no CONNECT;
 * - holds what comes behind CONNECT until CONNACK, and messages beyond the limits, by not reading the socket;
 * - hands a QoS 1 message to the device's own topic straight on, where nothing before it is still on its way through
 *   aedes: 0.5 instead of 9 µs a message, and its PUBACK goes out with the others of its group in one write;
 * - answers PINGREQ itself, and keeps the keepalive by bytes that arrive;
 * - throws away the payload of a statement that is too large, and leaves its size in the ticket;
 * - holds DISCONNECT until what came before it was answered;
 * - ends the socket gently when aedes destroys this side of it without an error.
 */
export class Gate extends Duplex {
  readonly #stream: Duplex
  readonly #options: GateOptions
  readonly #connectTimer: NodeJS.Timeout
  readonly #wake = (): void => this.#advance()
  readonly #tickets: Ticket[] = []
  #keepaliveTimer: NodeJS.Timeout | undefined
  #stallTimer: NodeJS.Timeout | undefined

  #pending: Uint8Array = nothing
  #body = 0 // bytes of the current frame that are still to pass
  #skip = 0 // bytes of the current frame that are still to be thrown away
  #afterSkip: { readonly frame: Uint8Array; readonly ticket: Ticket } | null = null
  #current: Ticket | null = null // of the PUBLISH whose body is passing

  readonly #traffic: Traffic = {
    connectSeen: false,
    isOpen: false,
    isFinishing: false,
    isLeaving: false,
    inFlight: 0,
    bytesInFlight: 0,
  }
  /** Bytes of the messages in flight: they are answered in the order in which they came. */
  readonly #sizes: number[] = []
  /** Null until CONNACK went out. */
  #straight: StraightWay | null = null
  /** SUBSCRIBEs that went through and were not answered yet. */
  #subscribing = 0
  /** Packets that go out together, behind what now runs. */
  #outgoing: Uint8Array[] = []
  #chunkCount = 0
  #held = false
  #discarding = false
  #advancing = false
  #urging = false
  #releasing = false
  #cut = false
  #refused = false

  constructor(stream: Duplex, options: GateOptions) {
    super({ readableHighWaterMark: bufferSizeMax, writableHighWaterMark: bufferSizeMax })
    this.#stream = stream
    this.#options = options
    this.#connectTimer = setTimeout(() => this.refuse("connect-timeout"), options.limits.connectMsMax)
    stream.on("data", (chunk: Uint8Array) => this.#arrive(chunk))
    stream.on("end", () => {
      // Without DISCONNECT nobody waits for answers any more. aedes first sees what came before the end.
      if (!this.#traffic.isLeaving) setImmediate(() => this.destroy())
    })
    stream.on("error", () => this.cut())
    stream.on("close", () => this.destroy())
    this.on("drain", this.#wake)
  }

  /** CONNACK went out: what waits behind CONNECT may pass. */
  open(straight: StraightWay | null = null): void {
    clearTimeout(this.#connectTimer)
    this.#straight = straight
    this.#traffic.isOpen = true
    this.#advance()
  }

  /** Closes when nothing has arrived for one and a half times `seconds` [MQTT-3.1.2-24]; 0 means never. */
  keepAlive(seconds: number): void {
    if (seconds > 0) this.#keepaliveTimer = setTimeout(() => this.#checkAlive(), seconds * 1500)
  }

  /**
   * The ticket of the next PUBLISH; its bytes of the budget are the caller's from now on.
   *
   * @throws Error if no PUBLISH went through: frames and packets would no longer be in step
   */
  takeTicket(): Ticket {
    const ticket = this.#tickets.shift()
    if (ticket === undefined) throw new Error("gate: a PUBLISH came out that did not go in")
    return ticket
  }

  /** A SUBSCRIBE came out of aedes: what stands behind it no longer overtakes its question. */
  subscribed(): void {
    this.#subscribing--
  }

  /** Writes `packet` behind those before it, and all of them at once when what now runs is done. */
  send(packet: Uint8Array): void {
    this.#outgoing.push(packet)
    if (this.#outgoing.length === 1) process.nextTick(() => this.flush())
  }

  /** Writes what was sent, now. */
  flush(): void {
    const outgoing = this.#outgoing
    if (outgoing.length === 0 || this.destroyed) return
    this.#outgoing = []
    this.write(outgoing.length === 1 ? outgoing[0]! : Buffer.concat(outgoing))
  }

  /**
   * One message was answered: the next may pass, behind what now runs. Several answers of one commit come at once, and a
   * refusal among them ends it before anything behind it is taken.
   */
  release(): void {
    this.#traffic.inFlight--
    this.#traffic.bytesInFlight -= this.#sizes.shift() ?? 0
    if (this.#traffic.isFinishing) this.finish()
    else if (this.#traffic.isLeaving) this.#leave()
    else if (this.#held && !this.#releasing) {
      this.#releasing = true
      process.nextTick(() => {
        this.#releasing = false
        if (this.#held) this.#advance()
      })
    }
  }

  /** Lets nothing more through, and closes gently once what is in flight was answered. */
  finish(): void {
    this.#traffic.isFinishing = true
    if (this.#traffic.inFlight === 0) setImmediate(() => this.destroy()) // behind the acknowledgement that is being written
  }

  /** What still comes in is read and thrown away. */
  discardInput(): void {
    this.#discarding = true
    this.#pending = nothing
    this.#stream.resume()
  }

  /** Sends `packet` as the last one: flushed, then FIN, then a short wait so that it arrives. */
  writeLast(packet: Uint8Array): void {
    this.discardInput()
    this.flush()
    this.write(packet, () => this.destroy())
  }

  /** Closes at once, for what the client did. */
  refuse(reason: RefusedReason, detail: string | null = null): void {
    if (this.destroyed) return
    this.markRefused(reason, detail)
    this.cut()
  }

  /** Reports `reason`, if it is the first. */
  markRefused(reason: RefusedReason, detail: string | null = null): void {
    if (this.#refused) return
    this.#refused = true
    this.#options.refused(reason, detail)
  }

  /** Closes at once. */
  cut(): void {
    this.#cut = true
    this.destroy()
  }

  override _read(): void {
    if (this.#held) this.#advance()
  }

  override _write(
    chunk: Uint8Array,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    if (this.#stream.write(chunk)) {
      callback()
      return
    }
    this.#stallTimer = setTimeout(() => this.refuse("slow-reader"), this.#options.limits.writeStallMsMax)
    this.#stream.once("drain", () => {
      clearTimeout(this.#stallTimer)
      callback()
    })
  }

  override _writev(chunks: { readonly chunk: Uint8Array }[], callback: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map((each) => each.chunk)), "utf8", callback)
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    // Our own reasons come without an error, and the socket's are not passed on: this one is aedes's.
    if (error !== null) this.markRefused("protocol", showText(error.message))
    clearTimeout(this.#connectTimer)
    clearTimeout(this.#keepaliveTimer)
    clearTimeout(this.#stallTimer)
    this.#discarding = true
    this.#pending = nothing
    this.#options.budget.forget(this.#wake)
    const left = this.#tickets.splice(0)
    if (error !== null || this.#cut) this.#stream.destroy()
    else {
      if (this.#outgoing.length > 0) this.#stream.write(Buffer.concat(this.#outgoing))
      endGently(this.#stream, this.#options.limits.lingerMsMax)
    }
    this.#outgoing = []
    this.#options.budget.release(left.reduce((bytes, ticket) => bytes + ticket.bytes, 0))
    this.#options.closed()
    callback(error)
  }

  /** Lets a held DISCONNECT pass, behind the acknowledgement that is being written. */
  #leave(): void {
    if (this.#traffic.inFlight > 0) return
    setImmediate(() => {
      this.#traffic.isLeaving = false
      this.#advance()
    })
  }

  #arrive(chunk: Uint8Array): void {
    if (this.#discarding) return
    this.#chunkCount++
    this.#keepaliveTimer?.refresh()
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    this.#advance()
  }

  #checkAlive(): void {
    const chunkCount = this.#chunkCount
    // A busy process sees its timers before its sockets: what came meanwhile is read before this runs.
    setImmediate(() => {
      if (this.destroyed) return
      // While we do not read, silence is our own doing.
      if (this.#held || this.#chunkCount !== chunkCount) this.#keepaliveTimer?.refresh()
      else this.refuse("keepalive")
    })
  }

  /**
   * aedes reads what is here only when all that it read before is answered, or one message earlier for each event
   * `readable`. So it is told until it has read: how far it may read ahead is the gate's decision, and a statement
   * should be in the next commit even while an earlier one is in this. Never inside aedes's parser, which a second
   * reading within the first would confuse. If aedes takes no notice, it reads later, and nothing is lost.
   */
  #urge(): void {
    if (this.#urging || this.readableLength === 0) return
    this.#urging = true
    // At most one event for each message that waits, and some for the control packets among them.
    const urgesMax = this.#options.limits.inFlightMax + 1_000
    process.nextTick(() => {
      for (let i = 0; i < urgesMax && this.readableLength > 0 && !this.destroyed; i++) this.emit("readable")
      this.#urging = false
    })
  }

  #advance(): void {
    if (this.#advancing || this.#discarding) return
    this.#advancing = true
    const held = this.#scan()
    this.#advancing = false
    if (this.#discarding) return
    this.#urge()
    this.#held = held
    if (held) this.#stream.pause()
    else if (this.#stream.isPaused()) this.#stream.resume()
  }

  /** Passes on what may pass. True where the rest is held, false where more bytes are wanted. */
  #scan(): boolean {
    const bytes = this.#pending
    let at = 0
    let run = 0 // bytes from here to `at` pass as they are
    const flush = (): void => {
      if (at > run) this.push(bytes.subarray(run, at))
    }
    while (at < bytes.length) {
      if (this.#body > 0) {
        const count = Math.min(this.#body, bytes.length - at)
        at += count
        this.#body -= count
        if (this.#body === 0) this.#endFrame()
        continue
      }
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, bytes.length - at)
        at += count
        run = at
        this.#skip -= count
        if (this.#skip === 0) this.#endSkip()
        continue
      }
      const header = readFixedHeader(bytes, at)
      const next = this.#judge(bytes, at, header)
      if (header === "short" || header === "malformed" || next.kind === "short" || next.kind === "hold") {
        if (next.kind === "refuse") {
          this.refuse(next.reason)
          return false
        }
        flush()
        this.#pending = at === 0 ? bytes : bytes.subarray(at)
        return next.kind === "hold"
      }
      switch (next.kind) {
        case "pass": {
          const end = at + header.size + header.remaining
          // Nothing is on its way through aedes that it would overtake.
          const isAlone = this.#tickets.length === 0 && this.#subscribing === 0
          const isStraight = isAlone && this.#straight !== null && mayGoStraight(header)
          if (isStraight && end > bytes.length && header.remaining <= straightSizeMax) {
            flush()
            this.#pending = at === 0 ? bytes : bytes.subarray(at)
            return false
          }
          if (isStraight && end <= bytes.length && this.#takeStraight(bytes, at, header, flush)) {
            at = end
            run = at
            // It may have been answered by closing.
            if (this.#discarding) return false
            break
          }
          at += header.size
          this.#begin(header)
          break
        }
        case "pong":
          flush()
          at += header.size
          run = at
          this.write(pingresp)
          break
        case "subscribe": {
          flush()
          const end = at + header.size + header.remaining
          this.#fly(0)
          this.#subscribing++
          this.push(lowerRequestedQos(bytes.subarray(at, end), header))
          at = end
          run = at
          break
        }
        case "discard":
          flush()
          at += header.size + header.remaining - next.skip
          run = at
          this.#fly(0)
          this.#skip = next.skip
          this.#afterSkip = { frame: next.frame, ticket: { bytes: 0, sizeDiscarded: next.skip } }
          break
        case "refuse":
          this.refuse(next.reason)
          return false
      }
    }
    flush()
    this.#pending = nothing
    return false
  }

  #judge(bytes: Uint8Array, at: number, header: FixedHeader | "short" | "malformed"): Admission {
    const pressure: Pressure = {
      isBudgetFull: this.#options.budget.isFull(),
      isWriteBlocked: this.writableNeedDrain,
      isReadBlocked: this.readableLength >= bufferSizeMax,
    }
    const admission = judgeFrame(bytes, at, header, this.#options.limits, this.#traffic, pressure)
    if (admission.kind === "hold" && admission.until === "budget") this.#options.budget.wait(this.#wake)
    if (admission.kind === "hold" && admission.until === "answered") this.#traffic.isLeaving = true
    return admission
  }

  /** Hands on the whole message that begins at `at`, where it may go straight; `before` lets pass what stands before it. */
  #takeStraight(bytes: Uint8Array, at: number, header: FixedHeader, before: () => void): boolean {
    const { topic, take } = this.#straight!
    const message = readStraight(bytes, at, header, topic)
    if (message === null) return false
    before()
    this.#fly(header.remaining)
    this.#options.budget.take(header.remaining)
    const payload = bytes.subarray(message.payloadAt, at + header.size + header.remaining)
    take(payload, header.remaining, message.packetId)
    return true
  }

  /** A message goes through. */
  #fly(bytes: number): void {
    this.#traffic.inFlight++
    this.#traffic.bytesInFlight += bytes
    this.#sizes.push(bytes)
  }

  #begin(header: FixedHeader): void {
    this.#traffic.connectSeen = true
    if (header.firstByte >> 4 === packetType.publish) {
      this.#fly(header.remaining)
      this.#current = { bytes: header.remaining, sizeDiscarded: null }
    }
    this.#body = header.remaining
    if (this.#body === 0) this.#endFrame()
  }

  #endFrame(): void {
    if (this.#current === null) return
    this.#options.budget.take(this.#current.bytes)
    this.#tickets.push(this.#current)
    this.#current = null
  }

  #endSkip(): void {
    if (this.#afterSkip === null) return
    this.#tickets.push(this.#afterSkip.ticket)
    this.push(this.#afterSkip.frame)
    this.#afterSkip = null
  }
}
