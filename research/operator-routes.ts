/** `/v1/operator`: the operator's chain with its leaves and proofs. Who may sign for whom is said here and nowhere else. */
import type { FastifyPluginAsync } from "fastify"
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { describeAsOf } from "./as-of.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import type { PublishedCheckpoint } from "./log-published.ts"
import {
  type OperatorKind,
  type OperatorRow,
  describeOperator,
  listOperator,
  operatorKinds,
} from "./operator-rows.ts"
import type { ResearchOptions } from "./options.ts"
import { invalidParameter } from "./problem.ts"
import { type Scope, mayRead } from "./reader.ts"
import { cursorSchema, deviceSchema, entrySchema, limitSchema, pageSchema, responses } from "./schema.ts"

interface OperatorQuery {
  readonly kind?: OperatorKind
  readonly device?: string
  readonly order: "asc" | "desc"
  readonly limit: number
  readonly cursor?: string
}

const page = pageSchema({
  type: "object",
  additionalProperties: true,
  required: ["seq", "entry", "kind"],
  properties: {
    seq: { type: "integer", description: "on the operator's chain; 1 is the log's policy" },
    entry: entrySchema,
    kind: { type: "string", description: "policy, registry or block; what else stands here follows from it" },
    signedAt: { type: "string" },
    arrived: { type: "string", format: "date-time" },
    block: { type: ["integer", "null"], description: "that seals it; null: the next one will" },
    leafIndex: { type: ["integer", "null"] },
    path: {
      type: ["array", "null"],
      items: { type: "string" },
      description: "from the leaf to the root of `checkpoint`: RFC 9162 §2.1.3, base64",
    },
    bytes: { type: "string", description: "base64: the statement, whole" },
  },
})

export const operatorRoutes: FastifyPluginAsync<ResearchOptions> = async (app, options) => {
  const { desk, published, sha256 } = options
  app.get<{ Querystring: OperatorQuery }>(
    "/v1/operator",
    {
      schema: {
        operationId: "listOperatorStatements",
        summary: "What the operator said: the log's policy, enrolments, rotations, revocations, blocks",
        description:
          "Statements of the operator's own chain, each with its leaf and its path to `checkpoint`. `tidemark verify` holds the registry in the database against them.",
        tags: ["log"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            kind: { type: "string", enum: operatorKinds, description: "all where it is left out" },
            device: { ...deviceSchema, description: "registry statements about this device" },
            order: { type: "string", enum: ["asc", "desc"], default: "asc" },
            limit: limitSchema(100, 1_000),
            cursor: cursorSchema,
          },
        },
        response: responses({
          ...page,
          properties: {
            ...page.properties,
            checkpoint: {
              type: ["string", "null"],
              description: "the signed note, with its cosignatures; null: nothing is published yet",
            },
          },
        }),
      },
    },
    async (request, reply) => {
      const { kind, device, order, limit, cursor } = request.query
      if (device !== undefined && kind !== undefined && kind !== "registry")
        throw invalidParameter("kind", "must be registry where a device is named")
      const question = ["operator", kind ?? null, device ?? null, order]
      const after = cursor === undefined ? null : parseCursor(cursor, question, isSeq)
      return desk.withSnapshot(request, reply, async (snapshot) => {
        if (device !== undefined) await desk.checkDevices(request, snapshot, [device])
        const rows = await listOperator(
          snapshot.query.bind(snapshot),
          {
            origin: desk.log.origin,
            kind: kind ?? null,
            device: device ?? null,
            order,
            after: after?.place ?? null,
            limit: limit + 1,
          },
          sha256,
        )
        const listed = rows.slice(0, limit)
        const complete = rows.length <= limit
        const checkpoint = await published.readCheckpoint()
        const items: unknown[] = []
        for (const row of listed.filter((one) => isShown(one, desk.scopeOf(request))))
          items.push({
            ...(await describeRow(row, checkpoint)),
            block: snapshot.blockOf(row.id),
          })
        request.access.rows = items.length
        return {
          asOf: describeAsOf(snapshot.asOf),
          checkpoint: checkpoint?.note ?? null,
          items,
          complete,
          next: complete
            ? null
            : formatCursor(question, {
                height: snapshot.asOf?.height ?? null,
                place: listed.at(-1)!.statement.seq,
              }),
        }
      })
    },
  )
}

/** What is said about a device is for those whose key reaches it; policy, CAs and blocks are everybody's. */
function isShown({ registry }: OperatorRow, scope: Scope): boolean {
  if (registry === null || registry.action === "trust-ca" || registry.action === "distrust-ca") return true
  return mayRead(scope, registry.device)
}

async function describeRow(row: OperatorRow, checkpoint: PublishedCheckpoint | null) {
  const { statement, entry, receivedAtMs, leafIndex } = row
  const isProven = checkpoint !== null && leafIndex !== null && leafIndex < checkpoint.tree.size
  const path = isProven ? await checkpoint.tree.proveInclusion(leafIndex) : null
  return {
    seq: statement.seq,
    entry: formatHex(entry),
    ...describeOperator(row),
    signedAt: formatSeconds(statement.iat),
    arrived: formatMs(receivedAtMs),
    leafIndex,
    path: path === null ? null : path.map((node) => formatBase64(node)),
    bytes: formatBase64(statement.bytes),
  }
}

function isSeq(place: unknown): place is number {
  return Number.isSafeInteger(place) && (place as number) > 0
}
