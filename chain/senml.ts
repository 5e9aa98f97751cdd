/** A SenML pack in CBOR (RFC 8428, RFC 8798, RFC 9100, RFC 9193) to series and back, by the profile of FORMAT §3. */
import {
  type CborKey,
  CborKeys,
  CborReader,
  CborTagged,
  CborWriter,
  FormatFault,
  readInside,
} from "./cbor.ts"
import { showText } from "./shown-text.ts"
import { PointReader } from "./senml-point.ts"
import { type Series, type Waveform, countReadings, timesOf } from "./series.ts"
import { decodeWaveform, encodeWaveform } from "./waveform.ts"

export const recordsMax = 10_000
export const seriesMax = 256
/** Characters of a resolved name: RFC 8428 sets no bound, and a metric must fit an index. */
export const nameLengthMax = 255
/** RFC 8428 §4.5.3: a resolved time below 2^28 is relative to now, which a signed pack must not be. */
export const absoluteTimeMin = 2 ** 28

/** RFC 8428 §4.5.1: the characters of a resolved name. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9\-:./_]*$/
/** RFC 8428 §4.4, RFC 9100 §4: up to 10, or 26, which is 10 and secondary units. */
const versionDefault = 10
const versionSecondaryUnits = 26
/** CoAP content format 60, `application/cbor`, as RFC 9193 writes it. */
const contentCbor = "60"

/** Labels of RFC 8428 §6. */
const label = {
  bver: -1,
  bn: -2,
  bt: -3,
  bu: -4,
  bv: -5,
  bs: -6,
  n: 0,
  u: 1,
  v: 2,
  vs: 3,
  vb: 4,
  s: 5,
  t: 6,
  ut: 7,
  vd: 8,
} as const

/** What is being collected: the arrays of a point series grow while records are read. */
type Collected = Series & { readonly times?: number[]; readonly values?: unknown[] }
type NumberSeries = Collected & { readonly times: number[]; readonly values: number[] }

/** The base fields in force (RFC 8428 §4.1): they apply from their record on. */
interface Bases {
  version: number | null
  name: string
  time: number
  unit: string | null
  value: number
  sum: number
  content: string | null
}

interface PackRecord {
  name: string
  time: number
  unit: string | null
  content: string | null
  value: number | string | boolean | Uint8Array | null
  sum: number | null
}

/**
 * The series of a pack, in the order of their first records. Throws a FormatFault on a fault anywhere in it.
 */
export function decodePack(bytes: Uint8Array): readonly Series[] {
  return decodeRecords(bytes, new PointReader(bytes))
}

/** The same without the short way: for tests, which compare the two. */
export function decodePackPlainly(bytes: Uint8Array): readonly Series[] {
  return decodeRecords(bytes, null)
}

/**
 * The same by the rule of version 0.1, for the audit of what was judged by it: what stands under an unknown label had to
 * be readable too.
 */
export function decodePackByRule01(bytes: Uint8Array): readonly Series[] {
  return decodeRecords(bytes, new PointReader(bytes), true)
}

function decodeRecords(
  bytes: Uint8Array,
  points: PointReader | null,
  isUnknownRead = false,
): readonly Series[] {
  const reader = new CborReader(bytes, "senml")
  const records = reader.enterArray("a SenML pack")
  if (records < 1 || records > recordsMax) reader.fault(`a pack has 1 to ${recordsMax} records`, 0)
  const bases: Bases = { version: null, name: "", time: 0, unit: null, value: 0, sum: 0, content: null }
  const collector = new Collector()
  /** Of the bases in force: numbers without a name and unit of their own belong to it. Null until it is looked up. */
  let numbers: NumberSeries | null = null
  for (let index = 0; index < records; index++) {
    const start = reader.offset
    const pointEnd = points === null ? -1 : points.read(start)
    if (pointEnd >= 0) {
      numbers ??= collector.findNumbers(bases)
      const time = bases.time + points!.time
      const value = addBase(bases.value, points!.value)
      if (numbers !== null && time >= absoluteTimeMin && time < Infinity && Number.isFinite(value)) {
        numbers.times.push(time)
        numbers.values.push(value)
        reader.offset = pointEnd
        continue
      }
    }
    const record = readRecord(reader, bases, index === 0, isUnknownRead)
    numbers = null
    const { value } = record
    const fault =
      value instanceof Uint8Array
        ? readInside(value.byteOffset - bytes.byteOffset, () => collector.add(record))
        : collector.add(record)
    if (fault !== null) reader.fault(fault, start)
  }
  reader.leave()
  reader.end()
  return collector.series
}

class Collector {
  readonly series: Collected[] = []
  private readonly byKey = new Map<string, Collected>()

  /** Adds a record's value and sum to their series; the rule that it breaks, or null. */
  add(record: PackRecord): string | null {
    if (record.sum !== null) this.append("sum", record, record.sum)
    const { value } = record
    if (value instanceof Uint8Array) {
      if (record.content === contentCbor) {
        const { name, unit, time: startsAt } = record
        const waveform: Waveform = { kind: "waveform", name, unit, startsAt, ...decodeWaveform(value) }
        // A database would stumble over such a time for everybody who asks.
        if (!Number.isFinite(timesOf(waveform).endsAt)) return "the time of the last sample is finite"
        this.series.push(waveform)
      } else this.append("bytes", record, Uint8Array.from(value))
    } else if (typeof value === "number") this.append("number", record, value)
    else if (typeof value === "boolean") this.append("boolean", record, value)
    else if (value !== null) this.append("text", record, value)
    return this.series.length > seriesMax ? `a pack has at most ${seriesMax} series` : null
  }

  /** The numbers of this name and unit, of which one was added before; null where there is none. */
  findNumbers({ name, unit }: Pick<Bases, "name" | "unit">): NumberSeries | null {
    return (this.byKey.get(keyOf("number", name, unit)) ?? null) as NumberSeries | null
  }

  private append(kind: Exclude<Series["kind"], "waveform">, record: PackRecord, value: unknown): void {
    const key = keyOf(kind, record.name, record.unit)
    let series = this.byKey.get(key)
    if (series === undefined) {
      series = { kind, name: record.name, unit: record.unit, times: [], values: [] } as unknown as Collected
      this.byKey.set(key, series)
      this.series.push(series)
    }
    series.times!.push(record.time)
    series.values!.push(value)
  }
}

/** No text has a control character, so these cannot be mistaken for a part of one. */
function keyOf(kind: string, name: string, unit: string | null): string {
  return `${kind}\n${unit === null ? "" : `u${unit}`}\n${name}`
}

function readRecord(reader: CborReader, bases: Bases, isFirst: boolean, isUnknownRead: boolean): PackRecord {
  const start = reader.offset
  const keys = new CborKeys(reader)
  let name = ""
  let time = 0
  let unit: string | null = null
  let content: string | null = null
  let value: PackRecord["value"] = null
  let sum: number | null = null
  let values = 0

  for (let left = reader.enterMap("a SenML record"); left > 0; left--) {
    const key = keys.next()
    switch (key) {
      case label.bver:
        readVersion(reader, bases, isFirst)
        break
      case label.bn:
        bases.name = reader.readText("bn")
        break
      case label.bt:
        bases.time = readNumber(reader, "bt")
        break
      case label.bu:
        bases.unit = reader.readText("bu")
        break
      case label.bv:
        bases.value = readNumber(reader, "bv")
        break
      case label.bs:
        bases.sum = readNumber(reader, "bs")
        break
      case "bct":
        bases.content = reader.readText("bct")
        break
      case label.n:
        name = reader.readText("n")
        break
      case label.u:
        unit = reader.readText("u")
        break
      case label.t:
        time = readNumber(reader, "t")
        break
      case label.ut:
        readNumber(reader, "ut")
        break
      case "ct":
        content = reader.readText("ct")
        break
      case label.s:
        sum = readNumber(reader, "s")
        break
      case label.v:
        value = readNumber(reader, "v")
        values += 1
        break
      case label.vs:
        value = reader.readText("vs")
        values += 1
        break
      case label.vb:
        value = readBoolean(reader)
        values += 1
        break
      case label.vd:
        value = reader.readBytes("vd")
        values += 1
        break
      default:
        skipUnknown(reader, key, isUnknownRead)
    }
  }
  reader.leave()

  // Keys come in any order, so the bases are added only when the record is read.
  if (values > 1 || (values === 0 && sum === null)) {
    reader.fault("a record has exactly one of v, vs, vb and vd, or s alone", start)
  }
  const record: PackRecord = {
    name: bases.name + name,
    time: bases.time + time,
    unit: unit ?? bases.unit,
    content: content ?? bases.content,
    value: typeof value === "number" ? addBase(bases.value, value) : value,
    sum: sum === null ? null : addBase(bases.sum, sum),
  }
  if (!namePattern.test(record.name))
    reader.fault("a resolved name is letters, digits and - : . / _ (RFC 8428 §4.5.1)", start)
  if (record.name.length > nameLengthMax)
    reader.fault(`a resolved name has at most ${nameLengthMax} characters`, start)
  if (record.time < absoluteTimeMin) reader.fault("a resolved time is absolute: at least 2^28 seconds", start)
  if (!isFiniteOrAbsent(record.time) || !isFiniteOrAbsent(record.value) || !isFiniteOrAbsent(record.sum)) {
    reader.fault("resolved numbers are finite", start)
  }
  return record
}

/** Where there is no base, nothing is added: -0 + 0 is 0, and no value is ever rewritten. */
function addBase(base: number, value: number): number {
  return base === 0 ? value : base + value
}

function isFiniteOrAbsent(value: unknown): boolean {
  return typeof value !== "number" || Number.isFinite(value)
}

/** RFC 8428 §4.4: one version in the whole pack. A first record without one has the default. */
function readVersion(reader: CborReader, bases: Bases, isFirst: boolean): void {
  const start = reader.offset
  const version = reader.readUint("bver")
  if (version > versionDefault && version !== versionSecondaryUnits)
    reader.fault("bver is at most 10, or 26", start)
  if (isFirst) bases.version = version
  else if (version !== (bases.version ?? versionDefault))
    reader.fault("bver is the same in the whole pack", start)
}

/** An integer, a float or a decimal fraction (tag 4, RFC 8428 §6); finite. */
function readNumber(reader: CborReader, what: string): number {
  const start = reader.offset
  const major = reader.peekMajor()
  if (major < 2) return reader.readInt(what)
  let value: number
  if (major === 6) {
    const tagged = reader.readValue()
    if (!(tagged instanceof CborTagged) || tagged.tag !== 4) return reader.fault(`${what} is a number`, start)
    const [exponent, mantissa] = tagged.value as readonly number[]
    // The text is the exact decimal, which Number rounds once, to the nearest.
    value = Number(`${mantissa}e${exponent}`)
  } else if (major === 7) value = reader.readFloat(`${what}, a number,`)
  else return reader.fault(`${what} is a number`, start)
  return Number.isFinite(value) ? value : reader.fault(`${what} is finite`, start)
}

function readBoolean(reader: CborReader): boolean {
  const start = reader.offset
  const value = reader.readValue()
  return typeof value === "boolean" ? value : reader.fault("vb is true or false", start)
}

/** RFC 8428 §4.4: what is not understood is ignored, unless its label ends in `_`. */
function skipUnknown(reader: CborReader, key: CborKey, isUnknownRead: boolean): void {
  if (typeof key === "string" && key.endsWith("_")) reader.fault("a label that ends in _ must be understood")
  if (isUnknownRead) reader.readValue()
  else reader.skipValue()
}

/**
 * A pack of these series. Decoding gives them back in this order, but for series without a unit, which come first (a
 * base unit, once set, cannot be unset).
 *
 * @throws RangeError on what no pack can hold: no series or over 256, over 10,000 records, a time that is not absolute, a
 *   series that lacks a field or has not as many values as times
 */
export function encodePack(series: readonly Series[]): Uint8Array {
  for (const one of series) {
    checkFields(one)
    if (one.kind !== "waveform" && one.times.length !== one.values.length)
      throw new RangeError(
        `series ${showText(one.name)} has ${one.times.length} times and ${one.values.length} values: each value has a time`,
      )
  }
  const unitless = series.filter(({ unit }) => unit === null)
  const ordered = [...unitless, ...series.filter(({ unit }) => unit !== null)]
  const records = ordered.reduce((sum, one) => sum + (one.kind === "waveform" ? 1 : one.values.length), 0)
  const writer = new CborWriter()
  writer.writeHead(4, records)
  const bases: Pick<Bases, "name" | "unit" | "time"> = { name: "", unit: null, time: 0 }
  for (const one of ordered) writeSeries(writer, one, bases)
  const bytes = writer.finish()
  try {
    decodePack(bytes)
  } catch (error) {
    if (error instanceof FormatFault)
      throw new RangeError(`these series make no pack: ${error.rule}`, { cause: error })
    throw error
  }
  return bytes
}

/** Programs without types come here too: the missing field is named. */
function checkFields(series: Series): void {
  const given = series as unknown as Readonly<Record<string, unknown>>
  const needed = series.kind === "waveform" ? ["startsAt"] : ["times", "values"]
  const missing = ["name", "unit", ...needed].filter((field) => given[field] === undefined)
  if (missing.length === 0) return
  const hint = missing.includes("unit") ? ": unit is null where there is none" : ""
  throw new RangeError(`series ${showText(String(given["name"]))} has no ${missing.join(" and no ")}${hint}`)
}

function writeSeries(writer: CborWriter, series: Series, bases: Pick<Bases, "name" | "unit" | "time">): void {
  const times = series.kind === "waveform" ? [series.startsAt] : series.times
  for (const [index, time] of times.entries()) {
    // bt + t must give the time to the last bit; where it does not, the record gets a base time of its own.
    const isBaseKept = index > 0 && bases.time + (time - bases.time) === time
    const fields = new CborWriter()
    let count = 0
    const field = (key: number): CborWriter => {
      count += 1
      fields.writeInt(key)
      return fields
    }
    // In the order of deterministic encoding: 0 to 8, then -1 to -6, then texts.
    switch (series.kind) {
      case "number":
        field(label.v).writeValue(series.values[index]!)
        break
      case "text":
        field(label.vs).writeText(series.values[index]!)
        break
      case "boolean":
        field(label.vb).writeValue(series.values[index]!)
        break
      case "sum":
        field(label.s).writeValue(series.values[index]!)
        break
      default:
    }
    if (isBaseKept && time !== bases.time) field(label.t).writeValue(time - bases.time)
    if (series.kind === "waveform") field(label.vd).writeBytes(encodeWaveform(series))
    if (series.kind === "bytes") field(label.vd).writeBytes(series.values[index]!)
    if (series.name !== bases.name) field(label.bn).writeText(series.name)
    if (!isBaseKept && time !== bases.time) field(label.bt).writeValue(time)
    if (series.unit !== null && series.unit !== bases.unit) field(label.bu).writeText(series.unit)
    if (series.kind === "waveform") {
      fields.writeText("ct")
      fields.writeText(contentCbor)
      count += 1
    }
    writer.writeHead(5, count)
    writer.append(fields.finish())
    bases.name = series.name
    bases.unit = series.unit
    if (!isBaseKept) bases.time = time
  }
}

/** The latest reading of a pack in Unix seconds, of a waveform its last sample: what `accepted, ahead` is judged by. */
export function latestOf(series: readonly Series[]): number {
  return series.reduce((latest, one) => Math.max(latest, timesOf(one).endsAt), -Infinity)
}

export function countPackReadings(series: readonly Series[]): number {
  return series.reduce((sum, one) => sum + countReadings(one), 0)
}
