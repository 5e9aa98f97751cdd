/** `/v1/devices` and `/v1/devices/{id}`: who there is, and what of each has come in. */
import type { FastifyPluginAsync } from "fastify"
import { formatHex } from "../chain/bytes.ts"
import { describeAsOf } from "./as-of.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { deviceDetailSchema, readDevice } from "./device-detail.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import { isText } from "./place.ts"
import type { ResearchOptions } from "./options.ts"
import {
  asOfSchema,
  cursorSchema,
  deviceSchema,
  entrySchema,
  limitSchema,
  pageSchema,
  responses,
} from "./schema.ts"
import type { Snapshot } from "./snapshot.ts"
import type { Scope } from "./reader.ts"

export const deviceProperties = {
  id: deviceSchema,
  status: { type: "string", enum: ["active", "suspended", "revoked"] },
  attributes: { type: "object", additionalProperties: { type: "string" } },
  head: {
    type: "object",
    description: "the last accepted statement; seq 0: none yet",
    properties: { seq: { type: "integer" }, entry: entrySchema },
  },
  sealedHead: {
    type: ["object", "null"],
    description: "the last sealed statement, and the block that sealed it",
    properties: { seq: { type: "integer" }, entry: entrySchema, block: { type: "integer" } },
  },
  statements: { type: "integer" },
  firstReading: {
    type: ["string", "null"],
    description:
      "by the device's clock; like lastReading of all that is stored, sealed or not, and not ahead of its time",
  },
  lastReading: { type: ["string", "null"] },
  lastArrival: { type: ["string", "null"], description: "of a statement, by the database's clock" },
  metrics: { type: "array", items: { type: "string" } },
} as const

interface ListQuery {
  readonly limit: number
  readonly cursor?: string
}

export const deviceRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get<{ Querystring: ListQuery }>(
    "/v1/devices",
    {
      schema: {
        operationId: "listDevices",
        summary: "Enrolled devices, by id",
        tags: ["devices"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: { limit: limitSchema(100, 1_000), cursor: cursorSchema },
        },
        response: responses(pageSchema({ type: "object", properties: deviceProperties })),
      },
    },
    async (request, reply) => {
      const { limit, cursor } = request.query
      const question = ["devices"]
      const after = cursor === undefined ? null : parseCursor(cursor, question, isText)
      return desk.withSnapshot(request, reply, async (snapshot) => {
        const rows = await listDevices(snapshot, desk.scopeOf(request), after?.place ?? "", limit + 1)
        const items = rows.slice(0, limit).map(describeDevice)
        request.access.rows = items.length
        const complete = rows.length <= limit
        return {
          asOf: describeAsOf(snapshot.asOf),
          items,
          complete,
          next: complete
            ? null
            : formatCursor(question, { height: snapshot.asOf?.height ?? null, place: items.at(-1)!.id }),
        }
      })
    },
  )

  app.get<{ Params: { readonly id: string } }>(
    "/v1/devices/:id",
    {
      schema: {
        operationId: "getDevice",
        summary: "A device: keys, head, gaps, refusals, what it measures",
        tags: ["devices"],
        params: { type: "object", properties: { id: deviceSchema }, required: ["id"] },
        querystring: { type: "object", additionalProperties: false, properties: {} },
        response: responses({
          type: "object",
          properties: { asOf: asOfSchema, ...deviceProperties, ...deviceDetailSchema },
        }),
      },
    },
    async (request, reply) => {
      const { id } = request.params
      return desk.withSnapshot(request, reply, async (snapshot) => {
        await desk.checkDevices(request, snapshot, [id])
        const [row] = await listDevices(snapshot, new Set([id]), "", 1)
        request.access.rows = 1
        return {
          asOf: describeAsOf(snapshot.asOf),
          ...describeDevice(row!),
          ...(await readDevice(snapshot, id)),
        }
      })
    },
  )
}

interface DeviceColumns {
  readonly device_id: string
  readonly status: string
  readonly attributes: Record<string, string>
  readonly seq: number
  readonly entry: Buffer
  readonly arrived_ms: number | null
  readonly sealed_seq: number | null
  readonly sealed_entry: Buffer | null
  readonly sealed_height: number | null
  readonly metrics: string[] | null
  readonly starts_at: number | null
  readonly ends_at: number | null
}

/**
 * Per device one look into each of a few indexes, however much it has said: its metrics by steps from one to the next,
 * and the latest reading among the 20 series of each metric that begin last.
 */
function listDevices(
  snapshot: Snapshot,
  scope: Scope,
  after: string,
  limit: number,
): Promise<DeviceColumns[]> {
  return snapshot.query<DeviceColumns>(
    `with page as (
       select d.device_id, d.status, d.attributes, h.seq, h.entry
       from devices d join chain_heads h using (device_id)
       where d.device_id > $1 and ($2::text[] is null or d.device_id = any($2)) order by d.device_id limit $3
     )
     select page.*, m.metrics, m.starts_at, m.ends_at,
            (select (extract(epoch from e.received_at) * 1000)::float8 from entries e
             where e.device_id = page.device_id and e.seq = page.seq) as arrived_ms,
            s.seq as sealed_seq, s.entry as sealed_entry, s.height as sealed_height
     from page
     left join lateral (
       select seq, entry, height from sealed_heads s where s.device_id = page.device_id and s.seq > 0
       order by height desc limit 1
     ) s on true
     left join lateral (
       with recursive step as (
         (select metric from series where device_id = page.device_id order by metric limit 1)
         union all
         select (select n.metric from series n where n.device_id = page.device_id and n.metric > step.metric
                 order by n.metric limit 1)
         from step where step.metric is not null
       )
       select array_agg(step.metric order by step.metric) as metrics, min(first.starts_at) as starts_at,
              max(last.ends_at) as ends_at
       from step
       left join lateral (
         select f.starts_at from series f where f.device_id = page.device_id and f.metric = step.metric and not f.ahead
         order by f.starts_at limit 1
       ) first on true
       left join lateral (
         select max(l.ends_at) as ends_at from (
           select ends_at from series l where l.device_id = page.device_id and l.metric = step.metric and not l.ahead
           order by l.starts_at desc limit 20
         ) l
       ) last on true
       where step.metric is not null
     ) m on true
     order by page.device_id`,
    [after, scope === null ? null : [...scope], limit],
  )
}

function describeDevice(row: DeviceColumns) {
  return {
    id: row.device_id,
    status: row.status,
    attributes: row.attributes,
    head: { seq: row.seq, entry: formatHex(row.entry) },
    sealedHead:
      row.sealed_seq === null
        ? null
        : { seq: row.sealed_seq, entry: formatHex(row.sealed_entry!), block: row.sealed_height },
    // A chain has no gaps: its last place counts it.
    statements: row.seq,
    firstReading: row.starts_at === null ? null : formatSeconds(row.starts_at),
    lastReading: row.ends_at === null ? null : formatSeconds(row.ends_at),
    lastArrival: row.arrived_ms === null ? null : formatMs(row.arrived_ms),
    metrics: row.metrics ?? [],
  }
}
