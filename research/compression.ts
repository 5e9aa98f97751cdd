/** Answers as gzip or br, where the reader takes one of them and the answer gets smaller. */
import { Readable, pipeline } from "node:stream"
import { constants, createBrotliCompress, createGzip } from "node:zlib"
import type { FastifyInstance } from "fastify"

export type Encoding = "br" | "gzip"

/** Less is not worth it. */
const sizeMin = 1_024

/** Parquet, Arrow and what the published log holds are as small as they get. */
const compressible =
  /^(?:text\/|application\/(?:[a-z.-]+\+)?(?:json|ndjson|x-ndjson|javascript)\b|application\/cbor|image\/svg)/

/**
 * The reader's favourite of what is made here (RFC 9110 §12.5.3), br before gzip where it does not say; null: as it is.
 */
export function chooseEncoding(accepted: string | undefined): Encoding | null {
  if (accepted === undefined) return null
  const weights = new Map<string, number>()
  for (const part of accepted.toLowerCase().split(",")) {
    const [name = "", ...parameters] = part.split(";").map((text) => text.trim())
    const weight = parameters.find((text) => text.startsWith("q="))?.slice(2)
    weights.set(name === "x-gzip" ? "gzip" : name, weight === undefined ? 1 : Number(weight))
  }
  const weightOf = (encoding: string): number => weights.get(encoding) ?? weights.get("*") ?? 0
  const identity = weights.get("identity") ?? 0
  const best = (["br", "gzip"] as const).toSorted((a, b) => weightOf(b) - weightOf(a))[0]!
  return weightOf(best) > 0 && weightOf(best) >= identity ? best : null
}

/** For all routes of this app. Streams stay streams: the reader's pace is the compressor's. */
export function addCompression(app: FastifyInstance): void {
  app.addHook("onSend", async (request, reply, payload) => {
    const type = reply.getHeader("content-type")
    if (request.method === "HEAD" || reply.hasHeader("content-encoding")) return payload
    if (typeof type !== "string" || !compressible.test(type)) return payload
    const isStream = payload instanceof Readable
    const isWhole = typeof payload === "string" || payload instanceof Uint8Array
    if (!isStream && !(isWhole && payload.length >= sizeMin)) return payload
    reply.header("vary", addTo(reply.getHeader("vary"), "accept-encoding"))
    const encoding = chooseEncoding(request.headers["accept-encoding"])
    if (encoding === null) return payload
    reply.header("content-encoding", encoding).removeHeader("content-length")
    // A strong tag names the bytes that are sent.
    const etag = reply.getHeader("etag")
    if (typeof etag === "string" && !etag.startsWith("W/")) reply.header("etag", `W/${etag}`)
    const compressor =
      encoding === "gzip"
        ? createGzip({ level: 5 })
        : // Zlib's own choice, 11, is made for files that are compressed once.
          createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
    pipeline(isStream ? payload : Readable.from([payload]), compressor, ignore)
    return compressor
  })
}

function addTo(vary: unknown, name: string): string {
  const before = typeof vary === "string" ? vary : ""
  if (before.toLowerCase().includes(name)) return before
  return before === "" ? name : `${before}, ${name}`
}

/** The stream that goes out reports it. */
function ignore(): void {}
