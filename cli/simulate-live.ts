/** What a person sees of a scenario while it runs: a few lines that are written over on a terminal, plain ones when piped. */
import { showControlsInLines } from "../chain/visible-text.ts"
import type { Sample } from "../devices-sim/run-report.ts"
import type { RunProgress } from "../devices-sim/scenario-run.ts"
import { formatDuration } from "../devices-sim/duration.ts"
import { count, formatBar, formatNumber } from "./output.ts"

const plainMsMin = 5_000

export class LiveView {
  private readonly stream: NodeJS.WriteStream
  private readonly isTerminal: boolean
  private linesShown = 0
  private saidAtMs = -Infinity

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.stream = stream
    this.isTerminal = stream.isTTY
  }

  /** A line that stays. */
  say(line: string): void {
    this.clear()
    this.stream.write(`${showControlsInLines(line)}\n`)
  }

  show(sample: Sample, before: Sample | null, progress: RunProgress): void {
    if (!this.isTerminal) {
      if (sample.wallMs - this.saidAtMs < plainMsMin) return
      this.saidAtMs = sample.wallMs
      this.stream.write(`${showControlsInLines(plainLine(sample, before, progress))}\n`)
      return
    }
    this.clear()
    const lines = liveLines(sample, before, progress).map((line) => line.slice(0, this.stream.columns || 200))
    this.stream.write(lines.map((line) => `${showControlsInLines(line)}\n`).join(""))
    this.linesShown = lines.length
  }

  clear(): void {
    if (this.linesShown > 0) this.stream.write(`\u001b[${this.linesShown}A\u001b[J`)
    this.linesShown = 0
  }
}

function rateOf(sample: Sample, before: Sample | null): number {
  const ms = sample.wallMs - (before?.wallMs ?? 0)
  return (sample.acknowledged * 1000) / Math.max(1, ms)
}

function plainLine(sample: Sample, before: Sample | null, { measures, scenarioMs }: RunProgress): string {
  return [
    formatDuration(scenarioMs),
    `${count(sample.connected, "device")} connected`,
    `made ${formatNumber(measures.count("made"))}`,
    `acknowledged ${formatNumber(measures.count("acknowledged"))} (${formatNumber(rateOf(sample, before))}/s)`,
    `PUBACK p95 ${formatMs(sample.p95)}`,
    verdictsOf(measures),
  ].join(", ")
}

function liveLines(sample: Sample, before: Sample | null, progress: RunProgress): string[] {
  const { measures, devices, planned, scenarioMs, endMs } = progress
  const made = measures.count("made")
  const acknowledged = measures.count("acknowledged")
  const share = planned !== null ? [acknowledged, planned] : endMs !== null ? [scenarioMs, endMs] : [0, 1]
  const all = measures.trend("puback_ms")
  return [
    `${formatBar(share[0]!, share[1]!)}  ${formatDuration(scenarioMs)}${endMs === null ? "" : ` of ${formatDuration(endMs)}`}`,
    `  devices    ${formatNumber(sample.connected)} of ${formatNumber(devices)} connected, ${formatNumber(measures.count("faults"))} faults so far`,
    `  statements ${formatNumber(made)} made, ${formatNumber(acknowledged)} acknowledged, ${formatNumber(rateOf(sample, before))}/s`,
    `  PUBACK     p50 ${formatMs(all.percentile(50))}  p95 ${formatMs(all.percentile(95))}  p99 ${formatMs(all.percentile(99))}  now p95 ${formatMs(sample.p95)}`,
    `  verdicts   ${verdictsOf(measures)}`,
  ]
}

function verdictsOf(measures: RunProgress["measures"]): string {
  const told = measures.parts("verdicts").filter(([part]) => part !== "verdict:head")
  return told.length === 0
    ? "no verdicts yet"
    : told.map(([part, times]) => `${part.slice("verdict:".length)} ${formatNumber(times)}`).join(", ")
}

function formatMs(ms: number | null): string {
  return ms === null ? "-" : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
}
