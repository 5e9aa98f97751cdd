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
import { readingRoutes } from "./reading-routes.ts"
import { operatorRoutes } from "./operator-routes.ts"
import { proofRoutes } from "./proof-routes.ts"
import { problemSchema } from "./schema.ts"
import { statementRoutes } from "./statement-routes.ts"
import { waveformRoutes } from "./waveform-routes.ts"
import { witnessRoutes } from "./witness-routes.ts"

export const researchRoutes: FastifyPluginAsync<ResearchOptions> = async (app, options) => {
  app.addSchema(problemSchema)
  options.guard.watch(app)
  const parts = [
    deviceRoutes,
    metricRoutes,
    blockRoutes,
    witnessRoutes,
    readingRoutes,
    waveformRoutes,
    statementRoutes,
    proofRoutes,
    operatorRoutes,
    coverageRoutes,
    evidenceRoutes,
    fhirRoutes,
    openMHealthRoutes,
  ]
  for (const part of parts) await app.register(part, options)
  app.get("/openapi.json", { schema: { hide: true }, config: { isOpen: true } }, async () => app.swagger())
}
