/** How many connections a process may open: the server, the database and the role each have a limit. */
import type { Pool } from "pg"

/** The tightest limit. */
export interface ConnectionRoom {
  readonly limit: number
  /** What sets it, and would raise it. */
  readonly by: "max_connections" | "database" | "role"
}

interface LimitRow {
  readonly server: number
  readonly database: number
  readonly role: number
  readonly superuser: boolean
}

/** Limits of this role in this database. A superuser is bound by `max_connections` alone. */
export async function readConnectionRoom(pool: Pool): Promise<ConnectionRoom> {
  const { rows } = await pool.query<LimitRow>(
    `select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
              - coalesce(current_setting('reserved_connections', true)::int, 0) as server,
            datconnlimit as database, rolconnlimit as role, rolsuper as superuser
     from pg_database, pg_roles where datname = current_database() and rolname = session_user`,
  )
  return tightest(rows[0]!)
}

/** @param limits -1 of a database or a role: none */
export function tightest({ server, database, role, superuser }: LimitRow): ConnectionRoom {
  const all = [{ limit: server, by: "max_connections" } as ConnectionRoom]
  if (!superuser && database >= 0) all.push({ limit: database, by: "database" })
  if (!superuser && role >= 0) all.push({ limit: role, by: "role" })
  return all.reduce((least, one) => (one.limit < least.limit ? one : least))
}

/** What is wrong where a process that may open `wanted` connections has less room; null where it has enough. */
export function findConnectionFault({ limit, by }: ConnectionRoom, wanted: number): string | null {
  if (limit >= wanted) return null
  const mend = {
    max_connections: "raise max_connections",
    database: `alter database … connection limit ${wanted} or more`,
    role: `alter role … connection limit ${wanted} or more`,
  }
  return `the ${by === "max_connections" ? "server" : by} allows ${limit} connections, and up to ${wanted} are opened: reads are refused and not recorded when they run out; ${mend[by]}`
}
