/**
 * Where an audit begins that does not begin with the log: the end of a block. What stands there is not believed of the
 * database. The operator's chain is followed from its policy on; the block's manifest, which is on it, signs the tree, the
 * blocks before and where every device stood; and the log's key signed the same tree. It costs the devices and the blocks,
 * not their statements: those before are not looked at.
 */
import { FormatFault } from "../chain/cbor.ts"
import { equalBytes } from "../chain/bytes.ts"
import { type BlockStart, type Manifest, decodeManifest } from "../chain/block.ts"
import { type Hash, parseHash } from "../chain/hash.ts"
import { type SealedHead, headsRootOf } from "../chain/heads.ts"
import { LogFault, TiledTree } from "../chain/log-reader.ts"
import { Frontier, coverRange, hashLeaf } from "../chain/merkle.ts"
import type { AuditOptions } from "./audit-options.ts"
import { type Beginning, auditBeginning } from "./beginning.ts"
import type { Chains } from "./chains.ts"
import type { CheckpointAudit } from "./checkpoints.ts"
import type { Findings } from "./finding.ts"
import { learnRegistryPlace } from "./registry-place.ts"

export interface AuditStart extends Beginning {
  /** Of the manifest behind which the audit begins. */
  readonly manifestId: bigint
  readonly block: BlockStart
}

/** `faulty`: what was found says why it cannot begin there. `absent`: the log has only so many blocks. */
export type OpenedStart =
  | { readonly kind: "start"; readonly start: AuditStart }
  | { readonly kind: "faulty" }
  | { readonly kind: "absent"; readonly blocks: number }

/** A manifest of the operator's chain. */
interface PastBlock {
  readonly id: bigint
  readonly row: string
  readonly entry: Hash
  readonly manifest: Manifest
}

/** @param height of the first block that is looked at, above 0 */
export async function openStart(
  height: number,
  options: AuditOptions,
  findings: Findings,
  checkpoints: CheckpointAudit,
): Promise<OpenedStart> {
  const before = findings.count
  const past = await followOperator(height, options, findings)
  await findings.settle(true)
  if (past === null || findings.count > before) return { kind: "faulty" }
  const { beginning, blocks } = past
  const last = blocks.at(-1)
  if (last === undefined || blocks.length < height) {
    if (options.range?.behind === undefined) return { kind: "absent", blocks: blocks.length }
    const rule = `is not there, and was audited before: the database is behind, with ${blocks.length} of ${height} blocks`
    findings.add("blocks", null, `block ${height - 1}`, rule)
    return { kind: "faulty" }
  }
  checkpoints.receiptKey = beginning.policy.receiptKey
  const manifests = checkManifests(blocks, options, findings)
  const heads = await readHeads(last, beginning.chains, options, findings)
  const tree = findings.count > before ? null : await readTree(blocks, options, findings, checkpoints)
  if (tree === null || findings.count > before) return { kind: "faulty" }
  for (const head of heads) {
    const chain = beginning.chains.devices.get(head.device)!
    beginning.chains.advance(chain, head.seq, head.entry)
  }
  const block: BlockStart = {
    binding: beginning.policy,
    height,
    fromMs: last.manifest.toMs,
    tree,
    blocks: manifests,
    heads: new Map(heads.map((head) => [head.device, head])),
  }
  return { kind: "start", start: { ...beginning, manifestId: last.id, block } }
}

/** The operator's statements up to the manifest of block `height` - 1, each as the whole audit judges it. */
async function followOperator(
  height: number,
  options: AuditOptions,
  findings: Findings,
): Promise<{ readonly beginning: Beginning; readonly blocks: readonly PastBlock[] } | null> {
  const { source, logKey, verify } = options
  const blocks: PastBlock[] = []
  let beginning: Beginning | null = null
  for await (const page of source.chain(logKey.name)) {
    for (const rows of page) {
      findings.nextRow()
      beginning ??= await auditBeginning(rows, options, findings)
      if (beginning === null) return null
      const { chains, judge } = beginning
      await learnRegistryPlace(rows, { chains, source, isHeadKnown: false, except: null, verify })
      const audited = judge.audit(rows)
      if (findings.isDone) return null
      if (audited?.forBlock !== "manifest") continue
      const manifest = readManifest(audited.statement.payload, audited.row, findings)
      if (manifest === null) return null
      blocks.push({ id: rows.id, row: audited.row, entry: audited.entry, manifest })
      if (blocks.length === height) return { beginning, blocks }
    }
    await findings.settle(false)
    if (findings.isDone) return null
  }
  if (beginning !== null) return { beginning, blocks }
  findings.add("entries", null, "the log", "has no statement: not even the policy with which it begins")
  return null
}

function readManifest(payload: Uint8Array, row: string, findings: Findings): Manifest | null {
  try {
    return decodeManifest(payload)
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    findings.add("statements", "bytes", row, `is no manifest: ${error.rule}`)
    return null
  }
}

/** The tree of all these manifests, which the last one signs up to the one before it. */
function checkManifests(blocks: readonly PastBlock[], options: AuditOptions, findings: Findings): Frontier {
  const tree = new Frontier(options.sha256)
  let root = tree.root()
  for (const [height, { row, entry, manifest }] of blocks.entries()) {
    if (manifest.height !== height) {
      const rule = `is a manifest of height ${manifest.height}: one before it is missing, or it is too many`
      findings.add("statements", "bytes", row, rule)
    }
    root = tree.root()
    tree.append(hashLeaf(entry, options.sha256))
  }
  const { row, manifest } = blocks.at(-1)!
  if (!equalBytes(manifest.blocksRoot, root)) {
    const rule =
      "names another history of blocks: member 8 of the manifest is not the root over the manifests before"
    findings.add("statements", "bytes", row, rule)
  }
  return tree
}

/** Where every enrolled device stood, which the manifest signs: the registry that was followed, and the stored heads. */
async function readHeads(
  { row, manifest }: PastBlock,
  chains: Chains,
  { source, headsSecret, sha256: hash, hmac }: AuditOptions,
  findings: Findings,
): Promise<readonly SealedHead[]> {
  const heads: SealedHead[] = []
  const left = new Set(chains.devices.keys())
  for await (const stored of source.lastSealedHeads(manifest.height)) {
    const name = `head of device ${stored.deviceId} in block ${stored.height}`
    const say = (column: string | null, rule: string): void =>
      findings.add("sealed_heads", column, name, rule)
    const record = chains.devices.get(stored.deviceId)?.record
    if (record == null || !left.delete(stored.deviceId)) say(null, "is of a device that was never enrolled")
    else if (stored.entry.length !== 32 || stored.registry.length !== 32)
      say(null, "has hashes that are none")
    else if (!equalBytes(stored.registry, record.registry))
      say("registry", "is not the last registry statement about the device")
    else {
      const [entry, registry] = [parseHash(stored.entry), parseHash(stored.registry)]
      heads.push({ device: stored.deviceId, seq: stored.seq, entry, registry })
    }
  }
  for (const device of left)
    findings.add(
      "sealed_heads",
      null,
      `head of device ${device}`,
      `is missing up to block ${manifest.height}`,
    )
  if (headsSecret === null || heads.length < chains.devices.size) return heads
  if (!equalBytes(headsRootOf(heads, headsSecret, manifest.height, hash, hmac), manifest.headsRoot)) {
    const rule = `has a heads root that the stored heads of devices do not give: one of them was changed (${row})`
    findings.add("sealed_heads", null, `block ${manifest.height}`, rule)
  }
  return heads
}

/** The tree behind the last of these blocks, by the stored tiles: those give the root that its manifest signs. */
async function readTree(
  blocks: readonly PastBlock[],
  options: AuditOptions,
  findings: Findings,
  checkpoints: CheckpointAudit,
): Promise<Frontier | null> {
  const { source, range, sha256: hash } = options
  const { row, entry, manifest } = blocks.at(-1)!
  const { size, root, height } = manifest
  try {
    const reader = {
      readTile: async (level: number, index: number, width: number) => {
        const hashes = await source.readTile(level, index)
        return hashes?.subarray(0, 32 * width) ?? new Uint8Array(0)
      },
      readEntries: () => Promise.reject(new Error("no entry is read here")),
    }
    const tiled = await TiledTree.open(reader, { size, root }, hash)
    const nodes = await tiled.readNodes(coverRange(0, size))
    let next = 0
    const tree = Frontier.resume(size, () => nodes[next++]!, hash)
    for (const one of blocks.slice(0, -1)) {
      if (one.manifest.size + 1 === checkpoints.publishedSize)
        checkpoints.checkPublished(one.manifest.height, await tiled.readRoot(one.manifest.size + 1), false)
    }
    tree.append(hashLeaf(entry, hash))
    const behind = range?.behind
    if (behind !== undefined && (behind.size !== tree.size || !equalBytes(behind.root, tree.root()))) {
      const rule = "is not the history that was audited before: its tree has another root"
      findings.add("checkpoints", "root", `checkpoint of block ${height}`, rule)
    }
    await checkpoints.check(height, tree, row, false)
    return tree
  } catch (error) {
    if (!(error instanceof LogFault)) throw error
    const rule = `does not give the root that block ${height} signs: ${error.path} ${error.rule}`
    findings.add("tiles", "hashes", nameTile(error.path), rule)
    return null
  }
}

/** `tile/0/x001/234.p/5` as findings call it. */
function nameTile(path: string): string {
  const [, level = "", ...index] = path.replace(/\.p\/\d+$/, "").split("/")
  return `tile ${level}/${Number(index.join("").replaceAll("x", ""))}`
}
