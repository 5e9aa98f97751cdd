/** Blocks as a timeline: when each was sealed, and how much it holds. */
import { type Page, ask } from "./answer.ts"
import { h, replaceChildren, svg } from "./element.ts"
import { showAsOf } from "./fleet.ts"
import { formatRoute } from "./route.ts"
import { count as countOf, formatCount, formatDuration, formatInstant, parseInstant } from "./time.ts"
import { type Place, empty, heading, loading } from "./view.ts"
import { type Witnesses, describeWitnesses, witnessedPill } from "./witnesses.ts"

/** An item of `/v1/blocks`. */
export interface BlockRow {
  readonly height: number
  readonly from: string
  readonly to: string
  readonly firstLeaf: number
  readonly treeSize: number
  readonly root: string
  readonly devices: number
  readonly statements: number
  readonly readings: number
  readonly earliest: string | null
  readonly latest: string | null
  readonly manifest: string
  /** ISO time; null: not yet, or nobody is asked. */
  readonly witnessed: string | null
}

const perPage = 168

/** @param count how many of the newest are shown at least; null: a page */
export async function showBlocks({ root, signal }: Place, count: number | null): Promise<void> {
  const lead = loading("the blocks")
  const holder = h("div", {})
  const more = h("button", { class: "button", type: "button" }, "Earlier blocks")
  replaceChildren(root, heading("Blocks", lead), holder)
  let shown: BlockRow[] = []
  let next: string | null = null
  /** Whether there is more. */
  const load = async (): Promise<boolean> => {
    const [page, witnesses]: [Page<BlockRow>, Witnesses] = await Promise.all([
      ask<Page<BlockRow>>("/v1/blocks", { order: "desc", limit: perPage, cursor: next }, signal),
      ask<Witnesses>("/v1/witnesses", {}, signal),
    ])
    showAsOf(page.asOf)
    shown = [...shown, ...page.items]
    next = page.next
    lead.className = ""
    lead.textContent =
      "Every hour what came in is sealed: a block of the log, under a signed checkpoint. Nothing sealed can change without being found."
    if (shown.length === 0) {
      replaceChildren(
        holder,
        empty("Nothing is sealed yet", [
          "The next block comes on the hour, or with ",
          h("code", {}, "tidemark seal"),
          ".",
        ]),
      )
      return false
    }
    replaceChildren(
      holder,
      h("div", { class: "sheet timeline" }, timeline(shown.toReversed())),
      witnesses.policy !== null && describeWitnesses(witnesses),
      h(
        "section",
        { class: "section" },
        h("h2", {}, "All of them, newest first"),
        table(shown, witnesses.policy !== null),
        next !== null && h("p", { class: "section" }, more),
      ),
    )
    return next !== null
  }
  more.addEventListener("click", () => {
    load()
      .then(() => history.replaceState(null, "", formatRoute({ view: "blocks", count: shown.length })))
      .catch(() => {})
  })
  for (let hasMore = await load(); hasMore && shown.length < (count ?? 0);) hasMore = await load()
}

const width = 1100
const height = 190
const floor = 150

/** Time from left to right; a bar is as wide as its block lasted and as high as it holds statements (by square root). */
function timeline(blocks: readonly BlockRow[]): SVGElement {
  const spans = blocks.map((block) => ({
    block,
    from: parseInstant(block.from) ?? 0,
    to: parseInstant(block.to) ?? 0,
  }))
  const end = Math.max(spans.at(-1)!.to, spans[0]!.from + 1)
  // A few blocks do not fill the width: a bar is at most a twelfth of it.
  const longest = Math.max(...spans.map(({ from, to }) => to - from))
  const start = Math.min(spans[0]!.from, end - longest * 12)
  const xOf = (seconds: number): number => 10 + ((seconds - start) / (end - start)) * (width - 20)
  const most = Math.max(1, ...blocks.map(({ statements }) => statements))
  const bars = spans.map(({ block, from, to }, index) => {
    const left = xOf(from)
    // At least wide enough to hit, but never over its neighbour.
    const room = index + 1 < spans.length ? xOf(spans[index + 1]!.to) - left : width - 10 - left
    const wide = Math.max(Math.min(8, room), xOf(to) - left - 1.5)
    const high = Math.max(3, Math.sqrt(block.statements / most) * (floor - 30))
    const words = `Block ${block.height}: ${countOf(block.statements, "statement")} of ${countOf(block.devices, "device")}, sealed ${formatInstant(to)} UTC`
    const link = svg(
      "a",
      {
        href: formatRoute({ view: "block", height: block.height }),
        class: "bar-of-block",
        "aria-label": words,
      },
      svg("rect", {
        x: left.toFixed(1),
        y: (floor - high).toFixed(1),
        width: wide.toFixed(1),
        height: high.toFixed(1),
        rx: 3,
      }),
      svg("title", {}, words),
      blocks.length <= 24 &&
        svg(
          "text",
          { x: (left + wide / 2).toFixed(1), y: (floor - high - 8).toFixed(1), "text-anchor": "middle" },
          block.height,
        ),
    )
    return link
  })
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Blocks over time" },
    svg("line", { class: "axis", x1: 0, x2: width, y1: floor + 0.5, y2: floor + 0.5 }),
    bars,
    svg("text", { x: 10, y: floor + 22 }, `${formatInstant(start)} UTC`),
    svg("text", { x: width - 10, y: floor + 22, "text-anchor": "end" }, `${formatInstant(end)} UTC`),
  )
}

function table(blocks: readonly BlockRow[], hasWitnesses: boolean): HTMLElement {
  const head = ["Block", "Sealed (UTC)", "Spans", "Devices", "Statements", "Readings", "Tree", "Root"]
  if (hasWitnesses) head.push("Witnessed (UTC)")
  return h(
    "div",
    { class: "sheet table-frame cards" },
    h(
      "table",
      {},
      h("caption", { class: "hidden-visually" }, "Blocks"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((text, index) =>
            h("th", { scope: "col", class: index > 2 && index < 7 ? "number" : "" }, text),
          ),
        ),
      ),
      h(
        "tbody",
        {},
        blocks.map((block) => {
          const from = parseInstant(block.from) ?? 0
          const to = parseInstant(block.to) ?? 0
          return h(
            "tr",
            {},
            h(
              "td",
              { class: "whole" },
              h("a", { href: formatRoute({ view: "block", height: block.height }) }, `Block ${block.height}`),
            ),
            h("td", { class: "when", "data-label": "Sealed" }, formatInstant(to)),
            h("td", { class: "when", "data-label": "Spans" }, formatDuration(to - from)),
            h("td", { class: "number", "data-label": "Devices" }, formatCount(block.devices)),
            h("td", { class: "number", "data-label": "Statements" }, formatCount(block.statements)),
            h("td", { class: "number", "data-label": "Readings" }, formatCount(block.readings)),
            h("td", { class: "number", "data-label": "Tree" }, countOf(block.treeSize, "leaf", "leaves")),
            h(
              "td",
              { "data-label": "Root" },
              h("code", { title: block.root }, `${block.root.slice(0, 10)}…`),
            ),
            hasWitnesses && h("td", { class: "when", "data-label": "Witnessed" }, witnessedPill(block)),
          )
        }),
      ),
    ),
  )
}
