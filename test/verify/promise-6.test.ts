import type { PoolClient } from "pg"
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import { type AuditOptions, type AuditResult, type Finding, formatAudit } from "../../verify/audit.ts"
import type { Stand } from "../ingest/stand.ts"
import { auditThrough, openLongLog, openWholeLog, readPublishedNote, trustAuthorities } from "./log.ts"
import { additions, changes, longLogTables, noEvidence, removals, rowsNotEvidence } from "./tampers.ts"

interface TamperedLog {
  readonly stand: Stand
  readonly published: string
  /** In a transaction, with the rights of the database's owner. */
  readonly client: PoolClient
}

let whole: TamperedLog
let long: TamperedLog
/** The one that a test tampers with. */
let log: TamperedLog

async function openTampered(stand: Stand): Promise<TamperedLog> {
  const published = await readPublishedNote(stand.dataFolder)
  const client = await stand.pool.connect()
  await client.query("begin")
  // No trigger and no foreign key: whoever has full rights on the database can do the same.
  await client.query("set local session_replication_role = replica")
  await client.query("savepoint untampered")
  return { stand, published, client }
}

beforeAll(async () => {
  const wholeStand = await openWholeLog()
  await trustAuthorities(wholeStand)
  whole = await openTampered(wholeStand)
  long = await openTampered(await openLongLog())
  await expectUntampered()
})
afterAll(async () => {
  await expectUntampered()
  for (const { client, stand } of [whole, long]) {
    await client.query("rollback")
    client.release()
    await stand.close()
  }
})

beforeEach(() => {
  log = whole
})
afterEach(async () => {
  await log.client.query("rollback to savepoint untampered")
})

/** Before all tampers and after them: what is found between is theirs. */
async function expectUntampered(): Promise<void> {
  for (const { client, stand, published } of [whole, long]) {
    const result = await auditThrough(client, stand.keys, published)
    if (result.kind !== "passed") throw new Error(`untampered, it must pass: ${formatAudit(result)}`)
  }
}

/** @param table what the tamper is for, which says in which log it is tried */
async function auditAfter(
  table: string,
  sql: string,
  options: Partial<AuditOptions> = {},
): Promise<AuditResult> {
  log = longLogTables.has(table) ? long : whole
  const { client, stand, published } = log
  const { rowCount } = await client.query(sql)
  // A tamper that changes nothing would test nothing.
  expect(rowCount).toBeGreaterThan(0)
  return auditThrough(client, stand.keys, published, options)
}

function firstFinding(result: AuditResult): Finding {
  if (result.kind !== "failed") throw new Error("the audit found nothing")
  return result.findings[0]!
}

test("promise 6: a sealed block never changes: every column is either evidence that is tampered with here or none, for a reason", async () => {
  const columns = await readColumns()
  expect(columns.length).toBeGreaterThan(80)
  const tampered = new Set(changes.map(({ column }) => column))
  expect(columns.filter((column) => !tampered.has(column) && !isExcused(column))).toEqual([])
  expect(columns.filter((column) => tampered.has(column) && isExcused(column))).toEqual([])
  expect([...tampered].filter((column) => !columns.includes(column))).toEqual([])
})

function isExcused(column: string): boolean {
  return noEvidence[column] !== undefined || noEvidence[`${column.split(".")[0]}.*`] !== undefined
}

async function readColumns(): Promise<string[]> {
  const { rows } = await whole.client.query<{ name: string }>(
    `select c.table_name || '.' || c.column_name as name from information_schema.columns c
     join pg_class t on t.oid = format('%I.%I', c.table_schema, c.table_name)::regclass
     where c.table_schema = 'public' and t.relkind in ('r', 'p') and not t.relispartition`,
  )
  return rows.map(({ name }) => name)
}

test.each(changes.map((change, index) => ({ ...change, index })))(
  "promise 6: a sealed block never changes: $column, changed ($index), is found and named",
  async ({ column, sql, table, columnNamed, row, rule }) => {
    const finding = firstFinding(await auditAfter(column.split(".")[0]!, sql))
    expect(finding).toEqual({
      table,
      column: columnNamed,
      row: expect.stringMatching(row) as unknown,
      rule: expect.stringMatching(rule) as unknown,
    })
  },
)

test("every table is one where a missing and an added row is found, or one where none can be, for a reason", async () => {
  const tables = new Set((await readColumns()).map((column) => column.split(".")[0]!))
  for (const table of tables) {
    expect([table, table in removals || rowsNotEvidence[`${table} less`] !== undefined]).toEqual([
      table,
      true,
    ])
    expect([table, table in additions || rowsNotEvidence[`${table} more`] !== undefined]).toEqual([
      table,
      true,
    ])
  }
})

test.each(Object.entries(removals))(
  "a row that is gone from %s is found and named",
  async (name, [sql, table, row, rule]) => {
    const finding = firstFinding(await auditAfter(name, sql))
    expect(finding).toMatchObject({
      table,
      row: expect.stringMatching(row) as unknown,
      rule: expect.stringMatching(rule) as unknown,
    })
  },
)

test.each(Object.entries(additions))(
  "a row that was added to %s is found and named",
  async (name, [sql, table, row, rule]) => {
    const finding = firstFinding(await auditAfter(name, sql))
    expect(finding).toMatchObject({
      table,
      row: expect.stringMatching(row) as unknown,
      rule: expect.stringMatching(rule) as unknown,
    })
  },
)
