import { expect, test } from "vitest"
import { nearestMetrics } from "../../research/known-metric.ts"
import { metrics } from "../../research/metric.ts"

const names = metrics.map(({ metric }) => metric)

test.each([
  ["glucos", ["glucose"]],
  ["heartrate", ["heart-rate"]],
  ["Heart_Rate", ["heart-rate"]],
  ["hart-rtae", ["heart-rate"]],
  ["hr", ["heart-rate"]],
  ["SpO2", ["oxygen-saturation"]],
  ["blood-glucose", ["glucose"]],
  ["temperature", ["body-temperature", "skin-temperature"]],
  ["stpes", ["steps"]],
  ["acc", ["acc-x", "acc-y", "acc-z"]],
  ["qwertyuiop", []],
  ["", []],
])("field Q1: %j is nearest to %j", (text, nearest) => {
  expect(nearestMetrics(text, names)).toEqual(nearest)
})

test("a name of 255 characters is compared no further than needed", () => {
  expect(nearestMetrics("x".repeat(255), names)).toEqual([])
})
