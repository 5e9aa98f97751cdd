import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { formatHex, parseHex } from "../../chain/bytes.ts"
import { type Checkpoint, parseCheckpoint } from "../../chain/checkpoint.ts"
import { parseHash } from "../../chain/hash.ts"
import { LogFault, TiledTree } from "../../chain/log-reader.ts"
import { parseNote, parseVkey, verifyNote } from "../../chain/note.ts"
import { countNodes, formatTilePath, listPlaces } from "../../chain/tile-path.ts"
import type { CheckpointVector } from "../vectors/checkpoints.ts"
import { makePublishedFiles } from "../vectors/generate.ts"
import type { TilesVector } from "../vectors/tiles.ts"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))
const list = (name: string): string[] => readdirSync(`${folder}${name}`).map((file) => `${name}/${file}`)
const tiles = [...list("tiles/valid"), ...list("tiles/invalid")]
const checkpoints = [...list("checkpoints/valid"), ...list("checkpoints/invalid")]

const read = (path: string): unknown => JSON.parse(readFileSync(folder + path, "utf8"))
const readTiles = (path: string): TilesVector => read(path) as TilesVector

test("the generator makes the files that are committed, and no file is without one", () => {
  const made = makePublishedFiles()
  expect([...made.keys()].toSorted()).toEqual([...tiles, ...checkpoints].toSorted())
  const others = [...made].filter(([path, text]) => readFileSync(folder + path, "utf8") !== text)
  expect(others.map(([path]) => path)).toEqual([])
})

/** Reads all of the tree; the path that a fault names, or null. */
async function readWhole({ size, root, as, files }: TilesVector): Promise<string | null> {
  const all = { ...(as === undefined ? {} : readTiles(as).files), ...files }
  const fetch = async (path: string): Promise<Uint8Array> => parseHex(all[path]!)!
  const reader = {
    readTile: (level: number, index: number, width: number) =>
      fetch(formatTilePath({ kind: "tile", level, index, width })),
    readEntries: (index: number, width: number) => fetch(formatTilePath({ kind: "entries", index, width })),
  }
  try {
    const tree = await TiledTree.open(reader, { size, root: parseHash(parseHex(root)!) })
    for (const place of listPlaces(0, size)) {
      if (place.kind === "tile") await tree.readTile(place.level, place.index)
      else await tree.readEntries(place.index)
    }
    return null
  } catch (error) {
    if (!(error instanceof LogFault)) throw error
    return error.path
  }
}

test.each(tiles)("%s is read as it says", async (path) => {
  const vector = readTiles(path)
  expect(await readWhole(vector)).toBe(vector.names ?? null)
  expect(path.includes("/valid/")).toBe(vector.result === "read")
  // A whole one has all files of its tree and no other.
  const named = vector.as === undefined ? [...listPlaces(0, vector.size)].map(formatTilePath) : null
  expect(Object.keys(vector.files)).toEqual(named ?? Object.keys(vector.files))
  expect(countNodes(1, vector.size)).toBeLessThan(2)
})

function open({ vkey, note: text }: CheckpointVector): Checkpoint | null {
  const key = parseVkey(vkey)!
  const note = parseNote(text)
  const checkpoint = note === null ? null : parseCheckpoint(note.text)
  if (note === null || checkpoint === null || checkpoint.origin !== key.name) return null
  return verifyNote(note, [key])?.length === 1 ? checkpoint : null
}

test.each(checkpoints)("%s is opened or refused as it says", (path) => {
  const vector = read(path) as CheckpointVector
  const checkpoint = open(vector)
  expect(checkpoint === null ? undefined : { ...checkpoint, root: formatHex(checkpoint.root) }).toEqual(
    vector.says,
  )
  expect(path.includes("/valid/")).toBe(vector.result === "opened")
  expect(vector.says !== undefined).toBe(vector.result === "opened")
})
