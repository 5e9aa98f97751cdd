import * as fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { algorithmEd25519, algorithmEsp256 } from "../../chain/key.ts"
import { entryOf } from "../../chain/statement.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type Intake, type IntakePlace, openIntake } from "../../ingest/intake.ts"
import { auditLog } from "./log-audit.ts"
import { type Stand, ask, offer, openStand } from "./stand.ts"

let stand: Stand
let intakes: readonly Intake[]
let close: () => Promise<void>
beforeAll(async () => {
  stand = await openStand()
  const pool = openPool(stand.url, 4)
  const second = openIntake({ pool, keys: stand.keys })
  intakes = [stand.intake, second]
  close = async () => {
    await second.close()
    await pool.end()
    await stand.close()
  }
})
afterAll(() => close())

const deviceCount = 3
const statementCount = 8

/** A message of one device on its way: copies, losses and any order are in the list of them. */
const act = fc.record({
  device: fc.nat({ max: deviceCount - 1 }),
  what: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant("send" as const),
        index: fc.nat({ max: statementCount - 1 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("ask" as const) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant("flip" as const),
        index: fc.nat({ max: statementCount - 1 }),
        bit: fc.nat({ max: 8 * 180 - 1 }),
      }),
    },
  ),
  connection: fc.nat({ max: 2 }),
  /** The connection is a new one. */
  isNew: fc.boolean(),
  /** Nothing more is sent before this is answered. */
  isAwaited: fc.boolean(),
})

let run = 0
let forgetful = 0

test("any interleaving of honest devices' statements, copies, losses and flipped bits ends with each chain whole and nobody accused", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 10, maxLength: 60 }), async (acts) => {
      run += 1
      const devices = await Promise.all(
        Array.from({ length: deviceCount }, (_, number) =>
          stand.enrol(`r${run}-${number}`, number === 0 ? algorithmEd25519 : algorithmEsp256),
        ),
      )
      const outboxes = devices.map((device) =>
        Array.from({ length: statementCount }, () => device.next().bytes),
      )
      const places = new Map<string, IntakePlace>()
      const honest: Promise<number | undefined>[] = []
      const flipped: Promise<number | undefined>[] = []
      for (const { device, what, connection, isNew, isAwaited } of acts) {
        const name = `${device}/${connection}`
        if (isNew || !places.has(name)) places.set(name, intakes[connection % 2]!.open(devices[device]!.id))
        const place = places.get(name)!
        let answer: Promise<unknown>
        if (what.kind === "ask") answer = place.submit({ kind: "question" })
        else {
          const bytes = Uint8Array.from(outboxes[device]![what.index]!)
          if (what.kind === "flip") bytes[what.bit >> 3]! ^= 1 << (what.bit & 7)
          const code = offer(place, bytes).then((receipt) => receipt?.code)
          ;(what.kind === "flip" ? flipped : honest).push(code)
          answer = code
        }
        if (isAwaited) await answer
      }
      // The bits that were flipped: never stored, and no copy of anything.
      for (const code of await Promise.all(flipped)) expect([undefined, 10, 12, 13, 15, 17]).toContain(code)
      for (const code of await Promise.all(honest)) expect([undefined, 1, 2, 20, 21]).toContain(code)

      for (const [number, device] of devices.entries()) {
        const place = intakes[number % 2]!.open(device.id)
        const { head } = await ask(place)
        for (const bytes of outboxes[number]!.slice(head.seq)) {
          expect(await offer(place, bytes)).toMatchObject({ code: 1 })
        }
        const { rows } = await stand.pool.query<{ entry: Uint8Array }>(
          "select entry from entries where device_id = $1 order by id",
          [device.id],
        )
        expect(rows.map(({ entry }) => formatHex(entry))).toEqual(
          outboxes[number]!.map((bytes) => formatHex(entryOf(bytes))),
        )
      }
      const { rows } = await stand.pool.query("select count(*) as count from forks")
      expect(rows).toEqual([{ count: 0 }])
    }),
    { numRuns: 30 },
  )
})

/** A device that comes back with nothing but its key: it asks, makes what follows anew, and waits for some of it or none. */
const visit = fc.record({
  intake: fc.nat({ max: 1 }),
  statements: fc.nat({ max: 6 }),
  isAwaited: fc.boolean(),
})

test("a device that forgets, and makes its statements anew from the head that it is told, is never accused, whatever is still on its way", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(visit, { minLength: 3, maxLength: 12 }), async (visits) => {
      forgetful += 1
      const device = await stand.enrol(`forgets-${forgetful}`)
      const answers: Promise<number | undefined>[] = []
      for (const [number, { intake, statements, isAwaited }] of [
        ...visits,
        { intake: 0, statements: 1, isAwaited: true },
      ].entries()) {
        const place = intakes[intake]!.open(device.id)
        device.goOnFrom(await ask(place))
        for (let left = statements; left > 0; left--) {
          const { bytes } = device.next({ iat: 1_700_000_000 + number })
          answers.push(offer(place, bytes).then((receipt) => receipt?.code))
        }
        if (isAwaited) await answers.at(-1)
      }
      for (const code of await Promise.all(answers)) expect([undefined, 1]).toContain(code)
      expect(await answers.at(-1)).toBe(1)
      expect((await ask(stand.intake.open(device.id))).head).toMatchObject({ seq: device.seq })
    }),
    { numRuns: 40 },
  )
  const { rows } = await stand.pool.query("select count(*) as count from forks")
  expect(rows).toEqual([{ count: 0 }])
})

test("and all of it seals into a log that adds up", async () => {
  await stand.seal()
  const log = await auditLog(stand.pool, stand.keys)
  expect([log.unsealed.size, log.manifests.length]).toEqual([0, 1])
  expect(log.heightOf.size).toBeGreaterThan(run * deviceCount * (statementCount + 1) + 2 * forgetful)
})
