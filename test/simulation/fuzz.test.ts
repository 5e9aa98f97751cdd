import { expect, test } from "vitest"
import { openTestDatabase } from "../ingest/postgres.ts"
import { spineTemplate } from "../ingest/stand.ts"
import { soakByFuzz } from "./fuzz-soak.ts"

test("20,000 broken packets and statements are answered or closed, everything adds up, and honest devices never notice", async () => {
  const database = await openTestDatabase({ template: spineTemplate })
  const report = await soakByFuzz({ seed: 1, count: 20_000, databaseUrl: database.url })
  await database.close()
  expect(report.faults).toEqual([])
  expect(report.answered + report.closed).toBe(20_000)
  expect(report.honestAcknowledged).toBeGreaterThan(10)
  // And every door was knocked at.
  const verdicts = [
    "accepted",
    "accepted-unread",
    "accepted-ahead",
    "malformed",
    "bad-signature",
    "gap",
    "broken",
  ]
  expect([...report.verdicts.keys()]).toEqual(expect.arrayContaining(verdicts))
  const reasons = [
    "protocol",
    "identifier",
    "wrong-topic",
    "packet-too-large",
    "not-mqtt",
    "protocol-version",
  ]
  expect([...report.refusedConnections.keys()]).toEqual(expect.arrayContaining(reasons))
}, 600_000)
