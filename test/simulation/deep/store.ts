/**
 * A database in memory that answers the queries of ingest, in the place of Postgres: transactions at read committed, row
 * and advisory locks, unique keys, a sequence, binary COPY. It knows each query by its text: one that it does not know is
 * an error, so a query that is changed is changed here too, and `store.test.ts` compares both, answer by answer.
 */
import { LockTable } from "./lock.ts"
import type { ColumnType, ColumnValue } from "./copy-in.ts"
import { readCopiedRows } from "./copy-in.ts"
import { Tables } from "./tables.ts"
import { SqlError, type Step, Transaction } from "./transaction.ts"

export interface QueryResult {
  readonly rows: readonly object[]
  readonly rowCount: number
  /** Of `copy … to stdout`. */
  readonly copied?: Uint8Array
}

/** What a query may use. */
export interface QueryScope {
  readonly transaction: Transaction
  readonly tables: Tables
  /** The parameters, and behind them the whole numbers that stand in the text itself. */
  readonly values: readonly never[]
  /** Locks that are free now: for `skip locked`. */
  readonly isFree: (name: string) => boolean
  readonly nextId: () => number
  /** By the database's clock, whole Unix ms. */
  readonly clockMs: number
}

/** Rows, or how many were changed, or the bytes of a COPY. */
export type QueryAnswer = readonly object[] | { readonly rowCount: number } | Uint8Array

/** What a query does: a generator where it needs locks. */
export type Query = (scope: QueryScope) => Step<QueryAnswer> | QueryAnswer

export interface CopyTarget {
  readonly types: readonly ColumnType[]
  readonly take: (scope: QueryScope, row: readonly ColumnValue[]) => Step<void>
}

export const noRows: readonly object[] = []

export class Store {
  readonly tables = new Tables()
  readonly locks = new LockTable()
  private readonly queries: ReadonlyMap<string, Query>
  private readonly copies: ReadonlyMap<string, CopyTarget>
  private readonly readClockMs: () => number
  private lastId = 0
  /** How often somebody has set the database's clock. */
  clockSettings = 0
  /** Called before each commit that writes something. */
  onCommit: ((transaction: Transaction) => void) | null = null

  constructor(
    queries: Readonly<Record<string, Query>>,
    copies: Readonly<Record<string, CopyTarget>>,
    readClockMs: () => number,
  ) {
    this.queries = new Map(Object.entries(queries).map(([text, query]) => [normalise(text).text, query]))
    this.copies = new Map(Object.entries(copies).map(([text, target]) => [normalise(text).text, target]))
    this.readClockMs = readClockMs
  }

  get clockMs(): number {
    return this.readClockMs()
  }

  begin(): Transaction {
    return new Transaction(this.readClockMs(), this.clockSettings)
  }

  commit(transaction: Transaction): void {
    if (transaction.writes.size > 0) this.onCommit?.(transaction)
    transaction.commit()
    this.locks.release(transaction)
  }

  rollback(transaction: Transaction): void {
    this.locks.release(transaction)
  }

  /** Runs one query in a transaction. Yields locks; throws `SqlError`. */
  *run(
    transaction: Transaction,
    sql: string,
    values: readonly unknown[],
    copied: Uint8Array | null,
  ): Step<QueryResult> {
    const { text, numbers } = normalise(sql)
    const scope: QueryScope = {
      transaction,
      tables: this.tables,
      values: [...values, ...numbers] as never[],
      isFree: (name) => this.locks.isFree(transaction, name),
      nextId: () => (this.lastId += 1),
      clockMs: this.readClockMs(),
    }
    if (copied !== null) {
      const target = this.copies.get(text)
      if (target === undefined) throw unknownQuery(text)
      const rows = readCopiedRows(copied, target.types)
      for (const row of rows) yield* target.take(scope, row)
      return { rows: noRows, rowCount: rows.length }
    }
    const query = this.queries.get(text)
    if (query === undefined) throw unknownQuery(text)
    const steps = query(scope)
    const result = "next" in steps ? yield* steps : steps
    if (result instanceof Uint8Array) return { rows: noRows, rowCount: 0, copied: result }
    if ("rowCount" in result) return { rows: noRows, rowCount: result.rowCount }
    return { rows: result, rowCount: result.length }
  }

  /** All that is committed, for a backup. Ids that were taken stay taken. */
  backUp(): () => void {
    const kept = this.tables.list().map((table) => ({ table, rows: table.copy() }))
    return () => {
      for (const { table, rows } of kept) table.restore(rows)
    }
  }
}

export class UnknownQuery extends Error {
  override readonly name = "UnknownQuery"
}

function unknownQuery(text: string): Error {
  return new UnknownQuery(
    `the store in memory does not know this query: say in test/simulation/deep/queries-*.ts what Postgres answers to it:\n${text}`,
  )
}

const normalised = new Map<string, string>()

/** White space does not matter, and whole numbers in the text are values. */
function normalise(sql: string): { readonly text: string; readonly numbers: readonly number[] } {
  const numbers: number[] = []
  const marked = sql.replaceAll(/(?<![\w$.])\d+(?![\w.])/g, (number) => {
    numbers.push(Number(number))
    return "#"
  })
  let text = normalised.get(marked)
  if (text === undefined) normalised.set(marked, (text = marked.replaceAll(/\s+/g, " ").trim()))
  return { text, numbers }
}

export { SqlError }
