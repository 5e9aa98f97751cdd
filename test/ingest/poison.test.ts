import { expect, test } from "vitest"
import { encodePack } from "../../chain/senml.ts"
import { heartRate, offer, openStand, send } from "./stand.ts"

/** What no constraint of ours forbids, and this database will not take. */
const refuseMetric = "alter table series add constraint poison check (metric <> 'poison')"

function poisonPack(): Uint8Array {
  return encodePack(heartRate(1).map((series) => ({ ...series, name: "poison" })))
}

test("a row that the database will not take is stored unread, and the others of its group with their series", async () => {
  const stand = await openStand()
  try {
    await stand.pool.query(refuseMetric)
    const devices = await Promise.all(Array.from({ length: 9 }, (_, number) => stand.enrol(`p${number}`)))
    const sent = devices.flatMap((device, number) => {
      const place = stand.intake.open(device.id)
      const statements = [1, 2, 3].map((seq) =>
        device.next(number % 4 === 1 && seq === 2 ? { payload: poisonPack() } : {}),
      )
      return statements.map((statement) => send(place, statement))
    })
    const codes = (await Promise.all(sent)).map(({ code }) => code)
    expect(codes).toEqual(devices.flatMap((_, number) => (number % 4 === 1 ? [1, 3, 1] : [1, 1, 1])))
    const { rows } = await stand.pool.query(
      "select device_id, seq, fault from entries where code = 3 order by id",
    )
    expect(rows.map(({ device_id: device, seq }) => [device, seq])).toEqual([
      ["p1", 2],
      ["p5", 2],
    ])
    expect(rows[0].fault).toContain("the database refused the series")
    const { rows: series } = await stand.pool.query("select count(*) as count from series")
    expect(series).toEqual([{ count: 25 }])
    expect(await stand.seal()).toMatchObject({ block: { summary: { statements: 27, readings: 75 } } })
  } finally {
    await stand.close()
  }
})

test("a statement that the database will not take at all closes its connection, and nothing else", async () => {
  const troubles: (Error | null)[] = []
  const stand = await openStand({ events: { troubled: (error) => troubles.push(error) } })
  try {
    await stand.pool.query("alter table entries add constraint poison check (device_id <> 'bad' or seq <> 2)")
    const [bad, good] = [await stand.enrol("bad"), await stand.enrol("good")]
    const [badPlace, goodPlace] = [stand.intake.open("bad"), stand.intake.open("good")]
    const sent = [
      offer(badPlace, bad.next().bytes),
      offer(goodPlace, good.next().bytes),
      offer(badPlace, bad.next().bytes),
      offer(badPlace, bad.next().bytes),
      offer(goodPlace, good.next().bytes),
    ]
    const codes = (await Promise.all(sent)).map((receipt) => receipt?.code)
    expect(codes).toEqual([1, 1, undefined, undefined, 1])
    expect(await send(goodPlace, good.next())).toMatchObject({ code: 1, seq: 3 })
    // It was told once, and the service works: it must not look as if it did not.
    expect(troubles.filter((error) => error !== null)).toHaveLength(1)
    expect(troubles.at(-1)).toBeNull()
  } finally {
    await stand.close()
  }
})
