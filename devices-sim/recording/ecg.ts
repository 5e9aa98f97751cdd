import { Tally } from "./collect.ts"
import { startsAtDefault, type Recording, type RecordedSignal, type RecordingOptions } from "./recording.ts"
import { irregularRemark, noStartRemark } from "./remark.ts"
import {
  cutReason,
  decimalsOf,
  fault,
  metricNameOf,
  readRows,
  requireColumns,
  requireDecimal,
} from "./row.ts"
import { periodOf, sampledSignals } from "./sampling.ts"

const leadPattern = /^(.+)_(mv|uv)$/i
// SenML has mV among its secondary units (RFC 8798); uV is UCUM's.
const units: Readonly<Record<string, string>> = { mv: "mV", uv: "uV" }

interface Lead {
  readonly metric: string
  readonly unit: string
  readonly values: number[]
  decimals: number
}

export function isEcg(head: readonly string[]): boolean {
  const [time, ...leads] = (head[0] ?? "").split(",").map((cell) => cell.trim())
  return time === "t_ms" && leads.length > 0 && leads.every((lead) => leadPattern.test(lead))
}

/** `t_ms,<lead>_mv,...`: milliseconds since the beginning, then a voltage per lead; a waveform where times are regular. */
export async function readEcg(file: string, options: RecordingOptions): Promise<Recording> {
  const startsAt = options.startsAt ?? startsAtDefault
  const timesMs: number[] = []
  const left = new Tally()
  let decimalsOfTime = 0
  let leads: Lead[] | null = null
  for await (const row of readRows(file, ",")) {
    if (leads === null) {
      leads = row.cells.slice(1).map((cell) => {
        const [, lead, suffix] = leadPattern.exec(cell) ?? []
        if (lead === undefined || suffix === undefined)
          throw fault(row, "a lead must be named <lead>_mv or <lead>_uv")
        const metric = `ecg-${metricNameOf(lead)}`
        return { metric, unit: units[suffix.toLowerCase()] ?? suffix, values: [], decimals: 0 }
      })
      continue
    }
    if (row.isCut) {
      left.add(`rows are left out: ${cutReason}`)
      continue
    }
    requireColumns(row, leads.length + 1)
    timesMs.push(requireDecimal(row, 0, "t_ms"))
    decimalsOfTime = Math.max(decimalsOfTime, decimalsOf(row.cells[0] ?? ""))
    for (const [index, lead] of leads.entries()) {
      lead.values.push(requireDecimal(row, index + 1, "a voltage"))
      lead.decimals = Math.max(lead.decimals, decimalsOf(row.cells[index + 1] ?? ""))
    }
  }

  const remarks: string[] = left.remarks()
  if (options.startsAt === undefined) remarks.push(noStartRemark)
  const periodMs = periodOf(timesMs, decimalsOfTime)
  if (periodMs === null && timesMs.length > 0) remarks.push(irregularRemark)
  const startsAtOfFirst = startsAt + (timesMs[0] ?? 0) / 1000
  const times = periodMs === null ? timesMs.map((ms) => startsAt + ms / 1000) : []
  const signals = (leads ?? []).flatMap(({ metric, unit, values, decimals }): RecordedSignal[] => {
    if (values.length === 0) return []
    if (periodMs === null) return [{ kind: "points", metric, unit, times, values }]
    return sampledSignals({ metric, unit }, { startsAt: startsAtOfFirst, periodMs, decimals }, values)
  })
  return { format: "ecg-csv", files: [file], signals, remarks }
}
