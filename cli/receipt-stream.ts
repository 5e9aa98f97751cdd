/** `GET /v1/receipts[?device=ID]`: newline-delimited JSON, for readers of the devices that it tells of. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify"
import { devicePattern } from "../chain/statement.ts"
import { type Guard, readerOf } from "../research/guard.ts"
import { Problem, invalidParameter } from "../research/problem.ts"
import { mayRead } from "../research/reader.ts"
import type { ReceiptFeed, Told } from "./receipt-feed.ts"

/** One line of the stream. `dropped` is the last one, and says why. An empty line says that nothing happened. */
export type ReceiptLine =
  | { readonly kind: "listening"; readonly device: string | null }
  | Told
  | { readonly kind: "dropped"; readonly rule: string }

export interface StreamLimits {
  /** Bytes that wait for a slow reader. */
  readonly bufferedBytesMax: number
  readonly readersMax: number
  /** Limit for one key, or for one address where no key is asked for. */
  readonly streamsOfReaderMax: number
  /** An empty line so often, so that a reader that is gone is noticed; and its key is looked at again. */
  readonly idleMsMax: number
  /** So long a reader that was dropped has to read that it was. */
  readonly partingMsMax: number
}

const limitsDefault: StreamLimits = {
  bufferedBytesMax: 256 * 1024,
  readersMax: 16,
  streamsOfReaderMax: 4,
  idleMsMax: 15_000,
  partingMsMax: 5_000,
}

interface ReceiptQuery {
  readonly device?: string
}

/** The route, for `HttpOptions.plugins`. */
export function makeReceiptRoute(feed: ReceiptFeed, guard: Guard, changed: Partial<StreamLimits> = {}) {
  const limits = { ...limitsDefault, ...changed }
  const streams = new Map<string, number>()

  const enter = (request: FastifyRequest, reply: FastifyReply): void => {
    const reader = readerOf(request)
    const own = streams.get(reader) ?? 0
    if (own >= limits.streamsOfReaderMax || feed.listenerCount >= limits.readersMax) {
      const detail =
        own >= limits.streamsOfReaderMax
          ? `a reader may have ${limits.streamsOfReaderMax} streams of receipts`
          : `at most ${limits.readersMax} readers at a time`
      throw new Problem("busy", { detail, retryAfterSeconds: 5 })
    }
    streams.set(reader, own + 1)
    reply.raw.once("close", () => {
      const left = streams.get(reader)! - 1
      if (left === 0) streams.delete(reader)
      else streams.set(reader, left)
    })
  }

  return async (app: FastifyInstance): Promise<void> => {
    await app.register(async (inner) => {
      guard.watch(inner)
      inner.get<{ Querystring: ReceiptQuery }>(
        "/v1/receipts",
        {
          schema: {
            hide: true,
            querystring: {
              type: "object",
              additionalProperties: false,
              properties: { device: { type: "string" } },
            },
          },
        },
        async (request, reply) => {
          const { device = null } = request.query
          if (device !== null && !devicePattern.test(device))
            throw invalidParameter("device", `must match ${devicePattern.source}`)
          if (device !== null && !mayRead(request.reader.scope, device))
            throw new Problem("out-of-scope", {
              detail: `the key does not reach device ${device}`,
              parameter: "device",
              rule: "must be a device of the key's scope",
            })
          reply.header("content-type", "application/x-ndjson")
          if (request.method === "HEAD") return reply.send("")
          enter(request, reply)
          reply.hijack()
          for (const [name, value] of Object.entries(reply.getHeaders()))
            if (value !== undefined) reply.raw.setHeader(name, value)
          reply.raw.setHeader("cache-control", "no-store").writeHead(200)
          tell(request, reply, device, () => guard.findReader(inner, request))
          return reply
        },
      )
    })
  }

  function tell(
    request: FastifyRequest,
    { raw: response }: FastifyReply,
    device: string | null,
    lookAgain: () => Promise<unknown>,
  ): void {
    const { scope } = request.reader
    const write = (line: ReceiptLine): void => {
      response.write(`${JSON.stringify(line)}\n`)
    }
    const stop = feed.listen(device, (told) => {
      // A refusal that names no device is for readers of all.
      if (told.device === null ? scope !== null : !mayRead(scope, told.device)) return
      request.access.rows += 1
      write(told)
      if (response.writableLength > limits.bufferedBytesMax) dropSlow()
    })
    const idle = setInterval(() => {
      response.write("\n")
      if (response.writableLength > limits.bufferedBytesMax) dropSlow()
      // This answer has no end of its own: a revoked key ends it.
      lookAgain().catch((error: unknown) => {
        if (error instanceof Problem) drop(error.facts.detail)
      })
    }, limits.idleMsMax)
    const end = (): void => {
      stop()
      clearInterval(idle)
    }
    const drop = (rule: string): void => {
      if (response.writableEnded) return
      end()
      write({ kind: "dropped", rule })
      response.end()
      const late = setTimeout(() => response.destroy(), limits.partingMsMax)
      response.once("close", () => clearTimeout(late))
    }
    const dropSlow = (): void => {
      guard.counters.refused("slow-reader")
      drop(`over ${limits.bufferedBytesMax} bytes wait for you: read faster`)
    }
    response.once("close", end)
    response.on("error", end)
    write({ kind: "listening", device })
  }
}
