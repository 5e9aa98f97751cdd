/** Where every route of the API gets what it needs: a picture of the database, what the reader may see, a stream out. */
import { Readable } from "node:stream"
import type { FastifyReply, FastifyRequest } from "fastify"
import type { Pool } from "pg"
import { formatAsOf } from "./as-of.ts"
import { KnownMetrics } from "./known-metric.ts"
import { type HttpCounters, noCounters } from "./counters.ts"
import { readerOf } from "./guard.ts"
import { type PaceLimits, ReaderPace } from "./reader-pace.ts"
import { Problem } from "./problem.ts"
import { type Scope, mayRead } from "./reader.ts"
import { BlockIndex, Snapshot } from "./snapshot.ts"
import { sourceOf } from "./source.ts"
import { Turnstile } from "./turnstile.ts"

export interface LogFacts {
  readonly origin: string
  /** C2SP signed-note verifier key of the checkpoints. */
  readonly vkey: string
}

export interface DeskLimits {
  /** Of each query of a small answer. */
  readonly queryMsMax: number
  /** Of each query of a large one; between them a stream may take its time. */
  readonly largeQueryMsMax: number
  /** Large reads at a time, and small ones; the pool must have as many connections as both. */
  readonly largeReadsMax: number
  readonly smallReadsMax: number
  /** Of one key, or of one address where no key is asked for; of small reads the same share. */
  readonly largeReadsOfReaderMax: number
  /** So long a read waits for its place. */
  readonly placeMsMax: number
  /** How slowly a reader may take what it asked for. */
  readonly pace: PaceLimits
  /** A reader that is waited for so long holds no transaction meanwhile. */
  readonly restMsMax: number
}

export const deskLimitsDefault: DeskLimits = {
  queryMsMax: 15_000,
  largeQueryMsMax: 60_000,
  largeReadsMax: 4,
  smallReadsMax: 4,
  largeReadsOfReaderMax: 2,
  placeMsMax: 10_000,
  // A line of 100 kbit/s; an hour is 3.6 GB at 1 MB/s.
  pace: { bytesPerSecondMin: 8_192, windowMs: 30_000, waitMsMax: 3_600_000 },
  restMsMax: 2_000,
}

export interface DeskOptions {
  /** For reads only; a role that may read is enough. */
  readonly pool: Pool
  readonly log: LogFacts
  /** Unix ms. */
  readonly nowMs: () => number
  readonly limits?: Partial<DeskLimits>
  readonly counters?: HttpCounters
}

export interface OpenOptions {
  /** Speaks of this height rather than of the last one: of a page that follows another. */
  readonly height?: number
  /** Takes one of the few places for large reads. */
  readonly isLarge?: boolean
}

export interface StreamOptions extends OpenOptions {
  readonly type: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent after the last chunk, as an HTTP trailer. */
  readonly trailers?: Readonly<Record<string, () => string>>
}

export class Desk {
  readonly log: LogFacts
  readonly nowMs: () => number
  readonly limits: DeskLimits
  readonly turnstile: Turnstile
  readonly metrics = new KnownMetrics()
  private readonly smallReads: Turnstile
  private readonly counters: HttpCounters
  private readonly pool: Pool
  private readonly blocks = new BlockIndex()

  constructor({ pool, log, nowMs, limits, counters = noCounters }: DeskOptions) {
    this.pool = pool
    this.log = log
    this.nowMs = nowMs
    this.limits = { ...deskLimitsDefault, ...limits }
    this.counters = counters
    const { largeReadsMax, smallReadsMax, largeReadsOfReaderMax, placeMsMax } = this.limits
    const waiting = { waitMsMax: placeMsMax, waitingOfReaderMax: 16 }
    this.turnstile = new Turnstile({
      ...waiting,
      inMax: largeReadsMax,
      ofReaderMax: largeReadsOfReaderMax,
      ofAddressMax: Math.max(largeReadsOfReaderMax, largeReadsMax - 1),
    })
    // One place always stays for somebody else.
    const share = Math.max(1, smallReadsMax - 1)
    this.smallReads = new Turnstile({
      ...waiting,
      inMax: smallReadsMax,
      ofReaderMax: share,
      ofAddressMax: share,
      waitingOfReaderMax: 64,
    })
  }

  /** Devices that this reader may see; null: all. */
  scopeOf(request: FastifyRequest): Scope {
    return request.reader.scope
  }

  /** Refuses devices that the reader may not see, or that there are none of. */
  async checkDevices(request: FastifyRequest, snapshot: Snapshot, devices: readonly string[]): Promise<void> {
    const outside = devices.find((device) => !mayRead(request.reader.scope, device))
    if (outside !== undefined) {
      throw new Problem("out-of-scope", {
        detail: `the key does not reach device ${outside}`,
        parameter: "device",
        rule: "must be a device of the key's scope",
      })
    }
    if (devices.length === 0) return
    const rows = await snapshot.query<{ device_id: string }>(
      "select device_id from devices where device_id = any($1)",
      [devices],
    )
    const known = new Set(rows.map((row) => row.device_id))
    const unknown = devices.find((device) => !known.has(device))
    if (unknown !== undefined) {
      throw new Problem("unknown-device", {
        detail: `device ${unknown} is not enrolled`,
        parameter: "device",
        rule: "must be one of /v1/devices",
      })
    }
  }

  /** Refuses readers whose key is not for bulk formats. */
  checkExport(request: FastifyRequest): void {
    this.mustExport(request, "format", "must be json")
  }

  /** Refuses readers whose key is for pages where they ask for everything at once. */
  checkPage(request: FastifyRequest, limit: number | undefined): void {
    if (limit !== undefined && limit > readPageMax)
      this.mustExport(request, "limit", `must be at most ${readPageMax}`)
  }

  /** Refuses readers whose key is for pages: evidence is all that a device said in its blocks. */
  checkEvidence(request: FastifyRequest): void {
    this.mustExport(request, "Authorization", "must be a key for export")
  }

  private mustExport(request: FastifyRequest, parameter: string, rule: string): void {
    if (request.reader.mayExport) return
    throw new Problem("out-of-scope", {
      detail: "the key is for reading pages, not for export",
      parameter,
      rule: `${rule}, or the key must be made with --scope export`,
    })
  }

  /** Runs `work` on one picture of the database, and says in a header what the answer speaks of. */
  async withSnapshot<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    work: (snapshot: Snapshot) => Promise<T>,
    options: OpenOptions = {},
  ): Promise<T> {
    const { snapshot, close } = await this.open(request, reply, options)
    try {
      return await work(snapshot)
    } finally {
      await close()
    }
  }

  /**
   * Streams what `make` yields, at the reader's pace. What fails before the first chunk is answered as a problem; what
   * fails later cuts the connection, so that a part never passes for the whole.
   */
  async stream(
    request: FastifyRequest,
    reply: FastifyReply,
    options: StreamOptions,
    make: (
      snapshot: Snapshot,
    ) => AsyncIterable<string | Uint8Array> | Promise<AsyncIterable<string | Uint8Array>>,
  ): Promise<FastifyReply> {
    const { snapshot, close } = await this.open(request, reply, { isLarge: true, ...options })
    let chunks: AsyncIterator<string | Uint8Array>
    let first: IteratorResult<string | Uint8Array>
    try {
      chunks = (await make(snapshot))[Symbol.asyncIterator]()
      first = await chunks.next()
    } catch (error) {
      await close()
      throw error
    }
    const { signal } = snapshot
    const end = async (): Promise<void> => {
      await chunks.return?.()
      await close()
    }
    if (request.method === "HEAD") await end()
    const waiting = this.watchPace(reply, snapshot)
    const outlet = async function* (): AsyncGenerator<string | Uint8Array> {
      try {
        if (request.method === "HEAD") return
        for (let next = first; next.done !== true; next = await chunks.next()) {
          waiting.begin(next.value.length)
          yield next.value
          waiting.end()
          signal.throwIfAborted()
        }
        request.access.outcome = "whole"
      } finally {
        waiting.end()
        await end()
      }
    }
    reply.header("content-type", options.type).header("tidemark-as-of", formatAsOf(snapshot.asOf))
    for (const [name, value] of Object.entries(options.headers ?? {})) reply.header(name, value)
    for (const [name, value] of Object.entries(options.trailers ?? {}))
      reply.trailer(name, async () => Promise.resolve(value()))
    const stream = Readable.from(outlet(), { objectMode: false, highWaterMark: 64 * 1024 })
    // A reader that left before the first chunk: a generator that never began has no end of its own.
    stream.once("close", () => {
      void end().catch(ignore)
      // What is on its way still.
      if (reply.raw.writableFinished || reply.raw.destroyed) return
      waiting.begin(tailSize)
      reply.raw.once("close", () => waiting.end())
    })
    return reply.send(stream)
  }

  private async open(
    request: FastifyRequest,
    reply: FastifyReply,
    { isLarge = false, height }: OpenOptions,
  ): Promise<{ readonly snapshot: Snapshot; readonly close: () => Promise<void> }> {
    const controller = new AbortController()
    const onClose = (): void => {
      if (!reply.raw.writableFinished) controller.abort(new Error("the reader went away"))
    }
    reply.raw.once("close", onClose)
    if (request.raw.socket.destroyed) onClose()
    let leave: (() => void) | null = null
    try {
      const visitor = { reader: readerOf(request), address: sourceOf(request.ip) }
      leave = await (isLarge ? this.turnstile : this.smallReads).enter(visitor, controller.signal)
      const snapshot = await Snapshot.open(this.pool, this.blocks, {
        timeoutMs: isLarge ? this.limits.largeQueryMsMax : this.limits.queryMsMax,
        signal: controller.signal,
        ...(height === undefined ? {} : { height }),
      })
      reply.header("tidemark-as-of", formatAsOf(snapshot.asOf))
      request.access.height = snapshot.asOf?.height ?? null
      return {
        snapshot,
        close: async () => {
          reply.raw.off("close", onClose)
          leave?.()
          await snapshot.close()
        },
      }
    } catch (error) {
      reply.raw.off("close", onClose)
      leave?.()
      throw error
    }
  }

  /**
   * A slow reader holds a place, and what it does not take in time is cut. While it is waited for no transaction stands
   * open: the next query begins another one on the same block.
   */
  private watchPace({ raw }: FastifyReply, snapshot: Snapshot) {
    const pace = new ReaderPace(this.limits.pace, (fault) => {
      this.counters.refused(fault)
      raw.destroy()
    })
    let resting: NodeJS.Timeout | null = null
    return {
      begin: (bytes: number): void => {
        pace.offer(bytes)
        resting = setInterval(() => void snapshot.rest().catch(ignore), this.limits.restMsMax).unref()
      },
      end: (): void => {
        pace.taken()
        if (resting !== null) clearInterval(resting)
        resting = null
      },
    }
  }
}

/** Rows of a page for a key that is for reading. */
export const readPageMax = 10_000

/** What a stream, a compressor and the kernel may hold behind the last chunk. */
const tailSize = 256 * 1024

function ignore(): void {}
