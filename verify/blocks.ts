/** Blocks, computed again from their statements and laid beside the signed manifest and the rows of the database. */
import { equalBytes } from "../chain/bytes.ts"
import {
  BlockBuilder,
  type BlockStart,
  type BlockStatement,
  type Manifest,
  decodeManifest,
  hashSummary,
} from "../chain/block.ts"
import { FormatFault } from "../chain/cbor.ts"
import type { ChainBinding } from "../chain/genesis.ts"
import { type Hash, type Sha256, sha256 } from "../chain/hash.ts"
import { type Hmac, type SealedHead, headsRootOf, hmacSha256 } from "../chain/heads.ts"
import { Frontier, hashLeaf } from "../chain/merkle.ts"
import { TileCollector } from "../chain/tile.ts"
import { ArrivalTileAudit } from "./arrival-tiles.ts"
import { CheckpointAudit } from "./checkpoints.ts"
import type { Findings } from "./finding.ts"
import { Peekable } from "./peekable.ts"
import type { AuditSource, BlockRow, SealedHeadRow } from "./source.ts"
import { type TileDifference, TileAudit } from "./tiles.ts"

/** A manifest's statement, which was found good as a statement. */
export interface ManifestStatement {
  readonly id: bigint
  /** `statement 9 of the operator` */
  readonly row: string
  readonly entry: Hash
  readonly payload: Uint8Array
  readonly iat: number
  readonly receivedAtMs: number
}

interface BlockAuditOptions {
  readonly source: AuditSource
  readonly findings: Findings
  readonly checkpoints: CheckpointAudit
  readonly headsSecret: Uint8Array | null
  /** Where the first block that is looked at begins; null: with the log. */
  readonly start: BlockStart | null
  /** Where chains begin, as far as it is known before the policy is read. */
  readonly binding: ChainBinding
  readonly hash?: Sha256
  readonly hmac?: Hmac
}

export class BlockAudit {
  readonly tree: Frontier
  /** By the policy, once it is read. */
  binding: ChainBinding
  /** Of the block that is being computed. */
  height: number
  private readonly options: BlockAuditOptions
  private readonly findings: Findings
  private readonly hash: Sha256
  private readonly manifests: Frontier
  private readonly heads: Map<string, SealedHead>
  private readonly tiles: TileAudit
  private readonly arrivalTiles: ArrivalTileAudit
  private arrivals = new TileCollector(1)
  private readonly rows: Peekable<BlockRow>
  private readonly headRows: Peekable<SealedHeadRow>
  private builder: BlockBuilder | null = null
  private fromMs: number | null = null
  private findingsBefore = 0
  /** The leaves stopped giving the signed roots: named once, and true of every later block. */
  private isTreeLost = false
  private difference: { readonly tile: TileDifference; readonly row: string; readonly leaf: number } | null =
    null

  constructor(options: BlockAuditOptions) {
    const { source, findings, start, hash = sha256 } = options
    this.binding = start?.binding ?? options.binding
    this.options = options
    this.findings = findings
    this.hash = hash
    this.height = start?.height ?? 0
    this.fromMs = start?.fromMs ?? null
    this.tree = start?.tree ?? new Frontier(hash)
    this.manifests = start?.blocks ?? new Frontier(hash)
    this.heads = start?.heads ?? new Map<string, SealedHead>()
    this.tiles = new TileAudit(source, findings)
    this.arrivalTiles = new ArrivalTileAudit(source, findings, this.height)
    this.rows = new Peekable(source.blocks(this.height))
    this.headRows = new Peekable(source.sealedHeads(this.height))
  }

  /** Call it once, before all else. */
  async begin(): Promise<void> {
    if (this.options.start !== null) await this.tiles.resume(this.tree.size)
  }

  /** Takes a sealed statement in; `row` is what it is called. Null where there is nothing to wait for. */
  add(statement: BlockStatement, row: string): Promise<void> | null {
    const builder = this.open(statement.receivedAtMs)
    const prepared = this.tiles.prepare(this.tree.size)
    if (prepared !== null) return prepared.then(() => this.take(builder, statement, row))
    this.take(builder, statement, row)
    return null
  }

  private take(builder: BlockBuilder, statement: BlockStatement, row: string): void {
    const { origin } = statement
    // A statement of a device that was never enrolled has been named; without its head the block cannot be computed.
    if (origin.kind === "device" && !this.heads.has(origin.device)) return
    builder.add(statement, this.tiles.keep, this.arrivals.keep)
    this.noteDifference(row)
  }

  private open(receivedAtMs: number): BlockBuilder {
    if (this.builder !== null) return this.builder
    this.findingsBefore = this.findings.count
    this.arrivals = new TileCollector(1)
    // The first block begins with the log, which begins with its policy.
    this.fromMs ??= receivedAtMs
    const { binding, height, fromMs, tree, manifests: blocks, heads } = this
    this.builder = new BlockBuilder({ binding, height, fromMs, tree, blocks, heads }, this.hash)
    return this.builder
  }

  private noteDifference(row: string): void {
    const tile = this.tiles.takeDifference()
    if (tile !== null) this.difference ??= { tile, row, leaf: this.tree.size - 1 }
  }

  /** Ends the block with its manifest. */
  async end(statement: ManifestStatement): Promise<void> {
    const builder = this.open(statement.receivedAtMs)
    builder.moveHeads()
    const manifest = this.decode(statement)
    if (manifest !== null) {
      const row = await this.findRow(statement)
      this.checkManifest(manifest, statement, builder, row)
      if (row !== null) this.checkRow(row, manifest, statement, builder)
      await this.checkSealedHeads(builder)
    }
    await this.tiles.prepare(this.tree.size)
    this.tree.append(hashLeaf(statement.entry, this.hash), this.tiles.keep)
    this.noteDifference(statement.row)
    const isFound = this.findings.count > this.findingsBefore
    await this.options.checkpoints.check(this.height, this.tree, statement.row, this.isTreeLost || isFound)
    await this.arrivalTiles.check(this.height, this.arrivals, isFound)
    if (this.difference !== null) this.tiles.addDifference(this.difference.tile)
    this.difference = null
    this.manifests.append(hashLeaf(statement.entry, this.hash))
    this.fromMs = manifest?.toMs ?? statement.receivedAtMs
    this.height += 1
    this.builder = null
  }

  private decode({ payload, row }: ManifestStatement): Manifest | null {
    try {
      return decodeManifest(payload)
    } catch (error) {
      if (!(error instanceof FormatFault)) throw error
      this.findings.add("statements", "bytes", row, `is no manifest: ${error.rule}`)
      return null
    }
  }

  private async findRow({ row }: ManifestStatement): Promise<BlockRow | null> {
    for (let next = await this.rows.peek(); next !== null; next = await this.rows.peek()) {
      if (next.height > this.height) break
      await this.rows.take()
      if (next.height === this.height) return next
      this.findings.add("blocks", null, `block ${next.height}`, "has no signed manifest")
    }
    this.findings.add("blocks", null, `block ${this.height}`, `is missing: ${row} is its manifest`)
    return null
  }

  /** The signed manifest beside what the statements give. */
  private checkManifest(
    manifest: Manifest,
    statement: ManifestStatement,
    builder: BlockBuilder,
    row: BlockRow | null,
  ): void {
    const { findings } = this
    const block = `block ${this.height}`
    const say = (table: string, column: string, rule: string): void =>
      findings.add(table, column, block, rule)
    // The salt only opens the summary, and the heads are compared apart, where the secret is known.
    const { headsSecret, hmac = hmacSha256 } = this.options
    const computed = builder.manifest({
      toMs: manifest.toMs,
      salt: row?.salt ?? new Uint8Array(0),
      headsRoot:
        headsSecret === null
          ? manifest.headsRoot
          : headsRootOf(this.heads.values(), headsSecret, this.height, this.hash, hmac),
    })
    if (manifest.height !== computed.height)
      say(
        "statements",
        "bytes",
        `has a manifest of height ${manifest.height}: one before it is missing, or it is too many`,
      )
    if (manifest.fromMs !== computed.fromMs)
      say("statements", "bytes", "does not begin where the block before it ended (member 2 of the manifest)")
    if (manifest.firstLeaf !== computed.firstLeaf || manifest.size !== computed.size)
      say(
        "statements",
        "bytes",
        `has leaves ${manifest.firstLeaf} to ${manifest.size - 1} by its manifest, and ${computed.firstLeaf} to ${computed.size - 1} in the database`,
      )
    if (!equalBytes(manifest.root, computed.root)) this.addTreeDifference(block)
    if (!equalBytes(manifest.blocksRoot, computed.blocksRoot))
      say(
        "statements",
        "bytes",
        "names another history of blocks: member 8 of the manifest is not the root over the manifests before",
      )
    if (manifest.toMs < builder.toMsMin())
      say(
        "entries",
        "received_at",
        "holds a statement that arrived after the block's end, so its arrival was changed",
      )
    else if (!equalBytes(manifest.arrivalsRoot, computed.arrivalsRoot))
      say(
        "entries",
        "received_at",
        "has an arrivals root that its statements' arrivals do not give: at least one of them was changed",
      )
    if (!equalBytes(manifest.headsRoot, computed.headsRoot))
      say(
        "statements",
        "bytes",
        "has a heads root that its statements do not give with this log's heads secret",
      )
    if (statement.receivedAtMs !== manifest.toMs)
      findings.add(
        "entries",
        "received_at",
        statement.row,
        "is not the end of its block (member 3 of the manifest)",
      )
    if (statement.iat !== Math.floor(manifest.toMs / 1000))
      findings.add(
        "statements",
        "bytes",
        statement.row,
        "has an iat that is not the block's end in whole seconds",
      )
  }

  /** The leaves do not give the signed root. The stored tiles, which do, say which leaf. */
  private addTreeDifference(block: string): void {
    // A statement that was found bad explains its tree, and all that grew on it.
    const isExplained = this.isTreeLost || this.findings.count > this.findingsBefore
    this.isTreeLost = true
    if (isExplained) return
    const { difference } = this
    if (difference === null || difference.tile.level !== 0)
      this.findings.add(
        "entries",
        "entry",
        block,
        "has a tree root that its statements do not give: at least one of them was changed, added or left out",
      )
    else
      this.findings.add(
        "entries",
        "entry",
        difference.row,
        `is not what was sealed as leaf ${difference.leaf} (${block})`,
      )
    this.difference = null
  }

  /** The row of `blocks` beside the signed manifest; what the manifest only has a digest of beside the statements. */
  private checkRow(
    row: BlockRow,
    manifest: Manifest,
    statement: ManifestStatement,
    builder: BlockBuilder,
  ): void {
    const block = `block ${this.height}`
    const signed: readonly [string, number | Uint8Array, number | Uint8Array][] = [
      ["from_ms", row.fromMs, manifest.fromMs],
      ["to_ms", row.toMs, manifest.toMs],
      ["first_leaf", row.firstLeaf, manifest.firstLeaf],
      ["size", row.size, manifest.size],
      ["root", row.root, manifest.root],
      ["heads_root", row.headsRoot, manifest.headsRoot],
      ["blocks_root", row.blocksRoot, manifest.blocksRoot],
      ["arrivals_root", row.arrivalsRoot, manifest.arrivalsRoot],
      ["summary", row.summary, manifest.summary],
    ]
    for (const [column, stored, expected] of signed) {
      const isSame =
        typeof stored === "number" || typeof expected === "number"
          ? stored === expected
          : equalBytes(stored, expected)
      if (!isSame) this.findings.add("blocks", column, block, "differs from the signed manifest")
    }
    if (row.manifestId !== statement.id)
      this.findings.add("blocks", "manifest_id", block, `is not the id of its manifest, ${statement.row}`)
    const summary = builder.summary()
    const opened: readonly [string, number | null, number | null][] = [
      ["devices", row.devices, summary.devices],
      ["statements", row.statements, summary.statements],
      ["readings", row.readings, summary.readings],
      ["earliest_ms", row.earliestMs, summary.earliestMs],
      ["latest_ms", row.latestMs, summary.latestMs],
    ]
    for (const [column, stored, expected] of opened) {
      if (stored !== expected)
        this.findings.add("blocks", column, block, "differs from what its statements give")
    }
    if (!equalBytes(hashSummary(summary, row.salt, this.hash), manifest.summary))
      this.findings.add("blocks", "salt", block, "does not open the summary that the manifest signs")
  }

  /** A row for each device whose head or registry this block moved, and no other. */
  private async checkSealedHeads(builder: BlockBuilder): Promise<void> {
    const { findings } = this
    const left = new Set([...builder.moved].filter((device) => this.heads.has(device)))
    for (
      let row = await this.headRows.peek();
      row !== null && row.height <= this.height;
      row = await this.headRows.peek()
    ) {
      await this.headRows.take()
      const name = nameOfSealedHead(row)
      const head = this.heads.get(row.deviceId)
      if (row.height < this.height || head === undefined || !left.delete(row.deviceId)) {
        findings.add("sealed_heads", null, name, "is of a device that this block did not move")
        continue
      }
      if (row.seq !== head.seq)
        findings.add("sealed_heads", "seq", name, `is not ${head.seq}, where the block left it`)
      if (!equalBytes(row.entry, head.entry))
        findings.add("sealed_heads", "entry", name, "is not the device's last entry in the block")
      if (!equalBytes(row.registry, head.registry))
        findings.add("sealed_heads", "registry", name, "is not the last registry statement about the device")
    }
    for (const deviceId of [...left].toSorted())
      findings.add("sealed_heads", null, nameOfSealedHead({ deviceId, height: this.height }), "is missing")
  }

  /** What is stored beyond the last manifest. */
  async finish(): Promise<void> {
    for (let row = await this.rows.take(); row !== null; row = await this.rows.take())
      this.findings.add("blocks", null, `block ${row.height}`, "has no signed manifest")
    for (let row = await this.headRows.take(); row !== null; row = await this.headRows.take())
      this.findings.add(
        "sealed_heads",
        null,
        nameOfSealedHead(row),
        "is of a block that has no signed manifest",
      )
    await this.options.checkpoints.finish()
    await this.tiles.finish(this.tree.size)
    await this.arrivalTiles.finish()
  }

  async close(): Promise<void> {
    await this.rows.close()
    await this.headRows.close()
    await this.tiles.close()
    await this.arrivalTiles.close()
  }
}

function nameOfSealedHead({ deviceId, height }: Pick<SealedHeadRow, "deviceId" | "height">): string {
  return `head of device ${deviceId} in block ${height}`
}
