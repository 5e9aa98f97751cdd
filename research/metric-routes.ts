/** `/v1/metrics`: the catalogue. */
import type { FastifyPluginAsync } from "fastify"
import { metrics } from "./metric.ts"
import type { ResearchOptions } from "./options.ts"
import { responses } from "./schema.ts"

const text = { type: ["string", "null"] } as const

const metricSchema = {
  type: "object",
  properties: {
    metric: { type: "string" },
    title: { type: "string" },
    form: { type: "string", enum: ["reading", "waveform", "event"] },
    senmlUnit: { ...text, description: "to send it in; RFC 8428 and RFC 8798" },
    ucumUnit: { ...text, description: "of exports, where the unit sent can be converted" },
    category: { type: "string", description: "FHIR's observation-category" },
    loinc: {
      type: "array",
      items: {
        type: "object",
        properties: {
          code: { type: "string" },
          display: { type: "string" },
          onlyFor: { type: "string", description: "only for values in this UCUM unit" },
        },
      },
    },
    mdc: {
      type: ["object", "null"],
      description: "IEEE 11073-10101",
      properties: { code: { type: "integer" }, refId: { type: "string" } },
    },
    openMHealth: {
      type: ["object", "null"],
      properties: {
        namespace: { type: "string" },
        name: { type: "string" },
        version: { type: "string" },
        member: { type: "string" },
        units: { type: "object", additionalProperties: { type: "string" } },
        constants: { type: "object", additionalProperties: { type: "string" } },
        unfit: { type: "string", description: "why one reading makes no data point of it" },
      },
    },
    fhirProfile: text,
  },
} as const

export const metricRoutes: FastifyPluginAsync<ResearchOptions> = async (app) => {
  app.get(
    "/v1/metrics",
    {
      schema: {
        operationId: "listMetrics",
        summary: "The catalogue of metrics: units, LOINC, IEEE 11073 MDC, Open mHealth",
        description:
          "A metric that is not listed is stored and given out all the same, with its unit as sent.",
        tags: ["metrics"],
        querystring: { type: "object", additionalProperties: false, properties: {} },
        response: responses({
          type: "object",
          required: ["items", "complete"],
          properties: { items: { type: "array", items: metricSchema }, complete: { type: "boolean" } },
        }),
      },
    },
    async (request) => {
      request.access.rows = metrics.length
      return { items: metrics, complete: true, next: null }
    },
  )
}
