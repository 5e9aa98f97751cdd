/** Thresholds in k6's manner: `p(95) < 300` over a metric of the run. */
import { verdictCodes } from "../chain/verdict.ts"

import { type Measures, measureNames } from "./measure.ts"
import { unknownName } from "./nearest.ts"

export interface Threshold {
  /** `puback_ms`, or of a part: `verdicts{verdict:fork}`, `puback_ms{group:wrist}`. */
  readonly metric: string
  /** As it was written. */
  readonly expression: string
}

export interface ThresholdResult extends Threshold {
  readonly passed: boolean
  /** What was measured; null: nothing to measure, which fails. */
  readonly value: number | null
}

type Aggregate = "count" | "rate" | "avg" | "min" | "med" | "max" | "value" | number

interface Condition {
  readonly aggregate: Aggregate
  readonly operator: "<" | "<=" | ">" | ">=" | "==" | "!="
  readonly bound: number
}

const metricPattern = /^([a-z_]+)(?:\{(group|verdict):([A-Za-z0-9_-]+)\})?$/
const expressionPattern =
  /^\s*(count|rate|avg|min|med|max|value|p\(\s*(\d+(?:\.\d+)?)\s*\))\s*(<=|>=|<|>|===|==|!=)\s*(-?\d+(?:\.\d+)?)\s*$/

/** Which aggregates fit which kind of metric. */
const fitting = {
  counter: ["count", "rate"],
  trend: ["avg", "min", "med", "max"],
  gauge: ["value"],
} as const

/** Why this is no threshold; null: it is one. */
export function findThresholdFault({ metric, expression }: Threshold): string | null {
  const [, name, tag, part] = metricPattern.exec(metric) ?? []
  const known = name === undefined ? undefined : measureNames[name as keyof typeof measureNames]
  if (known === undefined) return unknownName(name ?? metric, Object.keys(measureNames))
  if (tag !== undefined && !(known.tags as readonly string[]).includes(tag))
    return known.tags.length === 0
      ? `${name} has no parts`
      : `${name} is by ${known.tags.join(" or ")}, not by ${tag}`
  if (tag === "verdict" && !Object.hasOwn(verdictCodes, part ?? ""))
    return `${part} ${unknownName(part ?? "", Object.keys(verdictCodes))}`
  const condition = parseCondition(expression)
  if (condition === null) return "must be such as p(95) < 300, avg < 50, count == 0, rate > 10 or value < 0.5"
  const isFitting =
    typeof condition.aggregate === "number"
      ? known.kind === "trend"
      : (fitting[known.kind] as readonly string[]).includes(condition.aggregate)
  if (!isFitting)
    return `${name} is a ${known.kind}: it has ${fitting[known.kind].join(", ")}${known.kind === "trend" ? " and p(N)" : ""}`
  if (typeof condition.aggregate === "number" && condition.aggregate > 100)
    return "a percentile is at most p(100)"
  return null
}

/** Throws a RangeError on what `findThresholdFault` would have found. */
export function checkThreshold(threshold: Threshold, measures: Measures): ThresholdResult {
  const { metric, expression } = threshold
  const fault = findThresholdFault(threshold)
  if (fault !== null) throw new RangeError(`threshold ${metric}: ${expression}: ${fault}`)
  const condition = parseCondition(expression)!
  const [, name, tag, part] = metricPattern.exec(metric)!
  const value = measures.aggregate(
    name as keyof typeof measureNames,
    tag === undefined ? null : `${tag}:${part}`,
    condition.aggregate,
  )
  return { metric, expression, value, passed: value !== null && holds(value, condition) }
}

function parseCondition(expression: string): Condition | null {
  const [, name, percentile, operator, bound] = expressionPattern.exec(expression) ?? []
  if (name === undefined || operator === undefined) return null
  return {
    aggregate: percentile === undefined ? (name as Aggregate) : Number(percentile),
    operator: (operator === "===" ? "==" : operator) as Condition["operator"],
    bound: Number(bound),
  }
}

const comparisons: Readonly<Record<Condition["operator"], (value: number, bound: number) => boolean>> = {
  "<": (value, bound) => value < bound,
  "<=": (value, bound) => value <= bound,
  ">": (value, bound) => value > bound,
  ">=": (value, bound) => value >= bound,
  "==": (value, bound) => value === bound,
  "!=": (value, bound) => value !== bound,
}

function holds(value: number, { operator, bound }: Condition): boolean {
  return comparisons[operator](value, bound)
}
