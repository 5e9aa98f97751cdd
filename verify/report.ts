/** The result of an audit for people. */
import { type Finding, formatFinding } from "./finding.ts"

export type AuditResult =
  | {
      readonly kind: "passed"
      /** Devices' statements, sealed or not, and the readings in them. */
      readonly statements: number
      readonly readings: number
      readonly blocks: number
      readonly devices: number
      readonly treeSize: number
      /** Base64, as in the checkpoint. */
      readonly root: string
      /** Statements of devices and operator that wait for the next block. */
      readonly unsealed: number
      /** What is no fault and should be known. */
      readonly remarks: readonly string[]
    }
  | { readonly kind: "failed"; readonly findings: readonly Finding[]; readonly remarks: readonly string[] }

export function formatAudit(result: AuditResult): string {
  const remarks = result.remarks.map((remark) => `note: ${remark}`)
  if (result.kind === "failed") {
    const lines = result.findings.map((finding) => `${formatFinding(finding)} (table ${finding.table})`)
    return [...lines, ...remarks, "verify failed: the database is not what was signed and sealed"].join("\n")
  }
  const { statements, readings, devices, blocks, treeSize, root, unsealed } = result
  return [
    ...remarks,
    `${count(statements, "statement")} of ${count(devices, "device")} with ${count(readings, "reading")}: every row is what was signed`,
    `${count(blocks, "block")}, ${count(treeSize, "leaf", "leaves")}, root ${root}`,
    unsealed === 0
      ? "nothing waits for the next block"
      : `${count(unsealed, "statement")} not sealed yet: held by signatures and chains, not by a block`,
    "verify passed",
  ].join("\n")
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`
}
