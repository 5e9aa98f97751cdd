import { expect, test } from "vitest"
import { equalBytes } from "../../chain/bytes.ts"
import { zeroHash } from "../../chain/hash.ts"
import { LogFault, type TileReader, TiledTree, formatEntries, parseEntries } from "../../chain/log-reader.ts"
import {
  checkConsistency,
  checkInclusion,
  coverRange,
  hashLeaf,
  proveConsistency,
  proveInclusion,
} from "../../chain/merkle.ts"
import { widthOf } from "../../chain/tile-path.ts"
import { sha256Native } from "../../ingest/native.ts"
import { PublishedTree, entryOfLeaf } from "./published-tree.ts"

const open = (published: PublishedTree, size = published.size, reader: TileReader = published) =>
  TiledTree.open(reader, published.head(size), sha256Native)

/** The borders of tiles of levels 0 and 1, and what lies between. */
const big = new PublishedTree(66_049)

test("every proof of every leaf of every small tree is the one of RFC 9162, and checks", async () => {
  for (let size = 1; size <= 20; size++) {
    const tree = await open(big, size)
    for (let leaf = 0; leaf < size; leaf++) {
      const path = await tree.proveInclusion(leaf)
      expect(path).toEqual(proveInclusion(leaf, size, big.readNode, sha256Native))
      const leafHash = hashLeaf(big.entries[leaf]!, sha256Native)
      expect(checkInclusion(leafHash, leaf, size, path, tree.root, sha256Native)).toBe(true)
      const before = leaf + 1
      const proof = await tree.proveConsistency(before)
      expect(proof).toEqual(proveConsistency(before, size, big.readNode, sha256Native))
      expect(checkConsistency(before, size, big.roots[before]!, tree.root, proof, sha256Native)).toBe(true)
    }
  }
})

test.each([255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_048, 66_049])(
  "a tree of %i leaves proves what lies at the borders of its tiles, to itself and to smaller ones",
  async (size) => {
    const tree = await open(big, size)
    const places = [0, 1, 254, 255, 256, 257, 511, 512, 65_535, 65_536, 66_047].filter((leaf) => leaf < size)
    for (const leaf of [...places, size - 1]) {
      const leafHash = hashLeaf(big.entries[leaf]!, sha256Native)
      for (const to of [size, leaf + 1, Math.min(size, leaf + 300)]) {
        const path = await tree.proveInclusion(leaf, to)
        expect(checkInclusion(leafHash, leaf, to, path, big.roots[to]!, sha256Native)).toBe(true)
        const proof = await tree.proveConsistency(leaf + 1, to)
        const [from, root] = [big.roots[leaf + 1]!, big.roots[to]!]
        expect(checkConsistency(leaf + 1, to, from, root, proof, sha256Native)).toBe(true)
      }
      expect(await tree.readRoot(leaf)).toEqual(big.roots[leaf])
    }
    for (const [level, index] of [
      [0, 0],
      [0, Math.floor((size - 1) / 256)],
    ] as const)
      expect(await tree.readTile(level, index)).toEqual(
        await big.readTile(level, index, widthOf(level, index, size)),
      )
    expect(await tree.readEntries(0)).toEqual(big.entries.slice(0, Math.min(256, size)))
    const last = Math.floor((size - 1) / 256)
    expect(await tree.readEntries(last)).toEqual(big.entries.slice(last * 256, size))
  },
)

test("one flipped bit, wherever it stands, is found in the tile that holds it", async () => {
  const asked = new Set<string>()
  const places = [...coverRange(0, 66_049), { level: 0, index: 300 }, { level: 9, index: 2 }]
  const readWith = async (flip: string | null, at = 0): Promise<void> => {
    const reader: TileReader = {
      readTile: async (level, index, width) => {
        const hashes = await big.readTile(level, index, width)
        asked.add(`${level}/${index}`)
        if (`${level}/${index}` === flip) hashes[at % hashes.length]! ^= 1 << (at % 8)
        return hashes
      },
      readEntries: (index, width) => big.readEntries(index, width),
    }
    await (await open(big, 66_049, reader)).readNodes(places)
  }
  await readWith(null)
  expect([...asked].toSorted()).toEqual(["0/1", "0/258", "1/0", "1/1", "2/0"])
  for (const [index, tile] of [...asked].entries())
    for (const at of [0, 31, 777 + index, 8191])
      await expect(readWith(tile, at), `${tile} at ${at}`).rejects.toBeInstanceOf(LogFault)
})

test("a tile that is too short or too long is refused before it is hashed", async () => {
  for (const change of [-32, -1, 1, 32]) {
    const reader: TileReader = {
      readTile: async (level, index, width) => {
        const hashes = await big.readTile(level, index, width)
        if (level !== 0 || index !== 3) return hashes
        const changed = new Uint8Array(hashes.length + change)
        changed.set(hashes.subarray(0, changed.length))
        return changed
      },
      readEntries: (index, width) => big.readEntries(index, width),
    }
    const tree = await open(big, 5000, reader)
    await expect(tree.readNodes([{ level: 0, index: 768 }])).rejects.toThrow(
      "tile/0/003 is not 256 hashes of 32 bytes",
    )
  }
})

test("a bundle with another entry, one entry fewer or one more is no bundle of the tree", async () => {
  const changes: Record<string, (bundle: Uint8Array) => Uint8Array> = {
    "has another entry at leaf 258 than the tree": (bundle) => {
      bundle[34 * 2 + 9]! ^= 4
      return bundle
    },
    "is not 44 entries": (bundle) => bundle.subarray(34),
    "is not 44 entries of": (bundle) => new Uint8Array([...bundle, ...bundle.subarray(0, 34)]),
    "is not 44 entries of 32": (bundle) => new Uint8Array([...bundle, 0]),
    "is not 44 entries of 32 bytes": (bundle) => {
      bundle[1] = 31
      return bundle
    },
  }
  for (const [rule, change] of Object.entries(changes)) {
    const reader: TileReader = {
      readTile: (level, index, width) => big.readTile(level, index, width),
      readEntries: async (index, width) => change(await big.readEntries(index, width)),
    }
    const tree = await open(big, 300, reader)
    await expect(tree.readEntries(1)).rejects.toThrow(`tile/entries/001.p/44 ${rule}`)
  }
})

test("a checkpoint of another history is found on the edge, an empty one as well", async () => {
  const other = new PublishedTree(300, (leaf) => entryOfLeaf(leaf === 7 ? 1e6 : leaf))
  await expect(TiledTree.open(big, other.head(300))).rejects.toThrow(
    "tile/0/001.p/44 and the tiles above it do not give the root of 300 leaves",
  )
  await expect(TiledTree.open(big, { size: 0, root: zeroHash })).rejects.toThrow(
    "checkpoint has a root that is not that of an empty tree",
  )
  const empty = await TiledTree.open(big, big.head(0))
  expect(await empty.readRoot(0)).toEqual(big.roots[0])
  await expect(empty.proveInclusion(0)).rejects.toThrow(RangeError)
})

test("what is not in the tree is our mistake to ask for", async () => {
  const tree = await open(big, 300)
  for (const ask of [
    () => tree.readNodes([{ level: 0, index: 300 }]),
    () => tree.readNodes([{ level: 8, index: 1 }]),
    () => tree.readEntries(2),
    () => tree.readTile(0, 2),
    () => tree.readTile(2, 0),
    () => tree.proveInclusion(300),
    () => tree.proveInclusion(300, 301),
    () => tree.proveConsistency(0),
    () => tree.proveConsistency(300, 301),
  ])
    await expect(ask()).rejects.toBeInstanceOf(RangeError)
})

test("a tile is read once while it is remembered", async () => {
  const published = new PublishedTree(1000)
  const tree = await open(published)
  expect(published.asked).toEqual(["0/3/232", "1/0/3"])
  await tree.proveInclusion(300)
  expect(published.asked.splice(0)).toEqual(["0/3/232", "1/0/3", "0/1/256"])
  await tree.proveInclusion(301)
  await tree.proveInclusion(999)
  expect(published.asked).toEqual([])
})

test("a bundle parses to what it was made from, and nothing else parses", () => {
  const entries = big.entries.slice(0, 256)
  const bundle = formatEntries(entries)
  expect(bundle.length).toBe(34 * 256)
  expect(parseEntries(bundle)).toEqual(entries)
  expect(equalBytes(formatEntries(parseEntries(bundle)!), bundle)).toBe(true)
  expect(parseEntries(new Uint8Array(0))).toBeNull()
  expect(parseEntries(formatEntries(big.entries.slice(0, 257)))).toBeNull()
  expect(parseEntries(bundle.subarray(0, 33))).toBeNull()
  const long = Uint8Array.from(bundle)
  long[34] = 1
  expect(parseEntries(long)).toBeNull()
})
