/**
 * What loads are run on: the service, its fleet, the generator, and beside them the floor and the peer, all on one Postgres
 * server, one at a time.
 */
import { join } from "node:path"
import type { Pool } from "pg"
import { encodeCoseKey } from "../../chain/key.ts"
import { migrate } from "../../ingest/database/migration.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { Fleet, writeMessages } from "./fleet.ts"
import type { FloorRequest, FloorSeconds, FloorVerifier } from "./floor-work.ts"
import type { GeneratorRequest, Published } from "./generator.ts"
import { Mosquitto } from "./mosquitto.ts"
import type { ConsumerRequest } from "./peer-consumer.ts"
import { encodePeerMessage, peerSchema } from "./peer-message.ts"
import { readFamilySeconds, readProcessSeconds } from "./processor-time.ts"
import type { BenchService } from "./service.ts"
import { timeProcesses } from "./stopwatch.ts"
import { Worker } from "./worker.ts"

export interface Load {
  readonly readings: number
  /** Statements of a slot. */
  readonly statements: number
}

export interface LoadSlot {
  readonly load: Load
  /** Of ingest's own path: the statements as files. */
  readonly signed: string
  readonly unsigned: string
  readonly unsignedCount: number
}

export interface IngestSpent {
  readonly published: Published
  readonly service: number | null
  readonly postgres: number | null
  readonly generator: number | null
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

const window = 20
const dayS = 86_400

export class LoadStand {
  readonly service: BenchService
  readonly fleet: Fleet
  readonly #generator = new Worker<GeneratorRequest>("generator.ts")
  readonly #floor = new Worker<FloorRequest>("floor-work.ts")
  #floorUrl: string | null = null
  #peer: { readonly mosquitto: Mosquitto; readonly consumer: Worker<ConsumerRequest> } | null = null
  readonly #pools: Pool[] = []
  #slots = 0

  private constructor(service: BenchService, fleet: Fleet) {
    this.service = service
    this.fleet = fleet
  }

  /** @param nowS Unix seconds: readings end before it */
  static async open(service: BenchService, devices: number, seed: number, nowS: number): Promise<LoadStand> {
    const fleet = new Fleet("load", devices, seed, nowS - 30 * dayS)
    await service.enrol(fleet)
    await service.start()
    return new LoadStand(service, fleet)
  }

  async openFloor(): Promise<void> {
    this.#floorUrl = await this.service.makeDatabase("bench_floor")
    const pool = openPool(this.#floorUrl, 1)
    this.#pools.push(pool)
    await migrate(pool)
    // Rows of entries refer to their chains.
    const { rows } = await this.service.pool.query<{ device_id: string; seq: number; entry: Uint8Array }>(
      "select device_id, seq, entry from chain_heads",
    )
    await pool.query(
      "insert into chain_heads (device_id, seq, entry) select * from unnest($1::text[], $2::bigint[], $3::bytea[])",
      [rows.map(({ device_id }) => device_id), rows.map(({ seq }) => seq), rows.map(({ entry }) => entry)],
    )
  }

  async openPeer(mosquittoPath: string): Promise<void> {
    const url = await this.service.makeDatabase("bench_peer")
    const pool = openPool(url, 1)
    this.#pools.push(pool)
    await pool.query(peerSchema)
    const mosquitto = await Mosquitto.start(mosquittoPath, join(this.service.folder, "mosquitto"))
    const consumer = new Worker<ConsumerRequest>("peer-consumer.ts")
    const devices = this.fleet.devices.map(({ id }) => id)
    this.#peer = { mosquitto, consumer }
    await consumer.ask({ kind: "connect", port: mosquitto.port, url, devices })
  }

  /** Signs the next statements, and takes the same readings unsigned: the first `unsignedCount` of them. */
  prepare(load: Load, unsignedCount: number): LoadSlot {
    this.#slots += 1
    const path = (name: string): string => join(this.service.folder, `${name}-${this.#slots % 2}`)
    const packs = [...this.fleet.packs(load.statements, load.readings)]
    const [signed, unsigned] = [path("signed"), path("unsigned")]
    writeMessages(signed, this.fleet.sign(packs))
    const count = writeMessages(
      unsigned,
      packs.slice(0, unsignedCount).map((pack) => ({ from: pack.from, bytes: encodePeerMessage(pack) })),
    )
    return { load, signed, unsigned, unsignedCount: count }
  }

  /** @param perSecond statements; null: as many as there can be */
  async ingest(slot: LoadSlot, perSecond: number | null): Promise<IngestSpent> {
    const { up, postmaster } = this.service
    await this.#connect(slot.signed, "v1/{device}/statements", up.mqtt)
    const clocks = {
      service: () => readProcessSeconds(up.pid),
      postgres: () => readFamilySeconds(postmaster),
      generator: () => readProcessSeconds(this.#generator.pid),
    }
    await this.settle()
    const { result, seconds } = await timeProcesses(clocks, async () => {
      const published = await this.#generator.ask<Published>({ kind: "publish", window, perSecond })
      await this.settle()
      return published
    })
    await this.#generator.ask({ kind: "disconnect" })
    return { published: result, ...seconds }
  }

  /** Of the statements that `ingest` has just stored. */
  async floor(slot: LoadSlot): Promise<FloorSpent> {
    const { rows } = await this.service.pool.query<{ to: number }>("select max(id) + 1 as to from entries")
    const idTo = rows[0]!.to
    const idFrom = idTo - slot.load.statements
    const keys = this.fleet.devices.map(({ key }) => encodeCoseKey(key.publicKey))
    await this.#floor.ask({ kind: "load", path: slot.signed, keys, from: this.service.url, idFrom, idTo })
    const node = await this.#floor.ask<FloorSeconds>({ kind: "verify", by: "node" })
    const ingest = await this.#floor.ask<FloorSeconds>({ kind: "verify", by: "ingest" })
    const hash = await this.#floor.ask<FloorSeconds>({ kind: "hash" })
    const clocks = { postgres: () => readFamilySeconds(this.service.postmaster) }
    await this.settle()
    const { result: copy, seconds } = await timeProcesses(clocks, async () => {
      const spent = await this.#floor.ask<FloorSeconds>({ kind: "copy", into: this.#floorUrl! })
      await this.settle()
      return spent
    })
    return { verify: { node, ingest }, hash, copy, ...seconds }
  }

  async peer(slot: LoadSlot): Promise<PeerSpent> {
    const { mosquitto, consumer } = this.#peer!
    await this.#connect(slot.unsigned, "readings/{device}", mosquitto.port)
    const clocks = {
      broker: () => readProcessSeconds(mosquitto.pid),
      consumer: () => readProcessSeconds(consumer.pid),
      postgres: () => readFamilySeconds(this.service.postmaster),
    }
    await this.settle()
    const { result: wallSeconds, seconds } = await timeProcesses(clocks, async () => {
      const startedAt = performance.now()
      const consumed = consumer.ask({ kind: "consume", messages: slot.unsignedCount })
      await Promise.all([consumed, this.#generator.ask({ kind: "publish", window, perSecond: null })])
      const tookMs = performance.now() - startedAt
      await this.settle()
      return tookMs / 1000
    })
    await this.#generator.ask({ kind: "disconnect" })
    return { wallSeconds, ...seconds }
  }

  /** Statistics for plans that any older database would have. */
  async analyze(): Promise<void> {
    for (const pool of [this.service.pool, ...this.#pools]) await pool.query("vacuum analyze")
  }

  /** What was written goes to disk now, and not while the next one is measured. */
  async settle(): Promise<void> {
    await this.service.pool.query("checkpoint")
  }

  async #connect(path: string, topic: string, port: number): Promise<void> {
    const devices = this.fleet.devices.map(({ id }) => id)
    await this.#generator.ask({ kind: "load", path, devices, topic })
    await this.#generator.ask({ kind: "connect", port })
  }

  async close(): Promise<void> {
    await Promise.all([this.#generator.end(), this.#floor.end(), this.#peer?.consumer.end()])
    await this.#peer?.mosquitto.end()
    for (const pool of this.#pools) await pool.end()
  }
}
