/** One consistent picture of the database, for one answer. */
import type { Pool, PoolClient, QueryResultRow } from "pg"
import type { AsOf } from "./as-of.ts"
import { Problem } from "./problem.ts"

export interface SnapshotOptions {
  /** Of each query. */
  readonly timeoutMs: number
  /** Aborted when nobody waits for the answer any more: the query that runs is cancelled. */
  readonly signal: AbortSignal
  /** Speaks of this height rather than of the last one: of a page that follows another. */
  readonly height?: number
}

interface AsOfColumns {
  readonly height: number
  readonly size: number
  readonly root: Buffer
  readonly to_ms: number
  readonly manifest_id: number
}

/** Manifests by height. Blocks are only ever added, so what was read once stays true. */
export class BlockIndex {
  private readonly manifests: number[] = []

  /** Height of the block that seals a statement; null where none up to `asOf` does. */
  blockOf(statement: number, asOf: AsOf | null): number | null {
    if (asOf === null || statement > asOf.statementMax) return null
    let low = 0
    let high = asOf.height
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.manifests[middle]! >= statement) high = middle
      else low = middle + 1
    }
    return low
  }

  /** The last statement of a block; undefined above what was read. */
  manifestOf(height: number): number | undefined {
    return this.manifests[height]
  }

  async readTo(snapshot: Snapshot, height: number): Promise<void> {
    if (this.manifests.length > height) return
    const from = this.manifests.length
    const rows = await snapshot.query<{ height: number; manifest_id: number }>(
      "select height, manifest_id from blocks where height >= $1 and height <= $2 order by height",
      [from, height],
    )
    // Two answers may have asked for the same: each row has its place.
    for (const row of rows) this.manifests[row.height] = row.manifest_id
  }
}

/**
 * A read-only transaction that sees one picture, on a connection of its own until `close`. It may rest in between: what is
 * sealed is the same in the next transaction.
 */
export class Snapshot {
  readonly asOf: AsOf | null
  readonly blocks: BlockIndex
  readonly signal: AbortSignal
  private readonly pool: Pool
  private readonly timeoutMs: number
  /** Null while it rests. */
  private transaction: Transaction | null
  private waking: Promise<Transaction> | null = null
  private running = 0
  private isClosed = false
  private isCancelled = false
  private readonly onAbort = (): void => {
    if (this.running === 0 || this.transaction === null) return
    this.isCancelled = true
    // From another connection. It may arrive late: this one is not used again, or it would cancel somebody else's query.
    this.pool.query("select pg_cancel_backend($1)", [this.transaction.pid]).catch(ignore)
  }

  private constructor(
    pool: Pool,
    transaction: Transaction,
    {
      asOf,
      blocks,
      signal,
      timeoutMs,
    }: { asOf: AsOf | null; blocks: BlockIndex; signal: AbortSignal; timeoutMs: number },
  ) {
    this.pool = pool
    this.transaction = transaction
    this.asOf = asOf
    this.blocks = blocks
    this.signal = signal
    this.timeoutMs = timeoutMs
    signal.addEventListener("abort", this.onAbort)
  }

  static async open(
    pool: Pool,
    blocks: BlockIndex,
    { timeoutMs, signal, height }: SnapshotOptions,
  ): Promise<Snapshot> {
    signal.throwIfAborted()
    const transaction = await begin(pool, timeoutMs)
    try {
      const asOf = await readAsOf(transaction.client, height)
      const snapshot = new Snapshot(pool, transaction, { asOf, blocks, signal, timeoutMs })
      if (asOf !== null) await blocks.readTo(snapshot, asOf.height)
      return snapshot
    } catch (error) {
      release(transaction, true)
      throw error
    }
  }

  /** Which transaction the next query runs in: another value says that cursors of the one before are gone. */
  async enter(): Promise<Transaction> {
    this.signal.throwIfAborted()
    if (this.transaction !== null) return this.transaction
    this.waking ??= begin(this.pool, this.timeoutMs).then(
      (transaction) => {
        this.waking = null
        this.transaction = transaction
        return transaction
      },
      (error: unknown) => {
        this.waking = null
        throw error
      },
    )
    return this.waking
  }

  async query<Columns extends QueryResultRow>(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<Columns[]> {
    this.signal.throwIfAborted()
    this.running += 1
    try {
      const { client } = this.transaction ?? (await this.enter())
      return (await client.query<Columns>(sql, [...values])).rows
    } finally {
      this.running -= 1
    }
  }

  /** Gives the connection back while nobody asks anything of it. */
  async rest(): Promise<void> {
    const { transaction } = this
    if (transaction === null || this.running > 0 || this.isClosed || this.isCancelled) return
    this.transaction = null
    await end(transaction)
  }

  blockOf(statement: number): number | null {
    return this.blocks.blockOf(statement, this.asOf)
  }

  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    this.signal.removeEventListener("abort", this.onAbort)
    const transaction = this.waking === null ? this.transaction : await this.waking.catch(() => null)
    if (transaction === null) return
    if (this.isCancelled) release(transaction, true)
    else await end(transaction)
  }
}

/** A connection in a transaction, and its process in Postgres. */
export interface Transaction {
  readonly client: PoolClient
  readonly pid: number
}

async function begin(pool: Pool, timeoutMs: number): Promise<Transaction> {
  const client = await pool.connect()
  client.on("error", ignore)
  try {
    await client.query(
      `begin transaction isolation level repeatable read, read only;
       set local statement_timeout = ${Math.trunc(timeoutMs)};
       set local extra_float_digits = 1;
       set local idle_in_transaction_session_timeout = 0`,
    )
    const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
    return { client, pid: rows[0]!.pid }
  } catch (error) {
    client.off("error", ignore)
    client.release(true)
    throw error
  }
}

/** A connection that could not roll back is thrown away. */
async function end(transaction: Transaction): Promise<void> {
  const isDone = await transaction.client.query("rollback").then(
    () => true,
    () => false,
  )
  release(transaction, !isDone)
}

function release({ client }: Transaction, isBroken: boolean): void {
  client.off("error", ignore)
  client.release(isBroken)
}

async function readAsOf(client: PoolClient, height?: number): Promise<AsOf | null> {
  const { rows } = await client.query<AsOfColumns>(
    `select b.height, c.size, c.root, b.to_ms, b.manifest_id from checkpoints c join blocks b using (height)
     ${height === undefined ? "order by height desc limit 1" : "where height = $1"}`,
    height === undefined ? [] : [height],
  )
  const row = rows[0]
  if (row === undefined) {
    if (height === undefined) return null
    throw new Problem("cursor-refused", {
      detail: "the cursor speaks of a block that is not here",
      parameter: "cursor",
      rule: "must be one that this service gave",
    })
  }
  return {
    height: row.height,
    treeSize: row.size,
    root: Uint8Array.from(row.root),
    sealedToMs: row.to_ms,
    statementMax: row.manifest_id,
  }
}

function ignore(): void {}
