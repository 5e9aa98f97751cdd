/** `/v1/waveforms`: regular series as segments, as they were signed. */
import type { FastifyPluginAsync } from "fastify"
import { describeAsOf } from "./as-of.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { type LineEnd, endLineSchema, lineTrailers } from "./format.ts"
import type { ResearchOptions } from "./options.ts"
import { invalidParameter } from "./problem.ts"
import { type SelectionQuery, filterOf, selectionOf, selectionProperties } from "./reading-question.ts"
import { type Piece, jsonShape, ndjsonShape } from "./reading-text.ts"
import type { TimePlace } from "./run.ts"
import { cursorSchema, pageSchema, responses } from "./schema.ts"
import { type StoredSeries, readSeries } from "./stored-series.ts"
import { formatSegment, segmentProperties } from "./waveform.ts"
import { isPlaceOf } from "./place.ts"

interface WaveformsQuery extends SelectionQuery {
  readonly points?: number
  readonly format: "json" | "ndjson" | "fhir"
  readonly endLine: boolean
  readonly limit?: number
  readonly cursor?: string
}

const limitDefault = 100

export const waveformRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get<{ Querystring: WaveformsQuery }>(
    "/v1/waveforms",
    {
      schema: {
        operationId: "queryWaveforms",
        summary: "Waveforms, as the segments that were signed",
        description:
          "A segment that overlaps from..to comes whole. json and fhir in pages; ndjson everything in one stream, a segment a line; the HTTP trailers Tidemark-Rows, Tidemark-Complete and Tidemark-Next say how it ended, or with `endLine` a last line.",
        tags: ["readings"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            ...selectionProperties,
            points: {
              type: "integer",
              minimum: 10,
              maximum: 10_000,
              description:
                "pixels of a plot of from..to, which must be given: of each pixel only the lowest and the highest sample",
            },
            format: { type: "string", enum: ["json", "ndjson", "fhir"], default: "json" },
            endLine: endLineSchema,
            limit: {
              type: "integer",
              minimum: 1,
              maximum: 1_000,
              description: `segments of a page; ${limitDefault}`,
            },
            cursor: cursorSchema,
          },
        },
        response: responses(pageSchema({ type: "object", properties: segmentProperties })),
      },
    },
    async (request, reply) => {
      const { points, format, endLine, cursor: cursorText } = request.query
      const limit = request.query.limit ?? (format === "ndjson" ? Infinity : limitDefault)
      if (format === "ndjson") desk.checkExport(request)
      const selection = selectionOf(request.query)
      const { fromSeconds, toSeconds } = selection
      if (points !== undefined && (fromSeconds === null || toSeconds === null))
        throw invalidParameter(
          "points",
          "must be given together with from and to, which say how wide the plot is",
        )
      const pixelSeconds = points === undefined ? null : (toSeconds! - fromSeconds!) / points
      const question = ["waveforms", selection, points]
      const cursor = cursorText === undefined ? null : parseCursor(cursorText, question, isPlaceOf("time"))
      const shape = format === "ndjson" ? ndjsonShape(endLine) : jsonShape
      const end: LineEnd = { rows: 0, next: null }
      return desk.stream(
        request,
        reply,
        {
          type: format === "ndjson" ? "application/x-ndjson" : "application/json",
          ...(format === "ndjson" ? { trailers: lineTrailers(end) } : {}),
          ...(cursor?.height == null ? {} : { height: cursor.height }),
        },
        async (snapshot) => {
          await desk.checkDevices(request, snapshot, selection.devices ?? [])
          const scope = desk.scopeOf(request)
          await desk.metrics.check(snapshot, { ...selection, scope })
          const filter = {
            ...filterOf(selection, { asOf: snapshot.asOf, blocks: snapshot.blocks, scope }),
            isWaveform: true,
          }
          const after = cursor === null ? null : (cursor.place as TimePlace)
          const start =
            after === null
              ? null
              : { order: "time" as const, device: after.device, metric: after.metric, endsFrom: after.time }
          const pieces = segmentPieces(readSeries(snapshot, filter, "time", start), {
            limit,
            after,
            separator: shape.separator,
            format: (series) => formatSegment(series, pixelSeconds, format === "fhir"),
            count: () => (end.rows = request.access.rows += 1),
          })
          return shape.frame(
            pieces,
            describeAsOf(snapshot.asOf),
            (place) => (end.next = formatCursor(question, { height: snapshot.asOf?.height ?? null, place })),
          )
        },
      )
    },
  )
}

interface SegmentOptions {
  readonly limit: number
  readonly after: TimePlace | null
  readonly separator: string
  readonly format: (series: StoredSeries) => string
  readonly count: () => void
}

async function* segmentPieces(
  all: AsyncIterable<StoredSeries>,
  { limit, after, separator, format, count }: SegmentOptions,
): AsyncGenerator<Piece> {
  let rows = 0
  let last: TimePlace | null = null
  for await (const series of all) {
    if (after !== null && !isAfter(series, after)) continue
    if (rows === limit) {
      yield { text: "", rows: 0, cutAt: last }
      return
    }
    yield { text: (rows === 0 ? "" : separator) + format(series), rows: 1, cutAt: null }
    rows += 1
    count()
    const { device, metric, startsAt, statement, position } = series
    last = { device, metric, time: startsAt, statement, position, index: 0 }
  }
}

/** In order of device, metric, beginning, statement, position, of which the first two are the query's. */
function isAfter({ device, metric, startsAt, statement, position }: StoredSeries, after: TimePlace): boolean {
  if (device !== after.device || metric !== after.metric) return true
  return (startsAt - after.time || statement - after.statement || position - after.position) > 0
}
