/** What the measures shall be, on two cores with generator and Postgres on the same machine. */
import type { Measure } from "./measure.ts"

interface Target {
  /** Which of a measure's two numbers is meant. */
  readonly on: "value" | "ratio"
  readonly bound: "at most" | "at least"
  readonly limit: number
}

const atMost = (on: Target["on"], limit: number): Target => ({ on, bound: "at most", limit })
const atLeast = (on: Target["on"], limit: number): Target => ({ on, bound: "at least", limit })

const targets: Readonly<Record<string, Target>> = {
  "ingest.60.cpu": atMost("ratio", 2),
  "ingest.60.rate": atLeast("value", 400_000),
  "ingest.512.rate": atLeast("value", 1_000_000),
  "ingest.60.cpu-beside-peer": atMost("ratio", 0.75),
  "ingest.512.cpu-beside-peer": atMost("ratio", 0.2),
  "ingest.60.half.puback-p99": atMost("value", 50),
  "ingest.60.full.puback-p99": atMost("value", 300),
  "seal.time": atMost("value", 10),
  "seal.memory": atMost("value", 200),
  "answers.day": atMost("ratio", 1.5),
  "answers.parquet.time": atMost("value", 30),
  "answers.parquet.memory": atMost("value", 300),
  "growth.100.ingest": atLeast("ratio", 0.9),
  "growth.100.query": atLeast("ratio", 0.9),
  "storage.60.bytes": atMost("value", 45),
}

export interface Judged {
  readonly target: string
  readonly isMet: boolean
}

/** Null where nothing was asked of this measure, or what it is compared with was not measured. */
export function judge(measure: Measure): Judged | null {
  const target = targets[measure.name]
  if (target === undefined) return null
  const number = target.on === "value" ? measure.value : measure.ratio
  if (number === null) return null
  const isMet = target.bound === "at most" ? number <= target.limit : number >= target.limit
  const limit = target.limit.toLocaleString("en-US")
  return { target: `${target.on === "ratio" ? "ratio " : ""}${target.bound} ${limit}`, isMet }
}
