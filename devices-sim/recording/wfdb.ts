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
import { noStartRemark } from "./remark.ts"
import { metricNameOf } from "./row.ts"
import { parseWfdbHeader, type WfdbHeader, type WfdbSignal } from "./wfdb-header.ts"
import { Zone } from "./zone.ts"

/** A WFDB record by its header: each signal is a waveform of the converter's own numbers with its gain and baseline. */
export async function readWfdb(file: string, options: RecordingOptions): Promise<Recording> {
  const header = parseWfdbHeader(file, await readFile(file, "utf8"))
  const remarks: string[] = []
  const startsAt = startOf(file, header, options, remarks)
  const signals: RecordedSignal[] = []
  const files = [file]
  for (const dataFile of new Set(header.signals.map((signal) => signal.file))) {
    const path = join(dirname(file), dataFile)
    const members = header.signals.filter((signal) => signal.file === dataFile)
    const columns = decodeSignals(path, await readSignalFile(path), members, header.samples, remarks)
    files.push(path)
    for (const [index, member] of members.entries()) {
      const samples = columns[index] ?? new Int16Array()
      checkSum(path, member, samples, remarks)
      if (member.isUncalibrated)
        remarks.push(
          `${metricOf(member)} has no gain: read with 200 a ${member.unit ?? "unit"}, as header(5) says`,
        )
      const stretches = stretchesOf(member, samples)
      for (const { from, to } of stretches)
        signals.push(waveformOf(member, header, startsAt, { from, samples: samples.subarray(from, to) }))
      const absent = samples.length - stretches.reduce((sum, { from, to }) => sum + to - from, 0)
      if (absent > 0)
        remarks.push(
          `${absent} samples of ${metricOf(member)} are left out: the format's mark for "not measured"`,
        )
    }
  }
  return { format: "wfdb", files, signals, remarks }
}

function startOf(file: string, { start }: WfdbHeader, options: RecordingOptions, remarks: string[]): number {
  if (options.startsAt !== undefined) return options.startsAt
  if (start.kind === "unreadable") throw new RecordingError(file, start.line, start.rule)
  if (start.kind === "none") {
    if (start.hasClock) remarks.push("the header has a time of day and no date: it is not used")
    remarks.push(noStartRemark)
    return startsAtDefault
  }
  const { seconds, line } = start
  if (options.timezone === undefined)
    throw new RecordingError(
      file,
      line,
      "the start of the record is local, without an offset: name its zone with --timezone, as --timezone Europe/Berlin",
    )
  const zone = new Zone(options.timezone)
  const [first, second] = zone.instantsOf(Math.floor(seconds))
  if (first === undefined)
    throw new RecordingError(
      file,
      line,
      `the start does not exist in ${zone.name}: clocks were set forward over it`,
    )
  const instant = first + (seconds - Math.floor(seconds))
  if (instant < absoluteTimeMin)
    throw new RecordingError(
      file,
      line,
      "the start is before 1978-07-04T21:24:16Z and cannot be absolute in SenML: give another with --start",
    )
  remarks.push(`local times are read in ${zone.name}`)
  if (second !== undefined)
    remarks.push("the start is in an hour that clocks repeat, and is read as the first")
  return instant
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
  remarks: string[],
): Int16Array[] {
  const [first] = members
  if (first === undefined) return []
  if (
    members.some(({ storage, byteOffset }) => storage !== first.storage || byteOffset !== first.byteOffset)
  ) {
    throw new RecordingError(path, null, "signals of one file must have one format and one offset")
  }
  if (/\.mat$/i.test(path)) requireMatrix(path, bytes, members)
  if (bytes.length < first.byteOffset)
    throw new RecordingError(path, null, `must hold ${first.byteOffset} bytes before its samples`)
  const stored = bytes.subarray(first.byteOffset)
  const held = first.storage === 212 ? Math.floor((stored.length * 2) / 3) : Math.floor(stored.length / 2)
  const count = samplesOfEach ?? Math.floor(held / members.length)
  // An odd sample of format 212 has a fourth nibble of padding, and may so seem to be one more.
  const spare = held - count * members.length
  const isPadding = first.storage === 212 && spare === 1
  if (samplesOfEach === null && (spare > 0 || (first.storage === 16 && stored.length % 2 > 0)) && !isPadding)
    throw new RecordingError(path, null, "ends in the middle of a sample of its signals: it may be cut")
  if (samplesOfEach !== null && spare >= members.length && !isPadding)
    remarks.push(
      `${Math.floor(spare / members.length)} samples of each signal in ${basename(path)} are left out: the header has fewer`,
    )
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

/** MAT-file version 4: type, rows, columns, imaginary part and length of the name, each of 32 bits, then the name. */
function requireMatrix(path: string, bytes: Uint8Array, members: readonly WfdbSignal[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [type, rows, columns, imaginary, nameLength] =
    bytes.length < 20 ? [] : [0, 4, 8, 12, 16].map((at) => view.getUint32(at, true))
  const offset = members[0]?.byteOffset ?? 0
  // 30: little endian, a full matrix of 16-bit integers.
  const isMatrix = type === 30 && imaginary === 0 && members[0]?.storage === 16
  if (!isMatrix || nameLength === undefined || 20 + nameLength !== offset)
    throw new RecordingError(
      path,
      null,
      "must be a MAT-file of version 4 with 16-bit samples, as its header says",
    )
  if (rows !== members.length || bytes.length < offset + rows * (columns ?? 0) * 2)
    throw new RecordingError(
      path,
      null,
      `must hold a matrix of ${members.length} rows and ${columns} columns: it is of another size, or cut`,
    )
}

/** Headers of some PhysioNet Challenges have 0 instead of a checksum: such a sum says nothing unless it is right. */
function checkSum(path: string, signal: WfdbSignal, samples: Int16Array, remarks: string[]): void {
  if (signal.checksum === null) return
  let sum = 0
  for (const sample of samples) sum = ((sum + sample) << 16) >> 16
  if (sum === (signal.checksum << 16) >> 16) return
  if (signal.checksum === 0) {
    remarks.push(`the header has no checksum of ${metricOf(signal)}: its samples were not checked`)
    return
  }
  throw new RecordingError(
    path,
    null,
    `the samples of ${metricOf(signal)} do not add up to the header's checksum`,
  )
}

/** Where samples were measured: the lowest number of each format says that nothing was, and is no voltage (signal(5)). */
function stretchesOf({ storage }: WfdbSignal, samples: Int16Array): { from: number; to: number }[] {
  const mark = storage === 212 ? -2048 : -32_768
  const stretches: { from: number; to: number }[] = []
  for (const [at, sample] of samples.entries()) {
    if (sample === mark) continue
    const last = stretches.at(-1)
    if (last?.to === at) last.to = at + 1
    else stretches.push({ from: at, to: at + 1 })
  }
  return stretches
}

function waveformOf(
  signal: WfdbSignal,
  { rateHz }: WfdbHeader,
  startsAt: number,
  { from, samples }: { readonly from: number; readonly samples: Int16Array },
): RecordedSignal {
  const { gain, baseline, unit } = signal
  const scale = { factor: 1 / gain, origin: baseline === 0 ? 0 : -baseline / gain }
  return {
    kind: "waveform",
    metric: metricOf(signal),
    unit,
    startsAt: startsAt + from / rateHz,
    periodMs: 1000 / rateHz,
    ...scale,
    samples,
  }
}

/** `ecg-mlii` for a voltage, the description alone for anything else. */
function metricOf(signal: WfdbSignal): string {
  const label = metricNameOf(signal.description) || metricNameOf(basename(signal.file))
  return /^[mu]V$/.test(signal.unit ?? "") ? `ecg-${label}` : label
}
