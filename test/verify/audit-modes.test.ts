/** What an audit of everything finds, an audit of parts finds too: of blocks, of a device, one that was stopped. */
import type { PoolClient } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatCheckpoint, parseCheckpoint } from "../../chain/checkpoint.ts"
import { sha256 } from "../../chain/hash.ts"
import { formatNote, parseNote, signNote } from "../../chain/note.ts"
import { hmacNative } from "../../ingest/native.ts"
import { GatheredSignatures, type ThreadedVerifier, openVerifier } from "../../ingest/verifier.ts"
import { type AuditOptions, type AuditResult, formatAudit } from "../../verify/audit.ts"
import { type AuditedPlace, formatAudited, parseAudited } from "../../verify/audited.ts"
import type { Stand } from "../ingest/stand.ts"
import { auditThrough, openLongLog, openWholeLog, readPublishedNote, trustAuthorities } from "./log.ts"
import { additions, changes, longLogTables, removals } from "./tampers.ts"

interface Tampered {
  readonly stand: Stand
  readonly published: string
  readonly client: PoolClient
}

/** Four blocks, of which the first has enrolments only. */
let whole: Tampered
let long: Tampered
let verifier: ThreadedVerifier

async function openTampered(stand: Stand): Promise<Tampered> {
  const published = await readPublishedNote(stand.dataFolder)
  const client = await stand.pool.connect()
  await client.query("begin; set local session_replication_role = replica; savepoint untampered")
  return { stand, published, client }
}

beforeAll(async () => {
  verifier = openVerifier({ threads: 1 })
  const stand = await openWholeLog({ isSealedFirst: true })
  await trustAuthorities(stand)
  whole = await openTampered(stand)
  long = await openTampered(await openLongLog({ isSealedFirst: true }))
})
afterAll(async () => {
  for (const { client, stand } of [whole, long]) {
    client.release(true)
    await stand.close()
  }
  await verifier.close()
})

/** On a thread, as the command does, and by short pages, each read in the memory of the last but one. */
function auditOf(
  { client, stand, published }: Tampered,
  range: AuditOptions["range"],
  options: Partial<AuditOptions> = {},
): Promise<AuditResult> {
  const signatures = new GatheredSignatures(verifier)
  return auditThrough(client, stand.keys, published, {
    signatures,
    firstPageSize: 4,
    ...(range === undefined ? {} : { range }),
    ...options,
  })
}

const blocks = (from: number, to: number | null) => ({ from, to, device: null })

async function withChange<T>(log: Tampered, sql: string, work: () => Promise<T>): Promise<T> {
  try {
    const { rowCount } = await log.client.query(sql)
    expect(rowCount).toBeGreaterThan(0)
    return await work()
  } finally {
    await log.client.query("rollback to savepoint untampered")
  }
}

interface Case {
  readonly name: string
  readonly table: string
  readonly sql: string
  readonly row: RegExp
}

/** Tampers are written for logs without the block in front: every block is one higher here. */
const makeCase = (name: string, table: string, sql: string, row: RegExp): Case => {
  const higher = sql.replace(
    /(height = |into cosignatures select |policy_id\) values \()([0-2])/g,
    (_, before: string, height: string) => `${before}${Number(height) + 1}`,
  )
  return { name, table, sql: higher, row }
}

const cases: readonly Case[] = [
  ...changes.map(({ column, sql, row }, index) =>
    makeCase(`${column} changed (${index})`, column.split(".")[0]!, sql, row),
  ),
  ...Object.entries(removals).map(([table, [sql, , row]]) => makeCase(`${table} less`, table, sql, row)),
  ...Object.entries(additions).map(([table, [sql, , row]]) => makeCase(`${table} more`, table, sql, row)),
]

test.each(cases)(
  "$name: the audit of the blocks up to one finds it, or the audit of those since the next",
  async ({ table, sql }) => {
    const log = longLogTables.has(table) ? long : whole
    await withChange(log, sql, async () => {
      const since = await auditOf(log, blocks(1, null))
      const upTo = since.kind === "failed" ? since : await auditOf(log, blocks(0, 0))
      expect(upTo.kind).toBe("failed")
    })
  },
)

const ofDevices = cases.filter(({ row }) => /of device (k\d)/.test(row.source))

test.each(ofDevices)("$name: the audit of that device finds it", async ({ table, sql, row }) => {
  const log = longLogTables.has(table) ? long : whole
  const device = /of device (k\d)/.exec(row.source)![1]!
  await withChange(log, sql, async () => {
    const result = await auditOf(log, { from: 0, to: null, device })
    expect(result.kind).toBe("failed")
  })
})

test("the parts of a healthy log pass, each with what it looked at", async () => {
  const all = await auditOf(whole, undefined)
  expect(all).toMatchObject({ kind: "passed", statements: 18, readings: 67, blocks: 4, treeSize: 29 })
  expect(await auditOf(whole, blocks(0, 0))).toMatchObject({ kind: "passed", statements: 0, blocks: 1 })
  expect(await auditOf(whole, blocks(1, 1))).toMatchObject({ kind: "passed", statements: 11, blocks: 2 })
  expect(await auditOf(whole, blocks(1, null))).toMatchObject({
    kind: "passed",
    statements: 18,
    treeSize: 29,
  })
  const late = await auditOf(whole, blocks(3, null))
  expect(late).toMatchObject({ kind: "passed", statements: 7, blocks: 4, treeSize: 29, unsealed: 5 })
  expect(formatAudit(late)).toContain("blocks 0 to 2 were not looked at")
  expect(await auditOf(whole, blocks(4, null))).toMatchObject({ kind: "passed", statements: 2, unsealed: 5 })
  const k3 = await auditOf(whole, { from: 0, to: null, device: "k3" })
  expect(k3).toMatchObject({ kind: "passed", statements: 4, treeSize: 29 })
  expect(formatAudit(k3)).toContain("4 statements of device k3")
  const k1 = await auditOf(whole, { from: 3, to: 3, device: "k1" })
  expect(k1).toMatchObject({ kind: "passed", statements: 2, blocks: 4 })
})

test("a part is held to the published checkpoint, also to one of a block before it", async () => {
  const { rows } = await whole.client.query<{ note: string }>("select note from checkpoints where height = 1")
  const published = rows[0]!.note
  expect(await auditOf(whole, blocks(3, null), { published })).toMatchObject({
    kind: "passed",
    remarks: ["the published checkpoint is of block 1, and the last block is 3: publish again"],
  })
  const { origin, log } = whole.stand.keys
  const { size } = parseCheckpoint(parseNote(published)!.text)!
  const text = formatCheckpoint({ origin, size, root: sha256(Uint8Array.of(3)) })
  const other = formatNote(signNote(text, origin, log))
  const result = await auditOf(whole, blocks(3, null), { published: other })
  expect(formatAudit(result)).toMatch(/^checkpoint of block 1: column root differs from the published/)
})

test("a block or a device that the log does not have is said, and nothing passes", async () => {
  for (const range of [blocks(5, null), blocks(2, 9), { from: 0, to: null, device: "k9" }])
    expect(await auditOf(whole, range)).toMatchObject({ kind: "absent" })
  expect(formatAudit(await auditOf(whole, blocks(9, 12)))).toBe("there is no block 8: the log has 4 blocks")
})

test("an audit that is stopped at any block goes on behind it, and comes to the same end", async () => {
  const whole4 = await auditOf(whole, undefined)
  for (const stopAt of [0, 1, 2, 3]) {
    const kept: AuditedPlace[] = []
    const memory = {
      isDue: () => true,
      keep: async (place: AuditedPlace) => void kept.push(place),
      forget: () => Promise.reject(new Error("nothing was found")),
    }
    const stopped = await auditOf(whole, undefined, {
      memory,
      isStopped: () => kept.length > stopAt,
    })
    expect(stopped).toMatchObject({ kind: "stopped", blocks: stopAt + 1 })
    const behind = kept.at(-1)!
    expect(behind.height).toBe(stopAt)
    const range = { ...blocks(stopAt + 1, null), behind }
    const after = await auditOf(whole, range, { memory })
    const { range: _, ...numbers } = whole4 as Extract<AuditResult, { kind: "passed" }>
    expect(after).toMatchObject(numbers)
    expect(kept.at(-1)).toMatchObject({ height: 3, size: 29, statements: 16 })
  }
})

test("an audit goes on only in the log in which it ended, and a fault makes it forget", async () => {
  const kept: AuditedPlace[] = []
  let forgotten = 0
  const memory = {
    isDue: () => false,
    keep: async (place: AuditedPlace) => void kept.push(place),
    forget: async () => void (forgotten += 1),
  }
  await auditOf(whole, undefined, { memory })
  const [place] = kept
  const other = { ...blocks(4, null), behind: { ...place!, root: sha256(place!.root) } }
  expect(formatAudit(await auditOf(whole, other))).toContain("is not the history that was audited before")
  const gone = { ...blocks(5, null), behind: { ...place!, height: 4 } }
  expect(formatAudit(await auditOf(whole, gone))).toContain("block 4 is not there, and was audited before")
  await withChange(whole, changes.find(({ column }) => column === "series.numbers")!.sql, async () => {
    expect(await auditOf(whole, undefined, { memory })).toMatchObject({ kind: "failed" })
  })
  expect([kept.length, forgotten]).toEqual([1, 1])
})

test("what an audit keeps is believed only as this log's auditor wrote it", () => {
  const key = sha256(Uint8Array.of(1))
  const place: AuditedPlace = {
    height: 3,
    size: 29,
    root: sha256(Uint8Array.of(2)),
    statements: 16,
    readings: 60,
    auditedAtMs: 1_760_000_000_000,
  }
  const text = formatAudited(place, "log.example/a", key, hmacNative)
  expect(parseAudited(text, "log.example/a", key, hmacNative)).toEqual(place)
  expect(parseAudited(text, "log.example/b", key, hmacNative)).toBeNull()
  expect(parseAudited(text, "log.example/a", sha256(key), hmacNative)).toBeNull()
  for (let index = 0; index < text.length; index++) {
    const changed = `${text.slice(0, index)}${text[index] === "1" ? "2" : "1"}${text.slice(index + 1)}`
    expect(parseAudited(changed, "log.example/a", key, hmacNative)).toBeNull()
    expect(parseAudited(text.slice(0, index), "log.example/a", key, hmacNative)).toBeNull()
  }
})
