import { expect, test } from "vitest"
import {
  formatDuration,
  formatFleetStrip,
  formatMetric,
  formatRemarks,
  formatStrip,
} from "../../cli/coverage-strip.ts"
import { type MetricDay, coverMetric } from "../../research/coverage.ts"
import type { DeviceCoverage } from "../../research/coverage-report.ts"

const midnight = 1_769_817_600
const hour = 3_600
const days = {
  names: ["2026-01-31"],
  boundaries: [midnight, midnight + 24 * hour],
  now: midnight + 24 * hour,
}
const plain = { isColored: false }

/** Worn to six, taken off to eight, worn to noon, silent to four, worn a quarter of the hour after, nothing since. */
async function someDay() {
  const facts = {
    metric: "heart-rate",
    rhythmSeconds: 60,
    firstAt: midnight,
    lastAt: midnight + 16.25 * hour,
  }
  const run = (from: number, to: number, late = 0) => ({
    startsAt: midnight + from * hour,
    endsAt: midnight + to * hour - 60,
    readings: (to - from) * 60,
    late,
    unsealed: 0,
    periodMs: null,
  })
  const lost = {
    kind: "lost",
    seq: 7,
    reason: "not-worn",
    count: null,
    from: midnight + 6 * hour,
    to: midnight + 8 * hour - 60,
  } as const
  const metric = await coverMetric(facts, [run(0, 6), run(8, 12, 30), run(16, 16.25)], days, [lost])
  const coverage: DeviceCoverage = {
    device: "k7",
    status: "active",
    statements: 9,
    lastArrivalAt: midnight + 17 * hour,
    refusals: [],
    days: days.names,
    metrics: [metric],
    remarks: [lost],
    remarksComplete: true,
  }
  return { coverage, metric }
}

test("a day is a strip that says when it was covered, and why not", async () => {
  const { coverage, metric } = await someDay()
  expect(formatStrip(metric.days[0]!, plain)).toBe("██████ww████····????????")
  expect(formatMetric(coverage, metric, plain)).toBe(
    "heart-rate  every 1 min, a gap is over 1 min 48 s\n" +
      "  2026-01-31  ██████ww████····????????         615  nothing since 7 h 45 min, never sent 4 h, not worn 2 h, 3 gaps, 30 late",
  )
})

test("a device's declared loss is a sentence, and what has no room is counted", async () => {
  const { coverage } = await someDay()
  expect(formatRemarks(coverage, 5)).toEqual([
    "  statement 7: the device lost readings from 2026-01-31 06:00:00Z to 2026-01-31 07:59:00Z: not worn",
  ])
  expect(formatRemarks(coverage, 0)).toEqual(["  and 1 more: --json has them"])
})

test("colours change nothing but colours", async () => {
  const { metric } = await someDay()
  const colored = formatStrip(metric.days[0]!, { isColored: true })
  expect(colored).toContain("\u001b[32m█\u001b[0m")
  expect(colored.replaceAll(/\u001b\[\d+m/g, "")).toBe(formatStrip(metric.days[0]!, plain))
})

test("of the fleet a day is one sign", async () => {
  const { coverage } = await someDay()
  expect(formatFleetStrip(coverage, plain)).toBe("▒")
  const empty: MetricDay = {
    ...coverage.metrics[0]!.days[0]!,
    readings: 0,
    parts: Array.from({ length: 24 }, () => 0),
  }
  expect(
    formatFleetStrip({ ...coverage, metrics: [{ ...coverage.metrics[0]!, days: [empty] }] }, plain),
  ).toBe("·")
})

test.each([
  [0, "0 s"],
  [0.004, "0.004 s"],
  [5, "5 s"],
  [108, "1 min 48 s"],
  [11_520, "3 h 12 min"],
  [86_400, "1 d"],
  [90_000, "1 d 1 h"],
])("%d seconds are %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text)
})
