/** The real service of `tidemark up` on a database of the test's own, and what it says of itself. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Pool } from "pg"
import { pino } from "pino"
import { type Service, type ServiceOptions, startService } from "../../cli/service.ts"
import type { ProtocolVersion } from "../../chain/genesis.ts"
import { initLog } from "../../ingest/log.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { openTestDatabase } from "./postgres.ts"
import { spineTemplate, testOrigin } from "./stand.ts"

export interface ServiceStand {
  readonly service: Service
  /** Connections of the test's own, past any proxy. */
  readonly pool: Pool
  readonly url: string
  readonly dataFolder: string
  /** Values of `/metrics` by name, with labels as they stand in the text. */
  metrics(): Promise<Map<string, number>>
  /** What `/readyz` answers. */
  ready(): Promise<{ readonly status: number; readonly troubles: readonly string[] }>
  close(): Promise<void>
}

export interface ServiceStandOptions {
  readonly origin?: string
  /** Of the log's protocol; the newest where nothing is said. */
  readonly version?: ProtocolVersion
  /** Given the database's URL, gives the one that the service shall use: through a proxy. */
  readonly through?: (url: string) => Promise<string>
  readonly service?: Partial<ServiceOptions>
}

export async function openServiceStand(options: ServiceStandOptions = {}): Promise<ServiceStand> {
  const database = await openTestDatabase({ template: spineTemplate })
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-service-"))
  const pool = openPool(database.url, 4)
  const url = (await options.through?.(database.url)) ?? database.url
  const { version, origin = testOrigin } = options
  if (version !== undefined) await initLog(pool, dataFolder, origin, undefined, {}, version)
  const service = await startServiceOn(url, dataFolder, {
    origin,
    ...options.service,
  })
  return {
    service,
    pool,
    url: database.url,
    dataFolder,
    metrics: async () => parseMetrics(await (await fetch(`http://127.0.0.1:${service.http}/metrics`)).text()),
    ready: async () => {
      const response = await fetch(`http://127.0.0.1:${service.http}/readyz`)
      const { troubles } = (await response.json()) as { troubles: string[] }
      return { status: response.status, troubles }
    },
    close: async () => {
      await service.close()
      await pool.end()
      await database.close()
      await rm(dataFolder, { recursive: true, force: true })
    },
  }
}

/** Starts the service on this database, as `DATABASE_URL` would have it; one at a time per process. */
export async function startServiceOn(
  url: string,
  dataFolder: string,
  options: Partial<ServiceOptions> = {},
): Promise<Service> {
  const before = process.env["DATABASE_URL"]
  process.env["DATABASE_URL"] = url
  try {
    return await startService({
      dataFolder,
      host: "127.0.0.1",
      mqtt: 0,
      http: 0,
      schedule: null,
      log: pino({ level: "silent" }),
      say: () => {},
      ...options,
    })
  } finally {
    if (before === undefined) delete process.env["DATABASE_URL"]
    else process.env["DATABASE_URL"] = before
  }
}

/** Prometheus's text format: `name{labels} value`. */
function parseMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>()
  for (const line of text.split("\n")) {
    const match = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line)
    if (match !== null) values.set(match[1]!, Number(match[2]))
  }
  return values
}
