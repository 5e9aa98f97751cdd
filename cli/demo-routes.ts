/** The demo's own routes: the page's Tamper button. */
import type { FastifyInstance } from "fastify"
import { isFromHere } from "../research/locality.ts"
import { Problem } from "../research/problem.ts"
import { findingsOf, tamper } from "./demo-tamper.ts"
import { CommandFault } from "./fault.ts"
import type { Service } from "./service.ts"

export class DemoRoutes {
  private readonly dataFolder: string
  private service: Service | null = null
  private busy = false

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
        if (!isFromHere(request.raw) || headers.origin !== `http://${headers.host ?? ""}`)
          throw new Problem("host-refused", { detail: "only the demo's own page may tamper" })
        return this.tamper(request.query.device)
      },
    )
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
      const { tampered } = await tamper(service, this.dataFolder, device, async () => null)
      const { audit, ...tampering } = tampered
      return { ...tampering, findings: findingsOf(audit), evidence: null }
    } catch (error) {
      if (!(error instanceof CommandFault)) throw error
      throw new Problem("request-refused", { detail: error.message })
    } finally {
      this.busy = false
    }
  }
}
