import { expect, test } from "vitest"
import { openPool } from "../../ingest/database/pool.ts"
import { openIntake } from "../../ingest/intake.ts"
import { makeLogKeys } from "../../ingest/log-keys.ts"
import { TestDevice } from "./stand.ts"

test("a service ends though its database is away, and what it could not store is neither judged nor acknowledged", async () => {
  // Nothing listens on port 1.
  const pool = openPool("postgres://nobody@127.0.0.1:1/nothing")
  const judged: string[] = []
  const failures: (Error | null)[] = []
  const intake = openIntake({
    pool,
    keys: makeLogKeys("tidemark.invalid/away"),
    closingMsMax: 0,
    events: { judged: (device) => judged.push(device), troubled: (error) => failures.push(error) },
  })
  const statement = new TestDevice("away").next()
  const answer = intake.open("away").submit({ kind: "statement", bytes: statement.bytes })
  await intake.close()
  expect(await answer).toEqual({ kind: "dropped" })
  expect(judged).toEqual([])
  expect(failures.length).toBeGreaterThan(0)
  await pool.end()
})
