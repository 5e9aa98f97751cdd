import type { RecordedPoints, RecordedSignal, RecordedTexts } from "./recording.ts"

/** Gathers points and texts row by row into one signal per metric, unit and kind, in the order of first appearance. */
export class SignalCollector {
  private readonly signals = new Map<string, Growing>()

  addNumber(metric: string, unit: string | null, time: number, value: number): void {
    const signal = this.signalOf("points", metric, unit)
    signal.times.push(time)
    signal.numbers.push(value)
  }

  addText(metric: string, unit: string | null, time: number, value: string): void {
    const signal = this.signalOf("texts", metric, unit)
    signal.times.push(time)
    signal.texts.push(value)
  }

  /** @param instants where times were added by their number among these (`FileTimes`); null where they are instants */
  finish(instants: readonly number[] | null = null): RecordedSignal[] {
    return [...this.signals.values()].map((signal): RecordedPoints | RecordedTexts => {
      const { kind, metric, unit, numbers, texts } = signal
      const times = instants === null ? signal.times : signal.times.map((at) => instants[at] ?? Number.NaN)
      return kind === "points"
        ? { kind, metric, unit, times, values: numbers }
        : { kind, metric, unit, times, values: texts }
    })
  }

  private signalOf(kind: Growing["kind"], metric: string, unit: string | null): Growing {
    const key = `${kind} ${metric} ${unit}`
    let signal = this.signals.get(key)
    if (signal === undefined) {
      signal = { kind, metric, unit, times: [], numbers: [], texts: [] }
      this.signals.set(key, signal)
    }
    return signal
  }
}

interface Growing {
  readonly kind: "points" | "texts"
  readonly metric: string
  readonly unit: string | null
  readonly times: number[]
  readonly numbers: number[]
  readonly texts: string[]
}

/** Counts what a reader leaves out, so that a remark can say so. */
export class Tally {
  private readonly counts = new Map<string, number>()

  add(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  remarks(): string[] {
    return [...this.counts].map(([what, count]) => `${count} ${what}`)
  }
}
