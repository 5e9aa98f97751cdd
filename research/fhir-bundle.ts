/** Observations as they go out: a searchset Bundle of a page, or a resource a line. */
import { asOfExtension, makeObservation, observationId } from "./fhir.ts"
import { formatMs } from "./instant.ts"
import type { LogContext, SingleReading } from "./single-reading.ts"

const chunkSize = 64 * 1024

export async function* formatLines(
  readings: AsyncIterable<SingleReading>,
  log: LogContext,
  count: () => void,
): AsyncGenerator<string> {
  let text = ""
  for await (const reading of readings) {
    text += `${JSON.stringify(makeObservation(reading, log))}\n`
    count()
    if (text.length < chunkSize) continue
    yield text
    text = ""
  }
  yield text
}

export interface BundleOptions {
  readonly count: () => void
  readonly pageSize: number
  readonly selfUrl: string
  readonly resourceUrl: (id: string) => string
  /** Of the page after this reading. */
  readonly nextUrl: (last: SingleReading) => string
  /** How many the search has; null: not asked for. */
  readonly total: number | null
  /** Why nothing can be found, in words; null: no reason is known. */
  readonly hint: string | null
}

/** A Bundle that only says how many there are. */
export async function* formatCount(
  log: LogContext,
  { selfUrl, total, hint }: Pick<BundleOptions, "selfUrl" | "hint"> & { readonly total: number },
): AsyncGenerator<string> {
  const entry = hint === null ? {} : { entry: [hintEntry(hint)] }
  yield `${JSON.stringify({ ...headOf(log), total, ...entry, link: [{ relation: "self", url: selfUrl }] })}\n`
}

/** An unknown code is an empty searchset, and hints come as an entry that is no match (FHIR R4 search §3.1.1.6). */
function hintEntry(hint: string) {
  const issue = [{ severity: "warning", code: "not-found", diagnostics: hint, expression: ["http.code"] }]
  return { resource: { resourceType: "OperationOutcome", issue }, search: { mode: "outcome" } }
}

function headOf(log: LogContext) {
  const asOf = asOfExtension(log)
  const meta =
    asOf === null ? {} : { meta: { extension: [asOf], lastUpdated: formatMs(log.asOf!.sealedToMs) } }
  return { resourceType: "Bundle", ...meta, type: "searchset" }
}

export async function* formatBundle(
  readings: AsyncIterable<SingleReading>,
  log: LogContext,
  { count, pageSize, selfUrl, resourceUrl, nextUrl, total, hint }: BundleOptions,
): AsyncGenerator<string> {
  let text = JSON.stringify({ ...headOf(log), ...(total === null ? {} : { total }) }).slice(0, -1)
  let taken = 0
  let entries = 0
  if (hint !== null) {
    text += `,"entry":[\n${JSON.stringify(hintEntry(hint))}`
    entries += 1
  }
  let last: SingleReading | null = null
  let next: string | null = null
  for await (const reading of readings) {
    if (taken === pageSize) {
      next = nextUrl(last!)
      break
    }
    const resource = makeObservation(reading, log)
    const entry = { fullUrl: resourceUrl(observationId(reading)), resource, search: { mode: "match" } }
    // An empty array is no FHIR JSON: the member comes with the first entry.
    text += `${entries === 0 ? ',"entry":[' : ","}\n${JSON.stringify(entry)}`
    taken += 1
    entries += 1
    last = reading
    count()
    if (text.length < chunkSize) continue
    yield text
    text = ""
  }
  const link = [
    { relation: "self", url: selfUrl },
    ...(next === null ? [] : [{ relation: "next", url: next }]),
  ]
  yield `${text}${entries === 0 ? "" : "\n]"},"link":${JSON.stringify(link)}}\n`
}
