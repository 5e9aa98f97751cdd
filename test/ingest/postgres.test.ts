import { Client } from "pg"
import { expect, test } from "vitest"
import { openPool } from "../../ingest/database/pool.ts"
import { openTestDatabase } from "./postgres.ts"

async function query<T>(url: string, sql: string): Promise<T[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows as T[]
  } finally {
    await client.end()
  }
}

test("two test databases know nothing of each other, and a closed one is gone", async () => {
  const [one, two] = await Promise.all([openTestDatabase(), openTestDatabase()])
  await query(one.url, "create table only_here (n int)")
  expect(await query(two.url, "select to_regclass('only_here') as found")).toEqual([{ found: null }])
  await Promise.all([one.close(), two.close()])
  await expect(query(one.url, "select 1")).rejects.toMatchObject({ code: "3D000" })
})

test("a template is prepared once, however many databases begin from it at once", async () => {
  let prepared = 0
  const template = {
    name: "counted",
    prepare: async (url: string) => {
      prepared++
      await query(url, "create table made as select 7 as n")
    },
  }
  const databases = await Promise.all([1, 2, 3].map(() => openTestDatabase({ template })))
  for (const { url } of databases) expect(await query(url, "select n from made")).toEqual([{ n: 7 }])
  expect(prepared).toBe(1)
  await Promise.all(databases.map((database) => database.close()))
})

test("a session of ours reads what it waited for and waits for the disk, whatever the database's defaults are", async () => {
  const database = await openTestDatabase()
  const name = new URL(database.url).pathname.slice(1)
  const admin = openPool(database.url, 1)
  await admin.query(`alter database ${name} set default_transaction_isolation = 'repeatable read'`)
  await admin.query(`alter database ${name} set synchronous_commit = 'off'`)
  await admin.end()
  const pool = openPool(database.url, 1)
  const { rows } = await pool.query(
    "select current_setting('transaction_isolation') as isolation, current_setting('synchronous_commit') as commit",
  )
  expect(rows).toEqual([{ isolation: "read committed", commit: "on" }])
  await pool.end()
  await database.close()
})
