/** A device: its series over time, its chain, and what is known against it. */
import { ask } from "./answer.ts"
import { readCoverage, showCoverage } from "./coverage.ts"
import { h, replaceChildren } from "./element.ts"
import type { DeviceDetail } from "./device-detail.ts"
import { showAsOf, statusPill } from "./fleet.ts"
import { type Route, formatRoute } from "./route.ts"
import { readWords } from "./series.ts"
import type { Coverage } from "./silence.ts"
import { Stack } from "./stack.ts"
import { count, formatAgo, formatCount, formatInstant, parseInstant } from "./time.ts"
import { verificationOf } from "./verification.ts"
import { type Place, fact, hash, heading, loading, trail } from "./view.ts"

const rowsMax = 50

type DeviceRoute = Extract<Route, { view: "device" }>

export async function showDevice({ root, signal }: Place, route: DeviceRoute): Promise<void> {
  const { device } = route
  const way = trail(h("a", { href: "#/" }, "Fleet"), device)
  replaceChildren(root, way, heading(device, loading("the device")))
  const detail = await ask<DeviceDetail>(`/v1/devices/${encodeURIComponent(device)}`, {}, signal)
  showAsOf(detail.asOf)
  const coverage = coverageOf(detail, signal)
  const stack = new Stack({
    device,
    series: detail.series,
    range: route.from === null || route.to === null ? null : { from: route.from, to: route.to },
    unsealed: route.unsealed,
    coverage,
    signal,
    // The address follows what is seen, so that a link shows the same.
    onView: ({ range, unsealed }) =>
      history.replaceState(
        null,
        "",
        formatRoute({
          view: "device",
          device,
          from: range === null ? null : round(range.from),
          to: range === null ? null : round(range.to),
          unsealed,
        }),
      ),
    onTrace: (metric, point) => {
      if (point.entry === null) return
      location.hash = formatRoute({
        view: "statement",
        entry: point.entry,
        device,
        block: point.block,
        metric,
        time: point.time,
      })
    },
  })
  const missing = h("div", {})
  const verification = verificationOf({ detail, stack, signal })
  replaceChildren(
    root,
    way,
    heading([device, " ", statusPill(detail.status)], describe(detail), verification.actions),
    verification.panel,
    stack.root,
    missing,
    chain(detail),
  )
  stack.load()
  const said = await sayings(detail, signal)
  // Where it did not come, the charts say so.
  const strip = await coverage.then(
    (answers) => showCoverage(answers, Date.now() / 1000),
    () => null,
  )
  missing.replaceWith(...[said, strip].filter((part) => part !== null))
}

/** Of all of its time, for the charts and the strip alike: what is a gap is told once. */
function coverageOf({ id, series }: DeviceDetail, signal: AbortSignal): Promise<readonly Coverage[]> {
  const times = series
    .flatMap(({ from, to }) => [parseInstant(from), parseInstant(to)])
    .filter((time) => time !== null)
  const asked =
    times.length === 0
      ? Promise.resolve([])
      : readCoverage({ device: id, from: Math.min(...times), to: Math.max(...times) }, signal)
  asked.catch(() => {})
  return asked
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}

function describe({ statements, lastArrival, sealedHead, series }: DeviceDetail): string {
  if (statements === 0) return "It is enrolled and has said nothing yet."
  const readings = series.reduce((sum, { readings: number }) => sum + number, 0)
  const arrived = parseInstant(lastArrival)
  const sealed =
    sealedHead === null
      ? "none of it sealed yet"
      : sealedHead.seq === statements
        ? `all of it sealed, up to block ${sealedHead.block}`
        : `sealed up to statement ${formatCount(sealedHead.seq)}, in block ${sealedHead.block}`
  const last = arrived === null ? "" : `, the last ${formatAgo(arrived, Date.now() / 1000)}`
  return `${count(readings, "reading")} in ${count(statements, "statement")}${last}; ${sealed}.`
}

/** Metrics that are never a number: no chart, but what was said and when. */
async function sayings({ id, series }: DeviceDetail, signal: AbortSignal): Promise<HTMLElement | null> {
  const numbered = new Set(series.filter(({ kind }) => kind !== "text").map(({ metric }) => metric))
  const wordy = [...new Set(series.map(({ metric }) => metric))].filter((metric) => !numbered.has(metric))
  if (wordy.length === 0) return null
  const all = await Promise.all(
    wordy.map(async (metric) =>
      (await readWords(id, metric, signal, true)).map((words) => ({ metric, ...words })),
    ),
  )
  const rows = all.flat().toSorted((a, b) => a.from - b.from)
  return h(
    "section",
    { class: "section" },
    h("h2", {}, "Said in words"),
    h(
      "div",
      { class: "sheet table-frame", tabindex: 0, role: "region", "aria-label": "Said in words" },
      h(
        "table",
        {},
        rows.length > rowsMax && h("caption", {}, `The first ${rowsMax} of ${formatCount(rows.length)}.`),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Time (UTC)", "Metric", "Said"].map((text) => h("th", { scope: "col" }, text)),
          ),
        ),
        h(
          "tbody",
          {},
          rows
            .slice(0, rowsMax)
            .map(({ metric, from, to, text, count: times }) =>
              h(
                "tr",
                {},
                h("td", {}, formatInstant(from), to > from && ` to ${formatInstant(to)}`),
                h("td", {}, metric),
                h(
                  "td",
                  {},
                  `${text === "" ? "(an empty text)" : text}${times > 1 ? `, ${formatCount(times)} times` : ""}`,
                ),
              ),
            ),
        ),
      ),
    ),
  )
}

/** What the chain, the registry and the counters say. */
function chain(detail: DeviceDetail): HTMLElement {
  const { head, sealedHead, keys, refusals, unread, forks, firstReading, lastReading } = detail
  const first = parseInstant(firstReading)
  const last = parseInstant(lastReading)
  return h(
    "section",
    { class: "section" },
    h("h2", {}, "Chain and keys"),
    h(
      "div",
      { class: "sheet" },
      h(
        "dl",
        { class: "facts" },
        fact("First reading (its clock, UTC)", first === null ? "none" : formatInstant(first)),
        fact("Last reading", last === null ? "none" : formatInstant(last)),
        fact(
          "Head",
          head === null || head.seq === 0
            ? "none yet"
            : [`statement ${formatCount(head.seq)} `, head.entry !== null && hash(head.entry)],
        ),
        fact(
          "Sealed to",
          sealedHead === null
            ? "nothing yet"
            : h(
                "a",
                { href: formatRoute({ view: "block", height: sealedHead.block }) },
                `statement ${formatCount(sealedHead.seq)} in block ${sealedHead.block}`,
              ),
        ),
        fact(
          "Two histories signed",
          forks.length === 0 ? "never" : `at statement ${forks.slice(0, 5).join(", ")}`,
        ),
        fact(
          "Refused",
          refusals.length === 0
            ? "nothing"
            : refusals.map(({ verdict, count: number }) => `${formatCount(number)} ${verdict}`).join(", "),
        ),
        unread.length > 0 &&
          fact(
            "Kept and not readable",
            unread.map(({ rule, statements }) => `${count(statements, "statement")}: ${rule}`).join("; "),
            "wide",
          ),
      ),
    ),
    h("h2", { class: "section" }, "Keys"),
    h(
      "div",
      { class: "sheet table-frame cards" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Key", "From statement", "To statement", "Introduced by", "Possession"].map((text) =>
              h("th", { scope: "col" }, text),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          keys.map((key) =>
            h(
              "tr",
              {},
              h("td", { "data-label": "Key" }, h("code", {}, key.kid)),
              h("td", { "data-label": "From statement" }, formatCount(key.firstSeq)),
              h(
                "td",
                { "data-label": "To statement" },
                key.lastSeq === null
                  ? "still valid"
                  : `${formatCount(key.lastSeq)}, ended by ${key.endedBy ?? "the operator"}`,
              ),
              h("td", { "data-label": "Introduced by" }, key.introducedBy),
              h("td", { "data-label": "Possession" }, key.possessionProven ? "proven" : "not proven"),
            ),
          ),
        ),
      ),
    ),
  )
}
