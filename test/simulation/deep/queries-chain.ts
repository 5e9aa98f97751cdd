/** What Postgres answers to the queries of a group commit: `ingest/group.ts`, `operator.ts` and `storage.ts`. */
import { equalBytes } from "../../../chain/bytes.ts"
import { locks } from "../../../ingest/database/pool.ts"
import { type CopyTarget, type Query, type QueryScope, noRows } from "./store.ts"
import type { ChainHead, Entry, SeriesRow, StatementRow } from "./tables.ts"
import { SqlError, type Step } from "./transaction.ts"

/** A bytea as `pg` hands it out: a Buffer of its own. */
export function bytea(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes)
}

/** Text in the order of the C locale, in which the databases are made. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

export const advisory = (number: number): string => `advisory ${number}`

interface HeadRow {
  readonly device_id: string
  readonly seq: number
  readonly entry: Buffer
  readonly epoch: number
}

const headRow = ({ device, seq, entry, epoch }: ChainHead): HeadRow => ({
  device_id: device,
  seq,
  entry: bytea(entry),
  epoch,
})

/** Rows of these devices that are there when the query begins, each locked and then read anew. */
export function* lockHeads({ transaction, tables, values }: QueryScope): Step<HeadRow[]> {
  const [devices] = values as unknown as [readonly string[]]
  const there = devices.filter((device) => transaction.get(tables.heads, device) !== undefined)
  const rows: HeadRow[] = []
  for (const device of [...new Set(there)].toSorted(byText)) {
    yield { name: `chain_heads ${device}`, mode: "exclusive" }
    rows.push(headRow(transaction.get(tables.heads, device)!))
  }
  return rows
}

const moveHeads: Query = function* ({ transaction, tables, values }) {
  const [devices, seqsBefore, entriesBefore, seqs, entries, epochs] = values as unknown as [
    readonly string[],
    readonly number[],
    readonly Uint8Array[],
    readonly number[],
    readonly Uint8Array[],
    readonly number[],
  ]
  let rowCount = 0
  for (const [index, device] of devices.entries()) {
    yield { name: `chain_heads ${device}`, mode: "exclusive" }
    const head = transaction.get(tables.heads, device)
    if (head === undefined) continue
    if (head.seq !== seqsBefore[index] || !equalBytes(head.entry, entriesBefore[index]!)) continue
    transaction.put(tables.heads, {
      device,
      seq: seqs[index]!,
      entry: entries[index]!,
      epoch: epochs[index]!,
    })
    rowCount += 1
  }
  return { rowCount }
}

export const chainQueries: Readonly<Record<string, Query>> = {
  "select pg_advisory_xact_lock($1)": function* ({ values }) {
    yield { name: advisory(values[0]!), mode: "exclusive" }
    return [{}]
  },
  "select pg_advisory_xact_lock_shared($1)": function* ({ values }) {
    yield { name: advisory(values[0]!), mode: "shared" }
    return [{}]
  },
  [`select pg_advisory_xact_lock_shared(${locks.seal})`]: function* ({ values }) {
    yield { name: advisory(values[0]!), mode: "shared" }
    return [{}]
  },
  "select seq, entry from chain_heads where device_id = $1 for update": function* (scope) {
    const { transaction, tables, values } = scope
    const device: string = values[0]!
    if (transaction.get(tables.heads, device) === undefined) return noRows
    yield { name: `chain_heads ${device}`, mode: "exclusive" }
    const { seq, entry } = transaction.get(tables.heads, device)!
    return [{ seq, entry: bytea(entry) }]
  },
  "select seq, entry from chain_heads where device_id = $1 for update skip locked": function* (scope) {
    const { transaction, tables, values, isFree } = scope
    const device: string = values[0]!
    const name = `chain_heads ${device}`
    if (transaction.get(tables.heads, device) === undefined || !isFree(name)) return noRows
    yield { name, mode: "exclusive" }
    const { seq, entry } = transaction.get(tables.heads, device)!
    return [{ seq, entry: bytea(entry) }]
  },
  "update chain_heads set seq = $2, entry = $3 where device_id = $1 and seq = $4 and entry = $5": function* ({
    transaction,
    tables,
    values,
  }) {
    const [device, seq, entry, seqBefore, entryBefore] = values as unknown as [
      string,
      number,
      Uint8Array,
      number,
      Uint8Array,
    ]
    yield { name: `chain_heads ${device}`, mode: "exclusive" }
    const head = transaction.get(tables.heads, device)
    if (head === undefined || head.seq !== seqBefore || !equalBytes(head.entry, entryBefore))
      return { rowCount: 0 }
    transaction.put(tables.heads, { ...head, seq, entry })
    return { rowCount: 1 }
  },
  "select device_id, seq, entry, epoch from chain_heads where device_id = any($1) order by device_id for update":
    lockHeads,
  [`select now_ms, device_id, status, registry
    from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms) as clock
    left join devices on device_id = any($1)`]: ({ transaction, tables, values, clockMs }) => {
    const [devices] = values as unknown as [readonly string[]]
    const rows = [...new Set(devices)].flatMap((device) => {
      const row = transaction.get(tables.devices, device)
      if (row === undefined) return []
      return [{ now_ms: clockMs, device_id: device, status: row.status, registry: bytea(row.registry) }]
    })
    return rows.length > 0 ? rows : [{ now_ms: clockMs, device_id: null, status: null, registry: null }]
  },
  [`select e.device_id, e.seq, e.entry, e.signed_digest
    from (select distinct * from unnest($1::text[], $2::bigint[]) as w(device_id, seq)) w join entries e using (device_id, seq)`]:
    ({ transaction, tables, values }) => {
      const [devices, seqs] = values as unknown as [readonly string[], readonly number[]]
      const wanted = new Set(devices.map((device, index) => `${device} ${seqs[index]}`))
      return [...wanted].flatMap((key) => {
        const row = transaction.get(tables.entries, key)
        if (row === undefined) return []
        const { device, seq, entry, signedDigest } = row
        return [{ device_id: device, seq, entry: bytea(entry), signed_digest: bytea(signedDigest) }]
      })
    },
  [`update chain_heads h set seq = n.seq, entry = n.entry, epoch = n.epoch
    from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[])
      as n(device_id, seq_before, entry_before, seq, entry, epoch)
    where h.device_id = n.device_id and h.seq = n.seq_before and h.entry = n.entry_before`]: moveHeads,
  [`insert into refusals (device_id, code, count, last_at)
    select device_id, code, count, now() from unnest($1::text[], $2::int[], $3::bigint[]) as n(device_id, code, count)
    order by device_id, code
    on conflict (device_id, code) do update set count = refusals.count + excluded.count, last_at = excluded.last_at`]:
    function* ({ transaction, tables, values }) {
      const [devices, codes, counts] = values as unknown as [
        readonly string[],
        readonly number[],
        readonly number[],
      ]
      const rows = devices
        .map((device, index) => ({ device, code: codes[index]!, count: counts[index]! }))
        .toSorted((a, b) => byText(a.device, b.device) || a.code - b.code)
      for (const row of rows) {
        if (yield* transaction.tryInsert(tables.refusals, row)) continue
        const { count } = transaction.get(tables.refusals, tables.refusals.keyOf(row))!
        transaction.put(tables.refusals, { ...row, count: count + row.count })
      }
      return { rowCount: rows.length }
    },
  [`insert into forks (device_id, seq, stored, other, found_at)
    select $1, $2, s.bytes, $3, now() from entries e join statements s using (id, received_at)
    where e.device_id = $1 and e.seq = $2 and (select count(*) from forks where device_id = $1) < $4
    on conflict do nothing`]: function* ({ transaction, tables, values }) {
    const [device, seq, other, max] = values as unknown as [string, number, Uint8Array, number]
    const entry = transaction.get(tables.entries, `${device} ${seq}`)
    const kept = transaction.list(tables.forks).filter((fork) => fork.device === device)
    if (entry === undefined || kept.length >= max) return { rowCount: 0 }
    const stored = transaction.get(tables.statements, `${entry.id}`)!.bytes
    const isNew = yield* transaction.tryInsert(tables.forks, { device, seq, stored, other })
    return { rowCount: isNew ? 1 : 0 }
  },
  [`select min(id) as first, case when max(id) - min(id) + 1 <> count(*) then array_agg(id order by id) end as ids
    from (select nextval('statement_ids') as id from generate_series(1, $1::int)) as taken`]: ({
    values,
    nextId,
  }) => {
    const ids = Array.from({ length: values[0]! }, () => nextId())
    return [{ first: ids[0] ?? null, ids: null }]
  },
  "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now": ({ clockMs }) => {
    return [{ now: clockMs }]
  },
}

/** What the store in memory cannot hold: a metric of this name, as Postgres might find something that we never saw. */
export const unstorableMetric = "unstorable"

export const chainCopies: Readonly<Record<string, CopyTarget>> = {
  "copy entries (id, device_id, seq, entry, received_at, signed_digest, code, fault, readings, starts_at, ends_at) from stdin (format binary)":
    {
      types: ["int8", "text", "int8", "bytes", "time", "bytes", "int2", "text", "int4", "float8", "float8"],
      *take({ transaction, tables }, row) {
        const [id, device, seq, entry, receivedAtMs, signedDigest, code, fault, readings, startsAt, endsAt] =
          row as never[]
        const made: Entry = {
          id: id!,
          device: device!,
          seq: seq!,
          entry: entry!,
          receivedAtMs: receivedAtMs!,
          signedDigest: signedDigest!,
          code: code!,
          fault: fault ?? null,
          readings: readings!,
          startsAt: startsAt ?? null,
          endsAt: endsAt ?? null,
        }
        if ((made.fault !== null) !== (made.code === 3))
          throw new SqlError("23514", "entries: a fault with code 3, and only with it")
        if (transaction.get(tables.heads, made.device) === undefined)
          throw new SqlError("23503", "entries: no such chain")
        yield* transaction.insert(tables.entries, made)
      },
    },
  "copy statements (id, received_at, bytes) from stdin (format binary)": {
    types: ["int8", "time", "bytes"],
    *take({ transaction, tables }, row) {
      const [id, receivedAtMs, bytes] = row as never[]
      const made: StatementRow = { id: id!, receivedAtMs: receivedAtMs!, bytes: bytes! }
      if (made.bytes.length < 1 || made.bytes.length > 65_535)
        throw new SqlError("23514", "statements: 1 to 65,535 bytes")
      yield* transaction.insert(tables.statements, made)
    },
  },
  "copy series (statement_id, position, received_at, device_id, metric, name, unit, kind, starts_at, ends_at, times, numbers, texts, blobs, period_ms, factor, origin, samples, ahead) from stdin (format binary)":
    {
      types: [
        "int8",
        "int2",
        "time",
        "text",
        "text",
        "text",
        "text",
        "text",
        "float8",
        "float8",
        "float8[]",
        "float8[]",
        "text[]",
        "bytes[]",
        "float8",
        "float8",
        "float8",
        "int2[]",
        "boolean",
      ],
      *take({ transaction, tables }, row) {
        const [id, position, receivedAtMs, device, metric, name, unit, kind, startsAt, endsAt] =
          row as never[]
        const [times, numbers, texts, blobs, periodMs, factor, origin, samples, ahead] = row.slice(
          10,
        ) as never[]
        const made: SeriesRow = {
          id: id!,
          position: position!,
          receivedAtMs: receivedAtMs!,
          device: device!,
          metric: metric!,
          name: name!,
          unit: unit ?? null,
          kind: kind!,
          startsAt: startsAt!,
          endsAt: endsAt!,
          times: times ?? null,
          numbers: numbers ?? null,
          texts: texts ?? null,
          blobs: blobs ?? null,
          periodMs: periodMs ?? null,
          factor: factor ?? null,
          origin: origin ?? null,
          samples: samples ?? null,
          ahead: ahead!,
        }
        if (made.metric === unstorableMetric)
          throw new SqlError("22P05", "series: a value that cannot be stored")
        yield* transaction.insert(tables.series, made)
      },
    },
}
