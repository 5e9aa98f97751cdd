/** Rows of one table in order, read beside another that is in the same order. */
export class Peekable<Row> {
  private readonly rows: AsyncIterator<Row>
  private ahead: Row | null = null
  private isEnded = false

  constructor(rows: AsyncIterable<Row>) {
    this.rows = rows[Symbol.asyncIterator]()
  }

  /** The next row, which stays the next one; null at the end. */
  async peek(): Promise<Row | null> {
    if (this.ahead === null && !this.isEnded) {
      const next = await this.rows.next()
      if (next.done === true) this.isEnded = true
      else this.ahead = next.value
    }
    return this.ahead
  }

  async take(): Promise<Row | null> {
    const row = await this.peek()
    this.ahead = null
    return row
  }

  async close(): Promise<void> {
    this.isEnded = true
    this.ahead = null
    await this.rows.return?.()
  }
}
