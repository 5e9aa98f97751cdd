import { expect, test } from "vitest"
import { formatChart } from "../../devices-sim/report-chart.ts"
import { formatRunHtml } from "../../devices-sim/report-html.ts"
import { writeUpNotRun } from "../../devices-sim/report-run.ts"
import type { RunReport, Sample } from "../../devices-sim/run-report.ts"
import { parseScenario } from "../../devices-sim/scenario-file.ts"

/** The lines of a chart's paths: how many strokes each has. */
function strokesOf(svg: string): number[] {
  return [...svg.matchAll(/<path class="line [^"]*" d="([^"]*)"/g)].map(([, d]) => d!.split("M").length - 1)
}

const chart = (at: readonly number[], values: readonly (number | null)[]) =>
  strokesOf(
    formatChart({
      title: "a",
      unit: "b",
      at,
      formatAt: String,
      lines: [{ name: "c", style: "c1", values }],
    }),
  )

const sample = (wallMs: number, connected: number, acknowledged: number): Sample => ({
  atMs: wallMs,
  wallMs,
  connected,
  made: 10,
  acknowledged,
  refused: 0,
  p50: acknowledged === 0 ? null : 5,
  p95: acknowledged === 0 ? null : 6,
  p99: acknowledged === 0 ? null : 7,
})

test("field A7: a line breaks where nothing was measured, and across a time without measures", () => {
  expect(chart([1, 2, 3, 4], [1, 1, 1, 1])).toEqual([1])
  expect(chart([1, 2, 3, 4], [1, null, 1, 1])).toEqual([2])
  expect(chart([1, 2, 3, 60, 61], [1, 1, 1, 1, 1])).toEqual([2])
  expect(chart([1, 2, 3, 60, 117], [1, 1, 1, 1, 1])).toEqual([3])
})

test("field A7: with nobody connected no rate of answers is drawn, and a last moment is none", () => {
  const parsed = parseScenario("name: x\nabout: y\ngroups: [{ devices: 1, statements: 1 }]\n")
  if (parsed.kind !== "scenario") throw new Error("this scenario has a fault")
  const facts = { repeat: "again", isVirtual: false, startedAt: "2026-11-25T00:00:00.000Z", version: "0" }
  const report: RunReport = {
    ...writeUpNotRun(parsed.scenario, "of a test", facts),
    samples: [
      sample(250, 2, 10),
      sample(500, 2, 10),
      sample(750, 0, 0),
      sample(1_000, 0, 0),
      sample(1_250, 2, 30),
      sample(1_500, 2, 10),
      sample(1_501, 0, 10),
    ],
  }
  const html = formatRunHtml(report)
  // made, acknowledged; p99, p95, p50; connected
  expect(strokesOf(html)).toEqual([1, 2, 2, 2, 2, 1])
  expect(html).not.toContain("10,000")
})
