/** The published log of a stand, asked over HTTP without a port. */
import type { FastifyInstance } from "fastify"
import type { Pool } from "pg"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import type { TileReader, TreeHead } from "../../chain/log-reader.ts"
import { parseNote, parseVkey, verifyNote } from "../../chain/note.ts"
import { formatTilePath } from "../../chain/tile-path.ts"
import { logVkeyOf } from "../../ingest/log-keys.ts"
import { sha256Native } from "../../ingest/native.ts"
import { PublishedLog } from "../../research/log-published.ts"
import { logRoutes } from "../../research/log-routes.ts"
import { makeServer } from "../../research/server.ts"
import { type Stand, type TestDevice, send } from "../ingest/stand.ts"

export function publishedLogOf(pool: Pool): PublishedLog {
  return new PublishedLog(async (sql, values) => (await pool.query(sql, [...values])).rows, sha256Native)
}

export interface LogStand {
  readonly app: FastifyInstance
  /** What the service took for mistakes of its own. */
  readonly faults: Error[]
  /** Reads tiles as a follower does. */
  readonly reader: TileReader
  /** The signed checkpoint's tree; fails where the note is not by the log's key. */
  readHead(): Promise<TreeHead>
  /** What stands under a path of this server. */
  get(path: string, status?: number): Promise<{ readonly bytes: Uint8Array; readonly headers: Headers }>
}

export async function openLogStand({ pool, keys }: Pick<Stand, "pool" | "keys">): Promise<LogStand> {
  const faults: Error[] = []
  const app = makeServer({ onFault: (error) => faults.push(error) })
  await app.register(logRoutes, { log: publishedLogOf(pool) })
  const get: LogStand["get"] = async (path, status = 200) => {
    const response = await app.inject({ url: path, remoteAddress: "203.0.113.7" })
    if (response.statusCode !== status)
      throw new Error(
        `${path} was answered ${response.statusCode}: ${response.body.slice(0, 300)} ${faults.map(String).join()}`,
      )
    const headers = new Headers(
      Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
    )
    return { bytes: Uint8Array.from(response.rawPayload), headers }
  }
  return {
    app,
    faults,
    get,
    reader: {
      readTile: async (level, index, width) =>
        (await get(`/log/${formatTilePath({ kind: "tile", level, index, width })}`)).bytes,
      readEntries: async (index, width) =>
        (await get(`/log/${formatTilePath({ kind: "entries", index, width })}`)).bytes,
    },
    readHead: async () => {
      const note = parseNote(new TextDecoder().decode((await get("/log/checkpoint")).bytes))!
      if (verifyNote(note, [parseVkey(logVkeyOf(keys))!])?.length !== 1)
        throw new Error("the log's key did not sign")
      return parseCheckpoint(note.text)!
    },
  }
}

/** The device says so many statements, in one group or a few. */
export async function sayMany(
  { intake }: Pick<Stand, "intake">,
  device: TestDevice,
  count: number,
): Promise<void> {
  const place = intake.open(device.id)
  const receipts = await Promise.all(Array.from({ length: count }, () => send(place, device.next())))
  if (receipts.some(({ code }) => code !== 1)) throw new Error(`a statement of ${device.id} was refused`)
}
