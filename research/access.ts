/** The record of every read: who asked for what before the answer begins, and how it ended. Rows are only ever added. */
import type { Pool } from "pg"

export interface AccessBegin {
  readonly keyId: string | null
  readonly address: string
  /** Such as `/v1/readings`. */
  readonly route: string
  /** As they were asked and understood. */
  readonly parameters: Readonly<Record<string, unknown>>
}

export type AccessOutcome = "whole" | "cut" | "refused"

export interface AccessEnd {
  readonly outcome: AccessOutcome
  readonly status: number
  readonly rows: number
  /** Of the answer; null: all that there are. */
  readonly devices: readonly string[] | null
  readonly height: number | null
}

/** Rejects where it cannot be written: then nothing is answered. */
export async function beginAccess(
  pool: Pool,
  { keyId, address, route, parameters }: AccessBegin,
): Promise<number> {
  const { rows } = await pool.query<{ access_id: number }>(
    "insert into accesses (key_id, address, route, parameters) values ($1, $2, $3, $4) returning access_id",
    [keyId, address, route, JSON.stringify(parameters)],
  )
  return rows[0]!.access_id
}

export async function endAccess(
  pool: Pool,
  id: number,
  { outcome, status, rows, devices, height }: AccessEnd,
): Promise<void> {
  await pool.query(
    "insert into access_ends (access_id, outcome, status, rows, devices, height) values ($1, $2, $3, $4, $5, $6)",
    [id, outcome, status, rows, devices, height],
  )
}

export interface Access extends AccessBegin {
  readonly id: number
  readonly atMs: number
  /** The key's; null: somebody on this machine. */
  readonly keyName: string | null
  /** Null: it has not ended, or the process ended first. */
  readonly end: (AccessEnd & { readonly atMs: number }) | null
}

interface AccessColumns {
  readonly access_id: number
  readonly at_ms: number
  readonly key_id: string | null
  readonly name: string | null
  readonly address: string
  readonly route: string
  readonly parameters: Record<string, unknown>
  readonly ended_ms: number | null
  readonly outcome: AccessOutcome | null
  readonly status: number | null
  readonly rows: number | null
  readonly devices: string[] | null
  readonly height: number | null
}

export interface AccessFilter {
  /** Name or id. */
  readonly key: string | null
  readonly device: string | null
  readonly limit: number
}

/** The last ones, the latest first. */
export async function listAccesses(pool: Pool, { key, device, limit }: AccessFilter): Promise<Access[]> {
  const { rows } = await pool.query<AccessColumns>(
    `select a.access_id, (extract(epoch from a.at) * 1000)::float8 as at_ms, a.key_id, k.name, a.address, a.route, a.parameters,
            (extract(epoch from e.at) * 1000)::float8 as ended_ms, e.outcome, e.status, e.rows, e.devices, e.height
     from accesses a left join access_ends e using (access_id) left join api_keys k using (key_id)
     where ($1::text is null or k.name = $1 or k.key_id = $1)
       and ($2::text is null or e.devices is null or $2 = any(e.devices))
     order by a.access_id desc limit $3`,
    [key, device, limit],
  )
  return rows.map((row) => ({
    id: row.access_id,
    atMs: Math.floor(row.at_ms),
    keyId: row.key_id,
    keyName: row.name,
    address: row.address,
    route: row.route,
    parameters: row.parameters,
    end:
      row.outcome === null
        ? null
        : {
            atMs: Math.floor(row.ended_ms!),
            outcome: row.outcome,
            status: row.status!,
            rows: row.rows!,
            devices: row.devices,
            height: row.height,
          },
  }))
}
