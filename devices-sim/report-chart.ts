/** Line charts as SVG, without a script: a report is one file that opens anywhere. */
import { formatCount } from "./report-text.ts"

export interface ChartLine {
  readonly name: string
  /** Of its colour in the style sheet: `c1` and so on. */
  readonly style: string
  /** Null: nothing was measured there, and the line has a hole. */
  readonly values: readonly (number | null)[]
}

export interface Chart {
  readonly title: string
  readonly unit: string
  /** Where each value stands, ascending. */
  readonly at: readonly number[]
  readonly formatAt: (at: number) => string
  readonly lines: readonly ChartLine[]
}

const width = 720
const height = 220
const left = 56
const right = 12
const top = 12
const bottom = 28

/** A figure with its legend; a person who sees no lines gets the largest and the last value of each in words. */
export function formatChart({ title, unit, at, formatAt, lines }: Chart): string {
  // A value stands at the end of its piece, and the first piece begins at 0.
  const first = 0
  const last = Math.max(at.at(-1) ?? 1, first + 1e-9)
  const highest = Math.max(0, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0)))
  const ticks = ticksUpTo(highest)
  const end = ticks.at(-1)!
  const x = (value: number): number => left + ((value - first) / (last - first)) * (width - left - right)
  const y = (value: number): number => top + (1 - value / end) * (height - top - bottom)
  const grid = ticks.map(
    (tick) =>
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${round(y(tick))}" y2="${round(y(tick))}"/>` +
      `<text class="tick" x="${left - 8}" y="${round(y(tick) + 4)}" text-anchor="end">${formatTick(tick)}</text>`,
  )
  const times = [0, 0.25, 0.5, 0.75, 1].map((share) => first + share * (last - first))
  const axis = times.map((time, index) => {
    const anchor = index === 0 ? "start" : index === times.length - 1 ? "end" : "middle"
    return `<text class="tick" x="${round(x(time))}" y="${height - 8}" text-anchor="${anchor}">${escapeHtml(formatAt(time))}</text>`
  })
  const paths = lines.map(
    ({ style, values }) => `<path class="line ${style}" d="${pathOf(values, at, x, y)}"/>`,
  )
  const words = lines.map(({ name, values }) => {
    const known = values.filter((value) => value !== null)
    return known.length === 0 ? `${name}: nothing` : `${name}: at most ${formatTick(Math.max(...known))}`
  })
  const legend = lines
    .map(({ name, style }) => `<span class="key"><i class="${style}"></i>${escapeHtml(name)}</span>`)
    .join("")
  return [
    `<figure>`,
    `<figcaption><b>${escapeHtml(title)}</b> <span class="unit">${escapeHtml(unit)}</span>${legend}</figcaption>`,
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(`${title}, ${unit}. ${words.join("; ")}`)}">`,
    ...grid,
    ...axis,
    ...paths,
    `</svg>`,
    `</figure>`,
  ].join("\n")
}

function pathOf(
  values: readonly (number | null)[],
  at: readonly number[],
  x: (value: number) => number,
  y: (value: number) => number,
): string {
  let isDown = false
  const parts: string[] = []
  const isGapBefore = findGaps(at)
  for (const [index, value] of values.entries()) {
    if (value === null) {
      isDown = false
      continue
    }
    if (isGapBefore[index] === true) isDown = false
    parts.push(`${isDown ? "L" : "M"}${round(x(at[index]!))} ${round(y(value))}`)
    // A lone point would be no line at all.
    if (!isDown && (values[index + 1] == null || isGapBefore[index + 1] === true)) parts.push("h0.01")
    isDown = true
  }
  return parts.join("")
}

/** A piece that is several times as long as the others is one in which nothing was measured. */
const gapFactor = 4

function findGaps(at: readonly number[]): readonly boolean[] {
  const lengths = at.map((time, index) => time - (at[index - 1] ?? 0))
  const usual = medianOf(lengths)
  return lengths.map((length, index) => index > 0 && usual > 0 && length > gapFactor * usual)
}

/** 0 where there is none. */
export function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

/** 0 and some round numbers up to the first that is not below `highest`. */
function ticksUpTo(highest: number): number[] {
  if (highest <= 0) return [0, 1]
  const raw = highest / 4
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= raw)!
  const count = Math.ceil(highest / step - 1e-9)
  return Array.from({ length: count + 1 }, (_, index) => index * step)
}

function formatTick(value: number): string {
  if (value >= 1_000 || Number.isInteger(value)) return formatCount(Math.round(value))
  return String(Number(value.toPrecision(3)))
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10)
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
}
