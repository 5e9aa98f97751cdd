/** FHIR R4 search parameters of Observation: what they mean here, and what cannot be asked. */
import { devicePattern } from "../chain/statement.ts"
import { codesOf, deviceSystem, metricSystem, parseResourceId, systems, wearerSystem } from "./fhir.ts"
import {
  type DateBounds,
  isWithin,
  joinBounds,
  momentBounds,
  noBounds,
  parseDateBounds,
} from "./fhir-date.ts"
import { findMetric, metrics } from "./metric.ts"
import { invalidParameter } from "./problem.ts"
import type { SingleReading } from "./single-reading.ts"
import type { StoredSeries } from "./stored-series.ts"

export interface ObservationQuery {
  readonly device?: readonly string[]
  readonly "device:identifier"?: readonly string[]
  readonly subject?: readonly string[]
  readonly "subject:identifier"?: readonly string[]
  readonly patient?: readonly string[]
  readonly "patient:identifier"?: readonly string[]
  readonly code?: readonly string[]
  readonly category?: readonly string[]
  readonly date?: readonly string[]
  readonly _lastUpdated?: readonly string[]
}

export interface ObservationSearch {
  /** Null: all. */
  readonly devices: readonly string[] | null
  /** Null: all; empty: a code that nothing here has. */
  readonly metrics: readonly string[] | null
  /** Of readings at a moment. */
  readonly fromSeconds: number | null
  readonly toSeconds: number | null
  /** Of waveforms, which have a beginning and an end. */
  readonly period: DateBounds
  readonly arrivedFromMs: number | null
  readonly arrivedToMs: number | null
  /** Categories asked for, each a list of which one must be the metric's. */
  readonly categories: readonly (readonly string[])[]
  /** Codes asked for, each `code` a list of which one must be the Observation's; LOINC tells mass from moles by code. */
  readonly codes: readonly (readonly string[])[]
}

export function parseObservationSearch(query: ObservationQuery, origin: string): ObservationSearch {
  // Repeated parameters must all hold, values with commas between them one of each (FHIR R4 search §3.1.1.3).
  const references = [
    ["device", "Device", query.device, deviceSystem(origin)],
    ["device:identifier", null, query["device:identifier"], deviceSystem(origin)],
    ["subject", "Patient", query.subject, wearerSystem(origin)],
    ["subject:identifier", null, query["subject:identifier"], wearerSystem(origin)],
    ["patient", "Patient", query.patient, wearerSystem(origin)],
    ["patient:identifier", null, query["patient:identifier"], wearerSystem(origin)],
  ] as const
  let devices: readonly string[] | null = null
  for (const [parameter, type, values, system] of references) {
    for (const value of values ?? []) {
      const named = value.split(",").map((one) => parseReference(parameter, one, type, system))
      devices = devices === null ? [...new Set(named)] : devices.filter((device) => named.includes(device))
    }
  }
  let ofMetrics: readonly string[] | null = null
  for (const value of query.code ?? []) {
    const named = value.split(",").flatMap((token) => metricsOf(token, origin))
    ofMetrics =
      ofMetrics === null ? [...new Set(named)] : ofMetrics.filter((metric) => named.includes(metric))
  }
  const categories = (query.category ?? []).map((value) => value.split(",").map(parseCategory))
  for (const list of categories) {
    const named = metricsOfCategories(list)
    if (named === null) continue
    const before: readonly string[] | null = ofMetrics
    ofMetrics = before === null ? named : before.filter((metric) => named.includes(metric))
  }
  const period = (query.date ?? [])
    .map((value) => parseDateBounds("date", value))
    .reduce(joinBounds, noBounds)
  const moment = momentBounds(period)
  const arrived = momentBounds(
    (query._lastUpdated ?? [])
      .map((value) => parseDateBounds("_lastUpdated", value))
      .reduce(joinBounds, noBounds),
  )
  return {
    devices: devices?.toSorted() ?? null,
    metrics: ofMetrics?.toSorted() ?? null,
    fromSeconds: moment.from,
    toSeconds: moment.to,
    period,
    arrivedFromMs: arrived.from === null ? null : arrived.from * 1000,
    arrivedToMs: arrived.to === null ? null : arrived.to * 1000,
    categories,
    codes: (query.code ?? []).map((value) => value.split(",").map(codeOf)),
  }
}

/** Whether the readings of a series have the codes and the category that were asked for. */
export function isOfSearch(
  { codes, categories }: ObservationSearch,
  series: Pick<StoredSeries, "metric" | "unit">,
  origin: string,
): boolean {
  const category = findMetric(series.metric)?.category ?? null
  return (
    hasCodes(codes, codesOf(series, origin)) &&
    categories.every((list) => category !== null && list.includes(category))
  )
}

/** Whether a waveform lies where the dates say; of readings at a moment their times were compared already. */
export function isInPeriod({ period }: ObservationSearch, { series }: SingleReading): boolean {
  return series.waveform === null || isWithin(period, series.startsAt, series.endsAt)
}

function parseCategory(token: string): string {
  const bar = token.indexOf("|")
  const system = bar === -1 ? null : token.slice(0, bar)
  const code = token.slice(bar + 1)
  if (code === "") throw invalidParameter("category", "must be <system>|<code>, or a code")
  // A code of another system is no category of ours, and nothing has it.
  return system === null || system === systems.category ? code : token
}

/** The metrics of categories; null where they cannot be listed, as of ECG leads of any name. */
function metricsOfCategories(categories: readonly string[]): readonly string[] | null {
  if (categories.includes(findMetric("ecg-i")!.category)) return null
  return metrics.filter(({ category }) => categories.includes(category)).map(({ metric }) => metric)
}

/** `k7`, `Device/k7`, or by identifier `system|k7` and `k7`. */
function parseReference(parameter: string, text: string, type: string | null, system: string): string {
  const value =
    type !== null && text.startsWith(`${type}/`)
      ? (parseResourceId(text.slice(type.length + 1)) ?? "")
      : text.startsWith(`${system}|`)
        ? text.slice(system.length + 1)
        : text
  if (!devicePattern.test(value))
    throw invalidParameter(parameter, `must be a device's id, or ${system}|<id>`)
  return value
}

export function codeOf(token: string): string {
  return token.slice(token.indexOf("|") + 1)
}

/** Whether one of each list of codes is the reading's. */
function hasCodes(codes: ObservationSearch["codes"], ofReading: readonly string[]): boolean {
  return codes.every((list) => list.some((code) => ofReading.includes(code)))
}

/** The metrics that a token names: `system|code`, or a code of any system. */
export function metricsOf(token: string, origin: string): string[] {
  const bar = token.indexOf("|")
  const system = bar === -1 ? null : token.slice(0, bar)
  const code = bar === -1 ? token : token.slice(bar + 1)
  if (code === "") throw invalidParameter("code", "must be <system>|<code>, or a code")
  const found = metrics.filter(
    ({ loinc, mdc }) =>
      ((system === null || system === systems.loinc) && loinc.some((one) => one.code === code)) ||
      ((system === null || system === systems.mdc) && String(mdc?.code) === code),
  )
  const named = system === null || system === metricSystem(origin) ? [code] : []
  return [...found.map(({ metric }) => metric), ...named]
}
