import type { Random } from "../random.ts"

// Arithmetic only: sine and exponential differ in the last bit between engines, and a seed must mean the same everywhere.

/** Smooth noise in [-1, 1] at `time`: one random height per cell of `cellSeconds`, eased from one to the next. */
export function noiseAt(random: Random, time: number, cellSeconds: number): number {
  const place = time / cellSeconds
  const cell = Math.floor(place)
  const x = place - cell
  const from = random.at(cell)
  const eased = x * x * (3 - 2 * x)
  return (from + (random.at(cell + 1) - from) * eased) * 2 - 1
}

/** A wave of period 1 in [-1, 1], within 0.06 of a sine: two parabolas. */
export function waveAt(phase: number): number {
  const x = phase - Math.floor(phase)
  return x < 0.5 ? 16 * x * (0.5 - x) : -16 * (x - 0.5) * (1 - x)
}

/** A bump of height 1 at `centre` that is 0 from `halfWidth` on: what a Gaussian looks like, without its tails. */
export function bumpAt(x: number, centre: number, halfWidth: number): number {
  const distance = (x - centre) / halfWidth
  const inside = 1 - distance * distance
  return inside > 0 ? inside * inside : 0
}
