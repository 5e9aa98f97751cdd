import { expect, test } from "vitest"
import { soakByKilling } from "../simulation/kill-soak.ts"

test("An acknowledged statement is never lost", async () => {
  const report = await soakByKilling({ rounds: 3, seed: 1 })
  // Kept means also: nothing stored twice, every chain whole, the published checkpoint one of the database's.
  expect(report).toMatchObject({ lost: 0, storedTwice: 0, faults: [], isKept: true })
  // And something was at stake.
  expect(Object.values(report.kills).reduce((sum, count) => sum + count)).toBe(3)
  expect(report.acknowledged).toBeGreaterThan(1_000)
  expect(report.blocks).toBeGreaterThan(0)
}, 300_000)
