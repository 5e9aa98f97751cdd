/** The demo's tampering: one bit of one signed reading, changed in a throw-away copy of the database, and what is found. */
import type { Pool } from "pg"
import { readPayload } from "../chain/payload.ts"
import { type Series, metricOf } from "../chain/series.ts"
import { type Claims, decodeStatement } from "../chain/statement.ts"
import { duplicateDatabase } from "../ingest/database/duplicate.ts"
import { formatFinding } from "../verify/finding.ts"
import type { AuditResult } from "../verify/report.ts"
import { CommandFault } from "./fault.ts"
import type { Service } from "./service.ts"
import { auditDatabase, readPublishedNote } from "./audit.ts"

/** A reading that was changed behind the log's back. */
export interface Tampering {
  readonly device: string
  readonly seq: number
  readonly metric: string
  /** Unix seconds by the device's clock. */
  readonly time: number
  readonly signed: number
  readonly stored: number
  /** The byte of the statement, and the bit of it from 0. */
  readonly byte: number
  readonly bit: number
}

export interface Tampered extends Tampering {
  readonly audit: AuditResult
}

/**
 * Changes a bit of a number that a device signed, where nobody would see it, in a copy, and audits that.
 *
 * @param device whose statement; null: one of the simulated fleet
 * @param use what else the copy is for, before it goes
 */
export async function tamper<T>(
  service: Service,
  dataFolder: string,
  device: string | null,
  use: (copy: Pool, tampering: Tampering) => Promise<T>,
): Promise<{ readonly tampered: Tampered; readonly used: T }> {
  // Before the copy: what is published meanwhile, it would not know.
  const published = await readPublishedNote(dataFolder)
  const copy = await duplicateDatabase(service.database.pool, service.database.url, "tidemark_demo_copy")
  try {
    const tampering = await changeBit(copy.pool, device)
    const audit = await auditDatabase(copy.pool, service.keys, published)
    if (audit.kind !== "failed")
      throw new CommandFault("the audit did not find the changed bit: this is a defect, please report it")
    return { tampered: { ...tampering, audit }, used: await use(copy.pool, tampering) }
  } finally {
    await copy.close()
  }
}

/** In one line each. */
export function findingsOf(audit: AuditResult): readonly string[] {
  return audit.kind === "failed" ? audit.findings.map(formatFinding) : []
}

interface Candidate {
  readonly id: number
  readonly device_id: string
  readonly seq: number
  readonly bytes: Buffer
}

async function changeBit(pool: Pool, device: string | null): Promise<Tampering> {
  // From the middle of what is sealed: neither the first place that one would look at nor the last.
  const { rows } = await pool.query<Candidate>(
    `with sealed as (
       select e.id, e.device_id, e.seq, row_number() over (order by e.id) as place, count(*) over () as total
       from entries e join devices d using (device_id)
       where e.code = 1 and e.id <= (select max(manifest_id) from blocks)
         and ($1::text is null and e.device_id like 'sim-%' or e.device_id = $1)
     )
     select id, device_id, seq, bytes from sealed join statements using (id)
     order by abs(place - total / 2) limit 40`,
    [device],
  )
  for (const { id, device_id, seq, bytes } of rows) {
    const found = findBit(bytes)
    if (found === null) continue
    await pool.query(
      `begin; set local session_replication_role = replica;
       update statements set bytes = set_byte(bytes, ${found.byte}, get_byte(bytes, ${found.byte}) # ${1 << found.bit}) where id = ${id}; commit`,
    )
    return { device: device_id, seq, ...found }
  }
  throw new CommandFault(
    device === null
      ? "the demo's fleet stored nothing to tamper with"
      : `device ${device} has no sealed statement with a number in it`,
  )
}

type Bit = Omit<Tampering, "device" | "seq">

/** Bytes of a payload that are tried: a number is found in the first hundred. */
const triesMax = 4_000

/** A bit whose change leaves a pack that reads as before but for one number, which moves by a fair part of its series' range. */
function findBit(bytes: Uint8Array): Bit | null {
  const decoded = decodeStatement(bytes)
  if (decoded.kind !== "statement") return null
  const { statement } = decoded
  const before = readPayload(statement)
  if (before.kind !== "readings") return null
  const { payload } = statement
  const start = payload.byteOffset - bytes.byteOffset
  let best: (Bit & { readonly move: number }) | null = null
  let tries = 0
  // From the middle of the payload outwards is as good as any order; the change shall not stand at an edge of the chart.
  for (let step = 0; step < payload.length && tries < triesMax; step += 1) {
    const place = (Math.floor(payload.length / 2) + step) % payload.length
    for (let bit = 0; bit < 8 && tries < triesMax; bit += 1) {
      tries += 1
      const changed = Uint8Array.from(payload)
      changed[place] = changed[place]! ^ (1 << bit)
      const after = readPayload({ content: statement.content, payload: changed } satisfies Pick<
        Claims,
        "content" | "payload"
      >)
      if (after.kind !== "readings") continue
      const change = compare(before.series, after.series)
      if (change === null) continue
      const { move, ...reading } = change
      if (best === null || move > best.move) best = { ...reading, byte: start + place, bit, move }
      if (move >= 0.2) {
        const { move: _, ...found } = best
        return found
      }
    }
  }
  if (best === null) return null
  const { move: _, ...found } = best
  return found
}

interface Change {
  readonly metric: string
  readonly time: number
  readonly signed: number
  readonly stored: number
  /** As a part of the series' range; 0 where it moved out of sight. */
  readonly move: number
}

/** The one number that differs; null where anything else does. */
function compare(before: readonly Series[], after: readonly Series[]): Change | null {
  if (before.length !== after.length) return null
  let change: Change | null = null
  for (const [index, one] of before.entries()) {
    const other = after[index]!
    if (one.kind !== other.kind || one.name !== other.name || one.unit !== other.unit) return null
    const left = pointsOf(one)
    const right = pointsOf(other)
    if (left === null || right === null) {
      if (JSON.stringify(one) !== JSON.stringify(other)) return null
      continue
    }
    if (left.values.length !== right.values.length) return null
    for (const [place, signed] of left.values.entries()) {
      const stored = right.values[place]!
      if (left.timeOf(place) !== right.timeOf(place)) return null
      if (stored === signed) continue
      if (change !== null) return null
      const low = Math.min(...left.values)
      const high = Math.max(...left.values)
      const range = high - low || Math.abs(high) || 1
      const isInSight = stored > low - range && stored < high + range
      change = {
        metric: metricOf(one.name),
        time: left.timeOf(place),
        signed,
        stored,
        move: isInSight ? Math.abs(stored - signed) / range : 0,
      }
    }
  }
  return change
}

function pointsOf(
  series: Series,
): { readonly values: readonly number[]; readonly timeOf: (place: number) => number } | null {
  if (series.kind === "number" || series.kind === "sum")
    return { values: series.values, timeOf: (place) => series.times[place]! }
  if (series.kind !== "waveform") return null
  const { samples, factor, origin, startsAt, periodMs } = series
  return {
    values: Array.from(samples, (sample) => sample * factor + origin),
    timeOf: (place) => startsAt + (place * periodMs) / 1000,
  }
}
