/**
 * The readers on real recordings by others, which lie beside the repository (`../shared/data`) and are never copied
 * into it: see the NOTES.md of each folder there for where they come from and what is odd in them.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { encodePack } from "../../chain/senml.ts"
import { countReadings } from "../../chain/series.ts"
import { openRecording } from "../../devices-sim/recording/open.ts"
import { packRecording } from "../../devices-sim/recording/pack.ts"
import type { RecordedSignal, Recording } from "../../devices-sim/recording/recording.ts"

const folder = fileURLToPath(new URL("../../../shared/data/", import.meta.url))
const exists = existsSync(join(folder, "README.md"))
if (!exists) console.warn(`the real recordings are not at ${folder}: their tests did not run`)

test.runIf(process.env["CI"])("in CI the real recordings are there", () => {
  const missing = exists ? [] : [`the real recordings must be at ${folder}, beside the repository`]
  expect(missing).toEqual([])
})

test.runIf(exists)(
  "the Garmin watch: 25,573 events in 7 metrics, one hole of 42 hours, sentinels kept",
  async () => {
    const { signals, format } = await openRecording(at("empatica-e4-garmin-flirt/garmin/data.csv"))
    expect(format).toBe("garmin")
    expect(Object.fromEntries(signals.map((signal) => [signal.metric, countOf(signal)]))).toEqual({
      "rr-interval": 14_316,
      "heart-rate": 8748,
      stress: 2111,
      calories: 252,
      steps: 96,
      ascent: 36,
      intensity: 14,
    })
    expect(signals.reduce((sum, signal) => sum + countOf(signal), 0)).toBe(25_573)
    for (const signal of signals) {
      const steps = differences(points(signal).times)
      expect(steps.every((step) => step > 0)).toBe(true)
      const holes = steps.filter((step) => step > 12 * 3600)
      expect(holes).toHaveLength(1)
      expect(Math.abs((holes[0] ?? 0) / 3600 - 42)).toBeLessThan(1.5)
    }
    const times = signals.flatMap((signal) => [...points(signal).times]).toSorted((one, other) => one - other)
    expect(times[0]).toBe(Date.parse("2019-10-16T12:08:58.041+02:00") / 1000)
    expect(((times.at(-1) ?? 0) - (times[0] ?? 0)) / 3600).toBeCloseTo(46.5, 1)
    const stress = points(only(signals, "stress")).values
    expect([-1, -2].map((mark) => stress.filter((value) => value === mark).length)).toEqual([21, 76])
    expect(points(only(signals, "heart-rate")).values.filter((value) => value === -1)).toHaveLength(1)
  },
)

test.runIf(exists)("the Garmin folder has its 10,000 rows of acceleration too", async () => {
  const recording = await openRecording(at("empatica-e4-garmin-flirt/garmin"))
  expect(recording.signals).toHaveLength(10)
  expect(countOf(only(recording.signals, "acc-y"))).toBe(10_000)
  expectWhole(recording, 25_573 + 30_000)
})

test.runIf(exists)("the Empatica E4: six members at their rates", async () => {
  const recording = await openRecording(at("empatica-e4-garmin-flirt/empatica"))
  const counts = new Map<string, number>()
  for (const signal of recording.signals) {
    counts.set(signal.metric, (counts.get(signal.metric) ?? 0) + countOf(signal))
  }
  const rates = recording.signals.flatMap((signal) =>
    signal.kind === "waveform" ? [`${signal.metric} ${1000 / signal.periodMs}`] : [],
  )
  expect([...new Set(rates)]).toEqual(["acc-x 32", "acc-y 32", "acc-z 32", "bvp 64"])
  expect(Object.fromEntries(counts)).toEqual({
    "acc-x": 9998,
    "acc-y": 9998,
    "acc-z": 9998,
    bvp: 9998,
    eda: 9998,
    "skin-temperature": 4998,
    "heart-rate": 4998,
    "rr-interval": 4999,
  })
  const told = columnOf("empatica-e4-garmin-flirt/empatica/BVP.csv", 0).slice(2)
  const decoded = recording.signals.filter(({ metric }) => metric === "bvp").flatMap(decode)
  expect(decoded.map((value) => Number(value.toFixed(2)) + 0)).toEqual(told.map((cell) => Number(cell) + 0))
  expectWhole(recording, 64_985)
})

test.runIf(exists)("the Dexcom G6: 2,148 readings, two holes over an hour", async () => {
  const recording = await openRecording(at("cgm-dexcom-libre/dexcom_g6_clarity_export.csv"), {
    timezone: "America/New_York",
  })
  const { times, unit } = points(only(recording.signals, "glucose"))
  expect(unit).toBe("mg/dL")
  expect(times).toHaveLength(2148)
  const holes = differences(times).filter((step) => step > 3600)
  expect(holes).toHaveLength(2)
  expect(Math.max(...holes) / 3600).toBeCloseTo(6.67, 2)
  expectWhole(recording, 2148)
})

test.runIf(exists)(
  "the FreeStyle Libre: 4,306 historic readings with 4 times twice, 904 scans, 50 notes",
  async () => {
    const recording = await openRecording(at("cgm-dexcom-libre/freestyle_librelink_export.csv"), {
      timezone: "America/New_York",
    })
    const { times } = points(only(recording.signals, "glucose"))
    expect(times).toHaveLength(4306)
    expect(times.length - new Set(times).size).toBe(4)
    const holes = differences(times).filter((step) => step > 3600)
    expect(holes).toHaveLength(18)
    expect(Math.round(Math.max(...holes) / 3600)).toBe(523)
    expect(countOf(only(recording.signals, "glucose-scan"))).toBe(904)
    expect(countOf(only(recording.signals, "note"))).toBe(50)
    expectWhole(recording, 5260)
  },
)

// The last of the 68,476 rows has no line end, so that its number may be the beginning of one.
test.runIf(exists)("ppg_data3: 24,775 of 68,475 samples share the time of the one before", async () => {
  const recording = await openRecording(at("ppg-heartpy/ppg_data3.csv"), { timezone: "Europe/Amsterdam" })
  const { times } = points(only(recording.signals, "ppg"))
  expect(times).toHaveLength(68_475)
  expect(differences(times).filter((step) => step === 0)).toHaveLength(24_775)
  expectWhole(recording, 68_475)
})

test.runIf(exists)("ppg_data2: 15,000 samples, regular at about 117 Hz", async () => {
  const recording = await openRecording(at("ppg-heartpy/ppg_data2.csv"))
  const [signal] = recording.signals
  expect(signal?.kind === "waveform" && Math.round(1000 / signal.periodMs)).toBe(117)
  expect(recording.signals.flatMap(decode)).toEqual(
    columnOf("ppg-heartpy/ppg_data2.csv", 1).slice(1).map(Number),
  )
  expectWhole(recording, 15_000)
})

test.runIf(exists)("ring_data: one column of 91,987 rows, 3,465 of them holes", async () => {
  const recording = await openRecording(at("ppg-heartpy/ring_data.csv"), { rateHz: 100, metric: "ppg" })
  expect(recording.remarks).toContain("3465 rows without a value are holes")
  const told = columnOf("ppg-heartpy/ring_data.csv", 0).filter((cell) => cell !== '""')
  expect(recording.signals.flatMap(decode)).toEqual(told.map(Number))
  expectWhole(recording, 91_987 - 3465)
})

test.runIf(exists)("MIT-BIH 100: 108,000 rows of two leads at 360 Hz, digit by digit", async () => {
  const file = "ecg-mitbih-100/mitbih_100_first5min.csv"
  const recording = await openRecording(at(file))
  const leads = ["ecg-mlii", "ecg-v5"].map((metric) => only(recording.signals, metric))
  for (const [lead, signal] of leads.entries()) {
    expect(signal).toMatchObject({ kind: "waveform", unit: "mV", periodMs: 1000 / 360 })
    const told = columnOf(file, lead + 1).slice(1)
    expect(told).toHaveLength(108_000)
    const decoded = decode(signal).map((value) => value.toFixed(3))
    expect(decoded.filter((text, i) => text !== told[i])).toEqual([])
    expect(decoded).toHaveLength(told.length)
  }
  expectWhole(recording, 216_000)
})

test.runIf(exists)(
  "a WFDB header with blank lines and mixed line ends is read, and its absent .dat is named",
  async () => {
    await expect(openRecording(at("ecg-mitbih-100/100.hea"))).rejects.toThrow(
      "100.dat: is missing: the header of its WFDB record names it",
    )
  },
)

function at(path: string): string {
  return join(folder, path)
}

/** A column as the file has it, by a reading much simpler than the code under test. */
function columnOf(path: string, column: number): string[] {
  const rows = readFileSync(at(path), "utf8").trim().split("\n")
  return rows.map((row) => row.split(",")[column]?.trim() ?? "")
}

function only(signals: readonly RecordedSignal[], metric: string): RecordedSignal {
  const found = signals.filter((signal) => signal.metric === metric)
  const [signal] = found
  if (signal === undefined || found.length > 1)
    throw new Error(`${metric}: there are ${found.length} such signals`)
  return signal
}

function points(signal: RecordedSignal): Extract<RecordedSignal, { kind: "points" }> {
  if (signal.kind !== "points") throw new Error(`${signal.metric} is ${signal.kind}, not points`)
  return signal
}

function countOf(signal: RecordedSignal): number {
  return signal.kind === "waveform" ? signal.samples.length : signal.values.length
}

function decode(signal: RecordedSignal): number[] {
  if (signal.kind !== "waveform") throw new Error(`${signal.metric} is ${signal.kind}, not a waveform`)
  return Array.from(signal.samples, (sample) => sample * signal.factor + signal.origin)
}

function differences(times: readonly number[]): number[] {
  return times.slice(1).map((time, i) => time - (times[i] ?? 0))
}

/** All of it goes into packs that a statement can carry. */
function expectWhole(recording: Recording, readings: number): void {
  let packed = 0
  for (const pack of packRecording(recording, { readings: 10_000, samples: 30_000 })) {
    packed += pack.reduce((sum, series) => sum + countReadings(series), 0)
    expect(encodePack(pack).length).toBeLessThan(65_035)
  }
  expect(packed).toBe(readings)
}
