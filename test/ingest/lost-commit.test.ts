import { setImmediate as yieldToLoop } from "node:timers/promises"
import { expect, test } from "vitest"
import { openPool } from "../../ingest/database/pool.ts"
import { type Intake, type IntakeEvents, openIntake } from "../../ingest/intake.ts"
import { type Proxy, openProxy } from "./proxy.ts"
import { type Stand, ask, offer, openStand, send, untilTrue } from "./stand.ts"

interface LossyStand extends Stand {
  readonly proxy: Proxy
  /** Behind the proxy; `intake` is not. */
  readonly lossy: Intake
}

async function withLossyStand(
  work: (stand: LossyStand) => Promise<void>,
  events: IntakeEvents = {},
): Promise<void> {
  const stand = await openStand()
  const proxy = await openProxy(stand.url)
  const pool = openPool(proxy.url)
  const lossy = openIntake({
    pool,
    keys: stand.keys,
    events,
    wait: async () => yieldToLoop(),
  })
  try {
    await work({ ...stand, proxy, lossy })
  } finally {
    proxy.restore()
    await lossy.close()
    await pool.end()
    await proxy.close()
    await stand.close()
  }
}

async function countEntries({ pool }: Stand, device: string): Promise<number> {
  const { rows } = await pool.query("select count(*) as count from entries where device_id = $1", [device])
  return rows[0].count
}

test("a retry after a lost answer to COMMIT finds its own rows: accepted, not duplicate", () =>
  withLossyStand(async (stand) => {
    const device = await stand.enrol("lost-answer")
    const place = stand.lossy.open(device.id)
    await ask(place)
    const first = device.next()
    const ahead = device.next({ iat: 7_258_118_400 })
    const unread = device.next({ payload: new Uint8Array([0xff]) })
    const lost = stand.proxy.loseNextCommitAnswer()
    // The second copy is a duplicate, also where the first one's answer was lost.
    const answers = [first, first, ahead, unread].map((statement) => send(place, statement))
    await lost
    expect((await Promise.all(answers)).map(({ code }) => code)).toEqual([1, 2, 4, 3])
    expect(await countEntries(stand, device.id)).toBe(3)
    expect(await send(place, device.next())).toMatchObject({ code: 1, seq: 4 })
  }))

test("a COMMIT that never reached the server leaves nothing, and is tried again", () =>
  withLossyStand(async (stand) => {
    const device = await stand.enrol("lost-commit")
    const place = stand.lossy.open(device.id)
    const lost = stand.proxy.loseNextCommit()
    const answer = send(place, device.next())
    await lost
    expect(await answer).toMatchObject({ code: 1, seq: 1 })
    expect(await countEntries(stand, device.id)).toBe(1)
  }))

test("a refusal whose COMMIT's answer was lost is refused again, and what was behind it is not judged", () =>
  withLossyStand(async (stand) => {
    const device = await stand.enrol("lost-refusal")
    const place = stand.lossy.open(device.id)
    const [first, second, third] = [device.next(), device.next(), device.next()]
    const lost = stand.proxy.loseNextCommitAnswer()
    const answers = [first, third, second].map(({ bytes }) => offer(place, bytes))
    await lost
    expect((await Promise.all(answers)).map((receipt) => receipt?.code)).toEqual([1, 20, undefined])
    expect(await countEntries(stand, device.id)).toBe(1)
  }))

test("a fork whose COMMIT's answer was lost is a fork still, and its pair is kept once", () =>
  withLossyStand(async (stand) => {
    const device = await stand.enrol("lost-fork")
    const place = stand.lossy.open(device.id)
    const other = device.sign({ iat: 1_700_000_000 })
    const lost = stand.proxy.loseNextCommitAnswer()
    const answers = [device.next(), other].map(({ bytes }) => offer(place, bytes))
    await lost
    expect((await Promise.all(answers)).map((receipt) => receipt?.code)).toEqual([1, 22])
    const { rows } = await stand.pool.query("select seq from forks")
    expect(rows).toEqual([{ seq: 1 }])
  }))

test("a device that moved on while its COMMIT's answer was lost is fenced, never accused", () =>
  withLossyStand(async (stand) => {
    const device = await stand.enrol("lost-and-moved")
    const place = stand.lossy.open(device.id)
    await ask(place)
    const lost = stand.proxy.loseNextCommitAnswer()
    const statement = device.next()
    const answer = offer(place, statement.bytes)
    stand.proxy.cut()
    stand.proxy.restore()
    await Promise.race([lost, answer])
    const elsewhere = stand.intake.open(device.id)
    const told = await ask(elsewhere)
    device.goOnFrom(told)
    const next = await send(elsewhere, told.head.seq === 1 ? device.next() : statement)
    expect(next.code).toBe(1)
    expect([undefined, 1, 2]).toContain((await answer)?.code)
    const { rows } = await stand.pool.query("select from forks")
    expect(rows).toEqual([])
  }))

test("backends killed at any moment lose nothing and accuse nobody", async () => {
  const troubles: (Error | null)[] = []
  await withLossyStand(
    async (stand) => {
      const devices = await Promise.all([1, 2, 3].map((number) => stand.enrol(`killed-${number}`)))
      const sending = devices.map(async (device) => {
        const place = stand.lossy.open(device.id)
        const codes = new Set<number>()
        for (let round = 0; round < 40; round++) {
          const batch = Array.from({ length: 10 }, () => send(place, device.next()))
          for (const { code } of await Promise.all(batch)) codes.add(code)
        }
        return codes
      })
      const done = new AbortController()
      const finished = Promise.all(sending).finally(() => done.abort())
      let kills = 0
      while (!done.signal.aborted && kills < 15) {
        const { rowCount } = await stand.pool.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`,
        )
        kills += rowCount ?? 0
        await stand.pool.query("select pg_sleep(0.003)")
      }
      const codes = await finished
      expect(kills).toBeGreaterThan(3)
      expect(codes).toEqual(devices.map(() => new Set([1])))
      for (const device of devices) expect(await countEntries(stand, device.id)).toBe(400)
      expect(troubles.length).toBeGreaterThan(0)
      expect(troubles.at(-1)).toBeNull()
    },
    { troubled: (error) => troubles.push(error) },
  )
})

test("while the database is away nothing is answered, and when it is back everything is, in order", async () => {
  const troubles: (Error | null)[] = []
  await withLossyStand(
    async (stand) => {
      const device = await stand.enrol("away")
      const place = stand.lossy.open(device.id)
      await send(place, device.next())
      stand.proxy.cut()
      const order: number[] = []
      const answers = Array.from({ length: 50 }, async () => {
        const statement = device.next()
        const receipt = await send(place, statement)
        order.push(statement.seq)
        return receipt
      })
      while (stand.proxy.refusedCount() < 3) await stand.pool.query("select pg_sleep(0.01)")
      expect(order).toEqual([])
      expect(stand.lossy.waiting()).toBe(50)
      expect(await countEntries(stand, device.id)).toBe(1)
      stand.proxy.restore()
      expect((await Promise.all(answers)).map(({ code }) => code)).toEqual(answers.map(() => 1))
      expect(order).toEqual(Array.from({ length: 50 }, (_, index) => index + 2))
      expect(troubles.filter((error) => error !== null).length).toBeGreaterThan(2)
      expect(troubles.at(-1)).toBeNull()
    },
    { troubled: (error) => troubles.push(error) },
  )
})

test("an intake that waits for another's lock waits, and then goes on", () =>
  withLossyStand(async (stand) => {
    const device = await stand.enrol("locked")
    const place = stand.lossy.open(device.id)
    const client = await stand.pool.connect()
    await client.query("begin")
    await client.query("select from chain_heads where device_id = $1 for update", [device.id])
    const answer = send(place, device.next())
    await untilTrue(
      stand.pool,
      "exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database())",
    )
    await client.query("rollback")
    client.release()
    expect(await answer).toMatchObject({ code: 1 })
  }))
