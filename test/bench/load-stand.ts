/** What loads are compared with, on the same Postgres server as the service: the floor and the peer, one at a time. */
import { join } from "node:path"
import type { Pool } from "pg"
import { encodeCoseKey } from "../../chain/key.ts"
import { migrate } from "../../ingest/database/migration.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { writeMessages } from "./fleet.ts"
import type { FloorRequest, FloorSeconds, FloorVerifier } from "./floor-work.ts"
import { type IngestSpent, type IngestStand, type Load, type Pace } from "./ingest-stand.ts"
import { Mosquitto } from "./mosquitto.ts"
import type { ConsumerRequest } from "./peer-consumer.ts"
import { encodePeerMessage, peerSchema } from "./peer-message.ts"
import { readFamilySeconds, readProcessSeconds } from "./processor-time.ts"
import { timeProcesses } from "./stopwatch.ts"
import { Worker } from "./worker.ts"

/** The same readings, signed and not. */
export interface LoadSlot {
  readonly load: Load
  readonly signed: string
  readonly unsigned: string
  readonly unsignedCount: number
}

export interface FloorSpent {
  readonly verify: Readonly<Record<FloorVerifier, FloorSeconds>>
  readonly hash: FloorSeconds
  readonly copy: FloorSeconds
  readonly postgres: number | null
}

export interface PeerSpent {
  readonly wallSeconds: number
  readonly broker: number | null
  readonly consumer: number | null
  readonly postgres: number | null
}

export const loadWindow = 20

export class LoadStand {
  readonly stand: IngestStand
  readonly #floor = new Worker<FloorRequest>("floor-work.ts")
  #floorUrl: string | null = null
  #peer: { readonly mosquitto: Mosquitto; readonly consumer: Worker<ConsumerRequest> } | null = null
  readonly #pools: Pool[] = []

  /** @param stand with its service up */
  constructor(stand: IngestStand) {
    this.stand = stand
  }

  async openFloor(): Promise<void> {
    const { service } = this.stand
    this.#floorUrl = await service.makeDatabase("bench_floor")
    const pool = openPool(this.#floorUrl, 1)
    this.#pools.push(pool)
    await migrate(pool)
    // Rows of entries refer to their chains.
    const { rows } = await service.pool.query<{ device_id: string; seq: number; entry: Uint8Array }>(
      "select device_id, seq, entry from chain_heads",
    )
    await pool.query(
      "insert into chain_heads (device_id, seq, entry) select * from unnest($1::text[], $2::bigint[], $3::bytea[])",
      [rows.map((row) => row.device_id), rows.map(({ seq }) => seq), rows.map(({ entry }) => entry)],
    )
  }

  async openPeer(mosquittoPath: string): Promise<void> {
    const { service, fleet } = this.stand
    const url = await service.makeDatabase("bench_peer")
    const pool = openPool(url, 1)
    this.#pools.push(pool)
    await pool.query(peerSchema)
    const mosquitto = await Mosquitto.start(mosquittoPath, join(service.folder, "mosquitto"))
    const consumer = new Worker<ConsumerRequest>("peer-consumer.ts")
    const devices = fleet.devices.map(({ id }) => id)
    this.#peer = { mosquitto, consumer }
    await consumer.ask({ kind: "connect", port: mosquitto.port, url, devices })
  }

  /** Signs the next statements, and takes the first `unsignedCount` of their readings unsigned. */
  prepare(load: Load, unsignedCount: number): LoadSlot {
    const { stand } = this
    const packs = [...stand.fleet.packs(load.statements, load.readings)]
    const signed = stand.sign(packs)
    const unsigned = stand.nextPath("unsigned")
    const messages = packs
      .slice(0, unsignedCount)
      .map((pack) => ({ from: pack.from, bytes: encodePeerMessage(pack) }))
    writeMessages(unsigned, messages)
    return { load, signed, unsigned, unsignedCount: messages.length }
  }

  ingest(slot: LoadSlot, perSecond: Pace["perSecond"]): Promise<IngestSpent> {
    return this.stand.ingest(slot.signed, { window: loadWindow, perSecond }, [this.stand.service.up])
  }

  /** Of the statements that `ingest` has just stored. */
  async floor(slot: LoadSlot): Promise<FloorSpent> {
    const { service, fleet } = this.stand
    const { rows } = await service.pool.query<{ to: number }>("select max(id) + 1 as to from entries")
    const idTo = rows[0]!.to
    const idFrom = idTo - slot.load.statements
    const keys = fleet.devices.map(({ key }) => encodeCoseKey(key.publicKey))
    await this.#floor.ask({ kind: "load", path: slot.signed, keys, from: service.url, idFrom, idTo })
    const node = await this.#floor.ask<FloorSeconds>({ kind: "verify", by: "node" })
    const ingest = await this.#floor.ask<FloorSeconds>({ kind: "verify", by: "ingest" })
    const hash = await this.#floor.ask<FloorSeconds>({ kind: "hash" })
    await service.settle()
    const clocks = { postgres: () => readFamilySeconds(service.postmaster) }
    const { result: copy, seconds } = await timeProcesses(clocks, async () => {
      const spent = await this.#floor.ask<FloorSeconds>({ kind: "copy", into: this.#floorUrl! })
      await service.settle()
      return spent
    })
    return { verify: { node, ingest }, hash, copy, ...seconds }
  }

  async peer(slot: LoadSlot): Promise<PeerSpent> {
    const { service, generator } = this.stand
    const { mosquitto, consumer } = this.#peer!
    await this.stand.connect(slot.unsigned, "readings/{device}", [mosquitto.port])
    await service.settle()
    const clocks = {
      broker: () => readProcessSeconds(mosquitto.pid),
      consumer: () => readProcessSeconds(consumer.pid),
      postgres: () => readFamilySeconds(service.postmaster),
    }
    const { result: wallSeconds, seconds } = await timeProcesses(clocks, async () => {
      const startedAtMs = performance.now()
      const consumed = consumer.ask({ kind: "consume", messages: slot.unsignedCount })
      await Promise.all([consumed, generator.ask({ kind: "publish", window: loadWindow, perSecond: null })])
      const tookMs = performance.now() - startedAtMs
      await service.settle()
      return tookMs / 1000
    })
    await generator.ask({ kind: "disconnect" })
    return { wallSeconds, ...seconds }
  }

  /** Statistics for plans that any older database would have. */
  async analyze(): Promise<void> {
    for (const pool of [this.stand.service.pool, ...this.#pools]) await pool.query("vacuum analyze")
  }

  async close(): Promise<void> {
    await Promise.all([this.#floor.end(), this.#peer?.consumer.end()])
    await this.#peer?.mosquitto.end()
    for (const pool of this.#pools) await pool.end()
  }
}
