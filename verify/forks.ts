/** Forks: two statements by one key for one place, which anybody can check. */
import { equalBytes } from "../chain/bytes.ts"
import { type Sha256, sha256 } from "../chain/hash.ts"
import { type VerifyEquation, checkSignature } from "../chain/signature.ts"
import { type Statement, decodeStatement, signedBytesOf } from "../chain/statement.ts"
import type { Chains } from "./chains.ts"
import type { Findings } from "./finding.ts"
import type { ForkRow } from "./source.ts"

/** Call it when the chains have been followed to their ends. */
export async function auditForks(
  rows: AsyncIterable<ForkRow>,
  chains: Chains,
  findings: Findings,
  options: { readonly sha256?: Sha256; readonly verify?: VerifyEquation },
): Promise<void> {
  for await (const row of rows) {
    const name = `fork at seq ${row.seq} of device ${row.deviceId}`
    const say = (column: string | null, rule: string): void => findings.add("forks", column, name, rule)
    // Entries have been audited: what hashes to one is the stored statement.
    if (row.entry === null || !equalBytes((options.sha256 ?? sha256)(row.stored), row.entry)) {
      say("stored", "is not the statement that is stored at this place")
      continue
    }
    const stored = decodeStatement(row.stored)
    const other = decodeStatement(row.other)
    if (stored.kind !== "statement" || other.kind !== "statement") {
      say(stored.kind === "statement" ? "other" : "stored", "is no statement of a device")
      continue
    }
    const rule = findFault(stored.statement, other.statement, chains, options.verify)
    if (rule !== null) say("other", rule)
  }
}

function findFault(
  stored: Statement,
  other: Statement,
  chains: Chains,
  verify: VerifyEquation | undefined,
): string | null {
  if (other.iss !== stored.iss) return "is by another device"
  if (other.seq !== stored.seq || !equalBytes(other.prev, stored.prev))
    return "is for another place of the chain"
  if (!equalBytes(other.kid, stored.kid)) return "is by another key"
  const message = signedBytesOf(other)
  if (equalBytes(message, signedBytesOf(stored))) return "says the same as the stored one: that is no fork"
  const key = chains.findKey(other)
  const isSigned =
    key !== null && checkSignature(key, other.algorithm, message, other.signature, verify) === "good"
  return isSigned ? null : "has a signature that does not verify: it accuses nobody"
}
