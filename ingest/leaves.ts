/** Which statement is which leaf: a row per stretch of consecutive ids. */
import type { PoolClient } from "pg"
import { type LeafRun, LeafRuns } from "../chain/leaf-run.ts"
import { CopyRows, copyRows } from "./database/copy.ts"

/** Writes the runs of one block. */
export class LeafWriter {
  private readonly client: PoolClient
  private readonly runs: LeafRuns
  private rows = new CopyRows()

  /** @param firstLeaf of the block */
  constructor(client: PoolClient, firstLeaf: number) {
    this.client = client
    this.runs = new LeafRuns(firstLeaf)
  }

  /** The id of the next leaf. */
  add(id: number): void {
    const ended = this.runs.add(BigInt(id))
    if (ended !== null) this.addRow(ended)
  }

  /** Writes the runs that have ended: in the worst case there is one for each leaf. */
  async flush(): Promise<void> {
    const { rows } = this
    if (rows.count === 0) return
    this.rows = new CopyRows()
    await copyRows(this.client, "leaf_runs (first_leaf, first_id, leaf_count)", rows)
  }

  async finish(): Promise<void> {
    const last = this.runs.last()
    if (last !== null) this.addRow(last)
    await this.flush()
  }

  private addRow({ firstLeaf, firstId, count }: LeafRun): void {
    this.rows.row(3)
    this.rows.int8(firstLeaf)
    this.rows.int8(Number(firstId))
    this.rows.int8(count)
  }
}
