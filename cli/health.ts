/** `/healthz`, `/readyz` and `/metrics`. */
import { type Server, createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { Registry } from "prom-client"

export interface HealthServer {
  readonly port: number
  close(): Promise<void>
}

export interface HealthOptions {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  readonly registry: Registry
  /** What keeps the service from taking statements, in words; none when it is ready. */
  readonly findTroubles: () => readonly string[]
}

export async function startHealth({
  host,
  port,
  registry,
  findTroubles,
}: HealthOptions): Promise<HealthServer> {
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
      const troubles = findTroubles()
      json(troubles.length === 0 ? 200 : 503, {
        status: troubles.length === 0 ? "ready" : "not ready",
        troubles,
      })
    } else if (path === "/metrics") {
      registry.metrics().then(
        (text) => answer(200, registry.contentType, text),
        () => json(500, { error: "metrics cannot be read" }),
      )
    } else json(404, { error: "there are /healthz, /readyz and /metrics" })
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
