import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import type { Hash } from "../../chain/hash.ts"
import { type LeafRun, LeafRuns } from "../../chain/leaf-run.ts"
import { Frontier, type NodePlace, hashLeaf } from "../../chain/merkle.ts"
import { type Tile, TileCollector, readTileNode } from "../../chain/tile.ts"
import { sha256Native } from "../../ingest/native.ts"

const leaf = (index: number): Hash => hashLeaf(Uint8Array.of(index & 255, index >> 8), sha256Native)

/** Every node that a tree of this size completes, and its tiles; taken up anew from what was stored at `pause`. */
function grow(
  size: number,
  pause: number,
): { readonly nodes: (readonly [NodePlace, string])[]; readonly tiles: Tile[] } {
  const nodes: (readonly [NodePlace, string])[] = []
  const tiles: Tile[] = []
  const tree = new Frontier(sha256Native)
  let collector = new TileCollector()
  for (let index = 0; index < size; index++) {
    if (index === pause) {
      const stored = collector
      collector = new TileCollector()
      tiles.push(...stored.takeFull())
      for (const tile of stored.listGrowing())
        collector.resume({ ...tile, hashes: Uint8Array.from(tile.hashes) })
    }
    tree.append(leaf(index), (place, hash) => {
      nodes.push([place, formatHex(hash)])
      collector.keep(place, hash)
    })
  }
  return { nodes, tiles: [...tiles, ...collector.takeFull(), ...collector.listGrowing()] }
}

test.each([1, 255, 256, 257, 700])(
  "every node of a tree of %i leaves stands in its tile, or comes out of it",
  (size) => {
    const { nodes, tiles } = grow(size, size >> 1)
    const tileOf = (level: number, index: number): Tile =>
      tiles.find((tile) => tile.level === level && tile.index === index)!
    for (const [place, hash] of nodes) {
      const level = Math.floor(place.level / 8)
      const first = place.index * 2 ** (place.level % 8)
      expect(formatHex(readTileNode(tileOf(level, Math.floor(first / 256)), place, sha256Native))).toBe(hash)
    }
    expect(tiles.map(({ level, index }) => `${level}/${index}`).toSorted()).toEqual(
      [...new Set(tiles.map(({ level, index }) => `${level}/${index}`))].toSorted(),
    )
  },
)

test("a node of another tile, or one that is not complete, is no node of this one", () => {
  const [full, growing] = [
    { level: 0, index: 0, hashes: new Uint8Array(8192) },
    { level: 0, index: 1, hashes: new Uint8Array(96) },
  ]
  for (const place of [
    { level: 0, index: 256 },
    { level: 9, index: 0 },
  ])
    expect(() => readTileNode(full, place)).toThrow(RangeError)
  for (const place of [
    { level: 0, index: 259 },
    { level: 1, index: 129 },
    { level: 0, index: 255 },
  ])
    expect(() => readTileNode(growing, place)).toThrow(RangeError)
})

test("a collector of the levels from 1 on keeps no leaves", () => {
  const collector = new TileCollector(1)
  const tree = new Frontier(sha256Native)
  for (let index = 0; index < 600; index++) tree.append(leaf(index), collector.keep)
  expect(collector.takeFull()).toEqual([])
  expect(collector.listGrowing().map(({ level, hashes }) => [level, hashes.length])).toEqual([[1, 64]])
})

test("leaves run as long as ids do, and never beyond a gap", () => {
  const runs = new LeafRuns(100)
  const ended: LeafRun[] = []
  expect(runs.last()).toBeNull()
  for (const id of [7n, 8n, 9n, 12n, 14n, 15n, 2n ** 62n]) {
    const run = runs.add(id)
    if (run !== null) ended.push(run)
  }
  expect([...ended, runs.last()]).toEqual([
    { firstLeaf: 100, firstId: 7n, count: 3 },
    { firstLeaf: 103, firstId: 12n, count: 1 },
    { firstLeaf: 104, firstId: 14n, count: 2 },
    { firstLeaf: 106, firstId: 2n ** 62n, count: 1 },
  ])
})
