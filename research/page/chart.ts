/** One series on a canvas (uPlot), with what a canvas lacks: keys, words, focus, and a table. */
import uPlot from "uplot"
import { h, replaceChildren } from "./element.ts"
import { type Found, type Plot, type Point, type Scale, makePlot, nearestPlace, scaleOf } from "./plot.ts"
import { type Gap, type Silence, describeSilence, gapAt, gapsWithin, nameCause } from "./silence.ts"
import type { Span } from "./span.ts"
import { colour } from "./theme.ts"
import { count, formatCount, formatDuration, formatInstant, formatUnit, formatValue } from "./time.ts"

export interface ChartOptions {
  readonly metric: string
  readonly unit: string | null
  /** A few values far from the rest may lie outside the axis. */
  readonly isRobust: boolean
  /** One of many: drawn lower. */
  readonly isLow: boolean
  /** Charts of one device move their cursors together. */
  readonly sync: string
  /** Another range was asked for, by mouse or key. */
  readonly onRange: (range: Span) => void
  readonly onReset: () => void
  /** A reading as it was signed was chosen. */
  readonly onTrace: (point: Point) => void
}

/** A reading that is not what was signed. */
export interface WrongMark {
  readonly time: number
  /** What the store says now. */
  readonly stored: number
  readonly text: string
}

const heights = { usual: 170, low: 126 }
const rowsOfTableMax = 200

export class Chart {
  readonly root: HTMLElement
  private readonly options: ChartOptions
  private readonly frame = h("div", { class: "plot", tabindex: 0, role: "application" })
  private readonly resolution = h("span", { class: "resolution" })
  private readonly badge = h("span", {})
  private readonly origin = h("span", {})
  private readonly outside = h("button", { class: "outside chip", type: "button", hidden: true })
  private readonly readout = h("p", { class: "readout" })
  private readonly tableHolder = h("div", { class: "table-frame", tabindex: 0, role: "region" })
  private readonly details: HTMLDetailsElement
  private readonly height: number
  private found: Found | null = null
  private silence: Silence | null = null
  /** Why nothing is known of gaps; null: it is, or will be. */
  private silenceTrouble: string | null = null
  private plot: Plot | null = null
  private scale: Scale | null = null
  /** The axis reaches to every value, as was asked for. */
  private isScaledToAll = false
  private range: Span = { from: 0, to: 1 }
  private verified: readonly Span[] = []
  private wrong: WrongMark | null = null
  private drawing: uPlot | null = null
  private readonly resizing: ResizeObserver

  constructor(options: ChartOptions) {
    this.options = options
    const { metric, unit } = options
    this.height = options.isLow ? heights.low : heights.usual
    this.tableHolder.setAttribute("aria-label", `${metric}, as a table`)
    this.details = h("details", {}, h("summary", {}, "As a table"), this.tableHolder)
    this.details.addEventListener("toggle", () => this.fillTable())
    this.root = h(
      "article",
      {
        class: options.isLow ? "chart low sheet" : "chart sheet",
        "data-metric": metric,
        "aria-label": metric,
      },
      h(
        "header",
        {},
        h("h3", {}, metric, " ", h("span", { class: "unit" }, formatUnit(unit))),
        this.badge,
        this.origin,
        this.outside,
        this.resolution,
      ),
      this.readout,
      this.frame,
      this.details,
    )
    this.outside.addEventListener("click", () => {
      this.isScaledToAll = !this.isScaledToAll
      this.rescale()
    })
    this.frame.addEventListener("keydown", (event) => this.onKey(event))
    this.frame.addEventListener("wheel", (event) => this.onWheel(event), { passive: false })
    this.resizing = new ResizeObserver(() => this.resize())
    this.resizing.observe(this.frame)
    document.addEventListener("tidemark-theme", this.redrawAll)
    this.say(null)
  }

  /** The range at once, so that all charts move together; what is drawn follows when it came. */
  setRange(range: Span): void {
    this.range = range
    this.drawing?.setScale("x", { min: range.from, max: range.to })
    if (this.plot !== null) this.say(null)
  }

  setFound(found: Found): void {
    this.found = found
    this.root.removeAttribute("aria-busy")
    this.resolution.textContent = describeResolution(found)
    // Where there is nothing, the axis stays as it was.
    this.scale = scaleOf(found) ?? this.scale
    this.remake()
  }

  /**
   * @param silence null: not known
   * @param trouble why
   */
  setSilence(silence: Silence | null, trouble: string | null): void {
    this.silence = silence
    this.silenceTrouble = trouble
    replaceChildren(
      this.origin,
      silence?.isImport === true &&
        h(
          "span",
          { class: "pill import", title: "All of it arrived over a day after it was measured" },
          "imported",
        ),
    )
    if (this.found !== null) this.remake()
  }

  private remake(): void {
    const plot = makePlot(this.found!, this.silence)
    this.plot = plot
    this.frame.setAttribute("aria-label", this.describe(plot))
    this.tellOutside()
    if (this.drawing === null) this.draw()
    else this.drawing.setData(plot.columns as unknown as uPlot.AlignedData, false)
    this.drawing?.setScale("x", { min: this.range.from, max: this.range.to })
    this.rescale()
    this.say(null)
    this.fillTable()
  }

  private rescale(): void {
    this.tellOutside()
    const [min, max] = this.heightRange()
    this.drawing?.setScale("y", { min, max })
  }

  private heightRange(): [number, number] {
    if (this.scale === null) return [0, 1]
    const { low, high, lowest, highest } = this.scale
    const isWhole = this.isScaledToAll || !this.options.isRobust
    return isWhole ? padRange(lowest, highest) : padRange(low, high)
  }

  /** Nothing lies outside an axis without a word and a way to see it. */
  private tellOutside(): void {
    const { scale, outside } = this
    const isShown =
      scale !== null && scale.outside > 0 && this.options.isRobust && this.found!.points.length > 0
    outside.hidden = !isShown
    if (!isShown) return
    const { lowest, highest, low, high } = scale
    const bounds = [
      ...(lowest < low ? [`down to ${formatValue(lowest)}`] : []),
      ...(highest > high ? [`up to ${formatValue(highest)}`] : []),
    ]
    const points = count(scale.outside, this.found!.bucketSeconds === null ? "reading" : "step")
    outside.setAttribute("aria-pressed", String(this.isScaledToAll))
    outside.textContent = this.isScaledToAll
      ? "Axis to every value"
      : `${points} outside the axis, ${bounds.join(" and ")}`
    outside.title = this.isScaledToAll ? "Leave out what is far from the rest" : "Show every value"
  }

  setTrouble(message: string): void {
    this.root.removeAttribute("aria-busy")
    replaceChildren(this.readout, h("span", { class: "wrong" }, message))
  }

  /** Shown without a jump: what was drawn stays until what is asked for comes. */
  setBusy(): void {
    this.root.setAttribute("aria-busy", "true")
    if (this.found === null) replaceChildren(this.readout, h("span", { class: "loading" }, "Loading"))
  }

  /** @param height the last block that was verified; null: none */
  setVerified(spans: readonly Span[], height: number | null): void {
    this.verified = spans
    const isShown = height !== null && spans.length > 0
    replaceChildren(this.badge, isShown && h("span", { class: "pill good" }, `verified to block ${height}`))
    this.drawing?.redraw(false)
  }

  setWrong(wrong: WrongMark | null): void {
    this.wrong = wrong
    this.root.classList.toggle("broken", wrong !== null)
    this.drawing?.redraw(false)
    this.say(null)
  }

  get width(): number {
    return this.frame.clientWidth
  }

  close(): void {
    this.resizing.disconnect()
    document.removeEventListener("tidemark-theme", this.redrawAll)
    this.drawing?.destroy()
  }

  private readonly redrawAll = (): void => {
    // Strokes are functions of the palette, but axes keep theirs: made anew.
    if (this.drawing === null) return
    this.drawing.destroy()
    this.drawing = null
    this.draw()
    this.setRange(this.range)
  }

  private resize(): void {
    const width = this.frame.clientWidth
    if (this.drawing === null) {
      if (this.plot !== null) this.draw()
    } else if (width > 0 && this.drawing.width !== width) this.drawing.setSize({ width, height: this.height })
  }

  private draw(): void {
    const width = this.frame.clientWidth
    if (width === 0 || this.plot === null) return
    const tide = colour("tide")
    const axis = { stroke: colour("ink-2"), font: `12px "Plex Sans", system-ui, sans-serif` }
    const grid = { stroke: colour("line"), width: 1 }
    const options: uPlot.Options = {
      width,
      height: this.height,
      legend: { show: false },
      // Room for half a label at the right edge.
      padding: [8, 34, 0, 0],
      // Times are in seconds.
      ms: 1e-3,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: {
        x: { time: true, range: () => [this.range.from, this.range.to] },
        y: { range: () => this.heightRange() },
      },
      axes: [
        {
          ...axis,
          grid,
          ticks: { ...grid, size: 5 },
          size: 38,
          // Labels with seconds are wider.
          space: (_, _axis, from, to) => (to - from < 1800 ? 84 : 56),
          values: (_, splits, _axis, _space, step) => formatTicks(splits, step),
        },
        {
          ...axis,
          grid,
          ticks: { show: false },
          size: 56,
          gap: 6,
          space: this.options.isLow ? 24 : 30,
          // Without a value ever seen the axis has no numbers.
          values: (_, splits) => splits.map((split) => (this.scale === null ? "" : formatValue(split))),
        },
      ],
      series: [
        {},
        { paths: () => null, points: { show: false } },
        { paths: () => null, points: { show: false } },
        { stroke: tide, width: 1.5, points: { size: 4, width: 1, fill: tide }, spanGaps: false },
      ],
      bands: [],
      cursor: {
        sync: { key: this.options.sync, setSeries: false },
        drag: { x: true, y: false, setScale: false },
        points: { size: 8, width: 2, fill: tide },
        focus: { prox: -1 },
      },
      hooks: {
        drawClear: [(u) => this.drawBehind(u)],
        drawSeries: [],
        draw: [(u) => this.drawBefore(u)],
        setCursor: [(u) => this.say(u.cursor.idx ?? null, cursorTime(u))],
        setSelect: [(u) => this.onSelect(u)],
      },
    }
    this.drawing = new uPlot(options, this.plot.columns as unknown as uPlot.AlignedData, this.frame)
    // A focusable frame names it; the canvas itself is a drawing.
    this.frame.querySelector("canvas")?.setAttribute("aria-hidden", "true")
    const { over } = this.drawing
    over.addEventListener("dblclick", () => this.options.onReset())
    over.addEventListener("click", () => this.traceAtCursor())
  }

  private onSelect(u: uPlot): void {
    const { left, width } = u.select
    if (width < 4) return
    const from = u.posToVal(left, "x")
    const to = u.posToVal(left + width, "x")
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
    this.options.onRange({ from, to })
  }

  private isDragged = false

  private traceAtCursor(): void {
    const point = this.pointAt(this.drawing?.cursor.idx ?? null)
    if (point !== null && point.entry !== null && !this.isDragged) this.options.onTrace(point)
  }

  private isImported({ time }: Point): boolean {
    return this.silence?.imported.some(({ from, to }) => from <= time && time < to) ?? false
  }

  private pointAt(index: number | null): Point | null {
    if (index === null || this.plot === null) return null
    const place = this.plot.places[index] ?? -1
    return this.plot.points[place] ?? null
  }

  /** Behind the line: gaps hatched, the band of lowest and highest, and what came late as a strip below. */
  private drawBehind(u: uPlot): void {
    const { ctx, bbox } = u
    const plot = this.plot
    if (plot === null) return
    ctx.save()
    ctx.beginPath()
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
    ctx.clip()
    this.drawGaps(u)
    if (plot.bucketSeconds !== null) this.drawBand(u, plot)
    this.drawWords(u, plot)
    ctx.restore()
  }

  /** Each gap is hatched, the shortest too, and says why it is there where there is room. */
  private drawGaps(u: uPlot): void {
    const { ctx, bbox } = u
    if (this.silence === null) return
    const scale = devicePixelRatio
    const hatch = makeHatch(ctx, colour("line-strong"))
    const end = bbox.left + bbox.width
    for (const gap of gapsWithin(this.silence, this.range)) {
      const left = Math.max(bbox.left, u.valToPos(gap.from, "x", true))
      const wide = Math.max(scale, Math.min(end, u.valToPos(gap.to, "x", true)) - left)
      // Too narrow for a hatch: a shade.
      const isNarrow = wide < 6 * scale || hatch === null
      ctx.globalAlpha = isNarrow ? 0.26 : 0.38
      ctx.fillStyle = isNarrow ? colour("line-strong") : hatch
      ctx.fillRect(left, bbox.top, wide, bbox.height)
      ctx.globalAlpha = 1
    }
  }

  /** Over the grid. */
  private drawReasons(u: uPlot): void {
    const { ctx, bbox } = u
    if (this.silence === null) return
    const scale = devicePixelRatio
    const end = bbox.left + bbox.width
    ctx.font = `${12 * scale}px "Plex Sans", system-ui, sans-serif`
    ctx.textBaseline = "middle"
    ctx.textAlign = "left"
    for (const gap of gapsWithin(this.silence, this.range)) {
      const left = Math.max(bbox.left, u.valToPos(gap.from, "x", true))
      const wide = Math.min(end, u.valToPos(gap.to, "x", true)) - left
      if (wide < 80 * scale) continue
      const text = describeGap(gap)
      const textWide = ctx.measureText(text).width
      if (textWide + 24 * scale > wide) continue
      const middle = left + wide / 2
      const y = bbox.top + bbox.height / 2
      ctx.fillStyle = colour("sheet")
      ctx.fillRect(middle - textWide / 2 - 7 * scale, y - 10 * scale, textWide + 14 * scale, 20 * scale)
      ctx.fillStyle = colour("ink-2")
      ctx.fillText(text, middle - textWide / 2, y + scale)
    }
  }

  private drawWords(u: uPlot, { words }: Plot): void {
    const { ctx, bbox } = u
    const scale = devicePixelRatio
    ctx.font = `${12 * scale}px "Plex Sans", system-ui, sans-serif`
    ctx.textBaseline = "top"
    ctx.textAlign = "left"
    for (const { from, to, text } of words) {
      const left = u.valToPos(from, "x", true)
      const right = Math.max(u.valToPos(to, "x", true), left + 2 * scale)
      if (right < bbox.left || left > bbox.left + bbox.width) continue
      ctx.fillStyle = colour("ink-3")
      ctx.globalAlpha = 0.16
      ctx.fillRect(left, bbox.top, right - left, bbox.height)
      ctx.globalAlpha = 1
      // A word that has no room stands in the table.
      if (ctx.measureText(text).width + 6 * scale > right - left) continue
      ctx.fillStyle = colour("ink-2")
      ctx.fillText(text, Math.max(left, bbox.left) + 4 * scale, bbox.top + 4 * scale)
    }
  }

  private drawBand(u: uPlot, plot: Plot): void {
    const { ctx } = u
    const [times, lows, highs] = plot.columns
    ctx.fillStyle = colour("tide")
    ctx.globalAlpha = 0.24
    const half = Math.max(1, (u.valToPos(plot.bucketSeconds!, "x", true) - u.valToPos(0, "x", true)) / 2)
    for (let place = 0; place < times.length; place += 1) {
      const low = lows[place]
      const high = highs[place]
      if (low === null || low === undefined || high === null || high === undefined) continue
      const x = u.valToPos(times[place]!, "x", true)
      const top = u.valToPos(high, "y", true)
      const bottom = u.valToPos(low, "y", true)
      ctx.fillRect(x - half, top, half * 2, Math.max(1, bottom - top))
    }
    ctx.globalAlpha = 1
  }

  private drawBefore(u: uPlot): void {
    const { ctx, bbox } = u
    const plot = this.plot
    if (plot === null) return
    const scale = devicePixelRatio
    const strip = (spans: readonly Span[], name: string, above: number): void => {
      ctx.fillStyle = colour(name)
      for (const { from, to } of spans) {
        const left = u.valToPos(from, "x", true)
        const right = Math.max(u.valToPos(to, "x", true), left + 2 * scale)
        ctx.fillRect(left, bbox.top + bbox.height - above * scale, right - left, 3 * scale)
      }
    }
    ctx.save()
    ctx.beginPath()
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
    ctx.clip()
    this.drawReasons(u)
    strip(plot.imported, "ink-3", 3)
    strip(plot.late, "warn", 3)
    strip(this.verified, "good", 7)
    this.drawOutside(u, plot)
    ctx.strokeStyle = colour("warn")
    ctx.lineWidth = 2 * scale
    for (const point of plot.points) {
      if (!point.ahead) continue
      ctx.beginPath()
      ctx.arc(
        u.valToPos(point.time, "x", true),
        u.valToPos(point.middle, "y", true),
        5 * scale,
        0,
        2 * Math.PI,
      )
      ctx.stroke()
    }
    if (this.wrong !== null) {
      const x = u.valToPos(this.wrong.time, "x", true)
      if (x >= bbox.left && x <= bbox.left + bbox.width) {
        ctx.fillStyle = colour("bad")
        ctx.fillRect(x - 1.5 * scale, bbox.top, 3 * scale, bbox.height)
        ctx.beginPath()
        ctx.moveTo(x - 7 * scale, bbox.top)
        ctx.lineTo(x + 7 * scale, bbox.top)
        ctx.lineTo(x, bbox.top + 9 * scale)
        ctx.fill()
        // What the store says now, where the line would have to go.
        const y = u.valToPos(this.wrong.stored, "y", true)
        ctx.beginPath()
        ctx.arc(x, Math.min(Math.max(y, bbox.top), bbox.top + bbox.height), 6 * scale, 0, 2 * Math.PI)
        ctx.fill()
      }
    }
    ctx.restore()
  }

  /** A triangle at the edge beyond which a point lies. */
  private drawOutside(u: uPlot, { points, bucketSeconds }: Plot): void {
    const { scale } = this
    if (scale === null || scale.outside === 0 || !this.options.isRobust || this.isScaledToAll) return
    const { ctx, bbox } = u
    const size = 5 * devicePixelRatio
    ctx.fillStyle = colour("warn")
    const mark = (time: number, edge: number, towards: number): void => {
      const x = u.valToPos(time + (bucketSeconds ?? 0) / 2, "x", true)
      ctx.beginPath()
      ctx.moveTo(x - size, edge - towards * size * 1.4)
      ctx.lineTo(x + size, edge - towards * size * 1.4)
      ctx.lineTo(x, edge)
      ctx.fill()
    }
    for (const { time, low, high } of points) {
      if (low < scale.low) mark(time, bbox.top + bbox.height, 1)
      if (high > scale.high) mark(time, bbox.top, -1)
    }
  }

  /**
   * What stands at the cursor, in words.
   *
   * @param time where the cursor is, which may be in a gap; null: at the point
   */
  private say(index: number | null, time: number | null = null): void {
    if (this.plot === null) return
    const gap = time === null || this.silence === null ? null : gapAt(this.silence, time)
    if (gap !== null) {
      replaceChildren(
        this.readout,
        h("span", {}, `${formatInstant(time!)}: in a gap`),
        h("b", {}, describeGap(gap)),
        h("span", {}, `from ${formatInstant(gap.from)}`),
      )
      return
    }
    const point = this.pointAt(index)
    if (point === null) {
      if (this.wrong !== null) replaceChildren(this.readout, h("span", { class: "wrong" }, this.wrong.text))
      else replaceChildren(this.readout, this.summarize(this.plot))
      return
    }
    const isImport = this.isImported(point)
    const { unit } = this.options
    const of = (value: number): HTMLElement => h("b", {}, `${formatValue(value)} ${formatUnit(unit)}`)
    const isBucket = this.plot.bucketSeconds !== null
    replaceChildren(
      this.readout,
      h("span", {}, formatInstant(point.time, true)),
      isBucket
        ? h(
            "span",
            {},
            of(point.low),
            " to ",
            of(point.high),
            ", mean ",
            of(point.middle),
            `, ${formatCount(point.count)} readings`,
          )
        : h("span", {}, of(point.middle)),
      point.arrived !== null &&
        h(
          "span",
          { class: point.late > 0 && !isImport ? "late" : "" },
          isImport
            ? `imported, ${formatDuration(point.arrived - point.time)} after`
            : point.late > 0
              ? `came ${formatDuration(point.arrived - point.time)} late`
              : `arrived after ${formatDuration(point.arrived - point.time)}`,
        ),
      point.arrived === null &&
        point.late > 0 &&
        (isImport
          ? h("span", {}, "imported")
          : h("span", { class: "late" }, `${formatCount(point.late)} came late`)),
      point.ahead && h("span", { class: "late" }, "ahead of its time"),
      point.block !== null && h("span", {}, `block ${point.block}`),
      point.entry !== null && h("span", {}, "Enter or click traces it"),
    )
  }

  private describe(plot: Plot): string {
    const { metric, unit } = this.options
    const { points } = plot
    if (points.length === 0) return `${metric}: ${this.summarize(plot)}`
    const low = points.reduce((lowest, point) => Math.min(lowest, point.low), Number.POSITIVE_INFINITY)
    const high = points.reduce((highest, point) => Math.max(highest, point.high), Number.NEGATIVE_INFINITY)
    const times = `from ${formatInstant(points[0]!.time)} to ${formatInstant(points.at(-1)!.time)}`
    return `Chart of ${metric}: ${formatCount(plot.readings)} readings ${times}, between ${formatValue(low)} and ${formatValue(high)} ${formatUnit(unit)}. ${this.silence?.isImport === true ? "All of it was imported: it arrived over a day after it was measured. " : ""}${this.summarize(plot)} Arrow keys move through the readings, plus and minus zoom, Shift with arrows moves the range, Enter traces a reading.`
  }

  /** What the range shows, in sentences. */
  private summarize({ late, imported, words, points }: Plot): string {
    const { silence, silenceTrouble, range } = this
    const parts = [...describeSilence(silence, silenceTrouble, range, points.length > 0)]
    if (words.length > 0) {
      const said = new Map<string, number>()
      for (const { text, count: times } of words) said.set(text, (said.get(text) ?? 0) + times)
      parts.push(
        `Said in words: ${[...said]
          .slice(0, 4)
          .map(([text, times]) => `${text} (${count(times, "time")})`)
          .join(", ")}.`,
      )
    }
    if (imported.length > 0 && silence?.isImport !== true) parts.push("Some of it was imported.")
    if (late.length > 0) parts.push("Some of it came late.")
    if (points.some(({ ahead }) => ahead)) parts.push("Some is ahead of its time.")
    return parts.join(" ")
  }

  private onKey(event: KeyboardEvent): void {
    const u = this.drawing
    if (u === null || this.plot === null || event.ctrlKey || event.metaKey || event.altKey) return
    const { from, to } = this.range
    const size = to - from
    const times = this.plot.columns[0]
    const at = u.cursor.idx ?? nearestPlace(times, (from + to) / 2)
    const stepTo = (place: number, step: number): void => {
      let next = Math.min(Math.max(place, 0), times.length - 1)
      while (this.plot!.places[next] === -1) next += step
      const time = times[next]
      if (time === undefined) return
      if (time < from || time > to) this.options.onRange({ from: time - size / 2, to: time + size / 2 })
      u.setCursor({ left: u.valToPos(time, "x"), top: u.over.clientHeight / 2 }, true)
      announce(Array.from(this.readout.children, ({ textContent }) => textContent).join(", "))
    }
    switch (event.key) {
      case "ArrowLeft":
        if (event.shiftKey) this.options.onRange({ from: from - size / 4, to: to - size / 4 })
        else stepTo(at - 1, -1)
        break
      case "ArrowRight":
        if (event.shiftKey) this.options.onRange({ from: from + size / 4, to: to + size / 4 })
        else stepTo(at + 1, 1)
        break
      case "Home":
        stepTo(nearestPlace(times, from), 1)
        break
      case "End":
        stepTo(nearestPlace(times, to), -1)
        break
      case "+":
      case "=":
        this.options.onRange({ from: from + size / 4, to: to - size / 4 })
        break
      case "-":
        this.options.onRange({ from: from - size / 2, to: to + size / 2 })
        break
      case "0":
        this.options.onReset()
        break
      case "Enter":
        this.traceAtCursor()
        break
      default:
        return
    }
    event.preventDefault()
  }

  /** With Ctrl, which is also what pinching a trackpad sends: the wheel alone scrolls the page. */
  private onWheel(event: WheelEvent): void {
    const u = this.drawing
    if (u === null || !event.ctrlKey) return
    event.preventDefault()
    const about = u.posToVal(event.clientX - u.over.getBoundingClientRect().left, "x")
    const factor = Math.exp(event.deltaY * 0.004)
    const { from, to } = this.range
    this.options.onRange({ from: about - (about - from) * factor, to: about + (to - about) * factor })
  }

  private fillTable(): void {
    const { plot } = this
    if (!this.details.open || plot === null) return
    const { from, to } = this.range
    const inView = plot.points.filter(({ time }) => time >= from && time <= to)
    const isBucket = plot.bucketSeconds !== null
    const unit = formatUnit(this.options.unit)
    const named = (text: string): string => (unit === "" ? text : `${text} (${unit})`)
    const head = isBucket
      ? ["From (UTC)", "Readings", named("Lowest"), named("Mean"), named("Highest"), "Late"]
      : ["Time (UTC)", named("Value"), "Arrived (UTC)", "Late", "Block", "Statement"]
    const rows = inView
      .slice(0, rowsOfTableMax)
      .map((point) =>
        isBucket
          ? [
              formatInstant(point.time),
              point.count,
              formatValue(point.low),
              formatValue(point.middle),
              formatValue(point.high),
              point.late,
            ]
          : [
              formatInstant(point.time, true),
              formatValue(point.middle),
              point.arrived === null ? "" : formatInstant(point.arrived),
              point.late === 0 ? "" : this.isImported(point) ? "imported" : "late",
              point.block ?? "not sealed yet",
              point.entry === null
                ? ""
                : h(
                    "button",
                    { class: "button small", type: "button", onclick: () => this.options.onTrace(point) },
                    "Trace",
                  ),
            ],
      )
    replaceChildren(
      this.tableHolder,
      h(
        "table",
        {},
        h(
          "caption",
          {},
          inView.length > rowsOfTableMax
            ? `The first ${rowsOfTableMax} of ${formatCount(inView.length)} rows in this range; zoom in for the others.`
            : `${formatCount(inView.length)} rows in this range.`,
        ),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            head.map((text) => h("th", { scope: "col" }, text)),
          ),
        ),
        h(
          "tbody",
          {},
          rows.map((cells) =>
            h(
              "tr",
              {},
              cells.map((cell) => h("td", {}, cell)),
            ),
          ),
        ),
      ),
    )
  }
}

/** Read out by screen readers, at a person's own key only. */
function announce(text: string): void {
  const place = document.getElementById("announcement")
  if (place !== null) place.textContent = text
}

function describeResolution({ readings, bucketSeconds, isThinned }: Found): string {
  if (readings === 0) return ""
  if (isThinned) return `some ${formatCount(readings)} samples, lowest and highest of each pixel`
  if (bucketSeconds !== null)
    return `${count(readings, "reading")} in steps of ${formatDuration(bucketSeconds)}`
  return `${count(readings, "reading")}, each as it was signed`
}

function describeGap({ from, to, cause }: Gap): string {
  // It goes on.
  if (cause === "not-yet") return nameCause(cause)
  return `${formatDuration(to - from)}: ${nameCause(cause)}`
}

/** Unix seconds under the cursor; null: it is not there. */
function cursorTime(u: uPlot): number | null {
  const { left } = u.cursor
  return left === undefined || left < 0 ? null : u.posToVal(left, "x")
}

/** A little air above and below, and room for a flat line. */
function padRange(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1]
  const size = high - low || Math.abs(high) * 0.2 || 1
  return [low - size * 0.12, high + size * 0.08]
}

/** Each label is as short as its neighbours allow; the date stands below where it changes. */
function formatTicks(splits: readonly number[], stepSeconds: number): string[] {
  let dayBefore = ""
  return splits.map((seconds) => {
    const iso = new Date(Math.round(seconds * 1000)).toISOString()
    const day = iso.slice(0, 10)
    if (stepSeconds >= 86_400 * 28) return stepSeconds >= 86_400 * 360 ? iso.slice(0, 4) : iso.slice(0, 7)
    if (stepSeconds >= 86_400)
      return `${iso.slice(5, 10)}\n${day.slice(0, 4) === dayBefore ? "" : (dayBefore = day.slice(0, 4))}`
    const time =
      stepSeconds >= 60
        ? iso.slice(11, 16)
        : stepSeconds >= 1
          ? iso.slice(11, 19)
          : iso.slice(14, 23).replace(/0+$/, "")
    const below = day === dayBefore ? "" : day
    dayBefore = day
    return `${time}\n${below}`
  })
}

function makeHatch(ctx: CanvasRenderingContext2D, stroke: string): CanvasPattern | null {
  const tile = document.createElement("canvas")
  const size = Math.round(7 * devicePixelRatio)
  tile.width = size
  tile.height = size
  const pen = tile.getContext("2d")
  if (pen === null) return null
  pen.strokeStyle = stroke
  pen.lineWidth = devicePixelRatio
  pen.beginPath()
  pen.moveTo(0, size)
  pen.lineTo(size, 0)
  pen.stroke()
  return ctx.createPattern(tile, "repeat")
}
