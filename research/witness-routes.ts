/** `/v1/witnesses`: who is asked to cosign the log's checkpoints, how far each has come, and what is witnessed. */
import type { FastifyPluginAsync } from "fastify"
import { type TlogPolicy, formatTlogPolicy, nameOf, parseTlogPolicy } from "../chain/tlog-policy.ts"
import { describeAsOf } from "./as-of.ts"
import { formatMs } from "./instant.ts"
import type { ResearchOptions } from "./options.ts"
import { asOfSchema, responses } from "./schema.ts"

const witnessesSchema = {
  type: "object",
  required: ["asOf", "policy", "quorum", "witnesses", "witnessed", "unwitnessed"],
  properties: {
    asOf: asOfSchema,
    policy: {
      type: ["string", "null"],
      description:
        "the operator's C2SP tlog-policy, by which blocks count as witnessed; null: nobody is asked. Yours may demand other witnesses",
    },
    quorum: { type: ["string", "null"], description: "the name in the policy of who must have cosigned" },
    witnesses: {
      type: "array",
      items: {
        type: "object",
        properties: {
          name: { type: "string", description: "in the policy" },
          vkey: { type: "string" },
          height: { type: ["integer", "null"], description: "of the last block that it has cosigned" },
          at: { type: ["string", "null"], description: "when that was, as it signed it" },
        },
      },
    },
    witnessed: {
      type: ["object", "null"],
      description: "the last block that the quorum has cosigned; all below are witnessed with it",
      properties: { height: { type: "integer" }, at: { type: "string", format: "date-time" } },
    },
    unwitnessed: { type: "integer", description: "sealed blocks that are not witnessed yet" },
  },
} as const

/** Where the operator asks them is between the two. */
function formatPolicy(policy: TlogPolicy): string {
  const witnesses = policy.witnesses.map((witness) => ({ ...witness, url: null }))
  return new TextDecoder().decode(formatTlogPolicy({ ...policy, witnesses }))
}

export const witnessRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk }) => {
  app.get(
    "/v1/witnesses",
    {
      schema: {
        operationId: "getWitnesses",
        summary: "Witnesses of other organisations, and what they have cosigned",
        tags: ["log"],
        querystring: { type: "object", additionalProperties: false, properties: {} },
        response: responses(witnessesSchema),
      },
    },
    async (request, reply) =>
      desk.withSnapshot(request, reply, async (snapshot) => {
        const [stored] = await snapshot.query<{ policy: Uint8Array }>(
          "select policy from witness_policies order by policy_id desc limit 1",
          [],
        )
        const parsed = stored === undefined ? null : parseTlogPolicy(stored.policy)
        const policy = parsed?.kind === "policy" ? parsed.policy : null
        const last = await snapshot.query<{ vkey: string; height: number; at_ms: number }>(
          `select w.vkey, c.height, (extract(epoch from c.cosigned_at) * 1000)::bigint as at_ms
           from unnest($1::text[]) as w(vkey)
           cross join lateral (select height, cosigned_at from cosignatures where vkey = w.vkey
                               order by height desc limit 1) c`,
          [(policy?.witnesses ?? []).map(({ vkey }) => vkey)],
        )
        const [witnessed] = await snapshot.query<{ height: number; at_ms: number }>(
          `select height, (extract(epoch from at) * 1000)::bigint as at_ms
           from witnessed order by height desc limit 1`,
          [],
        )
        request.access.rows = policy?.witnesses.length ?? 0
        return {
          asOf: describeAsOf(snapshot.asOf),
          policy: policy === null ? null : formatPolicy(policy),
          quorum: policy === null ? null : nameOf(policy.quorum),
          witnesses: (policy?.witnesses ?? []).map(({ name, vkey }) => {
            const cosigned = last.find((one) => one.vkey === vkey)
            return {
              name,
              vkey,
              height: cosigned?.height ?? null,
              at: cosigned === undefined ? null : formatMs(cosigned.at_ms),
            }
          }),
          witnessed:
            witnessed === undefined ? null : { height: witnessed.height, at: formatMs(witnessed.at_ms) },
          unwitnessed: (snapshot.asOf?.height ?? -1) - (witnessed?.height ?? -1),
        }
      }),
  )
}
