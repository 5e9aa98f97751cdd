/** An honest device of FORMAT §4 as raw frames, with a memory that no kill reaches: what it signed, what was acknowledged. */
import { createPrivateKey, sign, type KeyObject } from "node:crypto"
import { setTimeout as wait } from "node:timers/promises"
import { equalBytes } from "../../chain/bytes.ts"
import { FormatFault } from "../../chain/cbor.ts"
import type { Hash } from "../../chain/hash.ts"
import { algorithmEd25519, kidOf, makePrivateKey, type PublicKey } from "../../chain/key.ts"
import { decodeReceipt, type Head } from "../../chain/receipt.ts"
import { encodePack } from "../../chain/senml.ts"
import { contentSenml, encodeSignedBytes, encodeStatement, type Claims } from "../../chain/statement.ts"
import type { Random } from "../../devices-sim/random.ts"
import { sha256Native } from "../../ingest/native.ts"
import { RawClient } from "../broker/raw-client.ts"

/** RFC 8410 §7: what stands before an Ed25519 seed in PKCS #8. */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex")
/** FORMAT §4: at most 100 in flight. */
const windowMax = 40

export interface DeviceWorld {
  /** Resolves to the broker's port once a service runs. */
  whenUp(): Promise<number>
  acknowledged(): void
}

export class KillDevice {
  readonly id: string
  readonly publicKey: PublicKey
  /** The entry of each statement that it signed, at seq - 1. */
  readonly entries: Hash[] = []
  /** The seqs that a PUBACK came for. */
  readonly acknowledged = new Set<number>()
  /** What must never happen, in words. */
  readonly faults: string[] = []
  connections = 0
  /** Published more than once, since the first PUBACK did not come. */
  sentAgain = 0
  /** Stored, as the head told, without a PUBACK that arrived. */
  storedSilently = 0
  readonly #signer: KeyObject
  readonly #kid: Uint8Array
  readonly #random: Random
  readonly #isForgetful: boolean
  /** How often it forgot: what it signs anew is something else. */
  #lives = 0
  /** Signed bytes without an answer, by seq. */
  readonly #outbox = new Map<number, Uint8Array>()
  #sentHighest = 0
  /** Where its chain begins: told by the first head. */
  #firstPrev: Hash | null = null
  /** The last that it knows to be stored, by a PUBACK or by a head. */
  #acceptedHighest = 0
  #isEnding = false
  #client: RawClient | null = null

  /**
   * @param isForgetful it has no durable storage: what the head does not cover is gone after each connection, and other
   *   content is signed for the same places (FORMAT §4: ask for the head before signing)
   */
  constructor(id: string, random: Random, isForgetful = false) {
    this.#isForgetful = isForgetful
    const secret = random.bytes(32)
    this.id = id
    this.#random = random
    this.publicKey = makePrivateKey(algorithmEd25519, secret).publicKey
    this.#kid = kidOf(this.publicKey)
    this.#signer = createPrivateKey({
      key: Buffer.concat([pkcs8Prefix, secret]),
      format: "der",
      type: "pkcs8",
    })
  }

  /** Publishes until `end` was called and everything has its answer. */
  async run(world: DeviceWorld): Promise<void> {
    while (!this.#isDone()) {
      const port = await world.whenUp()
      try {
        this.#client = await RawClient.connect(port, this.id)
        this.connections += 1
        await this.#talk(this.#client, world)
      } catch (error) {
        if (error instanceof FormatFault) this.#fault(`a receipt that is none: ${error.message}`)
        // Else the connection closed, by a kill. What has no answer stays in the outbox.
      }
      await this.#client?.destroy()
      if (!this.#isDone()) await wait(this.#random.int(20, 150))
    }
  }

  /** Signs nothing new from now on. */
  end(): void {
    this.#isEnding = true
    // Who is waiting for an answer that will not come, since nothing is in flight, has to look again.
    if (this.#isDone()) this.#client?.socket.destroy()
  }

  #isDone(): boolean {
    return this.faults.length > 0 || (this.#isEnding && this.#outbox.size === 0)
  }

  async #talk(client: RawClient, world: DeviceWorld): Promise<void> {
    const inFlight = new Map<number, number>()
    let seqNext = 0
    client.publish(new Uint8Array(), { messageId: 65_535 })
    while (!this.#isDone()) {
      const packet = await client.next()
      if (packet.cmd === "publish") {
        const { code, head, seq } = decodeReceipt(Uint8Array.from(packet.payload as Uint8Array))
        if (code >= 10) return this.#fault(`statement ${seq} was refused with code ${code}`)
        if (code !== 0) continue
        this.#goOnFrom(head)
        seqNext = head.seq + 1
      } else if (packet.cmd === "puback" && packet.messageId !== 65_535) {
        const seq = inFlight.get(packet.messageId ?? 0)
        if (seq === undefined) return this.#fault(`a PUBACK for nothing, ${packet.messageId}`)
        inFlight.delete(packet.messageId ?? 0)
        this.acknowledged.add(seq)
        this.#acceptedHighest = Math.max(this.#acceptedHighest, seq)
        this.#outbox.delete(seq)
        world.acknowledged()
      }
      while (seqNext > 0 && inFlight.size < windowMax && !this.#isDone()) {
        if (seqNext > this.entries.length && this.#isEnding) break
        const bytes = this.#outbox.get(seqNext) ?? this.#sign(seqNext)
        const messageId = (seqNext % 65_534) + 1
        client.publish(bytes, { messageId })
        inFlight.set(messageId, seqNext)
        if (seqNext <= this.#sentHighest) this.sentAgain += 1
        this.#sentHighest = Math.max(this.#sentHighest, seqNext)
        seqNext += 1
      }
    }
  }

  /** FORMAT §4: a head below what was acknowledged means that the service lost data. */
  #goOnFrom(head: Head): void {
    if (head.seq < this.#acceptedHighest)
      return this.#fault(
        `the service lost data: its head is ${head.seq}, and ${this.#acceptedHighest} was stored`,
      )
    if (head.seq > this.entries.length)
      return this.#fault(`the head is ${head.seq}, and it signed ${this.entries.length}`)
    if (head.seq === 0) this.#firstPrev ??= head.entry
    if (!equalBytes(head.entry, this.entries[head.seq - 1] ?? this.#firstPrev!))
      return this.#fault(`the head's entry at ${head.seq} is not what it signed`)
    for (const seq of this.#outbox.keys()) {
      if (seq > head.seq) continue
      this.#outbox.delete(seq)
      this.storedSilently += 1
    }
    this.#acceptedHighest = head.seq
    if (!this.#isForgetful) return
    this.entries.length = head.seq
    this.#outbox.clear()
    this.#lives += 1
  }

  #sign(seq: number): Uint8Array {
    const startsAt = 1_760_000_000 + 60 * seq
    const count = 1 + ((seq * 7) % 40)
    const claims: Claims = {
      algorithm: algorithmEd25519,
      kid: this.#kid,
      content: contentSenml,
      iss: this.id,
      sub: this.id,
      iat: startsAt + 60,
      seq,
      prev: this.entries[seq - 2] ?? this.#firstPrev!,
      payload: encodePack([
        {
          kind: "number",
          name: "heart-rate",
          unit: "beat/min",
          times: Array.from({ length: count }, (_, index) => startsAt + index),
          values: Array.from({ length: count }, (_, index) => 60 + ((seq + index) % 50) + this.#lives / 128),
        },
      ]),
    }
    const bytes = encodeStatement(claims, sign(null, encodeSignedBytes(claims), this.#signer))
    this.entries.push(sha256Native(bytes))
    this.#outbox.set(seq, bytes)
    return bytes
  }

  #fault(what: string): void {
    this.faults.push(`${this.id}: ${what}`)
  }
}
