/** One MQTT connection of a device, that says a thing and hears all that comes back. */
import { type Receipt, decodeReceipt } from "../../chain/receipt.ts"
import { RawClient } from "../broker/raw-client.ts"

export interface Heard {
  readonly receipt: Receipt
  readonly isAcknowledged: boolean
  /** The service closed the connection behind the receipt. */
  readonly isClosed: boolean
}

export class DeviceSession {
  readonly client: RawClient
  /** What the subscription was answered with. */
  readonly told: Receipt

  private constructor(client: RawClient, told: Receipt) {
    this.client = client
    this.told = told
  }

  /** Connects and subscribes, which asks for the head. */
  static async open(port: number, device: string): Promise<DeviceSession> {
    const client = await RawClient.connect(port, device)
    await client.subscribe()
    return new DeviceSession(client, decodeReceipt(await client.expectReceipt()))
  }

  /** Publishes at QoS 1 and waits for receipt and PUBACK, or for receipt and the end. */
  async say(bytes: Uint8Array): Promise<Heard> {
    const id = this.client.publish(bytes)
    const receipt = decodeReceipt(await this.client.expectReceipt())
    // `next` rejects where the connection closed instead.
    const behind = await this.client.next().catch(() => null)
    if (behind === null) return { receipt, isAcknowledged: false, isClosed: true }
    if (behind.cmd !== "puback" || behind.messageId !== id)
      throw new Error(`device ${this.client.deviceId}: ${behind.cmd} behind a receipt`)
    return { receipt, isAcknowledged: true, isClosed: false }
  }

  close(): Promise<void> {
    return this.client.destroy()
  }
}
