/**
 * The rows of a log's database for an audit: `AuditSource` of `verify/source.ts`, which says what each method gives. One
 * read-only transaction, so that they are one consistent picture beside a running service. It judges nothing.
 */
import type { ClientBase, Pool, QueryResultRow } from "pg"
import { float8ArrayOf, int2ArrayOf, bytesArrayOf, textArrayOf, plainBytes } from "./array.ts"
import { CopiedRows, copyOut } from "./copy-out.ts"

/** Statements per page: two pages are in memory, of at most 64 KiB and their series each. */
const pageSize = 500
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
    // Whatever the server's or the role's settings are: floats to the last bit. Whatever the statistics say: by the keys,
    // since without any the planner sorted whole tables for each page.
    this.last = client.query(
      "set local extra_float_digits = 1; set local enable_sort = off; set local enable_seqscan = off; set local enable_bitmapscan = off",
    )
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
  private async readPage(after: bigint | null) {
    const from = (id: string): string => (after === null ? "true" : `${id} > ${after}`)
    const entries = await this.copy(
      `select id, device_id, seq, entry, received_at, signed_digest, code, fault, readings, starts_at, ends_at
       from entries where ${from("id")} order by entries.id limit ${pageSize}`,
    )
    const page = new Page()
    let count = 0
    for (; entries.next(); count++) page.addEntry(entries.bigint(), readEntry(entries))
    const last = count < pageSize ? null : page.lastId
    const within = (id: string): string => (last === null ? from(id) : `${from(id)} and ${id} <= ${last}`)
    const statements = await this.copy(
      `select id, received_at, bytes from statements where ${within("id")} order by statements.id, statements.received_at`,
    )
    while (statements.next())
      page
        .at(statements.bigint())
        .statements.push({ receivedAtUs: statements.timeUs(), bytes: statements.view() })
    const series = await this.copy(
      `select statement_id, position, received_at, device_id, metric, name, unit, kind, starts_at, ends_at, times, numbers,
              texts, blobs, period_ms, factor, origin, samples, ahead
       from series where ${within("statement_id")} order by series.statement_id, series.position, series.received_at`,
    )
    while (series.next()) page.at(series.bigint()).series.push(readSeries(series))
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
      this.read<{
        height: number
        size: number
        root: Buffer
        note: string
        receipt_signature: Buffer | null
      }>("select height, size, root, note, receipt_signature from checkpoints order by height"),
      (row) => ({
        height: row.height,
        size: row.size,
        root: plainBytes(row.root),
        note: row.note,
        receiptSignature: row.receipt_signature === null ? null : plainBytes(row.receipt_signature),
      }),
    )
  }

  cosignatures() {
    return mapRows(
      this.read<{ height: number; vkey: string; line: string; us: string }>(
        "select height, vkey, line, (extract(epoch from cosigned_at) * 1000000)::text as us from cosignatures order by height, vkey",
      ),
      ({ height, vkey, line, us }) => ({ height, vkey, line, cosignedAtUs: Number(us) }),
    )
  }

  witnessPolicies() {
    return mapRows(
      this.read<{ policy_id: number; policy: Buffer }>(
        "select policy_id, policy from witness_policies order by policy_id",
      ),
      (row) => ({ policyId: row.policy_id, policy: plainBytes(row.policy) }),
    )
  }

  witnessed() {
    return mapRows(
      this.read<{ height: number; policy_id: number }>(
        "select height, policy_id from witnessed order by height",
      ),
      (row) => ({ height: row.height, policyId: row.policy_id }),
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

  /** Rows in memory of their own, which views of them keep. */
  private copy(query: string): Promise<CopiedRows> {
    const rows = new CopiedRows()
    const result = this.last.then(async () => {
      await copyOut(this.client, query, rows)
      return rows
    })
    this.last = result.catch(ignore)
    return result
  }

  private query<Columns extends QueryResultRow>(sql: string, values: unknown[] = []): Promise<Columns[]> {
    const result = this.last.then(async () => (await this.client.query<Columns>(sql, values)).rows)
    this.last = result.catch(ignore)
    return result
  }
}

/** The columns behind the id. */
function readEntry(row: CopiedRows) {
  return {
    deviceId: row.text(),
    seq: row.int8(),
    entry: row.view(),
    receivedAtUs: row.timeUs(),
    signedDigest: row.view(),
    code: row.int2(),
    fault: row.isNull() ? null : row.text(),
    readings: row.int4(),
    startsAt: row.isNull() ? null : row.float8(),
    endsAt: row.isNull() ? null : row.float8(),
  }
}

/** The columns behind the id. */
function readSeries(row: CopiedRows) {
  return {
    position: row.int2(),
    receivedAtUs: row.timeUs(),
    deviceId: row.text(),
    metric: row.text(),
    name: row.text(),
    unit: row.isNull() ? null : row.text(),
    kind: row.text(),
    startsAt: row.float8(),
    endsAt: row.float8(),
    times: row.isNull() ? null : float8ArrayOf(row.field()),
    numbers: row.isNull() ? null : float8ArrayOf(row.field()),
    texts: row.isNull() ? null : textArrayOf(row.field()),
    blobs: row.isNull() ? null : bytesArrayOf(row.field()),
    periodMs: row.isNull() ? null : row.float8(),
    factor: row.isNull() ? null : row.float8(),
    origin: row.isNull() ? null : row.float8(),
    samples: row.isNull() ? null : int2ArrayOf(row.field()),
    ahead: row.isNull() ? null : row.boolean(),
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
  entry: ReturnType<typeof readEntry> | null
  readonly statements: { receivedAtUs: number; bytes: Uint8Array }[]
  readonly series: ReturnType<typeof readSeries>[]
}

/** Rows come table by table, each in order of ids, entries first. */
class Page {
  private readonly places: Place[] = []
  /** Of ids that have no entry. */
  private readonly strays = new Map<bigint, Place>()
  private cursor = 0
  private cursorId = 0n

  get lastId(): bigint {
    return this.places.at(-1)!.id
  }

  addEntry(id: bigint, entry: Place["entry"]): void {
    // Twice under one id is one place, and one entry too few.
    if (this.places.at(-1)?.id === id) this.places.pop()
    this.places.push({ id, entry, statements: [], series: [] })
  }

  /** For a row of another table. */
  at(id: bigint): Place {
    // The next table begins anew.
    if (id < this.cursorId) this.cursor = 0
    this.cursorId = id
    while (this.cursor < this.places.length && this.places[this.cursor]!.id < id) this.cursor += 1
    const place = this.places[this.cursor]
    if (place?.id === id) return place
    const stray = this.strays.get(id) ?? { id, entry: null, statements: [], series: [] }
    this.strays.set(id, stray)
    return stray
  }

  list(): Place[] {
    if (this.strays.size === 0) return this.places
    return [...this.places, ...this.strays.values()].toSorted((a, b) =>
      a.id < b.id ? -1 : a.id > b.id ? 1 : 0,
    )
  }
}

async function* mapRows<Columns, Row>(
  rows: AsyncIterable<Columns>,
  rowOf: (columns: Columns) => Row,
): AsyncGenerator<Row> {
  for await (const row of rows) yield rowOf(row)
}

function ignore(): void {}
