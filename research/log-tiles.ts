/** The log's tiles and entries as they stand in the database. */
import { formatTilePath } from "../chain/tile-path.ts"
import { hashSize } from "../chain/hash.ts"
import type { TileReader } from "../chain/log-reader.ts"
import { tileWidth } from "../chain/tile.ts"

/** Runs a query; a pool's will do: what is asked for here only ever grows. */
export type QueryLog = <Row extends object>(sql: string, values: readonly unknown[]) => Promise<Row[]>

/** Not believed by who reads through it (`TiledTree`): a changed row must not be published. */
export class StoredTiles implements TileReader {
  private readonly query: QueryLog

  constructor(query: QueryLog) {
    this.query = query
  }

  async readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    const [row] = await this.query<{ hashes: Uint8Array }>(
      "select substr(hashes, 1, $3) as hashes from tiles where level = $1 and tile_index = $2",
      [level, index, width * hashSize],
    )
    if (row === undefined) throw new MissingRows(formatTilePath({ kind: "tile", level, index, width }))
    return row.hashes
  }

  async readEntries(index: number, width: number): Promise<Uint8Array> {
    const first = index * tileWidth
    const [row] = await this.query<{ bundle: Uint8Array | null }>(
      `select string_agg('\\x0020'::bytea || entry, ''::bytea order by id) as bundle from entries
       where id >= statement_of($1) and id <= statement_of($2)`,
      [first, first + width - 1],
    )
    if (row?.bundle == null) throw new MissingRows(formatTilePath({ kind: "entries", index, width }))
    return row.bundle
  }
}

class MissingRows extends Error {
  override readonly name = "MissingRows"

  constructor(path: string) {
    super(`what ${path} is made of is missing in the database: run tidemark verify`)
  }
}
