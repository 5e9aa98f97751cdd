/** What the bench found: a value with its unit, beside what it is compared with, and what it should be. */

/** One line of `--json`. */
export interface Measure {
  /** What is measured, how it was loaded, and in which respect, with dots between: `ingest.60.cpu`. */
  readonly name: string
  readonly value: number
  readonly unit: string
  /** Value divided by that of `of`; the median of the rounds' ratios, which a noisy machine disturbs least. */
  readonly ratio: number | null
  readonly of: string | null
}

/** One measurement of one round, by name. */
export type Sample = Omit<Measure, "ratio">

/** The middle one; of an even number the mean of the middle two. NaN of none. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/**
 * The smallest value that at least this share of all are not above (nearest rank), exact: a run has some ten thousand of
 * them, which are sorted faster than a histogram is explained.
 *
 * @param sorted ascending
 */
export function percentileOf(sorted: ArrayLike<number>, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

/** Samples of all rounds. */
export class Samples {
  readonly #rounds: Map<string, Sample>[] = []

  /** Opens the next round: a ratio is taken within one. */
  nextRound(): void {
    this.#rounds.push(new Map())
  }

  /** @param of the name of what it is compared with, of the same round and in the same unit */
  add(name: string, value: number | null, unit: string, of: string | null = null): void {
    if (value === null || !Number.isFinite(value)) return
    if (this.#rounds.length === 0) this.nextRound()
    this.#rounds.at(-1)!.set(name, { name, value, unit, of })
  }

  /** A measure per name, in the order in which they first came. */
  measures(): Measure[] {
    const samples = new Map<string, Sample>()
    for (const round of this.#rounds)
      for (const [name, sample] of round) samples.set(name, samples.get(name) ?? sample)
    return [...samples.values()].map(({ name, unit, of }) => {
      const values = this.#rounds.flatMap((round) => round.get(name)?.value ?? [])
      const ratios = this.#rounds.flatMap((round) => {
        const value = round.get(name)?.value
        const other = of === null ? undefined : this.#find(round, of)
        return value === undefined || other === undefined ? [] : [value / other]
      })
      const isCompared = ratios.length > 0
      return {
        name,
        value: medianOf(values),
        unit,
        ratio: isCompared ? medianOf(ratios) : null,
        of: isCompared ? of : null,
      }
    })
  }

  /** In the same round, or in the last one that has it: what does not change is measured once. */
  #find(round: ReadonlyMap<string, Sample>, name: string): number | undefined {
    return (round.get(name) ?? this.#rounds.findLast((other) => other.has(name))?.get(name))?.value
  }
}
