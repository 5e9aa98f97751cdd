/** FHIR R4, read-only: Observations of sealed readings, searched as FHIR searches, in Bundles or as ndjson. */
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify"
import type { AsOf } from "./as-of.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { idEntryLength, makeObservation, parseResourceId } from "./fhir.ts"
import { formatBundle, formatCount, formatLines } from "./fhir-bundle.ts"
import { makeCapabilityStatement } from "./fhir-capability.ts"
import { type EnrolledDevice, findDevice, makeDevice, makePatient } from "./fhir-device.ts"
import { type DateOrder, datedPlaceOf, isDatedPlace, readByDate } from "./fhir-order.ts"
import { findUnknownCode } from "./fhir-code.ts"
import {
  type ObservationQuery,
  type ObservationSearch,
  isInPeriod,
  isOfSearch,
  parseObservationSearch,
} from "./fhir-search.ts"
import { countObservations } from "./fhir-total.ts"
import { chooseType } from "./media-type.ts"
import type { ResearchOptions } from "./options.ts"
import { Problem } from "./problem.ts"
import { publicBaseOf } from "./public-url.ts"
import { filterOf } from "./reading-question.ts"
import type { Scope } from "./reader.ts"
import { parseQuery } from "./server.ts"
import {
  type LogContext,
  type ReadingPlace,
  type SingleReading,
  isReadingPlace,
  placeOf,
  readingsOf,
} from "./single-reading.ts"
import type { Snapshot } from "./snapshot.ts"
import { type SeriesFilter, type SeriesStart, readSeries } from "./stored-series.ts"

const fhirJson = "application/fhir+json; charset=utf-8"
const fhirNdjson = "application/fhir+ndjson"
const jsonTypes = ["application/fhir+json", "application/json", "text/json"] as const
const ndjsonTypes = [fhirNdjson, "application/ndjson", "application/x-ndjson"] as const
const formType = "application/x-www-form-urlencoded"
/** Of a search in a body. */
const formBytesMax = 64 * 1024

interface SearchQuery extends ObservationQuery {
  readonly _count: number
  readonly _cursor?: string
  readonly _format?: string
  readonly _sort?: "device" | "code" | DateOrder
  readonly _summary?: "count" | "false"
  readonly _total?: "none" | "estimate" | "accurate"
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
    category: listSchema("vital-signs, laboratory, activity or procedure: <system>|<code>, or a code"),
    date: listSchema("eq, ge, gt, le, lt, sa, eb and a date or time; twice for a range"),
    _lastUpdated: listSchema("when it arrived, as date"),
    _count: {
      type: "integer",
      minimum: 0,
      maximum: 1_000,
      default: 100,
      description: "of a page; 0: only how many there are",
    },
    _cursor: { type: "string", maxLength: 2_000, description: "as in the link to the next page" },
    _format: { type: "string", maxLength: 100, description: "json or ndjson" },
    _sort: {
      type: "string",
      enum: ["device", "code", "date", "-date"],
      default: "device",
      description: "by device and code, and in each by date, unless date or -date is given",
    },
    _summary: { type: "string", enum: ["count", "false"], description: "count: only how many there are" },
    _total: {
      type: "string",
      enum: ["none", "estimate", "accurate"],
      default: "none",
      description: "whether the Bundle says how many there are; it costs a count of all of them",
    },
  },
} as const

/** A resource is asked for as it is: a parameter that would change it is refused. */
const readSchema = {
  type: "object",
  additionalProperties: false,
  properties: { _format: { type: "string", maxLength: 100, description: "json" } },
} as const

const outcomeSchema = {
  description: "an OperationOutcome",
  content: { "application/fhir+json": { schema: {} } },
}

export const fhirRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  const log = (asOf: AsOf | null): LogContext => ({ origin: desk.log.origin, asOf })

  app.addContentTypeParser(
    formType,
    { parseAs: "string", bodyLimit: formBytesMax },
    async (_request: unknown, body: string) => parseQuery(body),
  )

  const search = async (request: FastifyRequest<{ Querystring: SearchQuery }>, reply: FastifyReply) => {
    const { _count, _cursor, _format, _sort, _summary, _total } = request.query
    const isBulk = wantsNdjson(_format, request.headers.accept)
    if (isBulk) desk.checkExport(request)
    const wanted = parseObservationSearch(request.query, desk.log.origin)
    const order = _sort === "date" || _sort === "-date" ? _sort : null
    const question = order === null ? ["fhir", wanted] : ["fhir", wanted, order]
    const self = `${publicBaseOf(app, request)}/fhir`
    const scope = desk.scopeOf(request)
    const isCountOnly = _summary === "count" || _count === 0
    if (isBulk && (order !== null || isCountOnly))
      throw new Problem("not-acceptable", {
        detail: "ndjson is the whole search in the order of the log's devices, without a count",
        parameter: "_format",
        rule: "must be json where _sort is a date, _summary is count, or _count is 0",
      })
    const page = pageOf(order, question, _cursor)
    return desk.stream(
      request,
      reply,
      {
        type: isBulk ? fhirNdjson : fhirJson,
        ...(page.height == null ? {} : { height: page.height }),
      },
      async (snapshot) => {
        await desk.checkDevices(request, snapshot, wanted.devices ?? [])
        const unknown = await findUnknownCode(request.query.code ?? [], desk.log.origin, (metric) =>
          desk.metrics.check(snapshot, { metrics: [metric], devices: wanted.devices, scope }),
        )
        if (isBulk && unknown !== null) throw unknown
        const hint = unknown?.facts.detail ?? null
        const context = log(snapshot.asOf)
        const filter = observationFilter(snapshot, wanted, scope)
        const count = (): void => void (request.access.rows += 1)
        if (isBulk)
          return formatLines(page.read(snapshot, filter, wanted, desk.log.origin, _count), context, count)
        const parameters = new URLSearchParams(parametersOf(request.query))
        const selfUrl = addressOf(`${self}/Observation`, parameters)
        const isCounted = isCountOnly || (_total !== undefined && _total !== "none")
        const total = isCounted ? await countObservations(snapshot, filter, wanted, desk.log.origin) : null
        if (isCountOnly) return formatCount(context, { selfUrl, total: total!, hint })
        return formatBundle(page.read(snapshot, filter, wanted, desk.log.origin, _count), context, {
          count,
          pageSize: _count,
          total,
          hint,
          selfUrl,
          resourceUrl: (id: string) => `${self}/Observation/${id}`,
          nextUrl: (last: SingleReading) => {
            const height = snapshot.asOf?.height ?? null
            const next = new URLSearchParams(parameters)
            next.set("_cursor", formatCursor(question, { height, place: page.placeOf(last) }))
            return addressOf(`${self}/Observation`, next)
          },
        })
      },
    )
  }

  const schema = {
    operationId: "searchObservations",
    summary: "FHIR R4: Observations of sealed readings, as a Bundle or as ndjson",
    description:
      "An Observation per reading, and one with SampledData per stretch of a waveform. By device, metric, category and time.",
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
  } as const

  app.get<{ Querystring: SearchQuery }>("/fhir/Observation", { schema }, search)

  // Parameters of the body and of the address are one search (FHIR R4 http §2.21.0.13).
  app.post<{ Querystring: SearchQuery }>(
    "/fhir/Observation/_search",
    {
      schema: {
        ...schema,
        operationId: "postObservationSearch",
        summary: "FHIR R4: the same search, with its parameters in a form",
        consumes: [formType],
      },
      preValidation: async (request) => {
        request.query = joinQueries(request.query, request.body) as unknown as SearchQuery
      },
    },
    search,
  )

  addReads(app, desk)

  app.get<{ Params: { id: string } }>(
    "/fhir/Observation/:id",
    {
      schema: {
        operationId: "readObservation",
        summary: "FHIR R4: one Observation",
        tags: ["fhir"],
        params: { type: "object", required: ["id"], properties: { id: { type: "string", maxLength: 64 } } },
        querystring: readSchema,
        response: {
          200: { description: "an Observation", content: { "application/fhir+json": { schema: {} } } },
          "4xx": outcomeSchema,
        },
      },
    },
    async (request, reply) => {
      mustWantJson(request)
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
        operationId: "readCapabilities",
        summary: "FHIR R4: what can be asked",
        tags: ["fhir"],
        response: {
          200: { description: "a CapabilityStatement", content: { "application/fhir+json": { schema: {} } } },
        },
      },
    },
    async (request, reply) => {
      mustWantJson(request)
      const base = `${publicBaseOf(app, request)}/fhir`
      const statement = makeCapabilityStatement(desk.log.origin, base, desk.nowMs())
      return reply.type(fhirJson).send(JSON.stringify(statement))
    },
  )
}

/** What subject and device of an Observation refer to. */
function addReads(app: FastifyInstance, desk: ResearchOptions["desk"]): void {
  const resources = [
    ["Device", makeDevice, "a device as it is enrolled"],
    ["Patient", makePatient, "a wearer, known by the device's id alone"],
  ] as const
  for (const [type, make, description] of resources) {
    app.get<{ Params: { id: string }; Querystring: ReadQuery }>(
      `/fhir/${type}/:id`,
      {
        schema: {
          operationId: `read${type}`,
          summary: `FHIR R4: ${description}`,
          tags: ["fhir"],
          params: { type: "object", required: ["id"], properties: { id: { type: "string", maxLength: 64 } } },
          querystring: readSchema,
          response: {
            200: { description, content: { "application/fhir+json": { schema: {} } } },
            "4xx": outcomeSchema,
          },
        },
      },
      async (request, reply) => {
        mustWantJson(request)
        const text = await desk.withSnapshot(request, reply, async (snapshot) => {
          const device = parseResourceId(request.params.id)
          const found: EnrolledDevice | null = device === null ? null : await findDevice(snapshot, device)
          if (found === null)
            throw new Problem("unknown-device", {
              detail: `there is no ${type} of this id`,
              parameter: "id",
              rule: "must be a device's id, with . in place of _",
            })
          await desk.checkDevices(request, snapshot, [found.device])
          request.access.devices = [found.device]
          request.access.rows = 1
          return JSON.stringify(make(found, desk.log.origin))
        })
        return reply.type(fhirJson).send(text)
      },
    )
  }
}

interface ReadQuery {
  readonly _format?: string
}

/** A page of a search in one of its two orders. */
interface SearchPage {
  /** Of the pages before; undefined for the first. */
  readonly height: number | null | undefined
  read(
    snapshot: Snapshot,
    filter: SeriesFilter,
    search: ObservationSearch,
    origin: string,
    count: number,
  ): AsyncIterable<SingleReading>
  placeOf(reading: SingleReading): ReadingPlace
}

function pageOf(order: DateOrder | null, question: unknown, cursor: string | undefined): SearchPage {
  if (order === null) {
    const start = cursor === undefined ? null : parseCursor(cursor, question, isReadingPlace)
    return {
      height: start?.height,
      read: (snapshot, filter, search, origin) =>
        ofSearch(readObservations(snapshot, filter, search, start?.place ?? null), search, origin),
      placeOf,
    }
  }
  const start = cursor === undefined ? null : parseCursor(cursor, question, isDatedPlace)
  return {
    height: start?.height,
    // One more than the page, which says whether there is another.
    read: async function* (snapshot, filter, search, origin, count) {
      const after = start?.place ?? null
      yield* await readByDate(snapshot, { filter, search, order, after, count: count + 1, origin })
    },
    placeOf: datedPlaceOf,
  }
}

function addressOf(path: string, parameters: URLSearchParams): string {
  const text = parameters.toString()
  return text === "" ? path : `${path}?${text}`
}

/** As they were given: what has its default is left out. */
function parametersOf(query: SearchQuery): [string, string][] {
  const defaults: Record<string, unknown> = { _count: 100, _sort: "device", _total: "none" }
  return Object.entries(query).flatMap(([name, value]) =>
    value === defaults[name]
      ? []
      : (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, String(one)]),
  )
}

function joinQueries(query: unknown, body: unknown): Record<string, string | string[]> {
  const joined = Object.create(null) as Record<string, string | string[]>
  for (const part of [query, body]) {
    for (const [name, value] of Object.entries((part ?? {}) as Record<string, string | string[]>)) {
      const before = joined[name]
      joined[name] = before === undefined ? value : [before, value].flat()
    }
  }
  return joined
}

/** `_format` goes before the Accept header (FHIR R4 http §2.21.0.6.1). What is not made here is refused with 406. */
function wantsNdjson(format: string | undefined, accept: string | undefined): boolean {
  if (format === undefined) {
    const type = chooseType(accept, [...jsonTypes, ...ndjsonTypes])
    return (ndjsonTypes as readonly string[]).includes(type)
  }
  // In a query a + that was not escaped arrives as a space.
  const given = format.replaceAll(" ", "+")
  if (["ndjson", ...ndjsonTypes].includes(given)) return true
  if (["json", ...jsonTypes].includes(given)) return false
  throw new Problem("not-acceptable", {
    detail: `_format: ${format} is not made here`,
    parameter: "_format",
    rule: "must be json or ndjson",
  })
}

/** One resource has no lines. */
function mustWantJson({ query, headers }: FastifyRequest): void {
  const { _format } = query as ReadQuery
  if (wantsNdjson(_format, headers.accept))
    throw new Problem("not-acceptable", {
      detail: "one resource is given as json",
      parameter: _format === undefined ? "Accept" : "_format",
      rule: "must be json",
    })
}

function observationFilter(snapshot: Snapshot, search: ObservationSearch, scope: Scope): SeriesFilter {
  const selection = {
    ...search,
    blockFrom: null,
    blockTo: null,
    isUnsealedIncluded: false,
    isAheadIncluded: false,
  }
  return filterOf(selection, { asOf: snapshot.asOf, blocks: snapshot.blocks, scope })
}

function readObservations(
  snapshot: Snapshot,
  filter: SeriesFilter,
  search: ObservationSearch,
  after: ReadingPlace | null,
): AsyncIterable<SingleReading> {
  const start: SeriesStart | null =
    after === null
      ? null
      : { order: "time", device: after.device, metric: after.metric, endsFrom: after.startsAt }
  return readingsOf(readSeries(snapshot, filter, "time", start), search, after)
}

async function* ofSearch(
  readings: AsyncIterable<SingleReading>,
  search: ObservationSearch,
  origin: string,
): AsyncGenerator<SingleReading> {
  let series: SingleReading["series"] | null = null
  let isWanted = false
  for await (const reading of readings) {
    if (reading.series !== series) {
      series = reading.series
      isWanted = isOfSearch(search, series, origin)
    }
    if (isWanted && isInPeriod(search, reading)) yield reading
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
