/** Coverage for a person: a strip of 24 parts for each day of a metric, what is missing and why. */
import { showControls } from "../chain/visible-text.ts"
import type { MetricCoverage, MetricDay, MissingCause, Remark } from "../research/coverage.ts"
import type { DeviceCoverage } from "../research/coverage-report.ts"
import { formatNumber } from "./output.ts"

/** In words, and the letter of a part of which less than half is covered. */
const causes: Readonly<Record<MissingCause, readonly [letter: string, words: string]>> = {
  "lost-not-worn": ["w", "not worn"],
  "lost-sensor-off": ["o", "sensor off"],
  "lost-buffer-overflow": ["b", "lost (buffer overflow)"],
  "lost-refused": ["r", "lost (refused)"],
  "lost-other": ["l", "lost (other reason)"],
  unread: ["u", "unread"],
  ahead: ["a", "ahead of its time"],
  "not-yet": ["?", "nothing since"],
  "never-sent": ["·", "never sent"],
}

export interface StripOptions {
  readonly isColored: boolean
}

const colors = { whole: 32, some: 33, missing: 31, quiet: 90 } as const

function paint(text: string, color: keyof typeof colors, { isColored }: StripOptions): string {
  return isColored && text !== "" ? `\u001b[${colors[color]}m${text}\u001b[0m` : text
}

/** A sign for each part: blank where nothing was to be expected. */
export function formatStrip(
  { parts, causes: partCauses }: Pick<MetricDay, "parts" | "causes">,
  options: StripOptions,
): string {
  return parts
    .map((share, part) => {
      const cause = partCauses[part] ?? null
      if (share === null) return " "
      if (cause !== null) return paint(causes[cause][0], cause === "never-sent" ? "missing" : "some", options)
      return share >= 0.995 ? paint("█", "whole", options) : paint(share >= 0.75 ? "▓" : "▒", "some", options)
    })
    .join("")
}

/** `3 h 12 min`, the two largest units. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds)
  const units = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ] as const
  const at = units.findIndex(([size]) => whole >= size)
  if (at === -1) return seconds > 0 ? `${Number(seconds.toPrecision(2))} s` : "0 s"
  const [size, name] = units[at]!
  const next = units[at + 1]
  const rest = next === undefined ? 0 : Math.floor((whole % size) / next[0])
  return `${Math.floor(whole / size)} ${name}${rest > 0 ? ` ${rest} ${next![1]}` : ""}`
}

export const legend = [
  "a column is 1/24 of a day: █ whole  ▓ over 3/4  ▒ over half, or else why it is missing:",
  "· never sent  w not worn  o sensor off  b buffer overflow  r refused  l lost  u unread  a ahead  ? nothing since",
].join("\n")

export function formatDeviceTitle(coverage: DeviceCoverage): string {
  const { device, status, statements, lastArrivalAt } = coverage
  const arrival = lastArrivalAt === null ? "nothing arrived yet" : `last arrival ${formatTime(lastArrivalAt)}`
  return `${device}  ${status}, ${formatNumber(statements)} ${statements === 1 ? "statement" : "statements"} without a gap in the chain, ${arrival}`
}

/** The days of a metric, those left out before which nothing is known. */
export function formatMetric(
  coverage: DeviceCoverage,
  metric: MetricCoverage,
  options: StripOptions,
): string {
  const rhythm =
    metric.rhythmSeconds === null
      ? "no rhythm: counted only"
      : `every ${formatDuration(metric.rhythmSeconds)}, a gap is over ${formatDuration(metric.gapAfterSeconds!)}`
  const lines = [`${showControls(metric.metric)}  ${paint(rhythm, "quiet", options)}`]
  for (const [index, day] of metric.days.entries()) {
    const isBlank = day.readings === 0 && day.parts.every((part) => part === null)
    if (isBlank) continue
    const strip = metric.rhythmSeconds === null ? "" : `${formatStrip(day, options)}  `
    const words = formatDayWords(day)
    lines.push(
      `  ${coverage.days[index]}  ${strip}${formatNumber(day.readings).padStart(10)}${words === "" ? "" : `  ${words}`}`,
    )
  }
  if (lines.length === 1) lines.push(`  ${paint("nothing in these days", "quiet", options)}`)
  return lines.join("\n")
}

function formatDayWords({ missingSeconds, late, unsealed, readings, gapsTotal }: MetricDay): string {
  const missing = Object.entries(missingSeconds)
    .toSorted(([, one], [, other]) => other - one)
    .map(([cause, seconds]) => `${causes[cause as MissingCause][1]} ${formatDuration(seconds)}`)
  const parts = [
    ...missing,
    ...(gapsTotal > 1 ? [`${formatNumber(gapsTotal)} gaps`] : []),
    ...(late > 0 ? [late === readings ? "all late" : `${formatNumber(late)} late`] : []),
    ...(unsealed > 0
      ? [unsealed === readings ? "not sealed yet" : `${formatNumber(unsealed)} not sealed yet`]
      : []),
  ]
  return parts.join(", ")
}

/** What the chain says, the latest arrival first; so many lines, and how many more there are. */
export function formatRemarks({ remarks, remarksComplete }: DeviceCoverage, linesMax: number): string[] {
  const lines = remarks
    .slice(0, linesMax)
    .map((remark) => `  statement ${remark.seq}: ${describeRemark(remark)}`)
  const more = remarks.length - lines.length
  if (more > 0 || !remarksComplete)
    lines.push(`  and ${formatNumber(more)}${remarksComplete ? "" : " or so"} more: --json has them`)
  return lines
}

function describeRemark(remark: Remark): string {
  if (remark.kind === "lost") {
    const count = remark.count === null ? "readings" : `${formatNumber(remark.count)} readings`
    return `the device lost ${count} from ${formatTime(remark.from)} to ${formatTime(remark.to)}: ${remark.reason.replaceAll("-", " ")}`
  }
  return remark.kind === "unread"
    ? `could not be read (${showControls(remark.rule)}); signed ${formatTime(remark.at)}`
    : `ahead of its time when it arrived ${formatTime(remark.arrivedAt)}`
}

export function formatRefusals({ refusals }: DeviceCoverage): string[] {
  return refusals.map(
    ({ verdict, count, lastAt }) =>
      `  refused ${verdict}: ${formatNumber(count)}, the last ${formatTime(lastAt)}`,
  )
}

/** A sign for each day of a device: the mean over its metrics. */
export function formatFleetStrip({ days, metrics }: DeviceCoverage, options: StripOptions): string {
  return days
    .map((_, index) => {
      const shares = metrics.flatMap(({ days: ofMetric }) =>
        ofMetric[index]!.parts.filter((part) => part !== null),
      )
      const readings = metrics.reduce((sum, { days: ofMetric }) => sum + ofMetric[index]!.readings, 0)
      if (shares.length === 0) return readings > 0 ? "+" : " "
      const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length
      if (mean >= 0.995) return paint("█", "whole", options)
      if (readings === 0) return paint("·", "missing", options)
      return paint(mean >= 0.75 ? "▓" : mean >= 0.25 ? "▒" : "░", "some", options)
    })
    .join("")
}

/** `2026-01-31 12:00:00Z`, or the seconds where no date reaches. */
function formatTime(seconds: number): string {
  const unixMs = seconds * 1000
  return Math.abs(unixMs) > 8.64e15
    ? `${seconds} s`
    : `${new Date(unixMs).toISOString().slice(0, 19).replace("T", " ")}Z`
}
