/** Columns of a batch of rows, of which a run fills many places at a time with the same. */
import {
  Bool,
  type Data,
  type DataType,
  Dictionary,
  Float64,
  Int32,
  TimestampMicrosecond,
  Utf8,
  Binary,
  makeData,
  vectorFromArray,
} from "apache-arrow"

export interface Column {
  readonly name: string
  readonly type: DataType
  /**
   * The first `length` places; the column begins anew. They are good until it is filled again: a batch is written out
   * before the next one is made, and new arrays for each are held until the collector comes.
   */
  take(length: number): Data
}

/** Bits of Arrow's validity: 1 is a value. */
class Validity {
  private nulls = 0
  private readonly bits: Uint8Array

  constructor(capacity: number) {
    this.bits = new Uint8Array(Math.ceil(capacity / 64) * 8).fill(0xff)
  }

  clear(from: number, to: number): void {
    for (let place = from; place < to; place++) this.bits[place >> 3]! &= ~(1 << (place & 7))
    this.nulls += to - from
  }

  /** What Arrow is told of the first `length` places; all are values again afterwards. */
  take(length: number) {
    if (this.nulls === 0) return { nullCount: 0 }
    const facts = { nullCount: this.nulls, nullBitmap: this.bits.slice(0, Math.ceil(length / 64) * 8) }
    this.bits.fill(0xff)
    this.nulls = 0
    return facts
  }
}

/** Texts of which there are few: an index each. */
export class TextColumn implements Column {
  readonly name: string
  readonly type: Dictionary<Utf8, Int32>
  private readonly indexes: Int32Array
  private readonly validity: Validity
  private places = new Map<string, number>()

  /** @param id of the dictionary, another for each column of a batch */
  constructor(name: string, id: number, capacity: number) {
    this.name = name
    this.type = new Dictionary(new Utf8(), new Int32(), id, false)
    this.indexes = new Int32Array(capacity)
    this.validity = new Validity(capacity)
  }

  fill(text: string | null, from: number, to: number): void {
    if (text === null) this.validity.clear(from, to)
    else this.indexes.fill(this.indexOf(text), from, to)
  }

  /** The index of a text, for those who set places one by one. */
  indexOf(text: string): number {
    let index = this.places.get(text)
    if (index === undefined) this.places.set(text, (index = this.places.size))
    return index
  }

  setIndex(index: number, place: number): void {
    this.indexes[place] = index
  }

  take(length: number): Data {
    const texts = this.places.size === 0 ? [""] : [...this.places.keys()]
    const data = makeData({
      type: this.type,
      length,
      ...this.validity.take(length),
      data: this.indexes.subarray(0, length),
      dictionary: vectorFromArray(texts, new Utf8()),
    })
    this.places = new Map()
    return data
  }
}

export class NumberColumn implements Column {
  readonly name: string
  readonly type = new Float64()
  private readonly values: Float64Array
  private readonly validity: Validity

  constructor(name: string, capacity: number) {
    this.name = name
    this.values = new Float64Array(capacity)
    this.validity = new Validity(capacity)
  }

  clear(from: number, to: number): void {
    this.validity.clear(from, to)
  }

  set(value: number | null, place: number): void {
    if (value === null) this.validity.clear(place, place + 1)
    else this.values[place] = value
  }

  copy(values: Float64Array, place: number): void {
    this.values.set(values, place)
  }

  take(length: number): Data {
    const data = makeData({
      type: this.type,
      length,
      ...this.validity.take(length),
      data: this.values.subarray(0, length),
    })
    return data
  }
}

export class CountColumn implements Column {
  readonly name: string
  readonly type = new Int32()
  private readonly values: Int32Array
  private readonly validity: Validity

  constructor(name: string, capacity: number) {
    this.name = name
    this.values = new Int32Array(capacity)
    this.validity = new Validity(capacity)
  }

  fill(value: number | null, from: number, to: number): void {
    if (value === null) this.validity.clear(from, to)
    else this.values.fill(value, from, to)
  }

  take(length: number): Data {
    const data = makeData({
      type: this.type,
      length,
      ...this.validity.take(length),
      data: this.values.subarray(0, length),
    })
    return data
  }
}

export class FlagColumn implements Column {
  readonly name: string
  readonly type = new Bool()
  private readonly bits: Uint8Array

  constructor(name: string, capacity: number) {
    this.name = name
    this.bits = new Uint8Array(Math.ceil(capacity / 64) * 8)
  }

  set(value: boolean, place: number): void {
    if (value) this.bits[place >> 3]! |= 1 << (place & 7)
  }

  take(length: number): Data {
    const data = this.bits.slice(0, Math.ceil(length / 64) * 8)
    this.bits.fill(0)
    return makeData({ type: this.type, length, nullCount: 0, data })
  }
}

const two32 = 2 ** 32
/** Microseconds that still are a date for those who read them (year 294247); beyond it a time is null. */
const microsMax = 2 ** 63

/** Times in UTC to the microsecond. */
export class TimeColumn implements Column {
  readonly name: string
  readonly type = new TimestampMicrosecond("UTC")
  private readonly values: BigInt64Array
  private readonly halves: Int32Array
  private readonly validity: Validity

  constructor(name: string, capacity: number) {
    this.name = name
    this.values = new BigInt64Array(capacity)
    this.halves = new Int32Array(this.values.buffer)
    this.validity = new Validity(capacity)
  }

  /** In halves, since a BigInt for each of ten million readings would be most of the work. Little-endian, as Arrow is. */
  set(seconds: number, place: number): void {
    const micros = Math.round(seconds * 1e6)
    if (!(Math.abs(micros) < microsMax)) {
      this.validity.clear(place, place + 1)
      return
    }
    const high = Math.floor(micros / two32)
    this.halves[2 * place] = micros - high * two32
    this.halves[2 * place + 1] = high
  }

  fill(unixMs: number, from: number, to: number): void {
    this.values.fill(BigInt(Math.round(unixMs * 1000)), from, to)
  }

  take(length: number): Data {
    const data = makeData({
      type: this.type,
      length,
      ...this.validity.take(length),
      data: this.values.subarray(0, length),
    })
    return data
  }
}

/** Texts or bytes of which each is another, or none at all. */
export class LooseColumn implements Column {
  readonly name: string
  readonly type: Utf8 | Binary
  private values: (string | Uint8Array | null)[] | null = null

  constructor(name: string, type: Utf8 | Binary) {
    this.name = name
    this.type = type
  }

  set(value: string | Uint8Array, place: number): void {
    this.values ??= []
    this.values[place] = value
  }

  take(length: number): Data {
    const { values } = this
    this.values = null
    if (values !== null) {
      const whole = Array.from({ length }, (_, place) => values[place] ?? null)
      return vectorFromArray(whole, this.type as Utf8).data[0]!
    }
    const facts = {
      length,
      nullCount: length,
      nullBitmap: new Uint8Array(Math.ceil(length / 64) * 8),
      valueOffsets: new Int32Array(length + 1),
      data: new Uint8Array(0),
    }
    return this.type instanceof Utf8
      ? makeData({ type: this.type, ...facts })
      : makeData({ type: this.type, ...facts })
  }
}
