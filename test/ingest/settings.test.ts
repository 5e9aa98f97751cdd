import { algorithmEsp256 } from "../../chain/key.ts"
import { randomBytes } from "node:crypto"
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Client, type Pool } from "pg"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { auditDatabase, readPublishedNote } from "../../cli/audit.ts"
import { inTransaction, checkServer, openPool, readSettingFaults } from "../../ingest/database/pool.ts"
import { readBackQuery, sessionSettings } from "../../ingest/database/settings.ts"
import { openIntake } from "../../ingest/intake.ts"
import { initLog } from "../../ingest/log.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { seal } from "../../ingest/seal.ts"
import { tightest } from "../../ingest/database/connections.ts"
import { examineServer } from "../../ingest/database/examination.ts"
import { openTestDatabase } from "./postgres.ts"
import { startServiceOn } from "./service-stand.ts"
import { TestDevice, send, testOrigin } from "./stand.ts"

/** Another value for each setting that we hold; `client_encoding` alone is said by every client at its start. */
const hostile: Readonly<Record<string, string>> = {
  synchronous_commit: "off",
  default_transaction_isolation: "repeatable read",
  default_transaction_read_only: "on",
  default_transaction_deferrable: "on",
  statement_timeout: "20s",
  lock_timeout: "1ms",
  idle_in_transaction_session_timeout: "1ms",
  transaction_timeout: "20s",
  TimeZone: "Asia/Kolkata",
  DateStyle: "SQL, DMY",
  IntervalStyle: "iso_8601",
  extra_float_digits: "-15",
  bytea_output: "escape",
  array_nulls: "off",
  standard_conforming_strings: "off",
  transform_null_equals: "on",
  quote_all_identifiers: "on",
  row_security: "on",
}

const role = `tidemark_test_${randomBytes(6).toString("hex")}`
let admin: Client

beforeAll(async () => {
  admin = new Client({ connectionString: inject("postgresUrl") })
  await admin.connect()
  await admin.query(`create role ${role} login password 'x'`)
})

afterAll(async () => {
  await admin.query(`drop role ${role}`)
  await admin.end()
})

interface Place {
  readonly name: string
  readonly url: string
}

/** Runs `work` on a database that the plain role owns. */
async function onOwnDatabase(work: (place: Place) => Promise<void>): Promise<void> {
  const database = await openTestDatabase()
  const url = new URL(database.url)
  const name = url.pathname.slice(1)
  url.username = role
  url.password = "x"
  await admin.query(`alter database ${name} owner to ${role}`)
  try {
    await work({ name, url: url.href })
  } finally {
    await admin.query(`alter role ${role} reset all`)
    await database.close()
  }
}

async function sayEverywhere(target: string): Promise<void> {
  for (const [name, value] of Object.entries(hostile))
    await admin.query(`alter ${target} set ${name} = ${value.includes(",") ? value : `'${value}'`}`)
}

/** What a client gets that sets nothing. */
async function readPlain(url: string): Promise<Map<string, string>> {
  const client = new Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query<{ name: string; value: string }>(readBackQuery)
  await client.end()
  return new Map(rows.map(({ name, value }) => [name, value]))
}

/** Of the table that a transaction takes for `entries`. */
async function columnOf(pool: Pool): Promise<unknown> {
  return (await inTransaction(pool, (client) => client.query("select * from entries"))).fields[0]?.name
}

const withOptions = (url: string): string =>
  `${url}?options=${encodeURIComponent(
    Object.entries(hostile)
      .map(([name, value]) => `-c ${name}=${value.replaceAll(" ", "\\ ")}`)
      .join(" "),
  )}`

describe("field S3: every setting that a promise rests on holds", () => {
  it.each([
    ["the role", async ({ url }: Place) => sayEverywhere(`role ${role}`).then(() => url)],
    ["the database", async ({ name, url }: Place) => sayEverywhere(`database ${name}`).then(() => url)],
    ["the URL", ({ url }: Place) => Promise.resolve(withOptions(url))],
  ])("whatever %s says", async (_, prepare) => {
    await onOwnDatabase(async (place) => {
      const url = await prepare(place)
      const plain = await readPlain(url)
      const asOurs = sessionSettings.filter(({ name, value }) => plain.get(name) === value)
      expect(asOurs.map(({ name }) => name)).toEqual(["client_encoding"])
      const pool = openPool(url, 2)
      expect(await readSettingFaults(pool)).toEqual([])
      await checkServer(pool)
      await pool.end()
    })
  })

  it("and tables of another schema in front of ours are not taken for ours", async () => {
    await onOwnDatabase(async ({ name, url }) => {
      const before = openPool(url, 1)
      await before.query("create table schema_migrations (name text); create table entries (id bigint)")
      await before.end()
      await admin.query(`alter database ${name} set search_path = other, public`)
      const pool = openPool(url, 1)
      await pool.query("create schema other; create table other.entries (foreign_id bigint)")
      expect((await pool.query("select * from entries")).fields[0]?.name).toBe("id")
      expect(await columnOf(pool)).toBe("id")
      await pool.end()
      // Unless the URL says so.
      const chosen = openPool(`${url}?options=-c%20search_path%3Dother`, 1)
      expect(await columnOf(chosen)).toBe("foreign_id")
      await chosen.end()
    })
  })

  it("and what only a superuser can take back is refused by name", async () => {
    await onOwnDatabase(async ({ name, url }) => {
      await admin.query(`alter database ${name} set session_replication_role = replica`)
      const pool = openPool(url, 1)
      await expect(checkServer(pool)).rejects.toThrow(
        /session_replication_role is replica in our transactions and must be origin: .*trigger.*reset session_replication_role/,
      )
      await pool.end()
    })
  })
})

it("field S3: a database of repeatable read, a fleet and a sealer: every acknowledged statement is in its block", async () => {
  await onOwnDatabase(async ({ name, url }) => {
    await sayEverywhere(`database ${name}`)
    await sayEverywhere(`role ${role}`)
    const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-settings-"))
    const pool = openPool(`${url}?options=-c%20search_path%3Dpublic`, 10)
    try {
      const { sealed, acknowledged, result } = await publishBesideSeals(pool, dataFolder)
      expect(acknowledged).toBe(devicesCount * statementsCount)
      expect(sealed).toBe(acknowledged)
      expect(result).toMatchObject({ kind: "passed", statements: acknowledged, unsealed: 0 })
    } finally {
      await pool.end()
      await rm(dataFolder, { recursive: true })
    }
  })
})

const devicesCount = 6
const statementsCount = 25

async function publishBesideSeals(pool: Pool, dataFolder: string) {
  const keys = await initLog(pool, dataFolder, testOrigin)
  const devices = Array.from({ length: devicesCount }, (_, index) => {
    return new TestDevice(`d${index}`, algorithmEsp256, keys.binding)
  })
  await enrolDevices(
    pool,
    keys,
    devices.map(({ id, key }) => ({ device: id, key: key.publicKey })),
  )
  const intake = openIntake({ pool, keys })
  let acknowledged = 0
  const publishing = Promise.all(
    devices.map(async (device) => {
      const place = intake.open(device.id)
      for (let left = statementsCount; left > 0; left--) {
        const { code } = await send(place, device.next())
        if (code === 1) acknowledged += 1
      }
    }),
  )
  const done = new AbortController()
  void publishing.finally(() => done.abort())
  while (!done.signal.aborted) await seal({ pool, keys, dataFolder })
  await publishing
  await seal({ pool, keys, dataFolder })
  await intake.close()
  const { rows } = await pool.query<{ count: number }>("select sum(statements)::bigint as count from blocks")
  const result = await auditDatabase(pool, keys, await readPublishedNote(dataFolder))
  return { sealed: rows[0]!.count, acknowledged, result }
}

it("every transaction of the service begins by a function that names its isolation level", async () => {
  const found: string[] = []
  for (const folder of ["ingest", "research", "verify", "cli", "broker"])
    for (const file of await readdir(folder, { recursive: true })) {
      if (!file.endsWith(".ts")) continue
      const text = await readFile(join(folder, file), "utf8")
      for (const [, sql] of text.matchAll(/query(?:<[^>]*>)?\(\s*["'`](begin\b[^"'`]*)/g))
        if (!sql!.startsWith("begin transaction isolation level "))
          found.push(`${folder}/${file}: ${sql!.slice(0, 40)}`)
    }
  // Two commands change stored rows on purpose, to show that the audit finds it.
  expect(found.toSorted().map((one) => one.slice(0, one.indexOf(":")))).toEqual([
    "cli/demo-tamper.ts",
    "cli/simulate-audit.ts",
  ])
})

it("field S22: a role with few connections is named by readiness and by doctor", async () => {
  await onOwnDatabase(async ({ url }) => {
    const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-settings-"))
    await admin.query(`alter role ${role} connection limit 6`)
    const service = await startServiceOn(url, dataFolder, { origin: testOrigin })
    try {
      const response = await fetch(`http://127.0.0.1:${service.http}/readyz`)
      expect(response.status).toBe(503)
      expect(await response.json()).toMatchObject({
        troubles: [
          expect.stringMatching(/^the role allows 6 connections, and up to 28 are opened: .*alter role/),
        ],
      })
      const facts = await examineServer(service.database.pool, Date.now)
      expect(facts).toMatchObject({
        connectionRoom: { limit: 6, by: "role" },
        settingFaults: [],
        isPooled: false,
      })
    } finally {
      await service.close()
      await admin.query(`alter role ${role} connection limit -1`)
      await rm(dataFolder, { recursive: true })
    }
  })
})

it.each([
  [
    { server: 97, database: -1, role: -1, superuser: false },
    { limit: 97, by: "max_connections" },
  ],
  [
    { server: 97, database: 20, role: 6, superuser: false },
    { limit: 6, by: "role" },
  ],
  [
    { server: 97, database: 5, role: 6, superuser: false },
    { limit: 5, by: "database" },
  ],
  [
    { server: 97, database: 5, role: 6, superuser: true },
    { limit: 97, by: "max_connections" },
  ],
] as const)("field S22: of the limits %j the tightest that binds the role counts", (limits, room) => {
  expect(tightest(limits)).toEqual(room)
})
