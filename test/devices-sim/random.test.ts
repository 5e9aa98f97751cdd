import { expect, test } from "vitest"
import { makeRandom } from "../../devices-sim/random.ts"

// The first two floats were also computed by a second implementation (Python, from the description of sfc32).
test("a seed means the same values for ever", () => {
  const random = makeRandom("k7")
  expect([random.float(), random.float(), random.int(1, 100), random.normal(70, 5)]).toEqual([
    0.9053334810015459, 0.5493957970455744, 1, 65.05254501267282,
  ])
  expect([...random.bytes(8)]).toEqual([115, 165, 99, 33, 176, 248, 0, 99])
  expect(random.pick(["a", "b", "c", "d"])).toBe("b")
  expect([random.at(0), random.at(1), random.at(2 ** 40), random.at(-1)]).toEqual([
    0.35561776626855135, 0.483727055368945, 0.3460607787128538, 0.9834190616384149,
  ])
  expect(random.fork("k7/heart-rate").float()).toBe(0.8323311134568926)
  expect(makeRandom(7).float()).toBe(0.4146208316536649)
})

test("a fork depends on the seed and its name, not on what was drawn before", () => {
  const fresh = makeRandom(1)
  const used = makeRandom(1)
  used.bytes(1000)
  expect(used.fork("ecg").bytes(32)).toEqual(fresh.fork("ecg").bytes(32))
  expect(fresh.fork("ecg").bytes(32)).not.toEqual(fresh.fork("ppg").bytes(32))
  expect(fresh.fork("ecg").bytes(32)).not.toEqual(makeRandom(2).fork("ecg").bytes(32))
})

test("a place in time has one value, and looking at it moves nothing on", () => {
  const random = makeRandom(1)
  const before = random.at(1_767_225_600)
  const next = makeRandom(1).float()
  expect(random.at(1_767_225_600)).toBe(before)
  expect(random.float()).toBe(next)
  // Neighbours are not alike, and neither are places 2^32 apart.
  const places = Array.from({ length: 1000 }, (_, i) => random.at(i))
  expect(new Set(places).size).toBe(1000)
  expect(random.at(5 + 2 ** 32)).not.toBe(random.at(5))
})

test("draws are spread as they promise", () => {
  const random = makeRandom("spread")
  const floats = Array.from({ length: 10_000 }, () => random.float())
  expect(Math.min(...floats)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...floats)).toBeLessThan(1)
  expect(mean(floats)).toBeCloseTo(0.5, 1)

  const dice = Array.from({ length: 6000 }, () => random.int(1, 6))
  for (const face of [1, 2, 3, 4, 5, 6]) {
    expect(dice.filter((die) => die === face).length).toBeGreaterThan(880)
  }
  expect(new Set(dice).size).toBe(6)

  const normals = Array.from({ length: 10_000 }, () => random.normal(100, 10))
  expect(Math.abs(mean(normals) - 100)).toBeLessThan(0.5)
  expect(Math.abs(Math.sqrt(mean(normals.map((value) => (value - 100) ** 2))) - 10)).toBeLessThan(0.3)

  const places = Array.from({ length: 10_000 }, (_, i) => random.at(i))
  expect(Math.abs(mean(places) - 0.5)).toBeLessThan(0.02)
})

test("our own mistakes are thrown", () => {
  const random = makeRandom(0)
  expect(() => random.pick([])).toThrow("nothing to choose from")
  expect(() => random.int(2, 1)).toThrow("not above")
  expect(() => random.int(0.5, 1)).toThrow("integers")
})

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
