/** A run's report as JUnit XML, for continuous integration: each truth, threshold, fault and group of devices is a case. */
import type { RunEnding, RunReport } from "./run-report.ts"
import { formatValue } from "./report-text.ts"

interface Case {
  readonly suite: string
  readonly name: string
  readonly failure: string | null
  readonly skipped: string | null
}

export function formatRunJunit(report: RunReport): string {
  const cases = casesOf(report)
  const suites = [...new Set(cases.map(({ suite }) => suite))]
  const seconds = (report.wallMs / 1000).toFixed(3)
  const failed = cases.filter(({ failure }) => failure !== null).length
  return [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<testsuites${attributes({ name: `tidemark ${report.scenario}`, tests: cases.length, failures: failed, errors: 0, time: seconds })}>`,
    ...suites.flatMap((suite) =>
      formatSuite(
        suite,
        cases.filter((one) => one.suite === suite),
        report,
        seconds,
      ),
    ),
    `</testsuites>`,
    "",
  ].join("\n")
}

function casesOf(report: RunReport): Case[] {
  const { truths, thresholds, faults, ending, devices } = report
  return [
    ...truths.map(({ name, against, againstCount, skipped }): Case => ({
      suite: "truth",
      name,
      failure: againstCount === 0 ? null : [`${againstCount} against it`, ...against].join("\n"),
      skipped,
    })),
    ...thresholds.map(({ metric, expression, value, passed }): Case => ({
      suite: "thresholds",
      name: `${metric}: ${expression}`,
      failure: passed ? null : `measured: ${value === null ? "nothing" : formatValue(value)}`,
      skipped: null,
    })),
    ...faults.map(({ kind, planned, met, unmet, expected, details }): Case => ({
      suite: "faults",
      name: `${kind}: ${expected.length === 0 ? "no verdict" : expected.join(" or ")}`,
      failure: unmet === 0 ? null : [`${unmet} of ${planned} were answered otherwise`, ...details].join("\n"),
      skipped: met + unmet === 0 ? "it never came to happen" : null,
    })),
    ...devices
      .filter((device) => device.faults.length > 0)
      .map(({ id, faults: against }): Case => ({
        suite: "devices",
        name: id,
        failure: against.join("\n"),
        skipped: null,
      })),
    {
      suite: "run",
      name: "it ran to its end",
      failure: describeEnding(ending),
      skipped: null,
    },
  ]
}

/** Null where it ran to its end. */
export function describeEnding(ending: RunEnding): string | null {
  switch (ending.kind) {
    case "whole":
      return null
    case "stopped":
      return "its user stopped it before its end"
    default:
      return ending.why
  }
}

function formatSuite(suite: string, cases: readonly Case[], report: RunReport, seconds: string): string[] {
  const { scenario, seed, repeat, startedAt } = report
  const failures = cases.filter(({ failure }) => failure !== null).length
  const skipped = cases.filter((one) => one.failure === null && one.skipped !== null).length
  const properties = { seed: String(seed), repeat, fingerprint: report.fingerprint }
  return [
    `  <testsuite${attributes({
      name: `${scenario}.${suite}`,
      tests: cases.length,
      failures,
      errors: 0,
      skipped,
      time: seconds,
      timestamp: startedAt.replace(/\.\d+Z$/, ""),
    })}>`,
    `    <properties>`,
    ...Object.entries(properties).map(([name, value]) => `      <property${attributes({ name, value })}/>`),
    `    </properties>`,
    ...cases.map((one) => formatCase(one, `tidemark.${scenario}.${suite}`)),
    `  </testsuite>`,
  ]
}

function formatCase({ name, failure, skipped }: Case, className: string): string {
  const head = `    <testcase${attributes({ name, classname: className, time: "0" })}`
  if (failure !== null) {
    const [message = ""] = failure.split("\n")
    return `${head}>\n      <failure${attributes({ message, type: "failed" })}>${escape(failure)}</failure>\n    </testcase>`
  }
  if (skipped !== null)
    return `${head}>\n      <skipped${attributes({ message: skipped })}/>\n    </testcase>`
  return `${head}/>`
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escape(String(value)).replaceAll("\n", "&#10;")}"`)
    .join("")
}

/** XML 1.0 §2.2 has no other control characters. */
function escape(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
}
