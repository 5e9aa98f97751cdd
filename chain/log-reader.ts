/**
 * A log read by its tiles, from wherever they stand: over HTTP, in a folder, in a database. Nothing that is read is
 * believed: each tile is held against the checkpoint's root before a hash of it is used.
 */
import { equalBytes, joinBytes } from "./bytes.ts"
import { type Hash, type Sha256, hashSize, parseHash, sha256 } from "./hash.ts"
import {
  Frontier,
  type NodePlace,
  type ReadNode,
  hashLeaf,
  proveConsistency,
  proveInclusion,
} from "./merkle.ts"
import { type Tile, foldNodes, readTileNode, tileHeight, tileWidth } from "./tile.ts"
import { type LogPlace, countNodes, formatTilePath, widthOf } from "./tile-path.ts"

/** Where tiles come from. What it gives is checked here; what it throws goes through to who asked. */
export interface TileReader {
  /**
   * The tile's hashes, joined: `32 * width` bytes.
   *
   * @param width in the tree that is read, 1 to 256. A reader that has the tile only wider gives its first `width` hashes.
   */
  readTile(level: number, index: number, width: number): Promise<Uint8Array>
  /** The bundle of entries as it is published, `34 * width` bytes; `width` as above. */
  readEntries(index: number, width: number): Promise<Uint8Array>
}

/** The size and root of a checkpoint. */
export interface TreeHead {
  /** Leaves. */
  readonly size: number
  readonly root: Hash
}

/** What a reader gave is not of the tree: a damaged copy, a log that lies, or one that has another history. */
export class LogFault extends Error {
  override readonly name = "LogFault"
  /** Under the log's prefix: `tile/0/x001/234.p/5`, or `checkpoint`. */
  readonly path: string
  /** What does not hold: "does not hash to what the tile above it says". */
  readonly rule: string

  constructor(where: LogPlace | "checkpoint", rule: string) {
    const path = where === "checkpoint" ? where : formatTilePath(where)
    super(`${path} ${rule}`)
    this.path = path
    this.rule = rule
  }
}

/** Tiles that are kept, of 8 KiB. */
const keptMax = 256

/** The tree of one checkpoint. Each tile is read once while it is remembered, and is authentic when it is used. */
export class TiledTree implements TreeHead {
  readonly size: number
  readonly root: Hash
  private readonly reader: TileReader
  private readonly hash: Sha256
  /** Partial ones, one a level: what the root is made of. */
  private readonly edge = new Map<string, Tile>()
  /** Full ones, the oldest first. */
  private readonly kept = new Map<string, Tile>()

  private constructor(reader: TileReader, { size, root }: TreeHead, hash: Sha256) {
    this.reader = reader
    this.size = size
    this.root = root
    this.hash = hash
  }

  /**
   * The tree of this head, whose right edge is read and gives its root.
   *
   * @throws LogFault where it does not
   */
  static async open(reader: TileReader, head: TreeHead, hash: Sha256 = sha256): Promise<TiledTree> {
    const tree = new TiledTree(reader, head, hash)
    const levels: number[] = []
    for (let level = 0; countNodes(level, head.size) > 0; level++)
      if (countNodes(level, head.size) % tileWidth > 0) levels.push(level)
    const tiles = await Promise.all(
      levels.map((level) => tree.fetch(level, Math.floor(countNodes(level, head.size) / tileWidth))),
    )
    for (const tile of tiles) tree.edge.set(nameOf(tile.level, tile.index), tile)
    const root = Frontier.resume(head.size, (place) => tree.nodeOf(place, tree.edge), hash).root()
    if (equalBytes(root, head.root)) return tree
    const [lowest] = tiles
    if (lowest === undefined) throw new LogFault("checkpoint", "has a root that is not that of an empty tree")
    throw new LogFault(placeOf(lowest), `and the tiles above it do not give the root of ${head.size} leaves`)
  }

  /**
   * The hashes of complete subtrees, in the order asked for.
   *
   * @throws LogFault where a tile is not of this tree
   * @throws RangeError where a subtree is not complete in this tree
   */
  async readNodes(places: readonly NodePlace[]): Promise<Hash[]> {
    for (const { level, index } of places)
      if (!((index + 1) * 2 ** level <= this.size))
        throw new RangeError(`node ${level}/${index} is not complete in a tree of ${this.size} leaves`)
    const tiles = await this.load(places.map(tileOf))
    return places.map((place) => this.nodeOf(place, tiles))
  }

  /** The hashes of a tile, joined, as wide as it is in this tree. Throws as `readNodes` does. */
  async readTile(level: number, index: number): Promise<Uint8Array> {
    if (widthOf(level, index, this.size) === 0)
      throw new RangeError(`a tree of ${this.size} leaves has no tile ${level}/${index}`)
    const tiles = await this.load([{ level, index }])
    return Uint8Array.from(tiles.get(nameOf(level, index))!.hashes)
  }

  /** The entries of a bundle, whose leaves stand in the tree. Throws as `readNodes` does. */
  async readEntries(index: number): Promise<Hash[]> {
    const width = widthOf(0, index, this.size)
    if (width === 0) throw new RangeError(`a tree of ${this.size} leaves has no bundle ${index}`)
    const place: LogPlace = { kind: "entries", index, width }
    const [bytes, tiles] = await Promise.all([
      this.reader.readEntries(index, width),
      this.load([{ level: 0, index }]),
    ])
    const entries = parseEntries(bytes)
    if (entries?.length !== width) throw new LogFault(place, `is not ${width} entries of 32 bytes`)
    const { hashes } = tiles.get(nameOf(0, index))!
    for (const [at, entry] of entries.entries()) {
      const leaf = hashes.subarray(at * hashSize, (at + 1) * hashSize)
      if (!equalBytes(hashLeaf(entry, this.hash), leaf))
        throw new LogFault(place, `has another entry at leaf ${index * tileWidth + at} than the tree`)
    }
    return entries
  }

  /** PATH(index, D_size) of RFC 9162 §2.1.3.1, in this tree or in one of `size` leaves that it grew from. */
  async proveInclusion(index: number, size: number = this.size): Promise<Hash[]> {
    return this.prove(size, (readNode) => proveInclusion(index, size, readNode, this.hash))
  }

  /** PROOF(size1, D_size2) of RFC 9162 §2.1.4.1, to this tree or to one of `size2` leaves that it grew from. */
  async proveConsistency(size1: number, size2: number = this.size): Promise<Hash[]> {
    return this.prove(size2, (readNode) => proveConsistency(size1, size2, readNode, this.hash))
  }

  /** The root of the tree of `size` leaves that this one grew from. */
  async readRoot(size: number): Promise<Hash> {
    return this.prove(size, (readNode) => Frontier.resume(size, readNode, this.hash).root())
  }

  /** Runs it twice: to hear which nodes it asks for, and with those that were read. */
  private async prove<Proof>(size: number, make: (readNode: ReadNode) => Proof): Promise<Proof> {
    if (size > this.size)
      throw new RangeError(`a tree of ${this.size} leaves did not grow from one of ${size}`)
    const places: NodePlace[] = []
    make((place) => {
      places.push(place)
      return this.root
    })
    const nodes = await this.readNodes(places)
    let next = 0
    return make(() => nodes[next++]!)
  }

  private nodeOf(place: NodePlace, tiles: ReadonlyMap<string, Tile>): Hash {
    const { level, index } = tileOf(place)
    return readTileNode(tiles.get(nameOf(level, index))!, place, this.hash)
  }

  /** These tiles and all above them, authentic. */
  private async load(places: readonly TileIndex[]): Promise<ReadonlyMap<string, Tile>> {
    const tiles = new Map<string, Tile>()
    const missing = new Map<string, TileIndex>()
    for (let place of places) {
      let name = nameOf(place.level, place.index)
      while (!tiles.has(name) && !missing.has(name)) {
        const known = this.edge.get(name) ?? this.kept.get(name)
        if (known !== undefined) {
          // What is remembered was held against the root: nothing above it is needed. So was the edge.
          tiles.set(name, known)
          break
        }
        missing.set(name, place)
        place = { level: place.level + 1, index: Math.floor(place.index / tileWidth) }
        name = nameOf(place.level, place.index)
      }
    }
    const read = await Promise.all([...missing.values()].map(({ level, index }) => this.fetch(level, index)))
    for (const tile of read.toSorted((a, b) => b.level - a.level)) {
      this.check(tile, tiles)
      const name = nameOf(tile.level, tile.index)
      tiles.set(name, tile)
      this.keep(name, tile)
    }
    return tiles
  }

  /** A full tile hashes to a node of the tile above it. */
  private check(tile: Tile, above: ReadonlyMap<string, Tile>): void {
    const parent = this.nodeOf({ level: (tile.level + 1) * tileHeight, index: tile.index }, above)
    if (!equalBytes(foldNodes(Uint8Array.from(tile.hashes), this.hash), parent))
      throw new LogFault(placeOf(tile), "does not hash to what the tile above it says")
  }

  private async fetch(level: number, index: number): Promise<Tile> {
    const width = widthOf(level, index, this.size)
    const hashes = await this.reader.readTile(level, index, width)
    if (hashes.length !== width * hashSize)
      throw new LogFault({ kind: "tile", level, index, width }, `is not ${width} hashes of 32 bytes`)
    return { level, index, hashes }
  }

  private keep(name: string, tile: Tile): void {
    if (this.kept.size >= keptMax) this.kept.delete(this.kept.keys().next().value!)
    this.kept.set(name, tile)
  }
}

interface TileIndex {
  readonly level: number
  readonly index: number
}

function nameOf(level: number, index: number): string {
  return `${level}/${index}`
}

function placeOf({ level, index, hashes }: Tile): LogPlace {
  return { kind: "tile", level, index, width: hashes.length / hashSize }
}

/** The tile that a node stands in, or is computed from. */
export function tileOf({ level, index }: NodePlace): TileIndex {
  return {
    level: Math.floor(level / tileHeight),
    index: Math.floor((index * 2 ** (level % tileHeight)) / tileWidth),
  }
}

/** Bytes of an entry in a bundle: its length, big-endian, and itself. */
export const entryRecordSize = 2 + hashSize
const recordStart = Uint8Array.of(0, hashSize)

/** A bundle as it is published: `00 20 ‖ entry` for each. */
export function formatEntries(entries: readonly Hash[]): Uint8Array {
  return joinBytes(...entries.flatMap((entry) => [recordStart, entry]))
}

/** Takes 1 to 256 entries as `formatEntries` makes them; null for anything else: this log's entries are hashes. */
export function parseEntries(bundle: Uint8Array): Hash[] | null {
  const count = bundle.length / entryRecordSize
  if (!Number.isInteger(count) || count < 1 || count > tileWidth) return null
  const entries: Hash[] = []
  for (let at = 0; at < bundle.length; at += entryRecordSize) {
    if (bundle[at] !== 0 || bundle[at + 1] !== hashSize) return null
    entries.push(parseHash(bundle.subarray(at + recordStart.length, at + entryRecordSize)))
  }
  return entries
}
