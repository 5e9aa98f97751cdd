/** Processor time that named processes use while something runs. */

/** Gives the seconds that a process has used so far; null where that cannot be known. */
export type Clock = () => number | null

export interface Timed<Name extends string, Result> {
  readonly result: Result
  readonly seconds: Readonly<Record<Name, number | null>>
}

/** What each clock moved on by while `work` ran. */
export async function timeProcesses<Name extends string, Result>(
  clocks: Readonly<Record<Name, Clock>>,
  work: () => Promise<Result>,
): Promise<Timed<Name, Result>> {
  const names = Object.keys(clocks) as Name[]
  const before = names.map((name) => clocks[name]())
  const result = await work()
  const seconds = Object.fromEntries(
    names.map((name, index) => {
      const [from, to] = [before[index] ?? null, clocks[name]()]
      return [name, from === null || to === null ? null : to - from]
    }),
  ) as Record<Name, number | null>
  return { result, seconds }
}

/** Null where one of them is. */
export function sumOf(...seconds: readonly (number | null)[]): number | null {
  return seconds.reduce((sum, one) => (sum === null || one === null ? null : sum + one), 0)
}
