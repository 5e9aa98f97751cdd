/** The entries of a block in order of their ids, as a block takes them in. */
import type { PoolClient } from "pg"
import type { BlockStatement } from "../chain/block.ts"
import { type Hash, hashSize } from "../chain/hash.ts"
import { readPayload } from "../chain/payload.ts"
import { contentRegistry, decodeStatement } from "../chain/statement.ts"
import { CopiedRows, copyOut } from "./database/copy-out.ts"

/** Rows per query: memory stays flat whatever the block's size. */
const pageSize = 5_000
/** Statements of the operator per query, of at most 64 KiB each. */
const operatorPageSize = 100

export interface EntryRange {
  /** Below the first one. */
  readonly after: number
  readonly last: number
  /** The operator's chain, and its seq before the first one. */
  readonly origin: string
  readonly operatorSeq: number
}

/** An entry: of an operator.s statement it does not say what that is to the block. */
export interface PagedEntry {
  readonly id: number
  readonly seq: number
  readonly statement: BlockStatement
}

/**
 * Reads page by page, the next one while the last one is taken in. Between two calls of `next` the connection may be
 * used, by whoever waits until it is free.
 */
export class EntryPages {
  private readonly client: PoolClient
  private readonly range: EntryRange
  private current = new CopiedRows()
  private ahead = new CopiedRows()
  private after: number

  constructor(client: PoolClient, range: EntryRange) {
    this.client = client
    this.range = range
    this.after = range.after
  }

  /** Asks for the next page, and gives how many entries it has; 0 behind the last one. */
  async fetch(): Promise<number> {
    const { client, range, ahead, after } = this
    await copyOut(
      client,
      `select id, device_id, seq, entry, received_at, readings, starts_at, ends_at from entries
       where id > ${after} and id <= ${range.last} order by id limit ${pageSize}`,
      ahead,
    )
    const count = ahead.seekLast()
    if (count > 0) this.after = ahead.int8()
    return count
  }

  /** Goes to the page that was fetched; the memory of the one before is used for the next. */
  turn(): void {
    const { current, ahead } = this
    this.current = ahead
    this.ahead = current
    this.current.rewind()
  }

  /** The next entry of the page; null behind its last one. What an operator's statement says is not here. */
  next(): PagedEntry | null {
    const rows = this.current
    if (!rows.next()) return null
    const id = rows.int8()
    const device = rows.text()
    const seq = rows.int8()
    const entry = rows.bytes() as Hash
    const receivedAtMs = rows.timeUs() / 1000
    if (!Number.isSafeInteger(receivedAtMs) || entry.length !== hashSize)
      throw new Error(`the entry of statement ${seq} of ${device} was changed: run tidemark verify`)
    const readings = rows.int4()
    const startsAt = rows.isNull() ? null : rows.float8()
    const endsAt = rows.isNull() ? null : rows.float8()
    if (device === this.range.origin)
      return { id, seq, statement: { entry, receivedAtMs, origin: { kind: "operator" } } }
    const times = startsAt === null || endsAt === null ? null : { startsAt, endsAt }
    const origin = { kind: "device", device, seq, readings, times } as const
    return { id, seq, statement: { entry, receivedAtMs, origin } }
  }
}

/** The operator's statements of a block, of which an entry does not say what they are to it. */
export class OperatorStatements {
  private readonly client: PoolClient
  private readonly origin: string
  private last: number
  private rows: { readonly seq: number; readonly bytes: Uint8Array }[] = []

  constructor(client: PoolClient, { origin, operatorSeq }: EntryRange) {
    this.client = client
    this.origin = origin
    this.last = operatorSeq
  }

  /** What the next one is to the block. Throws where it is not the one of this seq, or cannot be read. */
  async next(seq: number): Promise<BlockStatement["origin"]> {
    if (this.rows.length === 0) await this.fetch()
    const row = this.rows.pop()
    const decoded = row?.seq === seq ? decodeStatement(row.bytes, this.origin) : null
    if (decoded?.kind !== "statement")
      throw new Error(`the operator's statement ${seq} cannot be read: run tidemark verify`)
    this.last = seq
    if (decoded.statement.content !== contentRegistry) return { kind: "operator" }
    const payload = readPayload(decoded.statement)
    if (payload.kind !== "registry")
      throw new Error(`the registry statement ${seq} cannot be read: run tidemark verify`)
    const { device, action } = payload.registry
    // About a CA, not a device: no place in the heads map, even where a device has the same name.
    if (action === "trust-ca" || action === "distrust-ca") return { kind: "operator" }
    return { kind: "operator", registry: { device, isEnrolment: action === "enrol" } }
  }

  private async fetch(): Promise<void> {
    const { rows } = await this.client.query<{ seq: number; bytes: Uint8Array }>(
      `select e.seq, s.bytes from entries e join statements s on s.id = e.id and s.received_at = e.received_at
       where e.device_id = $1 and e.seq > $2 and e.seq <= $3 order by e.seq desc`,
      [this.origin, this.last, this.last + operatorPageSize],
    )
    this.rows = rows
  }
}
