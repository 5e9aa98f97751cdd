/** The demo's own routes: the page's Tamper button, and the evidence that the tampered copy gives. */
import type { FastifyInstance } from "fastify"
import type { Pool } from "pg"
import { joinBytes } from "../chain/bytes.ts"
import { blindOf } from "../chain/heads.ts"
import { hmacNative, sha256Native } from "../ingest/native.ts"
import { planEvidence } from "../research/evidence.ts"
import { openEvidenceRows } from "../research/evidence-rows.ts"
import { Problem } from "../research/problem.ts"
import { findingsOf, tamper } from "./demo-tamper.ts"
import { CommandFault } from "./fault.ts"
import type { Service } from "./service.ts"

export class DemoRoutes {
  private readonly dataFolder: string
  private service: Service | null = null
  private busy = false
  /** Of the last tampering. */
  private evidence: Uint8Array | null = null

  constructor(dataFolder: string) {
    this.dataFolder = dataFolder
  }

  /** When it runs; until then the routes refuse. */
  open(service: Service): void {
    this.service = service
  }

  readonly plugin = async (app: FastifyInstance): Promise<void> => {
    app.post<{ Querystring: { readonly device: string } }>(
      "/demo/tamper",
      {
        schema: {
          hide: true,
          querystring: { type: "object", required: ["device"], properties: { device: { type: "string" } } },
        },
      },
      async (request) => {
        const { headers } = request
        // Another page in the same browser must not set it off.
        if (!app.callers.isFromHere(request.raw) || headers.origin !== `http://${headers.host ?? ""}`)
          throw new Problem("host-refused", { detail: "only the demo's own page may tamper" })
        return this.tamper(request.query.device)
      },
    )
    app.get("/demo/evidence", { schema: { hide: true } }, async (_request, reply) => {
      const { evidence } = this
      if (evidence === null) throw new Problem("no-such-route", { detail: "nothing was tampered with yet" })
      return reply.header("content-type", "application/cbor-seq").send(evidence)
    })
  }

  private async tamper(device: string) {
    const { service } = this
    if (service === null || this.busy)
      throw new Problem("busy", {
        detail: "the demo is at work; try again in a moment",
        retryAfterSeconds: 2,
      })
    this.busy = true
    try {
      const { tampered, used } = await tamper(service, this.dataFolder, device, (copy) =>
        readEvidence(copy, service, device),
      )
      this.evidence = used
      const { audit, ...tampering } = tampered
      return { ...tampering, findings: findingsOf(audit), evidence: "/demo/evidence" }
    } catch (error) {
      if (!(error instanceof CommandFault)) throw error
      throw new Problem("request-refused", { detail: error.message })
    } finally {
      this.busy = false
    }
  }
}

/** As `/v1/evidence` of the copy would give it: nothing here looks whether it is true. */
async function readEvidence(copy: Pool, { keys }: Service, device: string): Promise<Uint8Array> {
  const source = await openEvidenceRows({
    query: async (sql, values) => (await copy.query(sql, [...values])).rows as never,
    origin: keys.origin,
    sha256: sha256Native,
  })
  const plan = await planEvidence({
    source,
    device,
    from: 0,
    to: source.checkpoint?.height ?? 0,
    blindOf: (height, id) => blindOf(keys.headsSecret, height, id, hmacNative),
    sha256: sha256Native,
  })
  if (plan.kind === "refused") throw new CommandFault(`${plan.parameter}: ${plan.rule}`)
  const pieces: Uint8Array[] = []
  for await (const piece of plan.write()) pieces.push(piece)
  return joinBytes(...pieces)
}
