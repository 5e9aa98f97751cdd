/** Tiles of a tree: C2SP tlog-tiles of height 8, of which only the tree's levels 0, 8, 16 … are kept. */
import { type Hash, type Sha256, hashSize, parseHash, sha256 } from "./hash.ts"
import type { NodePlace } from "./merkle.ts"

/** Hashes in a full tile. */
export const tileWidth = 256
/** Levels of the tree from one level of tiles to the next. */
export const tileHeight = 8

export interface Tile {
  /** Of tiles: its hashes are the tree's nodes of level `8 * level`. */
  readonly level: number
  readonly index: number
  /** 32 bytes each, 1 to 256. */
  readonly hashes: Uint8Array
}

interface GrowingTile {
  readonly level: number
  readonly index: number
  readonly hashes: Uint8Array
  width: number
}

/** Collects the nodes that a growing tree completes, tile by tile. */
export class TileCollector {
  private readonly levelMin: number
  /** By level of tiles: the rightmost. */
  private readonly growing = new Map<number, GrowingTile>()
  private full: Tile[] = []

  /** @param levelMin the lowest level of tiles that is kept */
  constructor(levelMin = 0) {
    this.levelMin = levelMin
  }

  /** Takes up the rightmost tile of a level of a stored tree, where that is not full. */
  resume({ level, index, hashes }: Tile): void {
    const room = new Uint8Array(tileWidth * hashSize)
    room.set(hashes)
    this.growing.set(level, { level, index, hashes: room, width: hashes.length / hashSize })
  }

  /** Given to `Frontier.append`. */
  readonly keep = (place: NodePlace, hash: Hash): void => {
    if (place.level % tileHeight !== 0 || place.level < this.levelMin * tileHeight) return
    const level = place.level / tileHeight
    let tile = this.growing.get(level)
    if (tile === undefined) {
      const hashes = new Uint8Array(tileWidth * hashSize)
      tile = { level, index: Math.floor(place.index / tileWidth), hashes, width: 0 }
      this.growing.set(level, tile)
    }
    tile.hashes.set(hash, tile.width * hashSize)
    tile.width += 1
    if (tile.width < tileWidth) return
    this.growing.delete(level)
    this.full.push(tile)
  }

  /** The tiles that became full since the last call. */
  takeFull(): readonly Tile[] {
    const { full } = this
    this.full = []
    return full
  }

  /** The tiles that are not full, by level. */
  listGrowing(): readonly Tile[] {
    return [...this.growing.values()]
      .map(({ level, index, hashes, width }) => ({
        level,
        index,
        hashes: hashes.subarray(0, width * hashSize),
      }))
      .toSorted((a, b) => a.level - b.level)
  }
}

/**
 * A node of the tree that stands in this tile or is computed from it: at most 8 levels up. Throws a RangeError where it
 * does not lie in it.
 */
export function readTileNode(tile: Tile, { level, index }: NodePlace, hash: Sha256 = sha256): Hash {
  const height = level - tile.level * tileHeight
  const first = index * 2 ** height - tile.index * tileWidth
  const isInside = height >= 0 && height <= tileHeight && first >= 0
  if (!isInside || (first + 2 ** height) * hashSize > tile.hashes.length)
    throw new RangeError(`node ${level}/${index} does not stand in tile ${tile.level}/${tile.index}`)
  return foldNodes(
    Uint8Array.from(tile.hashes.subarray(first * hashSize, (first + 2 ** height) * hashSize)),
    hash,
  )
}

/**
 * The root of a complete subtree over some nodes, joined, a power of two of them. Writes over `nodes`: a new array for each
 * hash would cost as much as the hashes.
 */
export function foldNodes(nodes: Uint8Array, hash: Sha256 = sha256): Hash {
  const message = new Uint8Array(1 + 2 * hashSize)
  message[0] = 1
  for (let count = nodes.length / hashSize; count > 1; count /= 2) {
    for (let place = 0; place < count; place += 2) {
      message.set(nodes.subarray(place * hashSize, (place + 2) * hashSize), 1)
      nodes.set(hash(message), (place / 2) * hashSize)
    }
  }
  return parseHash(nodes.subarray(0, hashSize))
}
