/** A scenario as a YAML file: read strictly, and every fault is named with its line and column. */
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv"
import { readFileSync } from "node:fs"
import { type Document, LineCounter, parseDocument } from "yaml"
import { nearestOf, unknownName } from "./nearest.ts"
import { DocumentReading, type ScenarioDocument } from "./scenario-document.ts"
import { explainLayout } from "./scenario-layout.ts"
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
    const faults = document.errors.map((error): ScenarioFault => {
      const { line, col } = lines.linePos(error.pos[0])
      const explained = explainLayout(text, line, error)
      return {
        line: explained.line,
        column: explained.line === line ? col : 1,
        path: "",
        rule: explained.rule,
      }
    })
    // YAML says several things about one line: the first is enough, and those after a line out of place are guesses.
    const isBroken = document.errors.some(({ code }) => code !== "DUPLICATE_KEY")
    if (isBroken) return { kind: "faulty", faults: faults.filter(isFirstOfLine) }
    return { kind: "faulty", faults: [...faults, ...readFaults(document, lines)].toSorted(byPlace) }
  }
  return readDocument(document, lines)
}

function isFirstOfLine({ line }: ScenarioFault, at: number, all: readonly ScenarioFault[]): boolean {
  return all.findIndex((other) => other.line === line) === at
}

const byPlace = (a: ScenarioFault, b: ScenarioFault): number => a.line - b.line || a.column - b.column

function readFaults(document: Document, lines: LineCounter): readonly ScenarioFault[] {
  const parsed = readDocument(document, lines)
  return parsed.kind === "faulty" ? parsed.faults : []
}

function readDocument(document: Document, lines: LineCounter): ParsedScenario {
  const places = new Places(document, lines)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 1_000 })
  } catch (error) {
    return { kind: "faulty", faults: [places.fault([], (error as Error).message)] }
  }
  const validate = (compiled ??= compile())
  if (!validate(value)) {
    const errors = validate.errors ?? []
    // Also what the schema cannot say, of everything that it takes: a person mends all of a file at once.
    const reading = new DocumentReading(places)
    reading.parts(value, (path) => !errors.some(({ instancePath }) => isWithin(instancePath, path)))
    const faults = errors.map((error) => explain(error, places))
    return { kind: "faulty", faults: [...faults, ...reading.faults].toSorted(byPlace) }
  }
  const reading = new DocumentReading(places)
  const scenario = reading.scenario(value as ScenarioDocument)
  return reading.faults.length > 0
    ? { kind: "faulty", faults: reading.faults.toSorted(byPlace) }
    : { kind: "scenario", scenario }
}

let compiled: ValidateFunction | null = null

function compile(): ValidateFunction {
  const ajv = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true, strict: true })
  return ajv.compile(JSON.parse(readScenarioSchema()) as object)
}

/** Whether a fault of the schema lies in what is at this path, or in what holds it. */
function isWithin(pointer: string, path: Path): boolean {
  const found = pathOf(pointer)
  return found.length > 0 && path.every((key, at) => at >= found.length || found[at] === key)
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
      return places.fault(path, unknownName(String(error.data), (schema.enum ?? []).map(String)))
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
