/** The published log: the tree of the last checkpoint that has left the house, and the keys that vouch for it. */
import { parseCheckpoint } from "../chain/checkpoint.ts"
import { type Sha256, hashSize } from "../chain/hash.ts"
import { decodeCoseKey } from "../chain/key.ts"
import { TiledTree, type TileReader, formatEntries } from "../chain/log-reader.ts"
import { parseNote } from "../chain/note.ts"
import { parseTlogPolicy } from "../chain/tlog-policy.ts"
import { type LogIdentity, formatLogPolicy } from "./log-policy.ts"
import type { LogPlace } from "../chain/tile-path.ts"
import { type QueryLog, StoredTiles } from "./log-tiles.ts"

export interface PublishedCheckpoint {
  readonly height: number
  /** The signed note with its cosignatures, as it is served and exported. */
  readonly note: string
  /** What it signs, held against it tile by tile. */
  readonly tree: TiledTree
}

/** The bytes of a tile or bundle, as wide as it is named. */
export async function readPlace(tree: TiledTree, place: LogPlace): Promise<Uint8Array> {
  const { index, width } = place
  if (place.kind === "tile") return (await tree.readTile(place.level, index)).subarray(0, width * hashSize)
  return formatEntries((await tree.readEntries(index)).slice(0, width))
}

export class PublishedLog {
  private readonly query: QueryLog
  private readonly reader: TileReader
  private readonly hash: Sha256 | undefined
  private last: PublishedCheckpoint | null = null
  private identity: LogIdentity | null = null

  constructor(query: QueryLog, hash?: Sha256) {
    this.query = query
    this.reader = new StoredTiles(query)
    this.hash = hash
  }

  /** The last published checkpoint; null where nothing was published. */
  async readCheckpoint(): Promise<PublishedCheckpoint | null> {
    const [row] = await this.query<{ height: number; note: string }>(
      `select height, cosigned_note(height) as note from checkpoints
       where height = (select max(height) from publications)`,
      [],
    )
    if (row === undefined) return null
    const { last } = this
    if (last !== null && last.height === row.height && last.note === row.note) return last
    const note = parseNote(row.note)
    const checkpoint = note === null ? null : parseCheckpoint(note.text)
    if (checkpoint === null)
      throw new Error(`the checkpoint of block ${row.height} cannot be read: run tidemark verify`)
    const tree =
      last?.height === row.height ? last.tree : await TiledTree.open(this.reader, checkpoint, this.hash)
    return (this.last = { height: row.height, note: row.note, tree })
  }

  /** The published tree, if it has `size` leaves: one that was read a while ago will do. Null where none has. */
  async readTree(size: number): Promise<TiledTree | null> {
    if (this.last !== null && this.last.tree.size >= size) return this.last.tree
    const published = await this.readCheckpoint()
    return published !== null && published.tree.size >= size ? published.tree : null
  }

  /** Of the checkpoints that are larger than the first and at most as large as the second, in order. */
  async listSizes(sizeBefore: number, size: number): Promise<number[]> {
    const rows = await this.query<{ size: number }>(
      "select size from checkpoints where size > $1 and size <= $2 order by size",
      [sizeBefore, size],
    )
    return rows.map((row) => row.size)
  }

  /** `policy` under the log's prefix: what a reader's own policy file may say of this log. */
  async readPolicy(): Promise<Uint8Array> {
    const [row] = await this.query<{ policy: Uint8Array }>(
      "select policy from witness_policies order by policy_id desc limit 1",
      [],
    )
    const parsed = row === undefined ? null : parseTlogPolicy(row.policy)
    if (parsed?.kind === "fault")
      throw new Error("the policy of witnesses cannot be read: run tidemark verify")
    return formatLogPolicy(await this.readIdentity(), parsed?.policy ?? null)
  }

  async readIdentity(): Promise<LogIdentity> {
    if (this.identity !== null) return this.identity
    const [row] = await this.query<{
      origin: string
      vkey: string
      operator_key: Uint8Array
      receipt_key: Uint8Array
    }>("select origin, vkey, operator_key, receipt_key from log", [])
    if (row === undefined) throw new Error("the database holds no log")
    const { origin, vkey } = row
    this.identity = {
      origin,
      vkey,
      operatorKey: decodeCoseKey(row.operator_key),
      receiptKey: decodeCoseKey(row.receipt_key),
    }
    return this.identity
  }
}
