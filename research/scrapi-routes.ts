/**
 * SCRAPI (draft-ietf-scitt-scrapi-10), as far as this log is one of its services: receipts by their entry. For anybody: an
 * entry stands in the published log, and a receipt tells of it no more than its place there. What is refused is refused in
 * concise problem details (RFC 9290), as the draft has it.
 */
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify"
import { parseHex } from "../chain/bytes.ts"
import { encodeCbor } from "../chain/cbor.ts"
import { type Hash, type Sha256, parseHash } from "../chain/hash.ts"
import type { PublishedLog } from "./log-published.ts"
import type { QueryLog } from "./log-tiles.ts"
import { chooseType } from "./media-type.ts"
import { Problem } from "./problem.ts"
import { findStatement, makeReceipt, proveLeaf } from "./sealed-statement.ts"

export interface ScrapiRoutesOptions {
  readonly log: PublishedLog
  /** For anybody's questions: on connections that nobody else waits for. */
  readonly query: QueryLog
  readonly sha256: Sha256
}

/** The draft's own type, and that of RFC 9943. */
const types = ["application/cose", "application/scitt-receipt+cose"] as const
const problemType = "application/concise-problem-details+cbor"
/** Answers under way; the draft demands a limit where nobody is asked who they are. */
const underWayMax = 32
/** A block is sealed every hour. */
const waitSeconds = 60

interface Route {
  readonly Params: { readonly entry: string }
}

export const scrapiRoutes: FastifyPluginAsync<ScrapiRoutesOptions> = async (app, options) => {
  let underWay = 0
  const schema = { hide: true }

  app.addHook("onRequest", async (_request, reply) => {
    reply.header("access-control-allow-origin", "*")
  })

  app.get<Route>("/entries/:entry", { schema }, async (request, reply) => {
    const entry = /^[0-9a-f]{64}$/.test(request.params.entry) ? parseHex(request.params.entry) : null
    if (entry === null)
      return refuse(reply, 400, "Invalid locator", "An entry is 64 hexadecimal digits in lower case.")
    if (underWay >= underWayMax) {
      reply.header("retry-after", "1")
      return refuse(reply, 429, "Too Many Requests", `Only ${underWayMax} requests at a time are answered.`)
    }
    underWay += 1
    try {
      return await answer(request, reply, parseHash(entry), options)
    } finally {
      underWay -= 1
    }
  })

  // Not taken here: a statement has a place in its device's chain, and one connection at a time may add to that.
  app.post("/entries", {
    schema,
    onRequest: async (_request, reply) => {
      reply.header("allow", "GET").header("connection", "close")
      return refuse(
        reply,
        405,
        "Not registered here",
        "Signed Statements are taken over MQTT, at v1/{device}/statements; receipts are at /entries/{entry}.",
      )
    },
    handler: async () => null,
  })
}

async function answer(
  request: FastifyRequest<Route>,
  reply: FastifyReply,
  entry: Hash,
  { log, query, sha256 }: ScrapiRoutesOptions,
): Promise<FastifyReply> {
  const location = `/entries/${request.params.entry}`
  let type: (typeof types)[number]
  try {
    type = chooseType(request.headers.accept, types)
  } catch (error) {
    // The draft's own examples ask for CBOR, and are given COSE.
    if (!(error instanceof Problem)) throw error
    type = types[0]
  }
  const found = await findStatement(query, entry, sha256)
  if (found.kind === "unknown")
    return refuse(reply, 404, "Not Found", "No statement with this entry is known to this service.")
  const leaf = found.kind === "sealed" ? await proveLeaf(log, found.leafIndex) : null
  const receipt = leaf === null ? null : await makeReceipt(query, log, leaf)
  if (receipt === null)
    return reply
      .code(302)
      .header("location", location)
      .header("retry-after", String(waitSeconds))
      .header("content-type", type)
      .send()
  return reply
    .header("location", location)
    .header("content-type", type)
    .header("cache-control", "no-cache")
    .send(Buffer.from(receipt))
}

/** Concise problem details: -1 is the title, -2 the detail. */
function refuse(reply: FastifyReply, status: number, title: string, detail: string): FastifyReply {
  return reply
    .code(status)
    .header("content-type", problemType)
    .send(
      Buffer.from(
        encodeCbor(
          new Map([
            [-1, title],
            [-2, detail],
          ]),
        ),
      ),
    )
}
