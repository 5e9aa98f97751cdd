/** What Postgres answers to the queries of the registry and of a log's beginning: `ingest/registry-rows.ts` and `log.ts`. */
import { readdirSync } from "node:fs"
import { formatHex } from "../../../chain/bytes.ts"
import { bytea, byText, lockHeads } from "./queries-chain.ts"
import { type Query, noRows } from "./store.ts"
import type { KeyRow } from "./tables.ts"
import { SqlError } from "./transaction.ts"

/** A key stands from its first seq on until its last; two that stand at one first seq break `device_keys_standing`. */
function isStanding({ firstSeq, lastSeq }: KeyRow): boolean {
  return lastSeq === null || lastSeq >= firstSeq
}

const readDevices: Query = ({ transaction, tables, values }) => {
  const [devices] = values as unknown as [readonly string[] | null]
  const keys = transaction.list(tables.keys)
  return transaction
    .list(tables.devices)
    .filter(({ device }) => devices === null || devices.includes(device))
    .toSorted((a, b) => byText(a.device, b.device))
    .map(({ device, status, registry, attributes, caDigest }) => ({
      device_id: device,
      status,
      registry: bytea(registry),
      attributes: JSON.parse(attributes) as object,
      ca_digest: caDigest === null ? null : bytea(caDigest),
      keys: keys
        .filter((key) => key.device === device)
        .toSorted((a, b) => a.firstSeq - b.firstSeq || (a.lastSeq ?? Infinity) - (b.lastSeq ?? Infinity))
        .map((key) => ({
          kid: formatHex(key.kid),
          cose_key: formatHex(key.coseKey),
          first_seq: key.firstSeq,
          last_seq: key.lastSeq,
          ended_by: key.endedBy,
          possession_proven: key.isPossessionProven,
          introduced_by: key.introducedBy,
        })),
    }))
}

/** The schema is there: the store in memory is made with it. */
const migrations = readdirSync(new URL("../../../ingest/database/migrations/", import.meta.url))
  .filter((name) => name.endsWith(".sql"))
  .toSorted()

export const registryQueries: Readonly<Record<string, Query>> = {
  "create table if not exists schema_migrations (name text primary key, at timestamptz not null default now())":
    () => {
      return noRows
    },
  "select name from schema_migrations order by name": () => {
    return migrations.map((name) => ({ name }))
  },
  [`select d.device_id, d.status, d.registry, d.attributes, d.ca_digest,
           coalesce((select json_agg(json_build_object('kid', encode(k.kid, 'hex'), 'cose_key', encode(k.cose_key, 'hex'),
             'first_seq', k.first_seq, 'last_seq', k.last_seq, 'ended_by', k.ended_by,
             'possession_proven', k.possession_proven, 'introduced_by', k.introduced_by)
             order by k.first_seq, k.last_seq nulls last)
             from device_keys k where k.device_id = d.device_id), '[]') as keys
    from devices d where $1::text[] is null or d.device_id = any($1) order by d.device_id`]: readDevices,
  "select device_id, seq from chain_heads where device_id = any($1) order by device_id for update":
    function* (scope) {
      const rows = yield* lockHeads(scope)
      return rows.map(({ device_id, seq }) => ({ device_id, seq }))
    },
  "insert into chain_heads (device_id, seq, entry) select device_id, 0, entry from unnest($1::text[], $2::bytea[]) as n(device_id, entry)":
    function* ({ transaction, tables, values }) {
      const [devices, entries] = values as unknown as [readonly string[], readonly Uint8Array[]]
      for (const [place, device] of devices.entries())
        yield* transaction.insert(tables.heads, { device, seq: 0, entry: entries[place]!, epoch: 0 })
      return { rowCount: devices.length }
    },
  [`insert into devices (device_id, status, registry, attributes, ca_digest)
    select * from unnest($1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::bytea[])`]: function* ({
    transaction,
    tables,
    values,
  }) {
    const [devices, statuses, registries, attributes, caDigests] = values as unknown as [
      readonly string[],
      readonly string[],
      readonly Uint8Array[],
      readonly string[],
      readonly (Uint8Array | null)[],
    ]
    for (const [index, device] of devices.entries())
      yield* transaction.insert(tables.devices, {
        device,
        status: statuses[index]!,
        registry: registries[index]!,
        attributes: attributes[index]!,
        caDigest: caDigests[index]!,
      })
    return { rowCount: devices.length }
  },
  [`update devices d set status = n.status, registry = n.registry
    from unnest($1::text[], $2::text[], $3::bytea[]) as n(device_id, status, registry) where d.device_id = n.device_id`]:
    function* ({ transaction, tables, values }) {
      const [devices, statuses, registries] = values as unknown as [
        readonly string[],
        readonly string[],
        readonly Uint8Array[],
      ]
      let rowCount = 0
      for (const [index, device] of devices.entries()) {
        yield { name: `devices ${device}`, mode: "exclusive" }
        const row = transaction.get(tables.devices, device)
        if (row === undefined) continue
        transaction.put(tables.devices, { ...row, status: statuses[index]!, registry: registries[index]! })
        rowCount += 1
      }
      return { rowCount }
    },
  [`update device_keys k set last_seq = n.last_seq, ended_by = n.ended_by
    from unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[]) as n(device_id, kid, last_seq, ended_by)
    where k.device_id = n.device_id and k.kid = n.kid and k.last_seq is distinct from n.last_seq`]:
    function* ({ transaction, tables, values }) {
      const [devices, kids, lastSeqs, endings] = values as unknown as [
        readonly string[],
        readonly Uint8Array[],
        readonly (number | null)[],
        readonly (string | null)[],
      ]
      let rowCount = 0
      for (const [index, device] of devices.entries()) {
        const key = `${device} ${formatHex(kids[index]!)}`
        const row = transaction.get(tables.keys, key)
        const lastSeq = lastSeqs[index]!
        if (row === undefined || row.lastSeq === lastSeq) continue
        yield { name: `device_keys ${key}`, mode: "exclusive" }
        transaction.put(tables.keys, { ...row, lastSeq, endedBy: endings[index]! })
        rowCount += 1
      }
      return { rowCount }
    },
  [`insert into device_keys (device_id, kid, cose_key, first_seq, last_seq, ended_by, possession_proven, introduced_by)
    select * from unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[], $7::boolean[], $8::text[])
    on conflict (device_id, kid) do nothing`]: function* ({ transaction, tables, values }) {
    const columns = values as unknown as readonly (readonly never[])[]
    const [devices = []] = columns
    let rowCount = 0
    for (const index of devices.keys()) {
      const [device, kid, coseKey, firstSeq, lastSeq, endedBy, isPossessionProven, introducedBy] =
        columns.map((column) => column[index]!)
      const row: KeyRow = {
        device: device!,
        kid: kid!,
        coseKey: coseKey!,
        firstSeq: firstSeq!,
        lastSeq: lastSeq!,
        endedBy: endedBy!,
        isPossessionProven: isPossessionProven!,
        introducedBy: introducedBy!,
      }
      const others = transaction
        .list(tables.keys)
        .filter((other) => other.device === row.device && formatHex(other.kid) !== formatHex(row.kid))
      const isNew = yield* transaction.tryInsert(tables.keys, row)
      if (!isNew) continue
      rowCount += 1
      if (isStanding(row) && others.some((other) => isStanding(other) && other.firstSeq === row.firstSeq))
        throw new SqlError("23505", "device_keys_standing: two keys at one place")
    }
    return { rowCount }
  },
  "update chain_heads set epoch = epoch + 1 where device_id = any($1)": function* ({
    transaction,
    tables,
    values,
  }) {
    const [devices] = values as unknown as [readonly string[]]
    for (const device of [...new Set(devices)].toSorted(byText)) {
      yield { name: `chain_heads ${device}`, mode: "exclusive" }
      const head = transaction.get(tables.heads, device)!
      transaction.put(tables.heads, { ...head, epoch: head.epoch + 1 })
    }
    return { rowCount: devices.length }
  },
  "select name, digest, trusted, registry from certificate_authorities order by name": () => {
    return noRows
  },
  // No device of a simulated run has a token.
  "delete from login_tokens where device_id = any($1)": () => ({ rowCount: 0 }),
  "insert into log (origin, vkey, operator_key, receipt_key, version) values ($1, $2, $3, $4, $5) on conflict do nothing":
    function* ({ transaction, tables, values }) {
      const [origin, vkey, operatorKey, receiptKey, version] = values as unknown as [
        string,
        string,
        Uint8Array,
        Uint8Array,
        number,
      ]
      const row = { origin, vkey, operatorKey, receiptKey, version }
      const isNew = yield* transaction.tryInsert(tables.log, row)
      return { rowCount: isNew ? 1 : 0 }
    },
  "insert into chain_heads (device_id, seq, entry) values ($1, 0, $2)": function* ({
    transaction,
    tables,
    values,
  }) {
    const [device, entry] = values as unknown as [string, Uint8Array]
    yield* transaction.insert(tables.heads, { device, seq: 0, entry, epoch: 0 })
    return { rowCount: 1 }
  },
  "select to_regclass('log') is not null as exists": () => {
    return [{ exists: true }]
  },
  "select vkey, operator_key, receipt_key from log": ({ transaction, tables }) =>
    transaction.list(tables.log).map(({ vkey, operatorKey, receiptKey }) => ({
      vkey,
      operator_key: bytea(operatorKey),
      receipt_key: bytea(receiptKey),
    })),
  "select origin, vkey, operator_key, receipt_key, coalesce((to_jsonb(log) ->> 'version')::int, 1) as version from log":
    ({ transaction, tables }) => {
      return transaction.list(tables.log).map(({ origin, vkey, operatorKey, receiptKey, version }) => ({
        version,
        origin,
        vkey,
        operator_key: bytea(operatorKey),
        receipt_key: bytea(receiptKey),
      }))
    },
}
