import { expect, test } from "vitest"
import { openTestDatabase } from "../ingest/postgres.ts"
import { spineTemplate } from "../ingest/stand.ts"
import { badKinds } from "./bad-neighbour.ts"
import { soakBesideNeighbours } from "./neighbours-soak.ts"

test("beside each kind of bad neighbour every honest statement is acknowledged and stored once, and none is refused", async () => {
  const database = await openTestDatabase({ template: spineTemplate })
  const report = await soakBesideNeighbours({ seed: 1, rounds: 1, turnMs: 700, databaseUrl: database.url })
  await database.close()
  expect(report.faults).toEqual([])
  expect(report.acknowledged).toBe(report.stored)
  expect([...report.table.keys()]).toEqual([...badKinds])
  expect(report.acknowledged).toBeGreaterThan(20)
  // And the neighbours were there.
  expect([...report.verdicts.keys()].join()).toMatch(/accepted.*bad-signature.*fork|fork.*bad-signature/)
}, 300_000)
