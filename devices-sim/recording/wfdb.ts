import { readFile } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { absoluteTimeMin } from "../../chain/senml.ts"
import {
  RecordingError,
  startsAtDefault,
  type Recording,
  type RecordedSignal,
  type RecordingOptions,
} from "./recording.ts"
import { localTimeRemark, noStartRemark } from "./remark.ts"
import { metricNameOf } from "./row.ts"
import { parseWfdbHeader, type WfdbHeader, type WfdbSignal } from "./wfdb-header.ts"

/** A WFDB record by its header: each signal is a waveform of the converter's own numbers with its gain and baseline. */
export async function readWfdb(file: string, options: RecordingOptions): Promise<Recording> {
  const header = parseWfdbHeader(file, await readFile(file, "utf8"))
  const remarks: string[] = []
  const startsAt = startOf(header, options, remarks)
  const signals: RecordedSignal[] = []
  const files = [file]
  for (const dataFile of new Set(header.signals.map((signal) => signal.file))) {
    const path = join(dirname(file), dataFile)
    const members = header.signals.filter((signal) => signal.file === dataFile)
    const columns = decodeSignals(path, await readSignalFile(path), members, header.samples)
    files.push(path)
    for (const [index, member] of members.entries()) {
      const samples = columns[index] ?? new Int16Array()
      requireChecksum(path, member, samples)
      if (samples.length > 0) signals.push(waveformOf(member, header, startsAt, samples))
      // Format 212 says so by -2048, format 16 by -32768; they stay as they are.
      const absent = samples.filter((sample) => sample === (member.storage === 212 ? -2048 : -32_768)).length
      if (absent > 0)
        remarks.push(`${absent} samples of ${metricOf(member)} are the format's mark for "not measured"`)
    }
  }
  return { format: "wfdb", files, signals, remarks }
}

function startOf(header: WfdbHeader, options: RecordingOptions, remarks: string[]): number {
  if (options.startsAt !== undefined) return options.startsAt
  if (header.startsAt !== null && header.startsAt >= absoluteTimeMin) {
    remarks.push(localTimeRemark)
    return header.startsAt
  }
  remarks.push(noStartRemark)
  return startsAtDefault
}

async function readSignalFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new RecordingError(path, null, "is missing: the header of its WFDB record names it")
    }
    throw error
  }
}

/** Samples of the signals that share a file, one column each: they take turns, sample by sample (signal(5)). */
function decodeSignals(
  path: string,
  bytes: Uint8Array,
  members: readonly WfdbSignal[],
  samplesOfEach: number | null,
): Int16Array[] {
  const [first] = members
  if (first === undefined) return []
  if (
    members.some(({ storage, byteOffset }) => storage !== first.storage || byteOffset !== first.byteOffset)
  ) {
    throw new RecordingError(path, null, "signals of one file must have one format and one offset")
  }
  const stored = bytes.subarray(first.byteOffset)
  const held = first.storage === 212 ? Math.floor((stored.length * 2) / 3) : Math.floor(stored.length / 2)
  const count = samplesOfEach ?? Math.floor(held / members.length)
  if (count * members.length > held) {
    throw new RecordingError(path, null, `must hold ${count} samples of each of ${members.length} signals`)
  }
  const decode = first.storage === 212 ? decode212 : decode16
  return members.map((_, member) =>
    Int16Array.from({ length: count }, (__, i) => decode(stored, i * members.length + member)),
  )
}

/** Format 212: two 12-bit two's complement samples in three bytes, the high nibbles of both in the middle one. */
function decode212(bytes: Uint8Array, index: number): number {
  const at = (index >>> 1) * 3
  const nibbles = bytes[at + 1] ?? 0
  const twelve =
    index % 2 === 0
      ? ((nibbles & 0x0f) << 8) | (bytes[at] ?? 0)
      : ((nibbles & 0xf0) << 4) | (bytes[at + 2] ?? 0)
  return (twelve << 20) >> 20
}

/** Format 16: 16-bit two's complement, the low byte first. */
function decode16(bytes: Uint8Array, index: number): number {
  return (((bytes[index * 2 + 1] ?? 0) << 24) >> 16) | (bytes[index * 2] ?? 0)
}

function requireChecksum(path: string, signal: WfdbSignal, samples: Int16Array): void {
  if (signal.checksum === null) return
  let sum = 0
  for (const sample of samples) sum = ((sum + sample) << 16) >> 16
  if (sum !== (signal.checksum << 16) >> 16) {
    throw new RecordingError(
      path,
      null,
      `the samples of ${metricOf(signal)} do not add up to the header's checksum`,
    )
  }
}

function waveformOf(
  signal: WfdbSignal,
  { rateHz }: WfdbHeader,
  startsAt: number,
  samples: Int16Array,
): RecordedSignal {
  const { gain, baseline, unit } = signal
  const scale = { factor: 1 / gain, origin: baseline === 0 ? 0 : -baseline / gain }
  return {
    kind: "waveform",
    metric: metricOf(signal),
    unit,
    startsAt,
    periodMs: 1000 / rateHz,
    ...scale,
    samples,
  }
}

/** `ecg-mlii` for a voltage, the description alone for anything else. */
function metricOf(signal: WfdbSignal): string {
  const label = metricNameOf(signal.description) || metricNameOf(basename(signal.file))
  return /^[mu]V$/.test(signal.unit) ? `ecg-${label}` : label
}
