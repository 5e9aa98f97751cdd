/** The part that asks who reads over HTTP, for all routes of a process. */
import { randomBytes } from "node:crypto"
import { formatBase64url } from "../../chain/bytes.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type LogKeys, accessKeyOf } from "../../ingest/log-keys.ts"
import { Guard } from "../../research/guard.ts"
import type { Base } from "./base.ts"

export interface GuardPart {
  readonly guard: Guard
  /** The operator's own commands find it in the data folder, and need no key. */
  readonly operatorToken: string
  /** After the HTTP port. */
  close(): Promise<void>
}

/** A pool of its own: no statement waits for a connection that readers hold. */
const connectionsMax = 3

export function openGuard({
  database,
  httpCounters,
  keys,
  log,
  opens,
}: Pick<
  Base<Pick<LogKeys, "headsSecret">>,
  "database" | "httpCounters" | "keys" | "log" | "opens"
>): GuardPart {
  opens(connectionsMax)
  const records = openPool(database.url, connectionsMax)
  const operatorToken = `tmo_${formatBase64url(randomBytes(32))}`
  const guard = new Guard({
    records,
    macKey: accessKeyOf(keys),
    nowMs: Date.now,
    onFault: (error, route) => log.error({ route, error: error.message }, "a read was not recorded"),
    counters: httpCounters,
    operatorToken,
  })
  return { guard, operatorToken, close: () => records.end() }
}
