/** A transaction of the store in memory, at read committed: each query sees what is committed by then, and its own rows. */
import type { Lock, LockMode, LockOwner } from "./lock.ts"
import type { Table } from "./table.ts"

/** What a query asks for while it runs: it goes on when it has it. */
export interface LockRequest {
  readonly name: string
  readonly mode: LockMode
}

/** An error of Postgres, by its SQLSTATE. */
export class SqlError extends Error {
  override readonly name = "SqlError"
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** A part of a query: yields the locks that it needs. */
export type Step<Result> = Generator<LockRequest, Result>

export class Transaction implements LockOwner {
  readonly held = new Set<Lock>()
  waitsFor: Lock | null = null
  isFailed = false
  /** By the database's clock, for `now()`. */
  readonly beganAtMs: number
  /** By table. */
  readonly writes = new Map<unknown, Map<string, unknown>>()
  private readonly ownUniques = new Set<string>()

  /** How often the database's clock had been set by then. */
  readonly clockSettings: number

  constructor(beganAtMs: number, clockSettings: number) {
    this.beganAtMs = beganAtMs
    this.clockSettings = clockSettings
  }

  get<Row>(table: Table<Row>, key: string): Row | undefined {
    return this.writesOf(table)?.get(key) ?? table.rows.get(key)
  }

  list<Row>(table: Table<Row>): Row[] {
    const own = this.writesOf(table)
    if (own === undefined) return [...table.rows.values()]
    return [...new Map([...table.rows, ...own]).values()]
  }

  /** Writes a row whose lock is held. */
  put<Row>(table: Table<Row>, row: Row): void {
    const key = table.keyOf(row)
    const own = this.writesOf(table)
    if (own === undefined) this.writes.set(table, new Map([[key, row]]))
    else own.set(key, row)
  }

  /** Adds a row; false where one with this key is there already. Waits for whoever adds the same. */
  *tryInsert<Row>(table: Table<Row>, row: Row): Step<boolean> {
    const key = table.keyOf(row)
    yield { name: `${table.name} ${key}`, mode: "exclusive" }
    if (this.get(table, key) !== undefined) return false
    for (const [index, of] of table.uniques.entries()) {
      const value = of(row)
      const name = `${table.name} unique ${index} ${value}`
      yield { name, mode: "exclusive" }
      if (table.isTaken(index, value) || this.ownUniques.has(name))
        throw new SqlError("23505", `duplicate key in ${table.name}`)
      this.ownUniques.add(name)
    }
    this.put(table, row)
    return true
  }

  *insert<Row>(table: Table<Row>, row: Row): Step<void> {
    if (!(yield* this.tryInsert(table, row))) throw new SqlError("23505", `duplicate key in ${table.name}`)
  }

  commit(): void {
    for (const [table, rows] of this.writes)
      for (const [key, row] of rows) (table as Table<unknown>).commit(key, row)
  }

  private writesOf<Row>(table: Table<Row>): Map<string, Row> | undefined {
    return this.writes.get(table) as Map<string, Row> | undefined
  }
}
