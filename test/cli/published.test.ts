import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pino } from "pino"
import { expect, test } from "vitest"
import { followPublished } from "../../cli/parts/published.ts"
import { Readiness } from "../../cli/readiness.ts"
import { makeRegistry } from "../../cli/metrics.ts"
import { noCounters } from "../../research/counters.ts"
import { readPublishedText } from "../ingest/log-audit.ts"
import { openStand } from "../ingest/stand.ts"

test("a process that only takes statements remembers the last checkpoint, and finds out that the database went back", async () => {
  const stand = await openStand()
  const own = await mkdtemp(join(tmpdir(), "tidemark-published-"))
  await stand.seal()
  const database = { pool: stand.pool, url: stand.url, pid: null, close: async () => {} }
  const registry = makeRegistry(() => true)
  const common = {
    registry,
    readiness: new Readiness(),
    httpCounters: noCounters,
    log: pino({ level: "silent" }),
  }
  const part = await followPublished(
    { dataFolder: own, database, keys: stand.keys, ...common, opens: () => {}, close: async () => {} },
    5,
  )
  // It copies what the sealer publishes, also what comes later.
  await stand.seal({ isEmptyAllowed: true })
  const last = await readPublishedText(stand.dataFolder)
  while ((await readPublishedText(own)) !== last) await stand.pool.query("select")
  // As a backup of before that block would have it.
  await stand.pool.query(
    "begin; set local session_replication_role = replica; delete from checkpoints where height = 1; commit",
  )
  expect((await part.rolledBack).message).toContain("the database is behind the published log")
  expect(await readPublishedText(own)).toBe(last)
  await part.close()
  await stand.close()
  await rm(own, { recursive: true })
})
