/** At the door of every route: who asks, and the record of it. */
import { finished } from "node:stream/promises"
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify"
import type { Pool } from "pg"
import { type AccessOutcome, beginAccess, endAccess } from "./access.ts"
import { findReader } from "./key.ts"

export interface GuardOptions {
  /** Keys are read here and accesses written. */
  readonly records: Pool
  /** Unix ms. */
  readonly nowMs: () => number
  readonly onFault: (error: Error, route: string) => void
}

/** For all routes of this app and of its plugins, but those whose `config` has `isOpen`. */
export function addGuard(app: FastifyInstance, options: GuardOptions): void {
  const { records, nowMs } = options
  const ending = new Set<Promise<void>>()
  app.decorateRequest("reader")
  app.decorateRequest("access")
  app.addHook("onRequest", async (request) => {
    if (request.routeOptions.config.isOpen === true) return
    request.access = { rows: 0, outcome: null, devices: null, height: null }
    request.reader = await findReader(records, request.headers.authorization, {
      isFromHere: app.callers.isFromHere(request.raw),
      nowMs: nowMs(),
    })
  })
  // After the parameters were found good, and before the first byte goes out.
  app.addHook("preHandler", async (request, reply) => {
    if (request.routeOptions.config.isOpen === true) return
    const route = request.routeOptions.url ?? request.url
    const id = await beginAccess(records, {
      keyId: request.reader.keyId,
      address: request.ip,
      route,
      parameters: parametersOf(request),
    })
    const end = async (error: unknown): Promise<void> => {
      try {
        await endAccess(records, id, {
          outcome: outcomeOf(reply, error),
          status: reply.raw.statusCode,
          rows: request.access.rows,
          devices: devicesOf(request),
          height: request.access.height,
        })
      } catch (fault) {
        options.onFault(fault as Error, route)
      }
    }
    const ended = finished(reply.raw, { readable: false })
      .then(() => end(null), end)
      .finally(() => ending.delete(ended))
    ending.add(ended)
  })
  app.addHook("onClose", async () => {
    await Promise.all(ending)
  })
}

function outcomeOf({ raw }: FastifyReply, error: unknown): AccessOutcome {
  if (raw.statusCode >= 400) return "refused"
  return error == null ? "whole" : "cut"
}

/** A cursor says only where a page begins, and is long. */
function parametersOf({ query, params }: FastifyRequest): Record<string, unknown> {
  const parameters = { ...(query as object), ...(params as object) } as Record<string, unknown>
  if (parameters["cursor"] !== undefined) parameters["cursor"] = "…"
  return parameters
}

/** What the route said, else what was asked for, else what the key reaches; null: all. */
function devicesOf({ access, query, params, reader }: FastifyRequest): readonly string[] | null {
  if (access.devices !== null) return access.devices
  const { device } = query as { device?: string | readonly string[] }
  if (device !== undefined) return typeof device === "string" ? [device] : device
  const { id } = params as { id?: string }
  if (id !== undefined) return [id]
  return reader.scope === null ? null : [...reader.scope]
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** Neither a key is asked for nor a record written: nothing of a device is shown. */
    readonly isOpen?: boolean
  }
}
