import type { DateOrder } from "./written-time.ts"

/** The formats that `openRecording` tells apart by content. */
export const recordingFormats = {
  "empatica-e4":
    "Empatica E4 export: a folder with ACC, BVP, EDA, TEMP, HR, IBI or tags .csv, or one of them",
  garmin:
    "Garmin export by flirt: rows `time;METRIC;value` (data.csv) or `time;x;y;z` (acc.csv), or a folder of both",
  "dexcom-clarity": "Dexcom Clarity export: CSV with Index, Timestamp and Event Type",
  "freestyle-libreview": "FreeStyle LibreView export: CSV with Device Timestamp and Record Type",
  columns:
    "columns: CSV with timer (ms), datetime or timestamp and a column per signal (hr, eda, bvp, ppg, ibi, temp, acc_x…), or one column and a rate",
  "ecg-csv": "ECG: CSV with t_ms and a column per lead named <lead>_mv or <lead>_uv",
  wfdb: "WFDB record: a .hea header with its .dat or .mat (formats 212 and 16)",
} as const

export type RecordingFormat = keyof typeof recordingFormats

/** What somebody's device once measured, as its vendor's files tell it. */
export interface Recording {
  readonly format: RecordingFormat
  /** Paths of the files that were read. */
  readonly files: readonly string[]
  readonly signals: readonly RecordedSignal[]
  /** What a user should know: how dates and zones were decided, and how many rows of which kind are left out. Never a reading. */
  readonly remarks: readonly string[]
}

/**
 * One signal in its file's own order: times may repeat, go back and have holes, and sentinels such as -1 stay values.
 * A unit is SenML's (RFC 8428, RFC 8798) where the file's number needs no change, otherwise the vendor's unit in UCUM
 * (`mg/dL`, `uS`, `m[g]`): a value is never rewritten to fit a unit.
 * A metric may have several signals: texts among its numbers, or stretches of a waveform.
 */
export type RecordedSignal = RecordedPoints | RecordedTexts | RecordedWaveform

export interface RecordedPoints {
  readonly kind: "points"
  readonly metric: string
  readonly unit: string | null
  /** Unix seconds, as many as there are values. */
  readonly times: readonly number[]
  readonly values: readonly number[]
}

export interface RecordedTexts {
  readonly kind: "texts"
  readonly metric: string
  readonly unit: string | null
  readonly times: readonly number[]
  readonly values: readonly string[]
}

/** `value = sample * factor + origin`, at the file's decimals exactly. */
interface RecordedWaveform {
  readonly kind: "waveform"
  readonly metric: string
  readonly unit: string | null
  /** Unix seconds of the first sample. */
  readonly startsAt: number
  readonly periodMs: number
  readonly factor: number
  readonly origin: number
  readonly samples: Int16Array
}

export interface RecordingOptions {
  /** When a recording begins whose file has relative times only, in Unix seconds. */
  readonly startsAt?: number
  /** Samples a second of a file that has no times at all. */
  readonly rateHz?: number
  /** The order of day, month and year of a file whose dates do not say it. */
  readonly dates?: DateOrder
  /** The IANA time zone that the device's clock kept, for local times without an offset. */
  readonly timezone?: string
  /** The metric of a file's only signal, where no name in the file says it. */
  readonly metric?: string
}

/** 2026-01-01T00:00:00Z: where a recording begins whose file does not say when it was made, unless the caller does. */
export const startsAtDefault = 1_767_225_600

/** A recording that cannot be read: which file, which line (from 1), and the rule that it breaks. Never a reading. */
export class RecordingError extends Error {
  readonly file: string
  readonly line: number | null
  readonly rule: string

  constructor(file: string, line: number | null, rule: string) {
    super(`${file}${line === null ? "" : ` line ${line}`}: ${rule}`)
    this.name = "RecordingError"
    this.file = file
    this.line = line
    this.rule = rule
  }
}
