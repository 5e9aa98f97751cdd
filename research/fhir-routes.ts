/** FHIR R4, read-only: Observations of sealed readings, searched as FHIR searches, in Bundles or as ndjson. */
import type { FastifyPluginAsync } from "fastify"
import type { AsOf } from "./as-of.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { codesOf, idEntryLength, makeObservation } from "./fhir.ts"
import { formatBundle, formatLines } from "./fhir-bundle.ts"
import { makeCapabilityStatement } from "./fhir-capability.ts"
import { sendOutcome } from "./fhir-outcome.ts"
import {
  type ObservationQuery,
  type ObservationSearch,
  hasCodes,
  parseObservationSearch,
} from "./fhir-search.ts"
import type { ResearchOptions } from "./options.ts"
import { Problem, invalidParameter } from "./problem.ts"
import { filterOf } from "./reading-question.ts"
import type { Scope } from "./reader.ts"
import { problemOf } from "./server.ts"
import {
  type LogContext,
  type ReadingPlace,
  type SingleReading,
  isReadingPlace,
  readingsOf,
} from "./single-reading.ts"
import type { Snapshot } from "./snapshot.ts"
import { type SeriesStart, readSeries } from "./stored-series.ts"

const fhirJson = "application/fhir+json; charset=utf-8"
const fhirNdjson = "application/fhir+ndjson"

interface SearchQuery extends ObservationQuery {
  readonly _count: number
  readonly _cursor?: string
  readonly _format?: string
  readonly _sort?: string
}

const listSchema = (description: string) =>
  ({ type: "array", items: { type: "string", maxLength: 2_000 }, maxItems: 100, description }) as const

const searchSchema = {
  type: "object",
  additionalProperties: false,
  properties: {
    device: listSchema("a device's id, or Device/<id>"),
    "device:identifier": listSchema("<system>|<id>"),
    subject: listSchema("the wearer, by the device's id; or Patient/<id>"),
    "subject:identifier": listSchema("<system>|<id>"),
    patient: listSchema("as subject"),
    "patient:identifier": listSchema("as subject:identifier"),
    code: listSchema("LOINC, IEEE 11073 MDC or the metric's name: <system>|<code>, or a code"),
    date: listSchema("eq, ge, gt, le, lt and a date or time; twice for a range"),
    _count: { type: "integer", minimum: 1, maximum: 1_000, default: 100, description: "of a page" },
    _cursor: { type: "string", maxLength: 2_000, description: "as in the link to the next page" },
    _format: { type: "string", maxLength: 100, description: "json or ndjson" },
    _sort: { type: "string", enum: ["device", "code"], description: "the order that there is" },
  },
} as const

const outcomeSchema = {
  description: "an OperationOutcome",
  content: { "application/fhir+json": { schema: {} } },
}

export const fhirRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.setErrorHandler((error: unknown, _request, reply) => sendOutcome(reply, problemOf(error)))
  const log = (asOf: AsOf | null): LogContext => ({ origin: desk.log.origin, asOf })

  app.get<{ Querystring: SearchQuery }>(
    "/fhir/Observation",
    {
      schema: {
        summary: "FHIR R4: Observations of sealed readings, as a Bundle or as ndjson",
        description:
          "An Observation per reading, and one with SampledData per stretch of a waveform. By device, metric and time.",
        tags: ["fhir"],
        querystring: searchSchema,
        response: {
          200: {
            description: "a searchset Bundle, or a resource a line",
            content: { "application/fhir+json": { schema: {} }, [fhirNdjson]: { schema: {} } },
          },
          "4xx": outcomeSchema,
          "5xx": outcomeSchema,
        },
      },
    },
    async (request, reply) => {
      const { _count, _cursor, _format } = request.query
      const search = parseObservationSearch(request.query, desk.log.origin)
      const isBulk = wantsNdjson(_format, request.headers.accept)
      if (isBulk) desk.checkExport(request)
      const question = ["fhir", search]
      const cursor = _cursor === undefined ? null : parseCursor(_cursor, question, isReadingPlace)
      const scope = desk.scopeOf(request)
      const readings = (snapshot: Snapshot) =>
        ofCodes(readObservations(snapshot, search, scope, cursor?.place ?? null), search, desk.log.origin)
      return desk.stream(
        request,
        reply,
        {
          type: isBulk ? fhirNdjson : fhirJson,
          ...(cursor?.height == null ? {} : { height: cursor.height }),
        },
        async (snapshot) => {
          await desk.checkDevices(request, snapshot, search.devices ?? [])
          const count = (): void => void (request.access.rows += 1)
          const context = log(snapshot.asOf)
          if (isBulk) return formatLines(readings(snapshot), context, count)
          const here = `${request.protocol}://${request.host}`
          return formatBundle(readings(snapshot), context, {
            count,
            pageSize: _count,
            selfUrl: `${here}${request.url}`,
            resourceUrl: (id: string) => `${here}/fhir/Observation/${id}`,
            nextUrl: (place: ReadingPlace) => {
              const next = new URL(`${here}${request.url}`)
              const height = snapshot.asOf?.height ?? null
              next.searchParams.set("_cursor", formatCursor(question, { height, place }))
              return next.href
            },
          })
        },
      )
    },
  )

  app.get<{ Params: { id: string } }>(
    "/fhir/Observation/:id",
    {
      schema: {
        summary: "FHIR R4: one Observation",
        tags: ["fhir"],
        params: { type: "object", required: ["id"], properties: { id: { type: "string", maxLength: 64 } } },
        querystring: { type: "object", additionalProperties: false, properties: {} },
        response: {
          200: { description: "an Observation", content: { "application/fhir+json": { schema: {} } } },
          "4xx": outcomeSchema,
        },
      },
    },
    async (request, reply) => {
      const text = await desk.withSnapshot(request, reply, async (snapshot) => {
        const reading = await findReading(snapshot, request.params.id, desk.scopeOf(request))
        if (reading === null) {
          throw new Problem("unknown-statement", {
            detail: "there is no sealed reading of this id",
            parameter: "id",
            rule: "must be the id of an Observation that was found here",
          })
        }
        request.access.rows = 1
        return JSON.stringify(makeObservation(reading, log(snapshot.asOf)))
      })
      return reply.type(fhirJson).send(text)
    },
  )

  app.get(
    "/fhir/metadata",
    {
      schema: {
        summary: "FHIR R4: what can be asked",
        tags: ["fhir"],
        response: {
          200: { description: "a CapabilityStatement", content: { "application/fhir+json": { schema: {} } } },
        },
      },
    },
    async (_request, reply) =>
      reply.type(fhirJson).send(JSON.stringify(makeCapabilityStatement(desk.log.origin, desk.nowMs()))),
  )
}

function wantsNdjson(format: string | undefined, accept: string | undefined): boolean {
  if (format === undefined) return /\b(?:application\/(?:fhir\+|x-)?ndjson)\b/.test(accept ?? "")
  // In a query a + that was not escaped arrives as a space.
  const given = format.replaceAll(" ", "+")
  if (["ndjson", fhirNdjson, "application/ndjson", "application/x-ndjson"].includes(given)) return true
  if (["json", "application/json", "application/fhir+json"].includes(given)) return false
  throw invalidParameter("_format", "must be json or ndjson")
}

function readObservations(
  snapshot: Snapshot,
  search: ObservationSearch,
  scope: Scope,
  after: ReadingPlace | null,
): AsyncIterable<SingleReading> {
  const selection = {
    ...search,
    arrivedFromMs: null,
    arrivedToMs: null,
    blockFrom: null,
    blockTo: null,
    isUnsealedIncluded: false,
    isAheadIncluded: false,
  }
  const filter = filterOf(selection, { asOf: snapshot.asOf, blocks: snapshot.blocks, scope })
  const start: SeriesStart | null =
    after === null
      ? null
      : { order: "time", device: after.device, metric: after.metric, endsFrom: after.startsAt }
  return readingsOf(readSeries(snapshot, filter, "time", start), search, after)
}

async function* ofCodes(
  readings: AsyncIterable<SingleReading>,
  { codes }: ObservationSearch,
  origin: string,
): AsyncGenerator<SingleReading> {
  let series: SingleReading["series"] | null = null
  let isWanted = false
  for await (const reading of readings) {
    if (reading.series !== series) {
      series = reading.series
      isWanted = hasCodes(codes, codesOf(series, origin))
    }
    if (isWanted) yield reading
  }
}

const idPattern = new RegExp(`^([0-9a-f]{${idEntryLength}})-([0-9]{1,5})-([0-9]{1,5})$`)

async function findReading(snapshot: Snapshot, id: string, scope: Scope): Promise<SingleReading | null> {
  const [, prefix, position, place] = idPattern.exec(id) ?? []
  if (prefix === undefined) return null
  // By the unique index on entries: all that begin with these digits.
  const rest = 64 - idEntryLength
  const [found] = await snapshot.query<{ id: number; device: string }>(
    `select id, device_id as device from entries
     where entry between decode($1, 'hex') and decode($2, 'hex') limit 1`,
    [prefix + "0".repeat(rest), prefix + "f".repeat(rest)],
  )
  if (found === undefined || (scope !== null && !scope.has(found.device))) return null
  const last = snapshot.asOf?.statementMax ?? 0
  if (found.id > last) return null
  const filter = {
    devices: [found.device],
    metrics: null,
    fromSeconds: null,
    toSeconds: null,
    arrivedFromMs: null,
    arrivedToMs: null,
    statementAbove: found.id - 1,
    statementMax: found.id,
    isAheadIncluded: false,
  }
  for await (const series of readSeries(snapshot, filter, "arrival", null)) {
    const index = Number(place)
    if (series.position === Number(position) && index < (series.waveform === null ? series.times.length : 1))
      return { series, index }
  }
  return null
}
