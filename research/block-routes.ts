/** `/v1/blocks` and `/v1/blocks/{height}`: what was sealed when, and the checkpoint over it. */
import type { FastifyPluginAsync, FastifyRequest } from "fastify"
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { describeAsOf } from "./as-of.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { formatMs } from "./instant.ts"
import { Problem } from "./problem.ts"
import type { ResearchOptions } from "./options.ts"
import {
  asOfSchema,
  cursorSchema,
  entrySchema,
  heightSchema,
  limitSchema,
  pageSchema,
  responses,
} from "./schema.ts"
import type { Snapshot } from "./snapshot.ts"

const blockProperties = {
  height: { type: "integer" },
  from: {
    type: "string",
    format: "date-time",
    description: "arrivals from this time on, by the database's clock",
  },
  to: { type: "string", format: "date-time" },
  firstLeaf: { type: "integer" },
  treeSize: { type: "integer", description: "leaves of the checkpoint's tree, the manifest included" },
  root: { type: "string", description: "of that tree, base64 as in the checkpoint" },
  devices: {
    type: ["integer", "null"],
    description:
      "that said something in this block; null, as the four that follow, for a key that does not reach all devices",
  },
  statements: { type: ["integer", "null"] },
  readings: { type: ["integer", "null"] },
  earliest: { type: ["string", "null"], description: "reading, by the devices' clocks" },
  latest: { type: ["string", "null"] },
  manifest: entrySchema,
  witnessed: {
    type: ["string", "null"],
    format: "date-time",
    description:
      "when a quorum of witnesses had cosigned its checkpoint or a later one; null: not yet, or nobody was asked",
  },
} as const

const detailProperties = {
  ...blockProperties,
  size: { type: "integer", description: "leaves before the manifest, and so the manifest's index" },
  sizeRoot: { type: "string", description: "root of the tree before the manifest" },
  headsRoot: { type: "string" },
  blocksRoot: { type: "string" },
  arrivalsRoot: { type: "string" },
  summary: { type: "string" },
  salt: {
    type: ["string", "null"],
    description: "opens the summary: SHA-256(salt, CBOR of its five numbers)",
  },
  checkpoint: { type: "string", description: "the signed note with its cosignatures, as it is published" },
  cosignatures: {
    type: "array",
    description: "of this checkpoint; a block may be witnessed by those of a later one",
    items: {
      type: "object",
      properties: {
        witness: { type: "string", description: "the name of its key" },
        vkey: { type: "string" },
        at: { type: "string", format: "date-time", description: "as the witness signed it" },
      },
    },
  },
} as const

interface BlockColumns {
  readonly height: number
  readonly from_ms: number
  readonly to_ms: number
  readonly first_leaf: number
  readonly size: number
  readonly root: Buffer
  readonly heads_root: Buffer
  readonly blocks_root: Buffer
  readonly arrivals_root: Buffer
  readonly summary: Buffer
  readonly salt: Buffer
  readonly devices: number
  readonly statements: number
  readonly readings: number
  readonly earliest_ms: number | null
  readonly latest_ms: number | null
  readonly manifest: Buffer
  readonly tree_size: number
  readonly tree_root: Buffer
  readonly witnessed_ms: number | null
}

const select = `select b.height, b.from_ms, b.to_ms, b.first_leaf, b.size, b.root, b.heads_root, b.blocks_root, b.arrivals_root,
    b.summary, b.salt, b.devices, b.statements, b.readings, b.earliest_ms, b.latest_ms, e.entry as manifest,
    c.size as tree_size, c.root as tree_root,
    (extract(epoch from witnessed_at(b.height)) * 1000)::bigint as witnessed_ms
  from blocks b join checkpoints c using (height) join entries e on e.id = b.manifest_id`

interface ListQuery {
  readonly from?: number
  readonly to?: number
  readonly order: "asc" | "desc"
  readonly limit: number
  readonly cursor?: string
}

export const blockRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get<{ Querystring: ListQuery }>(
    "/v1/blocks",
    {
      schema: {
        operationId: "listBlocks",
        summary: "Sealed blocks, oldest first",
        tags: ["log"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            from: heightSchema("this height and later"),
            to: heightSchema("this height and earlier"),
            order: { type: "string", enum: ["asc", "desc"], default: "asc" },
            limit: limitSchema(100, 1_000),
            cursor: cursorSchema,
          },
        },
        response: responses(pageSchema({ type: "object", properties: blockProperties })),
      },
    },
    async (request, reply) => {
      const { from = 0, to = Number.MAX_SAFE_INTEGER, order, limit, cursor } = request.query
      const question = ["blocks", from, to, order]
      const after = cursor === undefined ? null : parseCursor(cursor, question, isHeight)
      return desk.withSnapshot(
        request,
        reply,
        async (snapshot) => {
          const low = Math.max(from, after !== null && order === "asc" ? after.place + 1 : 0)
          const high = Math.min(
            to,
            snapshot.asOf?.height ?? -1,
            after !== null && order === "desc" ? after.place - 1 : Infinity,
          )
          const rows = await snapshot.query<BlockColumns>(
            `${select} where b.height between $1 and $2 order by b.height ${order} limit $3`,
            [low, high, limit + 1],
          )
          const page = rows.slice(0, limit)
          request.access.rows = page.length
          const complete = rows.length <= limit
          return {
            asOf: describeAsOf(snapshot.asOf),
            items: page.map((row) => describeBlock(row, isWhole(request))),
            complete,
            next: complete
              ? null
              : formatCursor(question, { height: snapshot.asOf!.height, place: page.at(-1)!.height }),
          }
        },
        after?.height == null ? {} : { height: after.height },
      )
    },
  )

  app.get<{ Params: { readonly height: number } }>(
    "/v1/blocks/:height",
    {
      schema: {
        operationId: "getBlock",
        summary: "A block: its manifest, its summary opened, its checkpoint",
        tags: ["log"],
        params: { type: "object", properties: { height: heightSchema("from 0") }, required: ["height"] },
        querystring: { type: "object", additionalProperties: false, properties: {} },
        response: responses({ type: "object", properties: { asOf: asOfSchema, ...detailProperties } }),
      },
    },
    async (request, reply) => {
      const { height } = request.params
      return desk.withSnapshot(request, reply, async (snapshot) => {
        const row = await readBlock(snapshot, height)
        request.access.rows = 1
        return {
          asOf: describeAsOf(snapshot.asOf),
          ...describeBlock(row, isWhole(request)),
          size: row.size,
          sizeRoot: formatBase64(row.root),
          headsRoot: formatBase64(row.heads_root),
          blocksRoot: formatBase64(row.blocks_root),
          arrivalsRoot: formatBase64(row.arrivals_root),
          summary: formatBase64(row.summary),
          salt: isWhole(request) ? formatBase64(row.salt) : null,
          checkpoint: row.note,
          cosignatures: await readCosignatures(snapshot, height),
        }
      })
    },
  )
}

async function readBlock(
  snapshot: Snapshot,
  height: number,
): Promise<BlockColumns & { readonly note: string }> {
  const [row] = await snapshot.query<BlockColumns & { readonly note: string }>(
    `select *, cosigned_note(height) as note from (${select}) as block where height = $1`,
    [height],
  )
  if (row !== undefined) return row
  const last = snapshot.asOf?.height
  throw new Problem("unknown-block", {
    detail: last === undefined ? "nothing is sealed yet" : `the last block is ${last}`,
    parameter: "height",
    rule: "must be the height of a sealed block",
  })
}

async function readCosignatures(snapshot: Snapshot, height: number) {
  const rows = await snapshot.query<{ vkey: string; at_ms: number }>(
    `select vkey, (extract(epoch from cosigned_at) * 1000)::bigint as at_ms from cosignatures
     where height = $1 order by vkey collate "C"`,
    [height],
  )
  // A name has no plus.
  return rows.map(({ vkey, at_ms }) => ({ witness: vkey.split("+")[0], vkey, at: formatMs(at_ms) }))
}

/** A block's summary is of all devices: opened for those who may see all of them. */
function isWhole({ reader }: FastifyRequest): boolean {
  return reader.scope === null
}

function describeBlock(row: BlockColumns, isOpened: boolean) {
  return {
    height: row.height,
    from: formatMs(row.from_ms),
    to: formatMs(row.to_ms),
    firstLeaf: row.first_leaf,
    treeSize: row.tree_size,
    root: formatBase64(row.tree_root),
    devices: isOpened ? row.devices : null,
    statements: isOpened ? row.statements : null,
    readings: isOpened ? row.readings : null,
    earliest: isOpened ? formatReading(row.earliest_ms) : null,
    latest: isOpened ? formatReading(row.latest_ms) : null,
    manifest: formatHex(row.manifest),
    witnessed: row.witnessed_ms === null ? null : formatMs(row.witnessed_ms),
  }
}

/** A device may have claimed a time that no date reaches. */
function formatReading(unixMs: number | null): string | null {
  if (unixMs === null) return null
  return Math.abs(unixMs) > 8.64e15 ? String(unixMs / 1000) : formatMs(unixMs)
}

function isHeight(place: unknown): place is number {
  return Number.isSafeInteger(place) && (place as number) >= 0
}
