/** A device, two services with a log each, and everything that goes wrong with power, networks and configurations. */
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { type LogAction, type LogName, TwoLogs } from "./two-logs.ts"

const log = fc.constantFrom<LogName>("A", "B")
const action = fc.oneof(
  { weight: 8, arbitrary: fc.constant<LogAction>({ kind: "say" }) },
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant("go" as const), count: fc.integer({ min: 1, max: 30 }) }),
  },
  { weight: 2, arbitrary: fc.constant<LogAction>({ kind: "cut" }) },
  { weight: 1, arbitrary: fc.constant<LogAction>({ kind: "compact" }) },
  { weight: 1, arbitrary: fc.constant<LogAction>({ kind: "lose-outbox" }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("lose-answers" as const),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("power-loss" as const), count: fc.nat({ max: 3 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("lead" as const), log }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("configure" as const), log: fc.option(log) }) },
)

// P-256 costs ten times as much as Ed25519 here.
const isRandom = fc.nat({ max: 9 }).map((one) => one === 0)

test("between two logs a device loses nothing, signs no place twice and says nothing in the wrong one", () => {
  fc.assert(
    fc.property(
      fc.option(log),
      isRandom,
      fc.array(action, { maxLength: 50, size: "max" }),
      (configured, isP256, lived) => {
        const world = new TwoLogs(configured, isP256)
        for (const one of lived) world.act(one)
        world.calmDown()
        const stored = world.stored()
        expect({
          faults: world.faults,
          forks: Object.values(world.services).map((service) => service.countOf("fork")),
          missing: [...world.said].filter((text) => !stored.has(text) && !world.lost.has(text)),
          isAtRest: world.isAtRest,
        }).toEqual({ faults: [], forks: [0, 0], missing: [], isAtRest: true })
      },
    ),
    { numRuns: 80 },
  )
})
