import { SignalCollector, Tally } from "./collect.ts"
import type { Recording } from "./recording.ts"
import {
  cutReason,
  fault,
  isNamed,
  metricNameOf,
  readRows,
  requireColumns,
  requireDecimal,
  requireTime,
} from "./row.ts"
import { parseInstant } from "./written-time.ts"

const instant = String.raw`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}[^;]*`
const eventRow = new RegExp(`^${instant};[A-Z][A-Z0-9_]*;[^;]*$`)
const accelerationRow = new RegExp(`^${instant};[^;A-Z]*;[^;]*;[^;]*$`)

/**
 * The vendor's metrics in SenML's terms. What Garmin calls heart rate variability is one interval between two beats.
 * `kcal` and `min` are not among SenML's primary units; stress is Garmin's own scale, -1 and -2 mean "not measurable".
 */
const metrics: Readonly<Record<string, readonly [metric: string, unit: string | null]>> = {
  HEART_RATE: ["heart-rate", "beat/min"],
  HEART_RATE_VARIABILITY: ["rr-interval", "ms"],
  STRESS: ["stress", null],
  STEPS: ["steps", "count"],
  CALORIES: ["calories", "kcal"],
  ASCENT: ["ascent", "m"],
  INTENSITY_MINUTES: ["intensity", "min"],
}

const timeRule = "a time must be ISO 8601 with an offset, as 2020-01-31T08:00:00.000+01:00"

export function isGarmin(head: readonly string[]): boolean {
  return eventRow.test(head[0] ?? "") || accelerationRow.test(head[0] ?? "")
}

/** Whether a folder holds flirt's two files; their content is judged when they are read. */
export function garminFilesOf(files: readonly string[]): string[] {
  return files.filter((file) => isNamed(file, "data.csv") || isNamed(file, "acc.csv"))
}

export async function readGarmin(files: readonly string[]): Promise<Recording> {
  const collector = new SignalCollector()
  const unknown = new Set<string>()
  const left = new Tally()
  for (const file of files) {
    for await (const row of readRows(file, ";")) {
      if (row.isCut) {
        left.add(`rows are left out: ${cutReason}`)
        continue
      }
      const time = requireTime(row, parseInstant(row.cells[0] ?? ""), timeRule)
      if (row.cells.length === 4) {
        // Milli-g, in UCUM's writing: SenML has no unit of gravity, and only a changed number would be m/s2.
        collector.addNumber("acc-x", "m[g]", time, requireDecimal(row, 1, "acceleration"))
        collector.addNumber("acc-y", "m[g]", time, requireDecimal(row, 2, "acceleration"))
        collector.addNumber("acc-z", "m[g]", time, requireDecimal(row, 3, "acceleration"))
        continue
      }
      requireColumns(row, 3)
      const label = row.cells[1] ?? ""
      if (!/^[A-Z][A-Z0-9_]*$/.test(label))
        throw fault(row, "a metric must be of the letters A to Z, digits and _")
      const [metric, unit] = metrics[label] ?? [metricNameOf(label), null]
      if (!(label in metrics)) unknown.add(label)
      collector.addNumber(metric, unit, time, requireDecimal(row, 2, label))
    }
  }
  const remarks = [...unknown].map((label) => `${label} is not a metric that we know: taken without a unit`)
  return { format: "garmin", files, signals: collector.finish(), remarks: [...remarks, ...left.remarks()] }
}
