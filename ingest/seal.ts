/**
 * Sealing: all that was committed and is not yet sealed becomes a block. After each step a comment says what a crash
 * there means. Start-up, the schedule and the command run this same code; a second sealer is harmless.
 */
import { randomBytes } from "node:crypto"
import type { Pool, PoolClient } from "pg"
import {
  BlockBuilder,
  type BlockStart,
  type Manifest,
  type Summary,
  encodeManifest,
  saltSize,
} from "../chain/block.ts"
import { signCheckpoint } from "../chain/checkpoint.ts"
import { signReceiptTree } from "../chain/cose-receipt.ts"
import { type Hash, parseHash } from "../chain/hash.ts"
import { type MapPlace, type SealedHead, mapPlaceOf, mapRootOf } from "../chain/heads.ts"
import { Frontier, hashLeaf } from "../chain/merkle.ts"
import { contentBlock } from "../chain/statement.ts"
import { TileCollector } from "../chain/tile.ts"
import { CopiedRows, copyOut } from "./database/copy-out.ts"
import { CopyRows, copyRows } from "./database/copy.ts"
import { makePartitions } from "./database/migration.ts"
import { begin, locks } from "./database/pool.ts"
import { Breath } from "./breath.ts"
import { EntryPages, OperatorStatements } from "./entry-pages.ts"
import { LeafWriter } from "./leaves.ts"
import type { SealKeys } from "./log-keys.ts"
import { hmacNative, sha256Native } from "./native.ts"
import { type OperatorHead, appendOperator, lockOperator } from "./operator.ts"
import { checkPublished, claimPublication, publishLast } from "./publication.ts"
import { readClock, takeIds } from "./storage.ts"
import { TileWriter, insertArrivalTiles } from "./tiles.ts"

export interface SealOptions {
  readonly pool: Pool
  readonly keys: SealKeys
  readonly dataFolder: string
  /** Seal only if the last block ended before this instant (Unix ms by the database's clock): a slot of the schedule. */
  readonly slotMs?: number
  /** Seal also when there is nothing to seal; the schedule does, so that each hour has a block. */
  readonly isEmptyAllowed?: boolean
  /** 16 bytes for the summary; a simulation passes its own. */
  readonly random?: (size: number) => Uint8Array
  /** Named steps, so that a test can fail or stop at each. */
  readonly onStep?: (step: SealStep) => Promise<void> | void
  readonly onProgress?: (statements: number) => void
}

export type SealStep = "sealer" | "cut" | "computed" | "stored" | "committed" | "published"

export type SealResult =
  | { readonly kind: "sealed"; readonly block: SealedBlock }
  /** Nothing to seal, or another sealer has sealed this slot. */
  | { readonly kind: "nothing"; readonly reason: "no-statements" | "slot-is-sealed" }

export interface SealedBlock {
  readonly manifest: Manifest
  readonly summary: Summary
  /** Leaves of the checkpoint: the manifest's index + 1. */
  readonly treeSize: number
  readonly treeRoot: Hash
  readonly tookMs: number
}

interface LastBlock {
  readonly height: number
  readonly toMs: number
  readonly size: number
  readonly manifestId: number
  /** On the operator's chain. */
  readonly manifestSeq: number
}

/** A block while it is computed: what it commits to, and what is kept of it. */
interface GrowingBlock {
  readonly builder: BlockBuilder
  readonly tiles: TileWriter
  readonly leaves: LeafWriter
  readonly arrivals: TileCollector
}

interface Cut {
  readonly last: LastBlock | null
  readonly operator: OperatorHead
  readonly idMax: number
  readonly manifestId: number
  readonly clockMs: number
}

/** Seals what is unsealed, publishes it, and says what it did. Rejects with nothing half done: the next call goes on. */
export async function seal(options: SealOptions): Promise<SealResult> {
  const { pool, keys, dataFolder } = options
  const startedAt = performance.now()
  await checkPublished(pool, dataFolder, keys)
  await claimPublication(pool, dataFolder)
  await makePartitions(pool)
  const client = await pool.connect()
  client.on("error", ignore)
  let broken: Error | undefined
  let sealed: SealedBlock | "no-statements" | "slot-is-sealed"
  try {
    sealed = await sealInTransaction(client, options, startedAt)
  } catch (error) {
    broken = error as Error
    await client.query("rollback").then(() => (broken = undefined), ignore)
    throw error
  } finally {
    client.off("error", ignore)
    client.release(broken)
  }
  // A crash here: the block is the truth, and the next start or seal publishes it: same name, same bytes.
  await publishLast(pool, dataFolder)
  await options.onStep?.("published")
  return typeof sealed === "string" ? { kind: "nothing", reason: sealed } : { kind: "sealed", block: sealed }
}

async function sealInTransaction(
  client: PoolClient,
  options: SealOptions,
  startedAt: number,
): Promise<SealedBlock | "no-statements" | "slot-is-sealed"> {
  const { keys } = options
  // Whatever the statistics say: entries are read by their key. Without any, the planner sorted all of them for each page.
  await begin(
    client,
    "set local enable_sort = off; set local enable_seqscan = off; set local enable_bitmapscan = off",
  )
  // One sealer at a time. A second one waits here, holding nothing that a writer needs, and then finds less to do.
  await client.query("select pg_advisory_xact_lock($1)", [locks.sealer])
  await options.onStep?.("sealer")
  const cut = await makeCut(client, options)
  // A crash here: nothing happened.
  await options.onStep?.("cut")
  if (options.slotMs !== undefined && cut.last !== null && cut.last.toMs >= options.slotMs) {
    await client.query("rollback")
    return "slot-is-sealed"
  }
  const { count } = await countUnsealed(client, cut)
  if (count === 0 && options.isEmptyAllowed !== true) {
    await client.query("rollback")
    return "no-statements"
  }

  const tiles = await TileWriter.open(client, cut.last?.size ?? 0)
  const { tree } = tiles
  const start = {
    binding: options.keys.binding,
    height: cut.last === null ? 0 : cut.last.height + 1,
    fromMs: cut.last?.toMs ?? (await readFirstArrival(client)),
    tree,
    blocks: await readManifestTree(client),
    heads: await readSealedHeads(client),
  }
  const builder = new BlockBuilder(start, sha256Native)
  const leaves = new LeafWriter(client, tree.size)
  const arrivals = new TileCollector(1)
  await addStatements(client, cut, { builder, tiles, leaves, arrivals }, options)
  // A crash here: nothing happened.
  await options.onStep?.("computed")

  const salt = (options.random ?? randomBytes)(saltSize)
  const toMs = Math.max(cut.clockMs, builder.toMsMin())
  builder.moveHeads()
  const headsRoot = await computeHeadsRoot(start, keys)
  const manifest = builder.manifest({ toMs, salt, headsRoot })
  const payload = encodeManifest(manifest)
  const [entry] = await appendOperator(client, keys, cut.operator, [
    { id: cut.manifestId, sub: "block", content: contentBlock, payload, receivedAtMs: toMs },
  ])
  tree.append(hashLeaf(entry!, sha256Native), tiles.keep)
  await tiles.finish()
  const treeRoot = tree.root()
  const summary = builder.summary()
  leaves.add(cut.manifestId)
  await leaves.finish()
  await insertBlock(client, manifest, summary, salt, cut.manifestId)
  await insertArrivalTiles(client, start.height, arrivals)
  await insertSealedHeads(
    client,
    start.height,
    [...builder.moved].map((device) => start.heads.get(device)!),
  )
  const note = signCheckpoint({ origin: keys.origin, size: tree.size, root: treeRoot }, keys.log)
  await client.query(
    "insert into checkpoints (height, size, root, note, receipt_signature) values ($1, $2, $3, $4, $5)",
    [
      manifest.height,
      tree.size,
      treeRoot,
      note,
      signReceiptTree(keys.origin, tree.size, treeRoot, keys.receipt),
    ],
  )
  // A crash here: nothing happened, and nothing has left the process. The height is a primary key: of two sealers that
  // got here by different connections one fails, and it is the compare-and-swap from the block before to this one.
  await options.onStep?.("stored")
  await client.query("commit")
  // A crash here, or a lost answer to the commit: the block is the truth and is read back, never planned again.
  await options.onStep?.("committed")
  return { manifest, summary, treeSize: tree.size, treeRoot, tookMs: performance.now() - startedAt }
}

/**
 * The cut: a second connection takes the seal lock exclusive, which waits for every writer that has taken an id. Only
 * then this one locks the operator's chain and reads the highest id and the clock, each with a snapshot of its own (one
 * connection with one snapshot would have missed a writer that it had waited for). The manifest's id is taken here too,
 * so that id order is leaf order.
 */
async function makeCut(client: PoolClient, { pool, keys }: SealOptions): Promise<Cut> {
  const barrier = await pool.connect()
  barrier.on("error", ignore)
  try {
    await begin(barrier)
    await barrier.query("select pg_advisory_xact_lock($1)", [locks.seal])
    // No writer is under way, so nobody holds this lock; an enrolment that comes now waits until the block is committed
    // (in between it would take the manifest's seq).
    const operator = await lockOperator(client, keys.origin)
    const last = await readLastBlock(client)
    const { rows } = await client.query<{ id: number | null }>("select max(id) as id from entries")
    const clockMs = await readClock(client)
    const [manifestId] = await takeIds(client, 1)
    return { last, operator, idMax: rows[0]?.id ?? 0, manifestId: manifestId!, clockMs }
  } finally {
    const isDone = await barrier.query("commit").then(
      () => true,
      () => false,
    )
    barrier.off("error", ignore)
    // A barrier that cannot be lifted by a commit is lifted by closing its connection.
    barrier.release(!isDone)
  }
}

async function readLastBlock(client: PoolClient): Promise<LastBlock | null> {
  const { rows } = await client.query<LastBlock>(
    `select height, to_ms as "toMs", size + 1 as size, manifest_id as "manifestId", e.seq as "manifestSeq"
     from blocks join entries e on e.id = manifest_id order by height desc limit 1`,
  )
  return rows[0] ?? null
}

async function countUnsealed(client: PoolClient, cut: Cut): Promise<{ count: number }> {
  const { rows } = await client.query<{ count: number }>(
    "select count(*) as count from (select from entries where id > $1 and id <= $2 limit 1) e",
    [cut.last?.manifestId ?? 0, cut.idMax],
  )
  return rows[0]!
}

/** The log begins with its policy. */
async function readFirstArrival(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ ms: number }>(
    "select (extract(epoch from received_at) * 1000)::bigint as ms from entries order by id limit 1",
  )
  return rows[0]?.ms ?? 0
}

async function readManifestTree(client: PoolClient): Promise<Frontier> {
  const { rows } = await client.query<{ entry: Uint8Array }>(
    "select e.entry from blocks b join entries e on e.id = b.manifest_id order by b.height",
  )
  const blocks = new Frontier(sha256Native)
  for (const { entry } of rows) blocks.append(hashLeaf(entry, sha256Native))
  return blocks
}

/** heads(N-1): what the blocks so far committed to, never `chain_heads`, which has moved on. */
async function readSealedHeads(client: PoolClient): Promise<Map<string, SealedHead>> {
  const rows = new CopiedRows()
  await copyOut(
    client,
    `select d.device_id, h.seq, h.entry, h.registry from devices d
     cross join lateral (select seq, entry, registry from sealed_heads s
                         where s.device_id = d.device_id order by height desc limit 1) h`,
    rows,
  )
  const breath = new Breath()
  const heads = new Map<string, SealedHead>()
  while (rows.next()) {
    const device = rows.text()
    const seq = rows.int8()
    heads.set(device, { device, seq, entry: parseHash(rows.view()), registry: parseHash(rows.view()) })
    if (heads.size % stride === 0 && breath.isDue) await breath.take()
  }
  return heads
}

/** Statements, or devices, between two looks at the clock: each costs a few µs, but those of the operator. */
const stride = 32

/** Takes the block's statements in, and writes what they complete: in memory of a few pages. */
async function addStatements(
  client: PoolClient,
  cut: Cut,
  block: GrowingBlock,
  { keys, onProgress }: SealOptions,
): Promise<void> {
  const { builder, tiles, leaves, arrivals } = block
  const { last, idMax } = cut
  const range = {
    after: last?.manifestId ?? 0,
    last: idMax,
    origin: keys.origin,
    operatorSeq: last?.manifestSeq ?? 0,
  }
  const pages = new EntryPages(client, range)
  const operator = new OperatorStatements(client, range)
  const breath = new Breath()
  let done = 0
  for (let next = pages.fetch(); ;) {
    const count = await next
    await tiles.flush()
    await leaves.flush()
    if (count === 0) return
    pages.turn()
    next = pages.fetch()
    next.catch(ignore)
    for (let entry = pages.next(); entry !== null; entry = pages.next()) {
      const { id, seq, statement } = entry
      const isOperator = statement.origin.kind === "operator"
      builder.add(
        isOperator ? { ...statement, origin: await operator.next(seq) } : statement,
        tiles.keep,
        arrivals.keep,
      )
      leaves.add(id)
      done += 1
      // Of an enrolment the key is looked at, which takes half a millisecond.
      if ((isOperator || done % stride === 0) && breath.isDue) await breath.take()
    }
    onProgress?.(done)
  }
}

/** Over every enrolled device; of many in pieces, as above. */
async function computeHeadsRoot({ heads, height }: BlockStart, keys: SealKeys): Promise<Hash> {
  const places: MapPlace[] = []
  const breath = new Breath()
  for (const head of heads.values()) {
    places.push(mapPlaceOf(head, keys.headsSecret, height, sha256Native, hmacNative))
    if (places.length % stride === 0 && breath.isDue) await breath.take()
  }
  return mapRootOf(places, sha256Native)
}

async function insertBlock(
  client: PoolClient,
  manifest: Manifest,
  summary: Summary,
  salt: Uint8Array,
  manifestId: number,
): Promise<void> {
  await client.query(
    `insert into blocks (height, from_ms, to_ms, first_leaf, size, root, heads_root, blocks_root, arrivals_root, summary,
                         salt, devices, statements, readings, earliest_ms, latest_ms, manifest_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
    [
      manifest.height,
      manifest.fromMs,
      manifest.toMs,
      manifest.firstLeaf,
      manifest.size,
      manifest.root,
      manifest.headsRoot,
      manifest.blocksRoot,
      manifest.arrivalsRoot,
      manifest.summary,
      salt,
      summary.devices,
      summary.statements,
      summary.readings,
      summary.earliestMs,
      summary.latestMs,
      manifestId,
    ],
  )
}

async function insertSealedHeads(
  client: PoolClient,
  height: number,
  heads: readonly SealedHead[],
): Promise<void> {
  const rows = new CopyRows()
  for (const { device, seq, entry, registry } of heads) {
    rows.row(5)
    rows.text(device)
    rows.int8(height)
    rows.int8(seq)
    rows.bytes(entry)
    rows.bytes(registry)
  }
  await copyRows(client, "sealed_heads (device_id, height, seq, entry, registry)", rows)
}

function ignore(): void {}
