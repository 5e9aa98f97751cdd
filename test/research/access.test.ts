import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { listAccesses } from "../../research/access.ts"
import { listRefusals } from "../../research/refusal-record.ts"
import { adoptAccessRows } from "../../ingest/access-macs.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import {
  type KeyRow,
  createKey,
  findReader,
  keyColumns,
  listForgedKeys,
  listKeys,
  macOfKeyRow,
  revokeKey,
} from "../../research/key.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { spineTemplate, untilTrue } from "../ingest/stand.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

const start = 1_760_000_000
let stand: ResearchStand

beforeAll(async () => {
  stand = await openResearchStand()
  for (const id of ["k7", "k8"]) {
    const device = await stand.enrol(id)
    for (let part = 0; part < 5; part++) {
      const times = Array.from({ length: 2_500 }, (_, index) => start + part * 2_500 + index)
      await stand.say(device, { kind: "number", name: "heart-rate", unit: "beat/min", times, values: times })
    }
  }
  await stand.pool.query("update devices set attributes = '{\"make\": \"X\"}' where device_id = 'k8'")
  await stand.seal()
})
afterAll(() => stand.close())

const ask = (url: string, key: string | null, more: { host?: string; remoteAddress?: string } = {}) =>
  stand.app.inject({
    url,
    headers: {
      host: more.host ?? "127.0.0.1",
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    },
    ...(more.remoteAddress === undefined ? {} : { remoteAddress: more.remoteAddress }),
  })

const statusOf = async (...args: Parameters<typeof ask>) => {
  const response = await ask(...args)
  return [response.statusCode, response.json<{ type?: string }>().type?.split(":").at(-1)]
}

const whole = { devices: null, attributes: null, expiresMs: null } as const

async function makeKey(
  ...[options]: [
    Omit<Parameters<typeof createKey>[2], "devices" | "attributes" | "expiresMs"> &
      Partial<Parameters<typeof createKey>[2]>,
  ]
) {
  const made = await createKey(stand.pool, accessKeyOf(stand.keys), { ...whole, ...options })
  if (made.kind !== "created") throw new Error(made.kind)
  return made
}

test("nobody on this machine needs a key while there is none, and everybody once there is one", async () => {
  expect(await statusOf("/v1/devices", null)).toEqual([200, undefined])
  expect(await statusOf("/v1/devices", null, { remoteAddress: "192.0.2.7" })).toEqual([401, "key-needed"])
  expect(await statusOf("/v1/devices", null, { host: "evil.example" })).toEqual([401, "key-needed"])
  const { key, id } = await makeKey({ name: "first", scope: "read" })
  expect(await statusOf("/v1/devices", null)).toEqual([401, "key-needed"])
  expect(await statusOf("/v1/devices", key, { remoteAddress: "192.0.2.7", host: "tide.example" })).toEqual([
    200,
    undefined,
  ])
  expect((await ask("/openapi.json", null)).statusCode).toBe(200)
  expect(await revokeKey(stand.pool, accessKeyOf(stand.keys), id)).toBe(true)
  expect(await revokeKey(stand.pool, accessKeyOf(stand.keys), "first")).toBe(false)
  expect(await statusOf("/v1/devices", null)).toEqual([200, undefined])
  expect(await statusOf("/v1/devices", key)).toEqual([401, "key-refused"])
})

test("a key is kept as a hash, and no other text, half or whole, stands in for it", async () => {
  const { key, id } = await makeKey({ name: "second", scope: "export" })
  const { rows } = await stand.pool.query<{ row: string }>("select api_keys::text as row from api_keys")
  expect(rows.every(({ row }) => !row.includes(key.slice(13)))).toBe(true)
  const secret = key.slice(13)
  for (const other of [
    `tmk_${id}_${"A".repeat(43)}`,
    `tmk_00000000_${secret}`,
    secret,
    key.slice(0, -1),
    `${key}A`,
    "",
  ])
    expect(await statusOf("/v1/devices", other)).toEqual([401, "key-refused"])
  const basic = await stand.app.inject({
    url: "/v1/devices",
    headers: { host: "127.0.0.1", authorization: `Basic ${key}` },
  })
  expect(basic.statusCode).toBe(401)
  expect(basic.headers["www-authenticate"]).toBe('Bearer realm="tidemark"')
  expect(basic.body).not.toContain(secret)
  await revokeKey(stand.pool, accessKeyOf(stand.keys), "second")
})

test("a key for some devices reaches those, by name or by attribute, and says nothing of others", async () => {
  const byName = await makeKey({ name: "by-name", scope: "export", devices: ["k7"] })
  const byMake = await makeKey({ name: "by-make", scope: "export", attributes: { make: "X" } })
  for (const [{ key }, mine, others] of [
    [byName, "k7", "k8"],
    [byMake, "k8", "k7"],
  ] as const) {
    expect((await ask("/v1/devices", key)).json()).toMatchObject({ items: [{ id: mine }], complete: true })
    const all = (await ask("/v1/readings?bucket=1d", key)).json<{ items: { device: string }[] }>()
    expect(new Set(all.items.map(({ device }) => device))).toEqual(new Set([mine]))
    expect(await statusOf(`/v1/readings?device=${others}`, key)).toEqual([403, "out-of-scope"])
    expect(await statusOf(`/v1/readings?device=nobody`, key)).toEqual([403, "out-of-scope"])
    expect(await statusOf(`/v1/devices/${others}`, key)).toEqual([403, "out-of-scope"])
    expect((await ask("/v1/blocks/0", key)).json()).toMatchObject({
      devices: null,
      readings: null,
      salt: null,
    })
    const { rows } = await stand.pool.query<{ entry: string; device_id: string }>(
      "select encode(entry, 'hex') as entry, device_id from entries where seq = 1 and device_id like 'k_'",
    )
    const entryOf = (device: string) => rows.find(({ device_id }) => device_id === device)!.entry
    expect(await statusOf(`/v1/statements/${entryOf(mine)}`, key)).toEqual([200, undefined])
    expect(await statusOf(`/v1/statements/${entryOf(others)}`, key)).toEqual([404, "unknown-statement"])
  }
  for (const name of ["by-name", "by-make"]) await revokeKey(stand.pool, accessKeyOf(stand.keys), name)
})

test("field Q4: a key for reading gets pages and no bulk, and one that has expired gets nothing", async () => {
  const { key } = await makeKey({ name: "reader", scope: "read" })
  expect(await statusOf("/v1/readings?limit=1", key)).toEqual([200, undefined])
  for (const format of ["ndjson", "csv", "parquet", "arrow"])
    expect(await statusOf(`/v1/readings?format=${format}`, key)).toEqual([403, "out-of-scope"])
  // Field Q4: evidence is a bulk format too, and a page is no more than a page.
  expect(await statusOf("/v1/evidence?device=k7", key)).toEqual([403, "out-of-scope"])
  expect((await ask("/v1/readings?limit=10001", key)).json()).toMatchObject({
    status: 403,
    parameter: "limit",
    rule: "must be at most 10000, or the key must be made with --scope export",
  })
  expect(await statusOf("/v1/readings?limit=10000", key)).toEqual([200, undefined])
  const { key: old } = await makeKey({ name: "old", scope: "read", expiresMs: Date.now() - 1 })
  expect(await statusOf("/v1/devices", old)).toEqual([401, "key-refused"])
  const soon = await makeKey({ name: "soon", scope: "read", expiresMs: 2_000_000_000_000 })
  const at = (nowMs: number) =>
    findReader(stand.pool, `Bearer ${soon.key}`, {
      isFromHere: false,
      nowMs,
      macKey: accessKeyOf(stand.keys),
    }).then(
      ({ name }) => name,
      (error: Error) => error.message,
    )
  expect([await at(1_999_999_999_999), await at(2_000_000_000_000)]).toEqual(["soon", "key soon has expired"])
  expect((await listKeys(stand.pool)).map(({ name }) => name)).toContain("old")
  for (const name of ["reader", "old", "soon"]) await revokeKey(stand.pool, accessKeyOf(stand.keys), name)
})

test("field S10: a key whose row was written or changed in the database reads nothing, and is named", async () => {
  const macKey = accessKeyOf(stand.keys)
  const good = await makeKey({ name: "good", scope: "read", devices: ["k7"] })
  const secret = `tmk_deadbeef_${"A".repeat(43)}`
  await stand.pool.query(
    "insert into api_keys (key_id, name, digest, scope) values ('deadbeef', 'forged', sha256($1), 'export')",
    [Buffer.from(secret)],
  )
  expect(await statusOf("/v1/devices", secret)).toEqual([401, "key-refused"])
  for (const change of ["devices = null", "scope = 'export'", "expires_at = now()", "name = 'other'"]) {
    await stand.pool.query("create table kept as select * from api_keys where key_id = $1", [good.id])
    await stand.pool.query(`update api_keys set ${change} where key_id = $1`, [good.id])
    expect([change, ...(await statusOf("/v1/devices", good.key))]).toEqual([change, 401, "key-refused"])
    await stand.pool.query(
      "update api_keys a set (devices, scope, expires_at, name) = (k.devices, k.scope, k.expires_at, k.name) from kept k where k.key_id = a.key_id",
    )
    await stand.pool.query("drop table kept")
    expect(await statusOf("/v1/devices", good.key)).toEqual([200, undefined])
  }
  expect(await revokeKey(stand.pool, macKey, "good")).toBe(true)
  expect(await listForgedKeys(stand.pool, macKey)).toEqual(["deadbeef"])
  // A revocation taken back.
  await stand.pool.query("update api_keys set revoked_at = null where key_id = $1", [good.id])
  expect(await statusOf("/v1/devices", good.key)).toEqual([401, "key-refused"])
  expect(await listForgedKeys(stand.pool, macKey)).toEqual([good.id, "deadbeef"].toSorted())
  for (const id of ["deadbeef", good.id]) expect(await revokeKey(stand.pool, macKey, id)).toBe(true)
})

test("field S10: rows of an older version are taken over once, and later ones without a MAC are not", async () => {
  const macKey = accessKeyOf(stand.keys)
  const database = await openTestDatabase({ template: spineTemplate })
  const pool = openPool(database.url, 2)
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-macs-"))
  onTestFinished(async () => {
    await pool.end()
    await database.close()
    await rm(dataFolder, { recursive: true })
  })
  const insert = (id: string, name: string) =>
    pool.query(
      "insert into api_keys (key_id, name, digest, scope, attributes, expires_at) values ($1, $2, $3, 'read', $4, now() + interval '1 day')",
      [id, name, new Uint8Array(32), JSON.stringify({ make: "X", b: "1" })],
    )
  const adopt = (folder: string) =>
    adoptAccessRows({
      pool,
      dataFolder: folder,
      keys: stand.keys,
      apiKeys: { columns: keyColumns, macOf: (key, row) => macOfKeyRow(key, row as unknown as KeyRow) },
    })
  await insert("00000001", "old")
  expect(await listForgedKeys(pool, macKey)).toEqual(["00000001"])
  expect(await adopt(dataFolder)).toEqual({ apiKeys: 1, tokens: 0 })
  expect(await listForgedKeys(pool, macKey)).toEqual([])
  await insert("00000002", "forged")
  expect(await adopt(dataFolder)).toBeNull()
  // Another folder of the same log sees that it was done.
  const second = join(dataFolder, "second")
  await mkdir(second)
  expect(await adopt(second)).toEqual({ apiKeys: 0, tokens: 0 })
  expect(await listForgedKeys(pool, macKey)).toEqual(["00000002"])
})

test("a name is taken once, and a key for a device that nobody knows is not made", async () => {
  expect(
    await createKey(stand.pool, accessKeyOf(stand.keys), { ...whole, name: "first", scope: "read" }),
  ).toEqual({
    kind: "name-taken",
  })
  expect(
    await createKey(stand.pool, accessKeyOf(stand.keys), {
      ...whole,
      name: "x",
      scope: "read",
      devices: ["k9"],
    }),
  ).toEqual({
    kind: "unknown-device",
    device: "k9",
  })
})

const guess = (index: number) => `tmk_${index.toString(16).padStart(8, "0")}_${"A".repeat(43)}`

test("field S7, S16: guessed keys cost one query for many, are limited by address, counted and recorded", async () => {
  const counted: string[] = []
  const guessed = await openResearchStand(
    {},
    { counters: { refused: (reason) => counted.push(reason) }, limits: { burstMax: 30, delayMs: 1 } },
  )
  onTestFinished(() => guessed.close())
  const made = await createKey(guessed.pool, accessKeyOf(guessed.keys), {
    ...whole,
    name: "anna",
    scope: "read",
  })
  if (made.kind !== "created") throw new Error(made.kind)
  const queries: string[] = []
  const query = guessed.pool.query.bind(guessed.pool) as (...args: unknown[]) => unknown
  guessed.pool.query = ((...args: unknown[]) => {
    queries.push(String(args[0]))
    return query(...args)
  }) as typeof guessed.pool.query
  const tryKey = async (key: string, remoteAddress: string) =>
    (
      await guessed.app.inject({
        url: "/v1/devices",
        headers: { host: "tide.example", authorization: `Bearer ${key}` },
        remoteAddress,
      })
    ).statusCode
  const statuses = await Promise.all(
    Array.from({ length: 200 }, (_, index) => tryKey(guess(index), `192.0.2.${index % 4}`)),
  )
  expect(new Set(statuses)).toEqual(new Set([401]))
  // All 200 came at once and were looked up together.
  expect(queries.filter((sql) => sql.includes("api_keys")).length).toBeLessThanOrEqual(2)
  queries.splice(0)
  // The burst of these addresses is spent, whatever they try: no query at all.
  expect(await tryKey(guess(7), "192.0.2.1")).toBe(429)
  expect(await tryKey("no key", "192.0.2.1")).toBe(429)
  expect(queries).toEqual([])
  // A key that stands is taken from elsewhere, and from then on from there too.
  expect(await tryKey(made.key, "198.51.100.1")).toBe(200)
  expect(await tryKey(made.key, "192.0.2.1")).toBe(200)
  // A right id with a wrong secret is a guess, and costs no query either.
  queries.splice(0)
  expect(await tryKey(`${made.key.slice(0, 13)}${"A".repeat(43)}`, "198.51.100.1")).toBe(401)
  expect(queries).toEqual([])
  await revokeKey(guessed.pool, accessKeyOf(guessed.keys), "anna")
  expect(await tryKey(made.key, "198.51.100.1")).toBe(401)
  await guessed.app.close()
  const rows = await listRefusals(guessed.pool, 100)
  const sum = (reason: string) =>
    rows.filter((row) => row.reason === reason).reduce((all, { count }) => all + count, 0)
  expect([sum("key-unknown"), sum("too-many-guesses"), sum("key-revoked")]).toEqual([201, 2, 1])
  expect(rows.find(({ reason }) => reason === "key-revoked")).toMatchObject({
    address: "198.51.100.1",
    route: "/v1/devices",
    keyId: made.id,
    count: 1,
  })
  expect(counted.filter((reason) => reason === "key-unknown")).toHaveLength(201)
  await expect(guessed.pool.query("delete from access_refusals")).rejects.toThrow("only ever added")
})

test("a key that is made while others guess is taken at once", async () => {
  await ask("/v1/devices", `tmk_00000000_${"A".repeat(43)}`)
  const { key } = await makeKey({ name: "fresh", scope: "read" })
  expect(await statusOf("/v1/devices", key)).toEqual([200, undefined])
  await revokeKey(stand.pool, accessKeyOf(stand.keys), "fresh")
})

const endsOf = (count: number) => untilTrue(stand.pool, "(select count(*) from access_ends) >= $1", [count])
const countEnds = async () =>
  (await stand.pool.query<{ count: number }>("select count(*) from access_ends")).rows[0]!.count

test("every read is recorded: who, what, which devices, how many rows, up to which block", async () => {
  const { key, id } = await makeKey({ name: "anna@example.org", scope: "export" })
  const before = await countEnds()
  await ask("/v1/readings?device=k7&metric=heart-rate&limit=7", key, { remoteAddress: "192.0.2.7" })
  await ask("/v1/readings?format=csv", key)
  await ask("/v1/readings?device=nobody", key)
  await ask("/v1/readings?nonsense=1", key)
  await endsOf(before + 3)
  const [unknown, csv, page] = await listAccesses(stand.pool, { key: id, device: null, limit: 10 })
  expect(page).toMatchObject({
    keyId: id,
    keyName: "anna@example.org",
    address: "192.0.2.7",
    route: "/v1/readings",
    parameters: { device: ["k7"], metric: ["heart-rate"], limit: 7 },
    end: { outcome: "whole", status: 200, rows: 7, devices: ["k7"], height: 0 },
  })
  expect(csv).toMatchObject({
    parameters: { format: "csv" },
    end: { outcome: "whole", rows: 25_000, devices: null },
  })
  expect(unknown).toMatchObject({ end: { outcome: "refused", status: 404, rows: 0 } })
  await expect(stand.pool.query("delete from accesses")).rejects.toThrow("only ever added")
  await expect(stand.pool.query("update access_ends set rows = 0")).rejects.toThrow("only ever added")
  await revokeKey(stand.pool, accessKeyOf(stand.keys), "anna@example.org")
})

test("a reader that goes away in the middle is recorded with what went out", async () => {
  await stand.app.listen({ host: "127.0.0.1", port: 0 })
  const { port } = stand.app.server.address() as AddressInfo
  const before = await countEnds()
  await new Promise<void>((resolve, reject) => {
    const request = httpRequest(
      { host: "127.0.0.1", port, path: "/v1/readings?format=ndjson" },
      (response) => {
        response.once("readable", () => {
          response.read(1_000)
          request.destroy()
          resolve()
        })
      },
    )
    request.on("error", reject)
    request.end()
  })
  await endsOf(before + 1)
  const [last] = await listAccesses(stand.pool, { key: null, device: null, limit: 1 })
  expect(last).toMatchObject({ keyId: null, route: "/v1/readings", end: { outcome: "cut", status: 200 } })
  expect(last!.end!.rows).toBeLessThan(25_000)
  expect(stand.faults).toEqual([])
})

test("field Q1: of a metric that only others have sent a key says what it says of one that nobody has sent", async () => {
  const { key } = await makeKey({ name: "own-metrics", scope: "read", devices: ["k7"] })
  await stand.say(await stand.enrol("odd"), {
    kind: "number",
    name: "secret-score",
    unit: null,
    times: [start],
    values: [1],
  })
  // Without a key of limited reach it is known, and that must not be remembered for the others.
  const { key: unlimited } = await makeKey({ name: "all-metrics", scope: "read" })
  expect((await ask("/v1/readings?metric=secret-score&unsealed=true", unlimited)).json()).toMatchObject({
    items: [{ value: 1 }],
  })
  for (const metric of ["secret-score", "secret-scope"])
    expect((await ask(`/v1/readings?metric=${metric}&unsealed=true`, key)).json()).toMatchObject({
      status: 400,
      detail: `metric ${metric} is not in the catalogue, and no device has sent it`,
    })
  expect((await ask("/v1/readings?metric=heart-rate", key)).statusCode).toBe(200)
  for (const name of ["own-metrics", "all-metrics"])
    await revokeKey(stand.pool, accessKeyOf(stand.keys), name)
})
