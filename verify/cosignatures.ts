/** Cosignatures of checkpoints, and which of these a quorum had cosigned. */
import { parseCheckpoint } from "../chain/checkpoint.ts"
import { type Cosigner, checkCosignature, parseCosignerVkey } from "../chain/cosignature.ts"
import { type Note, parseNote, parseSignatures } from "../chain/note.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import { type TlogPolicy, isQuorum, nameOf, parseTlogPolicy } from "../chain/tlog-policy.ts"
import type { Findings } from "./finding.ts"
import { Peekable } from "./peekable.ts"
import type { AuditSource, CosignatureRow } from "./source.ts"

/**
 * Each cosignature verifies under its witness's key for the checkpoint that it stands with, and each block that counts as
 * witnessed was cosigned as the policy of that time demands. Whose keys the policy names is the operator's word.
 */
export async function auditCosignatures(
  source: AuditSource,
  findings: Findings,
  verify: VerifyEquation | undefined,
): Promise<void> {
  const cosigners = await auditLines(source, findings, verify)
  await auditWitnessed(source, findings, cosigners)
}

/** Vkeys of good cosignatures by height. */
type Cosigners = Map<number, Set<string>>

async function auditLines(
  source: AuditSource,
  findings: Findings,
  verify: VerifyEquation | undefined,
): Promise<Cosigners> {
  const cosigners: Cosigners = new Map()
  const rows = new Peekable(source.cosignatures())
  const checkpoints = new Peekable(source.checkpoints(0))
  try {
    for (let row = await rows.take(); row !== null; row = await rows.take()) {
      let checkpoint = await checkpoints.peek()
      while (checkpoint !== null && checkpoint.height < row.height) {
        await checkpoints.take()
        checkpoint = await checkpoints.peek()
      }
      const note = checkpoint?.height === row.height ? parseNote(checkpoint.note) : null
      const name = `cosignature of block ${row.height} by ${nameWitness(row)}`
      if (note === null || parseCheckpoint(note.text) === null) {
        findings.add("cosignatures", "height", name, "is of a block that has no checkpoint")
        continue
      }
      const fault = findFault(row, note, verify)
      if (fault !== null) {
        findings.add("cosignatures", fault.column, name, fault.rule)
        continue
      }
      const vkeys = cosigners.get(row.height) ?? new Set()
      vkeys.add(row.vkey)
      cosigners.set(row.height, vkeys)
    }
  } finally {
    await rows.close()
    await checkpoints.close()
  }
  return cosigners
}

function nameWitness({ vkey }: CosignatureRow): string {
  return parseCosignerVkey(vkey)?.name ?? "an unknown witness"
}

function findFault(
  { vkey, line, cosignedAtUs }: CosignatureRow,
  note: Note,
  verify: VerifyEquation | undefined,
): { readonly column: string; readonly rule: string } | null {
  const cosigner: Cosigner | null = parseCosignerVkey(vkey)
  if (cosigner === null) return { column: "vkey", rule: "is no witness's key" }
  const signatures = parseSignatures(line)
  if (signatures?.length !== 1) return { column: "line", rule: "is no signature line of a note" }
  const finding = checkCosignature({ text: note.text, signatures }, cosigner, verify)
  if (finding.kind === "none") return { column: "line", rule: "is by another witness" }
  if (finding.kind === "bad") return { column: "line", rule: "does not verify for the block's checkpoint" }
  return finding.timestamp * 1e6 === cosignedAtUs
    ? null
    : { column: "cosigned_at", rule: "is not the time that the witness signed" }
}

async function auditWitnessed(source: AuditSource, findings: Findings, cosigners: Cosigners): Promise<void> {
  const policies = new Map<number, TlogPolicy>()
  for await (const { policyId, policy } of source.witnessPolicies()) {
    const parsed = parseTlogPolicy(policy)
    if (parsed.kind === "policy") policies.set(policyId, parsed.policy)
    else
      findings.add(
        "witness_policies",
        "policy",
        `policy ${policyId} of witnesses`,
        `is no tlog-policy: line ${parsed.line}: ${parsed.rule}`,
      )
  }
  for await (const { height, policyId } of source.witnessed()) {
    const name = `block ${height}, as witnessed`
    const policy = policies.get(policyId)
    if (policy === undefined) {
      findings.add("witnessed", "policy_id", name, `names policy ${policyId}, which is not there`)
      continue
    }
    const vkeys = cosigners.get(height)
    const names = policy.witnesses.filter(({ vkey }) => vkeys?.has(vkey)).map((witness) => witness.name)
    if (!isQuorum(policy.quorum, new Set(names)))
      findings.add(
        "witnessed",
        "height",
        name,
        `was cosigned by ${names.length === 0 ? "no witness" : names.join(", ")} of its policy, whose quorum is ${nameOf(policy.quorum)}`,
      )
  }
}
