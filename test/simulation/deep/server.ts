/** The store in memory as a server: sessions, transactions, and queries that wait for locks. */
import type { Clock } from "./clock.ts"
import { type Server, type Session, failingSql } from "./pool.ts"
import type { QueryResult, Store } from "./store.ts"
import { SqlError, type Step, type Transaction } from "./transaction.ts"

const nothing: QueryResult = { rows: [], rowCount: 0 }

/** What the store was asked and what it answered, in its order: a real Postgres must give the same answers. */
export type Exchange =
  | {
      readonly kind: "asked"
      readonly session: number
      /** Of the question. */
      readonly number: number
      readonly sql: string
      readonly values: readonly unknown[]
      readonly copied: Uint8Array | null
      /** By the database's clock. */
      readonly clockMs: number
    }
  /** It has waited for a lock, and has it: a real server may answer from now on. */
  | { readonly kind: "granted"; readonly number: number }
  | { readonly kind: "answered"; readonly number: number; readonly result: QueryResult | Error }
  | { readonly kind: "closed"; readonly session: number }

export class MemoryServer implements Server {
  isUp = true
  /** Told of everything, where somebody writes it down. */
  onExchange: ((exchange: Exchange) => void) | null = null
  private readonly store: Store
  private readonly clock: Clock
  readonly onUnknown: (error: Error) => void
  private sessionCount = 0
  private questionCount = 0
  private readonly sessions = new Set<MemorySession>()

  /** @param onUnknown told of what is no SqlError: a query that the store does not know, or a fault of its own */
  constructor(store: Store, clock: Clock, onUnknown: (error: Error) => void) {
    this.store = store
    this.clock = clock
    this.onUnknown = onUnknown
  }

  open(): Session {
    this.sessionCount += 1
    const session = new MemorySession(this.sessionCount, this.store, this.clock, this)
    this.sessions.add(session)
    return session
  }

  nextQuestion(): number {
    return (this.questionCount += 1)
  }

  /** Whoever is connected, and whose process is gone long since: what was not committed never happened. */
  stop(): void {
    this.isUp = false
    for (const session of this.sessions) session.close()
    this.sessions.clear()
  }
}

class MemorySession implements Session {
  private readonly number: number
  private readonly store: Store
  private readonly clock: Clock
  private readonly server: MemoryServer
  /** Between `begin` and its end. */
  private open: Transaction | null = null
  /** Of the query that runs now, which may be its own. */
  private running: Transaction | null = null
  private isClosed = false
  /** The number of the one that it is busy with. */
  private question = 0

  constructor(number: number, store: Store, clock: Clock, server: MemoryServer) {
    this.number = number
    this.store = store
    this.clock = clock
    this.server = server
  }

  get isInTransaction(): boolean {
    return this.open !== null
  }

  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.server.onExchange?.({ kind: "closed", session: this.number })
    if (this.running !== null) this.store.rollback(this.running)
    if (this.open !== null) this.store.rollback(this.open)
    this.running = null
    this.open = null
  }

  run(
    sql: string,
    values: readonly unknown[],
    copied: Uint8Array | null,
    answer: (result: QueryResult | Error) => void,
  ): void {
    if (this.isClosed) return
    const number = this.server.nextQuestion()
    this.question = number
    const { clockMs } = this.store
    const copies = values.map(copyBytes)
    this.server.onExchange?.({
      kind: "asked",
      session: this.number,
      number,
      sql,
      values: copies,
      copied,
      clockMs,
    })
    this.execute(sql, copies, copied, (result) => {
      // Whoever asked may empty the list that he was given.
      const kept = result instanceof Error ? result : { ...result, rows: [...result.rows] }
      this.server.onExchange?.({ kind: "answered", number, result: kept })
      answer(result)
    })
  }

  private execute(
    sql: string,
    values: readonly unknown[],
    copied: Uint8Array | null,
    answer: (result: QueryResult | Error) => void,
  ): void {
    // Several in one text: the last one's answer is the answer.
    const [first = "", ...rest] = /^(begin|set local)\b/.test(sql.trim()) ? sql.split(";") : [sql]
    const statement = first.trim()
    const isSetting =
      this.open?.isFailed === false && /^set local (synchronous_commit|enable_)/.test(statement)
    const next = (result: QueryResult | Error): void => {
      if (rest.length === 0 || result instanceof Error) answer(result)
      else this.execute(rest.join(";"), values, copied, answer)
    }
    if (isSetting) return next(nothing)
    switch (statement) {
      case "begin isolation level read committed read write":
        if (this.open !== null) this.server.onUnknown(new Error("begin inside a transaction"))
        this.open = this.store.begin()
        return next(nothing)
      case "commit":
        return next(this.commit())
      case "rollback":
        if (this.open !== null) this.store.rollback(this.open)
        this.open = null
        return next(nothing)
      case failingSql:
        if (this.open !== null) this.open.isFailed = true
        return next(new SqlError("53200", "out of memory"))
      default:
        this.start(statement, values, copied, next)
    }
  }

  private commit(): QueryResult | Error {
    const { open } = this
    this.open = null
    if (open === null) return nothing
    // As Postgres does: a commit of what has failed is a rollback, and says so only in its tag.
    if (open.isFailed) this.store.rollback(open)
    else this.store.commit(open)
    return nothing
  }

  private start(
    sql: string,
    values: readonly unknown[],
    copied: Uint8Array | null,
    answer: (result: QueryResult | Error) => void,
  ): void {
    if (this.open?.isFailed === true) {
      answer(new SqlError("25P02", "current transaction is aborted"))
      return
    }
    const transaction = this.open ?? this.store.begin()
    this.running = transaction
    const steps = this.store.run(transaction, sql, values, copied)
    this.goOn(transaction, steps, answer)
  }

  /** As far as the query comes without waiting. */
  private goOn(
    transaction: Transaction,
    steps: Step<QueryResult>,
    answer: (result: QueryResult | Error) => void,
  ): void {
    if (this.isClosed) return
    try {
      for (;;) {
        const step = steps.next()
        if (step.done === true) {
          this.running = null
          if (this.open === null) this.store.commit(transaction)
          answer(step.value)
          return
        }
        const { name, mode } = step.value
        const granted = (): void => {
          this.server.onExchange?.({ kind: "granted", number: this.question })
          this.clock.after(0, () => this.goOn(transaction, steps, answer))
        }
        const got = this.store.locks.acquire(transaction, name, mode, granted)
        if (got === "deadlock") throw new SqlError("40P01", `deadlock detected at ${name}`)
        if (got === "later") return
      }
    } catch (error) {
      this.running = null
      if (!(error instanceof SqlError)) this.server.onUnknown(error as Error)
      if (this.open === null) this.store.rollback(transaction)
      else transaction.isFailed = true
      answer(error as Error)
    }
  }
}

/** What is sent is sent: who asked may write over it. */
function copyBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  if (Array.isArray(value)) return value.map(copyBytes)
  return value
}
