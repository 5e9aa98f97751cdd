/** The gaps of a metric as `/v1/coverage` tells them: pure, so that every shape of an answer can be tried without a browser. */
import type { Span } from "./span.ts"
import { count, formatDuration, formatInstant } from "./time.ts"

/** An answer of `/v1/coverage`, as far as this page reads it. */
export interface Coverage {
  readonly days: readonly string[]
  /** Unix seconds: where each day begins, and where the last ends. */
  readonly boundaries: readonly number[]
  readonly metrics: readonly MetricCoverage[]
}

export interface MetricCoverage {
  readonly metric: string
  readonly firstAt: number
  readonly lastAt: number
  readonly rhythmSeconds: number | null
  readonly days: readonly MetricDay[]
}

export interface MetricDay {
  readonly readings: number
  /** Arrived over a day after their time: the page asks with `liveWithin=86400`. */
  readonly late: number
  readonly missingSeconds: Readonly<Record<string, number>>
  /** Covered share of each of the day's parts; null: nothing was to be expected. */
  readonly parts: readonly (number | null)[]
  readonly causes: readonly (string | null)[]
  readonly gaps: readonly Gap[]
  readonly gapsTotal: number
}

export interface Gap extends Span {
  readonly cause: string | null
}

/** When a metric was silent, over all of its time. */
export interface Silence {
  /** Median seconds between two readings; null: no rhythm, so gaps cannot be told. */
  readonly rhythmSeconds: number | null
  /** Unix seconds of the first and the last reading. */
  readonly firstAt: number
  readonly lastAt: number
  /** In order of time; a gap that goes on over midnight is one. */
  readonly gaps: readonly Gap[]
  /** Unix seconds: where the first answer begins. Gaps before are not known. */
  readonly askedFrom: number
  /** Gaps that are counted and not listed, in days that have very many. */
  readonly unlisted: number
  /** Days all of whose readings arrived over a day after their time: a replay, or a backlog. */
  readonly imported: readonly Span[]
  /** Whether every reading came so. */
  readonly isImport: boolean
}

/** Later than this after its time, and with all others of its day, a reading was imported. */
export const importedAfterSeconds = 86_400

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

export function nameCause(cause: string | null): string {
  return cause === null ? "" : (causeWords[cause] ?? cause)
}

/**
 * The silence of each metric.
 *
 * @param answers of windows that follow one another, in order of time
 * @param nowSeconds up to where a silence that goes on reaches
 */
export function silencesOf(answers: readonly Coverage[], nowSeconds: number): ReadonlyMap<string, Silence> {
  const silences = new Map<string, Silence>()
  const names = new Set(answers.flatMap(({ metrics }) => metrics.map(({ metric }) => metric)))
  for (const name of names) {
    const parts = answers.flatMap((answer) => {
      const found = answer.metrics.find(({ metric }) => metric === name)
      return found === undefined ? [] : [{ found, boundaries: answer.boundaries }]
    })
    const latest = parts.at(-1)!.found
    const days = parts.flatMap(({ found, boundaries }) =>
      found.days.map((day, place) => ({ ...day, from: boundaries[place]!, to: boundaries[place + 1]! })),
    )
    const gaps = joinGaps(days.flatMap((day) => day.gaps))
    const last = gaps.at(-1)
    // Coverage ends with the last day that has readings; the silence does not.
    if (last !== undefined && last.cause === "not-yet" && nowSeconds > last.to)
      gaps[gaps.length - 1] = { ...last, to: nowSeconds }
    const withReadings = days.filter(({ readings }) => readings > 0)
    const imported = joinDays(withReadings)
    silences.set(name, {
      rhythmSeconds: latest.rhythmSeconds,
      firstAt: latest.firstAt,
      lastAt: latest.lastAt,
      gaps,
      askedFrom: parts[0]!.boundaries[0]!,
      unlisted: days.reduce((sum, day) => sum + day.gapsTotal - day.gaps.length, 0),
      imported,
      isImport: withReadings.length > 0 && withReadings.every(isImported),
    })
  }
  return silences
}

/** Days cut a gap; a cause that changes does, too, and that stays. */
function joinGaps(gaps: readonly Gap[]): Gap[] {
  const joined: Gap[] = []
  for (const { from, to, cause } of gaps.toSorted((a, b) => a.from - b.from)) {
    const last = joined.at(-1)
    if (last !== undefined && last.cause === cause && from - last.to < 0.001)
      joined[joined.length - 1] = { ...last, to }
    else joined.push({ from, to, cause })
  }
  return joined
}

function isImported({ readings, late }: MetricDay): boolean {
  return late === readings
}

/** @param days those with readings, in order */
function joinDays(days: readonly (MetricDay & Span)[]): Span[] {
  const spans: Span[] = []
  days.forEach((day, place) => {
    if (!isImported(day)) return
    const last = spans.at(-1)
    const before = days[place - 1]
    if (last !== undefined && before !== undefined && isImported(before))
      spans[spans.length - 1] = { from: last.from, to: day.to }
    else spans.push({ from: day.from, to: day.to })
  })
  return spans
}

/**
 * A silence with every gap of a window, where days had more than were listed.
 *
 * @param fine the silence of a window of whole days that lists them all
 */
export function refineSilence(silence: Silence, fine: Silence, window: Span): Silence {
  const outside = silence.gaps.flatMap((gap) => [
    { ...gap, to: Math.min(gap.to, window.from) },
    { ...gap, from: Math.max(gap.from, window.to) },
  ])
  const gaps = joinGaps([...outside.filter(({ from, to }) => to > from), ...fine.gaps])
  return { ...silence, gaps, unlisted: fine.unlisted }
}

/** The gap at a time; null: none. */
export function gapAt({ gaps }: Silence, seconds: number): Gap | null {
  return gaps.find(({ from, to }) => from <= seconds && seconds < to) ?? null
}

/** Gaps of which a range shows something. */
export function gapsWithin({ gaps }: Silence, { from, to }: Span): readonly Gap[] {
  return gaps.filter((gap) => gap.to > from && gap.from < to)
}

/**
 * Stretches in which some metric was said, in order: what lies between two is longer than `share` of the whole. Metrics
 * without a rhythm have only their ends.
 */
export function stretchesOf(silences: Iterable<Silence>, share = 0.02): Span[] {
  const spans: Span[] = []
  for (const { rhythmSeconds, firstAt, lastAt, gaps, askedFrom } of silences) {
    if (rhythmSeconds === null) {
      spans.push({ from: firstAt, to: firstAt }, { from: lastAt, to: lastAt })
      continue
    }
    let at = firstAt
    if (firstAt < askedFrom && gaps[0]?.from === askedFrom) {
      // The answers begin inside a gap: nothing says that readings reach to it.
      spans.push({ from: firstAt, to: firstAt })
      at = askedFrom
    }
    for (const gap of gaps) {
      if (gap.from > lastAt) break
      // A gap begins a rhythm after the last reading; one that goes on under another cause begins where that ends.
      if (gap.from > at) spans.push({ from: at, to: Math.max(at, gap.from - rhythmSeconds) })
      at = gap.to
    }
    if (at <= lastAt) spans.push({ from: at, to: lastAt })
  }
  spans.sort((a, b) => a.from - b.from)
  const whole = spans.reduce((end, { to }) => Math.max(end, to), -Infinity) - (spans[0]?.from ?? 0)
  const stretches: Span[] = []
  for (const span of spans) {
    const last = stretches.at(-1)
    if (last !== undefined && span.from - last.to <= whole * share)
      stretches[stretches.length - 1] = { from: last.from, to: Math.max(last.to, span.to) }
    else stretches.push(span)
  }
  return stretches
}

/**
 * What a range shows of a metric's silence, in sentences.
 *
 * @param trouble why nothing is known; null: it will be
 */
export function describeSilence(
  silence: Silence | null,
  trouble: string | null,
  { from, to }: Span,
  hasReadings: boolean,
): string[] {
  const nothing = hasReadings ? [] : ["No readings in this range."]
  if (silence === null) return [...nothing, ...(trouble === null ? [] : [`Gaps are not known: ${trouble}`])]
  const { rhythmSeconds, firstAt, lastAt, unlisted, askedFrom } = silence
  if (to < firstAt) return [`No readings in this range: the first is of ${formatInstant(firstAt)}.`]
  const gaps = gapsWithin(silence, { from, to })
  const around = gaps.find((gap) => gap.from <= from && (gap.to >= to || gap.cause === "not-yet"))
  if (!hasReadings && around !== undefined) {
    const { cause } = around
    const words = `${formatDuration(around.to - around.from)}, from ${formatInstant(around.from)}`
    return [`This range lies in a gap of ${words}: ${nameCause(cause)}.`]
  }
  const ended = gaps.filter(({ cause }) => cause !== "not-yet")
  const longest = ended.reduce((most, gap) => Math.max(most, gap.to - gap.from), 0)
  const isOver = gaps.length > ended.length
  const told =
    rhythmSeconds === null
      ? "It has no rhythm to tell gaps by."
      : ended.length === 1
        ? `One gap, of ${formatDuration(longest)}.`
        : ended.length > 1
          ? `${count(ended.length, "gap")}, the longest ${formatDuration(longest)}.`
          : isOver
            ? null
            : "No gaps."
  return [
    ...nothing,
    ...(told === null ? [] : [told]),
    ...(unlisted > 0
      ? [`${count(unlisted, "short one")} more ${unlisted === 1 ? "is" : "are"} not drawn.`]
      : []),
    ...(rhythmSeconds !== null && Math.max(from, firstAt) < askedFrom
      ? [`Gaps before ${formatInstant(askedFrom)} are not looked up.`]
      : []),
    ...(isOver ? [`Nothing has come since ${formatInstant(lastAt)}.`] : []),
  ]
}

/** What the days of a metric lack, in words. */
export function describeDays({
  days,
  lastAt,
  rhythmSeconds,
}: Pick<MetricCoverage, "days" | "lastAt" | "rhythmSeconds">): string {
  const missing = new Map<string, number>()
  for (const { missingSeconds } of days)
    for (const [cause, seconds] of Object.entries(missingSeconds))
      missing.set(cause, (missing.get(cause) ?? 0) + seconds)
  const told = [...missing].filter(([, seconds]) => seconds >= 1).toSorted((a, b) => b[1] - a[1])
  if (told.length === 0)
    return rhythmSeconds === null ? "it has no rhythm to tell gaps by" : "nothing is missing"
  return told
    .map(([cause, seconds]) =>
      // It goes on after these days.
      cause === "not-yet"
        ? `${nameCause(cause)} ${formatInstant(lastAt)}`
        : `${formatDuration(seconds)}: ${nameCause(cause)}`,
    )
    .join("; ")
}
