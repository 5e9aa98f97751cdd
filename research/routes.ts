/** All routes of the research API under one plugin. A part of it is a plugin that takes these options. */
import type { FastifyPluginAsync } from "fastify"
import { blockRoutes } from "./block-routes.ts"
import { coverageRoutes } from "./coverage-routes.ts"
import type { ResearchOptions } from "./options.ts"
import { deviceRoutes } from "./device-routes.ts"
import { evidenceRoutes } from "./evidence-routes.ts"
import { fhirRoutes } from "./fhir-routes.ts"
import { metricRoutes } from "./metric-routes.ts"
import { openMHealthRoutes } from "./open-mhealth-routes.ts"
import { Problem } from "./problem.ts"
import { localReader } from "./reader.ts"
import { readingRoutes } from "./reading-routes.ts"
import { problemSchema } from "./schema.ts"
import { isFromHere } from "./locality.ts"

export const researchRoutes: FastifyPluginAsync<ResearchOptions> = async (app, options) => {
  app.addSchema(problemSchema)
  app.decorateRequest("reader")
  app.decorateRequest("access")
  app.addHook("onRequest", async (request) => {
    if (!isFromHere(request.raw)) {
      throw new Problem("key-needed", { detail: "from other machines, or under another name than localhost" })
    }
    request.reader = localReader
    request.access = { rows: 0, outcome: null }
  })
  const parts = [
    deviceRoutes,
    metricRoutes,
    blockRoutes,
    readingRoutes,
    coverageRoutes,
    evidenceRoutes,
    fhirRoutes,
    openMHealthRoutes,
  ]
  for (const part of parts) await app.register(part, options)
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger())
}
