/**
 * The audit (promise 6): every row that evidence rests on, computed again from what was signed, by the same functions
 * as ingest. One pass over the statements in order of their ids, in memory of the devices and not of the statements. It
 * can begin behind any block, end with one, and open one device's statements only.
 *
 * A statement of 60 readings costs 87 us of processor time on a machine with other things to do: its signature 55 on a
 * thread of its own, all else here 21, and Postgres 11; and the program 1 s once. It was 119 when each page's rows were
 * made as objects first and each signature was a promise.
 */
import type { BlockStatement } from "../chain/block.ts"
import { formatBase64 } from "../chain/bytes.ts"
import { protocolVersion } from "../chain/genesis.ts"
import { formatVkey } from "../chain/note.ts"
import { contentBlock, decodeStatement } from "../chain/statement.ts"
import type { AuditOptions, AuditRange } from "./audit-options.ts"
import type { AuditedPlace } from "./audited.ts"
import { auditBeginning } from "./beginning.ts"
import { BlockAudit } from "./blocks.ts"
import { Chains } from "./chains.ts"
import { CheckpointAudit } from "./checkpoints.ts"
import { auditCosignatures } from "./cosignatures.ts"
import { Findings } from "./finding.ts"
import { LeafAudit } from "./leaves.ts"
import { auditForks } from "./forks.ts"
import { learnRegistryPlace } from "./registry-place.ts"
import { auditRegistryRows } from "./registry-rows.ts"
import { type AuditResult, count } from "./report.ts"
import type { StatementRows } from "./source.ts"
import { type AuditStart, openStart } from "./start.ts"
import { type AuditedStatement, StatementAudit } from "./statements.ts"

export type { AuditMemory, AuditOptions, AuditProgress, AuditRange } from "./audit-options.ts"
export { type AuditResult, describeAudit, formatAudit } from "./report.ts"
export type { Finding } from "./finding.ts"

const everything: AuditRange = { from: 0, to: null, device: null }

/** Reads what was asked for and judges it. Rejects only where the source does. */
export async function audit(options: AuditOptions): Promise<AuditResult> {
  const findings = new Findings(options.isStoppingAtFirst ?? true, options.signatures)
  const { source, logKey, published, verify, range = everything } = options
  if (options.headsSecret === null)
    findings.remarks.push("the heads roots were not computed again: the heads secret is not here")
  if (options.digestKey === null)
    findings.remarks.push("entries.signed_digest was not checked: its key is not here")
  const firstCheckpoint = Math.max(range.from - 1, 0)
  const checkpoints = new CheckpointAudit(source, findings, logKey, published, verify, firstCheckpoint)
  let log: LogAudit | null = null
  let outcome: RunOutcome | null = null
  try {
    const opened = range.from === 0 ? null : await openStart(range.from, options, findings, checkpoints)
    if (opened?.kind === "absent") return absentBlock(range.from - 1, opened.blocks)
    if (opened?.kind !== "faulty") {
      log = new LogAudit(options, findings, checkpoints, opened?.start ?? null)
      outcome = await log.run()
    }
  } finally {
    await log?.close()
    await checkpoints.close()
  }
  const found = findings.list()
  if (log === null || outcome === null || found.length > 0)
    return { kind: "failed", findings: found, remarks: findings.remarks }
  return log.describe(outcome)
}

function absentBlock(asked: number, blocks: number): AuditResult {
  return { kind: "absent", rule: `there is no block ${asked}: the log has ${count(blocks, "block")}` }
}

/** `ended`: everything that was asked for was looked at, unless something was found. */
type RunOutcome = "ended" | "stopped" | "absent"

/** A statement for its block; `row` is what it is called. */
interface PlacedStatement {
  readonly row: string
  readonly forBlock: BlockStatement
}

class LogAudit {
  private readonly options: AuditOptions
  private readonly range: AuditRange
  private readonly findings: Findings
  private readonly checkpoints: CheckpointAudit
  private readonly after: bigint | null
  private readonly blocks: BlockAudit
  private readonly leaves: LeafAudit
  private chains: Chains | null
  private judge: StatementAudit | null
  private manifestIdMax: bigint | null = null
  private blockIdMax: bigint | null = null
  private statements: number
  private readings: number
  private unsealed = 0
  /** The end of the last block that was computed; null where none was. */
  private place: AuditedPlace | null = null
  private isKept = false

  constructor(
    options: AuditOptions,
    findings: Findings,
    checkpoints: CheckpointAudit,
    start: AuditStart | null,
  ) {
    const { source, headsSecret, sha256: hash, hmac, range = everything } = options
    this.options = options
    this.range = range
    this.findings = findings
    this.checkpoints = checkpoints
    this.after = start?.manifestId ?? null
    this.chains = start?.chains ?? null
    this.judge = start?.judge ?? null
    this.statements = range.behind?.statements ?? 0
    this.readings = range.behind?.readings ?? 0
    this.leaves = new LeafAudit(source, findings, start?.block.tree.size ?? 0, this.after)
    this.blocks = new BlockAudit({
      source,
      findings,
      checkpoints,
      headsSecret,
      start: start?.block ?? null,
      binding: { logVkey: formatVkey(options.logKey), version: protocolVersion },
      ...(hash === undefined ? {} : { hash }),
      ...(hmac === undefined ? {} : { hmac }),
    })
  }

  async run(): Promise<RunOutcome> {
    const { findings, range } = this
    await this.blocks.begin()
    const outcome = await this.readStatements()
    await findings.settle(true)
    if (this.chains === null && findings.count === 0)
      findings.add("entries", null, "the log", "has no statement: not even the policy with which it begins")
    // What the database says of now is not what it said at the end of an earlier block.
    if (outcome === "ended" && range.to === null && this.chains !== null) await this.finish(this.chains)
    await this.remember()
    return outcome === "ended" && range.to !== null && this.blocks.height <= range.to ? "absent" : outcome
  }

  /** What stands beyond the last block, and the rows that say how everything stands now. */
  private async finish(chains: Chains): Promise<void> {
    const { findings, options } = this
    const { source } = options
    for (const finish of [
      () => this.blocks.finish(),
      () => this.leaves.finish(),
      () => auditRegistryRows(source, chains, findings, options.sha256),
      () => auditForks(source.forks(), chains, findings, options),
      () => auditCosignatures(source, findings, options.verify),
    ]) {
      if (findings.isDone) return
      findings.nextRow()
      await finish()
    }
  }

  private async readStatements(): Promise<RunOutcome> {
    const { source, onProgress, isStopped } = this.options
    const { findings, range, after } = this
    const total = await source.countEntries(after, range.to)
    this.blockIdMax = await source.readManifestIdMax()
    this.manifestIdMax = await this.findLastManifest()
    const devices = range.device === null ? null : new Set([this.options.logKey.name, range.device])
    let done = 0
    let entries = 0
    for await (const page of source.statements({ after, devices })) {
      for (const rows of page) {
        findings.nextRow()
        done += 1
        if (rows.entry !== null) entries += 1
        const waiting = this.auditRows(rows)
        if (waiting !== null) await waiting
        if (findings.isDone || (this.chains === null && findings.count > 0)) return "ended"
        if (waiting === null) continue
        if (range.to !== null && this.blocks.height > range.to) return "ended"
        // Looked at with what is waited for, such as the end of a block, and with each page.
        if (isStopped?.() === true) return "stopped"
      }
      await findings.settle(false)
      onProgress?.({ done, total, height: this.blocks.height })
      // Without a policy nobody's signature can be checked.
      if (findings.isDone || this.chains === null) return "ended"
      if (isStopped?.() === true) return "stopped"
    }
    // Ids are unique only as long as the constraint stands.
    if (range.to === null && entries !== total)
      findings.add("entries", "id", "the log", `has ${total} entries under ${entries} ids`)
    return "ended"
  }

  /** The last statement of the operator's chain that is a manifest: what is above it is not sealed yet. */
  private async findLastManifest(): Promise<bigint | null> {
    const origin = this.options.logKey.name
    for await (const { id, bytes } of this.options.source.chainBackwards(origin)) {
      const decoded = bytes === null ? null : decodeStatement(bytes, origin)
      if (decoded?.kind === "statement" && decoded.statement.content === contentBlock) return id
    }
    return null
  }

  /** Null where there is nothing to wait for, as for most: to wait for nothing cost 1 µs a statement. */
  private auditRows(rows: StatementRows): Promise<void> | null {
    if (this.judge === null || this.range.device !== null) return this.auditSlowly(rows)
    const audited = this.judge.audit(rows)
    return audited === null ? null : this.placeAudited(rows.id, audited)
  }

  /** The first statement, and those of which some are not opened. */
  private async auditSlowly(rows: StatementRows): Promise<void> {
    const { findings, options } = this
    if (rows.entry !== null && this.judge === null) {
      const beginning = await auditBeginning(rows, options, findings)
      this.chains = beginning?.chains ?? null
      this.judge = beginning?.judge ?? null
      this.checkpoints.receiptKey = beginning?.policy.receiptKey ?? null
      if (beginning !== null) this.blocks.binding = beginning.policy
    }
    // A row without an entry, before the first that has one.
    const judge = this.judge ?? (rows.entry === null ? this.judgeOfNobody() : null)
    if (judge === null) return
    if (!rows.isWhole && rows.entry !== null) {
      const glanced = judge.glance(rows.entry)
      if (glanced !== null && (await this.isSealed(rows.id))) await this.add(rows.id, glanced)
      else this.unsealed += 1
      return
    }
    if (this.range.device !== null) await this.learnPlace(rows)
    const audited = judge.audit(rows)
    if (audited !== null) await this.placeAudited(rows.id, audited)
  }

  /** Of a device whose statements are not opened, what the operator's rest on. */
  private async learnPlace(rows: StatementRows): Promise<void> {
    const { chains, range } = this
    const { source, verify } = this.options
    if (chains === null || rows.entry?.deviceId !== chains.origin) return
    await learnRegistryPlace(rows, { chains, source, isHeadKnown: true, except: range.device, verify })
  }

  private judgeOfNobody(): StatementAudit {
    const { logKey, digestKey } = this.options
    const binding = { logVkey: formatVkey(logKey), version: protocolVersion }
    const chains = new Chains({ origin: logKey.name, operatorKey: logKey.publicKey, ...binding })
    return new StatementAudit({ findings: this.findings, chains, digestKey })
  }

  /** The statement in its block and at its leaf, or among those that wait. */
  private placeAudited(id: bigint, audited: AuditedStatement): Promise<void> | null {
    const { row, forBlock } = audited
    if (forBlock === "manifest") return this.endBlock(id, audited)
    if (forBlock.origin.kind === "device") {
      this.statements += 1
      this.readings += forBlock.origin.readings
    }
    if (this.isBelowManifest(id)) return this.add(id, { row, forBlock })
    return this.placeUnsealed(id, { row, forBlock })
  }

  private async placeUnsealed(id: bigint, placed: PlacedStatement): Promise<void> {
    if (await this.isSealed(id)) await this.add(id, placed)
    else this.unsealed += 1
  }

  private add(id: bigint, { row, forBlock }: PlacedStatement): Promise<void> | null {
    const leaf = this.leaves.add(id, row)
    return leaf === null
      ? this.blocks.add(forBlock, row)
      : leaf.then(() => this.blocks.add(forBlock, row) ?? undefined)
  }

  private isBelowManifest(id: bigint): boolean {
    return this.manifestIdMax !== null && id <= this.manifestIdMax
  }

  /**
   * Sealed is what stands at or below the last manifest of the operator's chain. Where that one cannot be read, `blocks`
   * says how far it went, for statements that have a leaf: either may have been changed, and the right row is named.
   */
  private async isSealed(id: bigint): Promise<boolean> {
    if (this.isBelowManifest(id)) return true
    return this.blockIdMax !== null && id <= this.blockIdMax && (await this.leaves.covers(id))
  }

  private async endBlock(id: bigint, audited: AuditedStatement): Promise<void> {
    const { row, statement, entry, receivedAtMs } = audited
    if (!(await this.isSealed(id))) {
      this.unsealed += 1
      return
    }
    await this.leaves.add(id, row)
    await this.blocks.end({ id, row, entry, payload: statement.payload, iat: statement.iat, receivedAtMs })
    await this.leaves.endBlock(this.blocks.tree.size)
    await this.notePlace()
  }

  private async notePlace(): Promise<void> {
    const { blocks, statements, readings, findings } = this
    const { memory, nowMs = () => 0 } = this.options
    const { size } = blocks.tree
    const place = { height: blocks.height - 1, size, root: blocks.tree.root(), statements, readings }
    this.place = { ...place, auditedAtMs: nowMs() }
    if (memory === undefined || !memory.isDue()) return
    await findings.settle(true)
    if (findings.count > 0) return
    await memory.keep(this.place)
    this.isKept = true
  }

  /** At the end. A place that was kept on the way, with nothing found up to it, stays true whatever was found behind it. */
  private async remember(): Promise<void> {
    const { memory } = this.options
    if (this.findings.count === 0 && this.place !== null) await memory?.keep(this.place)
    if (this.findings.count > 0 && !this.isKept && this.range.behind === undefined) await memory?.forget()
  }

  describe(outcome: RunOutcome): AuditResult {
    const { statements, readings, unsealed, blocks, range } = this
    const { remarks } = this.findings
    if (outcome === "absent") return absentBlock(range.to ?? range.from, blocks.height)
    if (range.device !== null && this.chains?.find(range.device) == null)
      return { kind: "absent", rule: `there is no device ${range.device}: the operator never enrolled one` }
    const audited = { statements, readings, remarks, range }
    if (outcome === "stopped") return { kind: "stopped", ...audited, blocks: blocks.height }
    return {
      kind: "passed",
      ...audited,
      blocks: blocks.height,
      devices: this.chains?.devices.size ?? 0,
      treeSize: blocks.tree.size,
      root: formatBase64(blocks.tree.root()),
      unsealed,
    }
  }

  async close(): Promise<void> {
    await this.blocks.close()
    await this.leaves.close()
  }
}
