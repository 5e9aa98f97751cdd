/** `/v1/omh/datapoints`: Open mHealth data points of sealed readings, a page or a line each. */
import type { FastifyPluginAsync } from "fastify"
import { describeAsOf } from "./as-of.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { makeDataPoint, mappedMetrics, metricsOfSchema, unfitness } from "./open-mhealth.ts"
import { type LineEnd, endLineSchema, lineTrailers } from "./format.ts"
import type { ResearchOptions } from "./options.ts"
import { invalidParameter } from "./problem.ts"
import { type SelectionQuery, filterOf, selectionOf, selectionProperties } from "./reading-question.ts"
import { cursorSchema, limitSchema, pageSchema, responses } from "./schema.ts"
import { type SingleReading, isReadingPlace, placeOf, readingsOf } from "./single-reading.ts"
import type { Snapshot } from "./snapshot.ts"
import { readSeries } from "./stored-series.ts"

interface DataPointQuery extends SelectionQuery {
  readonly schema?: string
  readonly format: "json" | "ndjson"
  readonly endLine: boolean
  readonly limit: number
  readonly cursor?: string
}

const { device, metric, from, to, unsealed } = selectionProperties

export const openMHealthRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get<{ Querystring: DataPointQuery }>(
    "/v1/omh/datapoints",
    {
      schema: {
        operationId: "listDataPoints",
        summary: "Open mHealth data points of readings",
        description:
          "Of metrics whose schema one reading fills; /v1/metrics says which, and why not. Texts and units that a schema does not take are left out and counted.",
        tags: ["readings"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            device,
            metric,
            from,
            to,
            unsealed,
            schema: {
              type: "string",
              maxLength: 100,
              description: "omh:heart-rate:2.0, omh:heart-rate or heart-rate",
            },
            format: { type: "string", enum: ["json", "ndjson"], default: "json" },
            endLine: endLineSchema,
            limit: limitSchema(1_000, 10_000),
            cursor: cursorSchema,
          },
        },
        response: responses({
          description: "a page of data points, or a data point a line",
          content: {
            "application/json": { schema: pageSchema({ type: "object", additionalProperties: true }) },
            "application/x-ndjson": { schema: {} },
          },
        }),
      },
    },
    async (request, reply) => {
      const { schema, format, endLine, limit, cursor: cursorText } = request.query
      const isBulk = format === "ndjson"
      if (isBulk) desk.checkExport(request)
      const selection = {
        ...selectionOf({ ...request.query, ahead: false }),
        metrics: metricsOf(request.query),
      }
      const question = ["omh", selection, schema ?? null]
      const cursor = cursorText === undefined ? null : parseCursor(cursorText, question, isReadingPlace)
      const after = cursor?.place ?? null
      const scope = desk.scopeOf(request)
      const end = { rows: 0, next: null, leftOut: 0 }
      return desk.stream(
        request,
        reply,
        {
          type: isBulk ? "application/x-ndjson" : "application/json",
          ...(isBulk
            ? { trailers: { ...lineTrailers(end), "tidemark-left-out": () => String(end.leftOut) } }
            : {}),
          ...(cursor?.height == null ? {} : { height: cursor.height }),
        },
        async (snapshot) => {
          await desk.checkDevices(request, snapshot, selection.devices ?? [])
          const filter = filterOf(selection, { asOf: snapshot.asOf, blocks: snapshot.blocks, scope })
          const start =
            after === null
              ? null
              : ({
                  order: "time",
                  device: after.device,
                  metric: after.metric,
                  endsFrom: after.startsAt,
                } as const)
          const readings = readingsOf(readSeries(snapshot, filter, "time", start), selection, after)
          const count = (): void => void (request.access.rows += 1)
          return isBulk
            ? formatLines(snapshot, readings, { count, end, hasEnd: endLine })
            : formatPage(snapshot, readings, { question, limit, count })
        },
      )
    },
  )
}

/** The metrics asked for by name or by schema; a problem for one whose readings are no data points. */
function metricsOf({ metric: named, schema }: DataPointQuery): string[] {
  const unfit = (named ?? []).find((one) => unfitness(one) !== null)
  if (unfit !== undefined)
    throw invalidParameter("metric", `must be one that is mapped: ${unfit} ${unfitness(unfit)}`)
  if (schema === undefined) return (named ?? mappedMetrics).toSorted()
  const ofSchema = metricsOfSchema(schema)
  const [first] = ofSchema
  if (first === undefined) throw invalidParameter("schema", "must be one of those that /v1/metrics lists")
  const reason = unfitness(first)
  if (reason !== null)
    throw invalidParameter("schema", `must be one that a reading fills: ${first} ${reason}`)
  return ofSchema.filter((one) => named === undefined || named.includes(one)).toSorted()
}

const chunkSize = 64 * 1024

interface PageOptions {
  readonly question: unknown
  readonly limit: number
  readonly count: () => void
}

async function* formatPage(
  snapshot: Snapshot,
  readings: AsyncIterable<SingleReading>,
  { question, limit, count }: PageOptions,
): AsyncGenerator<string> {
  const asOf = describeAsOf(snapshot.asOf)
  let text = `{"asOf":${JSON.stringify(asOf)},"items":[`
  let taken = 0
  let leftOut = 0
  let last: SingleReading | null = null
  let next: string | null = null
  for await (const reading of readings) {
    if (taken === limit) {
      next = formatCursor(question, { height: asOf?.height ?? null, place: placeOf(last!) })
      break
    }
    last = reading
    const point = makeDataPoint(reading)
    if (point === null) {
      leftOut += 1
      continue
    }
    text += `${taken === 0 ? "" : ","}\n${JSON.stringify(point)}`
    taken += 1
    count()
    if (text.length < chunkSize) continue
    yield text
    text = ""
  }
  const end = { complete: next === null, next, leftOut }
  yield `${text}\n],${JSON.stringify(end).slice(1)}\n`
}

/** A data point a line. With `hasEnd` a last line says that it is the last. */
async function* formatLines(
  snapshot: Snapshot,
  readings: AsyncIterable<SingleReading>,
  {
    count,
    end,
    hasEnd,
  }: { readonly count: () => void; readonly end: LineEnd & { leftOut: number }; readonly hasEnd: boolean },
): AsyncGenerator<string> {
  let text = ""
  for await (const reading of readings) {
    const point = makeDataPoint(reading)
    if (point === null) {
      end.leftOut += 1
      continue
    }
    end.rows += 1
    count()
    text += `${JSON.stringify(point)}\n`
    if (text.length < chunkSize) continue
    yield text
    text = ""
  }
  const { rows, leftOut } = end
  const last = { complete: true, rows, leftOut, asOf: describeAsOf(snapshot.asOf) }
  yield hasEnd ? `${text}${JSON.stringify(last)}\n` : text
}
