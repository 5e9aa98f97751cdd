/** Stored nodes of the log's tree: C2SP tiles of height 8, of which only levels 0, 8, 16 … are kept. */
import type { PoolClient } from "pg"
import { type Hash, hashSize, parseHash } from "../chain/hash.ts"
import { Frontier, type NodePlace, hashNode } from "../chain/merkle.ts"
import { sha256Native } from "./native.ts"

/** Hashes in a full tile. */
const tileWidth = 256
const tileHeight = 8

interface Tile {
  readonly level: number
  readonly index: number
  readonly hashes: Buffer
  width: number
}

/** Collects the nodes that a growing tree completes, and writes them tile by tile. */
export class TileWriter {
  private readonly client: PoolClient
  /** By level of tiles: the rightmost, still growing. */
  private readonly growing = new Map<number, Tile>()
  private full: Tile[] = []

  private constructor(client: PoolClient) {
    this.client = client
  }

  /** Takes up the rightmost tiles of a stored tree of this size. */
  static async open(client: PoolClient, size: number): Promise<TileWriter> {
    const writer = new TileWriter(client)
    for (let level = 0, nodes = size; nodes > 0; level++, nodes = Math.floor(nodes / tileWidth)) {
      const width = nodes % tileWidth
      if (width === 0) continue
      const index = Math.floor(nodes / tileWidth)
      const stored = await readTile(client, level, index)
      const hashes = Buffer.alloc(tileWidth * hashSize)
      hashes.set(stored.subarray(0, width * hashSize))
      writer.growing.set(level, { level, index, hashes, width })
    }
    return writer
  }

  /** Given to `Frontier.append`. */
  readonly keep = (place: NodePlace, hash: Hash): void => {
    if (place.level % tileHeight !== 0) return
    const level = place.level / tileHeight
    const index = Math.floor(place.index / tileWidth)
    let tile = this.growing.get(level)
    if (tile === undefined) {
      tile = { level, index, hashes: Buffer.alloc(tileWidth * hashSize), width: 0 }
      this.growing.set(level, tile)
    }
    tile.hashes.set(hash, tile.width * hashSize)
    tile.width += 1
    if (tile.width < tileWidth) return
    this.growing.delete(level)
    this.full.push(tile)
  }

  /** Writes what is full; call it now and then, so that memory stays flat. */
  async flush(): Promise<void> {
    const tiles = this.full
    this.full = []
    await this.write(tiles)
  }

  async finish(): Promise<void> {
    await this.flush()
    await this.write([...this.growing.values()])
  }

  private async write(tiles: readonly Tile[]): Promise<void> {
    if (tiles.length === 0) return
    await this.client.query(
      `insert into tiles (level, tile_index, hashes)
       select * from unnest($1::int[], $2::bigint[], $3::bytea[])
       on conflict (level, tile_index) do update set hashes = excluded.hashes`,
      [
        tiles.map(({ level }) => level),
        tiles.map(({ index }) => index),
        tiles.map(({ hashes, width }) => hashes.subarray(0, width * hashSize)),
      ],
    )
  }
}

async function readTile(client: PoolClient, level: number, index: number): Promise<Uint8Array> {
  const { rows } = await client.query<{ hashes: Uint8Array }>(
    "select hashes from tiles where level = $1 and tile_index = $2",
    [level, index],
  )
  if (rows[0] === undefined) throw new Error(`tile ${level}/${index} of the log is missing in the database`)
  return rows[0].hashes
}

/** The frontier of the stored tree of this size, from the rightmost tiles of each level. */
export async function readFrontier(client: PoolClient, size: number): Promise<Frontier> {
  const tiles = new Map<string, Uint8Array>()
  for (let level = 0, nodes = size; nodes > 0; level++, nodes = Math.floor(nodes / tileWidth)) {
    const index = Math.floor(nodes / tileWidth)
    if (nodes % tileWidth > 0) tiles.set(`${level}/${index}`, await readTile(client, level, index))
  }
  return Frontier.resume(size, (place) => readNodeFrom(tiles, place), sha256Native)
}

/** A node inside a tile is computed from the tile's own hashes: at most 8 levels up. */
function readNodeFrom(tiles: ReadonlyMap<string, Uint8Array>, { level, index }: NodePlace): Hash {
  const tileLevel = Math.floor(level / tileHeight)
  const height = level % tileHeight
  const first = index * 2 ** height
  const tile = tiles.get(`${tileLevel}/${Math.floor(first / tileWidth)}`)
  if (tile === undefined) throw new Error(`node ${level}/${index} stands in no tile that was read`)
  let row: Hash[] = []
  for (let place = 0; place < 2 ** height; place++) {
    const offset = ((first % tileWidth) + place) * hashSize
    row.push(parseHash(tile.subarray(offset, offset + hashSize)))
  }
  while (row.length > 1) {
    const above: Hash[] = []
    for (let place = 0; place < row.length; place += 2)
      above.push(hashNode(row[place]!, row[place + 1]!, sha256Native))
    row = above
  }
  return row[0]!
}
