import { expect, test } from "vitest"
import { Client } from "pg"
import { openTestDatabase } from "../ingest/postgres.ts"
import { spineTemplate } from "../ingest/stand.ts"
import { underClock } from "./deep/clock.ts"
import { withDisk } from "./deep/disk.ts"
import { clockSchema, replay } from "./deep/replay.ts"
import type { Exchange } from "./deep/server.ts"
import { World } from "./deep/world.ts"

/** What the store in memory was asked on this seed, and what it said. Without troubles that Postgres has not. */
async function writeDown(seed: number): Promise<readonly Exchange[]> {
  const exchanges: Exchange[] = []
  const world = new World(seed, ["old-backup", "unstorable"])
  world.server.onExchange = (exchange) => void exchanges.push(exchange)
  await underClock(world.clock, () => withDisk(world.disk, () => world.live()))
  expect(world.truth.faults).toEqual([])
  return exchanges
}

// Two services at once, crashes, lost answers, rotations, forks: see `troubles` of each by simulate:deep --runs 1.
test.each([3, 10])(
  "asked the same questions in the same order, Postgres gives the answers of the store in memory: seed %i",
  async (seed) => {
    const exchanges = await writeDown(seed)
    const database = await openTestDatabase({ template: spineTemplate })
    try {
      const admin = new Client({ connectionString: database.url })
      await admin.connect()
      await admin.query(clockSchema)
      await admin.end()
      expect(await replay(exchanges, database.url)).toEqual([])
    } finally {
      await database.close()
    }
  },
)
