/**
 * The rows of a log's database for an audit: `AuditSource` of `verify/source.ts`, which says what each method gives. One
 * read-only transaction, so that they are one consistent picture beside a running service. It judges nothing.
 */
import type { ClientBase, Pool, QueryResultRow } from "pg"
import { float8ArrayOf, int2ArrayOf, bytesArrayOf, textArrayOf, plainBytes } from "./array.ts"

/** Statements per page: two pages are in memory, of at most 64 KiB and their series each. */
const pageSize = 1_000
/** Rows per fetch of other tables, of which a tile is the largest, 8 KiB. */
const fetchSize = 500

/** Takes its picture now; `close` ends it. The caller reads the published checkpoint before, or it could be newer. */
export async function openAuditRows(pool: Pool): Promise<AuditRows> {
  const client = await pool.connect()
  client.on("error", ignore)
  const release = (broken: boolean): void => {
    client.off("error", ignore)
    client.release(broken)
  }
  try {
    await client.query("begin transaction isolation level repeatable read, read only")
  } catch (error) {
    release(true)
    throw error
  }
  return new AuditRows(client, async () => {
    const isDone = await client.query("rollback").then(
      () => true,
      () => false,
    )
    release(!isDone)
  })
}

export class AuditRows {
  private readonly client: ClientBase
  private readonly end: () => Promise<void>
  /** Streams are read beside one another, and a connection takes one query at a time. */
  private last: Promise<unknown>
  private cursors = 0

  /** @param client in a transaction that sees one picture and stays open until `close`, which calls `end` */
  constructor(client: ClientBase, end: () => Promise<void> = () => Promise.resolve()) {
    this.client = client
    this.end = end
    // Whatever the server's or the role's settings are: floats to the last bit.
    this.last = client.query("set local extra_float_digits = 1")
  }

  async close(): Promise<void> {
    await this.last.catch(ignore)
    await this.end()
  }

  async countEntries(): Promise<number> {
    const rows = await this.query<{ count: string }>("select count(*)::text as count from entries")
    return Number(rows[0]!.count)
  }

  async readManifestIdMax(): Promise<bigint | null> {
    const rows = await this.query<{ id: string | null }>("select max(manifest_id)::text as id from blocks")
    const id = rows[0]?.id ?? null
    return id === null ? null : BigInt(id)
  }

  log() {
    return mapRows(
      this.read<{ origin: string; vkey: string; operator_key: Buffer; receipt_key: Buffer }>(
        "select origin, vkey, operator_key, receipt_key from log",
      ),
      (row) => ({
        origin: row.origin,
        vkey: row.vkey,
        operatorKey: plainBytes(row.operator_key),
        receiptKey: plainBytes(row.receipt_key),
      }),
    )
  }

  async *chainBackwards(device: string) {
    let below: string | null = null
    for (;;) {
      const rows: { id: string; seq: string; bytes: Buffer | null }[] = await this.query(
        `select e.id::text, e.seq::text, (select bytes from statements s where s.id = e.id limit 1) as bytes
         from entries e where e.device_id = $1 ${below === null ? "" : "and e.seq < $2"} order by e.seq desc limit 50`,
        below === null ? [device] : [device, below],
      )
      for (const { id, bytes } of rows)
        yield { id: BigInt(id), bytes: bytes === null ? null : plainBytes(bytes) }
      if (rows.length < 50) return
      below = rows.at(-1)!.seq
    }
  }

  /** The next page is read while the last one is judged. */
  async *statements() {
    let next = this.readPage(null)
    try {
      for (;;) {
        const { page, after } = await next
        if (after !== null) next = this.readPage(after)
        yield page
        if (after === null) return
      }
    } finally {
      await next.catch(ignore)
    }
  }

  /** All rows whose id is above `after` and at most the page's last entry's; on the last page, all above. */
  private async readPage(after: string | null) {
    const from = (id: string): string => (after === null ? "true" : `${id} > ${after}`)
    const entries = await this.query<EntryColumns>(
      `select id::text, device_id, seq, entry, ${microseconds("received_at")} as received_us, signed_digest, code, fault,
              readings, starts_at, ends_at
       from entries where ${from("id")} order by entries.id limit ${pageSize}`,
    )
    const last = entries.length < pageSize ? null : entries.at(-1)!.id
    const within = (id: string): string => (last === null ? from(id) : `${from(id)} and ${id} <= ${last}`)
    const page = new Page()
    // Ordered by the column and not by the text of the same name that stands in the result.
    for (const row of entries) page.addEntry(row)
    const statements = await this.query<{ id: string; received_us: number; bytes: Buffer }>(
      `select id::text, ${microseconds("received_at")} as received_us, bytes
       from statements where ${within("id")} order by statements.id, statements.received_at`,
    )
    for (const row of statements)
      page.at(row.id).statements.push({ receivedAtUs: row.received_us, bytes: plainBytes(row.bytes) })
    const series = await this.query<SeriesColumns>(
      `select statement_id::text as id, position, ${microseconds("received_at")} as received_us, device_id, metric, name,
              unit, kind, starts_at, ends_at, array_send(times) as times, array_send(numbers) as numbers,
              array_send(texts) as texts, array_send(blobs) as blobs, period_ms, factor, origin,
              array_send(samples) as samples, ahead
       from series where ${within("statement_id")} order by series.statement_id, series.position, series.received_at`,
    )
    for (const row of series) page.at(row.id).series.push(seriesOf(row))
    return { page: page.list(), after: last }
  }

  blocks() {
    return mapRows(
      this
        .read<BlockColumns>(`select height, from_ms, to_ms, first_leaf, size, root, heads_root, blocks_root, arrivals_root, summary, salt,
              devices, statements, readings, earliest_ms, latest_ms, manifest_id::text from blocks order by height`),
      (row) => ({
        height: row.height,
        fromMs: row.from_ms,
        toMs: row.to_ms,
        firstLeaf: row.first_leaf,
        size: row.size,
        root: plainBytes(row.root),
        headsRoot: plainBytes(row.heads_root),
        blocksRoot: plainBytes(row.blocks_root),
        arrivalsRoot: plainBytes(row.arrivals_root),
        summary: plainBytes(row.summary),
        salt: plainBytes(row.salt),
        devices: row.devices,
        statements: row.statements,
        readings: row.readings,
        earliestMs: row.earliest_ms,
        latestMs: row.latest_ms,
        manifestId: BigInt(row.manifest_id),
      }),
    )
  }

  checkpoints() {
    return mapRows(
      this.read<{ height: number; size: number; root: Buffer; note: string }>(
        "select height, size, root, note from checkpoints order by height",
      ),
      (row) => ({
        height: row.height,
        size: row.size,
        root: plainBytes(row.root),
        note: row.note,
      }),
    )
  }

  leafRuns() {
    return mapRows(
      this.read<{ first_leaf: number; first_id: string; leaf_count: number }>(
        "select first_leaf, first_id::text, leaf_count from leaf_runs order by leaf_runs.first_id",
      ),
      (row) => ({
        firstLeaf: row.first_leaf,
        firstId: BigInt(row.first_id),
        count: row.leaf_count,
      }),
    )
  }

  arrivalTiles() {
    return mapRows(
      this.read<{ height: number; level: number; tile_index: number; hashes: Buffer }>(
        "select height, level, tile_index, hashes from arrival_tiles order by height, level, tile_index",
      ),
      (row) => ({
        height: row.height,
        level: row.level,
        index: row.tile_index,
        hashes: plainBytes(row.hashes),
      }),
    )
  }

  sealedHeads() {
    return mapRows(
      this.read<{ device_id: string; height: number; seq: number; entry: Buffer; registry: Buffer }>(
        "select device_id, height, seq, entry, registry from sealed_heads order by height, device_id",
      ),
      (row) => ({
        deviceId: row.device_id,
        height: row.height,
        seq: row.seq,
        entry: plainBytes(row.entry),
        registry: plainBytes(row.registry),
      }),
    )
  }

  async readTileLevels(): Promise<number[]> {
    const rows = await this.query<{ level: number }>("select distinct level from tiles order by level")
    return rows.map(({ level }) => level)
  }

  tiles(level: number) {
    return mapRows(
      this.read<{ tile_index: number; hashes: Buffer }>(
        `select tile_index, hashes from tiles where level = ${Math.trunc(level)} order by tile_index`,
      ),
      (row) => ({
        index: row.tile_index,
        hashes: plainBytes(row.hashes),
      }),
    )
  }

  chainHeads() {
    return mapRows(
      this.read<{ device_id: string; seq: number; entry: Buffer }>(
        "select device_id, seq, entry from chain_heads order by device_id",
      ),
      (row) => ({
        deviceId: row.device_id,
        seq: row.seq,
        entry: plainBytes(row.entry),
      }),
    )
  }

  devices() {
    return mapRows(
      this.read<{
        device_id: string
        status: string
        registry: Buffer
        attributes: string
        ca_digest: Buffer | null
      }>("select device_id, status, registry, attributes::text, ca_digest from devices order by device_id"),
      (row) => ({
        deviceId: row.device_id,
        status: row.status,
        registry: plainBytes(row.registry),
        attributes: row.attributes,
        caDigest: row.ca_digest === null ? null : plainBytes(row.ca_digest),
      }),
    )
  }

  authorities() {
    return mapRows(
      this.read<{ name: string; digest: Buffer; certificate: Buffer; trusted: boolean; registry: Buffer }>(
        "select name, digest, certificate, trusted, registry from certificate_authorities order by name",
      ),
      (row) => ({
        name: row.name,
        digest: plainBytes(row.digest),
        certificate: plainBytes(row.certificate),
        isTrusted: row.trusted,
        registry: plainBytes(row.registry),
      }),
    )
  }

  deviceKeys() {
    return mapRows(
      this
        .read<KeyColumns>(`select device_id, kid, cose_key, first_seq, last_seq, ended_by, possession_proven, introduced_by
       from device_keys order by device_id, first_seq`),
      (row) => ({
        deviceId: row.device_id,
        kid: plainBytes(row.kid),
        coseKey: plainBytes(row.cose_key),
        firstSeq: row.first_seq,
        lastSeq: row.last_seq,
        endedBy: row.ended_by,
        isPossessionProven: row.possession_proven,
        introducedBy: row.introduced_by,
      }),
    )
  }

  forks() {
    return mapRows(
      this.read<{
        device_id: string
        seq: number
        stored: Buffer
        other: Buffer
        entry: Buffer | null
      }>(`select f.device_id, f.seq, f.stored, f.other, e.entry
       from forks f left join entries e using (device_id, seq) order by f.device_id, f.seq`),
      (row) => ({
        deviceId: row.device_id,
        seq: row.seq,
        stored: plainBytes(row.stored),
        other: plainBytes(row.other),
        entry: row.entry === null ? null : plainBytes(row.entry),
      }),
    )
  }

  /** Rows by a cursor: in memory of a fetch, whatever the table's size. */
  private async *read<Columns extends QueryResultRow>(sql: string): AsyncGenerator<Columns> {
    const cursor = `audit_${(this.cursors += 1)}`
    await this.query(`declare ${cursor} no scroll cursor for ${sql}`)
    try {
      for (;;) {
        const rows = await this.query<Columns>(`fetch ${fetchSize} from ${cursor}`)
        yield* rows
        if (rows.length < fetchSize) return
      }
    } finally {
      // After an error the transaction has closed it.
      await this.query(`close ${cursor}`).catch(ignore)
    }
  }

  private query<Columns extends QueryResultRow>(sql: string, values: unknown[] = []): Promise<Columns[]> {
    const result = this.last.then(async () => (await this.client.query<Columns>(sql, values)).rows)
    this.last = result.catch(ignore)
    return result
  }
}

/** Exact for whole microseconds until the year 2255, and an infinity for one. */
function microseconds(column: string): string {
  return `(extract(epoch from ${column}) * 1000000)::float8`
}

interface EntryColumns {
  readonly id: string
  readonly device_id: string
  readonly seq: number
  readonly entry: Buffer
  readonly received_us: number
  readonly signed_digest: Buffer
  readonly code: number
  readonly fault: string | null
  readonly readings: number
  readonly starts_at: number | null
  readonly ends_at: number | null
}

function entryOf(row: EntryColumns) {
  return {
    deviceId: row.device_id,
    seq: row.seq,
    entry: plainBytes(row.entry),
    receivedAtUs: row.received_us,
    signedDigest: plainBytes(row.signed_digest),
    code: row.code,
    fault: row.fault,
    readings: row.readings,
    startsAt: row.starts_at,
    endsAt: row.ends_at,
  }
}

interface SeriesColumns {
  readonly id: string
  readonly position: number
  readonly received_us: number
  readonly device_id: string
  readonly metric: string
  readonly name: string
  readonly unit: string | null
  readonly kind: string
  readonly starts_at: number
  readonly ends_at: number
  readonly times: Buffer | null
  readonly numbers: Buffer | null
  readonly texts: Buffer | null
  readonly blobs: Buffer | null
  readonly period_ms: number | null
  readonly factor: number | null
  readonly origin: number | null
  readonly samples: Buffer | null
  readonly ahead: boolean
}

function seriesOf(row: SeriesColumns) {
  return {
    position: row.position,
    receivedAtUs: row.received_us,
    deviceId: row.device_id,
    metric: row.metric,
    name: row.name,
    unit: row.unit,
    kind: row.kind,
    startsAt: row.starts_at,
    endsAt: row.ends_at,
    times: row.times === null ? null : float8ArrayOf(row.times),
    numbers: row.numbers === null ? null : float8ArrayOf(row.numbers),
    texts: row.texts === null ? null : textArrayOf(row.texts),
    blobs: row.blobs === null ? null : bytesArrayOf(row.blobs),
    periodMs: row.period_ms,
    factor: row.factor,
    origin: row.origin,
    samples: row.samples === null ? null : int2ArrayOf(row.samples),
    ahead: row.ahead,
  }
}

interface BlockColumns {
  readonly height: number
  readonly from_ms: number
  readonly to_ms: number
  readonly first_leaf: number
  readonly size: number
  readonly root: Buffer
  readonly heads_root: Buffer
  readonly blocks_root: Buffer
  readonly arrivals_root: Buffer
  readonly summary: Buffer
  readonly salt: Buffer
  readonly devices: number
  readonly statements: number
  readonly readings: number
  readonly earliest_ms: number | null
  readonly latest_ms: number | null
  readonly manifest_id: string
}

interface KeyColumns {
  readonly device_id: string
  readonly kid: Buffer
  readonly cose_key: Buffer
  readonly first_seq: number
  readonly last_seq: number | null
  readonly ended_by: string | null
  readonly possession_proven: boolean
  readonly introduced_by: string
}

/** Rows of several tables under one id. */
interface Place {
  readonly id: bigint
  entry: ReturnType<typeof entryOf> | null
  readonly statements: { receivedAtUs: number; bytes: Uint8Array }[]
  readonly series: ReturnType<typeof seriesOf>[]
}

class Page {
  private readonly places = new Map<string, Place>()
  private isSorted = true

  /** Entries come first, and in order. */
  addEntry(row: EntryColumns): void {
    this.make(row.id).entry = entryOf(row)
  }

  /** For a row of another table; an id that is new has no entry. */
  at(id: string): Place {
    const place = this.places.get(id)
    if (place !== undefined) return place
    this.isSorted = false
    return this.make(id)
  }

  private make(id: string): Place {
    const place: Place = { id: BigInt(id), entry: null, statements: [], series: [] }
    this.places.set(id, place)
    return place
  }

  list(): Place[] {
    const places = [...this.places.values()]
    return this.isSorted ? places : places.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  }
}

async function* mapRows<Columns, Row>(
  rows: AsyncIterable<Columns>,
  rowOf: (columns: Columns) => Row,
): AsyncGenerator<Row> {
  for await (const row of rows) yield rowOf(row)
}

function ignore(): void {}
