/** One connection of the fuzz: raw bytes out, and a record of what came back. */
import { createConnection, type Socket } from "node:net"
import { parser, type Packet } from "mqtt-packet"
import { decodeReceipt, type Head } from "../../chain/receipt.ts"

/** Of the probe behind each case: an empty message, answered in its turn. */
export const probeId = 65_535

/** What all connections heard. */
export interface FuzzHeard {
  connections: number
  readonly receipts: Map<number, number>
  readonly connacks: Map<number, number>
  /** Closed by the service without a word, though nobody had hung up. */
  silent: number
  /** The client hung up: half a frame, a DISCONNECT, or nothing more to say. */
  left: number
  /** Closed behind a receipt that refuses. */
  refused: number
}

export class FuzzConnection {
  readonly #socket: Socket
  #waiting: (() => void)[] = []
  /** Answers to probes. */
  probes = 0
  /** Receipts of any kind. */
  receipts = 0
  connack: number | null = null
  head: Head | null = null
  isClosed = false
  /** Nothing that came back was MQTT and a receipt, in words. */
  fault: string | null = null
  #isLeft = false
  hasRefusal = false

  constructor(port: number, heard: FuzzHeard) {
    heard.connections += 1
    this.#socket = createConnection({ port, host: "127.0.0.1", noDelay: true })
    const incoming = parser()
    incoming.on("packet", (packet: Packet) => this.#take(packet, heard))
    incoming.on("error", (error: Error) => (this.fault = error.message))
    this.#socket.on("data", (chunk: Buffer) => {
      incoming.parse(chunk)
      this.#changed()
    })
    this.#socket.on("error", () => {})
    this.#socket.on("close", () => {
      this.isClosed = true
      if (this.hasRefusal) heard.refused += 1
      else if (this.connack !== null && this.connack !== 0)
        heard.connacks.set(this.connack, (heard.connacks.get(this.connack) ?? 0) + 1)
      else if (this.#isLeft) heard.left += 1
      else heard.silent += 1
      this.#changed()
    })
  }

  send(...parts: readonly Uint8Array[]): void {
    if (!this.isClosed) this.#socket.write(Buffer.concat(parts))
  }

  /** FIN: what was begun will not be finished. */
  finish(): void {
    this.#isLeft = true
    this.#socket.end()
  }

  /** It has said DISCONNECT, or may have. */
  markLeft(): void {
    this.#isLeft = true
  }

  async close(): Promise<void> {
    this.#isLeft = true
    this.#socket.destroy()
    await this.until(() => this.isClosed)
  }

  /** Resolves once it is so; something must come in for that, or the connection must close. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #changed(): void {
    for (const look of this.#waiting.splice(0)) look()
  }

  #take(packet: Packet, heard: FuzzHeard): void {
    if (packet.cmd === "connack") this.connack = packet.returnCode ?? 0
    else if (packet.cmd === "puback" && packet.messageId === probeId) this.probes += 1
    else if (packet.cmd === "publish") {
      try {
        const { code, head } = decodeReceipt(Uint8Array.from(packet.payload as Uint8Array))
        this.receipts += 1
        heard.receipts.set(code, (heard.receipts.get(code) ?? 0) + 1)
        this.head = head
        if (code >= 10) this.hasRefusal = true
      } catch (error) {
        this.fault = `a receipt that is none: ${(error as Error).message}`
      }
    }
  }
}
