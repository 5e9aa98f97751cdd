/**
 * The audit (promise 6): every row that evidence rests on, computed again from what was signed, by the same functions
 * as ingest. One pass over the statements in order of their ids, in memory of the devices and not of the statements.
 * 20,000 statements of 60 readings cost 6.6 s of processor time, of which their signatures 3.1 s (Ed25519, node:crypto,
 * on libuv's threads beside this one).
 */
import { FormatFault } from "../chain/cbor.ts"
import { formatBase64, equalBytes } from "../chain/bytes.ts"
import type { Sha256 } from "../chain/hash.ts"
import type { Hmac } from "../chain/heads.ts"
import { encodeCoseKey } from "../chain/key.ts"
import { type NoteKey, formatVkey } from "../chain/note.ts"
import { type Policy, decodePolicy } from "../chain/policy.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import { contentBlock, contentPolicy, decodeStatement } from "../chain/statement.ts"
import { BlockAudit } from "./blocks.ts"
import { Chains } from "./chains.ts"
import { CheckpointAudit } from "./checkpoints.ts"
import { auditCosignatures } from "./cosignatures.ts"
import { Findings } from "./finding.ts"
import { LeafAudit } from "./leaves.ts"
import { auditForks } from "./forks.ts"
import { auditRegistryRows } from "./registry-rows.ts"
import type { AuditResult } from "./report.ts"
import type { AuditSource, LogRow, StatementRows } from "./source.ts"
import {
  type AuditedStatement,
  StatementAudit,
  type VerifyEquationAsync,
  nameStatement,
} from "./statements.ts"

export { type AuditResult, formatAudit } from "./report.ts"
export type { Finding } from "./finding.ts"

export interface AuditOptions {
  readonly source: AuditSource
  /** The log's name and checkpoint key as the auditor knows them, never from the database. */
  readonly logKey: NoteKey
  /** Without it the heads roots are not computed again, which a remark says. */
  readonly headsSecret: Uint8Array | null
  /** Of `signed_digest`; without it that column is not checked, which a remark says. */
  readonly digestKey: Uint8Array | null
  /** The published checkpoint, read before the source took its picture; null where nothing was published. */
  readonly published: string | null
  /** noble's where nothing is given, here and below. */
  readonly sha256?: Sha256
  readonly hmac?: Hmac
  /** For statements: a promise is awaited with its page, so that a thread pool can check many at once. */
  readonly verify?: VerifyEquation | VerifyEquationAsync
  /** For the few others: proofs of possession, checkpoints, forks. */
  readonly verifyNow?: VerifyEquation
  readonly onProgress?: (done: number, total: number) => void
  /** True where nothing is said: the first bad row is what an operator needs. */
  readonly isStoppingAtFirst?: boolean
}

/** Reads the whole source and judges it. Rejects only where the source does. */
export async function audit(options: AuditOptions): Promise<AuditResult> {
  const findings = new Findings(options.isStoppingAtFirst ?? true)
  const log = new LogAudit(options, findings)
  try {
    await log.run()
  } finally {
    await log.close()
  }
  const found = findings.list()
  return found.length > 0 ? { kind: "failed", findings: found, remarks: findings.remarks } : log.passed()
}

class LogAudit {
  private readonly options: AuditOptions
  private readonly findings: Findings
  private readonly checkpoints: CheckpointAudit
  private readonly blocks: BlockAudit
  private readonly leaves: LeafAudit
  private chains: Chains | null = null
  private judge: StatementAudit | null = null
  private manifestIdMax: bigint | null = null
  private blockIdMax: bigint | null = null
  private statements = 0
  private readings = 0
  private unsealed = 0

  constructor(options: AuditOptions, findings: Findings) {
    const { source, logKey, headsSecret, published, verifyNow, sha256: hash, hmac } = options
    this.options = options
    this.findings = findings
    this.checkpoints = new CheckpointAudit(source, findings, logKey, published, verifyNow)
    this.leaves = new LeafAudit(source, findings)
    this.blocks = new BlockAudit({
      source,
      findings,
      checkpoints: this.checkpoints,
      headsSecret,
      ...(hash === undefined ? {} : { hash }),
      ...(hmac === undefined ? {} : { hmac }),
    })
  }

  async run(): Promise<void> {
    const { source, onProgress } = this.options
    const { findings } = this
    if (this.options.headsSecret === null)
      findings.remarks.push("the heads roots were not computed again: the heads secret is not here")
    if (this.options.digestKey === null)
      findings.remarks.push("entries.signed_digest was not checked: its key is not here")
    const total = await source.countEntries()
    this.blockIdMax = await source.readManifestIdMax()
    this.manifestIdMax = await this.findLastManifest()
    let done = 0
    let entries = 0
    for await (const page of source.statements()) {
      for (const rows of page) {
        findings.nextRow()
        if (rows.entry !== null) entries += 1
        await this.auditRows(rows)
        if (findings.isDone || (this.chains === null && findings.count > 0)) break
      }
      await findings.settle(findings.isDone)
      done += page.length
      onProgress?.(done, total)
      // Without a policy nobody's signature can be checked.
      if (findings.isDone || this.chains === null) break
    }
    await findings.settle(true)
    if (this.chains === null) {
      if (findings.count === 0)
        findings.add("entries", null, "the log", "has no statement: not even the policy with which it begins")
      return
    }
    // Ids are unique only as long as the constraint stands.
    if (!findings.isDone && entries !== total)
      findings.add("entries", "id", "the log", `has ${total} entries under ${entries} ids`)
    for (const finish of [
      () => this.blocks.finish(),
      () => this.leaves.finish(),
      () => auditRegistryRows(source, this.chains!, findings, this.options.sha256),
      () => auditForks(source.forks(), this.chains!, findings, this.options),
      () => auditCosignatures(source, findings, this.options.verifyNow),
    ]) {
      if (findings.isDone) return
      findings.nextRow()
      await finish()
    }
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

  private async auditRows(rows: StatementRows): Promise<void> {
    if (rows.entry !== null && this.judge === null) await this.begin(rows)
    // A row without an entry, before the first that has one.
    const judge = this.judge ?? (rows.entry === null ? this.judgeOfNobody() : null)
    const audited = judge?.audit(rows) ?? null
    if (audited !== null) await this.place(rows, audited)
  }

  private judgeOfNobody(): StatementAudit {
    const { logKey, digestKey } = this.options
    return new StatementAudit({
      findings: this.findings,
      chains: new Chains(logKey.name, logKey.publicKey),
      digestKey,
    })
  }

  /** The first statement is the policy, and says whose log this is. */
  private async begin(rows: StatementRows): Promise<void> {
    const { findings, options } = this
    const { logKey, source, digestKey } = options
    const policy = this.readPolicy(rows)
    if (policy === null) return
    const row = nameStatement(logKey.name, logKey.name, 1)
    if (policy.origin !== logKey.name || policy.logVkey !== formatVkey(logKey)) {
      findings.add(
        "statements",
        "bytes",
        row,
        "is the policy of a log with another name or key than the one that was asked for",
      )
      return
    }
    const logRows: LogRow[] = []
    for await (const logRow of source.log()) logRows.push(logRow)
    const [logRow] = logRows
    const name = "the log's row"
    const say = (column: string | null, rule: string): void => findings.add("log", column, name, rule)
    if (logRows.length > 1) say(null, "is not the only one")
    if (logRow === undefined) say(null, "is missing")
    else {
      const rule = "differs from the signed policy"
      if (logRow.origin !== policy.origin) say("origin", rule)
      if (logRow.vkey !== policy.logVkey) say("vkey", rule)
      if (!equalBytes(logRow.operatorKey, encodeCoseKey(policy.operatorKey))) say("operator_key", rule)
      if (!equalBytes(logRow.receiptKey, encodeCoseKey(policy.receiptKey))) say("receipt_key", rule)
    }
    this.checkpoints.receiptKey = policy.receiptKey
    this.chains = new Chains(policy.origin, policy.operatorKey, options.sha256)
    this.judge = new StatementAudit({ ...options, findings, chains: this.chains, digestKey })
  }

  private readPolicy({ entry, statements }: StatementRows): Policy | null {
    const { findings, options } = this
    const origin = options.logKey.name
    const row = nameStatement(origin, entry!.deviceId, entry!.seq)
    const bytes = statements[0]?.bytes
    if (bytes === undefined) {
      findings.add("statements", null, row, "is missing: there is an entry, and no bytes")
      return null
    }
    const decoded = decodeStatement(bytes, origin)
    if (decoded.kind !== "statement") {
      findings.add(
        "statements",
        "bytes",
        row,
        `is no statement of the log ${origin}: ${decoded.kind === "malformed" ? decoded.rule : "too large"}`,
      )
      return null
    }
    if (decoded.statement.content !== contentPolicy) {
      findings.add("entries", null, row, "is the first of the log, which begins with its policy")
      return null
    }
    try {
      return decodePolicy(decoded.statement.payload)
    } catch (error) {
      if (!(error instanceof FormatFault)) throw error
      findings.add("statements", "bytes", row, `is no policy: ${error.rule}`)
      return null
    }
  }

  /** The statement in its block and at its leaf, or among those that wait. */
  private async place({ id }: StatementRows, audited: AuditedStatement): Promise<void> {
    const { row, statement, forBlock } = audited
    if (forBlock !== "manifest" && forBlock.origin.kind === "device") {
      this.statements += 1
      this.readings += forBlock.origin.readings
    }
    if (!(await this.isSealed(id))) {
      this.unsealed += 1
      return
    }
    await this.leaves.add(id, row)
    if (forBlock !== "manifest") {
      await this.blocks.add(forBlock, row)
      return
    }
    const { entry, receivedAtMs } = audited
    await this.blocks.end({ id, row, entry, payload: statement.payload, iat: statement.iat, receivedAtMs })
    await this.leaves.endBlock(this.blocks.tree.size)
  }

  /**
   * Sealed is what stands at or below the last manifest of the operator's chain. Where that one cannot be read, `blocks`
   * says how far it went, for statements that have a leaf: either may have been changed, and the right row is named.
   */
  private async isSealed(id: bigint): Promise<boolean> {
    if (this.manifestIdMax !== null && id <= this.manifestIdMax) return true
    return this.blockIdMax !== null && id <= this.blockIdMax && (await this.leaves.covers(id))
  }

  passed(): AuditResult {
    const { statements, readings, unsealed, blocks } = this
    return {
      kind: "passed",
      statements,
      readings,
      blocks: blocks.height,
      devices: this.chains?.devices.size ?? 0,
      treeSize: blocks.tree.size,
      root: formatBase64(blocks.tree.root()),
      unsealed,
      remarks: this.findings.remarks,
    }
  }

  async close(): Promise<void> {
    await this.blocks.close()
    await this.leaves.close()
    await this.checkpoints.close()
  }
}
