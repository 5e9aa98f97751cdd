/** The HTTP port: `/healthz`, `/readyz`, `/metrics`, and what the parts of this process show. */
import type { AddressInfo } from "node:net"
import type { FastifyInstance } from "fastify"
import type { Registry } from "prom-client"
import type { HttpCounters } from "../research/counters.ts"
import type { Callers } from "../research/locality.ts"
import { makeServer } from "../research/server.ts"
import { Problem } from "../research/problem.ts"
import type { SocketLimits } from "../research/sockets.ts"
import type { Readiness } from "./readiness.ts"

export interface HealthServer {
  readonly port: number
  close(): Promise<void>
}

export interface HealthOptions {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  readonly registry: Registry
  readonly readiness: Readiness
  /** Whole parts, such as research. */
  readonly plugins?: readonly ((app: FastifyInstance) => Promise<void>)[]
  readonly callers?: Callers
  readonly counters?: HttpCounters
  readonly sockets?: Partial<SocketLimits>
  /** What is our mistake, for the log. */
  readonly onFault: (error: Error, route: string) => void
}

export async function startHealth(options: HealthOptions): Promise<HealthServer> {
  const { onFault, callers, counters, sockets } = options
  const app = makeServer({
    onFault,
    ...(callers === undefined ? {} : { callers }),
    ...(counters === undefined ? {} : { counters }),
    ...(sockets === undefined ? {} : { sockets }),
  })
  addHealth(app, options)
  for (const plugin of options.plugins ?? []) await plugin(app)
  try {
    await app.listen({ host: options.host, port: options.port })
  } catch (error) {
    await app.close()
    throw error
  }
  return {
    port: (app.server.address() as AddressInfo).port,
    close: () => app.close(),
  }
}

function addHealth(app: FastifyInstance, { registry, readiness }: HealthOptions): void {
  const method = ["GET", "HEAD"]
  const schema = { hide: true }
  app.route({
    method,
    url: "/healthz",
    schema,
    handler: async () => ({ status: "alive", pid: process.pid }),
  })
  app.route({
    method,
    url: "/readyz",
    schema,
    handler: async (_request, reply) =>
      reply.code(readiness.isReady ? 200 : 503).send({
        status: readiness.isReady ? "ready" : "not ready",
        troubles: readiness.troubles(),
        parts: readiness.parts(),
      }),
  })
  app.route({
    method,
    url: "/metrics",
    schema,
    onRequest: async (request) => {
      if (!app.callers.mayScrape(request.raw))
        throw new Problem("host-refused", {
          detail: "metrics are for this machine, by localhost, its address or its own name",
        })
    },
    handler: async (_request, reply) =>
      reply.header("content-type", registry.contentType).send(await registry.metrics()),
  })
}
