/** The HTTP port of a process: how it is, and what its parts show. */
import type { FastifyInstance } from "fastify"
import { isLoopback } from "../../broker/address.ts"
import { Callers, type CallersOptions } from "../../research/locality.ts"
import { readDescriptors, shareDescriptors } from "../descriptors.ts"
import { explainPort } from "../connecting.ts"
import { startHealth } from "../health.ts"
import type { Base } from "./base.ts"

export interface HttpOptions extends CallersOptions {
  /** That it may hold at a time; by default what this process's descriptors allow. */
  readonly socketsMax?: number
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  /** What the parts of this process show, next to `/healthz`, `/readyz` and `/metrics`. */
  readonly plugins?: readonly ((app: FastifyInstance) => Promise<void>)[]
}

export interface HttpPart {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

export async function startHttp(
  { registry, readiness, httpCounters, log }: Pick<Base, "registry" | "readiness" | "httpCounters" | "log">,
  { host, port, plugins = [], socketsMax = shareDescriptors(readDescriptors()).http, ...named }: HttpOptions,
): Promise<HttpPart> {
  const health = await startHealth({
    host,
    port,
    registry,
    readiness,
    counters: httpCounters,
    plugins,
    callers: new Callers(named),
    // One address, such as that of a proxy that nobody named, leaves the others half.
    sockets: { socketsMax, socketsOfAddressMax: Math.ceil(socketsMax / 2) },
    onFault: (error, route) => log.error({ route, error: error.stack ?? error.message }, "an answer failed"),
  }).catch((error: unknown) => {
    throw explainPort(error, "HTTP", port, "--http")
  })
  return { host, port: health.port, close: () => health.close() }
}

/** Metrics and receipts have no logins: they stay on this machine unless a host is named. */
export function httpHostOf(host: string, named: string | undefined): string {
  return named ?? (isLoopback(host) ? host : "127.0.0.1")
}
