/** What is missing of a device, and why: how it is asked, a strip of the day's hours for each metric, the gaps in words. */
import { ask } from "./answer.ts"
import { type Child, h, svg } from "./element.ts"
import {
  type Coverage,
  type MetricCoverage,
  describeDays,
  importedAfterSeconds,
  nameCause,
  silencesOf,
} from "./silence.ts"
import type { Span } from "./span.ts"
import { formatCount, formatDuration, formatInstant } from "./time.ts"

const daySeconds = 86_400
/** Of an answer; the service takes 366. */
const daysPerAnswer = 360
/** Gaps of a metric in an answer, about: a few days list nearly all of theirs, a year the first of each day. */
const gapsPerAnswer = 20_000
export const gapsPerDayMax = 10_000
/** Ten years, from the end back: a reading of 1970 does not make sixty requests. */
const answersMax = 10

export interface CoverageWanted extends Span {
  readonly device: string
  /** Only this one; all where it is left out. */
  readonly metric?: string
  /** How many gaps a day lists. */
  readonly gaps?: number
}

/** Coverage of the days of a range, in windows in order of time. */
export async function readCoverage(
  { device, metric, gaps, from, to }: CoverageWanted,
  signal: AbortSignal,
): Promise<readonly Coverage[]> {
  const answers: Coverage[] = []
  const firstDay = Math.floor(from / daySeconds) * daySeconds
  let end = (Math.floor(to / daySeconds) + 1) * daySeconds
  while (end > firstDay && answers.length < answersMax) {
    const start = Math.max(firstDay, end - daysPerAnswer * daySeconds)
    const perDay = Math.floor((gapsPerAnswer * daySeconds) / (end - start))
    const query = {
      device,
      metric,
      gaps: Math.min(gapsPerDayMax, gaps ?? perDay),
      from: start,
      to: end,
      liveWithin: importedAfterSeconds,
    }
    answers.unshift(await ask<Coverage>("/v1/coverage", query, signal))
    end = start
  }
  return answers
}

const gapsMax = 30

/** Of these last days. */
const daysShown = 14

/** Null where there is nothing to tell. */
export function showCoverage(answers: readonly Coverage[], nowSeconds: number): HTMLElement | null {
  const latest = answers.at(-1)
  if (latest === undefined) return null
  const coverage = lastDays(latest, daysShown)
  const seen = coverage.days.flatMap((_, day) =>
    coverage.metrics.some(({ days }) => days[day]!.parts.some((part) => part !== null)) ? [day] : [],
  )
  const first = seen[0]
  const last = seen.at(-1)
  if (first === undefined || last === undefined) return null
  const shown = { ...coverage, days: coverage.days.slice(first, last + 1) }
  const metrics = coverage.metrics.map((one) => ({ ...one, days: one.days.slice(first, last + 1) }))
  // Of all of its time, and each once: as the charts have them.
  const gaps = [...silencesOf(answers, nowSeconds)]
    .flatMap(([metric, silence]) => silence.gaps.map((gap) => ({ metric, ...gap })))
    .toSorted((a, b) => b.to - b.from - (a.to - a.from))
  return h(
    "section",
    { class: "section" },
    h("h2", {}, "What is missing, and why"),
    h(
      "p",
      { class: "hint" },
      shown.days.length === 1
        ? `${shown.days[0]} in UTC, hour by hour.`
        : `${shown.days[0]} to ${shown.days.at(-1)} in UTC, hour by hour: the last days with readings, fourteen at most.`,
    ),
    h(
      "div",
      { class: "sheet coverage" },
      metrics.map((one) => renderMetric(one, shown.days)),
    ),
    gaps.length > 0 &&
      h(
        "details",
        { class: "gaps" },
        h(
          "summary",
          {},
          gaps.length === 1 ? "The gap" : `The ${formatCount(Math.min(gaps.length, gapsMax))} longest gaps`,
        ),
        h(
          "div",
          { class: "sheet table-frame", tabindex: 0, role: "region", "aria-label": "Gaps" },
          h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["Metric", "From (UTC)", "For", "Why"].map((text) => h("th", { scope: "col" }, text)),
              ),
            ),
            h(
              "tbody",
              {},
              gaps
                .slice(0, gapsMax)
                .map(({ metric, from, to, cause }) =>
                  h(
                    "tr",
                    {},
                    h("td", {}, metric),
                    h("td", { class: "when" }, formatInstant(from)),
                    h("td", { class: "when" }, cause === "not-yet" ? "goes on" : formatDuration(to - from)),
                    h("td", {}, nameCause(cause)),
                  ),
                ),
            ),
          ),
        ),
      ),
  )
}

/** What the device explained is another thing than what nobody knows, and both than what may still come. */
function toneOf(share: number, cause: string | null): string {
  if (share >= 0.5) return share >= 0.995 ? "whole" : "partly"
  return cause === "never-sent" ? "missing" : cause === "not-yet" ? "to-come" : "told"
}

function lastDays({ days, boundaries, metrics }: Coverage, count: number): Coverage {
  return {
    days: days.slice(-count),
    boundaries: boundaries.slice(-count - 1),
    metrics: metrics.map((one) => ({ ...one, days: one.days.slice(-count) })),
  }
}

const partWidth = 10
const height = 22

function renderMetric(found: MetricCoverage, names: readonly string[]): HTMLElement {
  const { metric, days } = found
  const parts = days.flatMap((day, index) =>
    day.parts.map((share, part) => ({
      share,
      cause: day.causes[part] ?? null,
      day: names[index]!,
      part,
      of: day.parts.length,
    })),
  )
  const words = describeDays(found)
  const cells: Child[] = parts.map(({ share, cause, day, part, of }, place) =>
    share === null
      ? null
      : svg(
          "rect",
          {
            x: place * partWidth + 0.5,
            y: 0,
            width: partWidth - 1,
            height,
            class: toneOf(share, cause),
          },
          svg(
            "title",
            {},
            `${day} ${String(Math.floor((part * 24) / of)).padStart(2, "0")}:00, ${Math.round(share * 100)} %${cause === null ? "" : `, ${nameCause(cause)}`}`,
          ),
        ),
  )
  const ends = days.slice(1).map((_, day) => {
    const x = (day + 1) * days[0]!.parts.length * partWidth
    return svg("line", { x1: x, x2: x, y1: -2, y2: height + 2, class: "midnight" })
  })
  return h(
    "div",
    { class: "coverage-row" },
    h("span", { class: "name" }, metric),
    svg(
      "svg",
      {
        viewBox: `0 -2 ${parts.length * partWidth} ${height + 4}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${metric}: ${words}`,
      },
      cells,
      ends,
    ),
    h("span", { class: "words" }, words),
  )
}
