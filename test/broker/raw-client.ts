import { createConnection, type Socket } from "node:net"
import { generate, parser, type IConnectPacket, type Packet, type QoS } from "mqtt-packet"

type Command = Packet["cmd"]
type PacketOf<C extends Command> = Extract<Packet, { cmd: C }>

export interface RawPublish {
  /** Its own statements topic by default. */
  readonly topic?: string
  /** 1 by default. */
  readonly qos?: QoS
  /** The next free one by default. */
  readonly messageId?: number
  readonly retain?: boolean
  readonly dup?: boolean
}

/**
 * A device as frames over a socket: it sends what it is told to, right or wrong, and never answers by itself.
 * What arrives is kept in order until `next`, `expect` or `readUntilClose` takes it.
 */
export class RawClient {
  readonly deviceId: string
  readonly socket: Socket
  /** Settles when the socket is closed: by FIN (`end`), or by RST or another error (`reset`). */
  readonly closed: Promise<"end" | "reset">
  readonly #arrived: Packet[] = []
  #waiting: ((packet: Packet | null) => void) | null = null
  #isClosed = false
  #messageId = 0

  private constructor(deviceId: string, socket: Socket) {
    this.deviceId = deviceId
    this.socket = socket
    const incoming = parser()
    incoming.on("packet", (packet: Packet) => this.#take(packet))
    socket.on("data", (chunk: Buffer) => incoming.parse(chunk))
    let how: "end" | "reset" = "end"
    socket.on("error", () => {
      how = "reset"
    })
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#isClosed = true
        this.#waiting?.(null)
        this.#waiting = null
        resolve(how)
      })
    })
  }

  /** A socket that has said nothing yet. */
  static async open(port: number, deviceId = "k7"): Promise<RawClient> {
    const socket = createConnection({ port, host: "127.0.0.1", noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => {
        socket.off("error", reject)
        resolve()
      })
      socket.once("error", reject)
    })
    return new RawClient(deviceId, socket)
  }

  /** A device that has its CONNACK 0; throws on any other return code. */
  static async connect(
    port: number,
    deviceId: string,
    options: Partial<IConnectPacket> = {},
  ): Promise<RawClient> {
    const client = await RawClient.open(port, deviceId)
    client.sendConnect(options)
    const connack = await client.expect("connack")
    if (connack.returnCode !== 0) throw new Error(`device ${deviceId}: CONNACK ${connack.returnCode}`)
    return client
  }

  sendConnect(options: Partial<IConnectPacket> = {}): void {
    this.send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      clientId: this.deviceId,
      ...options,
    })
  }

  send(packet: Packet): void {
    this.sendBytes(generate(packet))
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  /** Publishes, and gives the packet id (also at QoS 0, where it is not sent). */
  publish(payload: Uint8Array | string, options: RawPublish = {}): number {
    const messageId = options.messageId ?? ++this.#messageId
    this.send({
      cmd: "publish",
      topic: options.topic ?? `v1/${this.deviceId}/statements`,
      payload: typeof payload === "string" ? payload : Buffer.from(payload),
      qos: options.qos ?? 1,
      dup: options.dup ?? false,
      retain: options.retain ?? false,
      messageId,
    })
    return messageId
  }

  /** Subscribes (to one's own receipts by default), and gives the granted QoS or 0x80 of each. */
  async subscribe(
    topics: readonly string[] = [`v1/${this.deviceId}/receipts`],
    qos: QoS = 0,
  ): Promise<number[]> {
    this.send({
      cmd: "subscribe",
      messageId: ++this.#messageId,
      subscriptions: topics.map((topic) => ({ topic, qos })),
    })
    const suback = await this.expect("suback")
    return suback.granted.map(Number)
  }

  /** PINGREQ and back: everything that arrived before PINGRESP. So one sees what did not arrive. */
  async ping(): Promise<Packet[]> {
    this.send({ cmd: "pingreq" })
    const before: Packet[] = []
    for (;;) {
      const packet = await this.next()
      if (packet.cmd === "pingresp") return before
      before.push(packet)
    }
  }

  /** The next packet; throws if the connection closes instead. */
  async next(): Promise<Packet> {
    const packet = await this.#nextOrClosed()
    if (packet === null) throw new Error(`device ${this.deviceId}: the connection closed`)
    return packet
  }

  /** The next packet, which must be a `cmd`. */
  async expect<C extends Command>(cmd: C): Promise<PacketOf<C>> {
    const packet = await this.next()
    if (!isCommand(packet, cmd))
      throw new Error(`device ${this.deviceId}: expected ${cmd}, got ${packet.cmd}`)
    return packet
  }

  /** The next packet, which must be a receipt to this device: its bytes. */
  async expectReceipt(): Promise<Uint8Array> {
    const packet = await this.expect("publish")
    if (packet.topic !== `v1/${this.deviceId}/receipts` || packet.qos !== 0 || packet.retain) {
      throw new Error(`device ${this.deviceId}: a message that is no receipt, on ${packet.topic}`)
    }
    return typeof packet.payload === "string" ? Buffer.from(packet.payload) : new Uint8Array(packet.payload)
  }

  /** Everything until the connection is closed by the other side. */
  async readUntilClose(): Promise<Packet[]> {
    const packets: Packet[] = []
    for (;;) {
      const packet = await this.#nextOrClosed()
      if (packet === null) return packets
      packets.push(packet)
    }
  }

  /** Closes without DISCONNECT. */
  async destroy(): Promise<void> {
    this.socket.destroy()
    await this.closed
  }

  #take(packet: Packet): void {
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting === null) this.#arrived.push(packet)
    else waiting(packet)
  }

  #nextOrClosed(): Promise<Packet | null> {
    const packet = this.#arrived.shift()
    if (packet !== undefined) return Promise.resolve(packet)
    if (this.#isClosed) return Promise.resolve(null)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }
}

function isCommand<C extends Command>(packet: Packet, cmd: C): packet is PacketOf<C> {
  return packet.cmd === cmd
}
