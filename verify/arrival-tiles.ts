/** The stored tiles of a block's arrivals tree beside those that its statements give. */
import { equalBytes } from "../chain/bytes.ts"
import type { Tile, TileCollector } from "../chain/tile.ts"
import type { Findings } from "./finding.ts"
import { Peekable } from "./peekable.ts"
import type { ArrivalTileRow, AuditSource } from "./source.ts"

export class ArrivalTileAudit {
  private readonly findings: Findings
  private readonly rows: Peekable<ArrivalTileRow>

  /** @param from the height of the first block */
  constructor(source: AuditSource, findings: Findings, from: number) {
    this.findings = findings
    this.rows = new Peekable(source.arrivalTiles(from))
  }

  /** @param isExplained whether something was found that gives the block other arrivals */
  async check(height: number, arrivals: TileCollector, isExplained: boolean): Promise<void> {
    const expected = new Map(
      [...arrivals.takeFull(), ...arrivals.listGrowing()].map((tile) => [nameOf(height, tile), tile]),
    )
    const strays: ArrivalTileRow[] = []
    for (
      let row = await this.rows.peek();
      row !== null && row.height <= height;
      row = await this.rows.peek()
    ) {
      await this.rows.take()
      const name = nameOf(row.height, row)
      const tile = expected.get(name)
      expected.delete(name)
      if (tile === undefined) strays.push(row)
      else if (!isExplained && !equalBytes(tile.hashes, row.hashes))
        this.findings.add("arrival_tiles", "hashes", name, "is not what the block's arrivals give")
    }
    for (const name of expected.keys()) this.findings.add("arrival_tiles", null, name, "is missing")
    for (const row of strays) this.addStray(row)
  }

  /** What is stored beyond the last block. */
  async finish(): Promise<void> {
    for (let row = await this.rows.take(); row !== null; row = await this.rows.take()) this.addStray(row)
  }

  async close(): Promise<void> {
    await this.rows.close()
  }

  private addStray(row: ArrivalTileRow): void {
    const rule = "is of no place in the arrivals of a block"
    this.findings.add("arrival_tiles", null, nameOf(row.height, row), rule)
  }
}

function nameOf(height: number, { level, index }: Pick<Tile, "level" | "index">): string {
  return `arrivals tile ${level}/${index} of block ${height}`
}
