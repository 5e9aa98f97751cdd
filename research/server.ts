/** The HTTP server: how it judges parameters, answers problems and guards the browser. Routes come as plugins. */
import fastifySwagger from "@fastify/swagger"
import fastifySwaggerUi from "@fastify/swagger-ui"
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify"
import { type HttpCounters, noCounters } from "./counters.ts"
import { isFhirAddress, sendOutcome } from "./fhir-outcome.ts"
import { Callers } from "./locality.ts"
import { Problem, problemOfDatabase, problemOfValidation } from "./problem.ts"

export interface ServerOptions {
  /** What is our mistake, for the service's log. */
  readonly onFault: (error: Error, route: string) => void
  /** Who counts as this machine, and which proxies are believed; by default none. */
  readonly callers?: Callers
  readonly counters?: HttpCounters
}

declare module "fastify" {
  interface FastifyInstance {
    readonly callers: Callers
  }
}

/** An app without routes. */
export function makeServer({
  onFault,
  callers = new Callers(),
  counters = noCounters,
}: ServerOptions): FastifyInstance {
  const app = Fastify({
    logger: false,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    // `ip`, `host` and `protocol` of a request are what a named proxy says; of anybody else what the connection says.
    trustProxy: (address) => callers.isProxy(address),
    routerOptions: { maxParamLength: 200, querystringParser: parseQuery },
    // A parameter that nobody knows is refused rather than dropped, and a list of one is a list.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: "array", useDefaults: true } },
    // An address that cannot be read.
    frameworkErrors: (error, request, reply) => void refuse(request, reply, problemOf(error)),
    // What no route hears about: a broken request line or header.
    clientErrorHandler: (_error, socket) => {
      if (socket.writable)
        socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
      else socket.destroy()
    },
  })
  app.decorate("callers", callers)
  app.setErrorHandler((error: unknown, request, reply) => {
    const problem = problemOf(error)
    counters.refused(problem.reason)
    if (problem.kind === "failed") onFault(error as Error, request.routeOptions.url ?? "no route")
    return refuse(request, reply, problem)
  })
  app.setNotFoundHandler((request, reply) => {
    if (request.method === "GET" || request.method === "HEAD")
      return refuse(
        request,
        reply,
        new Problem("no-such-route", { detail: "/openapi.json lists the paths that there are" }),
      )
    return refuse(request, reply.header("allow", "GET"), new Problem("read-only", { detail: "GET only" }))
  })
  app.addHook("onSend", async (_request, reply) => {
    if (!reply.hasHeader("cache-control")) reply.header("cache-control", "no-store")
    reply.header("x-content-type-options", "nosniff").header("referrer-policy", "no-referrer")
  })
  return app
}

/** Names may repeat; nothing is split, and no name reaches a prototype. */
export function parseQuery(text: string): Record<string, string | string[]> {
  const query = Object.create(null) as Record<string, string | string[]>
  for (const [name, value] of new URLSearchParams(text)) {
    const before = query[name]
    if (before === undefined) query[name] = value
    else if (Array.isArray(before)) before.push(value)
    else query[name] = [before, value]
  }
  return query
}

interface FastifyFault {
  readonly validation?: Parameters<typeof problemOfValidation>[0]
  readonly validationContext?: string
  readonly statusCode?: number
}

/** What any error is for the reader. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { validation, validationContext, statusCode } = error as FastifyFault
  if (validation !== undefined) return problemOfValidation(validation, validationContext ?? "request")
  const ofDatabase = problemOfDatabase(error)
  if (ofDatabase !== null) return ofDatabase
  if (statusCode === 413) return new Problem("too-large", { detail: (error as Error).message })
  if (statusCode === 415) return new Problem("type-refused", { detail: (error as Error).message })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new Problem("request-refused", { detail: (error as Error).message })
  return new Problem("failed", { detail: "this is a mistake of the service; its log says more" })
}

/** In the form of the interface that was asked. */
function refuse(request: FastifyRequest, reply: FastifyReply, problem: Problem): FastifyReply {
  return isFhirAddress(request.url) ? sendOutcome(reply, problem) : sendProblem(reply, problem)
}

interface ProblemReply {
  code(status: number): this
  header(name: string, value: string): this
  send(payload: string): this
}

function sendProblem<Reply extends ProblemReply>(reply: Reply, problem: Problem): Reply {
  const { retryAfterSeconds } = problem.facts
  if (retryAfterSeconds !== undefined) reply.header("retry-after", String(retryAfterSeconds))
  if (problem.status === 401) reply.header("www-authenticate", 'Bearer realm="tidemark"')
  return reply
    .code(problem.status)
    .header("content-type", "application/problem+json")
    .send(`${JSON.stringify(problem.body)}\n`)
}

/** What the documentation's page may load: nothing from elsewhere. Swagger UI sets styles in its elements. */
const docsPolicy = {
  "default-src": ["'none'"],
  "script-src": ["'self'"],
  "style-src": ["'self'", "'unsafe-inline'"],
  "img-src": ["'self'", "data:"],
  "font-src": ["'self'", "data:"],
  "connect-src": ["'self'"],
  "base-uri": ["'none'"],
  "form-action": ["'none'"],
  "frame-ancestors": ["'none'"],
}

/** OpenAPI 3.1 of all routes that are registered after it, and a page of it at `/docs`. */
export async function describeApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Tidemark",
        version,
        description:
          "Sealed time-series of devices that sign what they say. Every answer says up to which block and checkpoint it speaks.",
      },
      // Else clients ask where they found the description.
      ...(app.callers.publicUrl === null ? {} : { servers: [{ url: app.callers.publicUrl }] }),
      components: {
        securitySchemes: { key: { type: "http", scheme: "bearer", description: "tidemark key create" } },
      },
      security: [{ key: [] }, {}],
    },
  })
  await app.register(fastifySwaggerUi, {
    routePrefix: "/docs",
    staticCSP: docsPolicy,
    uiConfig: { deepLinking: true, docExpansion: "list", tryItOutEnabled: true, validatorUrl: null },
    theme: {
      title: "Tidemark: the API",
      // A bar with the name of the framework, and a field for another API's address.
      css: [{ filename: "page.css", content: ".swagger-ui .topbar { display: none }" }],
    },
  })
}
