/** What `/v1/devices/{id}` says beyond the list: keys, gaps, refusals, metrics with their counts. */
import { formatHex } from "../chain/bytes.ts"
import { parseVerdictCode } from "../chain/verdict.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import type { Snapshot } from "./snapshot.ts"

export const deviceDetailSchema = {
  keys: {
    type: "array",
    items: {
      type: "object",
      properties: {
        kid: { type: "string", description: "hex" },
        coseKey: { type: "string", description: "COSE_Key, hex" },
        firstSeq: { type: "integer" },
        lastSeq: { type: ["integer", "null"], description: "null: it stands" },
        endedBy: { type: ["string", "null"], enum: ["rotation", "revocation", null] },
        introducedBy: { type: "string", enum: ["operator", "certificate", "old-key", "request"] },
        possessionProven: { type: "boolean" },
      },
    },
  },
  series: {
    type: "array",
    description: "what is stored per metric, unit and kind, sealed or not",
    items: {
      type: "object",
      properties: {
        metric: { type: "string" },
        unit: { type: ["string", "null"] },
        kind: { type: "string" },
        readings: { type: "integer" },
        from: { type: "string" },
        to: { type: "string" },
      },
    },
  },
  verdicts: {
    type: "object",
    description: "statements that are stored, by verdict",
    additionalProperties: { type: "integer" },
  },
  refusals: {
    type: "array",
    description: "what was not taken, by verdict; counters, and no evidence",
    items: {
      type: "object",
      properties: {
        verdict: { type: "string" },
        count: { type: "integer" },
        last: { type: "string", format: "date-time" },
      },
    },
  },
  unread: {
    type: "array",
    description: "statements that are kept and could not be read, by the rule that they break",
    items: {
      type: "object",
      properties: { rule: { type: "string" }, statements: { type: "integer" } },
    },
  },
  forks: {
    type: "array",
    items: { type: "integer" },
    description: "seqs for which two histories were signed",
  },
  gaps: {
    type: "array",
    description:
      "the ten longest times between the readings of statements, by the device's clock, however short; /v1/coverage tells what is a gap by the metric's rhythm, and why",
    items: { type: "object", properties: { from: { type: "string" }, to: { type: "string" } } },
  },
} as const

export async function readDevice(snapshot: Snapshot, device: string) {
  const keys = await snapshot.query<{
    kid: Buffer
    cose_key: Buffer
    first_seq: number
    last_seq: number | null
    ended_by: string | null
    introduced_by: string
    possession_proven: boolean
  }>(
    `select kid, cose_key, first_seq, last_seq, ended_by, introduced_by, possession_proven from device_keys
     where device_id = $1 order by first_seq`,
    [device],
  )
  const series = await snapshot.query<{
    metric: string
    unit: string | null
    kind: string
    readings: number
    starts_at: number
    ends_at: number
  }>(
    `select metric, unit, kind, sum(coalesce(cardinality(times), cardinality(samples)))::float8 as readings,
            min(starts_at) as starts_at, max(ends_at) as ends_at
     from series where device_id = $1 and not ahead group by metric, unit, kind order by metric, unit, kind`,
    [device],
  )
  const verdicts = await snapshot.query<{ code: number; count: number }>(
    "select code, count(*)::float8 as count from entries where device_id = $1 group by code order by code",
    [device],
  )
  const unread = await snapshot.query<{ fault: string; count: number }>(
    `select fault, count(*)::float8 as count from entries where device_id = $1 and fault is not null
     group by fault order by count desc, fault limit 100`,
    [device],
  )
  const refusals = await snapshot.query<{ code: number; count: number; last_ms: number }>(
    `select code, count::float8 as count, (extract(epoch from last_at) * 1000)::float8 as last_ms
     from refusals where device_id = $1 order by code`,
    [device],
  )
  const forks = await snapshot.query<{ seq: number }>(
    "select seq from forks where device_id = $1 order by seq",
    [device],
  )
  // Statements cover each other, so a gap is between a time that all before have ended by and the next beginning.
  const gaps = await snapshot.query<{ from_seconds: number; to_seconds: number }>(
    `select covered as from_seconds, starts_at as to_seconds from (
       select starts_at, max(ends_at) over (order by starts_at, seq rows between unbounded preceding and 1 preceding) as covered
       from entries where device_id = $1 and readings > 0 and code = 1
     ) e where starts_at > covered order by starts_at - covered desc, starts_at limit 10`,
    [device],
  )
  return {
    keys: keys.map((key) => ({
      kid: formatHex(key.kid),
      coseKey: formatHex(key.cose_key),
      firstSeq: key.first_seq,
      lastSeq: key.last_seq,
      endedBy: key.ended_by,
      introducedBy: key.introduced_by,
      possessionProven: key.possession_proven,
    })),
    series: series.map((one) => ({
      metric: one.metric,
      unit: one.unit,
      kind: one.kind,
      readings: one.readings,
      from: formatSeconds(one.starts_at),
      to: formatSeconds(one.ends_at),
    })),
    verdicts: Object.fromEntries(verdicts.map(({ code, count }) => [wordOf(code), count])),
    refusals: refusals.map(({ code, count, last_ms }) => ({
      verdict: wordOf(code),
      count,
      last: formatMs(Math.floor(last_ms)),
    })),
    unread: unread.map(({ fault, count }) => ({ rule: fault, statements: count })),
    forks: forks.map(({ seq }) => seq),
    gaps: gaps.map(({ from_seconds, to_seconds }) => ({
      from: formatSeconds(from_seconds),
      to: formatSeconds(to_seconds),
    })),
  }
}

function wordOf(code: number): string {
  return parseVerdictCode(code) ?? String(code)
}
