import { afterAll, beforeAll, expect, test } from "vitest"
import { equalBytes } from "../../chain/bytes.ts"
import { zeroHash } from "../../chain/hash.ts"
import { checkSignature } from "../../chain/signature.ts"
import { decodeStatement, signedBytesOf } from "../../chain/statement.ts"
import { migrate } from "../../ingest/database/migration.ts"
import { openLog } from "../../ingest/log.ts"
import { auditLog } from "./log-audit.ts"
import { type Stand, type TestDevice, ask, offer, openStand, send } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

async function forksOf(
  device: string,
): Promise<{ seq: number; stored: Uint8Array<ArrayBuffer>; other: Uint8Array<ArrayBuffer> }[]> {
  const { rows } = await stand.pool.query(
    "select seq, stored, other from forks where device_id = $1 order by seq",
    [device],
  )
  return rows
}

/** Both signed by the device's key, for one place, and not the same. */
function expectEvidence(device: TestDevice, stored: Uint8Array, other: Uint8Array): void {
  const [one, two] = [stored, other].map((bytes) => {
    const decoded = decodeStatement(Uint8Array.from(bytes))
    if (decoded.kind !== "statement") throw new Error("evidence can be read")
    const { statement } = decoded
    const message = signedBytesOf(statement)
    expect(checkSignature(device.key.publicKey, statement.algorithm, message, statement.signature)).toBe(
      "good",
    )
    return statement
  })
  expect(one!.seq).toBe(two!.seq)
  expect(equalBytes(one!.prev, two!.prev)).toBe(true)
  expect(equalBytes(signedBytesOf(one!), signedBytesOf(two!))).toBe(false)
}

test("two statements for one place that arrive together are a fork, at the first place and at any later one", async () => {
  const device = await stand.enrol("fork-together")
  for (const history of [0, 1, 2]) {
    const place = stand.intake.open(device.id)
    await ask(place)
    const other = device.sign({ iat: 1_700_000_000 })
    const first = device.next()
    const answers = await Promise.all([offer(place, first.bytes), offer(place, other.bytes)])
    expect(answers.map((receipt) => receipt?.code)).toEqual([1, 22])
    const forks = await forksOf(device.id)
    expect(forks).toHaveLength(history + 1)
    expectEvidence(device, forks[history]!.stored, forks[history]!.other)
  }
})

test("of each place the first fork is kept, of a device sixteen, and every one is refused and counted", async () => {
  const device = await stand.enrol("fork-often")
  const place = stand.intake.open(device.id)
  const signed = []
  const others = []
  for (let seq = 1; seq <= 20; seq++) {
    others.push(device.sign({ iat: 1_700_000_001 }), device.sign({ iat: 1_700_000_002 }))
    signed.push(device.next())
  }
  for (const receipt of await Promise.all(signed.map((statement) => send(place, statement))))
    expect(receipt.code).toBe(1)
  // Each on a connection of its own, in one group.
  const receipts = await Promise.all(others.map(({ bytes }) => offer(stand.intake.open(device.id), bytes)))
  expect(receipts.map((receipt) => receipt?.code)).toEqual(others.map(() => 22))
  const forks = await forksOf(device.id)
  expect(forks.map(({ seq }) => seq)).toEqual(Array.from({ length: 16 }, (_, index) => index + 1))
  for (const [index, { stored, other }] of forks.entries()) {
    expect(equalBytes(stored, signed[index]!.bytes)).toBe(true)
    expect(equalBytes(other, others[2 * index]!.bytes)).toBe(true)
    expectEvidence(device, stored, other)
  }
  const { rows } = await stand.pool.query("select count from refusals where device_id = $1 and code = 22", [
    device.id,
  ])
  expect(rows).toEqual([{ count: 40 }])
})

test("a fork changes no head: the honest half goes on", async () => {
  const device = await stand.enrol("fork-half")
  const place = stand.intake.open(device.id)
  const other = device.sign({ iat: 1_700_000_000 })
  await send(place, device.next())
  expect(await offer(stand.intake.open(device.id), other.bytes)).toMatchObject({ code: 22, head: { seq: 1 } })
  expect(await send(stand.intake.open(device.id), device.next())).toMatchObject({ code: 1, seq: 2 })
})

test("late copies, retries and copies by other connections are never a fork", async () => {
  const device = await stand.enrol("fork-never")
  const place = stand.intake.open(device.id)
  const history = Array.from({ length: 30 }, () => device.next())
  await Promise.all(history.map((statement) => send(place, statement)))
  const late = await Promise.all(history.toReversed().map((statement) => send(place, statement)))
  expect(new Set(late.map(({ code }) => code))).toEqual(new Set([2]))
  const moved = await Promise.all(history.map(({ bytes }) => offer(stand.intake.open(device.id), bytes)))
  expect(new Set(moved.map((receipt) => receipt?.code))).toEqual(new Set([2]))
  expect(await forksOf(device.id)).toEqual([])
})

test("field S5: a statement of one log that is played into another is broken there, and its device no fork", async () => {
  const other = await openStand()
  try {
    // One key in two logs, as a device that changed its operator has.
    const here = await stand.enrol("two-logs")
    const there = await other.enrol("two-logs")
    const said = [there.next(), there.next()]
    for (const { bytes } of said) await offer(other.intake.open(there.id), bytes)

    const replay = () => Promise.all(said.map(({ bytes }) => offer(stand.intake.open(here.id), bytes)))
    expect((await replay()).map((receipt) => receipt?.code)).toEqual([21, 20])
    expect(await send(stand.intake.open(here.id), here.next())).toMatchObject({ code: 1, seq: 1 })
    expect((await replay()).map((receipt) => receipt?.code)).toEqual([21, 21])
    expect(await send(stand.intake.open(here.id), here.next())).toMatchObject({ code: 1, seq: 2 })
    expect(await forksOf(here.id)).toEqual([])
  } finally {
    await other.close()
  }
})

test("field S5: a log of protocol version 1 goes on as it was, also on a database from before chains were bound", async () => {
  const old = await openStand({}, { version: 1 })
  try {
    const device = await old.enrol("unbound")
    expect(await ask(old.intake.open(device.id))).toMatchObject({
      code: 0,
      head: { seq: 0, entry: zeroHash },
    })
    expect(await send(old.intake.open(device.id), device.next())).toMatchObject({ code: 1, seq: 1 })
    await old.seal()
    // The schema of the version before, as far as this goes.
    await old.pool.query("alter table log drop column version")
    await old.pool.query("delete from schema_migrations where name = '0018-protocol-version.sql'")
    expect((await openLog(old.pool, old.dataFolder))?.binding.version).toBe(1)
    await migrate(old.pool)
    expect((await openLog(old.pool, old.dataFolder))?.binding.version).toBe(1)
    expect(await send(old.intake.open(device.id), device.next())).toMatchObject({ code: 1, seq: 2 })
    await old.seal()
    await auditLog(old.pool, old.keys)
  } finally {
    await old.close()
  }
})
