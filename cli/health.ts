/** The HTTP port: `/healthz`, `/readyz`, `/metrics`, and what the parts of this process show. */
import { type Server, createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { Registry } from "prom-client"
import type { Readiness } from "./readiness.ts"
import type { RequestHandler } from "./receipt-stream.ts"

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
  /** More, by path. */
  readonly routes: Readonly<Record<string, RequestHandler>>
}

export async function startHealth({
  host,
  port,
  registry,
  readiness,
  routes,
}: HealthOptions): Promise<HealthServer> {
  const paths = ["/healthz", "/readyz", "/metrics", ...Object.keys(routes)]
  const shown = `${paths.slice(0, -1).join(", ")} and ${paths.at(-1)}`
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?")[0]
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body)
    }
    const json = (status: number, body: unknown): void =>
      answer(status, "application/json", `${JSON.stringify(body)}\n`)
    if (request.method !== "GET" && request.method !== "HEAD") json(405, { error: "GET only" })
    else if (path === "/healthz") json(200, { status: "alive", pid: process.pid })
    else if (path === "/readyz") {
      json(readiness.isReady ? 200 : 503, {
        status: readiness.isReady ? "ready" : "not ready",
        troubles: readiness.troubles(),
        parts: readiness.parts(),
      })
    } else if (path === "/metrics") {
      registry.metrics().then(
        (text) => answer(200, registry.contentType, text),
        () => json(500, { error: "metrics cannot be read" }),
      )
    } else if (path !== undefined && Object.hasOwn(routes, path)) routes[path]!(request, response)
    else json(404, { error: `there are ${shown}` })
  })
  await listen(server, host, port)
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port }, () => resolve())
  })
}
