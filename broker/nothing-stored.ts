import { Readable } from "node:stream"

/** What aedes asks a persistence about: a client, and the id of one of its packets. */
interface Owner {
  readonly id: string
}
interface Numbered {
  readonly messageId?: number
}

/**
 * A persistence for aedes that keeps no payload: no retained message, no will, no subscription, no offline queue. Only
 * the packet ids of QoS 2 messages between PUBREC and PUBREL are kept, per connection, since aedes counts them against
 * its `maxInflightInbound` and gives them back when they are deleted here.
 */
export class NothingStored {
  readonly #released = new WeakMap<Owner, Set<number>>()

  async setup(): Promise<void> {}
  async subscriptionsByTopic(): Promise<never[]> {
    return []
  }
  async subscriptionsByClient(): Promise<never[]> {
    return []
  }
  async addSubscriptions(): Promise<void> {}
  async removeSubscriptions(): Promise<void> {}
  async cleanSubscriptions(): Promise<void> {}
  async storeRetained(): Promise<void> {}
  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  async outgoingEnqueue(): Promise<void> {}
  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingUpdate(): Promise<void> {}
  async outgoingClearMessageId(): Promise<void> {}
  streamWill(): Readable {
    return Readable.from([])
  }
  outgoingStream(): Readable {
    return Readable.from([])
  }
  createRetainedStreamCombi(): Readable {
    return Readable.from([])
  }

  /** Rejects where the id is not known, as aedes expects. */
  async incomingGetPacket(client: Owner, packet: Numbered): Promise<Numbered> {
    if (packet.messageId === undefined || this.#released.get(client)?.has(packet.messageId) !== true) {
      throw new Error("no such packet id")
    }
    return { messageId: packet.messageId }
  }

  async incomingStorePacket(client: Owner, packet: Numbered): Promise<void> {
    if (packet.messageId === undefined) return
    const ids = this.#released.get(client)
    if (ids === undefined) this.#released.set(client, new Set([packet.messageId]))
    else ids.add(packet.messageId)
  }

  async incomingDelPacket(client: Owner, packet: Numbered): Promise<void> {
    if (packet.messageId !== undefined) this.#released.get(client)?.delete(packet.messageId)
  }

  async cleanIncoming(client: Owner): Promise<void> {
    this.#released.delete(client)
  }
}
