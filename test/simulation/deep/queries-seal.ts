/** What Postgres answers to the queries of a seal and of publishing: `ingest/seal.ts` and what it calls. */
import { CopyRows } from "../../../ingest/database/copy.ts"
import { bytea } from "./queries-chain.ts"
import { type CopyTarget, type Query, noRows } from "./store.ts"
import type { BlockRow, SealedHeadRow } from "./tables.ts"

const one: Query = () => {
  return [{}]
}

export const sealQueries: Readonly<Record<string, Query>> = {
  // Partitions are Postgres's own business.
  "set local lock_timeout = '2s'": one,
  "select has_hypertables() as has": () => {
    return [{ has: false }]
  },
  "select make_partitions(now(), 8)": one,
  "select settle_default($1, $2)": one,
  "set local enable_sort = off; set local enable_seqscan = off; set local enable_bitmapscan = off": one,
  [`select height, to_ms as "toMs", size + 1 as size, manifest_id as "manifestId", e.seq as "manifestSeq"
    from blocks join entries e on e.id = manifest_id order by height desc limit 1`]: ({
    transaction,
    tables,
  }) => {
    const last = lastBlock(transaction.list(tables.blocks))
    if (last === null) return noRows
    const manifest = transaction.list(tables.entries).find(({ id }) => id === last.manifestId)!
    const { height, toMs, size, manifestId } = last
    return [{ height, toMs, size: size + 1, manifestId, manifestSeq: manifest.seq }]
  },
  "select max(id) as id from entries": ({ transaction, tables }) => {
    const ids = transaction.list(tables.entries).map(({ id }) => id)
    return [{ id: ids.length === 0 ? null : Math.max(...ids) }]
  },
  "select count(*) as count from (select from entries where id > $1 and id <= $2 limit 1) e": ({
    transaction,
    tables,
    values,
  }) => {
    const [after, last] = values as unknown as [number, number]
    return [{ count: transaction.list(tables.entries).some(({ id }) => id > after && id <= last) ? 1 : 0 }]
  },
  "select hashes from tiles where level = $1 and tile_index = $2": ({ transaction, tables, values }) => {
    const tile = transaction.get(tables.tiles, `${values[0]}/${values[1]}`)
    return tile === undefined ? noRows : [{ hashes: bytea(tile.hashes) }]
  },
  "update tiles set hashes = $3 where level = $1 and tile_index = $2": function* ({
    transaction,
    tables,
    values,
  }) {
    const [level, index, hashes] = values as unknown as [number, number, Uint8Array]
    yield { name: `tiles ${level}/${index}`, mode: "exclusive" }
    // The collector writes on in these bytes.
    transaction.put(tables.tiles, { level, index, hashes: Uint8Array.from(hashes) })
    return { rowCount: 1 }
  },
  "select (extract(epoch from received_at) * 1000)::bigint as ms from entries order by id limit 1": ({
    transaction,
    tables,
  }) => {
    const first = transaction.list(tables.entries).toSorted((a, b) => a.id - b.id)[0]
    return first === undefined ? noRows : [{ ms: first.receivedAtMs }]
  },
  "select e.entry from blocks b join entries e on e.id = b.manifest_id order by b.height": ({
    transaction,
    tables,
  }) => {
    const entries = new Map(transaction.list(tables.entries).map(({ id, entry }) => [id, entry]))
    return blocksByHeight(transaction.list(tables.blocks)).map(({ manifestId }) => ({
      entry: bytea(entries.get(manifestId)!),
    }))
  },
  [`copy (select d.device_id, h.seq, h.entry, h.registry from devices d
     cross join lateral (select seq, entry, registry from sealed_heads s
                         where s.device_id = d.device_id order by height desc limit 1) h) to stdout (format binary)`]:
    ({ transaction, tables }) => {
      const latest = new Map<string, SealedHeadRow>()
      for (const row of transaction.list(tables.sealedHeads))
        if ((latest.get(row.device)?.height ?? -1) < row.height) latest.set(row.device, row)
      return copyOf([...latest.values()], (rows, { device, seq, entry, registry }) => {
        rows.row(4)
        rows.text(device)
        rows.int8(seq)
        rows.bytes(entry)
        rows.bytes(registry)
      })
    },
  [`copy (select id, device_id, seq, entry, received_at, readings, starts_at, ends_at from entries
    where id > 0 and id <= 0 order by id limit 5000) to stdout (format binary)`]: ({
    transaction,
    tables,
    values,
  }) => {
    const [after, last, limit] = values as unknown as [number, number, number]
    const page = transaction
      .list(tables.entries)
      .filter(({ id }) => id > after && id <= last)
      .toSorted((a, b) => a.id - b.id)
      .slice(0, limit)
    return copyOf(page, (rows, { id, device, seq, entry, receivedAtMs, readings, startsAt, endsAt }) => {
      rows.row(8)
      rows.int8(id)
      rows.text(device)
      rows.int8(seq)
      rows.bytes(entry)
      rows.timeMs(receivedAtMs)
      rows.int4(readings)
      for (const time of [startsAt, endsAt]) {
        if (time === null) rows.null()
        else rows.float8(time)
      }
    })
  },
  [`select e.seq, s.bytes from entries e join statements s on s.id = e.id and s.received_at = e.received_at
    where e.device_id = $1 and e.seq > $2 and e.seq <= $3 order by e.seq desc`]: ({
    transaction,
    tables,
    values,
  }) => {
    const [chain, after, last] = values as unknown as [string, number, number]
    return transaction
      .list(tables.entries)
      .filter(({ device, seq }) => device === chain && seq > after && seq <= last)
      .toSorted((a, b) => b.seq - a.seq)
      .map(({ id, seq }) => ({ seq, bytes: bytea(transaction.get(tables.statements, `${id}`)!.bytes) }))
  },
  [`insert into blocks (height, from_ms, to_ms, first_leaf, size, root, heads_root, blocks_root, arrivals_root, summary,
                        salt, devices, statements, readings, earliest_ms, latest_ms, manifest_id)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`]: function* ({
    transaction,
    tables,
    values,
  }) {
    const [height, fromMs, toMs, firstLeaf, size, root, headsRoot, blocksRoot, arrivalsRoot] = values
    const [summary, salt, devices, statements, readings, earliestMs, latestMs, manifestId] = values.slice(9)
    const row: BlockRow = {
      height: height!,
      fromMs: fromMs!,
      toMs: toMs!,
      firstLeaf: firstLeaf!,
      size: size!,
      root: root!,
      headsRoot: headsRoot!,
      blocksRoot: blocksRoot!,
      arrivalsRoot: arrivalsRoot!,
      summary: summary!,
      salt: salt!,
      devices: devices!,
      statements: statements!,
      readings: readings!,
      earliestMs: earliestMs!,
      latestMs: latestMs!,
      manifestId: manifestId!,
    }
    yield* transaction.insert(tables.blocks, row)
    return { rowCount: 1 }
  },
  "insert into checkpoints (height, size, root, note, receipt_signature) values ($1, $2, $3, $4, $5)":
    function* ({ transaction, tables, values }) {
      const [height, size, root, note, receiptSignature] = values
      yield* transaction.insert(tables.checkpoints, {
        height: height!,
        size: size!,
        root: root!,
        note: note!,
        receiptSignature: receiptSignature!,
      })
      return { rowCount: 1 }
    },
  "select root from checkpoints where size = $1": ({ transaction, tables, values }) => {
    const row = transaction.list(tables.checkpoints).find(({ size }) => size === values[0])
    return row === undefined ? noRows : [{ root: bytea(row.root) }]
  },
  "select max(size) as size from checkpoints": ({ transaction, tables }) => {
    const sizes = transaction.list(tables.checkpoints).map(({ size }) => size)
    return [{ size: sizes.length === 0 ? null : Math.max(...sizes) }]
  },
  "select height, cosigned_note(height) as note from checkpoints order by height desc limit 1": ({
    transaction,
    tables,
  }) => {
    const last = transaction.list(tables.checkpoints).toSorted((a, b) => b.height - a.height)[0]
    return last === undefined ? noRows : [{ height: last.height, note: last.note }]
  },
  "select folder, since from publisher": ({ transaction, tables }) => {
    return transaction
      .list(tables.publisher)
      .map(({ folder, sinceMs }) => ({ folder, since: new Date(sinceMs) }))
  },
  "insert into publications (height) select $1 from publisher where folder = $2 on conflict do nothing":
    function* ({ transaction, tables, values }) {
      const [height, folder] = values as unknown as [number, string]
      if (transaction.get(tables.publisher, "")?.folder !== folder) return { rowCount: 0 }
      const isNew = yield* transaction.tryInsert(tables.publications, { height })
      return { rowCount: isNew ? 1 : 0 }
    },
  "insert into publisher (folder) values ($1) on conflict (only_row) do nothing": function* ({
    transaction,
    tables,
    values,
  }) {
    const row = { folder: values[0]!, sinceMs: transaction.beganAtMs }
    const isNew = yield* transaction.tryInsert(tables.publisher, row)
    return { rowCount: isNew ? 1 : 0 }
  },
}

export const sealCopies: Readonly<Record<string, CopyTarget>> = {
  "copy leaf_runs (first_leaf, first_id, leaf_count) from stdin (format binary)": {
    types: ["int8", "int8", "int8"],
    *take({ transaction, tables }, row) {
      const [firstLeaf, firstId, count] = row as never[]
      yield* transaction.insert(tables.leafRuns, {
        firstLeaf: firstLeaf!,
        firstId: firstId!,
        count: count!,
      })
    },
  },
  "copy tiles (level, tile_index, hashes) from stdin (format binary)": {
    types: ["int2", "int8", "bytes"],
    *take({ transaction, tables }, row) {
      const [level, index, hashes] = row as never[]
      yield* transaction.insert(tables.tiles, { level: level!, index: index!, hashes: hashes! })
    },
  },
  "copy arrival_tiles (height, level, tile_index, hashes) from stdin (format binary)": {
    types: ["int8", "int2", "int8", "bytes"],
    *take({ transaction, tables }, row) {
      const [height, level, index, hashes] = row as never[]
      yield* transaction.insert(tables.arrivalTiles, {
        height: height!,
        level: level!,
        index: index!,
        hashes: hashes!,
      })
    },
  },
  "copy sealed_heads (device_id, height, seq, entry, registry) from stdin (format binary)": {
    types: ["text", "int8", "int8", "bytes", "bytes"],
    *take({ transaction, tables }, row) {
      const [device, height, seq, entry, registry] = row as never[]
      yield* transaction.insert(tables.sealedHeads, {
        device: device!,
        height: height!,
        seq: seq!,
        entry: entry!,
        registry: registry!,
      })
    },
  },
}

export function blocksByHeight(blocks: readonly BlockRow[]): BlockRow[] {
  return blocks.toSorted((a, b) => a.height - b.height)
}

function lastBlock(blocks: readonly BlockRow[]): BlockRow | null {
  return blocksByHeight(blocks).at(-1) ?? null
}

function copyOf<Row>(list: readonly Row[], write: (rows: CopyRows, row: Row) => void): Uint8Array {
  const rows = new CopyRows()
  for (const row of list) write(rows, row)
  return Uint8Array.from(rows.finish())
}
