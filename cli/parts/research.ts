/** The part that researchers talk to: the read-only HTTP API. */
import type { FastifyInstance } from "fastify"
import type { Pool } from "pg"
import { blindOf } from "../../chain/heads.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type ResearchKeys, logVkeyOf } from "../../ingest/log-keys.ts"
import { hmacNative, sha256Native } from "../../ingest/native.ts"
import { Desk } from "../../research/desk.ts"
import { PublishedLog } from "../../research/log-published.ts"
import type { QueryLog } from "../../research/log-tiles.ts"
import { logRoutes } from "../../research/log-routes.ts"
import type { ResearchOptions } from "../../research/options.ts"
import type { Guard } from "../../research/guard.ts"
import { researchRoutes } from "../../research/routes.ts"
import { scrapiRoutes } from "../../research/scrapi-routes.ts"
import { describeApi } from "../../research/server.ts"
import { version } from "../version.ts"
import type { Base } from "./base.ts"

export interface ResearchPart {
  /** For the HTTP port; see `HttpOptions`. */
  readonly plugin: (app: FastifyInstance) => Promise<void>
  /** After the HTTP port. */
  close(): Promise<void>
}

/** Connections of its own, so that no reader takes one from ingest. */
const connectionsMax = 8
/** For the published log, which anybody may ask for: they take no connection from researchers. */
const logConnectionsMax = 2

export function openResearch(
  { database, keys, httpCounters, opens }: Base<ResearchKeys>,
  guard: Guard,
): ResearchPart {
  opens(connectionsMax + logConnectionsMax)
  const pool: Pool = openPool(database.url, connectionsMax)
  const logPool: Pool = openPool(database.url, logConnectionsMax)
  const queryLog: QueryLog = async (sql, values) => (await logPool.query(sql, [...values])).rows
  const published = new PublishedLog(queryLog, sha256Native)
  const desk = new Desk({
    pool,
    log: { origin: keys.origin, vkey: logVkeyOf(keys) },
    nowMs: Date.now,
    counters: httpCounters,
  })
  return {
    plugin: async (app) => {
      await describeApi(app, version)
      await app.register(researchRoutes, {
        desk,
        guard,
        published,
        version,
        blindOf: blinding(keys),
        sha256: sha256Native,
      })
      await app.register(logRoutes, { log: published })
      await app.register(scrapiRoutes, { log: published, query: queryLog, sha256: sha256Native })
    },
    close: async () => {
      await pool.end()
      await logPool.end()
    },
  }
}

/** The blinds of heads, without the secret that makes them. */
function blinding({ headsSecret }: Pick<ResearchKeys, "headsSecret">): ResearchOptions["blindOf"] {
  return (height, device) => blindOf(headsSecret, height, device, hmacNative)
}
