import { createHash } from "node:crypto"
import { expect, test } from "vitest"
import { countReadings, type Series } from "../../chain/series.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { ecg, ecgSamples } from "../../devices-sim/signal/electrocardiogram.ts"
import { activityAt, drawPerson, hourOf, isAsleep } from "../../devices-sim/signal/person.ts"
import { vitals, type VitalName } from "../../devices-sim/signal/vital.ts"
import { wearDevice } from "../../devices-sim/signal/wear.ts"

const startsAt = 1_767_225_600
const seeds = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"]

test.each([1, 7, 60, 61, 1000])("a pack of %i readings has exactly so many, over all metrics", (readings) => {
  const device = wearDevice(makeRandom("k7"), { startsAt })
  for (let pack = 0; pack < 5; pack++) {
    const series = device.nextPack(readings)
    expect(series.reduce((sum, one) => sum + countReadings(one), 0)).toBe(readings)
    expect(series.every((one) => countReadings(one) > 0)).toBe(true)
  }
})

test("each metric is measured at its own rate, with its SenML unit, from the start on", () => {
  const pack = wearDevice(makeRandom("k7"), { startsAt }).nextPack(1000)
  expect(pack.map((series) => series.name)).toEqual(Object.keys(vitals))
  for (const series of pack) {
    const { times } = numbers(series)
    const { unit, periodSeconds } = vitals[series.name as VitalName]
    expect(series.unit).toBe(unit)
    expect(times[0]).toBeGreaterThanOrEqual(startsAt)
    expect(times[0]).toBeLessThan(startsAt + periodSeconds)
    expect(times.slice(1).every((time, i) => time - (times[i] ?? 0) === periodSeconds)).toBe(true)
  }
})

test("how the readings are packed changes none of them", () => {
  const one = wearDevice(makeRandom("k7"), { startsAt }).nextPack(600)
  const device = wearDevice(makeRandom("k7"), { startsAt })
  const many = Array.from({ length: 10 }, () => device.nextPack(60)).flat()
  for (const series of one) {
    const parts = many.filter((part) => part.name === series.name).map(numbers)
    expect(parts.flatMap((part) => part.times)).toEqual(numbers(series).times)
    expect(parts.flatMap((part) => part.values)).toEqual(numbers(series).values)
  }
})

test("a seed gives the same signals for ever", () => {
  const atTen = startsAt + 10 * 3600
  const pack = wearDevice(makeRandom("k7"), { startsAt: atTen }).nextPack(1000)
  const first = Object.fromEntries(pack.map((series) => [series.name, numbers(series).values.slice(0, 5)]))
  expect(first).toEqual({
    "heart-rate": [52, 53, 53, 53, 53],
    steps: [0, 0, 0, 0, 0],
    "oxygen-saturation": [0.96, 0.95, 0.95, 0.95, 0.96],
    "skin-temperature": [32.4, 32.4, 32.39, 32.39, 32.38],
    "respiration-rate": [14, 14.2, 14.5, 14.8, 15.1],
  })
  const [lead] = wearDevice(makeRandom("k7"), { startsAt: atTen }).waveformPack(1000)
  const samples = lead?.kind === "waveform" ? lead.samples : new Int16Array()
  expect(samples.slice(0, 12)).toEqual(Int16Array.of(2, 4, 2, 4, 5, 5, 6, 4, 1, 2, 5, 6))
  const everything = JSON.stringify([
    pack.map((series) => ({ times: numbers(series).times, values: numbers(series).values })),
    [...samples],
  ])
  expect(createHash("sha256").update(everything).digest("hex")).toBe(
    "3f2c9cea904cb3deaf3160d5d8551c13b39ba90f049b237aa413acd8db1f3ddc",
  )
})

test("a device can wear only some metrics, and at least one", () => {
  const device = wearDevice(makeRandom("k7"), { startsAt, metrics: ["steps"] })
  expect(device.nextPack(10).map((series) => [series.name, countReadings(series)])).toEqual([["steps", 10]])
  expect(() => wearDevice(makeRandom("k7"), { startsAt, metrics: [] })).toThrow("at least one metric")
  expect(() => device.nextPack(0)).toThrow("at least 1")
  expect(() => device.waveformPack(2.5)).toThrow("at least 1")
})

test.each(seeds)("person %s walks by day in bursts and never asleep, and the heart answers", (seed) => {
  const person = drawPerson(makeRandom(seed).fork("person"))
  const metrics = ["steps", "heart-rate"] as const
  const [heart, steps] = wearDevice(makeRandom(seed), { startsAt, metrics })
    .nextPack(3 * 24 * 60 * 13)
    .map(numbers)
    .toSorted((one, other) => other.values.length - one.values.length)
  expect(heart?.values.length).toBe(3 * 24 * 60 * 12)

  const asleep = steps?.values.filter((_, i) => isAsleep(person, (steps.times[i] ?? 0) - 60)) ?? []
  expect(asleep.length).toBeGreaterThan(3 * 6 * 60)
  expect(asleep.filter((count) => count > 0).length).toBeLessThanOrEqual(3)
  const still = steps?.values.filter((count) => count === 0).length ?? 0
  const walking = steps?.values.filter((count) => count > 40).length ?? 0
  expect(still).toBeGreaterThan(1500)
  expect(walking).toBeGreaterThan(60)
  expect(Math.max(...(steps?.values ?? []))).toBeLessThan(150)

  const resting = heart?.values.filter((_, i) => isNight(heart.times[i] ?? 0)) ?? []
  const moving = heart?.values.filter((_, i) => activityAt(person, (heart.times[i] ?? 0) - 120) > 0) ?? []
  expect(mean(moving) - mean(resting)).toBeGreaterThan(12)
  expect(Math.min(...(heart?.values ?? []))).toBeGreaterThan(38)
  expect(Math.max(...(heart?.values ?? []))).toBeLessThan(150)

  function isNight(time: number): boolean {
    return hourOf(person, time) > 2 && hourOf(person, time) < 5
  }
})

test.each(seeds)(
  "person %s has a saturation that is a ratio, a skin and a breath within what bodies do",
  (seed) => {
    const metrics = ["oxygen-saturation", "skin-temperature", "respiration-rate"] as const
    for (const series of wearDevice(makeRandom(seed), { startsAt, metrics }).nextPack(3000)) {
      const { values } = numbers(series)
      const [low, high] = { "oxygen-saturation": [0.9, 1], "skin-temperature": [28, 37] }[series.name] ?? [
        6, 32,
      ]
      expect(Math.min(...values)).toBeGreaterThanOrEqual(low ?? Infinity)
      expect(Math.max(...values)).toBeLessThanOrEqual(high ?? -Infinity)
      expect(new Set(values).size).toBeGreaterThan(3)
    }
  },
)

test("an ECG is a waveform that goes on from pack to pack", () => {
  const device = wearDevice(makeRandom("k7"), { startsAt })
  const [first, second] = [device.waveformPack(250), device.waveformPack(250)].flat()
  const [both] = wearDevice(makeRandom("k7"), { startsAt }).waveformPack(500)
  if (first?.kind !== "waveform" || second?.kind !== "waveform" || both?.kind !== "waveform")
    throw new Error("kind")
  expect(first).toMatchObject({ name: "ecg", unit: "mV", startsAt, periodMs: 4, factor: 0.005, origin: 0 })
  expect(second.startsAt).toBe(startsAt + 1)
  expect([...first.samples, ...second.samples]).toEqual([...both.samples])
})

test.each(seeds)("the ECG of person %s has an R wave per beat, at the resting rate", (seed) => {
  const person = drawPerson(makeRandom(seed).fork("person"))
  const samples = ecgSamples(makeRandom(seed), person, startsAt, 250 * 60)
  // A peak is the highest sample within a third of a second, above 0.6 mV.
  let beats = 0
  for (let i = 40; i < samples.length - 40; i++) {
    const around = samples.subarray(i - 40, i + 41)
    if (
      (samples[i] ?? 0) * ecg.factor > 0.6 &&
      Math.max(...around) === samples[i] &&
      samples[i] !== samples[i - 1]
    ) {
      beats++
    }
  }
  expect(Math.abs(beats - person.restingHeartRate)).toBeLessThanOrEqual(2)
})

function numbers(series: Series): { readonly times: readonly number[]; readonly values: readonly number[] } {
  if (series.kind !== "number") throw new Error(`${series.name} is not a series of numbers`)
  return series
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
