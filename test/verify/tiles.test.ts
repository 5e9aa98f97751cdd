import { expect, test } from "vitest"
import { joinBytes } from "../../chain/bytes.ts"
import { Frontier, hashLeaf } from "../../chain/merkle.ts"
import { Findings } from "../../verify/finding.ts"
import type { AuditSource, TileRow } from "../../verify/source.ts"
import { TileAudit } from "../../verify/tiles.ts"
import { sha256Native } from "../../ingest/native.ts"

type Tiles = Map<number, TileRow[]>

const leaf = (index: number) => hashLeaf(Uint8Array.of(index & 255, index >> 8), sha256Native)

/** The tiles of a tree of this size, by level. */
function makeTiles(size: number): Tiles {
  const hashes = new Map<number, Uint8Array[]>()
  const tree = new Frontier(sha256Native)
  for (let index = 0; index < size; index++) {
    tree.append(leaf(index), ({ level }, hash) => {
      if (level % 8 !== 0) return
      const row = hashes.get(level / 8) ?? []
      row.push(hash)
      hashes.set(level / 8, row)
    })
  }
  const tiles: Tiles = new Map()
  for (const [level, row] of hashes) {
    const ofLevel: TileRow[] = []
    for (let index = 0; index * 256 < row.length; index++)
      ofLevel.push({ index, hashes: joinBytes(...row.slice(256 * index, 256 * index + 256)) })
    tiles.set(level, ofLevel)
  }
  return tiles
}

/** What the audit says of these tiles beside a tree of this size. */
async function auditTiles(tiles: Tiles, size: number): Promise<string[]> {
  const findings = new Findings(false)
  const source = {
    tiles: async function* (level: number) {
      yield* tiles.get(level) ?? []
    },
    readTileLevels: () => Promise.resolve([...tiles.keys()]),
  } as Partial<AuditSource> as AuditSource
  const audit = new TileAudit(source, findings)
  const tree = new Frontier(sha256Native)
  for (let index = 0; index < size; index++) {
    await audit.prepare(index)
    tree.append(leaf(index), audit.keep)
  }
  const difference = audit.takeDifference()
  if (difference !== null) audit.addDifference(difference)
  await audit.finish(size)
  return findings.list().map(({ row, rule }) => `${row} ${rule}`)
}

test.each([0, 1, 255, 256, 257, 511, 512, 1_000])(
  "the tiles of %i leaves are those of the tree",
  async (size) => {
    expect(await auditTiles(makeTiles(size), size)).toEqual([])
  },
)

test("a changed hash of any tile is named with its place", async () => {
  const size = 1_000
  for (const [level, rows] of makeTiles(size)) {
    for (const { index, hashes } of rows) {
      const places = hashes.length / 32
      for (const place of [0, places - 1]) {
        const tiles = makeTiles(size)
        const changed = tiles.get(level)![index]!
        changed.hashes[32 * place + 31]! ^= 1
        expect(await auditTiles(tiles, size)).toEqual([
          `tile ${level}/${index} differs at place ${place} from the hash that the log's leaves give`,
        ])
      }
    }
  }
})

/** A stored tile with fewer hashes. */
function cut(tiles: Tiles, level: number, index: number, count: number): void {
  const { hashes } = tiles.get(level)![index]!
  tiles.get(level)![index] = { index, hashes: hashes.slice(0, 32 * count) }
}

test("a missing, short, long or additional tile is named", async () => {
  const size = 1_000
  const changed = async (change: (tiles: Tiles) => void): Promise<string[]> => {
    const tiles = makeTiles(size)
    change(tiles)
    return auditTiles(tiles, size)
  }
  expect(await changed((tiles) => tiles.get(0)!.splice(2, 1))).toEqual([
    "tile 0/2 lacks the hash at place 0, which the log's leaves give",
  ])
  expect(await changed((tiles) => cut(tiles, 0, 1, 255))).toEqual([
    "tile 0/1 lacks the hash at place 255, which the log's leaves give",
  ])
  expect(await changed((tiles) => cut(tiles, 1, 0, 2))).toEqual([
    "tile 1/0 lacks the hash at place 2, which the log's leaves give",
  ])
  const more = new Uint8Array(32 * 256)
  expect(
    await changed((tiles) =>
      tiles
        .get(1)!
        .splice(0, 1, { index: 0, hashes: joinBytes(tiles.get(1)![0]!.hashes, more.slice(0, 32)) }),
    ),
  ).toEqual(["tile 1/0 holds more hashes than the 3 of a log of 1000 leaves"])
  expect(await changed((tiles) => tiles.get(0)!.push({ index: 4, hashes: more }))).toEqual([
    "tile 0/4 is of no place in the log's tree",
  ])
  expect(await changed((tiles) => tiles.set(2, [{ index: 0, hashes: more }]))).toEqual([
    "tile 2/0 is of no place in the log's tree",
  ])
  expect(await changed((tiles) => tiles.set(9, [{ index: 0, hashes: more }]))).toEqual([
    "tile 9/0 is of no place in the log's tree",
  ])
})
