/** A table of the store in memory: committed rows by key, and what a transaction sees of it. */

export class Table<Row> {
  readonly name: string
  readonly keyOf: (row: Row) => string
  /** Other columns that are unique. */
  readonly uniques: readonly ((row: Row) => string)[]
  /** Committed. */
  readonly rows = new Map<string, Row>()
  private readonly taken: readonly Set<string>[]

  constructor(name: string, keyOf: (row: Row) => string, uniques: readonly ((row: Row) => string)[] = []) {
    this.name = name
    this.keyOf = keyOf
    this.uniques = uniques
    this.taken = uniques.map(() => new Set())
  }

  isTaken(unique: number, value: string): boolean {
    return this.taken[unique]!.has(value)
  }

  commit(key: string, row: Row): void {
    if (!this.rows.has(key)) this.uniques.forEach((of, index) => this.taken[index]!.add(of(row)))
    this.rows.set(key, row)
  }

  /** As it stands now, for a backup. */
  copy(): ReadonlyMap<string, Row> {
    return new Map(this.rows)
  }

  restore(rows: ReadonlyMap<string, Row>): void {
    this.rows.clear()
    for (const taken of this.taken) taken.clear()
    for (const [key, row] of rows) this.commit(key, row)
  }
}
