/**
 * What the audit reads of a log's database: rows as they stand, in order, from one consistent picture. Whoever makes a
 * source judges nothing: it hands out also what should not be there.
 *
 * Ids are `bigint`, since a row that somebody wrote by hand may hold any number. `Us` is Unix microseconds, Infinity or
 * -Infinity: ours are whole milliseconds, and a change below one must not be rounded away.
 */
import type { LeafRun } from "../chain/leaf-run.ts"

export interface AuditSource {
  /** Rows of `entries` whose id is above `after`, up to the end of block `to` as `blocks` says; null: all. */
  countEntries(after: bigint | null, to: number | null): Promise<number>
  /** The highest `manifest_id` of `blocks`; null where there is none. */
  readManifestIdMax(): Promise<bigint | null>
  log(): AsyncIterable<LogRow>
  /** Statements under this chain, the highest seq first: where the last manifest is looked for. */
  chainBackwards(device: string): AsyncIterable<{ readonly id: bigint; readonly bytes: Uint8Array | null }>
  /** All that stands under each id, ids ascending; a page at a time. Rows are good until the next page is asked for. */
  statements(asked: AskedStatements): AsyncIterable<Iterable<StatementRows>>
  /** The statements under this chain, seqs ascending; a page at a time. */
  chain(device: string): AsyncIterable<Iterable<StatementRows>>
  /** The statement that was accepted as this entry, whoever's; null where there is none. */
  readStatement(entry: Uint8Array): Promise<Uint8Array | null>
  /** Where this chain stood in front of the statement of this id. */
  readHeadBefore(device: string, id: bigint): Promise<ChainHeadRow | null>
  /** By height, from this one on; so the next two. */
  blocks(from: number): AsyncIterable<BlockRow>
  checkpoints(from: number): AsyncIterable<CheckpointRow>
  /** By height. */
  cosignatures(): AsyncIterable<CosignatureRow>
  witnessPolicies(): AsyncIterable<WitnessPolicyRow>
  witnessed(): AsyncIterable<WitnessedRow>
  /** By height, level and index. */
  arrivalTiles(from: number): AsyncIterable<ArrivalTileRow>
  /** By height, then device. */
  sealedHeads(from: number): AsyncIterable<SealedHeadRow>
  /** Of each row of `devices` the last one up to this height. */
  lastSealedHeads(height: number): AsyncIterable<SealedHeadRow>
  /** By first id, from ids above this one on; all for null. */
  leafRuns(after: bigint | null): AsyncIterable<LeafRun>
  readTileLevels(): Promise<readonly number[]>
  /** The hashes of one tile; null where it is not there. */
  readTile(level: number, index: number): Promise<Uint8Array | null>
  /** Of one level, by index, from this one on. */
  tiles(level: number, from: number): AsyncIterable<TileRow>
  chainHeads(): AsyncIterable<ChainHeadRow>
  devices(): AsyncIterable<DeviceRow>
  /** By device, then first seq. */
  deviceKeys(): AsyncIterable<DeviceKeyRow>
  /** By name. */
  authorities(): AsyncIterable<AuthorityRow>
  /** By device, then seq. */
  forks(): AsyncIterable<ForkRow>
}

export interface AskedStatements {
  /** Ids above this one; all for null. */
  readonly after: bigint | null
  /** Of these chains all that stands under an id, of others their entries only; of all for null. */
  readonly devices: ReadonlySet<string> | null
}

export interface LogRow {
  readonly origin: string
  readonly vkey: string
  readonly operatorKey: Uint8Array
  readonly receiptKey: Uint8Array
  readonly version: number
}

/** Every row that carries this id. `entry` is null where others do and no entry does. */
export interface StatementRows {
  readonly id: bigint
  readonly entry: EntryRow | null
  /** False: only the entry was asked for, and what else stands under the id is not here. */
  readonly isWhole: boolean
  readonly statements: readonly StatementRow[]
  /** By position. */
  readonly series: readonly SeriesRow[]
}

export interface EntryRow {
  readonly deviceId: string
  readonly seq: number
  readonly entry: Uint8Array
  readonly receivedAtUs: number
  readonly signedDigest: Uint8Array
  readonly code: number
  readonly fault: string | null
  readonly readings: number
  /** Unix seconds. */
  readonly startsAt: number | null
  readonly endsAt: number | null
}

export interface StatementRow {
  readonly receivedAtUs: number
  readonly bytes: Uint8Array
}

/** Numbers in the memory in which they came: an array of their own for each would be most of what is made and thrown away. */
export interface NumberColumn {
  readonly length: number
  at(index: number): number | undefined
}

/** An array of a row. `irregular` is what no writer of ours makes: nulls inside, more dimensions, another first index. */
export type RowArray<Values> = Values | "irregular" | null

export interface SeriesRow {
  readonly position: number
  readonly receivedAtUs: number
  readonly deviceId: string
  readonly metric: string
  readonly name: string
  readonly unit: string | null
  readonly kind: string
  /** Unix seconds. */
  readonly startsAt: number
  readonly endsAt: number
  readonly times: RowArray<NumberColumn>
  readonly numbers: RowArray<NumberColumn>
  readonly texts: RowArray<readonly string[]>
  readonly blobs: RowArray<readonly Uint8Array[]>
  readonly periodMs: number | null
  readonly factor: number | null
  readonly origin: number | null
  readonly samples: RowArray<Int16Array>
  readonly ahead: boolean | null
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
  readonly manifestId: bigint
}

export interface CheckpointRow {
  readonly height: number
  readonly size: number
  readonly root: Uint8Array
  readonly note: string
  /** Null: sealed before there were receipts. */
  readonly receiptSignature: Uint8Array | null
}

export interface CosignatureRow {
  readonly height: number
  readonly vkey: string
  readonly line: string
  readonly cosignedAtUs: number
}

export interface WitnessPolicyRow {
  readonly policyId: number
  readonly policy: Uint8Array
}

export interface WitnessedRow {
  readonly height: number
  readonly policyId: number
}

export interface SealedHeadRow {
  readonly deviceId: string
  readonly height: number
  readonly seq: number
  readonly entry: Uint8Array
  readonly registry: Uint8Array
}

export interface TileRow {
  readonly index: number
  /** 32 bytes each. */
  readonly hashes: Uint8Array
}

export interface ArrivalTileRow extends TileRow {
  readonly height: number
  readonly level: number
}

export interface ChainHeadRow {
  readonly deviceId: string
  readonly seq: number
  readonly entry: Uint8Array
}

export interface DeviceRow {
  readonly deviceId: string
  readonly status: string
  readonly registry: Uint8Array
  /** The JSON text. */
  readonly attributes: string
  readonly caDigest: Uint8Array | null
}

export interface AuthorityRow {
  readonly name: string
  readonly digest: Uint8Array
  /** X.509 in DER. */
  readonly certificate: Uint8Array
  readonly isTrusted: boolean
  readonly registry: Uint8Array
}

export interface DeviceKeyRow {
  readonly deviceId: string
  readonly kid: Uint8Array
  readonly coseKey: Uint8Array
  readonly firstSeq: number
  readonly lastSeq: number | null
  readonly endedBy: string | null
  readonly isPossessionProven: boolean
  readonly introducedBy: string
}

export interface ForkRow {
  readonly deviceId: string
  readonly seq: number
  readonly stored: Uint8Array
  readonly other: Uint8Array
  /** Of the entry at this place; null where there is none. */
  readonly entry: Uint8Array | null
}
