/**
 * FHIR R4 Observations of readings.
 *
 * A reading is an Observation with a Quantity, as FHIR's vital signs profiles demand; a stretch of a waveform is one with
 * SampledData (HL7 PHD implementation guide, RtsaObservation). Values are in UCUM, converted where SenML counts otherwise
 * (a saturation of 0.97 is 97 %); the unit sent is then said in the extension. Who wore the device is known by the
 * device's pseudonym only, so subject and device are logical references by identifier.
 */
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import { type MetricEntry, findMetric, loincOf } from "./metric.ts"
import { type LogContext, type SingleReading, formatReadingName, uriOf } from "./single-reading.ts"
import { type UcumUnit, convert, toUcum } from "./unit.ts"

export const systems = {
  loinc: "http://loinc.org",
  mdc: "urn:iso:std:iso:11073:10101",
  ucum: "http://unitsofmeasure.org",
  category: "http://terminology.hl7.org/CodeSystem/observation-category",
} as const

/** Code system of metrics as devices name them. */
export const metricSystem = (origin: string): string => uriOf(origin, "metric")
export const deviceSystem = (origin: string): string => uriOf(origin, "device")
export const wearerSystem = (origin: string): string => uriOf(origin, "wearer")
export const readingSystem = (origin: string): string => uriOf(origin, "reading")

interface Coding {
  readonly system: string
  readonly code: string
  readonly display?: string
}

interface Quantity {
  readonly value: number
  readonly unit?: string
  readonly system?: string
  readonly code?: string
}

interface Extension {
  readonly url: string
  readonly extension?: readonly Extension[]
  readonly valueString?: string
  readonly valueUnsignedInt?: number
  readonly valueBase64Binary?: string
  readonly valueInstant?: string
  readonly valueDecimal?: number
}

export interface Observation {
  readonly resourceType: "Observation"
  readonly id: string
  readonly meta: { readonly lastUpdated: string; readonly profile?: readonly string[] }
  readonly extension: readonly Extension[]
  readonly [member: string]: unknown
}

const categoryDisplays: Readonly<Record<MetricEntry["category"], string>> = {
  "vital-signs": "Vital Signs",
  laboratory: "Laboratory",
  activity: "Activity",
  procedure: "Procedure",
}

/** How UCUM units are called by people; the code itself where it is a name already. */
const unitNames: Readonly<Record<string, string>> = {
  "/min": "/min",
  Cel: "°C",
  "mm[Hg]": "mmHg",
  "{steps}": "steps",
  "{count}": "count",
  "[g]": "g",
  "m[g]": "mg (gravity)",
  "[g]/64": "g/64 (gravity)",
}

/** Hex digits of the entry that an id has: 160 bits. FHIR allows 64 characters in all. */
export const idEntryLength = 40

export function observationId({ series, index }: SingleReading): string {
  return `${formatHex(series.entry).slice(0, idEntryLength)}-${series.position}-${index}`
}

/** Ids of devices have no dot, and those of FHIR resources no underscore (R4 datatypes, id). */
export function formatResourceId(device: string): string {
  return device.replaceAll("_", ".")
}

/** The device of a resource's id; null where there can be none. */
export function parseResourceId(id: string): string | null {
  return id.includes("_") ? null : id.replaceAll(".", "_")
}

export function makeObservation(reading: SingleReading, log: LogContext): Observation {
  const { series, index } = reading
  const { origin } = log
  const entry = findMetric(series.metric)
  const unit = toUcum(series.unit, entry?.ucumUnit ?? null)
  const value = valueOf(reading, unit)
  const hasProfile =
    entry !== null && entry.fhirProfile !== null && unit?.unit === entry.ucumUnit && "valueQuantity" in value
  const arrived = formatMs(series.arrivedMs)
  const start = formatSeconds(series.times[index]!)
  return {
    resourceType: "Observation",
    id: observationId(reading),
    meta: { lastUpdated: arrived, ...(hasProfile ? { profile: [entry.fhirProfile] } : {}) },
    extension: [sealedExtension(reading, log, unit)],
    identifier: [
      { system: readingSystem(origin), value: formatReadingName(formatHex(series.entry), reading) },
    ],
    status: "final",
    ...(entry === null
      ? {}
      : {
          category: [
            {
              coding: [
                {
                  system: systems.category,
                  code: entry.category,
                  display: categoryDisplays[entry.category],
                },
              ],
            },
          ],
        }),
    code: { coding: codingsOf(series.metric, entry, unit, origin), text: entry?.title ?? series.metric },
    subject: {
      reference: `Patient/${formatResourceId(series.device)}`,
      type: "Patient",
      identifier: { system: wearerSystem(origin), value: series.device },
    },
    ...(series.waveform === null
      ? { effectiveDateTime: start }
      : { effectivePeriod: { start, end: formatSeconds(series.times.at(-1)!) } }),
    issued: arrived,
    ...value,
    device: {
      reference: `Device/${formatResourceId(series.device)}`,
      type: "Device",
      identifier: { system: deviceSystem(origin), value: series.device },
    },
  }
}

/** The codes, of any system, that a series' Observations have. */
export function codesOf(
  { metric, unit }: Pick<SingleReading["series"], "metric" | "unit">,
  origin: string,
): readonly string[] {
  const entry = findMetric(metric)
  return codingsOf(metric, entry, toUcum(unit, entry?.ucumUnit ?? null), origin).map(({ code }) => code)
}

/** LOINC before MDC before the device's own name: a reader takes the first system that it knows. */
function codingsOf(
  metric: string,
  entry: MetricEntry | null,
  unit: UcumUnit | null,
  origin: string,
): readonly Coding[] {
  const loinc = entry === null ? [] : loincOf(entry, unit?.unit ?? null)
  return [
    ...loinc.map(({ code, display }) => ({ system: systems.loinc, code, display })),
    ...(entry?.mdc == null
      ? []
      : [{ system: systems.mdc, code: String(entry.mdc.code), display: entry.mdc.refId }]),
    { system: metricSystem(origin), code: metric },
  ]
}

function valueOf({ series, index }: SingleReading, unit: UcumUnit | null): Readonly<Record<string, unknown>> {
  if (series.waveform !== null) return { valueSampledData: sampledDataOf(series.waveform, series.unit, unit) }
  if (series.kind === "boolean") return { valueBoolean: series.numbers![index] === 1 }
  if (series.numbers !== null) return { valueQuantity: quantityOf(series.numbers[index]!, series.unit, unit) }
  if (series.texts !== null && series.texts[index] !== "") return { valueString: series.texts[index] }
  // FHIR R4 has no bytes here, and no empty text.
  const coding = [
    {
      system: "http://terminology.hl7.org/CodeSystem/data-absent-reason",
      code: "unsupported",
      display: "Unsupported",
    },
  ]
  return { dataAbsentReason: { coding } }
}

function quantityOf(value: number, sent: string | null, unit: UcumUnit | null): Quantity {
  if (unit === null) return sent === null ? { value } : { value, unit: sent }
  return {
    value: convert(value, unit),
    unit: unitNames[unit.unit] ?? unit.unit,
    system: systems.ucum,
    code: unit.unit,
  }
}

/** Samples stay the whole numbers that the device signed; what they mean is in factor and origin. */
export function sampledDataOf(
  { periodMs, factor, origin, samples }: NonNullable<SingleReading["series"]["waveform"]>,
  sent: string | null,
  unit: UcumUnit | null,
) {
  return {
    origin: quantityOf(origin, sent, unit),
    period: periodMs,
    factor: unit === null ? factor : convert(factor, { ...unit, offset: 0 }),
    dimensions: 1,
    data: samples.join(" "),
  }
}

/** Where the reading stands in the log, and up to which checkpoint that was known when it was given out. */
function sealedExtension(
  { series, index }: SingleReading,
  { origin, asOf }: LogContext,
  unit: UcumUnit | null,
): Extension {
  const isConverted = unit !== null && (unit.factor !== 1 || unit.offset !== 0)
  return {
    url: uriOf(origin, "fhir/sealed"),
    extension: [
      { url: "entry", valueString: formatHex(series.entry) },
      { url: "position", valueUnsignedInt: series.position },
      { url: "index", valueUnsignedInt: index },
      ...(series.block === null ? [] : [{ url: "block", valueUnsignedInt: series.block }]),
      ...(asOf === null ? [] : asOfExtensions(asOf)),
      ...(isConverted ? [{ url: "sentUnit", valueString: series.unit! }] : []),
    ],
  }
}

function asOfExtensions({ height, treeSize, root }: NonNullable<LogContext["asOf"]>): Extension[] {
  return [
    { url: "verifiableToBlock", valueUnsignedInt: height },
    { url: "treeSize", valueUnsignedInt: treeSize },
    { url: "root", valueBase64Binary: formatBase64(root) },
  ]
}

/** What a Bundle says of the state that it speaks of. */
export function asOfExtension({ origin, asOf }: LogContext): Extension | null {
  if (asOf === null) return null
  return { url: uriOf(origin, "fhir/as-of"), extension: asOfExtensions(asOf) }
}
