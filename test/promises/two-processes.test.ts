import { expect, onTestFinished, test } from "vitest"
import { openTestDatabase } from "../ingest/postgres.ts"
import { soakTwo } from "../simulation/two-soak.ts"

test("Two processes on one database keep the promises of one: devices move between them in the middle of a stream, and either is killed", async () => {
  const database = await openTestDatabase()
  onTestFinished(() => database.close())
  const report = await soakTwo({ rounds: 2, seed: 1, devices: 8, databaseUrl: database.url })
  // Kept means also: every chain whole, no honest device refused, all of it sealed once, and `tidemark verify` passes.
  expect(report).toMatchObject({
    lost: 0,
    storedTwice: 0,
    refused: 0,
    unsealed: 0,
    faults: [],
    isKept: true,
  })
  // And something was at stake.
  expect(report.acknowledged).toBeGreaterThan(500)
  expect(report.moves.cut).toBeGreaterThan(5)
  expect(report.moves.late).toBeGreaterThan(5)
  expect(report.blocks).toBeGreaterThan(1)
}, 300_000)
