/** A device: its series over time, its chain, and what is known against it. */
import { ask } from "./answer.ts"
import { type Child, h, replaceChildren } from "./element.ts"
import type { DeviceDetail } from "./device-detail.ts"
import { showAsOf, statusPill } from "./fleet.ts"
import { type Route, formatRoute } from "./route.ts"
import { readTexts } from "./series.ts"
import { Stack } from "./stack.ts"
import { count, formatAgo, formatCount, formatDuration, formatInstant, parseInstant } from "./time.ts"
import { verificationOf } from "./verification.ts"
import { type Place, fact, hash, heading, loading, trail } from "./view.ts"

type DeviceRoute = Extract<Route, { view: "device" }>

export async function showDevice({ root, signal }: Place, route: DeviceRoute): Promise<void> {
  const { device } = route
  const way = trail(h("a", { href: "#/" }, "Fleet"), device)
  replaceChildren(root, way, heading(device, loading("the device")))
  const detail = await ask<DeviceDetail>(`/v1/devices/${encodeURIComponent(device)}`, {}, signal)
  showAsOf(detail.asOf)
  const stack = new Stack({
    device,
    series: detail.series,
    range: route.from === null || route.to === null ? null : { from: route.from, to: route.to },
    signal,
    // The address follows what is seen, so that a link shows the same.
    onRange: (range) =>
      history.replaceState(
        null,
        "",
        formatRoute({
          view: "device",
          device,
          from: range === null ? null : round(range.from),
          to: range === null ? null : round(range.to),
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
  const verification = verificationOf({ detail, stack, signal })
  replaceChildren(
    root,
    way,
    heading([device, " ", statusPill(detail.status)], describe(detail), verification.actions),
    verification.panel,
    stack.root,
    await texts(detail, signal),
    chain(detail),
  )
  stack.load()
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

/** Metrics that come as words. */
async function texts({ id, series }: DeviceDetail, signal: AbortSignal): Promise<Child> {
  const wordy = series.filter(({ kind }) => kind === "text")
  if (wordy.length === 0) return null
  const all = await Promise.all(
    wordy.map(async ({ metric }) => ({ metric, ...(await readTexts(id, metric, signal)) })),
  )
  return h(
    "section",
    { class: "section" },
    h("h2", {}, "Said in words"),
    all.map(({ metric, rows, isWhole }) =>
      h(
        "div",
        { class: "sheet table-frame", tabindex: 0, role: "region", "aria-label": `${metric} in words` },
        h(
          "table",
          {},
          h(
            "caption",
            {},
            `${metric}: ${count(rows.length, "text")}${isWhole ? "" : " among the first readings"}`,
          ),
          h(
            "thead",
            {},
            h("tr", {}, h("th", { scope: "col" }, "Time (UTC)"), h("th", { scope: "col" }, "Said")),
          ),
          h(
            "tbody",
            {},
            rows
              .slice(0, 50)
              .map(({ time, text }) =>
                h(
                  "tr",
                  {},
                  h("td", { class: "when" }, formatInstant(parseInstant(time) ?? 0)),
                  h("td", {}, text),
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
  const { head, sealedHead, keys, gaps, refusals, unread, forks, firstReading, lastReading } = detail
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
                  ? "it stands"
                  : `${formatCount(key.lastSeq)}, ended by ${key.endedBy ?? "the operator"}`,
              ),
              h("td", { "data-label": "Introduced by" }, key.introducedBy),
              h("td", { "data-label": "Possession" }, key.possessionProven ? "proven" : "not proven"),
            ),
          ),
        ),
      ),
    ),
    gaps.length > 0 && [
      h("h2", { class: "section" }, "Longest silences"),
      h(
        "div",
        { class: "sheet table-frame" },
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["From (UTC)", "To", "For"].map((text) => h("th", { scope: "col" }, text)),
            ),
          ),
          h(
            "tbody",
            {},
            gaps.map(({ from, to }) => {
              const start = parseInstant(from) ?? 0
              const end = parseInstant(to) ?? 0
              return h(
                "tr",
                {},
                h("td", { class: "when" }, formatInstant(start)),
                h("td", { class: "when" }, formatInstant(end)),
                h("td", {}, formatDuration(end - start)),
              )
            }),
          ),
        ),
      ),
    ],
  )
}
