/** Published trees by their tiles and bundles (FORMAT.md §10), whole ones and ones with a fault in one file. */
import { formatHex } from "../../chain/bytes.ts"
import { type Hash, hashSize, parseHash, sha256 } from "../../chain/hash.ts"
import { formatEntries } from "../../chain/log-reader.ts"
import { Frontier, hashLeaf } from "../../chain/merkle.ts"
import { type Tile, TileCollector } from "../../chain/tile.ts"
import { formatTilePath, listPlaces } from "../../chain/tile-path.ts"
import { encodeUtf8 } from "../../chain/bytes.ts"

export interface TilesVector {
  readonly description: string
  readonly rule: string
  /** Of the checkpoint. */
  readonly size: number
  readonly root: string
  /** Another vector's files; those named here stand in place of its own. */
  readonly as?: string
  /** Hex, by path under the prefix. */
  readonly files: Readonly<Record<string, string>>
  readonly result: "read" | "refused"
  /** Of a refusal: the path that it must name. */
  readonly names?: string
}

type Files = Map<string, Uint8Array>

/** What stands at a leaf: SHA-256 of "entry " and its index in decimal. */
export function entryAt(leaf: number): Hash {
  return sha256(encodeUtf8(`entry ${leaf}`))
}

interface Published {
  readonly size: number
  readonly root: Hash
  readonly files: Files
}

function publish(size: number, entryOf = entryAt): Published {
  const tree = new Frontier()
  const collector = new TileCollector()
  const tiles = new Map<string, Tile>()
  const entries = Array.from({ length: size }, (_, leaf) => entryOf(leaf))
  for (const entry of entries) tree.append(hashLeaf(entry), collector.keep)
  for (const tile of [...collector.takeFull(), ...collector.listGrowing()]) tiles.set(`${tile.level}/${tile.index}`, tile)
  const files: Files = new Map()
  for (const place of listPlaces(0, size)) {
    const bytes =
      place.kind === "tile"
        ? tiles.get(`${place.level}/${place.index}`)!.hashes.slice(0, place.width * hashSize)
        : formatEntries(entries.slice(place.index * 256, place.index * 256 + place.width))
    files.set(formatTilePath(place), bytes)
  }
  return { size, root: tree.root(), files }
}

function hexOf(files: Files): Record<string, string> {
  return Object.fromEntries([...files].map(([path, bytes]) => [path, formatHex(bytes)]))
}

function whole(description: string, { size, root, files }: Published): TilesVector {
  return { description, rule: "§10", size, root: formatHex(root), files: hexOf(files), result: "read" }
}

const small = publish(7)
const large = publish(259)

interface Fault {
  readonly description: string
  readonly of: Published
  readonly path: string
  readonly change: (bytes: Uint8Array) => Uint8Array
  /** Where it is not the path itself. */
  readonly names?: string
}

const flip =
  (at: number, bit = 1) =>
  (bytes: Uint8Array): Uint8Array => {
    const changed = Uint8Array.from(bytes)
    changed[at]! ^= bit
    return changed
  }
const cut = (by: number) => (bytes: Uint8Array) => bytes.slice(0, -by)
const grow = (by: number) => (bytes: Uint8Array) => Uint8Array.from([...bytes, ...new Uint8Array(by)])
const swap =
  (size: number, a: number, b: number) =>
  (bytes: Uint8Array): Uint8Array => {
    const changed = Uint8Array.from(bytes)
    changed.set(bytes.subarray(b * size, (b + 1) * size), a * size)
    changed.set(bytes.subarray(a * size, (a + 1) * size), b * size)
    return changed
  }

const edge = "tile/0/000.p/7"
const bundle = "tile/entries/000.p/7"
const record = 2 + hashSize

const faults: Readonly<Record<string, Fault>> = {
  "edge-bit-flipped": { description: "In the partial tile: the root is another.", of: small, path: edge, change: flip(100) },
  "edge-hashes-swapped": { description: "", of: small, path: edge, change: swap(hashSize, 0, 6) },
  "edge-hash-missing": { description: "", of: small, path: edge, change: cut(32) },
  "edge-hash-too-many": { description: "", of: small, path: edge, change: grow(32) },
  "edge-byte-missing": { description: "", of: small, path: edge, change: cut(1) },
  "edge-empty": { description: "", of: small, path: edge, change: () => new Uint8Array(0) },
  "leaves-not-hashed": {
    description: "The tile holds the entries themselves, not the hashes of leaves.",
    of: small,
    path: edge,
    change: () => Uint8Array.from(Array.from({ length: 7 }, (_, leaf) => [...entryAt(leaf)]).flat()),
  },
  "leaves-without-their-prefix": {
    description: "SHA-256 of the entry, without 00 in front.",
    of: small,
    path: edge,
    change: () => Uint8Array.from(Array.from({ length: 7 }, (_, leaf) => [...sha256(entryAt(leaf))]).flat()),
  },
  "bundle-bit-flipped": { description: "", of: small, path: bundle, change: flip(record + 9) },
  "bundle-entries-swapped": { description: "", of: small, path: bundle, change: swap(record, 2, 3) },
  "bundle-entry-missing": { description: "", of: small, path: bundle, change: cut(record) },
  "bundle-entry-twice": {
    description: "",
    of: small,
    path: bundle,
    change: (bytes) => Uint8Array.from([...bytes, ...bytes.slice(-record)]),
  },
  "bundle-byte-behind": { description: "", of: small, path: bundle, change: grow(1) },
  "bundle-length-31": { description: "The first entry says that it has 31 bytes.", of: small, path: bundle, change: flip(1, 63) },
  "bundle-length-little-endian": {
    description: "",
    of: small,
    path: bundle,
    change: (bytes) => bytes.map((byte, at) => (at % record === 0 ? 32 : at % record === 1 ? 0 : byte)),
  },
  "bundle-without-lengths": {
    description: "The entries one behind the other.",
    of: small,
    path: bundle,
    change: (bytes) => bytes.filter((_, at) => at % record >= 2),
  },
  "full-tile-bit-flipped": {
    description: "The root is right: it does not rest on this tile but on the one above.",
    of: large,
    path: "tile/0/000",
    change: flip(4000),
  },
  "full-tile-hashes-swapped": { description: "", of: large, path: "tile/0/000", change: swap(hashSize, 17, 18) },
  "full-tile-short": { description: "255 hashes.", of: large, path: "tile/0/000", change: cut(32) },
  "full-tile-too-long": { description: "257 hashes.", of: large, path: "tile/0/000", change: grow(32) },
  "upper-tile-bit-flipped": {
    description: "The root rests on all partial tiles; the lowest is named.",
    of: large,
    path: "tile/1/000.p/1",
    change: flip(31),
    names: "tile/0/001.p/3",
  },
  "upper-tile-of-leaves": {
    description: "SHA-256 of the tile below, in place of the root of the tree over it.",
    of: large,
    path: "tile/1/000.p/1",
    change: () => sha256(large.files.get("tile/0/000")!),
    names: "tile/0/001.p/3",
  },
  "full-bundle-bit-flipped": { description: "", of: large, path: "tile/entries/000", change: flip(200 * record + 5) },
}

/** Every file by its path under `test/vectors`. */
export function tilesVectors(): Map<string, TilesVector> {
  const vectors = new Map<string, TilesVector>()
  const add = (name: string, vector: TilesVector): void => void vectors.set(`tiles/${name}.json`, vector)
  add("valid/1-leaf", whole("A tree of one leaf: its root is the leaf's hash.", publish(1)))
  add("valid/7-leaves", whole("One partial tile, one partial bundle.", small))
  add("valid/256-leaves", whole("A full tile; the root is a tile of level 1 with one hash.", publish(256)))
  add("valid/259-leaves", whole("A full tile, and partial ones at levels 0 and 1.", large))
  add("valid/no-leaves", whole("An empty tree has no tiles.", publish(0)))
  for (const [name, { description, of, path, change, names = path }] of Object.entries(faults)) {
    const { size, root, files } = of
    const changed = { [path]: formatHex(change(files.get(path)!)) }
    const as = `tiles/valid/${size}-leaves.json`
    add(`invalid/${name}`, { description, rule: "§10", size, root: formatHex(root), as, files: changed, result: "refused", names })
  }
  const other = publish(7, (leaf) => entryAt(leaf === 3 ? 33 : leaf))
  add("invalid/another-history", {
    description: "The checkpoint is of a log that differs in one entry.",
    rule: "§10",
    size: 7,
    root: formatHex(other.root),
    as: "tiles/valid/7-leaves.json",
    files: {},
    result: "refused",
    names: edge,
  })
  add("invalid/older-root", {
    description: "The root of the first six leaves, with the size of seven.",
    rule: "§10",
    size: 7,
    root: formatHex(publish(6).root),
    as: "tiles/valid/7-leaves.json",
    files: {},
    result: "refused",
    names: edge,
  })
  add("invalid/empty-tree-of-zeros", {
    description: "The root of no leaves is SHA-256 of nothing.",
    rule: "§10",
    size: 0,
    root: formatHex(parseHash(new Uint8Array(hashSize))),
    files: {},
    result: "refused",
    names: "checkpoint",
  })
  return vectors
}
