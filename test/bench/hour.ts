/** An hour of statements, committed and not yet sealed, as rows: to sign and send 1,000,000 would take a quarter of an hour. */
import type { Pool } from "pg"
import { inTransaction } from "../../ingest/database/pool.ts"

export interface HourOptions {
  readonly pool: Pool
  /** Enrolled, and silent so far. */
  readonly devices: readonly string[]
  /** In all, a device after the other in turn. */
  readonly statements: number
  /** Of each statement, a second apart. */
  readonly readings?: number
}

/** Rows per statement of SQL: a transaction of its own, as a group commit would be. */
const batchSize = 100_000

/**
 * Writes `entries` and moves the heads: all that a seal reads of devices' statements. There are no bytes and no series
 * behind them, so an audit finds them. An entry is the SHA-256 of its number. About 30 s for a million.
 */
export async function fillHour({ pool, devices, statements, readings = 60 }: HourOptions): Promise<void> {
  for (let done = 0; done < statements; done += batchSize) {
    const last = Math.min(done + batchSize, statements)
    await inTransaction(pool, async (client) => {
      await client.query(
        `insert into entries (id, device_id, seq, entry, received_at, signed_digest, code, readings, starts_at, ends_at)
         select nextval('statement_ids'), ($1::text[])[1 + n % cardinality($1)], n / cardinality($1) + 1, sha256(int8send(n)),
                date_trunc('milliseconds', clock_timestamp()), sha256(int8send(-n)), 1,
                $4::int, 1.76e9 + n, 1.76e9 + n + $4::int - 1
         from generate_series($2::bigint, $3::bigint) n order by n`,
        [devices, done, last - 1, readings],
      )
    })
  }
  await pool.query(
    `update chain_heads h set seq = e.seq, entry = e.entry
     from (select distinct on (device_id) device_id, seq, entry from entries where device_id = any($1)
           order by device_id, seq desc) e
     where e.device_id = h.device_id`,
    [devices],
  )
}
