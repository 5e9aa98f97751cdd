/** Nodes for evidence, from what is stored: tiles of the log, and entries and tiles of a block's arrivals. */
import { type Hash, type Sha256, hashSize, parseHash, sha256 } from "../chain/hash.ts"
import { tileOf } from "../chain/log-reader.ts"
import { type NodePlace, hashNode } from "../chain/merkle.ts"
import { type Tile, foldNodes, readTileNode, tileHeight, tileWidth } from "../chain/tile.ts"
import { Pace } from "./pace.ts"
import { type ManifestLeaf, hashArrival } from "./evidence.ts"

/** Runs a query on one picture of the database. */
export type Query = <Row extends object>(sql: string, values: readonly unknown[]) => Promise<Row[]>

/** What was read lately, the oldest first: leaves come in the order of the log, and each is asked for a few times. */
class Recent<Value> {
  private readonly values = new Map<string, Value>()
  private readonly sizeMax: number

  constructor(sizeMax: number) {
    this.sizeMax = sizeMax
  }

  get(name: string): Value | undefined {
    return this.values.get(name)
  }

  set(name: string, value: Value): void {
    if (this.values.size >= this.sizeMax) {
      const [oldest] = this.values.keys()
      this.values.delete(oldest!)
    }
    this.values.set(name, value)
  }
}

/** Of 8 KiB: 2 MiB. */
const tilesMax = 256
/** Leaves ahead whose tiles are read together: fewer than are kept, so that none is gone before its turn. */
const aheadMax = 100
/** Groups of 256 arrivals that are read by one query: 8,192 rows, as one value of 40 bytes each. */
const groupsPerQuery = 32
const groupsMax = 128

/** Of one tree: the log's. */
export class LogNodes {
  private readonly query: Query
  private readonly hash: Sha256 | undefined
  private readonly tiles = new Recent<Tile>(tilesMax)
  private ahead: readonly number[] = []

  constructor(query: Query, hash: Sha256 | undefined) {
    this.query = query
    this.hash = hash
  }

  /** Leaves that will be shown: the tiles around them are read together. */
  expect(leaves: readonly number[]): void {
    this.ahead = leaves
  }

  async read(places: readonly NodePlace[]): Promise<Hash[]> {
    const needed = places.map(namedTileOf)
    const missing = needed.filter(({ name }) => this.tiles.get(name) === undefined)
    if (missing.length > 0) {
      const [first] = places
      const at = first!.index * 2 ** first!.level
      const around = this.ahead.filter((leaf) => leaf >= at).slice(0, aheadMax)
      await this.load([...missing, ...around.map((leaf) => namedTileOf({ level: 0, index: leaf }))])
    }
    return places.map((place, index) => {
      const tile = this.tiles.get(needed[index]!.name)
      if (tile === undefined)
        throw new Error(`tile ${needed[index]!.name} of the log is missing: run tidemark verify`)
      return readTileNode(tile, place, this.hash)
    })
  }

  private async load(tiles: readonly TilePlace[]): Promise<void> {
    const wanted = [...new Map(tiles.map((tile) => [tile.name, tile])).values()]
    const rows = await this.query<{ level: number; tile_index: number; hashes: Uint8Array }>(
      `select level, tile_index, hashes from tiles
       where (level, tile_index) in (select * from unnest($1::smallint[], $2::bigint[])) order by level desc, tile_index`,
      [wanted.map(({ level }) => level), wanted.map(({ index }) => index)],
    )
    for (const { level, tile_index: index, hashes } of rows)
      this.tiles.set(`${level}/${index}`, { level, index, hashes })
  }
}

interface TilePlace {
  readonly name: string
  readonly level: number
  readonly index: number
}

/** The tile that a node stands in, or is computed from. */
function namedTileOf(node: NodePlace): TilePlace {
  const { level, index } = tileOf(node)
  return { name: `${level}/${index}`, level, index }
}

/** 256 leaves of a block's arrivals tree, or what is left of them at its end. */
interface Group {
  readonly name: string
  readonly block: ManifestLeaf
  readonly index: number
}

function groupOf(block: ManifestLeaf, index: number): Group {
  return { name: `${block.height}/${index}`, block, index }
}

/** Of the arrivals trees, block by block. */
export class ArrivalNodes {
  private readonly query: Query
  private readonly hash: Sha256
  /** Leaf hashes, joined. */
  private readonly groups = new Recent<Uint8Array>(groupsMax)
  private readonly tiles = new Recent<Tile | null>(tilesMax)
  /** Groups in which leaves will be shown, in order. */
  private ahead: readonly Group[] = []
  /** What is being read already, while what came before it is hashed. */
  private coming: { readonly names: ReadonlySet<string>; readonly done: Promise<void> } | null = null

  constructor(query: Query, hash: Sha256 = sha256) {
    this.query = query
    this.hash = hash
  }

  /**
   * Leaves of the log that will be shown.
   *
   * @param blockOf the block of a leaf, where it is shown
   */
  expect(leaves: readonly number[], blockOf: (leaf: number) => ManifestLeaf | null): void {
    const ahead = new Map<string, Group>()
    for (const leaf of leaves) {
      const block = blockOf(leaf)
      if (block === null) continue
      const group = groupOf(block, Math.floor((leaf - block.firstLeaf) / tileWidth))
      ahead.set(group.name, group)
    }
    this.ahead = [...ahead.values()]
  }

  async read(block: ManifestLeaf, places: readonly NodePlace[]): Promise<Hash[]> {
    const nodes: Hash[] = []
    for (const place of places) nodes.push(await this.node(block, place))
    return nodes
  }

  private async node(block: ManifestLeaf, place: NodePlace): Promise<Hash> {
    const { level, index } = place
    if (level < tileHeight) {
      const group = Math.floor((index * 2 ** level) / tileWidth)
      const hashes = await this.group(groupOf(block, group))
      const first = index * 2 ** level - group * tileWidth
      return foldNodes(hashes.slice(first * hashSize, (first + 2 ** level) * hashSize), this.hash)
    }
    const tile = await this.tile(block, place)
    if (tile !== null) return readTileNode(tile, place, this.hash)
    // Of a block whose tiles are not there.
    if (level === tileHeight) return foldNodes((await this.group(groupOf(block, index))).slice(), this.hash)
    const left = await this.node(block, { level: level - 1, index: 2 * index })
    const right = await this.node(block, { level: level - 1, index: 2 * index + 1 })
    return hashNode(left, right, this.hash)
  }

  private async tile({ height }: ManifestLeaf, place: NodePlace): Promise<Tile | null> {
    const { level, index } = tileOf(place)
    const name = `${height}/${level}/${index}`
    const known = this.tiles.get(name)
    if (known !== undefined) return known
    const [row] = await this.query<{ hashes: Uint8Array }>(
      "select hashes from arrival_tiles where height = $1 and level = $2 and tile_index = $3",
      [height, level, index],
    )
    const tile = row === undefined ? null : { level, index, hashes: row.hashes }
    this.tiles.set(name, tile)
    return tile
  }

  private async group(group: Group): Promise<Uint8Array> {
    const { name } = group
    if (this.groups.get(name) === undefined) {
      const place = this.ahead.findIndex((one) => one.name === name)
      const next = place < 0 ? 0 : place + groupsPerQuery
      if (this.coming?.names.has(name) !== true)
        await this.load(place < 0 ? [group] : this.ahead.slice(place, next))
      else await this.coming.done
      if (place >= 0) this.loadAhead(this.ahead.slice(next, next + groupsPerQuery))
    }
    return this.groups.get(name)!
  }

  private loadAhead(groups: readonly Group[]): void {
    const missing = groups.filter(({ name }) => this.groups.get(name) === undefined)
    if (missing.length === 0) return
    const done = this.load(missing)
    // Awaited where it is needed; if it is not, its failure is nobody's.
    done.catch(() => undefined)
    this.coming = { names: new Set(missing.map(({ name }) => name)), done }
  }

  private async load(groups: readonly Group[]): Promise<void> {
    const from = groups.map(({ block, index }) => block.firstLeaf + index * tileWidth)
    const to = groups.map(({ block }, place) => Math.min(from[place]! + tileWidth, block.leafIndex) - 1)
    // One value per group: 144,000 rows of two columns would cost more to parse than all hashes of them.
    const rows = await this.query<{ place: number; arrivals: Uint8Array }>(
      `select g.place, a.arrivals
       from unnest($1::bigint[], $2::bigint[]) with ordinality as g(first, last, place)
       cross join lateral (
         select string_agg(e.entry || int8send((extract(epoch from e.received_at) * 1000)::bigint), ''::bytea order by e.id) as arrivals
         from entries e where e.id >= statement_of(g.first) and e.id <= statement_of(g.last)) a`,
      [from, to],
    )
    // A group takes some 0.7 ms, and these are 32.
    const pace = new Pace()
    for (const { place, arrivals } of rows) {
      this.groups.set(groups[place - 1]!.name, hashArrivals(arrivals, this.hash))
      if (pace.isDue) await pace.take()
    }
  }
}

const arrivalSize = hashSize + 8
/** `00`, and an array of an entry and an integer of eight bytes: the leaf of an arrival since 1970-02-19. */
const arrivalStart = Uint8Array.of(0, 0x82, 0x58, hashSize)
const eightBytes = 0x1b

/** Leaf hashes, joined, of entries and times of arrival (Unix ms, 8 bytes, big-endian), one behind the other. */
function hashArrivals(arrivals: Uint8Array, hash: Sha256): Uint8Array {
  const hashes = new Uint8Array((arrivals.length / arrivalSize) * hashSize)
  const message = new Uint8Array(arrivalStart.length + hashSize + 1 + 8)
  const timeAt = arrivalStart.length + hashSize
  message.set(arrivalStart)
  message[timeAt] = eightBytes
  for (let at = 0, place = 0; at < arrivals.length; at += arrivalSize, place += hashSize) {
    const time = arrivals.subarray(at + hashSize, at + arrivalSize)
    message.set(arrivals.subarray(at, at + hashSize), arrivalStart.length)
    message.set(time, timeAt + 1)
    const isLong = time[0] !== 0 || time[1] !== 0 || time[2] !== 0 || time[3] !== 0
    hashes.set(
      isLong ? hash(message) : hashShortArrival(arrivals.subarray(at, at + arrivalSize), hash),
      place,
    )
  }
  return hashes
}

function hashShortArrival(arrival: Uint8Array, hash: Sha256): Hash {
  const view = new DataView(arrival.buffer, arrival.byteOffset, arrival.byteLength)
  return hashArrival(parseHash(arrival.subarray(0, hashSize)), Number(view.getBigInt64(hashSize)), hash)
}
