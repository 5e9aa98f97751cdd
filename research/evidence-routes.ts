/** `/v1/evidence`: the evidence file of a device and some blocks, as `tidemark evidence` writes it. */
import type { FastifyPluginAsync } from "fastify"
import { type EvidenceSource, planEvidence } from "./evidence.ts"
import { HeadsMaps } from "./heads-map.ts"
import { openEvidenceRows } from "./evidence-rows.ts"
import { octetStream } from "./media-type.ts"
import type { ResearchOptions } from "./options.ts"
import { Problem, invalidParameter } from "./problem.ts"
import { deviceSchema, heightSchema, responses } from "./schema.ts"

/** RFC 8742; and by the name that generated clients know for bytes, where Accept asks for it. */
const types = ["application/cbor-seq", octetStream] as const

interface EvidenceQuery {
  readonly device: string
  readonly from?: number
  readonly to?: number
}

export const evidenceRoutes: FastifyPluginAsync<ResearchOptions> = async (app, { desk, blindOf, sha256 }) => {
  const maps = new HeadsMaps()
  app.get<{ Querystring: EvidenceQuery }>(
    "/v1/evidence",
    {
      schema: {
        operationId: "getEvidence",
        summary:
          "What a device said in some blocks, with the proof that it is genuine and that nothing is missing",
        description:
          "A file to keep: `tidemark verify FILE --log-key VKEY` and the offline page check it without a network. A connection that is cut leaves a file that is refused. A key needs the scope export.",
        tags: ["log"],
        querystring: {
          type: "object",
          additionalProperties: false,
          properties: {
            device: deviceSchema,
            from: heightSchema("the first block; the first of the log if nothing is said"),
            to: heightSchema("the last block; the last sealed one if nothing is said"),
          },
          required: ["device"],
        },
        produces: [...types],
        response: responses({ type: "string", format: "binary" }),
      },
    },
    async (request, reply) => {
      desk.checkEvidence(request)
      const { device, from = 0, to } = request.query
      const name = `${device}-${from}-${to ?? "last"}.evidence`
      const headers = {
        "content-disposition": `attachment; filename="${name.replaceAll(/[^A-Za-z0-9._-]/g, "_")}"`,
      }
      const type = request.headers.accept?.trim() === octetStream ? octetStream : types[0]
      return desk.stream(request, reply, { type, headers }, async (snapshot) => {
        await desk.checkDevices(request, snapshot, [device])
        const { asOf } = snapshot
        if (asOf === null) throw new Problem("unknown-block", { detail: "nothing is sealed yet" })
        const source = await openEvidenceRows({
          query: (sql, values) => snapshot.query(sql, values),
          origin: desk.log.origin,
          height: asOf.height,
          sha256,
        })
        const counted = counting(source, () => (request.access.rows += 1))
        const plan = await planEvidence({
          source: counted,
          device,
          from,
          to: to ?? asOf.height,
          blindOf,
          sha256,
          maps,
        })
        if (plan.kind === "refused") throw invalidParameter(plan.parameter, plan.rule)
        return plan.write()
      })
    },
  )
}

/** Statements of the device, for the record of what was read. */
function counting(source: EvidenceSource, count: () => void): EvidenceSource {
  return {
    origin: source.origin,
    checkpoint: source.checkpoint,
    readManifest: (height) => source.readManifest(height),
    readManifestEntries: (below) => source.readManifestEntries(below),
    readHeads: (height) => source.readHeads(height),
    readNodes: (places) => source.readNodes(places),
    readArrivalNodes: (block, places) => source.readArrivalNodes(block, places),
    async *readLeaves(device, first, last) {
      for await (const leaf of source.readLeaves(device, first, last)) {
        if (leaf.signer === "device") count()
        yield leaf
      }
    },
  }
}
