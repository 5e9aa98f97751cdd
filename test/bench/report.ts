/** The measures for a person: ours, floor and peer side by side, then every measure with its target. */
import { formatTable } from "../../cli/table.ts"
import type { Measure } from "./measure.ts"
import { judge } from "./target.ts"

export function formatReport(measures: readonly Measure[]): string {
  const beside = formatBeside(measures)
  const rows = measures.map((measure) => {
    const judged = judge(measure)
    return [
      measure.name,
      formatValue(measure.value),
      measure.unit,
      measure.ratio === null ? "" : `${formatValue(measure.ratio)} x ${measure.of}`,
      judged === null ? "" : judged.target,
      judged === null ? "" : judged.isMet ? "met" : "not met",
    ]
  })
  const all = formatTable(["measure", "value", "unit", "ratio", "target", ""], alignValues(rows))
  return beside === null ? all : `${beside}\n\n${all}`
}

/** The same without columns, for programs that read lines. */
export function formatLines(measures: readonly Measure[]): string {
  return measures
    .map((measure) => {
      const judged = judge(measure)
      const ratio = measure.ratio === null ? "" : `, ${formatValue(measure.ratio)} x ${measure.of}`
      const target = judged === null ? "" : ` (${judged.target}: ${judged.isMet ? "met" : "not met"})`
      return `${measure.name}: ${formatValue(measure.value)} ${measure.unit}${ratio}${target}`
    })
    .join("\n")
}

const sides = ["ingest", "floor", "peer"] as const

/** A line per size and respect, a column per side. */
function formatBeside(measures: readonly Measure[]): string | null {
  const valueOf = new Map(measures.map(({ name, value }) => [name, value]))
  const sizes = [
    ...new Set(measures.flatMap(({ name }) => /^(?:ingest|floor|peer)\.(\d+)\./.exec(name)?.[1] ?? [])),
  ]
  const rows = sizes.flatMap((size) =>
    (
      [
        ["cpu", "CPU-s per million readings"],
        ["rate", "readings/s"],
      ] as const
    ).map(([respect, unit]) => [
      `${size} readings a statement`,
      unit,
      ...sides.map((side) => {
        const value = valueOf.get(`${side}.${size}.${respect}`)
        return value === undefined ? "" : formatValue(value)
      }),
    ]),
  )
  return rows.length === 0 ? null : formatTable(["", "", "ours", "floor", "peer"], rows)
}

function alignValues(rows: readonly (readonly string[])[]): string[][] {
  const width = Math.max(0, ...rows.map((row) => row[1]!.length))
  return rows.map((row) => row.map((cell, column) => (column === 1 ? cell.padStart(width) : cell)))
}

export function formatValue(value: number): string {
  const digits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
