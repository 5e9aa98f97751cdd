/** A run's report for people, in a terminal. */
import { formatDuration } from "./duration.ts"
import type { FaultTally, Percentiles, RunReport, Truth } from "./run-report.ts"
import type { ThresholdResult } from "./threshold.ts"
import type { DeviceAccount } from "./truth.ts"

/** Rows of devices before the rest is left to the other reports. */
const rowsMax = 12

export function formatRunText(report: RunReport): string {
  return [
    formatDevices(report),
    formatMeasured(report),
    ...(report.faults.length === 0 ? [] : [formatFaults(report.faults)]),
    ...(report.thresholds.length === 0 ? [] : [formatThresholds(report.thresholds)]),
    report.truths.map(formatTruth).join("\n"),
    formatVerdict(report),
  ].join("\n\n")
}

const titles = [
  "device",
  "demanded",
  "made",
  "sent",
  "acked",
  "receipts",
  "stored",
  "sealed",
  "unanswered",
  "reconnects",
] as const

/** Those with faults first. */
function formatDevices({ devices, counts }: RunReport): string {
  const ordered = devices.toSorted((a, b) => Number(b.faults.length > 0) - Number(a.faults.length > 0))
  const shown = ordered.slice(0, rowsMax)
  const hidden = devices.length - shown.length
  const rows: string[][] = [
    [...titles],
    ...shown.map((device) => rowOf(device.faults.length > 0 ? `! ${device.id}` : device.id, device)),
    ...(hidden > 0 ? [[`and ${formatCount(hidden)} more`]] : []),
    rowOf(`${formatCount(devices.length)} in all`, counts),
  ]
  return formatRows(rows)
}

function rowOf(
  name: string,
  row: Pick<
    DeviceAccount,
    | "demanded"
    | "made"
    | "sent"
    | "acknowledged"
    | "receipts"
    | "stored"
    | "sealed"
    | "unanswered"
    | "reconnects"
  >,
): string[] {
  const receipts = Object.values(row.receipts).reduce((sum, count) => sum + count, 0)
  const numbers = [row.demanded, row.made, row.sent, row.acknowledged, receipts, row.stored, row.sealed]
  return [
    name,
    ...[...numbers, row.unanswered, row.reconnects].map((one) => (one === null ? "?" : formatCount(one))),
  ]
}

/** The first column to the left, numbers to the right. */
function formatRows(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

function formatMeasured(report: RunReport): string {
  const { counts, ackMs, wallMs, scenarioMs, speed, isVirtual, generator, block } = report
  const seconds = Math.max(1, wallMs) / 1000
  const pace = isVirtual ? "virtual" : `at speed ${formatCount(speed)}`
  const devices =
    speed === 1 && !isVirtual ? "" : ` for ${formatDuration(scenarioMs)} of the devices' (${pace})`
  const perStatement =
    generator.cpuMicrosPerStatement === null
      ? ""
      : `, ${formatCount(Math.round(generator.cpuMicrosPerStatement))} µs a statement`
  return [
    `time       ${formatDuration(wallMs)}${devices}`,
    `rate       ${formatCount(Math.round(counts.acknowledged / seconds))} statements/s, ${formatCount(Math.round(counts.readings / seconds))} readings/s`,
    `PUBACK     ${formatPercentiles(ackMs)}`,
    `verdicts   ${formatVerdicts(counts.receipts)}`,
    `sealed     ${block === null ? "nothing" : `block ${block.height}, tree of ${formatCount(block.treeSize)} leaves, root ${block.root}`}`,
    `entries    ${report.fingerprint.slice(0, 16)}… (over every device's last entry)`,
    `simulator  ${generator.cpuShare.toFixed(2)} cores and ${formatCount(Math.round(generator.memoryBytesMax / 1e6))} MB of its own${perStatement}`,
  ].join("\n")
}

export function formatPercentiles(ackMs: Percentiles | null): string {
  if (ackMs === null) return "none came"
  const [p50, p90, p95, p99, max] = [ackMs.p50, ackMs.p90, ackMs.p95, ackMs.p99, ackMs.max].map(formatMs)
  return `p50 ${p50} ms, p90 ${p90}, p95 ${p95}, p99 ${p99}, max ${max}`
}

function formatMs(ms: number): string {
  return ms.toFixed(ms < 10 ? 1 : 0)
}

function formatVerdicts(receipts: RunReport["counts"]["receipts"]): string {
  const parts = Object.entries(receipts).map(([verdict, count]) => `${verdict} ${formatCount(count)}`)
  return parts.length === 0 ? "none" : parts.join(", ")
}

function formatFaults(faults: readonly FaultTally[]): string {
  const rows = [
    ["fault", "planned", "as expected", "otherwise", "not reached"],
    ...faults.map(({ kind, planned, met, unmet, skipped }) => [
      unmet > 0 ? `! ${kind}` : kind,
      ...[planned, met, unmet, skipped].map(formatCount),
    ]),
  ]
  const details = faults.flatMap(({ details: named }) => named.map((detail) => `  ${detail}`))
  return [formatRows(rows), ...details].join("\n")
}

function formatThresholds(thresholds: readonly ThresholdResult[]): string {
  return thresholds
    .map(({ metric, expression, value, passed }) => {
      const measured = value === null ? "nothing was measured" : formatValue(value)
      return `${passed ? "✓" : "✗"} ${metric}: ${expression}  (${measured})`
    })
    .join("\n")
}

export function formatValue(value: number): string {
  return Number.isInteger(value) ? formatCount(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 1)
}

function formatTruth({ name, against, againstCount, skipped }: Truth): string {
  if (skipped !== null) return `- ${name}: not looked at, ${skipped}`
  if (againstCount === 0) return `✓ ${name}`
  const rest = againstCount - against.length
  return [
    `✗ ${name}:`,
    ...against.map((one) => `    ${one}`),
    ...(rest > 0 ? [`    and ${formatCount(rest)} more`] : []),
  ].join("\n")
}

function formatVerdict({ scenario, seed, verdict, ending, repeat }: RunReport): string {
  const words = {
    passed: "passed",
    failed: ending.kind === "stopped" ? "FAILED, and was stopped before its end" : "FAILED",
    stopped: "was stopped before its end; what it did is true",
    stalled: `STALLED: ${ending.kind === "stalled" ? ending.why : ""}`,
    "not-run": `could not run: ${ending.kind === "not-run" ? ending.why : ""}`,
  } as const
  return `${scenario} with seed ${seed} ${words[verdict]}\nrepeat: ${repeat}`
}

export function formatCount(count: number): string {
  return count.toLocaleString("en-US")
}
