/** The contract of the store in memory: what it was asked in a run, a real Postgres is asked in the same order, and must say the same. */
import { Client } from "pg"
import { from as copyFrom, to as copyTo } from "pg-copy-streams"
import { once } from "node:events"
import { formatHex } from "../../../chain/bytes.ts"
import { failingSql } from "./pool.ts"
import { byText } from "./queries-chain.ts"
import type { Exchange } from "./server.ts"
import type { QueryResult } from "./store.ts"

/**
 * In front of Postgres's own functions: its clock is the simulated one. Each session says what time it is before it asks
 * something that needs to know.
 */
export const clockSchema = `
  create function public.clock_timestamp() returns timestamptz language sql volatile as
    $$ select to_timestamp(current_setting('deep.now_ms')::float8 / 1000) $$;
  create function public.now() returns timestamptz language sql volatile as
    $$ select to_timestamp(current_setting('deep.now_ms')::float8 / 1000) $$;`

interface Asked {
  readonly exchange: Exchange & { readonly kind: "asked" }
  readonly result: Promise<QueryResult | Error>
  isSettled: boolean
  /** In memory it has the lock that it waited for. */
  isGranted: boolean
}

/** Answers of Postgres's own that nobody reads: time zones, empty columns, its partitions. */
const unread =
  /^(select pg_advisory|set local|select make_partitions|select settle_default|begin|commit|rollback)/

/** @returns differences, in words; empty where Postgres says the same */
export async function replay(exchanges: readonly Exchange[], url: string): Promise<readonly string[]> {
  const sessions = new Map<number, ReplayedSession>()
  const open = new Map<number, Asked>()
  const differences: string[] = []
  for (const exchange of exchanges) {
    if (exchange.kind === "closed") {
      const session = sessions.get(exchange.session)
      sessions.delete(exchange.session)
      const waiting = [...open].filter(([, asked]) => asked.exchange.session === exchange.session)
      for (const [number] of waiting) open.delete(number)
      await session?.close(waiting.length > 0)
      continue
    }
    if (exchange.kind === "asked") {
      let session = sessions.get(exchange.session)
      if (session === undefined) sessions.set(exchange.session, (session = await ReplayedSession.open(url)))
      const asked: Asked = { exchange, result: session.ask(exchange), isSettled: false, isGranted: false }
      void asked.result.then(() => (asked.isSettled = true))
      open.set(exchange.number, asked)
      continue
    }
    const asked = open.get(exchange.number)
    if (asked === undefined) continue
    if (exchange.kind === "granted") {
      asked.isGranted = true
      continue
    }
    open.delete(exchange.number)
    const difference = compare(asked.exchange.sql, exchange.result, await asked.result)
    if (difference !== null)
      differences.push(`question ${exchange.number}, ${asked.exchange.sql.slice(0, 120)}: ${difference}`)
    for (const other of open.values()) {
      // In memory it waits for a lock.
      if (other.isSettled && !other.isGranted && other.exchange.number < exchange.number)
        differences.push(
          `question ${other.exchange.number} waits in memory, and Postgres has answered: ${other.exchange.sql.slice(0, 120)}`,
        )
    }
  }
  for (const session of sessions.values()) await session.close(false)
  return differences
}

class ReplayedSession {
  private readonly client: Client
  private readonly url: string

  private constructor(client: Client, url: string) {
    this.client = client
    this.url = url
  }

  static async open(url: string): Promise<ReplayedSession> {
    const options = "-c search_path=public,pg_catalog -c timezone=UTC -c synchronous_commit=off"
    const client = new Client({ connectionString: url, options })
    client.on("error", () => {})
    await client.connect()
    return new ReplayedSession(client, url)
  }

  async ask({
    sql,
    values,
    copied,
    clockMs,
  }: Exchange & { readonly kind: "asked" }): Promise<QueryResult | Error> {
    const { client } = this
    try {
      if (/clock_timestamp|now\(\)|publi/.test(sql))
        // In a transaction that has failed it says so, and the question behind it will too.
        client.query(`set deep.now_ms = ${clockMs}`).catch(() => {})
      if (sql === failingSql) {
        await client.query("select 1 / 0").catch(() => {})
        return { rows: [], rowCount: 0 }
      }
      if (copied !== null) {
        const stream = client.query(copyFrom(sql))
        stream.end(copied)
        await once(stream, "finish")
        return { rows: [], rowCount: stream.rowCount }
      }
      if (/^copy .* to stdout/s.test(sql)) {
        const chunks: Uint8Array[] = []
        for await (const chunk of client.query(copyTo(sql))) chunks.push(chunk as Uint8Array)
        return { rows: [], rowCount: 0, copied: Uint8Array.from(Buffer.concat(chunks)) }
      }
      const result = values.length === 0 ? await client.query(sql) : await client.query(sql, [...values])
      const last = Array.isArray(result) ? (result.at(-1) as typeof result) : result
      return { rows: last.rows, rowCount: last.rowCount ?? 0 }
    } catch (error) {
      return error as Error
    }
  }

  /** As a connection that breaks: what was not committed never happened. */
  async close(isWaiting: boolean): Promise<void> {
    if (isWaiting) {
      const admin = new Client({ connectionString: this.url })
      await admin.connect()
      await admin.query("select pg_cancel_backend($1)", [
        (this.client as unknown as { processID: number }).processID,
      ])
      await admin.end()
    }
    await this.client.query("rollback")
    await this.client.end()
  }
}

/** Rows of a COPY, each as its columns in hex. */
function rowsOfCopy(copied: Uint8Array): object[] {
  const view = Buffer.from(copied)
  const rows: object[] = []
  for (let at = 19; view.readInt16BE(at) !== -1;) {
    const columns: (string | null)[] = []
    let left = view.readInt16BE(at)
    at += 2
    for (; left > 0; left--) {
      const length = view.readInt32BE(at)
      at += 4
      columns.push(length === -1 ? null : formatHex(view.subarray(at, at + length)))
      at += Math.max(length, 0)
    }
    rows.push(columns)
  }
  return rows
}

function compare(sql: string, inMemory: QueryResult | Error, inPostgres: QueryResult | Error): string | null {
  if (sql === failingSql) return null
  if (inMemory instanceof Error || inPostgres instanceof Error) {
    const [a, b] = [inMemory, inPostgres].map((result) =>
      result instanceof Error ? ((result as { code?: string }).code ?? result.message) : "no error",
    )
    return a === b ? null : `in memory ${a}, in Postgres ${b}`
  }
  if (unread.test(sql.trim())) return null
  const [a, b] = [inMemory, inPostgres].map((result) => formatRows(result, sql))
  return a === b ? null : `in memory ${a}, in Postgres ${b}`
}

function formatRows(result: QueryResult, sql: string): string {
  const rows = result.copied === undefined ? result.rows : rowsOfCopy(result.copied)
  const texts = rows.map((row) => JSON.stringify(row, replaceBytes))
  // Where nothing is said of the order, it is Postgres's own business.
  if (!/order by/.test(sql) || /lateral/.test(sql)) texts.sort(byText)
  return texts.length > 0 || /^(select|copy)/.test(sql.trim()) ? texts.join("\n") : `${result.rowCount} rows`
}

/** Keys in their order, bytes in hex, and no time that only people read. */
function replaceBytes(key: string, value: unknown): unknown {
  if (key === "since") return null
  const { type, data } = (value ?? {}) as { type?: unknown; data?: number[] }
  if (type === "Buffer") return formatHex(Uint8Array.from(data!))
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
