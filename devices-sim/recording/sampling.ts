import type { RecordedSignal } from "./recording.ts"

/** Which integers and which scale give a stretch of values back, at their decimals. */
interface Stretch {
  readonly from: number
  readonly factor: number
  readonly origin: number
  readonly samples: Int16Array
}

const int16Span = 65_535
// 2^53 in steps of the last decimal is where integers end; beyond 12 decimals a file has floats, not measurements.
const decimalsMax = 12
// Shorter stretches cost more than points: a waveform is about 100 bytes before its first sample.
const stretchMeanMin = 64

/**
 * Values that need at most `decimals` digits after the point, as stretches of int16 samples that decode to them exactly
 * (rounded to `decimals`); null where that would take too many stretches.
 */
function fitSamples(values: readonly number[], decimals: number): Stretch[] | null {
  if (decimals > decimalsMax) return null
  const scale = 10 ** decimals
  const steps = values.map((value) => Math.round(value * scale))
  if (!steps.every(Number.isSafeInteger)) return null
  const common = commonStepOf(steps)
  const stretches: Stretch[] = []
  let from = 0
  while (from < steps.length) {
    let low = steps[from] ?? 0
    let high = low
    let to = from + 1
    for (; to < steps.length; to++) {
      const step = steps[to] ?? 0
      const lowNext = Math.min(low, step)
      const highNext = Math.max(high, step)
      if ((highNext - lowNext) / common > int16Span) break
      low = lowNext
      high = highNext
    }
    // A plain scale from 0 where it fits: samples are then the file's own digits.
    const plain = low >= -32_768 && high <= 32_767
    const unit = plain ? 1 : common
    const zero = plain ? 0 : low + 32_768 * common
    const samples = Int16Array.from(steps.slice(from, to), (step) => (step - zero) / unit)
    stretches.push({ from, factor: unit / scale, origin: zero / scale, samples })
    from = to
    if (stretches.length * stretchMeanMin > steps.length + stretchMeanMin) return null
  }
  return stretches
}

/** The greatest number of steps that all differences are multiples of. */
function commonStepOf(steps: readonly number[]): number {
  const first = steps[0] ?? 0
  let common = 0
  for (const step of steps) {
    let a = Math.abs(step - first)
    let b = common
    while (b > 0) [a, b] = [b, a % b]
    common = a
    if (common === 1) break
  }
  return common || 1
}

/**
 * The period in ms of times that are regular but for the rounding of their last decimal, or null.
 * A deviation up to a microsecond counts as rounding. Prefers a whole number of samples a second, as 360 Hz for 2.778 ms.
 */
export function periodOf(timesMs: readonly number[], decimals: number): number | null {
  const first = timesMs[0]
  if (first === undefined || timesMs.length < 2) return null
  const tolerance = Math.max(0.5 * 10 ** -Math.min(decimals, decimalsMax), 0.001)
  let low = 0
  let high = Infinity
  for (let i = 1; i < timesMs.length; i++) {
    const since = (timesMs[i] ?? 0) - first
    // Both ends are rounded.
    low = Math.max(low, (since - 2 * tolerance) / i)
    high = Math.min(high, (since + 2 * tolerance) / i)
    if (low > high || high <= 0) return null
  }
  const whole = 1000 / Math.round(1000 / ((low + high) / 2))
  const period = whole >= low && whole <= high ? whole : Number(((low + high) / 2).toPrecision(9))
  return period > 0 && Number.isFinite(period) ? period : null
}

/** Values at a regular rate: waveforms where int16 can hold them, points otherwise. */
export function sampledSignals(
  name: { readonly metric: string; readonly unit: string | null },
  sampling: { readonly startsAt: number; readonly periodMs: number; readonly decimals: number },
  values: readonly number[],
): RecordedSignal[] {
  if (values.length === 0) return []
  const { startsAt, periodMs } = sampling
  const stretches = fitSamples(values, sampling.decimals)
  if (stretches === null) return [pointsAtRate(name, sampling, values)]
  return stretches.map(({ from, factor, origin, samples }) => ({
    kind: "waveform",
    ...name,
    startsAt: startsAt + (from * periodMs) / 1000,
    periodMs,
    factor,
    origin,
    samples,
  }))
}

/** Values at a regular rate as points: for the slow ones, which people look at one by one. */
export function pointsAtRate(
  name: { readonly metric: string; readonly unit: string | null },
  sampling: { readonly startsAt: number; readonly periodMs: number },
  values: readonly number[],
): RecordedSignal {
  const times = values.map((_, i) => sampling.startsAt + (i * sampling.periodMs) / 1000)
  return { kind: "points", ...name, times, values }
}
