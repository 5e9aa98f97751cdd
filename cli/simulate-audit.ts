/** The operator's audit at the end of a run; and changes behind the log's back, in a copy, which the audit has to find. */
import type { Pool } from "pg"
import type { TamperKind } from "../devices-sim/scenario.ts"
import { duplicateDatabase } from "../ingest/database/duplicate.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { formatFinding } from "../verify/finding.ts"
import { auditDatabase, readPublishedNote } from "./audit.ts"

export interface AuditedLog {
  readonly pool: Pool
  readonly url: string
  readonly keys: LogKeys
  readonly dataFolder: string
}

/** What speaks against everything that is stored; nothing where the audit passes. */
export async function auditStored({ pool, keys, dataFolder }: AuditedLog): Promise<readonly string[]> {
  const result = await auditDatabase(pool, keys, await readPublishedNote(dataFolder))
  if (result.kind === "passed") return []
  return result.kind === "failed" ? result.findings.map(formatFinding) : ["the audit did not come to its end"]
}

interface Victim {
  readonly id: number
  readonly device: string
  readonly seq: number
}

/** Each leaves everything else as it was, as somebody would who knows the database and not the keys. */
const changes: Readonly<Record<TamperKind, (id: number) => string>> = {
  statement: (id) =>
    `update statements set bytes = set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1) where id = ${id}`,
  reading: (id) =>
    `update series set numbers[1] = numbers[1] + 1 where statement_id = ${id} and cardinality(numbers) > 0`,
  arrival: (id) => `update entries set received_at = received_at + interval '1 ms' where id = ${id}`,
  deletion: (id) => `delete from statements where id = ${id}`,
}

/**
 * Makes one change in a throw-away copy of the database and audits that.
 *
 * @param devices of the run: one of their sealed statements is changed
 * @returns why the change was not found and named; null: it was
 */
export async function tamperWith(
  { pool, url, keys, dataFolder }: AuditedLog,
  kind: TamperKind,
  devices: readonly string[],
): Promise<string | null> {
  // Before the copy: what is published meanwhile, it would not know.
  const published = await readPublishedNote(dataFolder)
  const copy = await duplicateDatabase(pool, url, "tidemark_simulate_copy")
  try {
    const victim = await findVictim(copy.pool, kind, devices)
    if (victim === null) return "no statement of the run is sealed"
    // Without triggers and keys that would refuse it: who holds the files of the database needs none of them.
    await copy.pool.query(
      `begin; set local session_replication_role = replica; ${changes[kind](victim.id)}; commit`,
    )
    const audit = await auditDatabase(copy.pool, keys, published)
    if (audit.kind !== "failed") return "the audit passes"
    const named = audit.findings.map(formatFinding)
    const row = `statement ${victim.seq} of device ${victim.device}`
    return named.some((finding) => finding.includes(row)) ? null : `the audit fails, and does not name ${row}`
  } finally {
    await copy.close()
  }
}

/** From the middle of what is sealed; where a reading is to be changed, one that has readings. */
async function findVictim(pool: Pool, kind: TamperKind, devices: readonly string[]): Promise<Victim | null> {
  const { rows } = await pool.query<Victim>(
    `with sealed as (
       select e.id, e.device_id as device, e.seq, row_number() over (order by e.id) as place, count(*) over () as total
       from entries e
       where e.code = 1 and e.device_id = any($1) and e.id <= (select max(manifest_id) from blocks)
         and ($2 <> 'reading'
              or exists (select from series s where s.statement_id = e.id and cardinality(s.numbers) > 0))
     )
     select id, device, seq from sealed order by abs(place - total / 2) limit 1`,
    [devices, kind],
  )
  return rows[0] ?? null
}
