/** The fleet at a glance: what comes in now, and every device with its state. */
import { type AsOf, type Page, ask, open } from "./answer.ts"
import { type Child, h, replaceChildren } from "./element.ts"
import { Rate, parseCounters, sparkline } from "./rate.ts"
import { type FleetRoute, type SortKey, formatRoute } from "./route.ts"
import { count, formatAgo, formatCount, formatInstant, parseInstant } from "./time.ts"
import { type Place, empty, fact, heading } from "./view.ts"

/** An item of `/v1/devices`. */
export interface DeviceRow {
  readonly id: string
  readonly status: string
  readonly head: { readonly seq: number; readonly entry: string | null } | null
  readonly statements: number
  readonly firstReading: string | null
  readonly lastReading: string | null
  readonly lastArrival: string | null
  readonly metrics: readonly string[]
}

const rowsShownMax = 200
const refreshMs = 2_000

export async function showFleet({ root, signal }: Place, route: FleetRoute): Promise<void> {
  const lead = h("span", { class: "loading" }, "Loading the fleet")
  const figures = h("dl", { class: "figures sheet" }, rateFigures(null, null))
  const filter = h("input", {
    class: "input",
    type: "search",
    placeholder: "Device or metric",
    "aria-label": "Show devices whose id or metric contains",
    value: route.search,
  })
  const shown = h("p", { class: "muted", role: "status" })
  const holder = h("div", { class: "sheet" })
  replaceChildren(
    root,
    heading("Fleet", lead),
    figures,
    h("div", { class: "tools" }, h("h2", {}, "Devices"), filter),
    shown,
    holder,
  )
  const table = new DeviceTable(holder, shown, filter, route)
  const rates = { statements: new Rate(), refused: new Rate(), readings: new Rate() }

  const refresh = async (): Promise<void> => {
    const page = await ask<Page<DeviceRow>>("/v1/devices", { limit: 1000 }, signal)
    showAsOf(page.asOf)
    table.set(page.items, page.complete)
    lead.className = ""
    lead.textContent = describeFleet(page)
  }
  const refreshRates = async (): Promise<void> => {
    const counters = await readCounters(signal)
    if (counters !== null) {
      const nowMs = performance.now()
      rates.statements.add(nowMs, counters.accepted)
      rates.refused.add(nowMs, counters.refused)
      rates.readings.add(nowMs, counters.readings)
    }
    replaceChildren(figures, rateFigures(counters, rates))
  }
  await Promise.all([refresh(), refreshRates()])
  let turn = 0
  const timer = setInterval(() => {
    // A tab that nobody looks at asks for nothing.
    if (document.hidden) return
    turn += 1
    void refreshRates().catch(() => {})
    if (turn % 5 === 0) void refresh().catch(() => {})
  }, refreshMs)
  signal.addEventListener("abort", () => clearInterval(timer))
}

async function readCounters(signal: AbortSignal): Promise<ReturnType<typeof parseCounters>> {
  try {
    return parseCounters(await (await open("/metrics", { signal })).text())
  } catch {
    return null
  }
}

function describeFleet({ items, complete, asOf }: Page<DeviceRow>): string {
  const statements = items.reduce((sum, { statements: number }) => sum + number, 0)
  const devices = `${complete ? "" : "More than "}${count(items.length, "device")}`
  const sealed =
    asOf === null
      ? "nothing is sealed yet"
      : `sealed up to block ${asOf.height}, ${formatInstant(parseInstant(asOf.sealedTo) ?? 0)} UTC`
  return `${devices} with ${count(statements, "statement")}, ${sealed}.`
}

export function showAsOf(asOf: AsOf | null): void {
  const place = document.getElementById("as-of")
  if (place === null) return
  if (asOf === null) replaceChildren(place, "Nothing is sealed yet")
  else
    replaceChildren(
      place,
      "Sealed to ",
      h("a", { href: formatRoute({ view: "block", height: asOf.height }) }, `block ${asOf.height}`),
      `, ${formatInstant(parseInstant(asOf.sealedTo) ?? 0).slice(0, 16)} UTC`,
    )
}

function rateFigures(
  counters: ReturnType<typeof parseCounters>,
  rates: Readonly<Record<"statements" | "refused" | "readings", Rate>> | null,
): Child {
  return [
    figure("Statements accepted", rates?.statements, counters?.accepted, "accepted"),
    figure("Readings stored", rates?.readings, counters?.readings, "stored"),
    figure("Statements refused", rates?.refused, counters?.refused, "refused"),
    fact("Devices connected", [
      counters === null ? "–" : formatCount(counters.connections),
      h(
        "div",
        { class: "under" },
        counters === null ? "The part that takes statements runs elsewhere." : "now, over MQTT",
      ),
    ]),
  ]
}

function figure(label: string, rate: Rate | undefined, total: number | undefined, unit: string): HTMLElement {
  return fact(label, [
    rate?.now === null || rate === undefined ? "–" : formatRate(rate.now),
    " ",
    h("small", {}, "per second"),
    sparkline(rate?.history() ?? []),
    h("div", { class: "under" }, total === undefined ? " " : `${formatCount(total)} ${unit} since the start`),
  ])
}

function formatRate(perSecond: number): string {
  if (perSecond === 0) return "0"
  return perSecond >= 100 ? formatCount(Math.round(perSecond)) : perSecond.toFixed(1)
}

class DeviceTable {
  private rows: readonly DeviceRow[] = []
  private isWhole = true
  private key: SortKey
  private isAscending: boolean
  private readonly body = h("tbody", {})
  private readonly heads: Readonly<Record<SortKey, HTMLElement>>
  private readonly holder: HTMLElement
  private readonly shown: HTMLElement
  private readonly filter: HTMLInputElement

  constructor(holder: HTMLElement, shown: HTMLElement, filter: HTMLInputElement, route: FleetRoute) {
    this.holder = holder
    this.shown = shown
    this.filter = filter
    this.key = route.sort
    this.isAscending = route.isAscending
    const head = (key: SortKey, text: string, className = ""): HTMLElement =>
      h(
        "th",
        { scope: "col", class: className },
        h("button", { type: "button", onclick: () => this.sortBy(key) }, text),
      )
    this.heads = {
      id: head("id", "Device"),
      status: head("status", "Status"),
      lastArrival: head("lastArrival", "Last arrival"),
      statements: head("statements", "Statements", "number"),
    }
    filter.addEventListener("input", () => {
      this.keepAddress()
      this.render()
    })
  }

  set(rows: readonly DeviceRow[], isWhole: boolean): void {
    this.rows = rows
    this.isWhole = isWhole
    this.render()
  }

  private sortBy(key: SortKey): void {
    this.isAscending = this.key === key ? !this.isAscending : key === "id" || key === "status"
    this.key = key
    this.keepAddress()
    this.render()
  }

  /** A link, the way back and a reload show what is seen now. */
  private keepAddress(): void {
    const { value: search } = this.filter
    const route = { view: "fleet", search, sort: this.key, isAscending: this.isAscending } as const
    history.replaceState(null, "", formatRoute(route))
  }

  private render(): void {
    const wanted = this.filter.value.trim().toLowerCase()
    const matching = this.rows.filter(
      ({ id, metrics }) =>
        id.toLowerCase().includes(wanted) || metrics.some((metric) => metric.toLowerCase().includes(wanted)),
    )
    if (this.rows.length === 0) {
      replaceChildren(
        this.holder,
        empty("No devices yet", [
          "Enrol one with ",
          h("code", {}, "tidemark device enroll ID --key FILE"),
          ", or try ",
          h("code", {}, "tidemark simulate"),
          ".",
        ]),
      )
      return
    }
    for (const [key, head] of Object.entries(this.heads)) {
      if (key === this.key) head.setAttribute("aria-sort", this.isAscending ? "ascending" : "descending")
      else head.removeAttribute("aria-sort")
    }
    const sorted = matching.toSorted((a, b) => this.compare(a, b) * (this.isAscending ? 1 : -1))
    replaceChildren(this.body, sorted.slice(0, rowsShownMax).map(renderRow))
    const isCut = sorted.length > rowsShownMax || !this.isWhole
    this.shown.textContent =
      wanted !== "" || isCut
        ? `${formatCount(Math.min(sorted.length, rowsShownMax))} of ${this.isWhole ? "" : "more than "}${formatCount(this.rows.length)} devices`
        : ""
    if (this.body.isConnected) return
    replaceChildren(
      this.holder,
      h(
        "div",
        { class: "table-frame cards" },
        h(
          "table",
          {},
          h("caption", { class: "hidden-visually" }, "Devices"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              this.heads.id,
              this.heads.status,
              this.heads.lastArrival,
              this.heads.statements,
              h("th", { scope: "col" }, "Readings (its clock, UTC)"),
              h("th", { scope: "col" }, "Metrics"),
            ),
          ),
          this.body,
        ),
      ),
    )
  }

  private compare(a: DeviceRow, b: DeviceRow): number {
    if (this.key === "statements") return a.statements - b.statements || a.id.localeCompare(b.id)
    const left = a[this.key] ?? ""
    const right = b[this.key] ?? ""
    return left === right ? a.id.localeCompare(b.id) : left < right ? -1 : 1
  }
}

function renderRow(row: DeviceRow): HTMLElement {
  const { id, status, lastArrival, statements, firstReading, lastReading, metrics } = row
  const arrived = parseInstant(lastArrival)
  const first = parseInstant(firstReading)
  const last = parseInstant(lastReading)
  return h(
    "tr",
    {},
    h(
      "td",
      { class: "whole id" },
      h(
        "a",
        { href: formatRoute({ view: "device", device: id, from: null, to: null, unsealed: false }) },
        id,
      ),
    ),
    h("td", { "data-label": "Status" }, statusPill(status)),
    h(
      "td",
      { class: "when", "data-label": "Last arrival" },
      arrived === null
        ? "never"
        : h("time", { title: `${formatInstant(arrived)} UTC` }, formatAgo(arrived, Date.now() / 1000)),
    ),
    h("td", { class: "number", "data-label": "Statements" }, formatCount(statements)),
    h(
      "td",
      { class: "whole muted", "data-label": "Readings" },
      first === null || last === null ? "none" : formatSpan(first, last),
    ),
    h("td", { class: "whole" }, metricChips(metrics)),
  )
}

/** The day once where it is the same. */
function formatSpan(from: number, to: number): string {
  const start = formatInstant(from).slice(0, 16)
  const end = formatInstant(to).slice(0, 16)
  return `${start} to ${start.slice(0, 10) === end.slice(0, 10) ? end.slice(11) : end}`
}

export function statusPill(status: string): HTMLElement {
  const tone = { active: "good", suspended: "warn", revoked: "bad" }[status] ?? ""
  return h("span", { class: `pill ${tone}` }, status)
}

function metricChips(metrics: readonly string[]): HTMLElement {
  const shown = metrics.slice(0, 4)
  return h(
    "div",
    { class: "chips" },
    shown.map((metric) => h("span", { class: "chip" }, metric)),
    metrics.length > shown.length && h("span", { class: "chip" }, `${metrics.length - shown.length} more`),
  )
}
