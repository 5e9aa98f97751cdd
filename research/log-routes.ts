/**
 * The published log, for anybody: C2SP tlog-tiles under `/log`, what a reader's policy must name, and the key of COSE
 * Receipts. Neither a key is asked for nor a record written: nothing of a device is shown.
 */
import { createHash } from "node:crypto"
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify"
import { type LogPlace, formatTilePath, parseTilePath } from "../chain/tile-path.ts"
import { tileWidth } from "../chain/tile.ts"
import { type PublishedLog, readPlace } from "./log-published.ts"
import { Problem } from "./problem.ts"
import { encodeReceiptKey, encodeReceiptKeys, isReceiptKid, noSuchKey } from "./receipt-keys.ts"

export interface LogRoutesOptions {
  readonly log: PublishedLog
}

const method = ["GET", "HEAD"]
const schema = { hide: true }

/**
 * What will never be another: a name of a tile says how many leaves it covers. Sent as it is: hashes do not shrink (gzip
 * takes 8,657 of a bundle's 8,704 bytes).
 */
const forever = "public, max-age=31536000, immutable"
/** What changes with each block: it may be kept, and is asked for anew each time. */
const asked = "no-cache"

/**
 * Answers at a time: clients fetch some 50 tiles at once, and what waits for the two connections that this has must not
 * pile up. Whoever has many readers puts a cache in front.
 */
const underWayMax = 256

export const logRoutes: FastifyPluginAsync<LogRoutesOptions> = async (app, { log }) => {
  let underWay = 0
  app.addHook("preHandler", async (_request, reply) => {
    if (underWay >= underWayMax) {
      throw new Problem("busy", {
        detail: `${underWayMax} requests of the published log are under way; try again soon`,
        retryAfterSeconds: 2,
      })
    }
    underWay += 1
    reply.raw.once("close", () => (underWay -= 1))
  })
  // A page of anybody's may check this log; there is nothing here that a cookie or a key would open.
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("access-control-allow-origin", "*")
  })

  app.route({
    method,
    url: "/log/checkpoint",
    schema,
    handler: async (request, reply) => {
      const published = await log.readCheckpoint()
      if (published === null)
        throw new Problem("not-published", { detail: "no block is sealed and published yet" })
      return sendText(request, reply, published.note)
    },
  })

  app.route({
    method,
    url: "/log/policy",
    schema,
    handler: async (request, reply) => sendText(request, reply, await log.readPolicy()),
  })

  app.route<{ Params: { readonly "*": string } }>({
    method,
    url: "/log/tile/*",
    schema,
    handler: async (request, reply) => {
      const place = parseTilePath(`tile/${request.params["*"]}`)
      // One name for one resource: what is kept for a year is kept once.
      if (place === null || pathOf(request) !== `/log/${formatTilePath(place)}`)
        throw new Problem("not-published", { detail: "this is no path of C2SP tlog-tiles" })
      const bytes = await readPublishedPlace(log, place)
      if (bytes === null) {
        throw new Problem("not-published", { detail: `the published log has no ${formatTilePath(place)}` })
      }
      return reply
        .header("content-type", "application/octet-stream")
        .header("cache-control", forever)
        .send(bytes)
    },
  })

  app.route({
    method,
    url: "/.well-known/scitt-keys",
    schema,
    handler: async (_request, reply) => {
      const { receiptKey } = await log.readIdentity()
      return sendCbor(reply, encodeReceiptKeys([receiptKey]))
    },
  })

  app.route<{ Params: { readonly kid: string } }>({
    method,
    url: "/.well-known/scitt-keys/:kid",
    schema,
    handler: async (request, reply) => {
      const { receiptKey } = await log.readIdentity()
      if (isReceiptKid(request.params.kid, receiptKey)) return sendCbor(reply, encodeReceiptKey(receiptKey))
      return reply
        .code(404)
        .header("content-type", "application/concise-problem-details+cbor")
        .send(noSuchKey())
    },
  })
}

/** Null where the published tree is not that large. */
async function readPublishedPlace(log: PublishedLog, place: LogPlace): Promise<Uint8Array | null> {
  const nodes = place.index * tileWidth + place.width
  const leaves = nodes * (place.kind === "tile" ? tileWidth ** place.level : 1)
  // A name may be of a tree that is larger than any.
  const tree = Number.isSafeInteger(leaves) ? await log.readTree(leaves) : null
  return tree === null ? null : readPlace(tree, place)
}

function pathOf({ raw }: FastifyRequest): string {
  return (raw.url ?? "").split("?")[0]!
}

function sendText(request: FastifyRequest, reply: FastifyReply, text: string | Uint8Array): FastifyReply {
  const etag = `"${createHash("sha256").update(text).digest("hex").slice(0, 32)}"`
  reply.header("cache-control", asked).header("etag", etag)
  if (request.headers["if-none-match"] === etag) return reply.code(304).send()
  return reply.header("content-type", "text/plain; charset=utf-8").send(text)
}

function sendCbor(reply: FastifyReply, bytes: Uint8Array): FastifyReply {
  return reply.header("content-type", "application/cbor").header("cache-control", asked).send(bytes)
}
