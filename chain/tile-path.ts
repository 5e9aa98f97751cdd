/**
 * C2SP tlog-tiles: where a published log's tiles and bundles of entries stand, and which of them a tree has. Paths are
 * relative to the log's prefix, and the same over HTTP, in a folder and in an object store.
 */
import { tileWidth } from "./tile.ts"

/** A tile of the tree. Partial where its width is below 256. */
export interface TilePlace {
  readonly kind: "tile"
  /** Of tiles, 0 to 63. */
  readonly level: number
  readonly index: number
  /** Hashes in it, 1 to 256. */
  readonly width: number
}

/** The entries of 256 leaves, or of the last ones. */
export interface BundlePlace {
  readonly kind: "entries"
  readonly index: number
  /** Entries in it, 1 to 256. */
  readonly width: number
}

export type LogPlace = TilePlace | BundlePlace

const levelMax = 63

/**
 * `tile/0/x001/234.p/5`, `tile/entries/000`.
 *
 * @throws RangeError on a level, index or width that no log has
 */
export function formatTilePath(place: LogPlace): string {
  const { kind, index, width } = place
  if (kind === "tile" && !isIn(place.level, 0, levelMax))
    throw new RangeError(`tiles have levels 0 to ${levelMax}, not ${place.level}`)
  if (!isIn(index, 0, Number.MAX_SAFE_INTEGER)) throw new RangeError(`${index} is no index of a tile`)
  if (!isIn(width, 1, tileWidth)) throw new RangeError(`a tile is 1 to ${tileWidth} wide, not ${width}`)
  const folder = kind === "tile" ? String(place.level) : "entries"
  return `tile/${folder}/${formatIndex(index)}${width === tileWidth ? "" : `.p/${width}`}`
}

/** In groups of three digits, of which all but the last begin with an x: 1234067 is `x001/x234/067`. */
function formatIndex(index: number): string {
  const digits = String(index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g)!
  return groups.map((group, place) => (place === groups.length - 1 ? group : `x${group}`)).join("/")
}

const pathForm = /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** Takes exactly what `formatTilePath` makes; null for anything else. */
export function parseTilePath(path: string): LogPlace | null {
  const [, folder, groups, partial] = pathForm.exec(path) ?? []
  if (folder === undefined || groups === undefined) return null
  const index = Number(groups.replaceAll(/[x/]/g, ""))
  const width = partial === undefined ? tileWidth : Number(partial)
  const level = folder === "entries" ? 0 : Number(folder)
  if (!isIn(level, 0, levelMax) || !isIn(index, 0, Number.MAX_SAFE_INTEGER) || !isIn(width, 1, tileWidth))
    return null
  const place: LogPlace =
    folder === "entries" ? { kind: "entries", index, width } : { kind: "tile", level, index, width }
  // A full tile has no width in its name, and an index no group of zeros in front.
  return formatTilePath(place) === path ? place : null
}

function isIn(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max
}

/**
 * Nodes of a level of tiles that a tree has: of level 0 its leaves.
 *
 * @param size of the tree, a safe integer
 */
export function countNodes(level: number, size: number): number {
  return Math.floor(size / tileWidth ** level)
}

/** How wide a tile is in a tree of this size; 0 where it has none there. */
export function widthOf(level: number, index: number, size: number): number {
  return Math.min(tileWidth, Math.max(0, countNodes(level, size) - index * tileWidth))
}

/**
 * What the log of `size` leaves publishes and the one of `sizeBefore` did not: tiles by level from 0 on, then bundles, each
 * kind in order of index. Whoever has what came before has, with these, all of the log.
 */
export function* listPlaces(sizeBefore: number, size: number): Generator<LogPlace> {
  for (let level = 0; countNodes(level, size) > 0; level++) {
    for (const { index, width } of listTiles(countNodes(level, sizeBefore), countNodes(level, size)))
      yield { kind: "tile", level, index, width }
  }
  for (const { index, width } of listTiles(sizeBefore, size)) yield { kind: "entries", index, width }
}

function* listTiles(
  before: number,
  count: number,
): Generator<{ readonly index: number; readonly width: number }> {
  for (let index = Math.floor(before / tileWidth); index * tileWidth < count; index++) {
    const width = Math.min(tileWidth, count - index * tileWidth)
    if (index * tileWidth + width > before) yield { index, width }
  }
}

/** The partial tiles of a tree, and its partial bundle: at most one each level. */
export function listPartial(size: number): LogPlace[] {
  const places: LogPlace[] = []
  for (let level = 0; countNodes(level, size) > 0; level++) {
    const count = countNodes(level, size)
    const [index, width] = [Math.floor(count / tileWidth), count % tileWidth]
    if (width === 0) continue
    places.push({ kind: "tile", level, index, width })
    if (level === 0) places.push({ kind: "entries", index, width })
  }
  return places
}
