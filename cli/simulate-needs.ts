/** What a scenario needs of the place where it runs, before anything is started there. */
import type { Pool } from "pg"
import { formatDuration } from "../devices-sim/duration.ts"
import type { Scenario } from "../devices-sim/scenario.ts"
import type { ServiceFaultKind } from "../devices-sim/service-fault.ts"
import { CommandFault } from "./fault.ts"

export interface RunPlace {
  /** The service is named by its address: this command has not started it and cannot stop it. */
  readonly isServiceNamed: boolean
  /** DATABASE_URL names the database: it is not this command's to stop. */
  readonly isDatabaseGiven: boolean
}

const verbs: Readonly<Record<ServiceFaultKind, string>> = {
  "kill-service": "kills the service",
  "stop-database": "stops the database",
}

/**
 * Throws a CommandFault that names the scenario, what it needs, and how to have it.
 *
 * A virtual run is a usage of its own: it says so itself.
 */
export function checkNeeds({ name, serviceFaults }: Scenario, place: RunPlace): void {
  const demand = (kind: ServiceFaultKind, why: string, hint: string): void => {
    const rule = serviceFaults.find(({ fault }) => fault.kind === kind)
    if (rule === undefined) return
    throw new CommandFault(`${name} ${verbs[kind]} at ${formatDuration(rule.atMs)}, and ${why}`, hint)
  }
  if (place.isServiceNamed) {
    const why = "the service that was named was not started by this command"
    const hint = "leave --url, --host and --mqtt out: then it starts a service of its own"
    demand("kill-service", why, hint)
    demand("stop-database", why, hint)
  }
  if (place.isDatabaseGiven)
    demand(
      "stop-database",
      "DATABASE_URL names a database that this command cannot stop",
      "leave DATABASE_URL out: then it starts a database of its own",
    )
}

/** A change in a copy takes more than the service's own role has: to make a database, and to pass its triggers by. */
export async function checkTamperRights({ name, tamper }: Scenario, pool: Pool): Promise<void> {
  if (tamper.length === 0) return
  const { rows } = await pool.query<{ role: string; may: boolean }>(
    `select current_user::text as role, rolsuper as may from pg_roles where rolname = current_user`,
  )
  const [role] = rows
  if (role?.may === true) return
  throw new CommandFault(
    `${name} changes a copy of the database behind its triggers, and the role ${role?.role ?? "of DATABASE_URL"} may not`,
    "name a superuser in DATABASE_URL, or leave DATABASE_URL out: then it starts a database of its own",
  )
}
