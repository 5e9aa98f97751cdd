/** What the tables of a log take on disk, indexes and all. */
import type { Pool } from "pg"

export interface StoredBytes {
  readonly statements: number
  readonly series: number
  readonly entries: number
  /** All tables of the schema, those above among them. */
  readonly all: number
}

export async function readStoredBytes(pool: Pool): Promise<StoredBytes> {
  const { rows } = await pool.query<StoredBytes>(
    `select coalesce(sum(bytes) filter (where name ~ '^statements'), 0)::bigint as statements,
            coalesce(sum(bytes) filter (where name ~ '^series'), 0)::bigint as series,
            coalesce(sum(bytes) filter (where name = 'entries'), 0)::bigint as entries,
            coalesce(sum(bytes), 0)::bigint as all
     from (select relname as name, pg_total_relation_size(oid) as bytes from pg_class
           where relkind = 'r' and relnamespace = 'public'::regnamespace) r`,
  )
  return rows[0]!
}

export function subtractBytes(after: StoredBytes, before: StoredBytes): StoredBytes {
  return {
    statements: after.statements - before.statements,
    series: after.series - before.series,
    entries: after.entries - before.entries,
    all: after.all - before.all,
  }
}
