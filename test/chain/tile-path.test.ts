import { expect, test } from "vitest"
import { type LogPlace, formatTilePath, listPlaces, parseTilePath, widthOf } from "../../chain/tile-path.ts"

const paths: readonly (readonly [string, LogPlace])[] = [
  ["tile/0/000", { kind: "tile", level: 0, index: 0, width: 256 }],
  ["tile/0/x001/x234/067", { kind: "tile", level: 0, index: 1_234_067, width: 256 }],
  ["tile/0/x001/234.p/5", { kind: "tile", level: 0, index: 1234, width: 5 }],
  ["tile/63/999.p/255", { kind: "tile", level: 63, index: 999, width: 255 }],
  ["tile/6/x001/000", { kind: "tile", level: 6, index: 1000, width: 256 }],
  ["tile/entries/x009/x007/x199/x254/x740/991", { kind: "entries", index: 2 ** 53 - 1, width: 256 }],
  ["tile/entries/000.p/1", { kind: "entries", index: 0, width: 1 }],
]

test.each(paths)("%s is where it stands, and back", (path, place) => {
  expect(formatTilePath(place)).toBe(path)
  expect(parseTilePath(path)).toEqual(place)
})

test.each([
  "",
  "tile",
  "tile/0",
  "tile/0/",
  "/tile/0/000",
  "tile/0/000/",
  "tile/00/000",
  "tile/-1/000",
  "tile/64/000",
  "tile/100/000",
  "tile/0/0",
  "tile/0/0000",
  "tile/0/x000/001",
  "tile/0/x001",
  "tile/0/001/002",
  "tile/0/X001/002",
  "tile/0/x001/x002",
  "tile/0/000.p",
  "tile/0/000.p/",
  "tile/0/000.p/0",
  "tile/0/000.p/05",
  "tile/0/000.p/256",
  "tile/0/000.p/+5",
  "tile/0/000.p/1e1",
  "tile/0/000.P/5",
  "tile/0/000%2Ep/5",
  "tile/0/x009/x007/x199/x254/x740/992",
  "tile/0/x001/x009/x007/x199/x254/x740/991",
  "tile/data/000",
  "tile/entries/../000",
  "tile/0/٠٠١",
  "tile/0/000\n",
])("%j is no path of a tile", (path) => {
  expect(parseTilePath(path)).toBeNull()
})

test.each([
  { level: 64, index: 0, width: 1 },
  { level: 0, index: -1, width: 1 },
  { level: 0, index: 2 ** 53, width: 1 },
  { level: 0, index: 0.5, width: 1 },
  { level: 0, index: 0, width: 0 },
  { level: 0, index: 0, width: 257 },
])("no log has a tile like %j", (place) => {
  expect(() => formatTilePath({ kind: "tile", ...place })).toThrow(RangeError)
})

test("a tree of 70,000 leaves has the tiles of the example in C2SP tlog-tiles", () => {
  const tiles = [...listPlaces(0, 70_000)].filter((place) => place.kind === "tile")
  const counted = (level: number, isFull: boolean): number =>
    tiles.filter((tile) => tile.level === level && (tile.width === 256) === isFull).length
  expect([0, 1, 2, 3].map((level) => [counted(level, true), counted(level, false)])).toEqual([
    [273, 1],
    [1, 1],
    [0, 1],
    [0, 0],
  ])
  expect(widthOf(0, 273, 70_000)).toBe(112)
  expect(widthOf(1, 1, 70_000)).toBe(17)
  expect(widthOf(2, 0, 70_000)).toBe(1)
  expect(widthOf(2, 1, 70_000)).toBe(0)
})

const names = (before: number, size: number): string[] => [...listPlaces(before, size)].map(formatTilePath)

test("what a log publishes step by step is what it would have published at once", () => {
  expect(names(0, 0)).toEqual([])
  expect(names(300, 300)).toEqual([])
  expect(names(255, 257)).toEqual([
    "tile/0/000",
    "tile/0/001.p/1",
    "tile/1/000.p/1",
    "tile/entries/000",
    "tile/entries/001.p/1",
  ])
  // No node of level 8 is completed between these two.
  expect(names(256, 300)).toEqual(["tile/0/001.p/44", "tile/entries/001.p/44"])
  const sizes = [0, 1, 2, 255, 256, 257, 300, 65_535, 65_536, 66_000, 70_000]
  const published = new Set(sizes.slice(1).flatMap((size, step) => names(sizes[step]!, size)))
  for (const size of sizes) expect(names(0, size).filter((name) => !published.has(name))).toEqual([])
})
