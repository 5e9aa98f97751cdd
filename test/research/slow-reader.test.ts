import { type IncomingMessage, request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, beforeAll, expect, it, test } from "vitest"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import { createKey } from "../../research/key.ts"
import type { HttpRefusal } from "../../research/problem.ts"
import { BlockIndex, Snapshot } from "../../research/snapshot.ts"
import { type SeriesFilter, type SeriesOrder, readSeries } from "../../research/stored-series.ts"
import { untilTrue } from "../ingest/stand.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

const start = 1_760_000_000
const counted: HttpRefusal[] = []
let stand: ResearchStand
let port: number

beforeAll(async () => {
  stand = await openResearchStand(
    {
      pace: { bytesPerSecondMin: 1_000_000, windowMs: 1_500, waitMsMax: 60_000 },
      placeMsMax: 20_000,
      restMsMax: 20,
    },
    { counters: { refused: (reason) => counted.push(reason) } },
  )
  const device = await stand.enrol("k7")
  // Many rows, so that a cursor is not at its end with its first fetch; and more bytes than the sockets hold.
  for (let part = 0; part < 20; part++)
    await stand.say(
      device,
      ...Array.from({ length: 10 }, (_, metric) => {
        const times = [...Array(250).keys()].map((index) => start + part * 100 + index)
        return { kind: "number" as const, name: `m${metric}`, unit: null, times, values: times }
      }),
    )
  await stand.seal()
  await stand.app.listen({ host: "127.0.0.1", port: 0 })
  port = (stand.app.server.address() as AddressInfo).port
})
afterAll(() => stand.close())

async function makeKey(name: string): Promise<string> {
  const reach = { scope: "export", devices: null, attributes: null, expiresMs: null } as const
  const made = await createKey(stand.pool, accessKeyOf(stand.keys), { ...reach, name })
  if (made.kind !== "created") throw new Error(made.kind)
  return made.key
}

/** Asks for everything, and takes the head. */
async function open(key: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    httpRequest(
      {
        host: "127.0.0.1",
        port,
        path: "/v1/readings?format=ndjson",
        headers: { authorization: `Bearer ${key}` },
      },
      (response) => resolve(response.pause()),
    )
      .on("error", reject)
      .end()
  })
}

it("field S6: four slow readers of one key leave a place to others, hold no transaction, and are cut", async () => {
  const slow = await makeKey("slow")
  const honest = await makeKey("honest")
  const drips: NodeJS.Timeout[] = []
  const readers = Array.from({ length: 4 }, async () => {
    const response = await open(slow)
    response.on("error", () => {})
    // Never silent, and no reading.
    drips.push(setInterval(() => response.read(51), 100))
    return response
  })
  await untilTrue(stand.pool, "(select count(*) from accesses) >= $1", [4])
  for (let turn = 0; turn < 3; turn++) {
    const whole = await stand.app.inject({
      url: "/v1/readings?format=csv&metric=m1",
      headers: { host: "127.0.0.1", authorization: `Bearer ${honest}` },
    })
    expect(whole.statusCode).toBe(200)
    expect(whole.body.split("\n").length).toBeGreaterThan(5_000)
  }
  // While the slow ones are waited for, their connections are back in the pool.
  await untilTrue(
    stand.pool,
    "not exists (select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%')",
  )
  // Two at a time: the others had to wait for their turn, and were as slow.
  expect((await Promise.all(readers)).map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200])
  await untilTrue(stand.pool, "(select count(*) from access_ends where outcome = 'cut') = $1", [4])
  expect(counted.filter((reason) => reason === "slow-reader")).toHaveLength(4)
  for (const drip of drips) clearInterval(drip)
  for (const reader of await Promise.all(readers)) reader.destroy()
  while (stand.desk.turnstile.count > 0) await stand.pool.query("select pg_sleep(0.01)")
  expect(stand.faults).toEqual([])
})

const everything: SeriesFilter = {
  devices: null,
  metrics: null,
  fromSeconds: null,
  toSeconds: null,
  arrivedFromMs: null,
  arrivedToMs: null,
  statementAbove: null,
  statementMax: null,
  isAheadIncluded: true,
}

/** Places of all series; between any two of them `between` runs. */
async function read(order: SeriesOrder, between: (snapshot: Snapshot) => Promise<void>): Promise<string[]> {
  const signal = new AbortController().signal
  const snapshot = await Snapshot.open(stand.pool, new BlockIndex(), { timeoutMs: 60_000, signal })
  try {
    const places: string[] = []
    for await (const { statement, position } of readSeries(snapshot, everything, order, null)) {
      places.push(`${statement}/${position}`)
      await between(snapshot)
    }
    return places
  } finally {
    await snapshot.close()
  }
}

test.each(["time", "arrival"] as const)(
  "in order of %s an answer that rests after every series is the same, whatever comes in meanwhile",
  async (order) => {
    const device = await stand.enrol(`late-${order}`)
    const whole = await read(order, async () => {})
    expect(whole.length).toBeGreaterThanOrEqual(200)
    let turn = 0
    const rested = await read(order, async (snapshot) => {
      await snapshot.rest()
      turn += 1
      if (turn % 50 === 0)
        await stand.say(device, {
          kind: "number",
          name: "zz",
          unit: null,
          times: [start + turn],
          values: [1],
        })
    })
    expect(rested).toEqual(whole)
  },
)
