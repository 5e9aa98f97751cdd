/** `/v1/statements/{entry}`: from a reading to the statement that it stands in, its key and its place in the log. */
import type { FastifyPluginAsync } from "fastify"
import { formatBase64, formatHex, parseHex } from "../chain/bytes.ts"
import { type Content, decodeStatement } from "../chain/statement.ts"
import { parseVerdictCode } from "../chain/verdict.ts"
import { describeAsOf } from "./as-of.ts"
import { formatMs, formatSeconds } from "./instant.ts"
import type { ResearchOptions } from "./options.ts"
import { Problem } from "./problem.ts"
import { mayRead } from "./reader.ts"
import { asOfSchema, entrySchema, responses } from "./schema.ts"
import type { Snapshot } from "./snapshot.ts"

interface StatementColumns {
  readonly id: number
  readonly device_id: string
  readonly seq: number
  readonly received_ms: number
  readonly code: number
  readonly fault: string | null
  readonly bytes: Buffer | null
  readonly leaf_index: number | null
}

interface SeriesColumns {
  readonly metric: string
  readonly name: string
  readonly unit: string | null
  readonly kind: string
  readonly readings: number
  readonly starts_at: number
  readonly ends_at: number
}

export const statementRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get<{ Params: { readonly entry: string } }>(
    "/v1/statements/:entry",
    {
      schema: {
        operationId: "getStatement",
        summary: "A statement: who signed it, when it came, where it is sealed",
        tags: ["log"],
        params: { type: "object", properties: { entry: entrySchema }, required: ["entry"] },
        querystring: { type: "object", additionalProperties: false, properties: {} },
        response: responses({
          type: "object",
          properties: {
            asOf: asOfSchema,
            entry: entrySchema,
            device: { type: "string" },
            seq: { type: "integer" },
            prev: {
              type: "string",
              description:
                "entry of the statement before; of a device's first, the genesis of its chain in this log, and zeros in a log of protocol version 1",
            },
            signedAt: { type: "string", description: "iat, by the device's clock" },
            content: { type: ["string", "integer"], description: "content type; 112 is SenML in CBOR" },
            verdict: { type: "string" },
            rule: { type: ["string", "null"], description: "that an unread payload breaks" },
            key: {
              type: "object",
              properties: {
                kid: { type: "string" },
                algorithm: { type: "integer", description: "of COSE: -19 Ed25519, -9 ESP256" },
                coseKey: { type: ["string", "null"], description: "hex" },
                introducedBy: { type: ["string", "null"] },
                possessionProven: { type: ["boolean", "null"] },
              },
            },
            signature: { type: "string", description: "base64" },
            bytes: { type: "string", description: "base64: what was signed and sent, whole" },
            arrived: { type: "string", format: "date-time" },
            block: { type: ["integer", "null"] },
            leafIndex: { type: ["integer", "null"], description: "in the log's tree" },
            series: {
              type: "array",
              items: {
                type: "object",
                properties: {
                  metric: { type: "string" },
                  name: { type: "string" },
                  unit: { type: ["string", "null"] },
                  kind: { type: "string" },
                  readings: { type: "integer" },
                  from: { type: "string" },
                  to: { type: "string" },
                },
              },
            },
          },
        }),
      },
    },
    async (request, reply) =>
      desk.withSnapshot(request, reply, async (snapshot) => {
        const { entry } = request.params
        const row = await readEntry(snapshot, parseHex(entry)!)
        // The operator's statements are everybody's; a device's are as far as the key reaches, and else not said to be.
        if (
          row === null ||
          (row.device_id !== desk.log.origin && !mayRead(desk.scopeOf(request), row.device_id))
        )
          throw new Problem("unknown-statement", {
            detail: "no statement with this entry was accepted",
            parameter: "entry",
            rule: "must be the entry of a stored statement",
          })
        request.access.devices = [row.device_id]
        request.access.rows = 1
        return {
          asOf: describeAsOf(snapshot.asOf),
          entry,
          ...(await describe(snapshot, row, desk.log.origin)),
        }
      }),
  )
}

async function readEntry(snapshot: Snapshot, entry: Uint8Array): Promise<StatementColumns | null> {
  const [row] = await snapshot.query<StatementColumns>(
    `select e.id, e.device_id, e.seq, (extract(epoch from e.received_at) * 1000)::float8 as received_ms, e.code, e.fault,
            (select s.bytes from statements s where s.id = e.id and s.received_at = e.received_at) as bytes,
            leaf_of(e.id) as leaf_index
     from entries e where e.entry = $1`,
    [entry],
  )
  return row ?? null
}

async function describe(snapshot: Snapshot, row: StatementColumns, origin: string) {
  const decoded = row.bytes === null ? null : decodeStatement(Uint8Array.from(row.bytes), origin)
  // What was accepted was a statement: another thing in its place is not ours to explain.
  if (decoded?.kind !== "statement")
    throw new Error(`the bytes of statement ${row.id} are not what was accepted: run tidemark verify`)
  const { statement } = decoded
  const [key] = await snapshot.query<{
    cose_key: Buffer
    introduced_by: string
    possession_proven: boolean
  }>("select cose_key, introduced_by, possession_proven from device_keys where device_id = $1 and kid = $2", [
    row.device_id,
    statement.kid,
  ])
  const series = await snapshot.query<SeriesColumns>(
    `select metric, name, unit, kind, coalesce(cardinality(times), cardinality(samples)) as readings, starts_at, ends_at
     from series where statement_id = $1 order by position`,
    [row.id],
  )
  return {
    device: row.device_id,
    seq: row.seq,
    prev: formatHex(statement.prev),
    signedAt: formatSeconds(statement.iat),
    content: contentName(statement.content),
    verdict: parseVerdictCode(row.code) ?? String(row.code),
    rule: row.fault,
    key: {
      kid: formatHex(statement.kid),
      algorithm: statement.algorithm,
      coseKey: key === undefined ? null : formatHex(key.cose_key),
      introducedBy: key?.introduced_by ?? null,
      possessionProven: key?.possession_proven ?? null,
    },
    signature: formatBase64(statement.signature),
    bytes: formatBase64(statement.bytes),
    arrived: formatMs(row.received_ms),
    block: snapshot.blockOf(row.id),
    leafIndex: row.leaf_index,
    series: series.map((one) => ({
      metric: one.metric,
      name: one.name,
      unit: one.unit,
      kind: one.kind,
      readings: one.readings,
      from: formatSeconds(one.starts_at),
      to: formatSeconds(one.ends_at),
    })),
  }
}

function contentName(content: Content): string | number {
  return typeof content === "object" ? "a digest (RFC 9995)" : content
}
