/**
 * Open mHealth data points (header 1.2, data-point 1.0) of readings whose metric has a schema that one reading fills.
 * Units are converted to one that the schema takes; times are the device's, as signed.
 */
import { formatHex } from "../chain/bytes.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import { type OpenMHealthSchema, findMetric, metrics } from "./metric.ts"
import { type SingleReading, formatReadingName } from "./single-reading.ts"
import { convert, toUcum } from "./unit.ts"

export interface DataPoint {
  readonly header: {
    readonly id: string
    readonly creation_date_time: string
    readonly schema_id: { readonly namespace: string; readonly name: string; readonly version: string }
    readonly acquisition_provenance: {
      readonly source_name: string
      readonly source_data_point_id: string
      readonly modality: "sensed"
    }
    readonly user_id: string
    /** Beyond the schema, which takes more members: where the reading stands in the log. */
    readonly tidemark: { readonly entry: string; readonly block: number | null }
  }
  readonly body: Readonly<Record<string, unknown>>
}

/** The data point of a reading, or null where it is none: a text, a waveform, a unit that the schema does not take. */
export function makeDataPoint(reading: SingleReading): DataPoint | null {
  const { series, index } = reading
  const entry = findMetric(series.metric)
  const schema = entry?.openMHealth ?? null
  if (entry === null || schema === null || schema.unfit !== undefined) return null
  if (series.kind !== "number" && series.kind !== "sum") return null
  const unit = toUcum(series.unit, entry.ucumUnit)
  const unitName = unit === null ? undefined : schema.units[unit.unit]
  if (unit === null || unitName === undefined) return null
  const entryHex = formatHex(series.entry)
  const name = formatReadingName(entryHex, reading)
  return {
    header: {
      id: name,
      creation_date_time: formatMs(series.arrivedMs),
      schema_id: { namespace: schema.namespace, name: schema.name, version: schema.version },
      acquisition_provenance: {
        source_name: series.device,
        source_data_point_id: name,
        modality: "sensed",
      },
      user_id: series.device,
      tidemark: { entry: entryHex, block: series.block },
    },
    body: {
      [schema.member]: { value: convert(series.numbers![index]!, unit), unit: unitName },
      effective_time_frame: { date_time: formatSeconds(series.times[index]!) },
      ...schema.constants,
    },
  }
}

/** The metrics whose readings are data points. */
export const mappedMetrics: readonly string[] = metrics
  .filter(({ openMHealth }) => openMHealth !== null && openMHealth.unfit === undefined)
  .map(({ metric }) => metric)

/** The metrics of a schema, `omh:heart-rate:2.0` or `heart-rate`; empty where none has it. */
export function metricsOfSchema(schemaId: string): string[] {
  return metrics
    .filter(({ openMHealth }) => openMHealth !== null && isNamed(openMHealth, schemaId))
    .map(({ metric }) => metric)
}

function isNamed({ namespace, name, version }: OpenMHealthSchema, schemaId: string): boolean {
  return [name, `${namespace}:${name}`, `${namespace}:${name}:${version}`].includes(schemaId)
}

/** Why a metric's readings are no data points, or null where they are. */
export function unfitness(metric: string): string | null {
  const schema = findMetric(metric)?.openMHealth ?? null
  if (schema === null) return "has no Open mHealth schema"
  return schema.unfit === undefined ? null : `makes no data point of omh:${schema.name}: ${schema.unfit}`
}
