import { createRequire } from "node:module"
import { readdirSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { openRecording } from "../../devices-sim/recording/open.ts"
import { vitals } from "../../devices-sim/signal/vital.ts"
import { findMetric, loincOf, metrics, unitsOfCatalogue } from "../../research/metric.ts"
import { convert, toUcum } from "../../research/unit.ts"

interface Ucum {
  validateUnitString(unit: string): { status: string }
  convertUnitTo(from: string, value: number, to: string): { toVal: number | null }
}
// CommonJS, and without types.
const { UcumLhcUtils } = createRequire(import.meta.url)("@lhncbc/ucum-lhc") as {
  UcumLhcUtils: { getInstance(): Ucum }
}
const ucum = UcumLhcUtils.getInstance()

/** LOINC's check digit: Luhn's, over the digits before the hyphen. */
function loincCheckDigit(digits: string): number {
  const sum = Array.from(digits)
    .toReversed()
    .map((digit, place) => Number(digit) * (place % 2 === 0 ? 2 : 1))
    .reduce((total, one) => total + (one > 9 ? one - 9 : one), 0)
  return (10 - (sum % 10)) % 10
}

/** Whether the catalogue knows a metric, and UCUM the unit that it is in. */
function isKnown([metric, unit]: readonly [string, string | null]): boolean {
  const found = findMetric(metric)
  return found !== null && (unit === null || toUcum(unit, found.ucumUnit) !== null)
}

test("each metric of the catalogue is named once, in the letters of a SenML name's end", () => {
  const names = metrics.map(({ metric }) => metric)
  expect(new Set(names).size).toBe(names.length)
  expect(names.filter((name) => !/^[a-z][a-z0-9-]*$/.test(name))).toEqual([])
})

test("each LOINC code has the check digit that it must have, and a wrong digit would be seen", () => {
  const codes = metrics.flatMap(({ loinc }) => loinc.map(({ code }) => code))
  expect(codes.length).toBeGreaterThan(20)
  const checked = codes
    .map((code) => code.split("-")[0]!)
    .map((digits) => `${digits}-${loincCheckDigit(digits)}`)
  expect(checked).toEqual(codes)
  expect(loincCheckDigit("8876")).not.toBe(4)
})

test("each MDC code lies in a partition of measurements, and a lead of an ECG has the code of that lead", () => {
  const codes = metrics.flatMap(({ mdc }) => mdc ?? [])
  expect(codes.length).toBeGreaterThan(20)
  // Object infrastructure (the battery), physiology, health and fitness.
  expect(codes.filter(({ code }) => ![1, 2, 129].includes(Math.floor(code / 65_536)))).toEqual([])
  expect(codes.filter(({ refId }) => !/^MDC_[A-Z0-9_]+$/.test(refId))).toEqual([])
  expect(findMetric("ecg-ii")?.mdc).toEqual({ code: 131_330, refId: "MDC_ECG_ELEC_POTL_II" })
  expect(findMetric("ecg-mlii")?.mdc).toEqual({ code: 131_328, refId: "MDC_ECG_ELEC_POTL" })
})

test("each UCUM unit that an export can give is one for an independent library", () => {
  const units = unitsOfCatalogue()
  expect(units.length).toBeGreaterThan(30)
  expect(units.filter((unit) => ucum.validateUnitString(unit).status !== "valid")).toEqual([])
  expect(ucum.validateUnitString("beat/min").status).toBe("invalid")
})

test("each unit that an Open mHealth schema takes is reached from the metric's own unit", () => {
  const mapped = metrics.filter(({ openMHealth }) => openMHealth !== null)
  expect(mapped.length).toBeGreaterThan(10)
  expect(mapped.filter(({ ucumUnit, openMHealth }) => !((ucumUnit ?? "") in openMHealth!.units))).toEqual([])
})

test.each([
  ["/", "%", 0.97, 97, "%"],
  ["/100", "%", 97, 97, "%"],
  ["%", "%", 0.97, 97, "%"],
  ["s", "ms", 0.8125, 812.5, "ms"],
  ["ms", "ms", 812, 812, "ms"],
  ["beat/min", "/min", 72, 72, "/min"],
  ["1/min", "/min", 14.2, 14.2, "/min"],
  ["count", "{steps}", 104, 104, "{steps}"],
  ["Cel", "Cel", 36.6, 36.6, "Cel"],
  ["mmol/L", "mg/dL", 5.4, 5.4, "mmol/L"],
  ["[g]/64", "m/s2", 64, 9.80665, "m/s2"],
  ["m[g]", "m/s2", -1000, -9.80665, "m/s2"],
  ["S", "uS", 0.000_000_35, 0.35, "uS"],
  ["Pa", "mm[Hg]", 15_998.64, 120, "mm[Hg]"],
  ["K", "Cel", 310.15, 37, "Cel"],
])("%s, where %s is wanted: %d is %d %s", (sent, wanted, value, expected, unit) => {
  const ucumUnit = toUcum(sent, wanted)!
  expect(ucumUnit.unit).toBe(unit)
  expect(convert(value, ucumUnit)).toBe(expected)
})

test("a conversion between two UCUM units is the one of an independent library", () => {
  const units = unitsOfCatalogue()
  let compared = 0
  for (const from of units) {
    for (const to of units) {
      const ours = toUcum(from, to)
      // SenML's % and /100 have their own meaning, tried above; counts are equal to nothing but themselves.
      if (ours === null || ours.unit !== to || from === "%" || from.startsWith("{")) continue
      const theirs = ucum.convertUnitTo(from, 7, to).toVal!
      expect(Math.abs(convert(7, ours) / theirs - 1), `${from} to ${to}`).toBeLessThan(1e-5)
      compared++
    }
  }
  expect(compared).toBeGreaterThan(50)
})

test("no unit, and one that nobody knows, have no UCUM", () => {
  expect(toUcum(null, "%")).toBeNull()
  expect(toUcum("furlong", "m")).toBeNull()
  expect(toUcum("toString", "m")).toBeNull()
})

test("glucose in mass and in moles have a LOINC code each", () => {
  const glucose = findMetric("glucose")!
  expect(loincOf(glucose, "mg/dL").map(({ code }) => code)).toEqual(["99504-3"])
  expect(loincOf(glucose, "mmol/L").map(({ code }) => code)).toEqual(["105272-9"])
})

test("whatever our simulator and the recordings measure is in the catalogue, in a unit that can be exported", async () => {
  const seen = new Map<string, string | null>(
    Object.entries(vitals).map(([metric, { unit }]) => [metric, unit]),
  )
  const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "recordings")
  for (const name of readdirSync(folder)) {
    const format = join(folder, name)
    if (!statSync(format).isDirectory()) continue
    const files = readdirSync(format).filter((file) => /\.(csv|hea)$/.test(file))
    const paths = format.includes("empatica") ? [format] : files.map((file) => join(format, file))
    for (const path of paths) {
      const { signals } = await openRecording(path, { rateHz: 64, metric: "ppg", timezone: "UTC" })
      for (const { metric, unit } of signals) seen.set(metric, unit)
    }
  }
  expect(seen.size).toBeGreaterThan(20)
  expect([...seen].filter((one) => !isKnown(one))).toEqual([])
})
