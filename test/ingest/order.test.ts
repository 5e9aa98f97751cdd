import { afterAll, beforeAll, expect, test } from "vitest"
import { decodeReceipt } from "../../chain/receipt.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type IntakeMessage, openIntake } from "../../ingest/intake.ts"
import { type Stand, ask, offer, openStand, send } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

async function refusalsOf(device: string): Promise<unknown> {
  const { rows } = await stand.pool.query(
    "select code, count from refusals where device_id = $1 order by code",
    [device],
  )
  return rows
}

test("answers come in order of arrival, however many groups the messages fall into", async () => {
  const device = await stand.enrol("in-order")
  const place = stand.intake.open(device.id)
  const answered: number[] = []
  const answers = []
  // More than a group holds, with questions between.
  for (let index = 0; index < 2_500; index++) {
    const message: IntakeMessage =
      index % 100 === 50 ? { kind: "question" } : { kind: "statement", bytes: device.next().bytes }
    answers.push(
      place.submit(message).then((answer) => {
        answered.push(index)
        if (answer.kind === "dropped") throw new Error("nothing here is dropped")
        return decodeReceipt(answer.receipt)
      }),
    )
  }
  const receipts = await Promise.all(answers)
  expect(answered).toEqual(receipts.map((_, index) => index))
  let head = 0
  for (const [index, { code, head: told }] of receipts.entries()) {
    if (index % 100 !== 50) head += 1
    expect([code, told.seq]).toEqual([index % 100 === 50 ? 0 : 1, head])
  }
})

test("behind a refusal nothing of that connection is judged, counted or answered; a new one goes on", async () => {
  const device = await stand.enrol("behind-refusal")
  const place = stand.intake.open(device.id)
  const [first, second, third] = [device.next(), device.next(), device.next()]
  const sent = [first, third, second, third, first].map(({ bytes }) => offer(place, bytes))
  sent.push(offer(place, new Uint8Array(3)))
  expect((await Promise.all(sent)).map((receipt) => receipt?.code ?? null)).toEqual([
    1,
    20,
    null,
    null,
    null,
    null,
  ])
  expect(await offer(place, second.bytes)).toBeNull()
  expect(await place.submit({ kind: "question" })).toEqual({ kind: "dropped" })
  expect(await refusalsOf(device.id)).toEqual([{ code: 20, count: 1 }])
  const again = stand.intake.open(device.id)
  expect(await ask(again)).toMatchObject({ code: 0, head: { seq: 1 } })
  expect(await send(again, second)).toMatchObject({ code: 1 })
  expect(await send(again, third)).toMatchObject({ code: 1 })
})

test("an old connection's statement behind a new connection's question is dropped, never judged", async () => {
  const device = await stand.enrol("fenced")
  const old = stand.intake.open(device.id)
  const first = device.next()
  await send(old, first)
  const fresh = stand.intake.open(device.id)
  const second = device.next()
  // All in one group: what the old connection said before the question counts, what it says behind it does not.
  const [before, told, behind, garbage] = await Promise.all([
    offer(old, second.bytes),
    ask(fresh),
    offer(old, device.sign({ iat: 1_700_000_000 }).bytes),
    offer(old, new Uint8Array(1)),
  ])
  expect(before).toMatchObject({ code: 1, seq: 2 })
  expect(told).toMatchObject({ code: 0, head: { seq: 2 } })
  expect([behind, garbage]).toEqual([null, null])
  expect(await offer(old, second.bytes)).toBeNull()
  expect(await refusalsOf(device.id)).toEqual([])
  expect(await send(fresh, device.next())).toMatchObject({ code: 1, seq: 3 })
})

test("the device's epoch rises once for each connection that speaks, and with nothing that it says", async () => {
  const device = await stand.enrol("epochs")
  const epoch = async (): Promise<number> => {
    const { rows } = await stand.pool.query("select epoch from chain_heads where device_id = $1", [device.id])
    return rows[0].epoch
  }
  expect(await epoch()).toBe(0)
  stand.intake.open(device.id)
  expect(await epoch()).toBe(0)
  const place = stand.intake.open(device.id)
  await ask(place)
  await ask(place)
  await send(place, device.next())
  expect(await epoch()).toBe(1)
  await offer(stand.intake.open(device.id), new Uint8Array(3))
  expect(await epoch()).toBe(2)
  await send(stand.intake.open(device.id), device.next())
  expect(await epoch()).toBe(3)
})

test("a connection that left has what it sent judged all the same", async () => {
  const device = await stand.enrol("left")
  const place = stand.intake.open(device.id)
  const answers = [send(place, device.next()), send(place, device.next())]
  place.close()
  expect((await Promise.all(answers)).map(({ code }) => code)).toEqual([1, 1])
})

test("a device that moves between two intakes of one database is never accused, and loses nothing", async () => {
  const pool = openPool(stand.url)
  const other = openIntake({ pool, keys: stand.keys })
  try {
    const devices = await Promise.all([1, 2, 3, 4].map((number) => stand.enrol(`moves-${number}`)))
    const moving = devices.map(async (device, number) => {
      const outbox = Array.from({ length: 60 }, () => device.next())
      const codes = new Set<number | undefined>()
      for (let round = number; ; round++) {
        const place = (round % 2 === 0 ? stand.intake : other).open(device.id)
        const { head } = await ask(place)
        if (head.seq === outbox.length) return codes
        // Some are awaited, and the others are still on their way when the device is elsewhere.
        const sent = outbox.slice(head.seq, head.seq + 10).map(({ bytes }) => offer(place, bytes))
        for (const answer of sent) void answer.then((receipt) => codes.add(receipt?.code))
        await sent[round % 5]
      }
    })
    for (const codes of await Promise.all(moving)) {
      for (const code of codes) expect([1, 2, undefined]).toContain(code)
    }
    const { rows } = await stand.pool.query(
      "select (select count(*) from forks) as forks, (select count(*) from refusals where device_id like 'moves-%') as refusals, (select count(*) from entries where device_id like 'moves-%') as entries",
    )
    expect(rows).toEqual([{ forks: 0, refusals: 0, entries: 240 }])
  } finally {
    await other.close()
    await pool.end()
  }
})

test("order of ids is order of each chain, and all arrivals are whole milliseconds", async () => {
  const { rows } = await stand.pool.query(
    `select count(*) filter (where seq <> place) as out_of_order,
            count(*) filter (where extract(microseconds from received_at)::bigint % 1000 <> 0) as fractions, count(*) as all
     from (select *, row_number() over (partition by device_id order by id) as place from entries) e`,
  )
  expect(rows[0]).toMatchObject({ out_of_order: 0, fractions: 0 })
  expect(rows[0].all).toBeGreaterThan(2_700)
})

test("what waits when the intake closes is answered, and what comes then is dropped", async () => {
  const closing = await openStand()
  const device = await closing.enrol("closing")
  const place = closing.intake.open(device.id)
  const answers = Array.from({ length: 20 }, () => send(place, device.next()))
  const closed = closing.intake.close()
  const late = offer(place, device.next().bytes)
  expect(await late).toBeNull()
  await closed
  expect((await Promise.all(answers)).map(({ code }) => code)).toEqual(answers.map(() => 1))
  await closing.close()
})
