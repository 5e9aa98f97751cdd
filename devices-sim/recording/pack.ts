import { recordsMax, seriesMax } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import type { RecordedSignal, Recording } from "./recording.ts"

/** How much goes into one pack. */
export interface PackLimits {
  /** Readings of points and texts in a pack, over all metrics. */
  readonly readings: number
  /** Samples of one waveform in a pack; a pack holds one piece of each waveform. */
  readonly samples: number
}

// A statement has at most 65,535 bytes (FORMAT §4, code 11); the envelope takes up to 500 of them.
const payloadSizeMax = 64_500
// As encodePack writes them: a record of a time and a value as float64 has 21 bytes, of a waveform its 2 bytes a sample
// and about 70, and each series its name, its unit and their heads once.
const pointSizeMax = 22
const waveformSizeMax = 120
const seriesSizeMax = 16
/** The longest waveform piece that surely fits into a pack of its own. */
export const samplesMax = 30_000

interface Cursor {
  readonly signal: RecordedSignal
  next: number
  /** When the device has what comes next: the latest time so far, of a waveform the time of the piece's last sample. */
  ready: number
}

interface Piece {
  readonly signal: RecordedSignal
  readonly from: number
  to: number
}

/**
 * Chops a recording into packs in the order in which a device would have sent them: whatever was measured first goes
 * first, while each signal stays in its file's own order with its repeated and backward times, holes and sentinels.
 *
 * @throws RangeError if a limit is not a whole number from 1 to 10,000 readings, or to 30,000 samples
 */
export function* packRecording(recording: Recording, limits: PackLimits): Generator<Series[]> {
  requireWithin("readings", limits.readings, recordsMax)
  requireWithin("samples", limits.samples, samplesMax)
  const cursors = recording.signals
    .map((signal): Cursor => ({ signal, next: 0, ready: -Infinity }))
    .filter((cursor) => advance(cursor, 0, limits))
  // Sorted by what is ready first, so that the next one is always in front.
  cursors.sort((one, other) => one.ready - other.ready)

  let pack = new Pack(limits)
  for (let cursor = cursors.shift(); cursor !== undefined; cursor = cursors.shift()) {
    const count = cursor.signal.kind === "waveform" ? pieceLength(cursor, limits) : 1
    if (!pack.add(cursor.signal, cursor.next, count)) {
      yield pack.series()
      pack = new Pack(limits)
      pack.add(cursor.signal, cursor.next, count)
    }
    if (advance(cursor, count, limits)) insert(cursors, cursor)
  }
  if (!pack.isEmpty()) yield pack.series()
}

/** Moves a cursor on; false where its signal has ended. */
function advance(cursor: Cursor, count: number, limits: PackLimits): boolean {
  cursor.next += count
  const { signal } = cursor
  if (signal.kind === "waveform") {
    const last = cursor.next + pieceLength(cursor, limits) - 1
    cursor.ready = signal.startsAt + (last * signal.periodMs) / 1000
    return cursor.next < signal.samples.length
  }
  cursor.ready = Math.max(cursor.ready, signal.times[cursor.next] ?? -Infinity)
  return cursor.next < signal.values.length
}

function pieceLength({ signal, next }: Cursor, { samples }: PackLimits): number {
  return signal.kind === "waveform" ? Math.min(samples, signal.samples.length - next) : 0
}

/** Behind all that are ready no later: who comes first at the same time, goes first. */
function insert(cursors: Cursor[], cursor: Cursor): void {
  let low = 0
  let high = cursors.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((cursors[middle]?.ready ?? 0) <= cursor.ready) low = middle + 1
    else high = middle
  }
  cursors.splice(low, 0, cursor)
}

class Pack {
  private readonly limits: PackLimits
  private readonly pieces = new Map<RecordedSignal, Piece>()
  private records = 0
  private readings = 0
  private size = 8

  constructor(limits: PackLimits) {
    this.limits = limits
  }

  isEmpty(): boolean {
    return this.pieces.size === 0
  }

  /** Takes `count` readings of `signal` from `from` on, or false where the pack has no room for them. */
  add(signal: RecordedSignal, from: number, count: number): boolean {
    const piece = this.pieces.get(signal)
    const size = sizeOf(signal, from, count, piece === undefined)
    if (!this.isEmpty()) {
      const isWaveform = signal.kind === "waveform"
      if (this.size + size > payloadSizeMax || this.records >= recordsMax) return false
      if (piece === undefined && this.pieces.size >= seriesMax) return false
      if (isWaveform ? piece !== undefined : this.readings >= this.limits.readings) return false
    }
    if (piece === undefined) this.pieces.set(signal, { signal, from, to: from + count })
    else piece.to += count
    this.size += size
    this.records++
    if (signal.kind !== "waveform") this.readings++
    return true
  }

  series(): Series[] {
    return [...this.pieces.values()].map(seriesOf)
  }
}

function sizeOf(signal: RecordedSignal, from: number, count: number, isFirst: boolean): number {
  const series = isFirst ? seriesSizeMax + utf8SizeMax(signal.metric) + utf8SizeMax(signal.unit ?? "") : 0
  if (signal.kind === "waveform") return series + waveformSizeMax + 2 * count
  return series + pointSizeMax + (signal.kind === "texts" ? utf8SizeMax(signal.values[from] ?? "") : 0)
}

/** No UTF-16 unit takes more than three bytes. */
function utf8SizeMax(text: string): number {
  return 3 * text.length
}

function seriesOf({ signal, from, to }: Piece): Series {
  const { metric: name, unit } = signal
  if (signal.kind === "waveform") {
    const { periodMs, factor, origin } = signal
    const startsAt = signal.startsAt + (from * periodMs) / 1000
    const samples = signal.samples.slice(from, to)
    return { kind: "waveform", name, unit, startsAt, periodMs, factor, origin, samples }
  }
  const times = signal.times.slice(from, to)
  if (signal.kind === "texts")
    return { kind: "text", name, unit, times, values: signal.values.slice(from, to) }
  return { kind: "number", name, unit, times, values: signal.values.slice(from, to) }
}

function requireWithin(what: string, count: number, max: number): void {
  if (!Number.isSafeInteger(count) || count < 1 || count > max) {
    throw new RangeError(`a pack has a whole number of ${what}, 1 to ${max}`)
  }
}
