/** At the door of every route: who asks, how much of it at once, and the record of it. */
import { createHash, timingSafeEqual } from "node:crypto"
import { finished } from "node:stream/promises"
import { setTimeout as pause } from "node:timers/promises"
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify"
import type { Pool } from "pg"
import { type AccessOutcome, beginAccess, endAccess } from "./access.ts"
import { type HttpCounters, noCounters } from "./counters.ts"
import { type GuessLimits, Guesses, guessLimitsDefault } from "./guesses.ts"
import { KeyIndex } from "./key-index.ts"
import { findReader, keyIdOf } from "./key.ts"
import { type HttpRefusal, Problem } from "./problem.ts"
import { type Reader, operatorReader } from "./reader.ts"
import { RefusalRecord } from "./refusal-record.ts"
import { sourceOf } from "./source.ts"

export interface GuardOptions {
  /** Keys are read here and accesses written: connections of its own, so that no reader takes one from ingest. */
  readonly records: Pool
  /** By which the rows of keys are known to be the operator's: a secret that the database does not have. */
  readonly macKey: Uint8Array
  /** Unix ms. */
  readonly nowMs: () => number
  readonly onFault: (error: Error, route: string) => void
  readonly counters?: HttpCounters
  /** What the operator's own commands send as Bearer; they read it in the data folder. */
  readonly operatorToken?: string
  readonly limits?: Partial<GuardLimits>
}

export interface GuardLimits extends GuessLimits {
  /** Requests of one reader at a time, answers under way included. */
  readonly requestsOfReaderMax: number
  /** The same of one address, whatever keys come from there. */
  readonly requestsOfAddressMax: number
}

export const guardLimitsDefault: GuardLimits = {
  ...guessLimitsDefault,
  requestsOfReaderMax: 64,
  requestsOfAddressMax: 128,
}

/** Refusals that are recorded: somebody asked for what is not everybody's. */
const recorded: ReadonlySet<HttpRefusal> = new Set([
  "key-needed",
  "key-malformed",
  "key-unknown",
  "key-revoked",
  "key-forged",
  "key-expired",
  "too-many-guesses",
  "cross-site",
  "out-of-scope",
])

export class Guard {
  readonly counters: HttpCounters
  readonly keys: KeyIndex
  private readonly options: GuardOptions
  private readonly limits: GuardLimits
  private readonly guesses: Guesses
  private readonly refusals: RefusalRecord
  private readonly underWay = new Map<string, number>()
  private readonly ending = new Set<Promise<void>>()

  constructor(options: GuardOptions) {
    const { records, onFault, counters = noCounters, limits } = options
    this.options = options
    this.counters = counters
    this.limits = { ...guardLimitsDefault, ...limits }
    this.keys = new KeyIndex(records)
    this.guesses = new Guesses(this.limits)
    this.refusals = new RefusalRecord(records, (error) => onFault(error, "refusals"))
  }

  /** For all routes of this app and of its plugins, but those whose `config` has `isOpen`. */
  watch(app: FastifyInstance): void {
    app.decorateRequest("reader")
    app.decorateRequest("access")
    app.addHook("onRequest", async (request, reply) => {
      if (request.routeOptions.config.isOpen === true) return
      request.access = { rows: 0, outcome: null, devices: null, height: null }
      request.reader = await this.findReader(app, request)
      this.takePlace(request, reply)
    })
    // After the parameters were found good, and before the first byte goes out.
    app.addHook("preHandler", async (request, reply) => {
      if (request.routeOptions.config.isOpen !== true) await this.record(request, reply)
    })
    app.addHook("onError", async (request, _reply, error) => {
      if (error instanceof Problem) this.note(request, error)
    })
    app.addHook("onClose", async () => {
      await Promise.all(this.ending)
      await this.refusals.flush()
    })
  }

  /** Who asks; a problem for anybody who may not. Asked again while an answer goes on without an end. */
  async findReader(app: FastifyInstance, request: FastifyRequest): Promise<Reader> {
    const { records, nowMs, macKey } = this.options
    const { authorization } = request.headers
    if (authorization !== undefined && this.isOperator(authorization)) return operatorReader
    const source = sourceOf(request.ip)
    const isFromHere = app.callers.isFromHere(request.raw)
    if (authorization === undefined && isFromHere && app.callers.isCrossSite(request.raw))
      throw new Problem("cross-site", {
        detail: "a page of another site may not read here without a key; --cors names origins that may",
      })
    const named = authorization === undefined ? null : keyIdOf(authorization)
    if (authorization !== undefined && !(named !== null && this.keys.has(named))) {
      if (this.guesses.isOver(source, performance.now())) {
        await pause(this.limits.delayMs)
        throw new Problem("too-many-guesses", {
          detail: "too many keys that are none came from your address",
          parameter: "Authorization",
          rule: "must be a key that stands",
          retryAfterSeconds: Math.ceil(1 / this.limits.perSecondMax),
        })
      }
    }
    try {
      return await findReader(records, authorization, {
        isFromHere,
        nowMs: nowMs(),
        macKey,
        findDigest: (id) => this.keys.find(id),
      })
    } catch (error) {
      const reason = error instanceof Problem ? error.reason : null
      if (reason === "key-unknown" || reason === "key-malformed") this.guesses.add(source, performance.now())
      throw error
    }
  }

  private isOperator(authorization: string): boolean {
    const { operatorToken } = this.options
    if (operatorToken === undefined) return false
    return timingSafeEqual(digestOf(authorization), digestOf(`Bearer ${operatorToken}`))
  }

  private takePlace(request: FastifyRequest, reply: FastifyReply): void {
    const places = [
      [`reader ${readerOf(request)}`, this.limits.requestsOfReaderMax],
      [`address ${sourceOf(request.ip)}`, this.limits.requestsOfAddressMax],
    ] as const
    for (const [name, countMax] of places)
      if ((this.underWay.get(name) ?? 0) >= countMax)
        throw new Problem("busy", {
          detail: `${countMax} requests of yours are under way; try again soon`,
          retryAfterSeconds: 2,
        })
    for (const [name] of places) this.underWay.set(name, (this.underWay.get(name) ?? 0) + 1)
    // A stream's own listeners are ten already.
    reply.raw.setMaxListeners(16).once("close", () => {
      for (const [name] of places) {
        const count = this.underWay.get(name)! - 1
        if (count === 0) this.underWay.delete(name)
        else this.underWay.set(name, count)
      }
    })
  }

  private async record(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { records, onFault } = this.options
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
        onFault(fault as Error, route)
      }
    }
    const ended = finished(reply.raw, { readable: false })
      .then(() => end(null), end)
      .finally(() => this.ending.delete(ended))
    this.ending.add(ended)
  }

  private note(request: FastifyRequest, problem: Problem): void {
    const { reason, facts } = problem
    if (!recorded.has(reason)) return
    this.refusals.add({
      address: request.ip,
      reason,
      route: request.routeOptions.url ?? "no route",
      keyId: facts.keyId ?? request.reader?.keyId ?? null,
    })
  }
}

/** Under which name a reader's share is counted: its key, or its address where no key is asked for. */
export function readerOf({ reader, ip }: FastifyRequest): string {
  return reader.keyId ?? `${reader.name} ${sourceOf(ip)}`
}

function digestOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest()
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
