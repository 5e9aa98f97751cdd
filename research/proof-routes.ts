/** `/v1/statements/{entry}/proof`, `/receipt`, `/transparent`: files to keep, that say a statement is in the log. */
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify"
import { parseHex } from "../chain/bytes.ts"
import { attachReceipts } from "../chain/transparent-statement.ts"
import { parseHash } from "../chain/hash.ts"
import { formatTlogProof } from "../chain/tlog-proof.ts"
import { chooseType, octetStream } from "./media-type.ts"
import type { ResearchOptions } from "./options.ts"
import { Problem } from "./problem.ts"
import { mayRead } from "./reader.ts"
import { entrySchema, responses } from "./schema.ts"
import { type ProvenLeaf, findStatement, makeReceipt, proveLeaf } from "./sealed-statement.ts"

/** RFC 9943. */
export const receiptTypes = ["application/scitt-receipt+cose", "application/cose", octetStream] as const
const statementTypes = ["application/scitt-statement+cose", "application/cose", octetStream] as const
const textType = "text/plain; charset=utf-8"

interface Proven {
  readonly bytes: Uint8Array
  readonly leaf: ProvenLeaf
  /** Made only where it is asked for: it takes a query. */
  readonly receipt: Uint8Array | null
}

interface Route {
  readonly Params: { readonly entry: string }
}

const params = { type: "object", properties: { entry: entrySchema }, required: ["entry"] } as const
const noQuery = { type: "object", additionalProperties: false, properties: {} } as const
const binary = { type: "string", format: "binary" } as const

export const proofRoutes: FastifyPluginAsync<ResearchOptions> = async (app, options) => {
  app.get<Route & { Querystring: { readonly statement: boolean } }>(
    "/v1/statements/:entry/proof",
    {
      schema: {
        operationId: "getProof",
        summary: "A C2SP tlog-proof: that the statement is in the log, under its last checkpoint",
        description:
          "A file to keep: `tidemark verify FILE --policy trust.policy` checks it without a network. It holds the statement, as the proof's extra data, unless `statement=false`.",
        tags: ["log"],
        params,
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            statement: {
              type: "boolean",
              default: true,
              description: "false: only the proof; whoever checks it must have the statement",
            },
          },
        },
        produces: ["text/plain"],
        response: responses({ type: "string" }),
      },
    },
    async (request, reply) => {
      const { bytes, leaf } = await prove(request, reply, options, { isReceipt: false })
      const { published, index, path } = leaf
      const extra = request.query.statement ? bytes : null
      return reply
        .header("content-type", textType)
        .header("content-disposition", attachment(request.params.entry, "tlog-proof"))
        .send(formatTlogProof({ extra, index, path, checkpoint: published.note }))
    },
  )

  app.get<Route>(
    "/v1/statements/:entry/receipt",
    {
      schema: {
        operationId: "getReceipt",
        summary: "A COSE Receipt (RFC 9942): that the statement is in the log's last tree",
        description:
          "A file to keep beside the statement: `tidemark verify FILE --statement FILE --receipt-key KEY` checks it without a network.",
        tags: ["log"],
        params,
        querystring: noQuery,
        produces: [...receiptTypes],
        response: responses(binary),
      },
    },
    async (request, reply) => {
      const type = chooseType(request.headers.accept, receiptTypes)
      const receipt = receiptOf(await prove(request, reply, options, { isReceipt: true }))
      return reply
        .header("content-type", type)
        .header("content-disposition", attachment(request.params.entry, "receipt"))
        .send(Buffer.from(receipt))
    },
  )

  app.get<Route>(
    "/v1/statements/:entry/transparent",
    {
      schema: {
        operationId: "getTransparentStatement",
        summary: "The Transparent Statement (RFC 9943): the statement with its receipt attached",
        description:
          "One file to keep: `tidemark verify FILE --receipt-key KEY` checks it without a network.",
        tags: ["log"],
        params,
        querystring: noQuery,
        produces: [...statementTypes],
        response: responses(binary),
      },
    },
    async (request, reply) => {
      const type = chooseType(request.headers.accept, statementTypes)
      const proven = await prove(request, reply, options, { isReceipt: true })
      return reply
        .header("content-type", type)
        .header("content-disposition", attachment(request.params.entry, "scitt"))
        .send(Buffer.from(attachReceipts(proven.bytes, [receiptOf(proven)])))
    },
  )
}

function receiptOf({ receipt }: Proven): Uint8Array {
  if (receipt !== null) return receipt
  throw new Problem("not-sealed", {
    detail: "the last block was sealed before this service made receipts; the next one has them",
  })
}

/** What a reader may see of a sealed statement, and its path. */
async function prove(
  request: FastifyRequest<Route>,
  reply: FastifyReply,
  { desk, published, sha256 }: ResearchOptions,
  { isReceipt }: { readonly isReceipt: boolean },
): Promise<Proven> {
  const entry = parseHash(parseHex(request.params.entry)!)
  return desk.withSnapshot(request, reply, async (snapshot) => {
    const query = snapshot.query.bind(snapshot)
    const found = await findStatement(query, entry, sha256)
    // The operator's statements are everybody's; a device's are as far as the key reaches, and else not said to be.
    if (
      found.kind === "unknown" ||
      (found.deviceId !== desk.log.origin && !mayRead(desk.scopeOf(request), found.deviceId))
    )
      throw new Problem("unknown-statement", {
        detail: "no statement with this entry was accepted",
        parameter: "entry",
        rule: "must be the entry of a stored statement",
      })
    request.access.devices = [found.deviceId]
    const leaf = found.kind === "waiting" ? null : await proveLeaf(published, found.leafIndex)
    if (found.kind === "waiting" || leaf === null)
      throw new Problem("not-sealed", {
        detail: "the statement waits for the next block; until then nothing proves it",
        retryAfterSeconds: 60,
      })
    request.access.rows = 1
    const receipt = isReceipt ? await makeReceipt(query, published, leaf) : null
    return { bytes: found.bytes, leaf, receipt }
  })
}

function attachment(entry: string, extension: string): string {
  return `attachment; filename="${entry.slice(0, 16)}.${extension}"`
}
