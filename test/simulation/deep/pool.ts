/**
 * A `pg` pool whose server is the store in memory, or a real Postgres behind the same clock: queries take simulated time,
 * connections break before and after the server did what was asked, and a process that dies leaves all of it at once.
 */
import { EventEmitter } from "node:events"
import type { Pool, PoolClient } from "pg"
import type { Random } from "../../../devices-sim/random.ts"
import type { Clock } from "./clock.ts"
import type { QueryResult } from "./store.ts"

/** A connection's end in the server. */
export interface Session {
  /** @param answer called once, unless the session is closed before; later than this call where it waits for a lock */
  run(
    sql: string,
    values: readonly unknown[],
    copied: Uint8Array | null,
    answer: (result: QueryResult | Error) => void,
  ): void
  /** Whether a transaction is open. */
  readonly isInTransaction: boolean
  /** The connection is gone: what was not committed never happened. */
  close(): void
}

export interface Server {
  isUp: boolean
  open(): Session
}

/** What may go wrong with a query; drawn for each. */
export type QueryFault = "cut-before" | "cut-after" | "fails" | null

export interface PoolOptions {
  readonly clock: Clock
  readonly random: Random
  readonly server: Server
  readonly connectionsMax: number
  /** Asked for each query. */
  readonly drawFault: (sql: string) => QueryFault
  /** Asked for each way from a process to the server: ms that it takes longer. */
  readonly drawDelayMs?: () => number
  /** Something that would end a real process, or that must never be. */
  readonly onMisuse: (what: string) => void
  /** Of one query, by name; for a trace. */
  readonly onQuery?: (sql: string, values: readonly unknown[], result: QueryResult | Error) => void
}

/** From a process to the server and back, in ms. */
const latencyMs = { min: 0.05, spread: 1 } as const
/** So long a server may take to find out that a process is gone. */
const lingerMsMax = 3_000

export class SimulatedPool {
  readonly options: PoolOptions
  private readonly idle: SimulatedClient[] = []
  private readonly open = new Set<SimulatedClient>()
  private readonly waiting: (() => void)[] = []
  private isDead = false

  constructor(options: PoolOptions) {
    this.options = options
  }

  /** As the production code takes it. */
  get asPool(): Pool {
    return this as unknown as Pool
  }

  async connect(): Promise<PoolClient> {
    const { clock, server, connectionsMax } = this.options
    for (;;) {
      const kept = this.idle.pop()
      if (kept !== undefined) return kept.checkOut()
      if (this.open.size < connectionsMax) break
      await new Promise<void>((resolve) => void this.waiting.push(resolve))
    }
    const client = new SimulatedClient(this)
    this.open.add(client)
    await clock.wait(this.latency())
    if (this.isDead) return never()
    if (!server.isUp) {
      this.leave(client)
      throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })
    }
    client.session = server.open()
    return client.checkOut()
  }

  async query(sql: string, values: readonly unknown[] = []): Promise<unknown> {
    const client = await this.connect()
    client.on("error", ignore)
    let failure: Error | undefined
    try {
      return await client.query(sql, values as unknown[])
    } catch (error) {
      failure = error as Error
      throw error
    } finally {
      client.off("error", ignore)
      client.release(failure !== undefined && !("code" in failure && isSqlState(failure.code)))
    }
  }

  /**
   * The process is gone: nothing is ever answered again. The server finds its connections closed, some only after a while,
   * and what was on its way to it may still arrive.
   */
  die(): void {
    const { clock, random } = this.options
    this.isDead = true
    for (const client of this.open) {
      if (random.float() < 0.5) client.abandon()
      else
        client.abandonLater((work) => clock.after(random.float() * lingerMsMax, work), random.float() < 0.5)
    }
    this.open.clear()
  }

  /** The server, or the network to it, is gone. */
  cutAll(): void {
    for (const client of new Set(this.open)) client.break("the database went away")
  }

  latency(): number {
    const delayMs = this.options.drawDelayMs?.() ?? 0
    return latencyMs.min + this.options.random.float() * latencyMs.spread + delayMs
  }

  takeBack(client: SimulatedClient, isBroken: boolean): void {
    if (isBroken) {
      client.abandon()
      this.leave(client)
      return
    }
    this.idle.push(client)
    this.waiting.shift()?.()
  }

  /** A connection that broke takes no place. */
  leave(client: SimulatedClient): void {
    this.open.delete(client)
    const at = this.idle.indexOf(client)
    if (at >= 0) this.idle.splice(at, 1)
    this.waiting.shift()?.()
  }
}

interface Asked {
  readonly sql: string
  readonly values: readonly unknown[]
  readonly copied: Uint8Array | null
  readonly answer: (result: QueryResult | Error) => void
}

class SimulatedClient extends EventEmitter {
  session: Session | null = null
  private readonly pool: SimulatedPool
  private readonly queue: Asked[] = []
  private current: Asked | null = null
  /** Whether the server has been asked what is current. */
  private hasArrived = false
  private isOut = false
  /** The connection is gone, and why. */
  private brokenBy: string | null = null
  private isAbandoned = false

  constructor(pool: SimulatedPool) {
    super()
    this.pool = pool
  }

  checkOut(): PoolClient {
    this.isOut = true
    return this as unknown as PoolClient
  }

  release(isBroken?: Error | boolean): void {
    if (this.isAbandoned) return
    if (!this.isOut) this.pool.options.onMisuse("a connection was released twice")
    this.isOut = false
    const broken = this.brokenBy !== null || (isBroken !== undefined && isBroken !== false)
    if (!broken && this.session!.isInTransaction)
      this.pool.options.onMisuse("a connection was released inside a transaction")
    if (!broken && (this.current !== null || this.queue.length > 0))
      this.pool.options.onMisuse("a connection was released with a query under way")
    if (this.brokenBy === null) this.pool.takeBack(this, broken)
  }

  query(said: unknown, values: readonly unknown[] = []): unknown {
    if (typeof said === "string") {
      return new Promise((resolve, reject) => {
        this.ask({
          sql: said,
          values,
          copied: null,
          answer: (result) => (result instanceof Error ? reject(result) : resolve(result)),
        })
      })
    }
    return this.submit(said as Submitted)
  }

  /** What brings its own protocol: COPY in both directions. */
  private submit(said: Submitted): unknown {
    let sql = ""
    said.submit({ query: (text: string) => void (sql = text) })
    if (said.handleCopyData !== undefined) {
      this.ask({
        sql,
        values: [],
        copied: null,
        answer: (result) => {
          if (result instanceof Error) {
            said.handleError!(result)
            return
          }
          said.handleCopyData!({ chunk: result.copied ?? new Uint8Array(0) })
          said.handleCommandComplete!()
          said.handleReadyForQuery!()
        },
      })
      return said
    }
    const stream = new EventEmitter()
    return Object.assign(stream, {
      end: (bytes: Uint8Array) => {
        this.ask({
          sql,
          values: [],
          // The memory is used again as soon as it is sent.
          copied: Uint8Array.from(bytes),
          answer: (result) => {
            if (result instanceof Error) stream.emit("error", result)
            else stream.emit("finish")
          },
        })
      },
    })
  }

  private ask(asked: Asked): void {
    this.queue.push(asked)
    if (this.current === null) this.next()
  }

  private next(): void {
    const asked = this.queue.shift()
    if (asked === undefined) return
    const { clock, drawFault, onQuery } = this.pool.options
    this.current = asked
    this.hasArrived = false
    if (this.brokenBy !== null) {
      // As pg does: not in this turn.
      const reason = this.brokenBy
      clock.after(0, () => this.finish(asked, new Error(`Connection terminated: ${reason}`)))
      return
    }
    clock.after(this.pool.latency(), () => {
      if (this.isAbandoned || this.current !== asked) return
      const fault = drawFault(asked.sql)
      if (fault === "cut-before") {
        this.break("cut before the query")
        return
      }
      this.hasArrived = true
      // Whatever the fault is, the server is asked something that it can fail: its transaction has failed then.
      const sql = fault === "fails" ? failingSql : asked.sql
      this.session!.run(sql, asked.values, asked.copied, (result) => {
        onQuery?.(sql, asked.values, result)
        if (fault === "cut-after") {
          this.break("cut behind the query")
          return
        }
        clock.after(this.pool.latency(), () => {
          if (!this.isAbandoned && this.current === asked) this.finish(asked, result)
        })
      })
    })
  }

  private finish(asked: Asked, result: QueryResult | Error): void {
    this.current = null
    if (this.isAbandoned) return
    asked.answer(result)
    if (this.current === null) this.next()
  }

  /** The connection breaks: what is under way fails, and whoever holds it is told by an event as well. */
  break(reason: string): void {
    if (this.brokenBy !== null || this.isAbandoned) return
    this.brokenBy = reason
    this.session?.close()
    this.pool.leave(this)
    const error = Object.assign(new Error(`Connection terminated unexpectedly: ${reason}`))
    if (this.isOut) {
      if (this.listenerCount("error") > 0) this.emit("error", error)
      else this.pool.options.onMisuse("a connection broke and nobody listened: the process would have ended")
    }
    const { current } = this
    if (current !== null) this.finish(current, error)
  }

  /** Its process is gone, or has thrown it away. */
  abandon(): void {
    this.isAbandoned = true
    this.session?.close()
  }

  /** @param arrives whether what was asked and has not arrived yet still does */
  abandonLater(later: (work: () => void) => void, arrives: boolean): void {
    const { session, current } = this
    this.isAbandoned = true
    if (session === null) return
    later(() => {
      if (!arrives || current === null || this.hasArrived) return session.close()
      session.run(current.sql, current.values, current.copied, () => {})
      // Where it waits for a lock now, it waits in vain.
      session.close()
    })
  }
}

/** What a server refuses for a reason that lies in nobody's rows: no memory, no disk, an administrator. */
export const failingSql = "select a server that has no memory left"

interface Submitted {
  submit(connection: { query(text: string): void }): void
  handleCopyData?(message: { chunk: Uint8Array }): void
  handleCommandComplete?(): void
  handleReadyForQuery?(): void
  handleError?(error: Error): void
}

function isSqlState(code: unknown): boolean {
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)
}

function never<T>(): Promise<T> {
  return new Promise(() => {})
}

function ignore(): void {}
