/** A fleet's report for people, as an aligned table, and for programs, as JSON. */
import type { AckTimes, FleetReport, MemberReport } from "./fleet-report.ts"
import { type FleetCounts, countRefused } from "./fleet-report.ts"

/** Rows of devices before the rest is left to the JSON. */
const rowsMax = 20

const columns = [
  "device",
  "key",
  "made",
  "sent",
  "acked",
  "stored",
  "refused",
  "readings",
  "reconnects",
  "p50 ms",
  "p95 ms",
  "p99 ms",
] as const

/** The report as JSON, indented. */
export function formatReportJson(report: FleetReport): string {
  return JSON.stringify(report, null, 2)
}

/** The report as text: a row per device, the sum, what was refused and why, and whether it adds up. */
export function formatReport(report: FleetReport): string {
  const { all } = report
  const shown = report.devices.slice(0, rowsMax)
  const hidden = report.devices.length - shown.length
  const table = formatTable([
    columns,
    ...shown.map((device) => rowOf(device.id, device.key, device, device.ackMs)),
    ...(hidden > 0 ? [[`and ${formatCount(hidden)} more`]] : []),
    rowOf(`${formatCount(report.devices.length)} in all`, "", all, report.ackMs),
  ])
  const seconds = Math.max(report.wallMs, 1) / 1000
  const rate = `${formatCount(Math.round(all.stored / seconds))} statements/s, ${formatCount(Math.round(all.readings / seconds))} readings/s`
  return [
    table,
    "",
    `receipts: ${formatVerdicts(all.receipts)}`,
    `refused:  ${formatVerdicts(all.refused)}`,
    `time:     ${seconds.toFixed(2)} s, ${rate}`,
    report.reconciles
      ? `adds up:  every statement has its verdict, and every chain grew by what is stored`
      : `DOES NOT ADD UP:\n${report.faults.map((fault) => `  ${fault}`).join("\n")}`,
  ].join("\n")
}

function rowOf(
  name: string,
  key: MemberReport["key"] | "",
  counts: FleetCounts,
  ackMs: AckTimes | null,
): string[] {
  const { made, sent, acknowledged, stored, readings, reconnects } = counts
  const numbers = [made, sent, acknowledged, stored, countRefused(counts), readings, reconnects]
  const times =
    ackMs === null ? ["-", "-", "-"] : [ackMs.p50, ackMs.p95, ackMs.p99].map((ms) => ms.toFixed(1))
  return [name, key, ...numbers.map(formatCount), ...times]
}

/** Names to the left, numbers to the right. */
function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

function formatVerdicts(counts: FleetCounts["receipts"]): string {
  const parts = Object.entries(counts).map(([verdict, count]) => `${verdict} ${formatCount(count)}`)
  return parts.length === 0 ? "none" : parts.join(", ")
}

function formatCount(count: number): string {
  return count.toLocaleString("en-US")
}
