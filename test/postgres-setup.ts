import { randomBytes } from "node:crypto"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Client } from "pg"
import type { TestProject } from "vitest/node"
import { openEmbedded, type EmbeddedDatabase } from "../ingest/database/embedded.ts"
import { isNamedProcessAlive, nameProcess } from "../ingest/database/embedded/processes.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The server that this run's databases are made on, as its superuser. */
    postgresUrl: string
    /** What the names of this run's databases begin with. */
    postgresRun: string
  }
}

const run = `tidemark_test_${randomBytes(4).toString("hex")}`
let server: { database: EmbeddedDatabase; folder: string } | undefined
let url = ""

/** Before the first test file: one Postgres for the whole run, or the one that TIDEMARK_TEST_DATABASE_URL names. */
export async function setup(project: TestProject): Promise<void> {
  const given = process.env["TIDEMARK_TEST_DATABASE_URL"]
  if (given === undefined || given === "") {
    await sweepKilledRuns()
    const folder = await mkdtemp(join(tmpdir(), `tidemark-test-${nameProcess(process.pid)}-`))
    const database = await openEmbedded({ dataFolder: folder, create: true, say: () => undefined })
    server = { database, folder }
    url = database.url
  } else {
    url = given
  }
  project.provide("postgresUrl", url)
  project.provide("postgresRun", run)
}

/** Ends the servers of runs that were killed before their teardown: they live on, as they are made to. */
async function sweepKilledRuns(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const starter = /^tidemark-test-(\d+-\d+)-\w+$/.exec(name)?.[1]
    if (starter === undefined || isNamedProcessAlive(starter)) continue
    const folder = join(tmpdir(), name)
    try {
      await (await openEmbedded({ dataFolder: folder, create: false, say: () => undefined })).close()
      await rm(folder, { recursive: true, force: true })
    } catch {
      // Another run sweeps it at this moment, or it is another user's: no reason to fail ours.
    }
  }
}

/** After the last: nothing of ours is left, on a given server neither. */
export async function teardown(): Promise<void> {
  if (server !== undefined) {
    await server.database.close()
    await rm(server.folder, { recursive: true, force: true })
    return
  }
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ datname: string }>(
      "select datname from pg_database where starts_with(datname, $1)",
      [run],
    )
    for (const { datname } of rows) {
      await client.query(`alter database ${client.escapeIdentifier(datname)} is_template false`)
      await client.query(`drop database ${client.escapeIdentifier(datname)} with (force)`)
    }
  } finally {
    await client.end()
  }
}
