import { afterAll, beforeAll, expect, test } from "vitest"
import { equalBytes } from "../../chain/bytes.ts"
import { decodeReceipt } from "../../chain/receipt.ts"
import { entryOf } from "../../chain/statement.ts"
import { partsOf } from "../../ingest/intake.ts"
import { takeIds } from "../../ingest/storage.ts"
import { type Stand, openStand, send } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

test("an accepted statement is answered with its own head, and stands in the database with its series", async () => {
  const device = await stand.enrol("k1")
  const place = stand.intake.open("k1")
  const statement = device.next()
  const receipt = await send(place, statement)
  expect(receipt).toMatchObject({ code: 1, seq: 1 })
  expect(equalBytes(receipt.head.entry, entryOf(statement.bytes))).toBe(true)
  const { rows } = await stand.pool.query(
    "select s.bytes, v.metric, v.numbers, v.times from entries e join statements s using (id) join series v on v.statement_id = e.id where e.device_id = 'k1'",
  )
  expect(rows).toHaveLength(1)
  expect(equalBytes(rows[0].bytes, statement.bytes)).toBe(true)
  expect(rows[0]).toMatchObject({ metric: "heart-rate", numbers: [60, 61.5, 62] })
})

test("a question is answered with the head", async () => {
  const device = await stand.enrol("k2")
  const place = stand.intake.open("k2")
  const asked = await place.submit({ kind: "question" })
  expect(asked.kind === "receipt" && decodeReceipt(asked.receipt)).toMatchObject({
    code: 0,
    seq: null,
    head: { seq: 0 },
  })
  await send(place, device.next())
  const again = await place.submit({ kind: "question" })
  expect(again.kind === "receipt" && decodeReceipt(again.receipt)).toMatchObject({
    code: 0,
    head: { seq: 1 },
  })
})

test("seal", async () => {
  const result = await stand.seal()
  expect(result).toMatchObject({
    kind: "sealed",
    block: { manifest: { height: 0 }, summary: { statements: 2, readings: 6, devices: 2 } },
  })
  expect(await stand.seal()).toEqual({ kind: "nothing", reason: "no-statements" })
  const d = await stand.enrol("k3")
  const place = stand.intake.open("k3")
  await Promise.all(Array.from({ length: 700 }, () => send(place, d.next())))
  expect(await stand.seal()).toMatchObject({
    kind: "sealed",
    block: { manifest: { height: 1 }, summary: { statements: 700 } },
  })
  expect(await stand.seal({ isEmptyAllowed: true })).toMatchObject({
    kind: "sealed",
    block: { manifest: { height: 2 } },
  })
})

test("two histories in one group are a fork, not a broken link", async () => {
  const device = await stand.enrol("k4")
  const place = stand.intake.open("k4")
  await send(place, device.next())
  const one = device.sign({ iat: 1_770_000_000 })
  const other = device.sign({ iat: 1_770_000_001 })
  const receipts = await Promise.all([send(place, one), send(place, other)])
  expect(receipts.map(({ code }) => code)).toEqual([1, 22])
  const { rows } = await stand.pool.query("select seq, stored, other from forks where device_id = 'k4'")
  expect(rows).toHaveLength(1)
  expect(equalBytes(rows[0].stored, one.bytes) && equalBytes(rows[0].other, other.bytes)).toBe(true)
})

test("ids that others took in between are left out", async () => {
  const others = await stand.pool.connect()
  try {
    await others.query("begin")
    const together = await takeIds(others, 3)
    expect(together).toEqual([together[0], together[0]! + 1, together[0]! + 2])
    // As if another process took two after each of ours.
    await others.query("alter sequence statement_ids increment by 3")
    const apart = await takeIds(others, 3)
    expect(apart).toEqual([apart[0], apart[0]! + 3, apart[0]! + 6])
    expect(apart[0]).toBeGreaterThan(together[2]!)
  } finally {
    await others.query("rollback")
    others.release()
  }
})

/** A message of so many bytes, as far as a part looks at it. */
const messageOf = (size: number) =>
  ({ decoded: { kind: "decoded", statement: { bytes: new Uint8Array(size) } } }) as Parameters<
    typeof partsOf
  >[0][number]

const sizesOf = (sizes: readonly number[]): number[] =>
  [...partsOf(sizes.map(messageOf))].map(({ length }) => length)

test("a group is read in parts of at most 64 statements and 256 KiB, in its order", () => {
  expect(sizesOf([])).toEqual([])
  expect(sizesOf(Array.from({ length: 130 }, () => 500))).toEqual([64, 64, 2])
  // Four of the largest have 262,140 bytes, and the next byte is one too many.
  expect(sizesOf([65_535, 65_535, 65_535, 65_535, 5, 500])).toEqual([4, 2])
  expect(sizesOf([65_535, 65_535, 65_535, 65_535, 4, 500])).toEqual([5, 1])
})
