/** `/v1/readings`: sealed series, expanded into readings. */
import type { FastifyPluginAsync } from "fastify"
import { describeAsOf, formatAsOf } from "./as-of.ts"
import { bucketBatches, readingBatches } from "./batch.ts"
import {
  bucketProperties,
  bucketSchema,
  bucketsOf,
  parseBucket,
  parseTimezone,
  timezoneSchema,
} from "./bucket.ts"
import { type Cursor, formatCursor, parseCursor } from "./cursor.ts"
import {
  type Format,
  type LineEnd,
  endLineSchema,
  formatOf,
  formatSchema,
  isBulk,
  lineTrailers,
  mediaTypes,
} from "./format.ts"
import type { ResearchOptions } from "./options.ts"
import { arrowBytes, parquetBytes } from "./parquet.ts"
import { type Place, isPlaceOf } from "./place.ts"
import { invalidParameter } from "./problem.ts"
import type { Scope } from "./reader.ts"
import { liveWithinDefault } from "./reading-json.ts"
import {
  type Selection,
  type SelectionQuery,
  filterOf,
  selectionOf,
  selectionProperties,
} from "./reading-question.ts"
import {
  bucketLines,
  bucketPieces,
  countGroups,
  countRuns,
  jsonShape,
  ndjsonShape,
  readingLines,
  runPieces,
} from "./reading-text.ts"
import { type Run, type TimePlace, runsByArrival, runsByTime } from "./run.ts"
import { cursorSchema, entrySchema, pageSchema, responses } from "./schema.ts"
import type { Snapshot } from "./snapshot.ts"
import { type SeriesOrder, type SeriesStart, readSeries } from "./stored-series.ts"

const readingProperties = {
  time: { type: "string", description: "by the device's clock" },
  device: { type: "string" },
  metric: { type: "string" },
  kind: { type: "string", enum: ["number", "sum", "boolean", "text", "bytes", "waveform"] },
  value: { type: ["number", "boolean", "null"] },
  text: { type: "string" },
  blob: { type: "string", description: "base64" },
  unit: { type: ["string", "null"], description: "as the device sent it: SenML or UCUM" },
  arrived: { type: "string", format: "date-time", description: "by the database's clock" },
  latenessSeconds: { type: "number", description: "arrived - time" },
  mode: {
    type: "string",
    enum: ["live", "backfill"],
    description: "live: arrived within liveWithin seconds",
  },
  block: { type: ["integer", "null"], description: "that sealed it; null: none yet" },
  entry: entrySchema,
  ahead: { type: "boolean", description: "true: its time was over 300 s ahead when it came" },
} as const

interface ReadingsQuery extends SelectionQuery {
  readonly order: SeriesOrder
  readonly liveWithin: number
  readonly bucket?: string
  readonly timezone?: string
  readonly format?: Format
  readonly endLine: boolean
  readonly safe?: "spreadsheet"
  readonly limit?: number
  readonly cursor?: string
}

const limitDefault = 10_000
const limitMax = 100_000

export const readingRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk, version }) => {
  app.get<{ Querystring: ReadingsQuery }>(
    "/v1/readings",
    {
      schema: {
        operationId: "queryReadings",
        summary: "Readings, raw or in buckets",
        description:
          "json comes in pages of `limit` rows. ndjson, csv, parquet and arrow give everything in one stream; `limit` and `cursor` are for ndjson too. ndjson has a row a line and ends with the HTTP trailers Tidemark-Rows, Tidemark-Complete and Tidemark-Next, or with `endLine` a line that says the same; csv with Tidemark-Rows; parquet and arrow with their own ends.",
        tags: ["readings"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            ...selectionProperties,
            bucket: bucketSchema,
            timezone: timezoneSchema,
            order: {
              type: "string",
              enum: ["time", "arrival"],
              default: "time",
              description: "time: by device, metric and time; arrival: as in the log",
            },
            liveWithin: {
              type: "number",
              minimum: 0,
              default: liveWithinDefault,
              description: "seconds that divide live from backfill",
            },
            format: formatSchema,
            endLine: endLineSchema,
            safe: {
              type: "string",
              enum: ["spreadsheet"],
              description:
                "csv for a spreadsheet: puts ' in front of texts by devices that begin with = + - @, a tab or a line end, which it would take for formulas; left out, csv has each text as it was signed",
            },
            limit: {
              type: "integer",
              minimum: 1,
              maximum: limitMax,
              description: `rows of a page; by default ${limitDefault} as json, and all as ndjson`,
            },
            cursor: cursorSchema,
          },
        },
        response: responses({
          description: "readings, or buckets of them",
          content: {
            "application/json": {
              schema: pageSchema({
                anyOf: [
                  { type: "object", properties: readingProperties },
                  { type: "object", properties: bucketProperties },
                ],
              }),
            },
            "application/x-ndjson": { schema: { type: "string" } },
            "text/csv": { schema: { type: "string" } },
            "application/vnd.apache.parquet": { schema: { type: "string", format: "binary" } },
            "application/vnd.apache.arrow.stream": { schema: { type: "string", format: "binary" } },
          },
        }),
      },
    },
    async (request, reply) => {
      const { order, liveWithin, bucket, timezone, limit, cursor: cursorText, endLine, safe } = request.query
      const format = formatOf(request.query.format, request.headers.accept)
      if (isBulk(format)) desk.checkExport(request)
      desk.checkPage(request, limit)
      const selection = selectionOf(request.query)
      const bucketSeconds = bucket === undefined ? null : parseBucket(bucket)
      if (bucketSeconds !== null && order === "arrival")
        throw invalidParameter("order", "must be time where bucket is given")
      if (timezone !== undefined && bucket === undefined)
        throw invalidParameter(
          "timezone",
          "must be given together with bucket: readings have their time in UTC",
        )
      const zone = parseTimezone(timezone)
      const isSpreadsheetSafe = safe === "spreadsheet"
      if (isSpreadsheetSafe && format !== "csv")
        throw invalidParameter("safe", "must be left out where format is not csv")
      if (format !== "json" && format !== "ndjson") {
        const whole = `must be left out where format is ${format}, which gives everything`
        if (limit !== undefined) throw invalidParameter("limit", whole)
        if (cursorText !== undefined) throw invalidParameter("cursor", whole)
      }
      const question = ["readings", selection, order, bucketSeconds, zone?.name ?? null]
      const cursor = cursorText === undefined ? null : parseCursor(cursorText, question, isPlaceOf(order))
      const widths = (widthSeconds: number) => ({
        widthSeconds,
        zone,
        window: selection,
        liveWithinSeconds: liveWithin,
      })
      const end: LineEnd = { rows: 0, next: null }
      return desk.stream(
        request,
        reply,
        {
          type: mediaTypes[format],
          ...(cursor?.height == null ? {} : { height: cursor.height }),
          ...(isBulk(format)
            ? { headers: { "content-disposition": `attachment; filename="${nameOf(bucket, format)}"` } }
            : {}),
          ...(format === "csv" ? { trailers: { "tidemark-rows": () => String(end.rows) } } : {}),
          ...(format === "ndjson" ? { trailers: lineTrailers(end) } : {}),
        },
        async (snapshot) => {
          const devices = selection.devices ?? []
          await desk.checkDevices(request, snapshot, devices)
          await desk.metrics.check(snapshot, { ...selection, scope: desk.scopeOf(request) })
          const runs = readRuns(snapshot, selection, { scope: desk.scopeOf(request), order, cursor })
          const count = (more: number): void => {
            end.rows += more
            request.access.rows += more
          }
          const asOf = describeAsOf(snapshot.asOf)
          const facts = new Map([
            ["tidemark.origin", desk.log.origin],
            ["tidemark.asOf", formatAsOf(snapshot.asOf)],
            ["tidemark.query", request.url.slice(request.url.indexOf("?") + 1)],
          ])
          const createdBy = `tidemark ${version}`
          const cut = { limit: limit ?? (format === "json" ? limitDefault : Infinity), count }
          if (format === "json" || format === "ndjson") {
            const shape = format === "json" ? jsonShape : ndjsonShape(endLine)
            const pieces =
              bucketSeconds === null
                ? runPieces(runs, {
                    ...cut,
                    order,
                    liveWithinSeconds: liveWithin,
                    separator: shape.separator,
                  })
                : bucketPieces(bucketsOf(runs, widths(bucketSeconds)), {
                    ...cut,
                    separator: shape.separator,
                  })
            return shape.frame(
              pieces,
              asOf,
              (place) =>
                (end.next = formatCursor(question, { height: snapshot.asOf?.height ?? null, place })),
            )
          }
          const counted = countRuns(runs, bucketSeconds === null ? count : () => {})
          if (bucketSeconds !== null) {
            const groups = countGroups(bucketsOf(counted, widths(bucketSeconds)), count)
            if (format === "csv") return bucketLines(groups, isSpreadsheetSafe)
            const batches = bucketBatches(groups, facts)
            return format === "arrow" ? arrowBytes(batches) : parquetBytes(batches, { facts, createdBy })
          }
          if (format === "csv")
            return readingLines(counted, { liveWithinSeconds: liveWithin, isSpreadsheetSafe })
          const batches = readingBatches(counted, liveWithin, facts)
          return format === "arrow" ? arrowBytes(batches) : parquetBytes(batches, { facts, createdBy })
        },
      )
    },
  )
}

function nameOf(bucket: string | undefined, format: Format): string {
  return `readings${bucket === undefined ? "" : `-${bucket}`}.${format}`
}

export function readRuns(
  snapshot: Snapshot,
  selection: Selection,
  { scope, order, cursor }: { scope: Scope; order: SeriesOrder; cursor: Cursor<Place> | null },
): AsyncIterable<Run> {
  const filter = filterOf(selection, { asOf: snapshot.asOf, blocks: snapshot.blocks, scope })
  const place = cursor?.place ?? null
  if (order === "arrival") {
    const after = place
    const start: SeriesStart | null = after === null ? null : { order, ...after }
    return runsByArrival(readSeries(snapshot, filter, order, start), selection, after)
  }
  const after = place as TimePlace | null
  const start: SeriesStart | null =
    after === null ? null : { order, device: after.device, metric: after.metric, endsFrom: after.time }
  return runsByTime(readSeries(snapshot, filter, order, start), selection, after)
}
