/** An honest device that publishes at a steady pace, whatever goes on beside it, and remembers what it was told. */
import { setTimeout as wait } from "node:timers/promises"
import { formatHex } from "../../chain/bytes.ts"
import type { Hash } from "../../chain/hash.ts"
import { algorithmEd25519 } from "../../chain/key.ts"
import { decodeReceipt } from "../../chain/receipt.ts"
import { entryOf } from "../../chain/statement.ts"
import type { Random } from "../../devices-sim/random.ts"
import { sha256Native } from "../../ingest/native.ts"
import { RawClient } from "../broker/raw-client.ts"
import { type SoakDevice, claimsBehind, heartRates, makeSoakDevice, signClaims } from "./soak-device.ts"

export interface Acknowledgement {
  /** When the statement was published, by `performance.now()`. */
  readonly atMs: number
  readonly ackMs: number
}

export class HonestDevice {
  readonly device: SoakDevice
  /** Of the statements that were acknowledged, in order of seq. */
  readonly entries: string[] = []
  readonly acknowledgements: Acknowledgement[] = []
  /** What must not happen to it, in words. */
  readonly faults: string[] = []
  /** Receipts of any kind. */
  receipts = 0
  /** The answers to its questions among them. */
  answers = 0
  readonly #random: Random
  #isEnding = false

  constructor(id: string, random: Random) {
    this.device = makeSoakDevice(id, algorithmEd25519, random)
    this.#random = random
  }

  end(): void {
    this.#isEnding = true
  }

  /** Publishes every `intervalMs` or so, one at a time, over one connection, until `end`. */
  async run(port: number, intervalMs: number): Promise<void> {
    const { id } = this.device
    try {
      const client = await RawClient.connect(port, id)
      await client.subscribe()
      const welcome = decodeReceipt(await client.expectReceipt())
      if (welcome.code !== 0) this.faults.push(`${id}: was not welcome`)
      this.receipts += 1
      this.answers += 1
      let prev: Hash = welcome.head.entry
      while (!this.#isEnding) {
        const sentAt = performance.now()
        prev = await this.#say(client, prev)
        // Around the interval, so that devices do not march in step.
        const pauseMs = intervalMs * (0.5 + this.#random.float()) - (performance.now() - sentAt)
        await wait(Math.max(0, pauseMs))
      }
      await client.destroy()
    } catch (error) {
      this.faults.push(`${id}: ${(error as Error).message}`)
    }
  }

  async #say(client: RawClient, prev: Hash): Promise<Hash> {
    const head = { seq: this.entries.length, entry: prev }
    const claims = claimsBehind(this.device, head, heartRates(head.seq, 20))
    const bytes = signClaims(this.device.key, claims)
    const entry = entryOf(bytes, sha256Native)
    const atMs = performance.now()
    const id = client.publish(bytes, { messageId: (head.seq % 60_000) + 1 })
    const { code, seq } = decodeReceipt(await client.expectReceipt())
    this.receipts += 1
    const puback = await client.expect("puback")
    this.acknowledgements.push({ atMs, ackMs: performance.now() - atMs })
    if (code !== 1 || seq !== claims.seq || puback.messageId !== id)
      throw new Error(`its statement ${claims.seq} was answered with code ${code}`)
    this.entries.push(formatHex(entry))
    return entry
  }
}
