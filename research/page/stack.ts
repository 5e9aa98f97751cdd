/** The charts of a device, one above the other, over one range of time. */
import { Problem } from "./answer.ts"
import { Chart, type WrongMark } from "./chart.ts"
import { h, replaceChildren } from "./element.ts"
import { type Plot, type Point, type Span, type Words, zoomSpan } from "./plot.ts"
import { type StoredSeries, readSeries, readWaveform, readWords } from "./series.ts"
import { formatDuration, formatInstant, parseInstant } from "./time.ts"
import { announce, empty, sentence } from "./view.ts"

export interface StackOptions {
  readonly device: string
  readonly series: readonly StoredSeries[]
  /** The range of the address, or null for all. */
  readonly range: Span | null
  readonly signal: AbortSignal
  readonly onRange: (range: Span | null) => void
  readonly onTrace: (metric: string, point: Point) => void
}

interface Track {
  readonly stored: StoredSeries
  readonly chart: Chart
  words: readonly Words[]
  /** Readings over the whole, as the last answers tell; what a zoom shows is estimated from it. */
  overview: Plot | null
  asking: AbortController
}

/** Kinds that have a height to draw; booleans step between 0 and 1. */
const drawnKinds = new Set(["number", "sum", "boolean", "waveform"])
const settleMs = 120
const askingAtOnce = 3
/** What is shown about a wrong reading. */
const readingsAround = 2_000

export class Stack {
  readonly root: HTMLElement
  private readonly options: StackOptions
  private readonly whole: Span
  private range: Span
  private unsealed = false
  private readonly tracks: Track[]
  private readonly shownRange = h("p", { class: "range" })
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(options: StackOptions) {
    this.options = options
    const drawn = options.series.filter(({ kind }) => drawnKinds.has(kind))
    this.whole = wholeOf(drawn)
    this.range = options.range ?? this.whole
    this.tracks = drawn.map((stored) => ({
      stored,
      words: [],
      overview: null,
      asking: new AbortController(),
      chart: new Chart({
        metric: stored.metric,
        unit: stored.unit,
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
    this.tellRange()
    for (const { chart } of this.tracks) chart.setRange(this.range)
    void this.loadAll()
    void this.loadWords().catch(() => {})
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
    this.options.onRange(this.range === this.whole ? null : this.range)
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.loadAll(), settleMs)
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
      const plot = await (stored.kind === "waveform" ? readWaveform : readSeries)(wanted, signal)
      if (signal.aborted) return
      if (track.overview === null || from <= this.whole.from) track.overview = plot
      chart.setPlot(plot)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof Problem)) console.error(error)
      chart.setTrouble(error instanceof Problem ? sentence(error.message) : "This chart could not be drawn.")
    }
  }

  private tools(): HTMLElement {
    const zoom = (factor: number): void =>
      this.show(zoomSpan(this.range, factor, (this.range.from + this.range.to) / 2))
    const shift = (share: number): void => {
      const by = (this.range.to - this.range.from) * share
      this.show({ from: this.range.from + by, to: this.range.to + by })
    }
    const unsealed = h("input", { type: "checkbox" })
    unsealed.addEventListener("change", () => {
      this.unsealed = unsealed.checked
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
  // A hair at each side, so that the ends can be seen.
  const air = Math.max((to - from) * 0.01, 0.5)
  return { from: from - air, to: to + air }
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
    item("gap", "a gap: nothing was said"),
    item("words", "said in words"),
    item("late", "came late"),
    item("ahead", "ahead of its time"),
    item("verified", "verified in this browser"),
    item("wrong", "not what was signed"),
  )
}
