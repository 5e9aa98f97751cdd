/** Time zones of IANA's database, as ICU has them: which offset holds when, and where it changes. */

/** A change of the clock on the wall. */
export interface Shift {
  /** Unix seconds of the first instant that has the new offset. */
  readonly at: number
  /** Seconds to add to UTC for the time on the wall. */
  readonly before: number
  readonly after: number
}

/** Seconds from 1970 that a date reaches, in both directions (ECMA-262 §21.4.1.1). */
export const dateSecondsMax = 8.64e12

export const timezoneRule = "must be the name of a time zone such as Europe/Berlin"

const secondsPerDay = 86_400
/** Between two changes of a zone lie at least 6.9 days in all of IANA's database since 1970, so none is stepped over. */
const stepSeconds = 6 * secondsPerDay
const stepsPerSpan = 64
const spanSeconds = stepsPerSpan * stepSeconds
/** Readings of a few decades need some dozens; times that a device made up must not fill the memory. */
const spansMax = 1_000

export class Zone {
  readonly name: string
  readonly #format: Intl.DateTimeFormat
  readonly #spans = new Map<number, readonly Shift[]>()

  private constructor(name: string, format: Intl.DateTimeFormat) {
    this.name = name
    this.#format = format
  }

  /** Null where there is no such zone. */
  static find(name: string): Zone | null {
    // Offsets such as +01:00 are no zone of IANA's, and only some versions of Node take them.
    if (!/^[A-Za-z][A-Za-z0-9_+\-/]{0,63}$/.test(name)) return null
    try {
      const format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" })
      return new Zone(name, format)
    } catch {
      return null
    }
  }

  /** Seconds to add to UTC at this instant (Unix seconds, which a date must reach). */
  offsetAt(seconds: number): number {
    const text = this.#format.format(Math.floor(seconds) * 1000)
    const [, sign, hours, minutes, rest] = /GMT(?:([+-])(\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(text) ?? []
    if (sign === undefined) return 0
    const offset = Number(hours) * 3_600 + Number(minutes) * 60 + Number(rest ?? 0)
    return sign === "-" ? -offset : offset
  }

  /** The last change at this instant or before it, and after `since`; null where there is none. */
  lastShift(seconds: number, since: number): Shift | null {
    for (let span = Math.floor(seconds / spanSeconds); (span + 1) * spanSeconds > since; span--) {
      const found = this.#shiftsOf(span).findLast(({ at }) => at <= seconds && at > since)
      if (found !== undefined) return found
    }
    return null
  }

  /** The first change after this instant and not after `until`; null where there is none. */
  nextShift(seconds: number, until: number): Shift | null {
    for (let span = Math.floor(seconds / spanSeconds); span * spanSeconds <= until; span++) {
      const found = this.#shiftsOf(span).find(({ at }) => at > seconds && at <= until)
      if (found !== undefined) return found
    }
    return null
  }

  /** The changes of a span, the one at its beginning not included and the one at its end included. */
  #shiftsOf(span: number): readonly Shift[] {
    const known = this.#spans.get(span)
    if (known !== undefined) return known
    const shifts: Shift[] = []
    let from = clampToDate(span * spanSeconds)
    let before = this.offsetAt(from)
    for (let step = 1; step <= stepsPerSpan; step++) {
      const to = clampToDate(span * spanSeconds + step * stepSeconds)
      const after = this.offsetAt(to)
      if (after !== before) shifts.push({ at: this.#findShift(from, to, before), before, after })
      from = to
      before = after
    }
    if (this.#spans.size >= spansMax) this.#spans.clear()
    this.#spans.set(span, shifts)
    return shifts
  }

  /** The first whole second after `from` whose offset is another; at the latest `to`. */
  #findShift(from: number, to: number, before: number): number {
    let low = from
    let high = to
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (this.offsetAt(middle) === before) low = middle
      else high = middle
    }
    return high
  }
}

function clampToDate(seconds: number): number {
  return Math.min(dateSecondsMax, Math.max(-dateSecondsMax, seconds))
}

/** `+01:00`; with seconds where a zone had its own mean time. */
export function formatOffset(seconds: number): string {
  const whole = Math.abs(seconds)
  const parts = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60]
  const shown = parts[2] === 0 ? parts.slice(0, 2) : parts
  return `${seconds < 0 ? "-" : "+"}${shown.map((part) => String(part).padStart(2, "0")).join(":")}`
}
