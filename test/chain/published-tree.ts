/** A small published log in memory, for tests of those who read one. */
import { type Hash, hashSize, parseHash } from "../../chain/hash.ts"
import { type TileReader, type TreeHead, formatEntries } from "../../chain/log-reader.ts"
import { Frontier, type NodePlace, hashLeaf } from "../../chain/merkle.ts"
import { type Tile, TileCollector, tileWidth } from "../../chain/tile.ts"
import { sha256Native } from "../../ingest/native.ts"

export class PublishedTree implements TileReader {
  readonly entries: Hash[] = []
  /** By `level/index`: its nodes, those of every level. */
  readonly nodes = new Map<string, Hash>()
  /** Of each size, from 0 on. */
  readonly roots: Hash[] = []
  /** What was asked for, in order. */
  readonly asked: string[] = []
  private readonly tree = new Frontier(sha256Native)
  private readonly collector = new TileCollector()
  private readonly full = new Map<string, Tile>()

  /** @param entryOf what stands at a leaf */
  constructor(size: number, entryOf: (leaf: number) => Hash = entryOfLeaf) {
    this.roots.push(this.tree.root())
    for (let leaf = 0; leaf < size; leaf++) this.add(entryOf(leaf))
  }

  add(entry: Hash): void {
    this.entries.push(entry)
    this.tree.append(hashLeaf(entry, sha256Native), (place, hash) => {
      this.nodes.set(nameOf(place), hash)
      this.collector.keep(place, hash)
    })
    for (const tile of this.collector.takeFull()) this.full.set(nameOf(tile), tile)
    this.roots.push(this.tree.root())
  }

  get size(): number {
    return this.entries.length
  }

  head(size = this.size): TreeHead {
    return { size, root: this.roots[size]! }
  }

  readonly readNode = (place: NodePlace): Hash => this.nodes.get(nameOf(place))!

  async readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    this.asked.push(`${level}/${index}/${width}`)
    const tile =
      this.full.get(nameOf({ level, index })) ??
      this.collector.listGrowing().find((one) => one.level === level && one.index === index)
    if (tile === undefined) throw new Error(`tile ${level}/${index} is not here`)
    return Uint8Array.from(tile.hashes.subarray(0, width * hashSize))
  }

  async readEntries(index: number, width: number): Promise<Uint8Array> {
    return formatEntries(this.entries.slice(index * tileWidth, index * tileWidth + width))
  }
}

function nameOf({ level, index }: NodePlace): string {
  return `${level}/${index}`
}

/** A made-up entry. */
export function entryOfLeaf(leaf: number): Hash {
  return parseHash(sha256Native(new TextEncoder().encode(`entry ${leaf}`)))
}
