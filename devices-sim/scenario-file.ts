/** A scenario as a YAML file: read strictly, and every fault is named with its line and column. */
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv"
import { readFileSync } from "node:fs"
import { LineCounter, parseDocument } from "yaml"
import { DocumentReading, type ScenarioDocument } from "./scenario-document.ts"
import { type Path, Places, type ScenarioFault } from "./scenario-place.ts"
import type { Scenario } from "./scenario.ts"

export type ParsedScenario =
  | { readonly kind: "scenario"; readonly scenario: Scenario }
  | { readonly kind: "faulty"; readonly faults: readonly ScenarioFault[] }

/** The published JSON Schema, draft 7, which editors complete by. */
export function readScenarioSchema(): string {
  return readFileSync(new URL("scenarios/scenario.schema.json", import.meta.url), "utf8")
}

/** Reads a scenario's text. Throws nothing: whatever is wrong with it is a fault with a place. */
export function parseScenario(text: string): ParsedScenario {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ pos, message }): ScenarioFault => {
      const { line, col } = lines.linePos(pos[0])
      return { line, column: col, path: "", rule: message }
    })
    return { kind: "faulty", faults }
  }
  const places = new Places(document, lines)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 1_000 })
  } catch (error) {
    return { kind: "faulty", faults: [places.fault([], (error as Error).message)] }
  }
  const validate = (compiled ??= compile())
  if (!validate(value)) {
    const faults = (validate.errors ?? []).map((error) => explain(error, places))
    return { kind: "faulty", faults: faults.toSorted((a, b) => a.line - b.line || a.column - b.column) }
  }
  const reading = new DocumentReading(places)
  const scenario = reading.scenario(value as ScenarioDocument)
  return reading.faults.length > 0
    ? { kind: "faulty", faults: reading.faults }
    : { kind: "scenario", scenario }
}

let compiled: ValidateFunction | null = null

function compile(): ValidateFunction {
  const ajv = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true, strict: true })
  return ajv.compile(JSON.parse(readScenarioSchema()) as object)
}

function pathOf(pointer: string): Path {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
}

/** A fault of the schema, in words of this file. */
function explain(error: ErrorObject, places: Places): ScenarioFault {
  const path = pathOf(error.instancePath)
  if (path.length === 0 && error.keyword === "type")
    return places.fault(path, "a scenario is a map with name, about and groups")
  const schema = error.parentSchema as { title?: string; enum?: readonly unknown[]; properties?: object }
  switch (error.keyword) {
    case "additionalProperties": {
      const name = (error.params as { additionalProperty: string }).additionalProperty
      const known = Object.keys(schema.properties ?? {})
      const meant = nearestOf(name, known)
      const hint = meant === null ? `there are ${known.join(", ")}` : `did you mean ${meant}?`
      return places.fault(path, `is not known here: ${hint}`, name)
    }
    case "required":
      return places.fault(path, `${(error.params as { missingProperty: string }).missingProperty} is missing`)
    case "enum":
      return places.fault(path, `must be one of ${(schema.enum ?? []).join(", ")}`)
    case "const":
      return places.fault(path, `must be ${String((error.params as { allowedValue: unknown }).allowedValue)}`)
    case "pattern":
    case "type":
    case "maximum":
    case "exclusiveMinimum":
      if (schema.title !== undefined) return places.fault(path, `must be ${schema.title}`)
  }
  return places.fault(path, error.message ?? "does not fit the schema")
}

/** The one that was probably meant: at most two letters away. */
function nearestOf(name: string, known: readonly string[]): string | null {
  const [nearest] = known
    .map((one) => ({ one, away: distance(name, one) }))
    .toSorted((a, b) => a.away - b.away)
  return nearest !== undefined && nearest.away <= 2 ? nearest.one : null
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
