/** `/v1/coverage`: what arrived of a device, what is missing, and why. */
import type { FastifyPluginAsync } from "fastify"
import { describeAsOf } from "./as-of.ts"
import { parseTimezone } from "./bucket.ts"
import { gapsDefault, gapsMax, partsPerDay } from "./coverage.ts"
import { reportCoverage } from "./coverage-report.ts"
import { readLatest } from "./coverage-rows.ts"
import { daysMax, daysOf } from "./days.ts"
import type { ResearchOptions } from "./options.ts"
import { instantOf, invalidParameter } from "./problem.ts"
import { liveWithinDefault } from "./reading-json.ts"
import { asOfSchema, deviceSchema, instantSchema, responses } from "./schema.ts"

interface CoverageQuery {
  readonly device: string
  readonly metric?: string
  readonly from?: string
  readonly to?: string
  readonly timezone: string
  readonly liveWithin: number
  readonly gaps: number
}

const causeSchema = {
  type: ["string", "null"],
  description:
    "lost-* and why: the device said so; unread, ahead: a statement of that time; not-yet: nothing has come since; never-sent: later readings came, and nothing in the chain speaks of it",
} as const

const daySchema = {
  type: "object",
  properties: {
    readings: { type: "integer" },
    late: { type: "integer", description: "arrived over liveWithin seconds after their time" },
    unsealed: { type: "integer" },
    missingSeconds: { type: "object", additionalProperties: { type: "number" }, description: "by cause" },
    parts: {
      type: "array",
      items: { type: ["number", "null"] },
      description: `covered share of each of ${partsPerDay} equal parts; null: nothing was to be expected`,
    },
    causes: { type: "array", items: causeSchema, description: "of parts of which less than half is covered" },
    gaps: {
      type: "array",
      description: "the first of gapsTotal",
      items: {
        type: "object",
        properties: {
          from: { type: "number", description: "Unix seconds" },
          to: { type: "number" },
          cause: causeSchema,
          seq: { type: ["integer", "null"], description: "of the statement that says so" },
        },
      },
    },
    gapsTotal: { type: "integer" },
  },
} as const

const coverageSchema = {
  type: "object",
  properties: {
    asOf: asOfSchema,
    device: { type: "string" },
    status: { type: "string" },
    statements: { type: "integer", description: "accepted; the chain has no gap" },
    lastArrivalAt: { type: ["number", "null"], description: "Unix seconds" },
    timezone: { type: "string" },
    days: { type: "array", items: { type: "string" } },
    boundaries: {
      type: "array",
      items: { type: "number" },
      description: "Unix seconds of each day's beginning, and of the last one's end",
    },
    metrics: {
      type: "array",
      items: {
        type: "object",
        properties: {
          metric: { type: "string" },
          firstAt: { type: "number", description: "Unix seconds of the first reading ever" },
          lastAt: { type: "number" },
          rhythmSeconds: {
            type: ["number", "null"],
            description:
              "median time between two readings, of the latest that began before the window ends; null: too few, or none is to be expected",
          },
          gapAfterSeconds: {
            type: ["number", "null"],
            description: "a gap is longer: 1.8 times the rhythm, and at least the rhythm and 5 s",
          },
          days: { type: "array", items: daySchema },
        },
      },
    },
    remarks: {
      type: "array",
      items: {
        type: "object",
        additionalProperties: true,
        properties: { kind: { type: "string" }, seq: { type: "integer" } },
      },
      description: "what the chain says of missing readings, the latest arrival first",
    },
    remarksComplete: { type: "boolean" },
    refusals: {
      type: "array",
      description: "since the device was enrolled, counted by verdict, without the time of each",
      items: {
        type: "object",
        properties: {
          verdict: { type: "string" },
          count: { type: "integer" },
          lastAt: { type: "number" },
        },
      },
    },
  },
} as const

const secondsPerDay = 86_400
const daysDefault = 14

export const coverageRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get<{ Querystring: CoverageQuery }>(
    "/v1/coverage",
    {
      schema: {
        operationId: "getCoverage",
        summary: "What arrived of a device by day, what is missing, and why",
        tags: ["devices"],
        querystring: {
          type: "object",
          additionalProperties: false,
          required: ["device"],
          properties: {
            device: deviceSchema,
            metric: { type: "string", minLength: 1, maxLength: 255 },
            from: instantSchema(`from the day of this instant on; ${daysDefault} days where it is left out`),
            to: instantSchema("before this instant; after the last reading where it is left out"),
            timezone: {
              type: "string",
              default: "UTC",
              maxLength: 64,
              description: "whose days, such as Europe/Berlin",
            },
            liveWithin: {
              type: "number",
              minimum: 0,
              default: liveWithinDefault,
              description: "seconds: what arrived later than that after its time is late",
            },
            gaps: {
              type: "integer",
              minimum: 0,
              maximum: gapsMax,
              default: gapsDefault,
              description: "how many gaps each day of a metric lists; gapsTotal counts all",
            },
          },
        },
        response: responses(coverageSchema),
      },
    },
    async (request, reply) => {
      const { device, metric = null, timezone, liveWithin, gaps } = request.query
      const zone = parseTimezone(timezone)
      const given = { from: instantOf("from", request.query.from), to: instantOf("to", request.query.to) }
      return desk.withSnapshot(
        request,
        reply,
        async (snapshot) => {
          await desk.checkDevices(request, snapshot, [device])
          const metrics = metric === null ? null : [metric]
          await desk.metrics.check(snapshot, { metrics, devices: [device], scope: desk.scopeOf(request) })
          const now = desk.nowMs() / 1000
          const to = given.to ?? Math.min(now, (await readLatest(snapshot, device)) ?? now) + 0.001
          const from = given.from ?? to - (daysDefault - 1) * secondsPerDay
          if (from >= to) throw invalidParameter("to", "must be after from")
          if (to - from > daysMax * secondsPerDay)
            throw invalidParameter("from", `must be at most ${daysMax} days before to`)
          const days = daysOf({ from, to, zone, now })
          const coverage = await reportCoverage(snapshot, {
            device,
            metric,
            days,
            liveWithinSeconds: liveWithin,
            gapsPerDay: gaps,
          })
          request.access.rows = days.names.length
          return { asOf: describeAsOf(snapshot.asOf), timezone, boundaries: days.boundaries, ...coverage }
        },
        { isLarge: true },
      )
    },
  )
}
