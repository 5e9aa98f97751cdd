/** The committed rows of the store in memory, for the audit: `AuditSource` of `verify/source.ts`. */
import { equalBytes } from "../../../chain/bytes.ts"
import type { AuditSource, StatementRows } from "../../../verify/source.ts"
import type { SealedHeadRow, SeriesRow, Tables } from "./tables.ts"

/** Of the tables as they stand when each is read: nobody may write meanwhile. */
export function auditSourceOf(tables: Tables): AuditSource {
  return {
    countEntries: async (after) => list(tables.entries).filter(({ id }) => isAbove(id, after)).length,
    readManifestIdMax: async () => {
      const ids = list(tables.blocks).map(({ manifestId }) => manifestId)
      return ids.length === 0 ? null : BigInt(Math.max(...ids))
    },
    log: () => each(list(tables.log)),
    chainBackwards: (device) =>
      each(
        sorted(tables.entries, ({ seq }) => -seq)
          .filter((entry) => entry.device === device)
          .map(({ id }) => ({ id: BigInt(id), bytes: tables.statements.rows.get(`${id}`)?.bytes ?? null })),
      ),
    statements: ({ after, devices }) =>
      each([statementsOf(tables, devices).filter(({ id }) => after === null || id > after)]),
    chain: (device) =>
      each([
        statementsOf(tables, null)
          .filter(({ entry }) => entry?.deviceId === device)
          .toSorted((a, b) => a.entry!.seq - b.entry!.seq),
      ]),
    readStatement: async (entry) => {
      const row = list(tables.entries).find((one) => equalBytes(one.entry, entry))
      return row === undefined ? null : (tables.statements.rows.get(`${row.id}`)?.bytes ?? null)
    },
    readHeadBefore: async (device, id) => {
      const row = sorted(tables.entries, ({ seq }) => -seq).find(
        (one) => one.device === device && BigInt(one.id) < id,
      )
      return row === undefined ? null : { deviceId: device, seq: row.seq, entry: row.entry }
    },
    blocks: (from) =>
      each(
        sorted(tables.blocks, byHeight)
          .filter(({ height }) => height >= from)
          .map((row) => ({ ...row, manifestId: BigInt(row.manifestId) })),
      ),
    checkpoints: (from) => each(sorted(tables.checkpoints, byHeight).filter(({ height }) => height >= from)),
    // Nobody witnesses here.
    cosignatures: () => each([]),
    witnessPolicies: () => each([]),
    witnessed: () => each([]),
    leafRuns: (after) =>
      each(
        sorted(tables.leafRuns, ({ firstId }) => firstId)
          .filter(({ firstId }) => isAbove(firstId, after))
          .map(({ firstLeaf, firstId, count }) => ({ firstLeaf, firstId: BigInt(firstId), count })),
      ),
    arrivalTiles: (from) =>
      each(
        sorted(
          tables.arrivalTiles,
          byHeight,
          ({ level }) => level,
          ({ index }) => index,
        ).filter(({ height }) => height >= from),
      ),
    sealedHeads: (from) =>
      each(
        sorted(tables.sealedHeads, byHeight, ({ device }) => device)
          .filter(({ height }) => height >= from)
          .map(withDeviceId),
      ),
    lastSealedHeads: (height) => {
      const last = new Map<string, SealedHeadRow>()
      for (const row of sorted(tables.sealedHeads, byHeight))
        if (row.height <= height) last.set(row.device, row)
      return each([...last.values()].map(withDeviceId))
    },
    readTileLevels: async () =>
      [...new Set(list(tables.tiles).map(({ level }) => level))].toSorted((a, b) => a - b),
    readTile: async (level, index) =>
      list(tables.tiles).find((tile) => tile.level === level && tile.index === index)?.hashes ?? null,
    tiles: (level, from) =>
      each(
        sorted(tables.tiles, ({ index }) => index).filter(
          (tile) => tile.level === level && tile.index >= from,
        ),
      ),
    chainHeads: () => each(sorted(tables.heads, ({ device }) => device).map(withDeviceId)),
    devices: () => each(sorted(tables.devices, ({ device }) => device).map(withDeviceId)),
    deviceKeys: () =>
      each(
        sorted(
          tables.keys,
          ({ device }) => device,
          ({ firstSeq }) => firstSeq,
        ).map(withDeviceId),
      ),
    authorities: () => each([]),
    forks: () =>
      each(
        sorted(
          tables.forks,
          ({ device }) => device,
          ({ seq }) => seq,
        ).map((row) => ({
          ...withDeviceId(row),
          entry: tables.entries.rows.get(`${row.device} ${row.seq}`)?.entry ?? null,
        })),
      ),
  }
}

function byHeight({ height }: { readonly height: number }): number {
  return height
}

function isAbove(id: number, after: bigint | null): boolean {
  return after === null || BigInt(id) > after
}

function withDeviceId<Row extends { readonly device: string }>({
  device,
  ...row
}: Row): Omit<Row, "device"> & { readonly deviceId: string } {
  return { ...row, deviceId: device }
}

function list<Row>(table: { readonly rows: ReadonlyMap<string, Row> }): Row[] {
  return [...table.rows.values()]
}

function sorted<Row>(
  table: { readonly rows: ReadonlyMap<string, Row> },
  ...by: readonly ((row: Row) => number | string)[]
): Row[] {
  return list(table).toSorted((a, b) => {
    for (const of of by) {
      const [x, y] = [of(a), of(b)]
      if (x !== y) return x < y ? -1 : 1
    }
    return 0
  })
}

async function* each<Row>(rows: readonly Row[]): AsyncGenerator<Row> {
  yield* rows
}

function statementsOf(tables: Tables, devices: ReadonlySet<string> | null) {
  const { entries, statements, series } = tables
  const entryById = new Map(list(entries).map((row) => [row.id, row]))
  const seriesById = new Map<number, SeriesRow[]>()
  for (const row of list(series)) seriesById.set(row.id, [...(seriesById.get(row.id) ?? []), row])
  const ids = new Set([...entryById.keys(), ...list(statements).map(({ id }) => id), ...seriesById.keys()])
  return [...ids]
    .toSorted((a, b) => a - b)
    .map((id): StatementRows => {
      const entry = entryById.get(id)
      const isWhole = devices === null || entry === undefined || devices.has(entry.device)
      const statement = isWhole ? statements.rows.get(`${id}`) : undefined
      return {
        id: BigInt(id),
        isWhole,
        entry:
          entry === undefined ? null : { ...withDeviceId(entry), receivedAtUs: entry.receivedAtMs * 1000 },
        statements:
          statement === undefined
            ? []
            : [{ receivedAtUs: statement.receivedAtMs * 1000, bytes: statement.bytes }],
        series: (isWhole ? (seriesById.get(id) ?? []) : [])
          .toSorted((a, b) => a.position - b.position)
          .map((row) => ({ ...withDeviceId(row), receivedAtUs: row.receivedAtMs * 1000 })),
      }
    })
}
