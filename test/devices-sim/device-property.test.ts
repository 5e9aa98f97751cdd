import * as fc from "fast-check"
import { expect, test } from "vitest"
import { algorithmEd25519, algorithmEsp256 } from "../../chain/key.ts"
import { isRefusal, statementVerdicts } from "../../chain/verdict.ts"
import { type Action, DeviceWorld } from "./device-world.ts"

const pick = fc.nat({ max: 2 ** 20 })
const orderly = fc.oneof(
  { weight: 14, arbitrary: fc.constant<Action>({ kind: "go" }) },
  { weight: 2, arbitrary: fc.constant<Action>({ kind: "work" }) },
  { weight: 4, arbitrary: fc.constant<Action>({ kind: "say" }) },
  { weight: 1, arbitrary: fc.constant<Action>({ kind: "timer" }) },
  { weight: 2, arbitrary: fc.constant<Action>({ kind: "deliver", pick: 0 }) },
  { weight: 2, arbitrary: fc.constant<Action>({ kind: "hear", pick: 0 }) },
  { weight: 1, arbitrary: fc.constant<Action>({ kind: "cut" }) },
)
const hostile = fc.oneof(
  { weight: 20, arbitrary: orderly },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("deliver" as const), pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("hear" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("repeat" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose-answer" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose-letter" as const), pick }) },
)
const powerLoss = { weight: 1, arbitrary: fc.constant<Action>({ kind: "power-loss" }) }
const actions = (one: fc.Arbitrary<Action>) => fc.array(one, { maxLength: 150, size: "max" })
const algorithm = fc.constantFrom(algorithmEd25519, algorithmEd25519, algorithmEsp256)

function live(world: DeviceWorld, lived: readonly Action[]): void {
  for (const action of lived) world.act(action)
  world.calmDown()
  // Whatever happened: never two histories, never a key or a name in doubt, and everything came to an end.
  for (const verdict of ["fork", "wrong-device", "unknown-key", "revoked", "high-s"] as const) {
    expect([verdict, world.service.countOf(verdict)]).toEqual([verdict, 0])
  }
  expect(world.alarms.filter(({ kind }) => kind !== "contradiction")).toEqual([])
  expect(world.isAtRest).toBe(true)
}

const everything = (world: DeviceWorld): number[] =>
  Array.from({ length: world.saidCount }, (_, index) => index)

test("whatever connections break, everything is stored once, in order, and nothing is ever refused", () => {
  fc.assert(
    fc.property(algorithm, actions(orderly), (key, lived) => {
      const world = new DeviceWorld(key, true)
      live(world, lived)
      expect(world.storedContents()).toEqual(everything(world))
      expect(statementVerdicts.filter((one) => isRefusal(one) && world.service.countOf(one) > 0)).toEqual([])
      expect(world.alarms).toEqual([])
    }),
    { numRuns: 150 },
  )
})

test("whatever is swapped, repeated or lost, everything is stored once and in order, and no device is accused", () => {
  fc.assert(
    fc.property(algorithm, actions(hostile), (key, lived) => {
      const world = new DeviceWorld(key, true)
      live(world, lived)
      expect(world.storedContents()).toEqual(everything(world))
    }),
    { numRuns: 200 },
  )
})

test("a device with a durable outbox loses nothing, whenever its power is lost", () => {
  fc.assert(
    fc.property(algorithm, actions(fc.oneof({ weight: 12, arbitrary: hostile }, powerLoss)), (key, lived) => {
      const world = new DeviceWorld(key, true)
      live(world, lived)
      expect(world.storedContents()).toEqual(everything(world))
    }),
    { numRuns: 200 },
  )
})

test("a device without a durable outbox loses at most what was not acknowledged, and is never accused", () => {
  fc.assert(
    fc.property(algorithm, actions(fc.oneof({ weight: 12, arbitrary: hostile }, powerLoss)), (key, lived) => {
      const world = new DeviceWorld(key, false)
      live(world, lived)
      const stored = world.storedContents()
      expect(stored).toEqual([...new Set(stored)].toSorted((a, b) => a - b))
      const storedSet = new Set(stored)
      expect([...world.settled].filter((content) => !storedSet.has(content))).toEqual([])
    }),
    { numRuns: 200 },
  )
})

test("a byte that changes on its way costs a refusal and nothing else", () => {
  const corrupt = fc.record({ kind: fc.constant("corrupt" as const), pick })
  fc.assert(
    fc.property(
      algorithm,
      actions(fc.oneof({ weight: 8, arbitrary: hostile }, { weight: 1, arbitrary: corrupt })),
      (key, lived) => {
        // Two at most: the third refusal of one statement would make the device give its readings up as refused.
        const world = new DeviceWorld(key, true, 2)
        for (const action of lived) world.act(action)
        world.calmDown()
        expect(world.storedContents()).toEqual(everything(world))
        expect(world.service.countOf("fork")).toBe(0)
      },
    ),
    { numRuns: 200 },
  )
})
