import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { PoolClient } from "pg"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEsp256 } from "../../chain/key.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { entryOf, signedBytesOf } from "../../chain/statement.ts"
import { openAuditRows } from "../../ingest/database/audit-rows.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog } from "../../ingest/log.ts"
import { digestKeyOf } from "../../ingest/log-keys.ts"
import { hmacNative } from "../../ingest/native.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { seal } from "../../ingest/seal.ts"
import { type AuditResult, audit, formatAudit } from "../../verify/audit.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { type Stand, TestDevice, openStand, send, testOrigin } from "../ingest/stand.ts"
import { auditThrough, openWholeLog, readPublishedNote } from "./log.ts"

let stand: Stand
let published: string
beforeAll(async () => {
  stand = await openWholeLog()
  published = await readPublishedNote(stand.dataFolder)
})
afterAll(() => stand.close())

/** In a transaction that is rolled back, with the rights of the database's owner. */
async function asOwner<T>(work: (client: PoolClient) => Promise<T>, { pool } = stand): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query("begin")
    await client.query("set local session_replication_role = replica")
    return await work(client)
  } finally {
    await client.query("rollback")
    client.release()
  }
}

const failed = (finding: Record<string, unknown>): object => ({
  kind: "failed",
  findings: [expect.objectContaining(finding)],
})

test("a healthy log passes, with its numbers", async () => {
  const result = await asOwner((client) => auditThrough(client, stand.keys, published))
  expect(result).toMatchObject({
    kind: "passed",
    statements: 18,
    readings: 67,
    blocks: 3,
    devices: 5,
    treeSize: 28,
    unsealed: 2,
    remarks: [],
  } satisfies Partial<AuditResult>)
  expect(formatAudit(result)).toMatch(/^18 statements of 5 devices with 67 readings.*verify passed$/s)
})

test("noble's arithmetic comes to the same result as the native one", async () => {
  const source = await openAuditRows(stand.pool)
  try {
    const { keys } = stand
    const logKey = { name: keys.origin, publicKey: keys.log.publicKey }
    const { headsSecret } = keys
    const result = await audit({ source, logKey, headsSecret, digestKey: digestKeyOf(keys), published })
    expect(result).toMatchObject({ kind: "passed", treeSize: 28, remarks: [] })
  } finally {
    await source.close()
  }
})

test("without the log's secrets what can be checked is checked, and the rest is said", async () => {
  const result = await asOwner((client) =>
    auditThrough(client, stand.keys, published, { headsSecret: null, digestKey: null }),
  )
  expect(result).toMatchObject({
    kind: "passed",
    remarks: [expect.stringMatching(/heads roots/), expect.stringMatching(/signed_digest/)],
  })
})

test("a log that nobody has published passes with a remark", async () => {
  const result = await asOwner((client) => auditThrough(client, stand.keys, null))
  expect(result).toMatchObject({ kind: "passed", remarks: [expect.stringMatching(/nothing is published/)] })
})

test("another log's database is not this log's", async () => {
  const { publicKey } = makePrivateKey(algorithmEd25519, sha256(encodeUtf8("another log")))
  const logKey = { name: stand.keys.origin, publicKey }
  const result = await asOwner((client) => auditThrough(client, stand.keys, null, { logKey }))
  expect(result).toMatchObject(
    failed({ row: "statement 1 of the operator", rule: expect.stringMatching(/another name or key/) }),
  )
})

test("two arrivals that were swapped wherever they stand are found in their block", async () => {
  const result = await asOwner(async (client) => {
    const { rows } = await client.query<{ id: number }>(
      "select id from entries where device_id in ('k1', 'k3') and seq = 1 order by id",
    )
    const [first, second] = rows.map(({ id }) => id)
    await client.query(
      "create temporary table arrivals on commit drop as select id, received_at from entries",
    )
    for (const [table, id] of [
      ["entries", "id"],
      ["statements", "id"],
      ["series", "statement_id"],
    ]) {
      await client.query(
        `update ${table} t set received_at = a.received_at from arrivals a
         where (t.${id} = $1::bigint and a.id = $2) or (t.${id} = $2 and a.id = $1)`,
        [first, second],
      )
    }
    return auditThrough(client, stand.keys, published)
  })
  expect(result).toMatchObject(
    failed({
      table: "entries",
      column: "received_at",
      row: "block 0",
      rule: expect.stringMatching(/arrivals root/),
    }),
  )
})

test("a device that signs its last statement anew is found by the leaf that was sealed", async () => {
  const k4 = new TestDevice("k4", algorithmEsp256, stand.keys.binding)
  const anew = k4.next({ iat: 1_760_000_777 })
  const result = await asOwner(async (client) => {
    const entry = entryOf(anew.bytes)
    const digest = hmacNative(digestKeyOf(stand.keys), signedBytesOf(anew))
    const series = `insert into series (statement_id, position, received_at, device_id, metric, name, unit, kind, starts_at, ends_at, times, numbers, ahead)
      select e.id, 0, e.received_at, 'k4', s.metric, s.metric, s.unit, s.kind, s.starts_at, s.ends_at, s.times, s.numbers, false
      from entries e, series s join entries o on o.id = s.statement_id where e.device_id = 'k4' and o.device_id = 'k1' and o.seq = 1`
    await client.query(series)
    await client.query(
      "update statements set bytes = $1 where id = (select id from entries where device_id = 'k4')",
      [anew.bytes],
    )
    await client.query(
      `update entries e set entry = $1, signed_digest = $2, readings = o.readings, starts_at = o.starts_at, ends_at = o.ends_at
       from entries o where e.device_id = 'k4' and o.device_id = 'k1' and o.seq = 1`,
      [entry, digest],
    )
    await client.query("update chain_heads set entry = $1 where device_id = 'k4'", [entry])
    await client.query("update sealed_heads set entry = $1 where device_id = 'k4' and seq = 1", [entry])
    return auditThrough(client, stand.keys, published)
  })
  expect(result).toMatchObject(
    failed({
      table: "entries",
      column: "entry",
      row: "statement 1 of device k4",
      rule: expect.stringMatching(/^is not what was sealed as leaf \d+ \(block 2\)$/),
    }),
  )
})

/** As if the database had taken k2's statement of this seq and not its series. */
async function refuse(client: PoolClient, seq: number): Promise<AuditResult> {
  const id = `(select id from entries where device_id = 'k2' and seq = ${seq})`
  await client.query(`delete from series where statement_id = ${id}`)
  await client.query(
    `update entries set code = 3, fault = 'the database refused the series (at byte 0 of the payload)',
            readings = 0, starts_at = null, ends_at = null where id = ${id}`,
  )
  return auditThrough(client, stand.keys, published)
}

test("a series that the database is said to have refused is a remark, and in a sealed block a finding", async () => {
  expect(await asOwner((client) => refuse(client, 6))).toMatchObject({
    kind: "passed",
    remarks: [expect.stringMatching(/^statement 6 of device k2 could be read, and/)],
  })
  expect(await asOwner((client) => refuse(client, 2))).toMatchObject(
    failed({ table: "blocks", row: "block 0" }),
  )
})

/** The rows of this statement as version 0.1 wrote them. */
async function writeAsBefore(client: PoolClient, seq: number, fault: string): Promise<void> {
  const id = `(select id from entries where device_id = 'odd-encoder' and seq = ${seq})`
  await client.query(`delete from series where statement_id = ${id}`)
  await client.query(
    `update entries set code = 3, fault = $1, readings = 0, starts_at = null, ends_at = null where id = ${id}`,
    [fault],
  )
}

test("field D14: what version 0.1 stored unread for a value under an unknown label still verifies, sealed or not", async () => {
  const old = await openStand()
  onTestFinished(() => old.close())
  const device = await old.enrol("odd-encoder", algorithmEd25519)
  const place = old.intake.open(device.id)
  // [{0: "heart-rate", 2: 72, 6: 1760000000, "x": 2^53}]
  const payload = Buffer.from("81a4006a68656172742d72617465021848061a68e7780061781b0020000000000000", "hex")
  for (const code of [1, 1]) expect((await send(place, device.next({ payload }))).code).toBe(code)
  const fault = "integers go up to 2^53 - 1 (at byte 25 of the payload)"
  const client = await old.pool.connect()
  try {
    await client.query("set session_replication_role = replica")
    await writeAsBefore(client, 1, fault)
    await client.query("set session_replication_role = origin")
  } finally {
    client.release()
  }
  await old.seal()
  const note = await readPublishedNote(old.dataFolder)
  const check = (change?: (owner: PoolClient) => Promise<void>) =>
    asOwner(async (owner) => {
      await change?.(owner)
      return auditThrough(owner, old.keys, note)
    }, old)
  expect(await check()).toMatchObject({
    kind: "passed",
    statements: 2,
    readings: 1,
    remarks: [
      expect.stringMatching(/^statement 1 of device odd-encoder was stored unread before values under/),
    ],
  })
  // It is no way around the block: what was sealed with its reading cannot be made unread.
  expect(await check((owner) => writeAsBefore(owner, 2, fault))).toMatchObject(
    failed({ table: "blocks", row: "block 0" }),
  )
  // Nor for another fault than the one that the old rule gives.
  expect(
    await check((owner) => writeAsBefore(owner, 1, "integers go up to 2^53 - 1 (at byte 24 of the payload)")),
  ).toMatchObject(failed({ table: "entries", column: "code" }))
})

test("who asks for all findings gets each changed row, and no value of a reading", async () => {
  const result = await asOwner(async (client) => {
    await client.query("update series set numbers[1] = 123456.5 where numbers is not null and position = 0")
    await client.query("update devices set status = 'revoked' where device_id = 'k5'")
    return auditThrough(client, stand.keys, published, { isStoppingAtFirst: false })
  })
  const text = formatAudit(result)
  expect(
    text
      .split("\n")
      .filter((line) => /^series 0 of statement \d of device k\d: column numbers differs/.test(line)),
  ).toHaveLength(13)
  expect(text).toContain(
    "device k5: column status is revoked, and the operator's chain says active (table devices)",
  )
  expect(text).not.toMatch(/123456|61\.5/)
})

test("an entry that stands twice under one id is found where the constraint was dropped", async () => {
  const result = await asOwner(async (client) => {
    for (const name of ["entries_pkey", "entries_device_id_seq_key"])
      await client.query(`alter table entries drop constraint ${name} cascade`)
    await client.query("insert into entries select * from entries where device_id = 'k1' and seq = 2")
    return auditThrough(client, stand.keys, published)
  })
  expect(result).toMatchObject(failed({ table: "entries", rule: "has 31 entries under 30 ids" }))
})

test("a database that was set back behind what is published is found", async () => {
  const own = await openStand()
  try {
    const device = await own.enrol("k1")
    await send(own.intake.open("k1"), device.next())
    await own.seal()
    // What a backup taken now would restore.
    const backup = await openAuditRows(own.pool)
    await backup.countEntries(null, null)
    await send(own.intake.open("k1"), device.next())
    await own.seal()
    const { keys } = own
    const result = await audit({
      source: backup,
      logKey: { name: keys.origin, publicKey: keys.log.publicKey },
      headsSecret: keys.headsSecret,
      digestKey: digestKeyOf(keys),
      published: await readPublishedNote(own.dataFolder),
    })
    await backup.close()
    expect(result).toMatchObject(
      failed({
        row: "the published checkpoint",
        rule: "has 6 leaves and the database 4: the database is behind what was published",
      }),
    )
    await asOwner(async (client) => {
      const again = await auditThrough(client, keys, await readPublishedNote(own.dataFolder))
      expect(again).toMatchObject({ kind: "passed", treeSize: 6 })
    }, own)
  } finally {
    await own.close()
  }
})

test("a log that was grown anew with its own keys is another history than the published one", async () => {
  const first = await growLog(["k1"])
  const second = await growLog(["k2"])
  try {
    expect(await auditOf(first, first.published)).toMatchObject({ kind: "passed" })
    expect(await auditOf(second, first.published)).toMatchObject(
      failed({ table: "checkpoints", rule: expect.stringMatching(/this is another history/) }),
    )
  } finally {
    await first.close()
    await second.close()
  }
})

/** A sealed log of these devices whose keys are the same at every call. */
async function growLog(devices: readonly string[]) {
  const database = await openTestDatabase()
  const pool = openPool(database.url)
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-test-"))
  let count = 0
  const keys = await initLog(pool, dataFolder, testOrigin, (size) =>
    sha256(encodeUtf8(`secret ${(count += 1)}`)).slice(0, size),
  )
  await enrolDevices(
    pool,
    keys,
    devices.map((device) => ({ device, key: new TestDevice(device).key.publicKey })),
  )
  await seal({ pool, keys, dataFolder })
  return {
    pool,
    keys,
    published: await readPublishedNote(dataFolder),
    close: async () => {
      await pool.end()
      await database.close()
      await rm(dataFolder, { recursive: true, force: true })
    },
  }
}

async function auditOf({ pool, keys }: Pick<Stand, "pool" | "keys">, note: string): Promise<AuditResult> {
  return asOwner((client) => auditThrough(client, keys, note), { pool } as Stand)
}
