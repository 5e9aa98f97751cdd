/** The HTTP server: how it judges parameters, answers problems and guards the browser. Routes come as plugins. */
import fastifySwagger from "@fastify/swagger"
import fastifySwaggerUi from "@fastify/swagger-ui"
import { STATUS_CODES } from "node:http"
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify"
import { addCompression } from "./compression.ts"
import { type HttpCounters, noCounters } from "./counters.ts"
import { isFhirAddress, sendOutcome } from "./fhir-outcome.ts"
import { Callers } from "./locality.ts"
import { checkHost, checkNumbers, checkTexts } from "./parameter.ts"
import { Problem, problemOfDatabase, problemOfValidation } from "./problem.ts"
import { type SocketLimits, limitSockets, socketCheckMs, socketLimitsDefault } from "./sockets.ts"

export interface ServerOptions {
  /** What is our mistake, for the service's log. */
  readonly onFault: (error: Error, route: string) => void
  /** Who counts as this machine, and which proxies are believed; by default none. */
  readonly callers?: Callers
  readonly counters?: HttpCounters
  readonly sockets?: Partial<SocketLimits>
}

declare module "fastify" {
  interface FastifyInstance {
    readonly callers: Callers
  }
}

/** Of the request's line and headers: 1,000 ids of devices fit. */
export const headerSizeMax = 96 * 1024

/** An app without routes. */
export function makeServer({
  onFault,
  callers = new Callers(),
  counters = noCounters,
  sockets,
}: ServerOptions): FastifyInstance {
  const limits = { ...socketLimitsDefault, ...sockets }
  const app = Fastify({
    logger: false,
    exposeHeadRoutes: true,
    forceCloseConnections: true,
    keepAliveTimeout: limits.keepAliveMsMax,
    requestTimeout: limits.requestMsMax,
    http: {
      maxHeaderSize: headerSizeMax,
      headersTimeout: limits.headersMsMax,
      connectionsCheckingInterval: socketCheckMs,
      // A request without Host is refused with a body, below.
      requireHostHeader: false,
    },
    // `ip`, `host` and `protocol` of a request are what a named proxy says; of anybody else what the connection says.
    trustProxy: (address) => callers.isProxy(address),
    routerOptions: { maxParamLength: 200, querystringParser: parseQuery },
    // A parameter that nobody knows is refused rather than dropped, and a list of one is a list.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: "array", useDefaults: true } },
    // What no route hears about: an address that cannot be decoded.
    frameworkErrors: (error, request, reply) => {
      const problem = new Problem("request-refused", { detail: error.message, parameter: "path" })
      counters.refused(problem.reason)
      refuse(request, reply, problem)
    },
    // And what is no request, or not in time.
    clientErrorHandler: (error, socket) => {
      const problem = problemOfSocket(error)
      if (problem !== null) counters.refused(problem.reason)
      if (problem === null || !socket.writable) socket.destroy()
      else socket.end(formatProblem(problem))
    },
  })
  limitSockets(app.server, limits, { counters, callers })
  app.decorate("callers", callers)
  app.addHook("onRequest", async (request, reply) => {
    checkHost(request.headers.host, request.raw.httpVersion === "1.0")
    if (request.host !== request.headers.host) checkHost(request.host, true)
    return allowOrigin(callers, request, reply)
  })
  app.addHook("preValidation", async ({ query, params }) => {
    checkTexts(query)
    checkTexts(params)
  })
  app.addHook("preHandler", async ({ query, params }) => {
    checkNumbers(query)
    checkNumbers(params)
  })
  app.addHook("onError", async (request, _reply, error) => {
    const problem = problemOf(error)
    counters.refused(problem.reason)
    if (problem.kind === "failed") onFault(error, request.routeOptions.url ?? "no route")
  })
  app.setErrorHandler((error: unknown, request, reply) => refuse(request, reply, problemOf(error)))
  app.setNotFoundHandler((request, reply) => {
    const isRead = request.method === "GET" || request.method === "HEAD"
    const problem = isRead
      ? new Problem("no-such-route", { detail: "/openapi.json lists the paths that there are" })
      : new Problem("read-only", { detail: "GET only" })
    counters.refused(problem.reason)
    return refuse(request, isRead ? reply : reply.header("allow", "GET"), problem)
  })
  app.addHook("onSend", async (_request, reply) => {
    if (!reply.hasHeader("cache-control")) reply.header("cache-control", "no-store")
    reply.header("x-content-type-options", "nosniff").header("referrer-policy", "no-referrer")
  })
  addCompression(app)
  return app
}

/** Lets the pages of origins that were named read the answer (the Fetch standard's CORS protocol). */
async function allowOrigin(
  callers: Callers,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  const { origin } = request.headers
  if (origin === undefined || !callers.mayAsk(origin)) return undefined
  reply
    .header("access-control-allow-origin", origin)
    .header("vary", "origin")
    .header(
      "access-control-expose-headers",
      "tidemark-as-of, tidemark-rows, content-disposition, etag, retry-after",
    )
  if (request.method !== "OPTIONS") return undefined
  return reply
    .code(204)
    .header("access-control-allow-methods", "GET, HEAD, POST")
    .header("access-control-allow-headers", "authorization, accept, content-type, if-none-match")
    .header("access-control-allow-private-network", "true")
    .header("access-control-max-age", "600")
    .send()
}

/** What the parser of HTTP says; null where nobody is there to be told. */
function problemOfSocket({ code }: NodeJS.ErrnoException): Problem | null {
  if (code === "ECONNRESET" || code === "EPIPE") return null
  if (code === "HPE_HEADER_OVERFLOW")
    return new Problem("header-too-large", {
      detail: `the request's line and headers have over ${headerSizeMax} bytes`,
      rule: "must be shorter: ask for fewer devices at once",
    })
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new Problem("request-timeout", { detail: "a request must be sent without delay" })
  return new Problem("malformed-request", { detail: `the bytes are no request of HTTP/1.1 (${code})` })
}

/** A whole answer, for a socket that has no other. */
function formatProblem(problem: Problem): string {
  const body = `${JSON.stringify(problem.body)}\n`
  return [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    "connection: close",
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n")
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
