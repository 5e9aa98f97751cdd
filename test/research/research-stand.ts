/** The research API on a log of the test's own, asked without a port. */
import type { FastifyInstance, RouteOptions } from "fastify"
import type { Pool } from "pg"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import { blindOf } from "../../chain/heads.ts"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { policyOf } from "../../ingest/log-keys.ts"
import { sha256Native } from "../../ingest/native.ts"
import { Desk, type DeskLimits } from "../../research/desk.ts"
import { Guard, type GuardOptions } from "../../research/guard.ts"
import type { ProblemBody } from "../../research/problem.ts"
import { researchRoutes } from "../../research/routes.ts"
import { describeApi, makeServer } from "../../research/server.ts"
import { type Stand, type TestDevice, openStand, send } from "../ingest/stand.ts"
import { publishedLogOf } from "./log-stand.ts"

export interface ResearchStand extends Stand {
  readonly app: FastifyInstance
  readonly desk: Desk
  /** All that there are, also those that come later. */
  readonly routes: readonly RouteOptions[]
  /** What the service took for mistakes of its own. */
  readonly faults: Error[]
  /** GET, which must be answered with this status; gives the JSON. */
  get<T = Record<string, unknown>>(path: string, status?: number): Promise<T>
  refused(path: string): Promise<ProblemBody>
  /** The device says these series in one statement, now. */
  say(device: TestDevice, ...series: Series[]): Promise<void>
}

export async function openResearchStand(
  limits: Partial<DeskLimits> = {},
  guard: Partial<GuardOptions> = {},
): Promise<ResearchStand> {
  return openResearchOn(await openStand(), limits, guard)
}

/** On a log that stands; closes it too. */
export async function openResearchOn(
  stand: Stand,
  limits: Partial<DeskLimits> = {},
  guard: Partial<GuardOptions> = {},
): Promise<ResearchStand> {
  const pool: Pool = openPool(stand.url, 8)
  const faults: Error[] = []
  const { counters } = guard
  const more = counters === undefined ? {} : { counters }
  const app = makeServer({ onFault: (error) => faults.push(error), ...more })
  const routes: RouteOptions[] = []
  app.addHook("onRoute", (route) => void routes.push(route))
  const { origin } = stand.keys
  const desk = new Desk({
    pool,
    log: { origin, vkey: policyOf(stand.keys).logVkey },
    nowMs: Date.now,
    limits,
    ...more,
  })
  await describeApi(app, "0.0.0")
  await app.register(researchRoutes, {
    desk,
    guard: new Guard({
      records: stand.pool,
      macKey: accessKeyOf(stand.keys),
      nowMs: Date.now,
      onFault: (error) => faults.push(error),
      ...guard,
    }),
    published: publishedLogOf(pool),
    version: "0.0.0",
    blindOf: (height, device) => blindOf(stand.keys.headsSecret, height, device),
    sha256: sha256Native,
  })
  const places = new Map<string, ReturnType<Stand["intake"]["open"]>>()
  const ask = async (path: string) => app.inject({ url: path, headers: { host: "127.0.0.1" } })
  return {
    ...stand,
    app,
    desk,
    routes,
    faults,
    get: async <T>(path: string, status = 200) => {
      const response = await ask(path)
      if (response.statusCode !== status)
        throw new Error(
          `${path} was answered ${response.statusCode}: ${response.body} ${faults.map(String).join()}`,
        )
      return response.json<T>()
    },
    refused: async (path) => {
      const response = await ask(path)
      if (response.statusCode < 400) throw new Error(`${path} was answered ${response.statusCode}`)
      const type = String(response.headers["content-type"])
      if (!type.startsWith("application/problem+json"))
        throw new Error(`${path} was answered as ${type}: ${response.body}`)
      return response.json<ProblemBody>()
    },
    say: async (device, ...series) => {
      let place = places.get(device.id)
      if (place === undefined) places.set(device.id, (place = stand.intake.open(device.id)))
      const { code } = await send(place, device.next({ payload: encodePack(series) }))
      if (code !== 1) throw new Error(`a statement of ${device.id} was answered with ${code}`)
    },
    close: async () => {
      await app.close()
      await pool.end()
      await stand.close()
    },
  }
}
