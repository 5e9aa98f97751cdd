import type { ConnectPacket, PublishPacket } from "aedes"
import { encodeUtf8, joinBytes } from "../chain/bytes.ts"
import type { Budget } from "./budget.ts"
import type { RefusedReason, Witness } from "./counters.ts"
import type { Gate, Ticket } from "./gate.ts"
import { showText } from "../chain/shown-text.ts"
import { setLongTimer } from "./long-timer.ts"
import type { Login, LoginEnd, LoginResult } from "./login.ts"
import { encodeReceiptPacket, encodeSealedPacket } from "./receipt-packet.ts"
import type { Answer, AnswerSealed, Message, Place, Submit } from "./submit.ts"
import {
  deviceIdPattern,
  explainPublish,
  explainSubscribe,
  isDeviceId,
  receiptsTopic,
  sealedTopic,
  statementsTopic,
} from "./topic.ts"

/** A message that was submitted and waits for its turn to be answered. */
interface Turn {
  /** Whether the receipt goes out in any case: it was asked for. */
  readonly asked: boolean
  /** Lets aedes write the PUBACK or PUBREC; or the packet id of a PUBACK that is ours to write. */
  readonly acknowledge: (() => void) | number
  answer: Answer | SealedAnswer | null
}

/** To a question for a sealed receipt. */
interface SealedAnswer {
  readonly kind: "sealed"
  readonly bytes: Uint8Array
}

const payloadTaken = Buffer.alloc(0)
const puback = (packetId: number): Uint8Array => Uint8Array.of(0x40, 0x02, packetId >> 8, packetId & 255)
const connack = (returnCode: number): Uint8Array => Uint8Array.of(0x20, 0x02, 0x00, returnCode)

/** A copy that shares its memory with a few others of its time: an allocation of its own each would cost more than copying. */
function copyBytes(bytes: Uint8Array): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.from(bytes)
  return new Uint8Array(buffer, byteOffset, length)
}

export interface SessionOptions {
  readonly gate: Gate
  readonly submit: Submit
  readonly answerSealed?: AnswerSealed
  readonly budget: Budget
  readonly witness: Witness
  /** What the client showed in its TLS handshake: DER, its own first. */
  readonly certificates: readonly Uint8Array[]
}

/** Denied subscriptions of one connection that get a line each; the others are only counted. */
const deniedToldMax = 4

/** One connection's conversation, from CONNECT to its end: what it says goes to `submit`, the answers go out in order. */
export class Session {
  readonly #options: SessionOptions
  readonly #turns: Turn[] = []
  #deviceId: string | null = null
  #clientId: string | null = null
  #denied = 0
  #lastSealed: Promise<unknown> = Promise.resolve()
  #forgetLoginEnd = (): void => {}
  #place: Place | null = null
  #subscribed = false
  #refusing = false
  #ended = false
  /** Aborted at the end: nobody waits for a login's answer any more. */
  #gone: AbortController | null = null

  constructor(options: SessionOptions) {
    this.#options = options
  }

  /** Null until a CONNECT whose client id has the form of a device id. */
  get deviceId(): string | null {
    return this.#deviceId
  }

  /** As CONNECT had it, escaped; null before. */
  get clientId(): string | null {
    return this.#clientId
  }

  get gate(): Gate {
    return this.#options.gate
  }

  /** CONNACK went out, and the device was counted as connected. */
  get hasBegun(): boolean {
    return this.#place !== null
  }

  get hasEnded(): boolean {
    return this.#ended
  }

  /**
   * Judges CONNECT, and takes out of it what this service does not keep. False where it was refused by a CONNACK:
   * the gate then closes by itself.
   */
  connect(packet: ConnectPacket & { bridgeMode?: boolean }): boolean {
    const { clientId } = packet
    this.#clientId = showText(clientId)
    if (isDeviceId(clientId)) this.#deviceId = clientId
    if (packet.protocolVersion !== 4 || packet.protocolId !== "MQTT" || packet.bridgeMode === true) {
      return this.#refuseConnect("protocol-version", 1, explainVersion(packet)) // [MQTT-3.1.2-2]
    }
    if (this.#deviceId === null) {
      const detail = `the client id is the device id, and must match ${deviceIdPattern.source}`
      return this.#refuseConnect("identifier", 2, detail)
    }
    packet.clean = true // the memory is the chain, not the broker (FORMAT §5)
    delete packet.will
    this.#options.gate.keepAlive(packet.keepalive ?? 0)
    packet.keepalive = 0 // the gate keeps it: aedes sees no PINGREQ, and would not while an answer is awaited
    return true
  }

  /** Asks `login`, and calls `enter` if it is good; a bad one is refused by CONNACK 5 (FORMAT §5). */
  logIn(
    login: { readonly judge: Login; readonly isRequired: boolean },
    username: string | null,
    password: Uint8Array | null,
    enter: () => void,
  ): void {
    const device = this.#deviceId
    if (device === null) return
    const { certificates } = this.#options
    const isAnonymous = username === null && password === null && certificates.length === 0
    if (isAnonymous && !login.isRequired) {
      enter()
      return
    }
    this.#gone = new AbortController()
    const { signal: gone } = this.#gone
    const judged = (result: LoginResult): void => {
      if (this.#ended) return
      if (result.kind === "refused") {
        this.#refuseConnect(result.reason, 5, result.detail ?? null)
        return
      }
      if (result.ends !== undefined) this.#endAfter(result.ends)
      this.guard("login", enter)
    }
    // A login that throws before it returns a promise is caught by who called this.
    login.judge({ device, username, password, certificates, gone }).then(judged, (error: unknown) => {
      if (this.#ended) return
      this.#options.witness.say({ kind: "fault", where: "login", deviceId: device, error })
      this.#refuseConnect("login-unavailable", 3, "the login could not be judged, by a fault of the service")
    })
  }

  /** CONNACK went out. */
  begin(): void {
    if (this.#ended || this.#deviceId === null) return
    this.#place = this.#options.submit.open(this.#deviceId)
    this.#options.witness.connected()
    const topic = encodeUtf8(statementsTopic(this.#deviceId))
    this.#options.gate.open({
      topic: joinBytes(Uint8Array.of(topic.length >> 8, topic.length & 255), topic),
      take: (payload, bytes, packetId) => this.guard("publish", () => this.#take(payload, bytes, packetId)),
    })
  }

  /** A PUBLISH; `acknowledge` is called if and only if it may be acknowledged. */
  publish(packet: PublishPacket, acknowledge: () => void): void {
    const ticket = this.#options.gate.takeTicket()
    const payload = packet.payload
    packet.payload = payloadTaken // it is a view of a larger buffer, which aedes would hold until the answer
    const { answerSealed } = this.#options
    if (answerSealed !== undefined && this.#isSealedTopic(packet.topic)) {
      this.#ask(
        typeof payload === "string" ? encodeUtf8(payload) : payload,
        ticket,
        acknowledge,
        answerSealed,
      )
      return
    }
    if (this.#deviceId === null || packet.topic !== statementsTopic(this.#deviceId)) {
      this.#options.budget.release(ticket.bytes)
      const detail = explainPublish(packet.topic, this.#deviceId ?? "", answerSealed !== undefined)
      this.#options.gate.refuse("wrong-topic", detail)
      return
    }
    if (ticket.sizeDiscarded !== null) {
      const message: Message = { kind: "too-large", sizeBytes: ticket.sizeDiscarded }
      this.#submit(message, ticket.bytes, { asked: false, acknowledge, answer: null })
    } else this.#take(typeof payload === "string" ? encodeUtf8(payload) : payload, ticket.bytes, acknowledge)
  }

  /** What a subscription to `topic` is granted: only one's own receipts, and answers about sealed ones. */
  maySubscribe(topic: string): boolean {
    if (this.isReceipts(topic) || this.#isSealedTopic(topic)) return true
    const { witness, answerSealed } = this.#options
    const detail = explainSubscribe(topic, this.#deviceId ?? "", answerSealed !== undefined)
    witness.deniedSubscription(this.#deviceId, detail, this.#denied++ < deniedToldMax)
    return false
  }

  isReceipts(topic: string): boolean {
    return this.#deviceId !== null && topic === receiptsTopic(this.#deviceId)
  }

  /** A SUBSCRIBE was answered by SUBACK; `granted` says whether one's own receipts were in it: that is a question. */
  subscribe(granted: boolean): void {
    this.#options.gate.subscribed()
    if (!granted) {
      this.#options.gate.release()
      return
    }
    this.#subscribed = true
    this.#submit({ kind: "question" }, 0, { asked: true, acknowledge: () => {}, answer: null })
  }

  unsubscribe(topics: readonly string[]): void {
    if (topics.some((topic) => this.isReceipts(topic))) this.#subscribed = false
  }

  /** The gate is closed. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#forgetLoginEnd()
    this.#gone?.abort()
    if (this.#place === null) return
    this.#options.witness.dropped(this.#turns.length)
    this.#options.witness.disconnected()
    this.guard("place.close", () => this.#place?.close())
  }

  /** Runs `work`; what it throws closes this connection and no other. */
  guard(where: string, work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#options.witness.say({ kind: "fault", where, deviceId: this.#deviceId, error })
      this.#options.gate.cut()
    }
  }

  /** The token or certificate by which this connection was opened expires, and the connection with it. */
  #endAfter({ afterMs, reason }: LoginEnd): void {
    this.#forgetLoginEnd = setLongTimer(afterMs, () =>
      this.#options.gate.refuse(reason, "it expired while its connection was open: log in again"),
    )
  }

  #refuseConnect(reason: RefusedReason, returnCode: number, detail: string | null): false {
    this.#options.gate.markRefused(reason, detail)
    this.#options.gate.writeLast(connack(returnCode))
    return false
  }

  /** A message to the device's own topic. Its payload is a view of a larger buffer, and is copied. */
  #take(payload: Uint8Array, bytes: number, acknowledge: Turn["acknowledge"]): void {
    if (payload.length === 0)
      this.#submit({ kind: "question" }, bytes, { asked: true, acknowledge, answer: null })
    else {
      const message: Message = { kind: "statement", bytes: copyBytes(payload) }
      this.#submit(message, bytes, { asked: false, acknowledge, answer: null })
    }
  }

  #submit(message: Message, bytes: number, turn: Turn): void {
    this.#await(bytes, turn, (place) => place.submit(message))
  }

  #isSealedTopic(topic: string): boolean {
    const { answerSealed } = this.#options
    return answerSealed !== undefined && this.#deviceId !== null && topic === sealedTopic(this.#deviceId)
  }

  /** A question for a sealed receipt. It is answered in its turn, so that acknowledgements keep their order. */
  #ask(payload: Uint8Array, ticket: Ticket, acknowledge: () => void, answer: AnswerSealed): void {
    // What was thrown away was no question; nor is this byte, which no CBOR begins with.
    const question = ticket.sizeDiscarded === null ? copyBytes(payload) : Uint8Array.of(0xff)
    const device = this.#deviceId!
    const turn: Turn = { asked: true, acknowledge, answer: null }
    this.#await(ticket.bytes, turn, () => {
      // One of a connection after the other: devices share the way to the log, and none has more than one place in it.
      const asked = this.#lastSealed.then(async (): Promise<SealedAnswer> => {
        // Nobody hears it any more: the log is not asked.
        const bytes = this.#ended ? new Uint8Array(0) : await answer(device, question)
        return { kind: "sealed", bytes }
      })
      this.#lastSealed = asked.catch(() => {})
      return asked
    })
  }

  #await(bytes: number, turn: Turn, ask: (place: Place) => Promise<Answer | SealedAnswer>): void {
    const place = this.#place
    if (place === null || this.#ended || this.#refusing) {
      this.#options.budget.release(bytes)
      return
    }
    this.#turns.push(turn)
    const settled = (where: string, work: () => void): void => {
      this.#options.budget.release(bytes) // not before, even if the connection is gone: the bytes are still held there
      this.guard(where, work)
    }
    let answered: Promise<Answer | SealedAnswer>
    try {
      answered = ask(place)
    } catch (error) {
      answered = Promise.reject(error instanceof Error ? error : new Error("submit threw"))
    }
    answered.then(
      (answer) =>
        settled("answer", () => {
          turn.answer = answer
          this.#answerTurns()
        }),
      (error: unknown) =>
        settled("submit", () => {
          throw error
        }),
    )
  }

  /** In order of arrival: an answer that came early waits for those before it. */
  #answerTurns(): void {
    while (!this.#ended && !this.#refusing) {
      const turn = this.#turns[0]
      if (turn === undefined || turn.answer === null) return
      if (turn.answer.kind === "dropped") {
        this.#options.gate.cut()
        return
      }
      this.#turns.shift()
      if (turn.answer.kind === "sealed") {
        this.#acknowledge(turn, encodeSealedPacket(this.#deviceId ?? "", turn.answer.bytes))
        continue
      }
      if (turn.answer.refused) this.#refuse(turn.answer.receipt)
      else this.#accept(turn, turn.answer.receipt)
      if (turn.answer.closes === true) this.#closeBehindAck()
    }
  }

  #accept(turn: Turn, receipt: Uint8Array): void {
    // The receipt before the acknowledgement (FORMAT §5).
    this.#acknowledge(turn, turn.asked || this.#subscribed ? this.#encodeReceipt(receipt) : null)
  }

  /** Writes the packet, and behind it the acknowledgement. */
  #acknowledge(turn: Turn, packet: Uint8Array | null): void {
    const { gate } = this.#options
    if (typeof turn.acknowledge === "number") {
      if (packet !== null) gate.send(packet)
      gate.send(puback(turn.acknowledge))
    } else {
      gate.flush()
      if (packet !== null) gate.write(packet)
      turn.acknowledge()
    }
    gate.release()
  }

  /** The device's next key stands, and this connection was opened by the one before (FORMAT §7). */
  #closeBehindAck(): void {
    this.#refusing = true
    this.#options.gate.discardInput()
    // The PUBACK is written a few microtasks later: it goes first.
    setImmediate(() => this.#options.gate.writeLast(new Uint8Array(0)))
  }

  /** Nothing behind a refusal is judged or acknowledged: it could not have linked. */
  #refuse(receipt: Uint8Array): void {
    const packet = this.#encodeReceipt(receipt)
    this.#refusing = true
    this.#options.gate.discardInput()
    // A PUBREC that was let go just before is written a few microtasks later: it goes first.
    setImmediate(() => this.#options.gate.writeLast(packet))
  }

  #encodeReceipt(receipt: Uint8Array): Uint8Array {
    return encodeReceiptPacket(this.#deviceId ?? "", receipt)
  }
}

function explainVersion({
  protocolVersion,
  protocolId,
  bridgeMode,
}: ConnectPacket & { bridgeMode?: boolean }) {
  if (bridgeMode === true)
    return "the client connects as a bridge: only MQTT 3.1.1 of a client is spoken here"
  const spoken =
    protocolVersion === 5 ? "MQTT 5" : `${showText(protocolId ?? "")} version ${String(protocolVersion)}`
  return `the client speaks ${spoken}, and only MQTT 3.1.1 is spoken here: set protocol version 4 in its options`
}
