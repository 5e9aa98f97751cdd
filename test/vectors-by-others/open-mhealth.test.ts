import { existsSync, readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { Ajv } from "ajv"
import ajvFormats from "ajv-formats"
import { expect, test } from "vitest"
import { mappedMetrics, makeDataPoint } from "../../research/open-mhealth.ts"
import { findMetric } from "../../research/metric.ts"
import { makeSeries } from "../research/stored.ts"

/**
 * A checkout of openmhealth/schemas, which is in no registry: TIDEMARK_OMH_SCHEMAS names it. Its newest schemas refer to
 * IEEE 1752's, which are not in it: their predecessors of the same name stand in, as it says they may.
 */
const folder = process.env["TIDEMARK_OMH_SCHEMAS"] ?? ""
const schemaFolder = join(folder, "schema", "omh")
const hasSchemas = folder !== "" && existsSync(schemaFolder)

interface Schema extends Record<string, unknown> {
  $id?: string
  $schema?: string
}

function openSchemas(): Ajv {
  const ajv = new Ajv({ strict: false, allErrors: true, validateSchema: false })
  ;(ajvFormats as unknown as (ajv: Ajv) => void)(ajv)
  for (const name of readdirSync(schemaFolder).filter((one) => one.endsWith(".json"))) {
    const schema = JSON.parse(readFileSync(join(schemaFolder, name), "utf8")) as Schema
    // By their file names, which their references use; some carry the id of an older file.
    const { $schema: _, ...rest } = schema
    ajv.addSchema({ ...rest, $id: `https://w3id.org/openmhealth/schemas/omh/${name}` })
    if (name.endsWith("-1.0.json"))
      ajv.addSchema({ ...withRefs(rest), $id: `https://w3id.org/ieee/ieee-1752-schema/${name}` })
  }
  return ajv
}

/** Beside another id the references of a schema must be whole. */
function withRefs(schema: Schema): Schema {
  const text = JSON.stringify(schema).replaceAll(
    /"\$ref":"([a-z0-9.-]+\.json)"/g,
    '"$ref":"https://w3id.org/openmhealth/schemas/omh/$1"',
  )
  return JSON.parse(text) as Schema
}

test.runIf(hasSchemas)(
  "a data point of each mapped metric is valid by its published schema, and a broken one is not",
  () => {
    const ajv = openSchemas()
    const isDataPoint = ajv.getSchema("https://w3id.org/openmhealth/schemas/omh/data-point-1.0.json")!
    const isHeader = ajv.getSchema("https://w3id.org/openmhealth/schemas/omh/header-1.2.json")!
    const faults: unknown[] = []
    let checked = 0
    for (const metric of mappedMetrics) {
      const { openMHealth } = findMetric(metric)!
      for (const unit of Object.keys(openMHealth!.units)) {
        const point = makeDataPoint({ series: makeSeries({ metric, unit, values: [42] }), index: 0 })!
        const body = ajv.getSchema(
          `https://w3id.org/openmhealth/schemas/omh/${openMHealth!.name}-${openMHealth!.version}.json`,
        )!
        for (const [validate, value] of [
          [isDataPoint, point],
          [isHeader, point.header],
          [body, point.body],
        ] as const)
          if (validate(value) !== true) faults.push([metric, unit, validate.errors])
        const { [openMHealth!.member]: _, ...broken } = point.body
        if (body(broken) === true) faults.push([metric, "taken without its value"])
        if (body({ ...point.body, [openMHealth!.member]: { value: 42, unit: "furlong" } }) === true)
          faults.push([metric, "taken in furlongs"])
        checked += 1
      }
    }
    expect(faults).toEqual([])
    expect(checked).toBeGreaterThan(10)
  },
)

test.runIf(!hasSchemas)(
  "the schemas of Open mHealth are not here, and what they would say is not known",
  () => {
    process.stderr.write("not checked: TIDEMARK_OMH_SCHEMAS names no checkout of openmhealth/schemas\n")
    expect(existsSync(schemaFolder) && folder !== "").toBe(false)
  },
)
