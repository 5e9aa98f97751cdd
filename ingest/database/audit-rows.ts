/**
 * The rows of a log's database for an audit: `AuditSource` of `verify/source.ts`, which says what each method gives. One
 * read-only transaction, so that they are one consistent picture beside a running service. It judges nothing.
 */
import type { ClientBase, Pool, QueryResult, QueryResultRow } from "pg"
import { plainBytes } from "./array.ts"
import {
  type PageMemory,
  StatementPage,
  entryColumns,
  makePageMemory,
  seriesColumns,
  statementColumns,
  surveyEntries,
} from "./audit-page.ts"
import { type CopiedRows, copyOut } from "./copy-out.ts"
import { beginReading } from "./pool.ts"

/**
 * Statements of a page, at most; two pages are in memory. To ask for a page costs Postgres as much as 600 statements, since
 * it opens every partition: with pages of 500 it spent 13.3 us a statement, and with these 8.2.
 */
const pageSizeMax = 2_000
const pageSizeMin = 250
/** Of statements and series: a page of more makes the next ones half as long, and one of half of it twice. */
const pageBytesMax = 16 * 1024 * 1024
/** Readings of a page, unless one statement has more: of 60 a statement this is no bound, and of 10,000 it is 8 MB. */
const pageReadingsMax = 300_000
/** Rows per fetch of other tables, of which a tile is the largest, 8 KiB. */
const fetchSize = 500

/** Two audits may share a transaction, and their cursors may not share a name. */
let cursorsMade = 0

/** Below every id: a row that somebody wrote by hand may have any other. */
const idMin = "-9223372036854775808"

/** Takes its picture now; `close` ends it. The caller reads the published checkpoint before, or it could be newer. */
export async function openAuditRows(pool: Pool): Promise<AuditRows> {
  const client = await pool.connect()
  client.on("error", ignore)
  const release = (broken: boolean): void => {
    client.off("error", ignore)
    client.release(broken)
  }
  try {
    await beginReading(client)
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
  private pageSize: number

  /**
   * @param client in a transaction that sees one picture and stays open until `close`, which calls `end`
   * @param firstPageSize statements of the first page, from which the others grow
   */
  constructor(
    client: ClientBase,
    end: () => Promise<void> = () => Promise.resolve(),
    firstPageSize: number = pageSizeMin,
  ) {
    this.client = client
    this.end = end
    this.pageSize = firstPageSize
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

  async countEntries(after: bigint | null, to: number | null): Promise<number> {
    const rows = await this.query<{ count: string }>(
      `select count(*)::text as count from entries where id > $1
       and ($2::bigint is null or id <= (select manifest_id from blocks where height = $2))`,
      [after === null ? idMin : after.toString(), to],
    )
    return Number(rows[0]!.count)
  }

  async readManifestIdMax(): Promise<bigint | null> {
    const rows = await this.query<{ id: string | null }>("select max(manifest_id)::text as id from blocks")
    const id = rows[0]?.id ?? null
    return id === null ? null : BigInt(id)
  }

  log() {
    return mapRows(
      this.read<{ origin: string; vkey: string; operator_key: Buffer; receipt_key: Buffer; version: number }>(
        "select origin, vkey, operator_key, receipt_key, version from log",
      ),
      (row) => ({
        origin: row.origin,
        vkey: row.vkey,
        operatorKey: plainBytes(row.operator_key),
        receiptKey: plainBytes(row.receipt_key),
        version: row.version,
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

  statements({ after, devices }: { after: bigint | null; devices: ReadonlySet<string> | null }) {
    return readAhead<bigint>(after, (memory, from) => this.readPage(memory, from, devices))
  }

  chain(device: string) {
    return readAhead<number>(0, (memory, from) => this.readChainPage(memory, device, from ?? 0))
  }

  async readStatement(entry: Uint8Array): Promise<Uint8Array | null> {
    const rows = await this.query<{ bytes: Buffer }>(
      "select s.bytes from entries e join statements s on s.id = e.id where e.entry = $1 limit 1",
      [entry],
    )
    return rows[0] === undefined ? null : plainBytes(rows[0].bytes)
  }

  async readHeadBefore(device: string, id: bigint) {
    const rows = await this.query<HeadColumns>(
      "select device_id, seq, entry from entries where device_id = $1 and id < $2 order by seq desc limit 1",
      [device, id.toString()],
    )
    return rows[0] === undefined ? null : headOf(rows[0])
  }

  /** All rows whose id is above `after` and at most the page's last entry's; on the last page, all above. */
  private async readPage(memory: PageMemory, after: bigint | null, devices: ReadonlySet<string> | null) {
    const { entries } = memory
    const limit = this.pageSize
    const from = (id: string): string => (after === null ? "true" : `${id} > ${after}`)
    await this.copy(
      `select ${entryColumns} from entries where ${from("id")} order by entries.id limit ${limit}`,
      entries,
    )
    const { count, isCut, last, whole } = surveyEntries(entries, devices, pageReadingsMax)
    const next = count < limit && !isCut ? null : last
    const upTo = (id: string): string => (next === null ? from(id) : `${from(id)} and ${id} <= ${next}`)
    await this.readOthers(memory, whole === null ? upTo : (id) => isOneOf(id, whole))
    return { page: new StatementPage(memory, count, devices), next }
  }

  private async readChainPage(memory: PageMemory, device: string, after: number) {
    const { entries } = memory
    const limit = this.pageSize
    await this.copy(
      `select ${entryColumns} from entries where device_id = ${literalOf(device)} and seq > ${after} order by entries.seq limit ${limit}`,
      entries,
    )
    const { count, isCut, whole, lastSeq } = surveyEntries(entries, new Set([device]), pageReadingsMax)
    await this.readOthers(memory, (id) => isOneOf(id, whole ?? []))
    const page = new StatementPage(memory, count, null)
    return { page, next: count < limit && !isCut ? null : lastSeq }
  }

  /** Rows of the other tables, of these ids. */
  private async readOthers(
    { statements, series }: PageMemory,
    within: (id: string) => string,
  ): Promise<void> {
    await this.copy(
      `select ${statementColumns} from statements where ${within("id")} order by statements.id, statements.received_at`,
      statements,
    )
    await this.copy(
      `select ${seriesColumns} from series where ${within("statement_id")} order by series.statement_id, series.position, series.received_at`,
      series,
    )
    const bytes = statements.sizeBytes + series.sizeBytes
    if (bytes > pageBytesMax) this.pageSize = Math.max(pageSizeMin, Math.floor(this.pageSize / 2))
    else if (bytes < pageBytesMax / 2) this.pageSize = Math.min(pageSizeMax, 2 * this.pageSize)
  }

  blocks(from: number) {
    return mapRows(
      this
        .read<BlockColumns>(`select height, from_ms, to_ms, first_leaf, size, root, heads_root, blocks_root, arrivals_root, summary, salt,
              devices, statements, readings, earliest_ms, latest_ms, manifest_id::text from blocks where height >= ${Math.trunc(from)} order by height`),
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

  checkpoints(from: number) {
    return mapRows(
      this.read<{
        height: number
        size: number
        root: Buffer
        note: string
        receipt_signature: Buffer | null
      }>(
        `select height, size, root, note, receipt_signature from checkpoints
         where height >= ${Math.trunc(from)} order by height`,
      ),
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

  leafRuns(after: bigint | null) {
    return mapRows(
      this.read<{ first_leaf: number; first_id: string; leaf_count: number }>(
        `select first_leaf, first_id::text, leaf_count from leaf_runs ${after === null ? "" : `where first_id > ${after}`} order by leaf_runs.first_id`,
      ),
      (row) => ({
        firstLeaf: row.first_leaf,
        firstId: BigInt(row.first_id),
        count: row.leaf_count,
      }),
    )
  }

  arrivalTiles(from: number) {
    return mapRows(
      this.read<{ height: number; level: number; tile_index: number; hashes: Buffer }>(
        `select height, level, tile_index, hashes from arrival_tiles where height >= ${Math.trunc(from)} order by height, level, tile_index`,
      ),
      (row) => ({
        height: row.height,
        level: row.level,
        index: row.tile_index,
        hashes: plainBytes(row.hashes),
      }),
    )
  }

  sealedHeads(from: number) {
    return mapRows(
      this.read<SealedHeadColumns>(
        `select device_id, height, seq, entry, registry from sealed_heads where height >= ${Math.trunc(from)} order by height, device_id`,
      ),
      sealedHeadOf,
    )
  }

  lastSealedHeads(height: number) {
    return mapRows(
      this.read<SealedHeadColumns>(
        // A look into the index for each device: over all rows, of which there are as many as devices times hours, it
        // would cost as much as the audit that begins behind them.
        `select h.* from devices d cross join lateral (
           select device_id, height, seq, entry, registry from sealed_heads
           where device_id = d.device_id and height <= ${Math.trunc(height)} order by height desc limit 1) h
         order by d.device_id`,
      ),
      sealedHeadOf,
    )
  }

  async readTileLevels(): Promise<number[]> {
    const rows = await this.query<{ level: number }>("select distinct level from tiles order by level")
    return rows.map(({ level }) => level)
  }

  async readTile(level: number, index: number): Promise<Uint8Array | null> {
    const rows = await this.query<{ hashes: Buffer }>(
      "select hashes from tiles where level = $1 and tile_index = $2",
      [level, index],
    )
    return rows[0] === undefined ? null : plainBytes(rows[0].hashes)
  }

  tiles(level: number, from: number) {
    return mapRows(
      this.read<{ tile_index: number; hashes: Buffer }>(
        `select tile_index, hashes from tiles where level = ${Math.trunc(level)} and tile_index >= ${Math.trunc(from)} order by tile_index`,
      ),
      (row) => ({
        index: row.tile_index,
        hashes: plainBytes(row.hashes),
      }),
    )
  }

  chainHeads() {
    return mapRows(
      this.read<HeadColumns>("select device_id, seq, entry from chain_heads order by device_id"),
      headOf,
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

  /** Rows by a cursor: in memory of a fetch, whatever the table's size. A table of one fetch is one round trip. */
  private async *read<Columns extends QueryResultRow>(sql: string): AsyncGenerator<Columns> {
    const cursor = `audit_${(cursorsMade += 1)}`
    const fetch = `fetch ${fetchSize} from ${cursor}`
    let isOpen = true
    try {
      let rows = await this.queryLast<Columns>(`declare ${cursor} no scroll cursor for ${sql}; ${fetch}`)
      for (;;) {
        // One that is at its end goes with the transaction.
        isOpen = rows.length === fetchSize
        yield* rows
        if (!isOpen) return
        rows = await this.query<Columns>(fetch)
      }
    } finally {
      // After an error the transaction has closed it.
      if (isOpen) await this.query(`close ${cursor}`).catch(ignore)
    }
  }

  private copy(query: string, into: CopiedRows): Promise<void> {
    const result = this.last.then(() => copyOut(this.client, query, into))
    this.last = result.catch(ignore)
    return result
  }

  /** The rows of the last of some statements, which take no parameters. */
  private queryLast<Columns extends QueryResultRow>(sql: string): Promise<Columns[]> {
    const result = this.last.then(async () => {
      // pg gives a result for each statement, which its types do not know.
      const results: unknown = await this.client.query(sql)
      return (results as readonly QueryResult<Columns>[]).at(-1)!.rows
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

/** COPY takes no parameters. */
function literalOf(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function isOneOf(column: string, ids: readonly bigint[]): string {
  return ids.length === 0 ? "false" : `${column} in (${ids.join(", ")})`
}

/** Pages from a place on; the next one is read while the last one is used, in the memory of the one before. */
async function* readAhead<From>(
  from: From | null,
  read: (
    memory: PageMemory,
    from: From | null,
  ) => Promise<{ readonly page: StatementPage; readonly next: From | null }>,
): AsyncGenerator<StatementPage> {
  let ahead = makePageMemory()
  let current = makePageMemory()
  let reading = read(ahead, from)
  try {
    for (;;) {
      const { page, next } = await reading
      const used = current
      current = ahead
      ahead = used
      if (next !== null) reading = read(ahead, next)
      yield page
      if (next === null) return
    }
  } finally {
    await reading.catch(ignore)
  }
}

interface HeadColumns {
  readonly device_id: string
  readonly seq: number
  readonly entry: Buffer
}

function headOf({ device_id: deviceId, seq, entry }: HeadColumns) {
  return { deviceId, seq, entry: plainBytes(entry) }
}

interface SealedHeadColumns extends HeadColumns {
  readonly height: number
  readonly registry: Buffer
}

function sealedHeadOf(row: SealedHeadColumns) {
  return { ...headOf(row), height: row.height, registry: plainBytes(row.registry) }
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

async function* mapRows<Columns, Row>(
  rows: AsyncIterable<Columns>,
  rowOf: (columns: Columns) => Row,
): AsyncGenerator<Row> {
  for await (const row of rows) yield rowOf(row)
}

function ignore(): void {}
