/** A run's report as one HTML file: no script, no font and nothing else from elsewhere. */
import { formatDuration } from "./duration.ts"
import { escapeHtml, formatChart, medianOf } from "./report-chart.ts"
import { describeEnding } from "./report-junit.ts"
import { formatCount, formatPercentiles, formatValue } from "./report-text.ts"
import type { RunReport, Sample } from "./run-report.ts"

/** The JSON report has them all. */
const devicesMax = 500

export function formatRunHtml(report: RunReport): string {
  const title = `${report.scenario}, seed ${report.seed}: ${report.verdict}`
  return [
    `<!doctype html>`,
    `<html lang="en">`,
    `<head>`,
    `<meta charset="utf-8">`,
    `<meta name="viewport" content="width=device-width, initial-scale=1">`,
    `<title>${escapeHtml(title)}</title>`,
    `<style>${style}</style>`,
    `</head>`,
    `<body>`,
    header(report),
    figures(report),
    charts(report),
    thresholds(report),
    truths(report),
    faults(report),
    groups(report),
    devices(report),
    footer(report),
    `</body>`,
    `</html>`,
    ``,
  ]
    .filter((part, index, all) => part !== "" || index === all.length - 1)
    .join("\n")
}

function header({ scenario, about, seed, verdict, ending, startedAt, version }: RunReport): string {
  const words = {
    passed: "Passed",
    failed: "Failed",
    stopped: "Stopped",
    stalled: "Stalled",
    "not-run": "Could not run",
  } as const
  const how = describeEnding(ending)
  return `<header>
<p class="verdict ${verdict}">${words[verdict]}</p>
<h1>${escapeHtml(scenario)}</h1>
<p>${escapeHtml(about)}</p>${how === null ? "" : `\n<p>It did not run to its end: ${escapeHtml(how)}.</p>`}
<p class="quiet">Seed ${seed}, begun ${escapeHtml(startedAt.replace("T", " ").replace(/\.\d+Z$/, " UTC"))}, Tidemark ${escapeHtml(version)}</p>
</header>`
}

function figures(report: RunReport): string {
  const { counts, wallMs, scenarioMs, ackMs, block } = report
  const cards: readonly (readonly [string, string, string])[] = [
    ["made", formatCount(counts.made), `${formatCount(counts.readings)} readings`],
    ["acknowledged", formatCount(counts.acknowledged), `${formatCount(counts.sent)} publishes`],
    [
      "stored",
      counts.stored === null ? "?" : formatCount(counts.stored),
      `${formatCount(counts.demanded)} demanded`,
    ],
    [
      "sealed",
      counts.sealed === null ? "?" : formatCount(counts.sealed),
      block === null ? "no block" : `in blocks up to ${block.height}`,
    ],
    [
      "PUBACK p95",
      ackMs === null ? "-" : `${formatMs(ackMs.p95)} ms`,
      ackMs === null ? "none came" : `p99 ${formatMs(ackMs.p99)} ms`,
    ],
    ["time", formatDuration(wallMs), `devices: ${formatDuration(scenarioMs)}`],
  ]
  return `<section class="cards">${cards
    .map(
      ([name, value, rest]) =>
        `<div class="card"><div class="name">${escapeHtml(name)}</div><div class="value">${escapeHtml(value)}</div><div class="quiet">${escapeHtml(rest)}</div></div>`,
    )
    .join("")}</section>`
}

/** Short enough for a card. */
function formatMs(ms: number): string {
  return formatValue(ms >= 100 ? Math.round(ms) : ms)
}

function charts({ samples: all, isVirtual }: RunReport): string {
  const samples = wholePieces(all)
  if (samples.length === 0) return ""
  const at = samples.map((sample) => (isVirtual ? sample.atMs : sample.wallMs))
  const perSecond = (of: "made" | "acknowledged"): (number | null)[] =>
    samples.map((sample, index) => {
      // Nobody was there to be answered: nothing was measured, which is not the same as 0.
      if (of === "acknowledged" && sample.connected === 0 && sample.acknowledged === 0) return null
      const ms = sample.wallMs - (samples[index - 1]?.wallMs ?? 0)
      return (sample[of] * 1000) / Math.max(1, ms)
    })
  return `<section><h2>How it went</h2>
${formatChart({
  title: "Statements",
  unit: "per second of wall time",
  at,
  formatAt,
  lines: [
    { name: "made", style: "c2", values: perSecond("made") },
    { name: "acknowledged", style: "c1", values: perSecond("acknowledged") },
  ],
})}
${formatChart({
  title: "PUBACK",
  unit: "ms from publish",
  at,
  formatAt,
  lines: [
    { name: "p99", style: "c3", values: samples.map(({ p99 }) => p99) },
    { name: "p95", style: "c2", values: samples.map(({ p95 }) => p95) },
    { name: "p50", style: "c1", values: samples.map(({ p50 }) => p50) },
  ],
})}
${formatChart({
  title: "Devices",
  unit: "connected",
  at,
  formatAt,
  lines: [{ name: "connected", style: "c1", values: samples.map(({ connected }) => connected) }],
})}
</section>`
}

/** Without a last piece that is much shorter than the others: a rate of a few milliseconds says nothing. */
function wholePieces(samples: readonly Sample[]): readonly Sample[] {
  const lengths = samples.map(({ wallMs }, index) => wallMs - (samples[index - 1]?.wallMs ?? 0))
  const usual = medianOf(lengths)
  return samples.length > 1 && lengths.at(-1)! < usual / 2 ? samples.slice(0, -1) : samples
}

function formatAt(ms: number): string {
  return ms === 0 ? "0" : formatDuration(ms)
}

function thresholds({ thresholds: all }: RunReport): string {
  if (all.length === 0) return ""
  const rows = all.map(({ metric, expression, value, passed }) => [
    mark(passed),
    `<code>${escapeHtml(metric)}</code>`,
    `<code>${escapeHtml(expression)}</code>`,
    value === null ? "nothing" : formatValue(value),
  ])
  return `<section><h2>Thresholds</h2>${table(["", "metric", "must hold", "measured"], rows, [3])}</section>`
}

function truths({ truths: all }: RunReport): string {
  const items = all.map(({ name, against, againstCount, skipped }) => {
    const state = skipped === null ? mark(againstCount === 0) : "–"
    const rest = againstCount - against.length
    const named = against.map((one) => `<li>${escapeHtml(one)}</li>`).join("")
    const more = rest > 0 ? `<li class="quiet">and ${formatCount(rest)} more</li>` : ""
    const why = skipped === null ? "" : ` <span class="quiet">not looked at: ${escapeHtml(skipped)}</span>`
    return `<li>${state} ${escapeHtml(name)}${why}${named === "" ? "" : `<ul>${named}${more}</ul>`}</li>`
  })
  return `<section><h2>Truth</h2><ul class="truths">${items.join("")}</ul></section>`
}

function faults({ faults: all }: RunReport): string {
  if (all.length === 0) return ""
  const rows = all.map(({ kind, planned, met, unmet, skipped, expected }) => [
    mark(unmet === 0),
    escapeHtml(kind),
    escapeHtml(expected.length === 0 ? "no verdict" : expected.join(", ")),
    ...[planned, met, unmet, skipped].map(formatCount),
  ])
  const details = all.flatMap(({ details: named }) => named)
  const list =
    details.length === 0 ? "" : `<ul>${details.map((one) => `<li>${escapeHtml(one)}</li>`).join("")}</ul>`
  return `<section><h2>Faults</h2>${table(["", "fault", "expected", "planned", "as expected", "otherwise", "not reached"], rows, [3, 4, 5, 6])}${list}</section>`
}

function groups({ groups: all }: RunReport): string {
  const rows = all.map(({ name, devices: count, made, acknowledged, stored, ackMs }) => [
    escapeHtml(name),
    ...[count, made, acknowledged].map(formatCount),
    stored === null ? "?" : formatCount(stored),
    escapeHtml(formatPercentiles(ackMs)),
  ])
  return `<section><h2>Groups</h2>${table(["group", "devices", "made", "acknowledged", "stored", "PUBACK"], rows, [1, 2, 3, 4])}</section>`
}

function devices({ devices: all }: RunReport): string {
  const ordered = all.toSorted((a, b) => Number(b.faults.length > 0) - Number(a.faults.length > 0))
  const rows = ordered.slice(0, devicesMax).map((device) => {
    const receipts = Object.entries(device.receipts).map(
      ([verdict, count]) => `${verdict} ${formatCount(count)}`,
    )
    const named = device.faults.map((fault) => `<li>${escapeHtml(fault)}</li>`).join("")
    return [
      mark(device.faults.length === 0),
      `${escapeHtml(device.id)}${named === "" ? "" : `<ul>${named}</ul>`}`,
      device.key,
      ...[device.demanded, device.made, device.sent, device.acknowledged].map(formatCount),
      escapeHtml(receipts.join(", ")),
      ...[device.stored, device.sealed].map((one) => (one === null ? "?" : formatCount(one))),
      ...[device.unanswered, device.reconnects].map(formatCount),
    ]
  })
  const hidden = all.length - rows.length
  const rest = hidden > 0 ? `<p class="quiet">and ${formatCount(hidden)} more, in the JSON report</p>` : ""
  const titles = [
    "",
    "device",
    "key",
    "demanded",
    "made",
    "sent",
    "acknowledged",
    "receipts",
    "stored",
    "sealed",
    "unanswered",
    "reconnects",
  ]
  return `<section><h2>Devices</h2><div class="wide">${table(titles, rows, [3, 4, 5, 6, 8, 9, 10, 11])}</div>${rest}</section>`
}

function footer({ repeat, fingerprint, generator, block }: RunReport): string {
  const { cpuShare, cpuSeconds, memoryBytesMax, cpuMicrosPerStatement: each } = generator
  const cost = `${cpuShare.toFixed(2)} cores (${cpuSeconds.toFixed(1)} s of processor time${each === null ? "" : `, ${formatCount(Math.round(each))} µs a statement`}) and ${formatCount(Math.round(memoryBytesMax / 1e6))} MB`
  const sealed =
    block === null
      ? ""
      : `<p>Last block ${block.height}: ${formatCount(block.treeSize)} leaves, root <code>${escapeHtml(block.root)}</code></p>`
  return `<footer>
<p>The simulator's own cost, which is not the service's: ${cost}.</p>
${sealed}
<p>Fingerprint of every device's last entry: <code>${fingerprint}</code></p>
<p>Repeat: <code>${escapeHtml(repeat)}</code></p>
</footer>`
}

function mark(isGood: boolean): string {
  return isGood ? `<b class="good">✓</b>` : `<b class="bad">✗</b>`
}

/** @param numbers columns that stand to the right */
function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  numbers: readonly number[],
): string {
  const cell = (tag: string, text: string, column: number): string =>
    `<${tag}${numbers.includes(column) ? ' class="number"' : ""}>${text}</${tag}>`
  const head = titles.map((title, column) => cell("th", escapeHtml(title), column)).join("")
  const body = rows.map((row) => `<tr>${row.map((text, column) => cell("td", text, column)).join("")}</tr>`)
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join("\n")}</tbody></table>`
}

const style = `
:root { color-scheme: light dark; --ground: #fff; --text: #1c2430; --quiet: #5d6b7d; --line: #d9e0e8; --card: #f5f7fa; --c1: #0b6bcb; --c2: #b35c00; --c3: #b3261e; --good: #19713a; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ground: #12171e; --text: #e4e9ef; --quiet: #9aa7b6; --line: #2c3642; --card: #1a212a; --c1: #6cb2ff; --c2: #f0a75a; --c3: #ff8a80; --good: #6fd08c; --bad: #ff8a80 } }
body { font: 15px/1.5 system-ui, sans-serif; background: var(--ground); color: var(--text); margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 62rem }
h1 { margin: 0.2rem 0; font-size: 1.9rem } h2 { margin: 2.2rem 0 0.6rem; font-size: 1.2rem }
header p { margin: 0.2rem 0 } .quiet, .unit, figcaption { color: var(--quiet) }
.verdict { display: inline-block; padding: 0.15rem 0.8rem; border-radius: 1rem; border: 2px solid; font-weight: 600 }
.passed, .good { color: var(--good) } .failed, .stalled, .not-run, .bad { color: var(--bad) } .stopped { color: var(--c2) }
.cards { display: grid; grid-template-columns: repeat(6, 1fr); gap: 0.5rem; margin-top: 1.5rem }
@media (max-width: 60rem) { .cards { grid-template-columns: repeat(3, 1fr) } } @media (max-width: 32rem) { .cards { grid-template-columns: repeat(2, 1fr) } }
.card { background: var(--card); border-radius: 0.5rem; padding: 0.6rem; white-space: nowrap } .card .value { font-size: 1.3rem; font-weight: 600 } .card .name { color: var(--quiet) } .card .quiet { font-size: 0.83rem }
figure { margin: 0 0 1.4rem } svg { width: 100%; height: auto; display: block } figcaption b { color: var(--text) }
.grid { stroke: var(--line) } .tick { fill: var(--quiet); font-size: 11px } .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round }
.c1 { stroke: var(--c1) } .c2 { stroke: var(--c2) } .c3 { stroke: var(--c3) }
.key { margin-left: 1rem; white-space: nowrap } .key i { display: inline-block; width: 1.1rem; height: 3px; margin-right: 0.35rem; vertical-align: middle; background: currentColor }
.key i.c1 { color: var(--c1) } .key i.c2 { color: var(--c2) } .key i.c3 { color: var(--c3) }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: 0.3rem 0.7rem 0.3rem 0; border-bottom: 1px solid var(--line); vertical-align: top } th { color: var(--quiet); font-weight: 500 }
.number { text-align: right; font-variant-numeric: tabular-nums } ul.truths { list-style: none; padding: 0 } ul.truths > li { margin: 0.25rem 0 } td ul { margin: 0.2rem 0; padding-left: 1.2rem; color: var(--bad) }
code { font: 0.92em ui-monospace, monospace; overflow-wrap: anywhere } footer { margin-top: 2.5rem; color: var(--quiet) } footer p { margin: 0.3rem 0 }
`
