/** `/v1/readings`: sealed series, expanded into readings. */
import type { FastifyPluginAsync } from "fastify"
import { describeAsOf } from "./as-of.ts"
import { type Cursor, formatCursor, parseCursor } from "./cursor.ts"
import { formatRun, liveWithinDefault } from "./reading-json.ts"
import {
  type Selection,
  type SelectionQuery,
  filterOf,
  selectionOf,
  selectionProperties,
} from "./reading-question.ts"
import type { ResearchOptions } from "./options.ts"
import { type ArrivalPlace, type Run, type TimePlace, runsByArrival, runsByTime } from "./run.ts"
import { cursorSchema, entrySchema, limitSchema, pageSchema, responses } from "./schema.ts"
import type { Snapshot } from "./snapshot.ts"
import type { Scope } from "./reader.ts"
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
  readonly limit: number
  readonly cursor?: string
}

export const readingRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get<{ Querystring: ReadingsQuery }>(
    "/v1/readings",
    {
      schema: {
        summary: "Readings, raw",
        tags: ["readings"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            ...selectionProperties,
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
            limit: limitSchema(10_000, 100_000),
            cursor: cursorSchema,
          },
        },
        response: responses({
          description: "a page of readings",
          content: {
            "application/json": {
              schema: pageSchema({ type: "object", properties: readingProperties }),
            },
          },
        }),
      },
    },
    async (request, reply) => {
      const { order, liveWithin, limit, cursor: cursorText } = request.query
      const selection = selectionOf(request.query)
      const question = ["readings", selection, order]
      const cursor = cursorText === undefined ? null : parseCursor(cursorText, question, isPlaceOf(order))
      return desk.stream(
        request,
        reply,
        { type: "application/json", ...(cursor?.height == null ? {} : { height: cursor.height }) },
        async (snapshot) => {
          await desk.checkDevices(request, snapshot, selection.devices ?? [])
          const runs = readRuns(snapshot, selection, { scope: desk.scopeOf(request), order, cursor })
          return formatPage(snapshot, runs, {
            question,
            order,
            limit,
            liveWithinSeconds: liveWithin,
            count: (rows) => (request.access.rows += rows),
          })
        },
      )
    },
  )
}

type Place = TimePlace | ArrivalPlace

function isPlaceOf(order: SeriesOrder): (place: unknown) => place is Place {
  return (place): place is Place => {
    if (typeof place !== "object" || place === null) return false
    const given = place as Record<string, unknown>
    const numbers = ["statement", "position", "index", ...(order === "time" ? ["time"] : [])]
    const texts = order === "time" ? ["device", "metric"] : []
    return (
      numbers.every((name) => typeof given[name] === "number") &&
      texts.every((name) => typeof given[name] === "string")
    )
  }
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

function placeOf(run: Run, order: SeriesOrder, index: number): Place {
  const { statement, position, device, metric, times } = run.series
  if (order === "arrival") return { statement, position, index }
  const time = times[run.order === null ? index : run.order[index]!]!
  return { device, metric, time, statement, position, index }
}

interface PageOptions {
  readonly question: unknown
  readonly order: SeriesOrder
  readonly limit: number
  readonly liveWithinSeconds: number
  readonly count: (rows: number) => void
}

const chunkSize = 64 * 1024

async function* formatPage(
  snapshot: Snapshot,
  runs: AsyncIterable<Run>,
  { question, order, limit, liveWithinSeconds, count }: PageOptions,
): AsyncGenerator<string> {
  let text = `{"asOf":${JSON.stringify(describeAsOf(snapshot.asOf))},"items":[\n`
  let rows = 0
  let next: string | null = null
  let last: Place | null = null
  for await (const run of runs) {
    if (rows === limit) {
      next = formatCursor(question, { height: snapshot.asOf?.height ?? null, place: last! })
      break
    }
    const to = Math.min(run.to, run.from + limit - rows)
    text += formatRun({ ...run, to }, { liveWithinSeconds, separator: ",\n", isFirst: rows === 0 })
    rows += to - run.from
    count(to - run.from)
    last = placeOf(run, order, to - 1)
    if (to < run.to) {
      next = formatCursor(question, { height: snapshot.asOf?.height ?? null, place: last })
      break
    }
    if (text.length >= chunkSize) {
      yield text
      text = ""
    }
  }
  yield `${text}\n],"complete":${next === null},"next":${JSON.stringify(next)}}\n`
}
