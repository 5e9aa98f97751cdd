/** The stored runs of leaves beside the leaves that the statements' ids give. */
import { type LeafRun, LeafRuns } from "../chain/leaf-run.ts"
import type { Findings } from "./finding.ts"
import { Peekable } from "./peekable.ts"
import type { AuditSource } from "./source.ts"

export class LeafAudit {
  private readonly findings: Findings
  private readonly rows: Peekable<LeafRun>
  /** Read, and not yet laid beside what the ids give. */
  private taken: LeafRun[] = []
  private runs: LeafRuns
  /** What the first statement of the growing run is called; null before there is one. */
  private first: string | null = null

  /**
   * @param firstLeaf that the audit looks at
   * @param after the id of the leaf before it; null where there is none
   */
  constructor(source: AuditSource, findings: Findings, firstLeaf: number, after: bigint | null) {
    this.findings = findings
    this.runs = new LeafRuns(firstLeaf)
    this.rows = new Peekable(source.leafRuns(after))
  }

  /** Whether a stored run holds this id. Ids ascend, here and below. */
  async covers(id: bigint): Promise<boolean> {
    await this.takeUpTo(id)
    return this.taken.some((row) => id >= row.firstId && id < endOf(row))
  }

  /** Takes the statement of the next leaf; `row` is what it is called. Null where there is nothing to wait for. */
  add(id: bigint, row: string): Promise<void> | null {
    const ended = this.runs.add(id)
    if (ended === null) {
      this.first ??= row
      return null
    }
    return this.endRun(ended, row)
  }

  private async endRun(ended: LeafRun, row: string): Promise<void> {
    await this.check(ended)
    this.first = row
  }

  /** Ends a block, whose next one begins with this leaf. */
  async endBlock(nextLeaf: number): Promise<void> {
    const last = this.runs.last()
    if (last !== null) await this.check(last)
    this.runs = new LeafRuns(nextLeaf)
    this.first = null
  }

  /** What is stored beyond the last block. */
  async finish(): Promise<void> {
    for (const row of this.taken) this.addStray(row)
    this.taken = []
    for (let row = await this.rows.take(); row !== null; row = await this.rows.take()) this.addStray(row)
  }

  async close(): Promise<void> {
    await this.rows.close()
  }

  private async takeUpTo(id: bigint): Promise<void> {
    for (let row = await this.rows.peek(); row !== null && row.firstId <= id; row = await this.rows.peek()) {
      this.taken.push(row)
      await this.rows.take()
    }
  }

  /** A run that the ids give, which is one row. */
  private async check(run: LeafRun): Promise<void> {
    await this.takeUpTo(endOf(run) - 1n)
    const rows = this.taken
    this.taken = []
    const row = rows.find(({ firstId }) => firstId === run.firstId) ?? rows[0]
    if (row === undefined) {
      this.findings.add("leaf_runs", null, nameRun(run), `are missing: the first is ${this.first}`)
      return
    }
    const name = nameRun(row)
    const say = (column: string, rule: string): void => this.findings.add("leaf_runs", column, name, rule)
    if (row.firstId !== run.firstId) say("first_id", `is not the id of ${this.first}`)
    if (row.firstLeaf !== run.firstLeaf)
      say("first_leaf", `is not the leaf of ${this.first}, which is ${run.firstLeaf}`)
    if (row.count !== run.count)
      say("leaf_count", `is not ${run.count}, the leaves up to the next gap of ids`)
    for (const other of rows) if (other !== row) this.addStray(other)
  }

  private addStray(row: LeafRun): void {
    this.findings.add("leaf_runs", null, nameRun(row), "are not leaves that a block has sealed")
  }
}

/** The id behind the run's last one. */
function endOf({ firstId, count }: LeafRun): bigint {
  return firstId + BigInt(count)
}

function nameRun({ firstLeaf, count }: LeafRun): string {
  return `leaves ${firstLeaf} to ${firstLeaf + count - 1}`
}
