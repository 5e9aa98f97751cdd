import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { openRecording } from "../../devices-sim/recording/open.ts"
import {
  startsAtDefault,
  type RecordedSignal,
  type Recording,
} from "../../devices-sim/recording/recording.ts"
import { generateRecordings, recordingsFolder } from "../recordings/generate.ts"

test("the committed recordings are what the generator writes, byte by byte, and small", () => {
  const files = generateRecordings()
  const changed = [...files].filter(
    ([path, bytes]) => Buffer.compare(readFileSync(join(recordingsFolder, path)), bytes) !== 0,
  )
  expect(changed.map(([path]) => path)).toEqual([])
  expect([...files.values()].reduce((sum, bytes) => sum + bytes.length, 0)).toBeLessThan(600_000)
})

test("a Garmin export keeps its events, the one hole of 40 hours, the sentinels and what was sent twice", async () => {
  const recording = await openRecording(place("garmin"))
  const rows = textOf("garmin/data.csv").trim().split("\n")
  expect(recording.format).toBe("garmin")
  expect(recording.files).toHaveLength(2)
  const events = recording.signals.filter(({ metric }) => !metric.startsWith("acc-"))
  expect(events.map(({ metric, unit }) => [metric, unit])).toEqual([
    ["rr-interval", "ms"],
    ["heart-rate", "beat/min"],
    ["stress", null],
    ["calories", "kcal"],
    ["steps", "count"],
    ["ascent", "m"],
    ["intensity", "min"],
  ])
  expect(events.reduce((sum, signal) => sum + points(signal).values.length, 0)).toBe(rows.length)

  const intervals = points(only(recording, "rr-interval"))
  const told = rows.filter((row) => row.includes(";HEART_RATE_VARIABILITY;")).map((row) => row.split(";"))
  expect(intervals.values).toEqual(told.map(([, , value]) => Number(value)))
  expect(intervals.times).toEqual(told.map(([time]) => Date.parse(time ?? "") / 1000))
  const steps = differences(intervals.times)
  expect(steps.filter((step) => step > 3600)).toHaveLength(1)
  expect(Math.max(...steps)).toBeGreaterThan(39 * 3600)
  expect(steps.filter((step) => step < 0)).toHaveLength(1)

  const stress = points(only(recording, "stress")).values
  expect(stress.filter((value) => value === -1).length).toBeGreaterThan(0)
  expect(stress.filter((value) => value === -2).length).toBeGreaterThan(0)

  const acceleration = points(only(recording, "acc-z"))
  expect(acceleration).toMatchObject({ unit: "m[g]" })
  expect(differences(acceleration.times).filter((step) => step > 0.06).length).toBeGreaterThan(5)
})

test("one Garmin file alone is a recording too", async () => {
  const { signals } = await openRecording(place("garmin/acc.csv"))
  expect(signals.map(({ metric }) => metric)).toEqual(["acc-x", "acc-y", "acc-z"])
})

test("an E4 folder gives waveforms for the fast sensors and points for the slow ones", async () => {
  const recording = await openRecording(place("empatica-e4"))
  expect(recording.format).toBe("empatica-e4")
  expect(recording.remarks).toEqual([])
  const start = 1_772_435_400
  for (const [axis, metric] of ["acc-x", "acc-y", "acc-z"].entries()) {
    const signal = waveform(only(recording, metric))
    expect(signal).toMatchObject({ unit: "[g]/64", startsAt: start, periodMs: 31.25, factor: 1, origin: 0 })
    const column = columnOf("empatica-e4/ACC.csv", axis).slice(2)
    expect(Array.from(signal.samples)).toEqual(column.map(Number))
  }
  const [heart, skin] = [points(only(recording, "heart-rate")), points(only(recording, "skin-temperature"))]
  expect(heart.times.slice(0, 2)).toEqual([start + 10, start + 11])
  expect(skin.times.slice(0, 2)).toEqual([start, start + 0.25])
  expect(skin.values).toEqual(columnOf("empatica-e4/TEMP.csv", 0).slice(2).map(Number))
  expect(points(only(recording, "eda"))).toMatchObject({ unit: "uS" })

  const intervals = points(only(recording, "rr-interval"))
  const offsets = columnOf("empatica-e4/IBI.csv", 0).slice(1).map(Number)
  expect(intervals.unit).toBe("s")
  expect(intervals.times).toEqual(offsets.map((offset) => start + offset))
  expect(Math.max(...differences(intervals.times))).toBeGreaterThan(5)
  expect(only(recording, "event")).toMatchObject({ kind: "texts", values: ["button", "button"] })
})

test("a waveform whose values go beyond int16 comes in stretches that give every value back", async () => {
  const { signals } = await openRecording(place("empatica-e4/BVP.csv"))
  expect(signals.length).toBeGreaterThan(1)
  const stretches = signals.map(waveform)
  const values = stretches.flatMap(decode).map((value) => Number(value.toFixed(2)) + 0)
  expect(values).toEqual(
    columnOf("empatica-e4/BVP.csv", 0)
      .slice(2)
      .map((cell) => Number(cell) + 0),
  )
  let next = stretches[0]?.startsAt ?? 0
  for (const { startsAt, periodMs, samples } of stretches) {
    expect(startsAt).toBeCloseTo(next, 6)
    next = startsAt + (samples.length * periodMs) / 1000
  }
})

test("empty and missing E4 members are remarks, not faults", async () => {
  const recording = await openRecording(place("empatica-e4-partial"))
  expect(recording.signals.map(({ metric }) => metric)).toEqual(["skin-temperature"])
  const remarks = ["EDA.csv", "HR.csv", "IBI.csv"].map((name) => `${name} holds no readings`)
  expect(recording.remarks).toEqual(remarks)
  expect((await openRecording(place("empatica-e4-partial/EDA.csv"))).signals).toEqual([])
})

test("a Clarity export keeps Low and High as texts, repeated rows, its hole and the clock that was set back", async () => {
  const recording = await openRecording(place("dexcom-clarity"), { timezone: "UTC" })
  const rows = textOf("dexcom-clarity/export.csv")
    .split("\n")
    .map((row) => row.split(","))
  const egv = rows.filter((cells) => cells[2] === "EGV")
  const words = egv.filter((cells) => /^[A-Z]/.test(cells[7] ?? ""))
  const [numbers, texts] = [only(recording, "glucose", "points"), only(recording, "glucose", "texts")]
  expect(numbers).toMatchObject({ unit: "mg/dL" })
  expect(numbers.kind === "points" && numbers.values.length).toBe(egv.length - words.length)
  expect(texts.kind === "texts" && texts.values).toEqual(words.map((cells) => cells[7]))
  expect(words.length).toBeGreaterThan(0)
  const times = points(numbers).times
  expect(times).toEqual(egv.filter((cells) => !words.includes(cells)).map((cells) => utc(cells[1] ?? "")))
  expect(differences(times).some((step) => step < 0)).toBe(true)
  expect(differences(times).some((step) => step === 0)).toBe(true)
  expect(Math.max(...differences(times))).toBeGreaterThan(6 * 3600)
  expect(points(only(recording, "glucose-calibration")).values).toEqual([131])
  expect(recording.remarks).toEqual([
    "local times are read in UTC",
    "4 rows without a time are left out: about the person and the device",
    "2 rows without a time are left out: settings of alerts",
    "1 rows of the event type Carbs are left out",
  ])
  expect(JSON.stringify(recording)).not.toContain("Invented")
})

test("a LibreView export has its record types as metrics, in the file's order", async () => {
  const recording = await openRecording(place("freestyle-libreview/mg-dl.csv"), { timezone: "UTC" })
  const rows = textOf("freestyle-libreview/mg-dl.csv")
    .split(/\r?\n/)
    .map((row) => row.split(","))
  const historic = rows.filter((cells) => cells[3] === "0")
  const scans = rows.filter((cells) => cells[3] === "1")
  const [numbers, texts] = [only(recording, "glucose", "points"), only(recording, "glucose", "texts")]
  expect(points(numbers).values.length + (texts.kind === "texts" ? texts.values.length : 0)).toBe(
    historic.length,
  )
  expect(points(only(recording, "glucose-scan")).values).toEqual(scans.map((cells) => Number(cells[5])))
  expect(points(numbers).times[0]).toBe(Date.UTC(2026, 1, 3, 0, 2) / 1000)
  expect(Math.max(...differences(points(numbers).times))).toBeGreaterThan(13 * 86_400)
  expect(differences(points(numbers).times).filter((step) => step === 0)).toHaveLength(5)
  const notes = only(recording, "note")
  expect(notes.kind === "texts" && new Set(notes.values)).toEqual(new Set(["", 'lunch, "late"']))
  expect(recording.remarks).toContain("1 rows of record type 4 (insulin) are left out")
  expect(recording.remarks).toContain(
    "1 notes are left out: over 1,000 characters, or control characters in them",
  )
})

test("a LibreView export in mmol/L stays in mmol/L", async () => {
  const recording = await openRecording(place("freestyle-libreview/mmol-l.csv"), { timezone: "UTC" })
  const signal = points(only(recording, "glucose"))
  expect(signal.unit).toBe("mmol/L")
  expect(signal.values.every((value) => value > 2 && value < 20)).toBe(true)
  expect(signal.times[0]).toBe(Date.UTC(2026, 1, 3, 6, 41) / 1000)
  expect(differences(signal.times).every((step) => step === 900)).toBe(true)
})

test("a PPG timer that is regular but for its last digit is a waveform", async () => {
  const recording = await openRecording(place("ppg/timer.csv"), { startsAt: 1_800_000_000 })
  const signal = waveform(only(recording, "ppg"))
  expect(signal).toMatchObject({ startsAt: 1_800_000_000, factor: 1, origin: 0, unit: null })
  expect(signal.periodMs).toBeCloseTo(1000 / 117.3, 6)
  expect(Array.from(signal.samples)).toEqual(columnOf("ppg/timer.csv", 1).slice(1).map(Number))
  expect(recording.remarks).toEqual([])
})

test("a PPG timer with holes stays points at its own times", async () => {
  const recording = await openRecording(place("ppg/timer-holes.csv"))
  const signal = points(only(recording, "ppg"))
  const times = columnOf("ppg/timer-holes.csv", 0).slice(1)
  expect(signal.times).toEqual(times.map((ms) => startsAtDefault + Number(ms) / 1000))
  expect(recording.remarks.join()).toContain("2026-01-01T00:00:00Z")
  expect(recording.remarks.join()).toContain("not regular")
})

test("samples that share a time keep it", async () => {
  const recording = await openRecording(place("ppg/datetime.csv"), { timezone: "UTC" })
  const { times, values } = points(only(recording, "ppg"))
  const cells = columnOf("ppg/datetime.csv", 0).slice(1)
  expect(times).toEqual(cells.map((cell) => utc(cell.replace(" ", "T").slice(0, 23))))
  expect(values).toEqual(columnOf("ppg/datetime.csv", 1).slice(1).map(Number))
  expect(differences(times).filter((step) => step === 0).length).toBeGreaterThan(400)
})

test("one column needs a rate and a metric, and time goes on over its holes", async () => {
  const file = place("ppg/column.csv")
  await expect(openRecording(file)).rejects.toThrow(
    /column.csv: is one column without times: give its samples a second with --rate.*--metric/,
  )
  const { signals, remarks } = await openRecording(file, { rateHz: 100, metric: "ppg" })
  const starts = signals.map((signal) => waveform(signal).startsAt - startsAtDefault)
  expect(starts.map((start) => Math.round(start * 100))).toEqual([0, 340, 1103])
  const cells = columnOf("ppg/column.csv", 0).filter((cell) => cell !== '""')
  expect(signals.map(waveform).flatMap(decode)).toEqual(cells.map(Number))
  expect(remarks).toContain("41 rows without a value are holes")
})

test("an ECG at 360 Hz decodes to the very digits of its file", async () => {
  const recording = await openRecording(place("ecg-csv/two-leads.csv"))
  for (const [lead, metric] of ["ecg-ii", "ecg-v5"].entries()) {
    const signal = waveform(only(recording, metric))
    expect(signal).toMatchObject({ unit: "mV", startsAt: startsAtDefault, periodMs: 1000 / 360 })
    const cells = columnOf("ecg-csv/two-leads.csv", lead + 1).slice(1)
    expect(decode(signal).map((value) => value.toFixed(3))).toEqual(cells)
  }
})

test("an ECG with a hole is points", async () => {
  const recording = await openRecording(place("ecg-csv/hole.csv"))
  const signal = points(only(recording, "ecg-i"))
  expect(Math.max(...differences(signal.times))).toBeCloseTo(1.004, 6)
  expect(signal.values).toEqual(columnOf("ecg-csv/hole.csv", 1).slice(1).map(Number))
})

// The samples and millivolts were also read by another implementation, the Python package wfdb 4.
test.each(["wfdb/w212.hea", "wfdb/w212.dat"])("%s is read with its gain and baseline", async (path) => {
  const recording = await openRecording(place(path))
  expect(recording.format).toBe("wfdb")
  const [first, second] = recording.signals.map(waveform)
  expect(first).toMatchObject({ metric: "ecg-mlii", unit: "mV", periodMs: 1000 / 360 })
  expect(second?.metric).toBe("ecg-v1")
  expect([first, second].map((signal) => signal?.samples.length)).toEqual([2001, 2001])
  expect(first && Array.from(first.samples.slice(0, 5))).toEqual([1028, 1028, 1030, 1028, 1030])
  expect(second && Array.from(second.samples.slice(0, 5))).toEqual([1033, 1030, 1033, 1034, 1033])
  const last = [first, second].map((signal) => signal && decode(signal).at(-1)?.toFixed(3))
  expect(last).toEqual(["0.280", "0.310"])
})

test("a WFDB header in format 16 says when it began", async () => {
  const { signals, remarks } = await openRecording(place("wfdb/w16.hea"), { timezone: "UTC" })
  const [signal] = signals.map(waveform)
  expect(signal).toMatchObject({ metric: "ecg-lead-v6", periodMs: 4 })
  expect(signal?.startsAt).toBe(Date.UTC(2026, 2, 2, 14, 5, 30) / 1000)
  expect(signal && decode(signal)[0]?.toFixed(3)).toBe("0.090")
  expect(remarks).toEqual(["local times are read in UTC"])
})

function place(path: string): string {
  return join(recordingsFolder, path)
}

function textOf(path: string): string {
  return readFileSync(place(path), "utf8").replace("\ufeff", "")
}

/** A column as the file has it, by a reading much simpler than the code under test. */
function columnOf(path: string, column: number): string[] {
  const rows = textOf(path).trim().split("\n")
  return rows.map((row) => row.split(",")[column]?.trim() ?? "")
}

function utc(local: string): number {
  return Date.parse(`${local}Z`) / 1000
}

function only(recording: Recording, metric: string, kind?: RecordedSignal["kind"]): RecordedSignal {
  const found = recording.signals.filter((one) => one.metric === metric && (kind ?? one.kind) === one.kind)
  const [signal] = found
  if (signal === undefined || found.length > 1)
    throw new Error(`${metric}: there are ${found.length} such signals`)
  return signal
}

function points(signal: RecordedSignal): Extract<RecordedSignal, { kind: "points" }> {
  if (signal.kind !== "points") throw new Error(`${signal.metric} is ${signal.kind}, not points`)
  expect(signal.times.length).toBe(signal.values.length)
  return signal
}

function waveform(signal: RecordedSignal): Extract<RecordedSignal, { kind: "waveform" }> {
  if (signal.kind !== "waveform") throw new Error(`${signal.metric} is ${signal.kind}, not a waveform`)
  return signal
}

function decode(signal: Extract<RecordedSignal, { kind: "waveform" }>): number[] {
  return Array.from(signal.samples, (sample) => sample * signal.factor + signal.origin)
}

function differences(times: readonly number[]): number[] {
  return times.slice(1).map((time, i) => time - (times[i] ?? 0))
}
