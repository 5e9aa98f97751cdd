import { randomBytes } from "node:crypto"
import { Client } from "pg"
import { inject } from "vitest"

/** A database of a test's own. */
export interface TestDatabase {
  readonly url: string
  /** Drops it, whoever is still connected. */
  close(): Promise<void>
}

export interface TestTemplate {
  /** Lower-case letters, digits and underscores; one content per name. */
  readonly name: string
  /** Fills the template, once per run; must have closed its connections when it resolves. */
  readonly prepare: (url: string) => Promise<void>
}

/**
 * A fresh database on the run's Postgres (or on TIDEMARK_TEST_DATABASE_URL), as the server's superuser: empty, or a
 * copy of a template. A copy takes about 50 ms.
 */
export async function openTestDatabase(options: { template?: TestTemplate } = {}): Promise<TestDatabase> {
  const run = inject("postgresRun")
  const name = `${run}_${randomBytes(6).toString("hex")}`
  await withAdmin(async (admin) => {
    if (options.template === undefined) {
      await admin.query(`create database ${name} template template0 encoding 'UTF8' locale 'C'`)
    } else {
      await admin.query(
        `create database ${name} template ${await makeTemplate(admin, run, options.template)}`,
      )
    }
  })
  return {
    url: urlOf(name),
    close: () =>
      withAdmin(async (admin) => {
        await admin.query(`drop database if exists ${name} with (force)`)
      }),
  }
}

/** Makes the run's template of this name, unless it is there: whichever worker comes first. */
async function makeTemplate(admin: Client, run: string, { name, prepare }: TestTemplate): Promise<string> {
  if (!/^[a-z0-9_]{1,30}$/.test(name)) throw new Error(`"${name}" cannot be a template's name`)
  const database = `${run}_t_${name}`
  // A session lock: the other workers wait here. It goes with the connection.
  await admin.query("select pg_advisory_lock(hashtext($1))", [database])
  const { rows } = await admin.query<{ made: boolean }>(
    "select datistemplate as made from pg_database where datname = $1",
    [database],
  )
  if (rows[0]?.made !== true) {
    // Left half-made by a worker that failed: it is only called a template when it is whole.
    await admin.query(`drop database if exists ${database} with (force)`)
    await admin.query(`create database ${database} template template0 encoding 'UTF8' locale 'C'`)
    await prepare(urlOf(database))
    await admin.query(`alter database ${database} is_template true allow_connections false`)
  }
  await admin.query("select pg_advisory_unlock(hashtext($1))", [database])
  return database
}

function urlOf(database: string): string {
  const url = new URL(inject("postgresUrl"))
  url.pathname = `/${database}`
  return url.href
}

async function withAdmin<T>(work: (admin: Client) => Promise<T>): Promise<T> {
  const admin = new Client({ connectionString: inject("postgresUrl") })
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.end()
  }
}
