/** The stored tiles of the log's tree and of the blocks' arrivals trees. */
import type { PoolClient } from "pg"
import { Frontier } from "../chain/merkle.ts"
import { type Tile, TileCollector, readTileNode, tileHeight, tileWidth } from "../chain/tile.ts"
import { hashSize } from "../chain/hash.ts"
import { CopyRows, copyRows } from "./database/copy.ts"
import { sha256Native } from "./native.ts"

/** The rightmost tile of each level that is not full, of the stored tree of this size. */
async function readGrowingTiles(client: PoolClient, size: number): Promise<Tile[]> {
  const tiles: Tile[] = []
  for (let level = 0, nodes = size; nodes > 0; level++, nodes = Math.floor(nodes / tileWidth)) {
    const width = nodes % tileWidth
    if (width === 0) continue
    const index = Math.floor(nodes / tileWidth)
    const { rows } = await client.query<{ hashes: Uint8Array }>(
      "select hashes from tiles where level = $1 and tile_index = $2",
      [level, index],
    )
    const hashes = rows[0]?.hashes
    if (hashes === undefined) throw new Error(`tile ${level}/${index} of the log is missing in the database`)
    tiles.push({ level, index, hashes: hashes.subarray(0, width * hashSize) })
  }
  return tiles
}

/** Collects the nodes that the log's tree completes, and writes them tile by tile. */
export class TileWriter {
  /** Of the stored tree. */
  readonly tree: Frontier
  private readonly client: PoolClient
  private readonly collector = new TileCollector()
  /** Tiles that are rows already, by level: they are written over as they grow. */
  private readonly stored: ReadonlyMap<number, number>

  private constructor(client: PoolClient, size: number, tiles: readonly Tile[]) {
    this.client = client
    this.stored = new Map(tiles.map(({ level, index }) => [level, index]))
    this.tree = Frontier.resume(
      size,
      ({ level, index }) => {
        // A complete subtree of the right edge lies in the rightmost tile of its level.
        const tile = tiles.find((one) => one.level === Math.floor(level / tileHeight))
        if (tile === undefined) throw new Error(`node ${level}/${index} stands in no tile that was read`)
        return readTileNode(tile, { level, index }, sha256Native)
      },
      sha256Native,
    )
    for (const tile of tiles) this.collector.resume(tile)
  }

  /** Takes up the rightmost tiles of the stored tree of this size. */
  static async open(client: PoolClient, size: number): Promise<TileWriter> {
    return new TileWriter(client, size, await readGrowingTiles(client, size))
  }

  /** Given to `Frontier.append`. */
  get keep(): TileCollector["keep"] {
    return this.collector.keep
  }

  /** Writes what is full; call it now and then, so that memory stays flat. */
  async flush(): Promise<void> {
    await this.write(this.collector.takeFull())
  }

  async finish(): Promise<void> {
    await this.flush()
    await this.write(this.collector.listGrowing())
  }

  private async write(tiles: readonly Tile[]): Promise<void> {
    const rows = new CopyRows()
    for (const { level, index, hashes } of tiles) {
      if (this.stored.get(level) === index) {
        await this.client.query("update tiles set hashes = $3 where level = $1 and tile_index = $2", [
          level,
          index,
          hashes,
        ])
        continue
      }
      rows.row(3)
      rows.int2(level)
      rows.int8(index)
      rows.bytes(hashes)
    }
    await copyRows(this.client, "tiles (level, tile_index, hashes)", rows)
  }
}

/** What is kept of a block's arrivals tree: the block's row must stand. */
export async function insertArrivalTiles(
  client: PoolClient,
  height: number,
  arrivals: TileCollector,
): Promise<void> {
  const rows = new CopyRows()
  for (const { level, index, hashes } of [...arrivals.takeFull(), ...arrivals.listGrowing()]) {
    rows.row(4)
    rows.int8(height)
    rows.int2(level)
    rows.int8(index)
    rows.bytes(hashes)
  }
  await copyRows(client, "arrival_tiles (height, level, tile_index, hashes)", rows)
}
