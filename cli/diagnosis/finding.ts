/** What `tidemark doctor` found, and what it thinks of it. */

/** `danger`: a promise is not kept, or will not be. `better`: it works, and something else would be better. */
export type Grade = "fine" | "better" | "danger"

export interface Finding {
  readonly part: "machine" | "server" | "log"
  /** What was looked at, by the name that its owner knows. */
  readonly name: string
  readonly value: string
  readonly grade: Grade
  /** Why it matters and what to do; null where it is fine. */
  readonly advice: string | null
}

/** Null: it is fine. */
export type Opinion = readonly [grade: Grade, advice: string] | null

export function make(part: Finding["part"], name: string, value: string, opinion: Opinion): Finding {
  return { part, name, value, grade: opinion?.[0] ?? "fine", advice: opinion?.[1] ?? null }
}

export const megabyte = 1024 * 1024

export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"]
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10))
  const value = bytes / 1024 ** power
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${units[power]!}`
}
