/** What is missing of a device, and why: a strip of the day's hours for each metric, and the gaps in words. */
import { ask } from "./answer.ts"
import { type Child, h, svg } from "./element.ts"
import { formatCount, formatDuration, formatInstant } from "./time.ts"

/** Of `/v1/coverage`. */
interface Coverage {
  readonly days: readonly string[]
  readonly metrics: readonly MetricCoverage[]
}

interface MetricCoverage {
  readonly metric: string
  readonly days: readonly MetricDay[]
}

interface MetricDay {
  readonly readings: number
  readonly missingSeconds: Readonly<Record<string, number>>
  /** Covered share of each of the day's parts; null: nothing was to be expected. */
  readonly parts: readonly (number | null)[]
  readonly causes: readonly (string | null)[]
  readonly gaps: readonly { readonly from: number; readonly to: number; readonly cause: string | null }[]
}

const causeWords: Readonly<Record<string, string>> = {
  "lost-not-worn": "not worn, as the device says",
  "lost-sensor-off": "sensor off, as the device says",
  "lost-buffer-overflow": "lost by the device: its memory was full",
  "lost-refused": "lost by the device: it had been refused",
  "lost-other": "lost by the device, for another reason",
  unread: "said, and could not be read",
  ahead: "said ahead of its time",
  "not-yet": "nothing has come since",
  "never-sent": "never sent: later readings came",
}

const gapsMax = 30

/** Null where there is nothing to tell. */
export async function showCoverage(device: string, signal: AbortSignal): Promise<HTMLElement | null> {
  const coverage = await ask<Coverage>("/v1/coverage", { device }, signal)
  const seen = coverage.days.flatMap((_, day) =>
    coverage.metrics.some(({ days }) => days[day]!.parts.some((part) => part !== null)) ? [day] : [],
  )
  const first = seen[0]
  const last = seen.at(-1)
  if (first === undefined || last === undefined) return null
  const shown = { ...coverage, days: coverage.days.slice(first, last + 1) }
  const metrics = coverage.metrics.map((one) => ({ ...one, days: one.days.slice(first, last + 1) }))
  const gaps = metrics
    .flatMap(({ metric, days }) => days.flatMap((day) => day.gaps.map((gap) => ({ metric, ...gap }))))
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
                    h("td", { class: "when" }, formatDuration(to - from)),
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

function nameCause(cause: string | null): string {
  return cause === null ? "" : (causeWords[cause] ?? cause)
}

const partWidth = 10
const height = 22

function renderMetric({ metric, days }: MetricCoverage, names: readonly string[]): HTMLElement {
  const parts = days.flatMap((day, index) =>
    day.parts.map((share, part) => ({
      share,
      cause: day.causes[part] ?? null,
      day: names[index]!,
      part,
      of: day.parts.length,
    })),
  )
  const words = describe(days)
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

function describe(days: readonly MetricDay[]): string {
  const missing = new Map<string, number>()
  for (const { missingSeconds } of days)
    for (const [cause, seconds] of Object.entries(missingSeconds))
      missing.set(cause, (missing.get(cause) ?? 0) + seconds)
  const told = [...missing].filter(([, seconds]) => seconds >= 1).toSorted((a, b) => b[1] - a[1])
  if (told.length === 0) return "nothing is missing"
  return told.map(([cause, seconds]) => `${formatDuration(seconds)}: ${nameCause(cause)}`).join("; ")
}
