/** The whole log of a database computed anew from entries and statements, and compared with what was sealed. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Pool } from "pg"
import { type Manifest, decodeManifest, encodeArrival } from "../../chain/block.ts"
import { formatHex } from "../../chain/bytes.ts"
import { type Checkpoint, parseCheckpoint } from "../../chain/checkpoint.ts"
import { emptyHeadOf } from "../../chain/genesis.ts"
import { type Hash, parseHash } from "../../chain/hash.ts"
import { noHead } from "../../chain/link.ts"
import { type SealedHead, headsRootOf } from "../../chain/heads.ts"
import { Frontier, hashLeaf, rootOf } from "../../chain/merkle.ts"
import { parseNote, verifyNote } from "../../chain/note.ts"
import { readPayload } from "../../chain/payload.ts"
import { contentBlock, decodeStatement, entryOf } from "../../chain/statement.ts"
import type { LogKeys } from "../../ingest/log-keys.ts"
import { hmacNative, sha256Native } from "../../ingest/native.ts"

export interface AuditedLog {
  readonly manifests: readonly Manifest[]
  /** Height of the block by entry in hex, of every sealed statement; the manifests too. */
  readonly heightOf: ReadonlyMap<string, number>
  /** Entries, in hex, that are stored and in no block yet. */
  readonly unsealed: ReadonlySet<string>
  readonly checkpoints: readonly Checkpoint[]
}

interface LogRow {
  readonly id: number
  readonly leaf: number | null
  readonly device_id: string
  readonly seq: number
  readonly entry: Uint8Array
  readonly received_us: number
  readonly bytes: Uint8Array
}

function demand(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(`the log is wrong: ${what}`)
}

function same(found: Uint8Array, expected: Uint8Array, what: string): void {
  demand(formatHex(found) === formatHex(expected), what)
}

/** Throws an Error that says what is wrong with the log: a hole, a double leaf, a root that is not the tree's. */
export async function auditLog(pool: Pool, keys: LogKeys): Promise<AuditedLog> {
  // One snapshot: a log under load moves between two queries.
  const { rows } = await pool.query<LogRow>(
    `select e.id, l.leaf_index as leaf, e.device_id, e.seq, e.entry,
            (extract(epoch from e.received_at) * 1000000)::bigint as received_us, s.bytes
     from entries e join statements s using (id, received_at) left join leaves l on l.statement_id = e.id order by e.id`,
  )
  const { rows: counted } = await pool.query<{ count: number }>(
    "select count(*) as count from leaves where leaf_index < $1",
    [rows.filter(({ leaf }) => leaf !== null).length],
  )
  demand(counted[0]!.count === rows.filter(({ leaf }) => leaf !== null).length, "leaves have holes")

  const tree = new Frontier(sha256Native)
  const blocksTree = new Frontier(sha256Native)
  const heads = new Map<string, SealedHead>()
  const chains = new Map<string, { seq: number; entry: Hash }>()
  const manifests: Manifest[] = []
  const checkpoints: Checkpoint[] = []
  const heightOf = new Map<string, number>()
  const unsealed = new Set<string>()
  let arrivals: Uint8Array[] = []
  let receivedAtMsMax = 0

  for (const [index, row] of rows.entries()) {
    const what = `statement ${row.seq} of ${row.device_id}`
    const entry = parseHash(row.entry)
    same(entryOf(row.bytes, sha256Native), entry, `${what}: its bytes are not its entry's`)
    const isOperator = row.device_id === keys.origin
    const before =
      chains.get(row.device_id) ?? (isOperator ? noHead : emptyHeadOf(keys.binding, row.device_id))
    const decoded = decodeStatement(row.bytes, keys.origin)
    if (decoded.kind !== "statement") throw new Error(`the log is wrong: ${what} cannot be read`)
    const { statement } = decoded
    demand(row.seq === before.seq + 1 && statement.seq === row.seq, `${what} stands behind ${before.seq}`)
    same(statement.prev, before.entry, `${what} does not link`)
    chains.set(row.device_id, { seq: row.seq, entry })
    demand(row.received_us % 1000 === 0, `${what} arrived at no whole millisecond`)
    const receivedAtMs = row.received_us / 1000

    if (row.leaf === null) {
      unsealed.add(formatHex(entry))
      continue
    }
    demand(unsealed.size === 0, `${what} is sealed, and one before it is not`)
    demand(row.leaf === index, `${what} is leaf ${row.leaf}, not ${index}`)
    demand(!heightOf.has(formatHex(entry)), `${what} is sealed twice`)
    heightOf.set(formatHex(entry), manifests.length)
    if (statement.content !== contentBlock) {
      tree.append(hashLeaf(entry, sha256Native))
      arrivals.push(encodeArrival(entry, receivedAtMs))
      receivedAtMsMax = Math.max(receivedAtMsMax, receivedAtMs)
      follow(heads, row, entry, readPayload(statement), keys)
      continue
    }
    const manifest = decodeManifest(statement.payload)
    const last = manifests.at(-1)
    const at = `block ${manifest.height}`
    demand(manifest.height === manifests.length, `${at} is the ${manifests.length}th`)
    demand(last === undefined || manifest.fromMs === last.toMs, `${at} does not begin where the last ended`)
    demand(manifest.firstLeaf === (last === undefined ? 0 : last.size + 1), `${at}: first leaf`)
    demand(manifest.size === index, `${at}: size`)
    demand(manifest.toMs === receivedAtMs, `${at}: to is its manifest's arrival`)
    demand(manifest.toMs >= receivedAtMsMax, `${at} holds what arrived after it`)
    same(manifest.root, tree.root(), `${at}: root`)
    same(manifest.arrivalsRoot, rootOf(arrivals, sha256Native), `${at}: arrivals root`)
    same(manifest.blocksRoot, blocksTree.root(), `${at}: blocks root`)
    const headsRoot = headsRootOf(heads.values(), keys.headsSecret, manifest.height, sha256Native, hmacNative)
    same(manifest.headsRoot, headsRoot, `${at}: heads root`)
    tree.append(hashLeaf(entry, sha256Native))
    blocksTree.append(hashLeaf(entry, sha256Native))
    arrivals = []
    checkpoints.push(await readCheckpoint(pool, keys, manifest.height))
    demand(checkpoints.at(-1)!.size === tree.size, `${at}: size of its checkpoint`)
    same(checkpoints.at(-1)!.root, tree.root(), `${at}: root of its checkpoint`)
    manifests.push(manifest)
  }
  demand(arrivals.length === 0, "a sealed statement stands in no block")
  await auditTiles(
    pool,
    rows.filter(({ leaf }) => leaf !== null).map(({ entry }) => parseHash(entry)),
  )
  return { manifests, heightOf, unsealed, checkpoints }
}

/** Sizes of what is sealed, to see whether anything was half done. */
export async function countSealed(pool: Pool): Promise<Record<string, number>> {
  const { rows } = await pool.query<Record<string, number>>(
    `select (select count(*) from blocks) as blocks, (select count(*) from leaves) as leaves,
            (select count(*) from checkpoints) as checkpoints, (select count(*) from sealed_heads) as sealed_heads,
            (select coalesce(sum(octet_length(hashes)), 0) from tiles) as tile_bytes,
            (select count(*) from entries e join statements s using (id) where not exists (select from devices d where d.device_id = e.device_id)) as operator`,
  )
  return rows[0]!
}

/** What stands in the data folder for everybody to see; null before the first block. */
export async function readPublishedText(dataFolder: string): Promise<string | null> {
  try {
    return await readFile(join(dataFolder, "log", "checkpoint"), "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
}

function follow(
  heads: Map<string, SealedHead>,
  row: LogRow,
  entry: Hash,
  payload: ReturnType<typeof readPayload>,
  { origin, binding }: LogKeys,
): void {
  if (row.device_id !== origin) {
    const head = heads.get(row.device_id)
    if (head === undefined) throw new Error(`the log is wrong: ${row.device_id} speaks before its enrolment`)
    heads.set(row.device_id, { ...head, seq: row.seq, entry })
  } else if (payload.kind === "registry") {
    const { device } = payload.registry
    const head = heads.get(device) ?? { device, ...emptyHeadOf(binding, device) }
    heads.set(device, { ...head, registry: entry })
  }
}

async function readCheckpoint(pool: Pool, keys: LogKeys, height: number): Promise<Checkpoint> {
  const { rows } = await pool.query<{ note: string }>("select note from checkpoints where height = $1", [
    height,
  ])
  const note = parseNote(rows[0]?.note ?? "")
  const key = { name: keys.origin, publicKey: keys.log.publicKey }
  if (note === null || verifyNote(note, [key])?.length !== 1)
    throw new Error(`the log is wrong: the checkpoint of block ${height} is not signed`)
  return parseCheckpoint(note.text)!
}

/** Tiles of every level, computed from the leaves alone. */
async function auditTiles(pool: Pool, entries: readonly Hash[]): Promise<void> {
  const expected = new Map<string, number[]>()
  const tree = new Frontier(sha256Native)
  for (const entry of entries) {
    tree.append(hashLeaf(entry, sha256Native), ({ level, index }, hash) => {
      if (level % 8 !== 0) return
      const name = `${level / 8}/${Math.floor(index / 256)}`
      expected.set(name, [...(expected.get(name) ?? []), ...hash])
    })
  }
  const { rows } = await pool.query<{ level: number; tile_index: number; hashes: Uint8Array }>(
    "select level, tile_index, hashes from tiles",
  )
  if (rows.length !== expected.size)
    throw new Error(`the log is wrong: ${rows.length} tiles, not ${expected.size}`)
  for (const { level, tile_index: index, hashes } of rows) {
    const tile = expected.get(`${level}/${index}`)
    if (tile === undefined || formatHex(Uint8Array.from(tile)) !== formatHex(hashes))
      throw new Error(`the log is wrong: tile ${level}/${index}`)
  }
}
