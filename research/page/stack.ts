/** The charts of a device, one above the other, over one range of time. */
import { Problem } from "./answer.ts"
import { Chart, type WrongMark } from "./chart.ts"
import { gapsPerDayMax, readCoverage } from "./coverage.ts"
import { h, replaceChildren } from "./element.ts"
import type { Found, Point, Words } from "./plot.ts"
import { type StoredSeries, readSeries, readWaveform, readWords } from "./series.ts"
import { type Coverage, type Silence, refineSilence, silencesOf, stretchesOf } from "./silence.ts"
import { type Span, sizeOf, withAir, zoomSpan } from "./span.ts"
import { formatDuration, formatInstant, parseInstant } from "./time.ts"
import { announce, empty, sentence } from "./view.ts"

export interface StackOptions {
  readonly device: string
  readonly series: readonly StoredSeries[]
  /** The range of the address, or null for all. */
  readonly range: Span | null
  readonly unsealed: boolean
  /** Of all of the device's time. */
  readonly coverage: Promise<readonly Coverage[]>
  readonly signal: AbortSignal
  /** What is seen has changed; a range of null is the one that opens by itself. */
  readonly onView: (view: { readonly range: Span | null; readonly unsealed: boolean }) => void
  readonly onTrace: (metric: string, point: Point) => void
}

interface Track {
  readonly stored: StoredSeries
  readonly chart: Chart
  words: readonly Words[]
  silence: Silence | null
  /** Readings over the whole, as the last answers tell; what a zoom shows is estimated from it. */
  overview: Found | null
  asking: AbortController
}

/** Kinds that have a height to draw; booleans step between 0 and 1. */
const drawnKinds = new Set(["number", "sum", "boolean", "waveform"])
const settleMs = 120
/** The first range waits so long for what is known of gaps; after that it is the whole. */
const patienceMs = 1_500
/** Where the readings fill less than this of the whole, the longest stretch of them opens. */
const sparseShare = 0.35
const stretchesMax = 6
/** A range of so many days shows each gap of days that have very many. */
const fineDaysMax = 3
/** More charts than this are drawn lower, so that several fit on a screen. */
const highChartsMax = 4
const askingAtOnce = 3
/** What is shown about a wrong reading. */
const readingsAround = 2_000

export class Stack {
  readonly root: HTMLElement
  private readonly options: StackOptions
  private readonly whole: Span
  /** What opens by itself. */
  private home: Span
  private range: Span
  private unsealed: boolean
  private readonly tracks: Track[]
  private readonly shownRange = h("p", { class: "range" })
  private readonly stretches = h("div", { class: "stretches", role: "group" })
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(options: StackOptions) {
    this.options = options
    const drawn = options.series.filter(({ kind }) => drawnKinds.has(kind))
    this.whole = wholeOf(drawn)
    this.home = this.whole
    this.range = options.range ?? this.whole
    this.unsealed = options.unsealed
    this.tracks = drawn.map((stored) => ({
      stored,
      words: [],
      silence: null,
      overview: null,
      asking: new AbortController(),
      chart: new Chart({
        metric: stored.metric,
        unit: stored.unit,
        // Every sample of a waveform belongs to its shape.
        isRobust: stored.kind !== "waveform",
        isLow: drawn.length > highChartsMax,
        sync: options.device,
        onRange: (range) => this.show(range),
        onReset: () => this.show(this.whole),
        onTrace: (point) => options.onTrace(stored.metric, point),
      }),
    }))
    this.root = h("section", { class: "section", "aria-label": "Series over time" })
    replaceChildren(
      this.root,
      ...(drawn.length === 0
        ? [empty("Nothing to draw yet", "This device has said nothing with a number in it.")]
        : [
            h("h2", { class: "hidden-visually" }, "Series over time"),
            this.tools(),
            this.stretches,
            h(
              "div",
              { class: "charts" },
              this.tracks.map(({ chart }) => chart.root),
            ),
            legend(),
          ]),
    )
    options.signal.addEventListener("abort", () => {
      for (const { chart, asking } of this.tracks) {
        asking.abort()
        chart.close()
      }
    })
  }

  /** Asks for what the range needs, a few charts at a time, the first first. */
  load(): void {
    if (this.tracks.length === 0) return
    const silences = this.options.coverage.then(
      (answers) => this.setSilences(silencesOf(answers, Date.now() / 1000)),
      (error: unknown) => {
        const why = error instanceof Problem ? sentence(error.message) : "The service did not say."
        for (const { chart } of this.tracks) chart.setSilence(null, why)
      },
    )
    const patience = new Promise<void>((resolve) => setTimeout(resolve, patienceMs))
    for (const { chart } of this.tracks) chart.setBusy()
    void this.open(Promise.race([silences, patience]))
  }

  private async open(ready: Promise<void>): Promise<void> {
    await ready
    if (this.options.signal.aborted) return
    this.isOpen = true
    this.tellRange()
    for (const { chart } of this.tracks) chart.setRange(this.range)
    void this.loadAll()
    await this.loadWords().catch(() => {})
  }

  private isOpen = false

  private setSilences(silences: ReadonlyMap<string, Silence>): void {
    const shown: Silence[] = []
    for (const track of this.tracks) {
      const silence = silences.get(track.stored.metric) ?? null
      track.silence = silence
      track.chart.setSilence(silence, silence === null ? "Coverage does not know this metric." : null)
      if (silence !== null) shown.push(silence)
    }
    const stretches = stretchesOf(shown)
    const filled = stretches.reduce((sum, stretch) => sum + sizeOf(stretch), 0)
    const longest = stretches.toSorted((a, b) => sizeOf(b) - sizeOf(a)).slice(0, stretchesMax)
    if (stretches.length > 1)
      this.showStretches(
        longest.toSorted((a, b) => a.from - b.from),
        stretches.length,
      )
    // A person who has looked already is not moved.
    if (this.isOpen || stretches.length < 2 || filled > sizeOf(this.whole) * sparseShare) return
    this.home = withAir(longest[0]!)
    if (this.options.range === null) this.range = this.home
  }

  private showStretches(shown: readonly Span[], total: number): void {
    this.stretches.setAttribute("aria-label", "Stretches with readings")
    replaceChildren(
      this.stretches,
      h(
        "span",
        {},
        shown.length < total ? `The ${shown.length} longest of ${total} stretches:` : `${total} stretches:`,
      ),
      shown.map((stretch) =>
        h(
          "button",
          { class: "chip", type: "button", onclick: () => this.show(withAir(stretch)) },
          `${formatInstant(stretch.from).slice(0, 16)}, ${formatDuration(stretch.to - stretch.from)}`,
        ),
      ),
    )
  }

  /** What a metric says in words stands in its chart, and is no gap there. */
  private async loadWords(): Promise<void> {
    const { device, series, signal } = this.options
    for (const track of this.tracks) {
      const { metric } = track.stored
      if (!series.some((one) => one.metric === metric && one.kind === "text")) continue
      track.words = await readWords(device, metric, signal)
      await this.loadOne(track)
    }
  }

  show(range: Span): void {
    const size = range.to - range.from
    const wholeSize = this.whole.to - this.whole.from
    // A little over the whole at most: there is nothing beyond.
    this.range = size > wholeSize * 1.5 ? this.whole : range
    for (const { chart } of this.tracks) chart.setRange(this.range)
    this.tellRange()
    this.tellView()
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.loadAll(), settleMs)
  }

  private tellView(): void {
    const { range, unsealed } = this
    const isHome = range.from === this.home.from && range.to === this.home.to
    this.options.onView({ range: isHome ? null : range, unsealed })
  }

  /** @param height the last block that was verified; null: none */
  setVerified(spans: ReadonlyMap<string, readonly Span[]>, height: number | null): void {
    for (const { stored, chart } of this.tracks) chart.setVerified(spans.get(stored.metric) ?? [], height)
  }

  /** Marks a reading that is not what was signed, and shows it; null: none is. */
  markWrong(metric: string, wrong: WrongMark): void {
    for (const { stored, chart } of this.tracks) chart.setWrong(stored.metric === metric ? wrong : null)
    const { from, to } = this.range
    if (wrong.time < from || wrong.time > to) this.show(this.whole)
    const track = this.tracks.find(({ stored }) => stored.metric === metric)
    // Beside it are its neighbours: of a long series a stretch, so that the reading stands out.
    const stored = track?.stored
    if (stored === undefined || stored.readings <= readingsAround) return
    const wholeSize = this.whole.to - this.whole.from
    const size = (wholeSize * readingsAround) / stored.readings
    this.show({ from: wrong.time - size / 2, to: wrong.time + size / 2 })
  }

  setWrong(wrong: null): void {
    for (const { chart } of this.tracks) chart.setWrong(wrong)
  }

  private async loadAll(): Promise<void> {
    const waiting = [...this.tracks]
    for (const track of waiting) {
      track.asking.abort()
      track.asking = new AbortController()
      track.chart.setBusy()
    }
    const work = async (): Promise<void> => {
      for (let track = waiting.shift(); track !== undefined; track = waiting.shift())
        await this.loadOne(track)
    }
    await Promise.all(Array.from({ length: askingAtOnce }, work))
  }

  private async loadOne(track: Track): Promise<void> {
    const { stored, chart } = track
    const { signal } = track.asking
    const { from, to } = this.range
    const wanted = {
      device: this.options.device,
      metric: stored.metric,
      unit: stored.unit,
      from,
      // The last reading too: an end is before its time.
      to: to + 0.001,
      width: chart.width,
      readings: estimate(track, this.range),
      unsealed: this.unsealed,
      words: track.words,
    }
    try {
      const found = await (stored.kind === "waveform" ? readWaveform : readSeries)(wanted, signal)
      if (signal.aborted) return
      if (from <= this.whole.from && to >= this.whole.to) track.overview = found
      await this.refine(track, signal)
      chart.setFound(found)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof Problem)) console.error(error)
      chart.setTrouble(error instanceof Problem ? sentence(error.message) : "This chart could not be drawn.")
    }
  }

  /** Days of very many gaps list them all once a few days are looked at. */
  private async refine({ stored, silence, chart }: Track, signal: AbortSignal): Promise<void> {
    const { from, to } = this.range
    if (silence === null || silence.unlisted === 0 || to - from > fineDaysMax * 86_400) return
    const wanted = { device: this.options.device, metric: stored.metric, gaps: gapsPerDayMax, from, to }
    const answers = await readCoverage(wanted, signal)
    const fine = silencesOf(answers, Date.now() / 1000).get(stored.metric)
    const bounds = answers.flatMap(({ boundaries }) => boundaries)
    if (fine === undefined || bounds.length === 0) return
    chart.setSilence(refineSilence(silence, fine, { from: bounds[0]!, to: bounds.at(-1)! }), null)
  }

  private tools(): HTMLElement {
    const zoom = (factor: number): void =>
      this.show(zoomSpan(this.range, factor, (this.range.from + this.range.to) / 2))
    const shift = (share: number): void => {
      const by = (this.range.to - this.range.from) * share
      this.show({ from: this.range.from + by, to: this.range.to + by })
    }
    const unsealed = h("input", { type: "checkbox", checked: this.unsealed })
    unsealed.addEventListener("change", () => {
      this.unsealed = unsealed.checked
      this.tellView()
      announce(unsealed.checked ? "Shown with what is not sealed yet" : "Only what is sealed")
      void this.loadAll()
    })
    return h(
      "div",
      { class: "time-tools" },
      this.shownRange,
      h("label", { class: "check" }, unsealed, "Not sealed yet, too"),
      button("←", "Earlier", () => shift(-0.5)),
      button("→", "Later", () => shift(0.5)),
      button("−", "Zoom out", () => zoom(2)),
      button("+", "Zoom in", () => zoom(0.5)),
      button("All", "All of the time", () => this.show(this.whole)),
    )
  }

  private tellRange(): void {
    const { from, to } = this.range
    replaceChildren(
      this.shownRange,
      `${formatInstant(from)} to ${formatInstant(to)}`,
      h("small", {}, `UTC, by the device's own clock · ${formatDuration(to - from)}`),
    )
  }
}

function wholeOf(series: readonly StoredSeries[]): Span {
  const times = series
    .flatMap(({ from, to }) => [parseInstant(from), parseInstant(to)])
    .filter((time) => time !== null)
  if (times.length === 0) return { from: 0, to: 1 }
  const from = Math.min(...times)
  const to = Math.max(...times)
  return withAir({ from, to })
}

/** Readings of a track in a range: as its overview counts them, or evenly spread where there is none. */
function estimate({ overview, stored }: Track, { from, to }: Span): number {
  if (overview !== null) {
    const width = overview.bucketSeconds ?? 0
    let readings = 0
    for (const point of overview.points)
      if (point.time + width >= from && point.time <= to) readings += point.count
    return readings
  }
  const start = parseInstant(stored.from)
  const end = parseInstant(stored.to)
  if (start === null || end === null || end <= start) return stored.readings
  const share = Math.max(0, Math.min(to, end) - Math.max(from, start)) / (end - start)
  return Math.ceil(stored.readings * share)
}

function item(name: string, text: string): HTMLElement {
  return h("li", {}, h("i", { class: name }), text)
}

function button(text: string, label: string, onclick: () => void): HTMLElement {
  return h(
    "button",
    { class: "button small", type: "button", "aria-label": label, title: label, onclick },
    text,
  )
}

function legend(): HTMLElement {
  return h(
    "ul",
    { class: "legend", "aria-label": "Legend" },
    item("band", "lowest to highest, and mean"),
    item("gap", "a gap, by the metric's own rhythm"),
    item("words", "said in words"),
    item("late", "came late"),
    item("imported", "imported: a whole day that arrived over a day after it was measured"),
    item("outside", "outside the axis"),
    item("ahead", "ahead of its time"),
    item("verified", "verified in this browser"),
    item("wrong", "not what was signed"),
  )
}
