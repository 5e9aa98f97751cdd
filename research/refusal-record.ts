/** The record of those who were refused: gathered for some seconds, so that a loop of guesses is a few rows. */
import type { Pool } from "pg"
import type { HttpRefusal } from "./problem.ts"

export interface Refused {
  readonly address: string
  readonly reason: HttpRefusal
  readonly route: string
  /** Of the key that was named, where there is such a key. */
  readonly keyId: string | null
}

interface Gathered extends Refused {
  count: number
}

const gatherMsDefault = 5_000
/** Rows of one gathering: the rest is one row per reason, under no address. */
const rowsMax = 500

export class RefusalRecord {
  private readonly pool: Pool
  private readonly gatherMs: number
  private readonly onFault: (error: Error) => void
  private gathered = new Map<string, Gathered>()
  private sinceMs = 0
  private timer: NodeJS.Timeout | null = null
  private writing: Promise<void> = Promise.resolve()

  constructor(pool: Pool, onFault: (error: Error) => void, gatherMs = gatherMsDefault) {
    this.pool = pool
    this.onFault = onFault
    this.gatherMs = gatherMs
  }

  add(refused: Refused): void {
    if (this.gathered.size === 0) this.sinceMs = Date.now()
    const { address, reason, route, keyId } = refused
    const key = [address, reason, route, keyId].join(" ")
    const known = this.gathered.get(key)
    if (known !== undefined) known.count += 1
    else if (this.gathered.size < rowsMax) this.gathered.set(key, { ...refused, count: 1 })
    else this.addTo({ address: "others", reason, route: "any", keyId: null })
    this.timer ??= setTimeout(() => void this.flush(), this.gatherMs).unref()
  }

  /** What was gathered is written. */
  async flush(): Promise<void> {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    const rows = [...this.gathered.values()]
    this.gathered = new Map()
    if (rows.length > 0) this.writing = this.writing.then(() => this.write(rows, this.sinceMs))
    await this.writing
  }

  private addTo(refused: Refused): void {
    const key = `others ${refused.reason}`
    const known = this.gathered.get(key)
    if (known !== undefined) known.count += 1
    else this.gathered.set(key, { ...refused, count: 1 })
  }

  private async write(rows: readonly Gathered[], sinceMs: number): Promise<void> {
    try {
      await this.pool.query(
        `insert into access_refusals (since, address, reason, route, key_id, count)
         select to_timestamp($1::float8 / 1000), * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])`,
        [
          sinceMs,
          rows.map(({ address }) => address),
          rows.map(({ reason }) => reason),
          rows.map(({ route }) => route),
          rows.map(({ keyId }) => keyId),
          rows.map(({ count }) => count),
        ],
      )
    } catch (error) {
      this.onFault(error as Error)
    }
  }
}

export interface ListedRefusal extends Refused {
  readonly sinceMs: number
  readonly atMs: number
  readonly count: number
}

/** The last ones, the latest first. */
export async function listRefusals(pool: Pool, limit: number): Promise<ListedRefusal[]> {
  const { rows } = await pool.query<{
    since_ms: number
    at_ms: number
    address: string
    reason: HttpRefusal
    route: string
    key_id: string | null
    count: number
  }>(
    `select (extract(epoch from since) * 1000)::float8 as since_ms, (extract(epoch from at) * 1000)::float8 as at_ms,
            address, reason, route, key_id, count
     from access_refusals order by refusal_id desc limit $1`,
    [limit],
  )
  return rows.map((row) => ({
    sinceMs: Math.floor(row.since_ms),
    atMs: Math.floor(row.at_ms),
    address: row.address,
    reason: row.reason,
    route: row.route,
    keyId: row.key_id,
    count: row.count,
  }))
}
