/** The stored tiles beside a tree that grows leaf by leaf: each stored hash is compared as the tree completes its node. */
import { type Hash, hashSize } from "../chain/hash.ts"
import type { NodePlace } from "../chain/merkle.ts"
import type { Findings } from "./finding.ts"
import { Peekable } from "./peekable.ts"
import type { AuditSource, TileRow } from "./source.ts"

/** Hashes in a full tile, and levels of the tree in one of tiles (C2SP tlog-tiles). */
const tileWidth = 256
const tileHeight = 8
/** Of tiles: enough for 2^56 leaves. */
const levelsMax = 7

/** Where a stored hash is not what the leaves give. */
export interface TileDifference {
  readonly level: number
  readonly index: number
  /** In the tile. */
  readonly place: number
  readonly isMissing: boolean
}

interface Level {
  readonly rows: Peekable<TileRow>
  /** The stored tile in which the tree now grows. */
  current: TileRow | null
}

export class TileAudit {
  private readonly source: AuditSource
  private readonly findings: Findings
  private readonly levels: Level[] = []
  private difference: TileDifference | null = null

  constructor(source: AuditSource, findings: Findings) {
    this.source = source
    this.findings = findings
  }

  /** The tiles in which a tree of this size grows on, in place of the calls of `prepare` up to there. */
  async resume(size: number): Promise<void> {
    let width = tileWidth
    for (let level = 0; level < levelsMax; level++, width *= tileWidth) {
      const index = Math.floor(size / width)
      this.levels[level] = { rows: new Peekable(this.source.tiles(level, index)), current: null }
      // One that begins here is for `prepare`.
      if (size % width !== 0) await this.open(level, index)
    }
  }

  /**
   * Call it before each leaf: at the border of a tile it fetches the next one, of each level that has one there. Null where
   * there is nothing to wait for.
   */
  prepare(size: number): Promise<void> | null {
    return size % tileWidth === 0 ? this.openAll(size) : null
  }

  private async openAll(size: number): Promise<void> {
    for (let level = 0, index = size / tileWidth; level < levelsMax; level++, index /= tileWidth) {
      await this.open(level, index)
      if (index % tileWidth !== 0) return
    }
  }

  private async open(level: number, index: number): Promise<void> {
    const opened = (this.levels[level] ??= {
      rows: new Peekable(this.source.tiles(level, 0)),
      current: null,
    })
    opened.current = null
    for (let row = await opened.rows.peek(); row !== null; row = await opened.rows.peek()) {
      if (row.index > index) return
      await opened.rows.take()
      if (row.index === index) {
        opened.current = row
        return
      }
      this.addStray(level, row.index)
    }
  }

  /** Given to `Frontier.append`. */
  readonly keep = (place: NodePlace, hash: Hash): void => {
    if (place.level % tileHeight !== 0) return
    const level = place.level / tileHeight
    const inTile = place.index % tileWidth
    const stored = this.levels[level]?.current ?? null
    const start = inTile * hashSize
    const isMissing = stored === null || stored.hashes.length < start + hashSize
    if (!isMissing && isHashAt(stored.hashes, start, hash)) return
    this.difference ??= { level, index: Math.floor(place.index / tileWidth), place: inTile, isMissing }
  }

  /** The first difference since the last call, leaves before what stands on them; null where there is none. */
  takeDifference(): TileDifference | null {
    const { difference } = this
    this.difference = null
    return difference
  }

  addDifference({ level, index, place, isMissing }: TileDifference): void {
    const rule = isMissing
      ? `lacks the hash at place ${place}, which the log's leaves give`
      : `differs at place ${place} from the hash that the log's leaves give`
    this.findings.add("tiles", "hashes", `tile ${level}/${index}`, rule)
  }

  /** Nothing may stand beyond a tree of this size. */
  async finish(size: number): Promise<void> {
    let nodes = size
    for (const [level, { rows, current }] of this.levels.entries()) {
      const width = nodes === 0 ? 0 : ((nodes - 1) % tileWidth) + 1
      if (current !== null && current.hashes.length > width * hashSize) {
        if (width === 0) this.addStray(level, current.index)
        else
          this.findings.add(
            "tiles",
            "hashes",
            `tile ${level}/${current.index}`,
            `holds more hashes than the ${width} of a log of ${size} leaves`,
          )
      }
      for (let row = await rows.take(); row !== null; row = await rows.take()) this.addStray(level, row.index)
      nodes = Math.floor(nodes / tileWidth)
    }
    for (const level of await this.source.readTileLevels()) {
      if (level < this.levels.length) continue
      for await (const row of this.source.tiles(level, 0)) this.addStray(level, row.index)
    }
  }

  async close(): Promise<void> {
    for (const { rows } of this.levels) await rows.close()
  }

  private addStray(level: number, index: number): void {
    this.findings.add("tiles", null, `tile ${level}/${index}`, "is of no place in the log's tree")
  }
}

function isHashAt(hashes: Uint8Array, start: number, hash: Hash): boolean {
  for (let index = 0; index < hashSize; index++) if (hashes[start + index] !== hash[index]) return false
  return true
}
