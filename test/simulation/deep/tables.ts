/** The tables of the schema that ingest writes and reads, as rows in memory. */
import { formatHex } from "../../../chain/bytes.ts"
import { Table } from "./table.ts"

export interface ChainHead {
  readonly device: string
  readonly seq: number
  readonly entry: Uint8Array
  readonly epoch: number
}

export interface DeviceRow {
  readonly device: string
  readonly status: string
  readonly registry: Uint8Array
  readonly attributes: string
  readonly caDigest: Uint8Array | null
}

export interface KeyRow {
  readonly device: string
  readonly kid: Uint8Array
  readonly coseKey: Uint8Array
  readonly firstSeq: number
  readonly lastSeq: number | null
  readonly endedBy: string | null
  readonly isPossessionProven: boolean
  readonly introducedBy: string
}

export interface Entry {
  readonly id: number
  readonly device: string
  readonly seq: number
  readonly entry: Uint8Array
  readonly receivedAtMs: number
  readonly signedDigest: Uint8Array
  readonly code: number
  readonly fault: string | null
  readonly readings: number
  readonly startsAt: number | null
  readonly endsAt: number | null
}

export interface StatementRow {
  readonly id: number
  readonly receivedAtMs: number
  readonly bytes: Uint8Array
}

export interface SeriesRow {
  readonly id: number
  readonly position: number
  readonly receivedAtMs: number
  readonly device: string
  readonly metric: string
  readonly name: string
  readonly unit: string | null
  readonly kind: string
  readonly startsAt: number
  readonly endsAt: number
  readonly times: readonly number[] | null
  readonly numbers: readonly number[] | null
  readonly texts: readonly string[] | null
  readonly blobs: readonly Uint8Array[] | null
  readonly periodMs: number | null
  readonly factor: number | null
  readonly origin: number | null
  readonly samples: Int16Array | null
  readonly ahead: boolean
}

export interface RefusalRow {
  readonly device: string
  readonly code: number
  readonly count: number
}

export interface ForkRow {
  readonly device: string
  readonly seq: number
  readonly stored: Uint8Array
  readonly other: Uint8Array
}

export interface BlockRow {
  readonly height: number
  readonly fromMs: number
  readonly toMs: number
  readonly firstLeaf: number
  readonly size: number
  readonly root: Uint8Array
  readonly headsRoot: Uint8Array
  readonly blocksRoot: Uint8Array
  readonly arrivalsRoot: Uint8Array
  readonly summary: Uint8Array
  readonly salt: Uint8Array
  readonly devices: number
  readonly statements: number
  readonly readings: number
  readonly earliestMs: number | null
  readonly latestMs: number | null
  readonly manifestId: number
}

export interface LeafRunRow {
  readonly firstLeaf: number
  readonly firstId: number
  readonly count: number
}

export interface TileRow {
  readonly level: number
  readonly index: number
  readonly hashes: Uint8Array
}

export interface SealedHeadRow {
  readonly device: string
  readonly height: number
  readonly seq: number
  readonly entry: Uint8Array
  readonly registry: Uint8Array
}

export interface CheckpointRow {
  readonly height: number
  readonly size: number
  readonly root: Uint8Array
  readonly note: string
  readonly receiptSignature: Uint8Array | null
}

export interface LogRow {
  readonly origin: string
  readonly vkey: string
  readonly operatorKey: Uint8Array
  readonly receiptKey: Uint8Array
  readonly version: number
}

/** The tables, and with them the constraints that ingest leans on: keys, and columns that are unique. */
export class Tables {
  readonly log = new Table<LogRow>("log", () => "")
  readonly heads = new Table<ChainHead>("chain_heads", ({ device }) => device)
  readonly devices = new Table<DeviceRow>("devices", ({ device }) => device)
  readonly keys = new Table<KeyRow>("device_keys", ({ device, kid }) => `${device} ${formatHex(kid)}`)
  readonly entries = new Table<Entry>("entries", ({ device, seq }) => `${device} ${seq}`, [
    ({ id }) => `${id}`,
    ({ entry }) => formatHex(entry),
  ])
  readonly statements = new Table<StatementRow>("statements", ({ id }) => `${id}`)
  readonly series = new Table<SeriesRow>("series", ({ id, position }) => `${id} ${position}`)
  readonly refusals = new Table<RefusalRow>("refusals", ({ device, code }) => `${device} ${code}`)
  readonly forks = new Table<ForkRow>("forks", ({ device, seq }) => `${device} ${seq}`)
  readonly blocks = new Table<BlockRow>("blocks", ({ height }) => `${height}`, [
    ({ manifestId }) => `${manifestId}`,
  ])
  readonly leafRuns = new Table<LeafRunRow>("leaf_runs", ({ firstLeaf }) => `${firstLeaf}`, [
    ({ firstId }) => `${firstId}`,
  ])
  readonly tiles = new Table<TileRow>("tiles", ({ level, index }) => `${level}/${index}`)
  readonly arrivalTiles = new Table<TileRow & { readonly height: number }>(
    "arrival_tiles",
    ({ height, level, index }) => `${height}/${level}/${index}`,
  )
  readonly sealedHeads = new Table<SealedHeadRow>(
    "sealed_heads",
    ({ device, height }) => `${device} ${height}`,
  )
  readonly checkpoints = new Table<CheckpointRow>("checkpoints", ({ height }) => `${height}`, [
    ({ size }) => `${size}`,
  ])
  readonly publications = new Table<{ readonly height: number }>("publications", ({ height }) => `${height}`)
  readonly publisher = new Table<{ readonly folder: string; readonly sinceMs: number }>("publisher", () => "")

  /** All of them, for backups. */
  list(): Table<unknown>[] {
    return Object.values(this) as Table<unknown>[]
  }
}
