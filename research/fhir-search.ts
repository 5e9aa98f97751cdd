/** FHIR R4 search parameters of Observation: what they mean here, and what cannot be asked. */
import { devicePattern } from "../chain/statement.ts"
import { deviceSystem, metricSystem, systems, wearerSystem } from "./fhir.ts"
import { metrics } from "./metric.ts"
import { invalidParameter } from "./problem.ts"

export interface ObservationQuery {
  readonly device?: readonly string[]
  readonly "device:identifier"?: readonly string[]
  readonly subject?: readonly string[]
  readonly "subject:identifier"?: readonly string[]
  readonly patient?: readonly string[]
  readonly "patient:identifier"?: readonly string[]
  readonly code?: readonly string[]
  readonly date?: readonly string[]
}

export interface ObservationSearch {
  /** Null: all. */
  readonly devices: readonly string[] | null
  /** Null: all; empty: a code that nothing here has. */
  readonly metrics: readonly string[] | null
  readonly fromSeconds: number | null
  readonly toSeconds: number | null
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
  let fromSeconds: number | null = null
  let toSeconds: number | null = null
  for (const value of query.date ?? []) {
    const { from, to } = parseDateBound(value)
    if (from !== null) fromSeconds = Math.max(fromSeconds ?? from, from)
    if (to !== null) toSeconds = Math.min(toSeconds ?? to, to)
  }
  return {
    devices: devices?.toSorted() ?? null,
    metrics: ofMetrics?.toSorted() ?? null,
    fromSeconds,
    toSeconds,
    codes: (query.code ?? []).map((value) => value.split(",").map(codeOf)),
  }
}

/** `k7`, `Device/k7`, or by identifier `system|k7` and `k7`. */
function parseReference(parameter: string, text: string, type: string | null, system: string): string {
  const value =
    type !== null && text.startsWith(`${type}/`)
      ? text.slice(type.length + 1)
      : text.startsWith(`${system}|`)
        ? text.slice(system.length + 1)
        : text
  if (!devicePattern.test(value))
    throw invalidParameter(parameter, `must be a device's id, or ${system}|<id>`)
  return value
}

function codeOf(token: string): string {
  return token.slice(token.indexOf("|") + 1)
}

/** Whether one of each list of codes is the reading's. */
export function hasCodes(codes: ObservationSearch["codes"], ofReading: readonly string[]): boolean {
  return codes.every((list) => list.some((code) => ofReading.includes(code)))
}

/** The metrics that a token names: `system|code`, or a code of any system. */
function metricsOf(token: string, origin: string): string[] {
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

const datePattern =
  /^(?<prefix>eq|ge|gt|le|lt)?(?<year>\d{4})(?:-(?<month>\d\d)(?:-(?<day>\d\d)(?:T(?<time>\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?<zone>Z|[+ -]\d\d:\d\d))?)?)?$/

const dateRule =
  "must be a year, month, day or time with its offset, after eq, ge, gt, le or lt (ne, sa, eb and ap are not answered)"

/** Unix seconds that a date with its prefix asks for, from in and to out. A date without a time is the whole of it, in UTC. */
function parseDateBound(text: string): { readonly from: number | null; readonly to: number | null } {
  const groups = datePattern.exec(text)?.groups
  if (groups === undefined) throw invalidParameter("date", dateRule)
  const { prefix = "eq", year, month, day, time, zone } = groups
  const start = startOf(year!, month, day, time, zone)
  const end = endOf(start, { month, day, time })
  if (Number.isNaN(start)) throw invalidParameter("date", dateRule)
  switch (prefix) {
    case "ge":
      return { from: start, to: null }
    case "gt":
      return { from: end, to: null }
    case "le":
      return { from: null, to: end }
    case "lt":
      return { from: null, to: start }
    default:
      return { from: start, to: end }
  }
}

function startOf(year: string, month = "01", day = "01", time = "00:00", zone = "Z"): number {
  const iso = `${year}-${month}-${day}T${time}${zone.replace(" ", "+")}`
  const unixMs = Date.parse(iso)
  // Date takes 31 February for 3 March.
  const isReal = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  return isReal ? unixMs / 1000 : Number.NaN
}

interface Precision {
  readonly month: string | undefined
  readonly day: string | undefined
  readonly time: string | undefined
}

/** Where the stretch that a date names ends: a time names its second, minute or fraction. */
function endOf(start: number, { month, day, time }: Precision): number {
  const date = new Date(start * 1000)
  if (month === undefined) return Date.UTC(date.getUTCFullYear() + 1, 0) / 1000
  if (day === undefined) return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1) / 1000
  if (time === undefined) return start + 86_400
  const decimals = time.split(".")[1]?.length
  if (decimals !== undefined) return start + 10 ** -decimals
  return start + (time.length > 5 ? 1 : 60)
}
