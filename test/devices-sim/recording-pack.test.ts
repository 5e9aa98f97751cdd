import { join } from "node:path"
import { array, check, integer, property, record, tuple } from "fast-check"
import { expect, test } from "vitest"
import { decodePack, encodePack } from "../../chain/senml.ts"
import { countReadings, type Series } from "../../chain/series.ts"
import { openRecording } from "../../devices-sim/recording/open.ts"
import { packRecording, samplesMax } from "../../devices-sim/recording/pack.ts"
import type { RecordedSignal, Recording } from "../../devices-sim/recording/recording.ts"
import { recordingsFolder } from "../recordings/generate.ts"

const start = 1_767_225_600
// What a statement's 65,535 bytes leave beside an envelope of 500.
const payloadSizeMax = 65_035

const paths = [
  "garmin",
  "empatica-e4",
  "empatica-e4-partial",
  "dexcom-clarity",
  "freestyle-libreview/mg-dl.csv",
  "freestyle-libreview/mmol-l.csv",
  "ppg/timer.csv",
  "ppg/timer-holes.csv",
  "ppg/datetime.csv",
  "ppg/column.csv",
  "ecg-csv/two-leads.csv",
  "ecg-csv/hole.csv",
  "wfdb/w212.hea",
  "wfdb/w16.hea",
]

test.each(paths)(
  "%s goes into packs reading by reading, each within its limits, and comes out whole",
  async (path) => {
    const recording = await openRecording(join(recordingsFolder, path), {
      rateHz: 100,
      metric: "ppg",
      timezone: "UTC",
    })
    for (const limits of [
      { readings: 60, samples: 256 },
      { readings: 1, samples: 1 },
      { readings: 10_000, samples: samplesMax },
    ]) {
      const packs = [...packRecording(recording, limits)]
      expectWithin(packs, limits)
      expectWhole(packs, recording)
      // Through the bytes of a payload and back.
      const decoded = packs.map((pack) => {
        const bytes = encodePack(pack)
        expect(bytes.length).toBeLessThan(payloadSizeMax)
        return [...decodePack(bytes)]
      })
      expectWhole(decoded, recording)
    }
  },
)

test("what was measured first is sent first, over all metrics", async () => {
  const recording = await openRecording(join(recordingsFolder, "garmin"))
  const readyOf = new Map<string, number>()
  let before = -Infinity
  let packs = 0
  for (const pack of packRecording(recording, { readings: 60, samples: 256 })) {
    packs++
    const ready: number[] = []
    for (const series of pack) {
      if (series.kind !== "number") throw new Error("a Garmin export is numbers")
      for (const time of series.times) {
        // A reading with a time that goes back is sent after the one that it follows in the file.
        const latest = Math.max(time, readyOf.get(series.name) ?? -Infinity)
        readyOf.set(series.name, latest)
        ready.push(latest)
      }
    }
    expect(Math.min(...ready)).toBeGreaterThanOrEqual(before)
    before = Math.max(...ready)
  }
  expect(packs).toBeGreaterThan(80)
})

test("the leads of an ECG travel together, a piece of each in a pack", async () => {
  const recording = await openRecording(join(recordingsFolder, "ecg-csv/two-leads.csv"))
  const packs = [...packRecording(recording, { readings: 60, samples: 360 })]
  expect(packs).toHaveLength(5)
  for (const [second, pack] of packs.entries()) {
    expect(pack.map((series) => [series.name, countReadings(series)])).toEqual([
      ["ecg-ii", 360],
      ["ecg-v5", 360],
    ])
    for (const series of pack)
      expect(series.kind === "waveform" && series.startsAt).toBeCloseTo(start + second, 6)
  }
})

test("a pack has at most 256 series", () => {
  const signals = Array.from({ length: 600 }, (_, i): RecordedSignal => {
    return { kind: "points", metric: `metric-${i}`, unit: null, times: [start + i], values: [i] }
  })
  const packs = [...packRecording(recordingOf(signals), { readings: 10_000, samples: 100 })]
  expect(packs.map((pack) => pack.length)).toEqual([256, 256, 88])
  for (const pack of packs) encodePack(pack)
})

test("however long texts, names and numbers are, a pack stays below a statement's size", () => {
  const times = Array.from({ length: 4000 }, (_, i) => start + i / 7)
  const signals: RecordedSignal[] = [
    // The widest characters, and numbers that need all of a float64.
    {
      kind: "texts",
      metric: "note",
      unit: "x".repeat(40),
      times,
      values: times.map(() => "\uffee".repeat(1000)),
    },
    { kind: "points", metric: "m".repeat(200), unit: "u", times, values: times.map((time) => time / 3) },
    waveformOf("w".repeat(200), 100_000),
  ]
  let packs = 0
  for (const pack of packRecording(recordingOf(signals), { readings: 10_000, samples: samplesMax })) {
    expect(encodePack(pack).length).toBeLessThan(payloadSizeMax)
    packs++
  }
  expect(packs).toBeGreaterThan(180)
})

test("any recording comes out whole, whatever its times do", () => {
  const points = array(tuple(integer({ min: start - 50, max: start + 50 }), integer({ min: -2, max: 200 })), {
    maxLength: 60,
  }).map((rows) => ({ times: rows.map(([time]) => time), values: rows.map(([, value]) => value) }))
  const signals = tuple(
    array(points, { maxLength: 5 }),
    array(integer({ min: 1, max: 40 }), { maxLength: 3 }),
  )
  const limits = record({
    readings: integer({ min: 1, max: 30 }),
    samples: integer({ min: 1, max: 30 }),
  })
  const outcome = check(
    property(signals, limits, ([rows, lengths], limit) => {
      const recording = recordingOf([
        ...rows.map((row, i): RecordedSignal => ({ kind: "points", metric: `p${i}`, unit: null, ...row })),
        ...lengths.map((length, i) => waveformOf(`w${i}`, length)),
      ])
      const packs = [...packRecording(recording, limit)]
      expectWithin(packs, limit)
      expectWhole(packs, recording)
    }),
    { seed: 20_261_123, numRuns: 300 },
  )
  expect(outcome.counterexample).toBeNull()
  expect(outcome.numRuns).toBe(300)
})

test("limits that no pack can keep are our own mistake", () => {
  expect(packNothing(1, 1)).toBe(true)
  for (const readings of [0, -1, 1.5, NaN, 10_001])
    expect(() => packNothing(readings, 1)).toThrow("readings, 1 to 10000")
  for (const samples of [0, 2.5, samplesMax + 1])
    expect(() => packNothing(1, samples)).toThrow("samples, 1 to 30000")
})

function packNothing(readings: number, samples: number): boolean | undefined {
  return packRecording(recordingOf([]), { readings, samples }).next().done
}

function recordingOf(signals: readonly RecordedSignal[]): Recording {
  return { format: "garmin", files: [], signals, remarks: [] }
}

function waveformOf(metric: string, length: number): RecordedSignal {
  const samples = Int16Array.from({ length }, (_, i) => i % 30_000)
  return {
    kind: "waveform",
    metric,
    unit: "mV",
    startsAt: start,
    periodMs: 4,
    factor: 0.001,
    origin: 0,
    samples,
  }
}

function expectWithin(
  packs: readonly Series[][],
  limits: { readonly readings: number; readonly samples: number },
): void {
  for (const pack of packs) {
    const points = pack.filter(({ kind }) => kind !== "waveform").map(countReadings)
    const samples = pack.filter(({ kind }) => kind === "waveform").map(countReadings)
    expect(pack.length).toBeGreaterThan(0)
    expect(points.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(limits.readings)
    expect(Math.max(0, ...samples)).toBeLessThanOrEqual(limits.samples)
  }
}

/** Every reading is in exactly one pack, at its own time, in the order of its own file. */
function expectWhole(packs: readonly Series[][], recording: Recording): void {
  const sent = readingsOf(packs.flat())
  const recorded = readingsOf(recording.signals.map(seriesOf))
  expect([...sent.keys()].toSorted()).toEqual([...recorded.keys()].toSorted())
  for (const [key, { times, values }] of recorded) {
    expect(sent.get(key)?.values).toEqual(values)
    // A sample's time is reckoned from the start of its piece, which a float64 holds to a quarter of a microsecond.
    const tolerance = key.startsWith("waveform") ? 1e-6 : 0
    const moved = times.filter((time, i) => !(Math.abs(time - (sent.get(key)?.times[i] ?? NaN)) <= tolerance))
    expect(moved).toEqual([])
  }
}

function seriesOf(signal: RecordedSignal): Series {
  const { metric: name, unit } = signal
  if (signal.kind === "waveform") {
    const { startsAt, periodMs, factor, origin, samples } = signal
    return { kind: "waveform", name, unit, startsAt, periodMs, factor, origin, samples }
  }
  const { times } = signal
  if (signal.kind === "texts") return { kind: "text", name, unit, times, values: signal.values }
  return { kind: "number", name, unit, times, values: signal.values }
}

interface Readings {
  readonly times: number[]
  readonly values: unknown[]
}

/** Times and values by name, kind and unit, in the order given. */
function readingsOf(all: readonly Series[]): Map<string, Readings> {
  const readings = new Map<string, Readings>()
  for (const series of all) {
    if (countReadings(series) === 0) continue
    const key = `${series.kind} ${series.name} ${series.unit}`
    const { times, values } = readings.get(key) ?? { times: [], values: [] }
    readings.set(key, { times, values })
    if (series.kind === "waveform") {
      for (const [i, sample] of series.samples.entries()) {
        times.push(series.startsAt + (i * series.periodMs) / 1000)
        values.push(sample * series.factor + series.origin)
      }
    } else {
      times.push(...series.times)
      values.push(...series.values)
    }
  }
  return readings
}
