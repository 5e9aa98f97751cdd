/** The first statement, which is the policy: whose log this is, and by which key its operator speaks. */
import { equalBytes } from "../chain/bytes.ts"
import { FormatFault } from "../chain/cbor.ts"
import { encodeCoseKey } from "../chain/key.ts"
import { formatVkey } from "../chain/note.ts"
import { type Policy, decodePolicy } from "../chain/policy.ts"
import { contentPolicy, decodeStatement } from "../chain/statement.ts"
import type { AuditOptions } from "./audit-options.ts"
import { Chains } from "./chains.ts"
import type { Findings } from "./finding.ts"
import type { LogRow, StatementRows } from "./source.ts"
import { StatementAudit, nameStatement } from "./statements.ts"

/** The empty chains of a log, and who judges what is added to them. */
export interface Beginning {
  readonly policy: Policy
  readonly chains: Chains
  readonly judge: StatementAudit
}

/**
 * Judges the policy and the row of `log`, and not yet the rest of the first statement's rows.
 *
 * @returns null where it is no policy of the log that was asked for, which was found: nobody's signature can be checked
 */
export async function auditBeginning(
  rows: StatementRows,
  options: AuditOptions,
  findings: Findings,
): Promise<Beginning | null> {
  const { logKey, source, digestKey } = options
  const policy = readPolicy(rows, logKey.name, findings)
  if (policy === null) return null
  const row = nameStatement(logKey.name, logKey.name, 1)
  if (policy.origin !== logKey.name || policy.logVkey !== formatVkey(logKey)) {
    const rule = "is the policy of a log with another name or key than the one that was asked for"
    findings.add("statements", "bytes", row, rule)
    return null
  }
  await auditLogRow(source.log(), policy, findings)
  const chains = new Chains(policy, options.sha256)
  return { policy, chains, judge: new StatementAudit({ ...options, findings, chains, digestKey }) }
}

async function auditLogRow(rows: AsyncIterable<LogRow>, policy: Policy, findings: Findings): Promise<void> {
  const logRows: LogRow[] = []
  for await (const logRow of rows) logRows.push(logRow)
  const [logRow] = logRows
  const say = (column: string | null, rule: string): void =>
    findings.add("log", column, "the log's row", rule)
  if (logRows.length > 1) say(null, "is not the only one")
  if (logRow === undefined) {
    say(null, "is missing")
    return
  }
  const rule = "differs from the signed policy"
  if (logRow.origin !== policy.origin) say("origin", rule)
  if (logRow.vkey !== policy.logVkey) say("vkey", rule)
  if (logRow.version !== policy.version) say("version", rule)
  if (!equalBytes(logRow.operatorKey, encodeCoseKey(policy.operatorKey))) say("operator_key", rule)
  if (!equalBytes(logRow.receiptKey, encodeCoseKey(policy.receiptKey))) say("receipt_key", rule)
}

function readPolicy({ entry, statements }: StatementRows, origin: string, findings: Findings): Policy | null {
  const row = nameStatement(origin, entry!.deviceId, entry!.seq)
  const bytes = statements[0]?.bytes
  if (bytes === undefined) {
    findings.add("statements", null, row, "is missing: there is an entry, and no bytes")
    return null
  }
  // Its keys are kept, and rows are in memory that is used again.
  const decoded = decodeStatement(Uint8Array.from(bytes), origin)
  if (decoded.kind !== "statement") {
    const rule = decoded.kind === "malformed" ? decoded.rule : "too large"
    findings.add("statements", "bytes", row, `is no statement of the log ${origin}: ${rule}`)
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
