/** The result of an audit for people. */
import { formatBase64 } from "../chain/bytes.ts"
import type { AuditRange } from "./audit-options.ts"
import { type Finding, formatFinding } from "./finding.ts"

interface Audited {
  /** Devices' statements, sealed or not, and the readings in them: of those that were opened. */
  readonly statements: number
  readonly readings: number
  /** Of the log, up to the last one that was looked at. */
  readonly blocks: number
  /** What is no fault and should be known. */
  readonly remarks: readonly string[]
  readonly range: AuditRange
}

export type AuditResult =
  | ({
      readonly kind: "passed"
      readonly devices: number
      readonly treeSize: number
      /** Base64, as in the checkpoint. */
      readonly root: string
      /** Statements of devices and operator that wait for the next block. */
      readonly unsealed: number
    } & Audited)
  | { readonly kind: "failed"; readonly findings: readonly Finding[]; readonly remarks: readonly string[] }
  /** By who asked for it, before the end; nothing was found up to there. */
  | ({ readonly kind: "stopped" } & Audited)
  /** The log does not have what was asked for. */
  | { readonly kind: "absent"; readonly rule: string }

export function formatAudit(result: AuditResult): string {
  if (result.kind === "absent") return result.rule
  const remarks = result.remarks.map((remark) => `note: ${remark}`)
  if (result.kind === "failed") {
    const lines = result.findings.map((finding) => `${formatFinding(finding)} (table ${finding.table})`)
    return [...lines, ...remarks, "verify failed: the database is not what was signed and sealed"].join("\n")
  }
  const { statements, readings, blocks, range } = result
  const seen = `${count(statements, "statement")}${result.kind === "passed" ? ` of ${whoseOf(result)}` : ""} with ${count(readings, "reading")}`
  const scope = formatScope(range, blocks)
  if (result.kind === "stopped")
    return [
      ...remarks,
      `stopped in block ${blocks}, after ${seen}: nothing was found up to here`,
      ...scope,
      "verify stopped",
    ].join("\n")
  const { treeSize, root, unsealed } = result
  return [
    ...remarks,
    `${seen}: every row is what was signed`,
    `${count(blocks, "block")}, ${count(treeSize, "leaf", "leaves")}, root ${root}`,
    ...scope,
    ...(range.to !== null
      ? []
      : [
          unsealed === 0
            ? "nothing waits for the next block"
            : `${count(unsealed, "statement")} not sealed yet: held by signatures and chains, not by a block`,
        ]),
    "verify passed",
  ].join("\n")
}

/** For programs: bytes as text, and of the range what says something. */
export function describeAudit(result: AuditResult): Readonly<Record<string, unknown>> {
  if (result.kind === "failed" || result.kind === "absent") return result
  const { range, ...rest } = result
  const { from, to, device, behind } = range
  return {
    ...rest,
    range: {
      from,
      to,
      device,
      ...(behind === undefined ? {} : { behind: { ...behind, root: formatBase64(behind.root) } }),
    },
  }
}

function whoseOf({ devices, range }: { readonly devices: number; readonly range: AuditRange }): string {
  return range.device === null ? count(devices, "device") : `device ${range.device}`
}

/** What was not looked at, or not this time. */
function formatScope({ from, to, device, behind }: AuditRange, blocks: number): string[] {
  const lines: string[] = []
  if (behind !== undefined) {
    const before = `${count(behind.statements, "statement")} with ${count(behind.readings, "reading")}`
    lines.push(
      `of these ${formatBlocks(0, behind.height)} (${before}) as audited at ${new Date(behind.auditedAtMs).toISOString()}, and not again`,
    )
  } else if (from > 0)
    lines.push(
      `${formatBlocks(0, from - 1)} were not looked at: what stood behind them is what block ${from - 1} signs`,
    )
  if (to !== null)
    lines.push(
      `nothing behind block ${Math.min(to, blocks - 1)} was looked at, and not how devices stand now`,
    )
  if (device !== null)
    lines.push("of the other devices the entries were read, as leaves of the tree, and not their statements")
  return lines
}

function formatBlocks(from: number, to: number): string {
  return from === to ? `block ${from}` : `blocks ${from} to ${to}`
}

/** `1 leaf`, `2,000 leaves` */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`
}
