/** A sealed log as evidence reads it from the database: a few queries a block, in memory of a page of statements. */
import { type Hash, type Sha256, parseHash } from "../chain/hash.ts"
import { formatHex } from "../chain/bytes.ts"
import type { SealedHead } from "../chain/heads.ts"
import { type Registry, decodeRegistry } from "../chain/registry.ts"
import { decodeStatement } from "../chain/statement.ts"
import type { EvidenceSource, ManifestLeaf, ShownLeaf } from "./evidence.ts"
import { Pace } from "./pace.ts"
import { ArrivalNodes, LogNodes, type Query } from "./evidence-nodes.ts"

export interface EvidenceRowsOptions {
  readonly query: Query
  readonly origin: string
  /** Speaks of this block's checkpoint; absent: of the last one's. */
  readonly height?: number
  readonly sha256?: Sha256
}

interface LeafColumns {
  readonly leaf: number
  readonly received_ms: number
  readonly bytes: Uint8Array
}

interface HeadColumns {
  readonly device_id: string
  readonly seq: number
  readonly entry: Uint8Array
  readonly registry: Uint8Array
}

/** Statements of up to 64 KiB each. */
const pageSize = 250
/** Manifests of some 500 bytes. */
const manifestsPerQuery = 200

export async function openEvidenceRows(options: EvidenceRowsOptions): Promise<EvidenceSource> {
  const { query, height } = options
  const [checkpoint] = await query<{ height: number; size: number; note: string }>(
    `select height, size, cosigned_note(height) as note from checkpoints
     where $1::bigint is null or height = $1 order by height desc limit 1`,
    [height ?? null],
  )
  return new EvidenceRows(options, checkpoint ?? null)
}

class EvidenceRows implements EvidenceSource {
  readonly origin: string
  readonly checkpoint: EvidenceSource["checkpoint"]
  private readonly query: Query
  private readonly nodes: LogNodes
  private readonly arrivals: ArrivalNodes
  private readonly manifests = new Map<number, ManifestLeaf>()

  constructor({ query, origin, sha256 }: EvidenceRowsOptions, checkpoint: EvidenceSource["checkpoint"]) {
    this.query = query
    this.origin = origin
    this.checkpoint = checkpoint
    this.nodes = new LogNodes(query, sha256)
    this.arrivals = new ArrivalNodes(query, sha256)
  }

  async readManifest(height: number): Promise<ManifestLeaf> {
    const known = this.manifests.get(height)
    if (known !== undefined) return known
    const rows = await this.query<{ height: number; first_leaf: number; size: number; bytes: Uint8Array }>(
      `select b.height, b.first_leaf, b.size, s.bytes
       from blocks b join entries e on e.id = b.manifest_id
       join statements s on s.id = e.id and s.received_at = e.received_at
       where b.height >= $1 and b.height < $2 order by b.height`,
      [height, height + manifestsPerQuery],
    )
    // Of the range and of the last block, which is asked for by itself.
    if (this.manifests.size > 2 * manifestsPerQuery) this.manifests.clear()
    for (const row of rows)
      this.manifests.set(row.height, {
        height: row.height,
        firstLeaf: row.first_leaf,
        leafIndex: row.size,
        statement: row.bytes,
      })
    const manifest = this.manifests.get(height)
    if (manifest === undefined)
      throw new Error(`the manifest of block ${height} is missing: run tidemark verify`)
    return manifest
  }

  async readManifestEntries(count: number): Promise<readonly Hash[]> {
    const rows = await this.query<{ entry: Uint8Array }>(
      "select e.entry from blocks b join entries e on e.id = b.manifest_id where b.height < $1 order by b.height",
      [count],
    )
    return rows.map(({ entry }) => parseHash(entry))
  }

  async readHeads(height: number): Promise<readonly SealedHead[]> {
    const rows = await this.query<HeadColumns>(
      `select d.device_id, h.seq, h.entry, h.registry from devices d
       cross join lateral (select seq, entry, registry from sealed_heads s
                           where s.device_id = d.device_id and s.height <= $1 order by s.height desc limit 1) h`,
      [height],
    )
    const pace = new Pace()
    const heads: SealedHead[] = []
    for (const row of rows) {
      heads.push(headOf(row))
      if (pace.isDue) await pace.take()
    }
    return heads
  }

  /** Of one device, without those of the others. */
  private async readHead(device: string, height: number): Promise<SealedHead | null> {
    const [row] = await this.query<HeadColumns>(
      `select device_id, seq, entry, registry from sealed_heads
       where device_id = $1 and height <= $2 order by height desc limit 1`,
      [device, height],
    )
    return row === undefined ? null : headOf(row)
  }

  readNodes(places: Parameters<LogNodes["read"]>[0]): Promise<readonly Hash[]> {
    return this.nodes.read(places)
  }

  readArrivalNodes(block: ManifestLeaf, places: Parameters<LogNodes["read"]>[0]): Promise<readonly Hash[]> {
    return this.arrivals.read(block, places)
  }

  async *readLeaves(device: string, first: ManifestLeaf, last: ManifestLeaf): AsyncGenerator<ShownLeaf> {
    const others = await this.readOthers(device, first.firstLeaf, last.leafIndex)
    let next = 0
    for await (const own of this.readOwn(device, first, last)) {
      for (; next < others.length && others[next]!.leafIndex < own.leafIndex; next++) yield others[next]!
      yield own
    }
    yield* others.slice(next)
  }

  /** The policy, the registry statements about the device, and requests that lie outside the range; by leaf. */
  private async readOthers(device: string, firstLeaf: number, size: number): Promise<ShownLeaf[]> {
    const [policy] = await this.query<LeafColumns>(`${selectLeaf} where e.id = statement_of(0)`, [])
    if (policy === undefined) throw new Error("the policy is missing: run tidemark verify")
    const leaves = [shown(policy, "operator")]
    let entry = (await this.readHead(device, this.checkpoint!.height))?.registry
    // From the last one back: each names the one before.
    while (entry !== undefined && entry.some((byte) => byte !== 0)) {
      const leaf = shown(await this.readEntry(entry), "operator")
      leaves.push(leaf)
      const { previous, request } = decodeRegistryOf(leaf.statement, this.origin)
      if (request !== undefined) {
        const asked = shown(await this.readEntry(request), "device")
        if (asked.leafIndex < firstLeaf || asked.leafIndex >= size) leaves.push(asked)
      }
      entry = previous
    }
    return leaves.toSorted((a, b) => a.leafIndex - b.leafIndex)
  }

  private async readEntry(entry: Hash): Promise<LeafColumns> {
    const [row] = await this.query<LeafColumns>(`${selectLeaf} where e.entry = $1`, [entry])
    if (row === undefined)
      throw new Error(`statement ${formatHex(entry)} of the registry is missing: run tidemark verify`)
    return row
  }

  /** What the device said in the range, by pages: from the head before the range to the one after it. */
  private async *readOwn(device: string, first: ManifestLeaf, last: ManifestLeaf): AsyncGenerator<ShownLeaf> {
    const seqMax = await this.readHeadSeq(device, last.height)
    for (let after = await this.readHeadSeq(device, first.height - 1); ;) {
      const rows = await this.query<LeafColumns & { seq: number }>(
        `${columns}, e.seq from entries e
         join statements s on s.id = e.id and s.received_at = e.received_at
         where e.device_id = $1 and e.seq > $2 and e.seq <= $3 order by e.seq limit $4`,
        [device, after, seqMax, pageSize],
      )
      const leaves = rows
        .map((row) => shown(row, "device"))
        .filter(({ leafIndex }) => leafIndex >= first.firstLeaf && leafIndex < last.leafIndex)
      const indexes = leaves.map(({ leafIndex }) => leafIndex)
      this.nodes.expect(indexes)
      this.arrivals.expect(indexes, (leaf) => this.blockOf(leaf))
      yield* leaves
      if (rows.length < pageSize) return
      after = rows.at(-1)!.seq
    }
  }

  private async readHeadSeq(device: string, height: number): Promise<number> {
    const [row] = await this.query<{ seq: number }>(
      "select seq from sealed_heads where device_id = $1 and height <= $2 order by height desc limit 1",
      [device, height],
    )
    return row?.seq ?? 0
  }

  /** Of the blocks whose manifests were read. */
  private blockOf(leaf: number): ManifestLeaf | null {
    for (const block of this.manifests.values())
      if (leaf >= block.firstLeaf && leaf < block.leafIndex) return block
    return null
  }
}

const columns = `select leaf_of(e.id) as leaf, (extract(epoch from e.received_at) * 1000)::bigint as received_ms, s.bytes`
const selectLeaf = `${columns} from entries e join statements s on s.id = e.id and s.received_at = e.received_at`

function headOf({ device_id: device, seq, entry, registry }: HeadColumns): SealedHead {
  return { device, seq, entry: parseHash(entry), registry: parseHash(registry) }
}

function shown(
  { leaf, received_ms: receivedAtMs, bytes }: LeafColumns,
  signer: ShownLeaf["signer"],
): ShownLeaf {
  return { leafIndex: leaf, signer, statement: bytes, receivedAtMs }
}

function decodeRegistryOf(bytes: Uint8Array, origin: string): Registry {
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind !== "statement")
    throw new Error("a registry statement cannot be read: run tidemark verify")
  return decodeRegistry(decoded.statement.payload)
}
