/**
 * CBOR (RFC 8949), as much of it as FORMAT §1 allows: definite lengths, shortest forms, integers up to 2^53 - 1, the
 * tags 4, 18 and 77, no duplicate keys, nothing after the end. It checks while it decodes, so nothing costs more than
 * one pass over the bytes.
 */
import { compareBytes, encodeUtf8 } from "./bytes.ts"

/** A decoded item. Keys of maps are integers and texts. An integer and a float of the same value are both a number. */
export type CborValue =
  | number
  | boolean
  | null
  | string
  | Uint8Array
  | readonly CborValue[]
  | ReadonlyMap<CborKey, CborValue>
  | CborTagged
export type CborKey = number | string

export class CborTagged {
  readonly tag: number
  readonly value: CborValue
  constructor(tag: number, value: CborValue) {
    this.tag = tag
    this.value = value
  }
}

/** Where bytes leave a format, and the rule that they break. Thrown inside `chain/` and caught at its public edge. */
export class FormatFault extends Error {
  override readonly name = "FormatFault"
  readonly rule: string
  /** Index of the first byte of the offending item. */
  readonly offset: number
  constructor(rule: string, offset: number) {
    super(`${rule} (at byte ${offset})`)
    this.rule = rule
    this.offset = offset
  }
}

/**
 * `deterministic`: RFC 8949 §4.2.1 for the envelope and payloads of our own types, keys sorted bytewise, no floats.
 * `senml`: keys in any order, floats of any width, for payloads that other people's encoders make.
 */
export type CborProfile = "deterministic" | "senml"

export const depthMax = 8
const tagsAllowed: readonly number[] = [4, 18, 77]

export const majorUint = 0
export const majorNint = 1
export const majorBytes = 2
export const majorText = 3
export const majorArray = 4
export const majorMap = 5
export const majorTag = 6
export const majorSimple = 7

const asciiCharacters = Array.from({ length: 128 }, (_, byte) => String.fromCharCode(byte))
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Reads items one after the other and never past the end. Every method throws a FormatFault on bytes that do not fit. */
export class CborReader {
  readonly bytes: Uint8Array
  readonly profile: CborProfile
  offset = 0
  private depth = 0
  /** Made for the first float: an envelope has none, and to make it costs as much as to read some ten heads. */
  private view: DataView | null = null

  constructor(bytes: Uint8Array, profile: CborProfile) {
    this.bytes = bytes
    this.profile = profile
  }

  /** The major type of the next item, without reading it. */
  peekMajor(): number {
    const initial = this.bytes[this.offset]
    if (initial === undefined) throw new FormatFault("the bytes end where an item was expected", this.offset)
    return initial >> 5
  }

  fault(rule: string, offset = this.offset): never {
    throw new FormatFault(rule, offset)
  }

  /** The head of the next item, which must be of this major type: its argument. */
  readArgument(major: number, what: string): number {
    const start = this.offset
    if (this.peekMajor() !== major) this.fault(`${what} expected`, start)
    const low = this.bytes[this.offset++]! & 31
    if (low < 24) return low
    if (low > 27) this.fault("lengths must be definite, and 28 to 30 mean nothing", start)
    const size = 1 << (low - 24)
    if (this.offset + size > this.bytes.length) this.fault("the bytes end inside an item's head", start)
    let argument: number
    let argumentMin: number
    if (size === 1) {
      argument = this.bytes[this.offset]!
      argumentMin = 24
    } else if (size === 2) {
      argument = this.uint16At(this.offset)
      argumentMin = 0x100
    } else if (size === 4) {
      argument = this.uint32At(this.offset)
      argumentMin = 0x1_0000
    } else {
      // Exact below 2^53, and anything above is refused, so a rounded sum cannot pass for another number.
      argument = this.uint32At(this.offset) * 2 ** 32 + this.uint32At(this.offset + 4)
      argumentMin = 2 ** 32
    }
    this.offset += size
    if (argument > Number.MAX_SAFE_INTEGER) this.fault("integers go up to 2^53 - 1", start)
    if (argument < argumentMin) this.fault("integers and lengths must have their shortest form", start)
    return argument
  }

  readUint(what: string): number {
    return this.readArgument(majorUint, what)
  }

  /** An integer from -(2^53 - 1) to 2^53 - 1. */
  readInt(what: string): number {
    if (this.peekMajor() !== majorNint) return this.readUint(what)
    const start = this.offset
    const value = -1 - this.readArgument(majorNint, what)
    return value < -Number.MAX_SAFE_INTEGER ? this.fault("integers go down to -(2^53 - 1)", start) : value
  }

  /** A byte string, as a view of the bytes that are read. */
  readBytes(what: string): Uint8Array {
    return this.take(this.readArgument(majorBytes, what), what)
  }

  readText(what: string): string {
    const start = this.offset
    const length = this.readArgument(majorText, what)
    const encoded = this.take(length, what)
    let ascii = true
    let text = ""
    for (let index = 0; index < length; index++) {
      const byte = encoded[index]!
      if (byte < 0x20 || byte === 0x7f) this.fault("no control character may stand in a text", start)
      if (byte > 0x7f) ascii = false
      else if (length < 64) text += asciiCharacters[byte]
    }
    // Most texts here are a few ASCII letters, for which this is several times faster than a TextDecoder.
    if (ascii && length < 64) return text
    try {
      return utf8Decoder.decode(encoded)
    } catch {
      return this.fault("a text must be valid UTF-8", start)
    }
  }

  /** Enters an array and gives its length. The caller reads so many items and then calls `leave`. */
  enterArray(what: string): number {
    const start = this.offset
    const length = this.readArgument(majorArray, what)
    this.enter(start)
    // Every item takes a byte: a length that cannot be is refused before anything is made for it.
    if (length > this.bytes.length - this.offset)
      this.fault(`${what} is longer than the bytes that follow`, start)
    return length
  }

  /** Enters a map and gives the number of its pairs. The caller reads so many pairs and then calls `leave`. */
  enterMap(what: string): number {
    const start = this.offset
    const length = this.readArgument(majorMap, what)
    this.enter(start)
    if (2 * length > this.bytes.length - this.offset)
      this.fault(`${what} is longer than the bytes that follow`, start)
    return length
  }

  enterTag(what: string): number {
    const start = this.offset
    const tag = this.readArgument(majorTag, what)
    this.enter(start)
    if (!tagsAllowed.includes(tag)) this.fault(`tag ${tag} is not in use here`, start)
    return tag
  }

  leave(): void {
    this.depth -= 1
  }

  /**
   * A float of any width, NaN and the infinities among them; only in the `senml` profile. Which width is the encoder's
   * choice there.
   */
  readFloat(what: string): number {
    const start = this.offset
    if (this.profile === "deterministic") this.fault("floats do not belong here", start)
    const initial = this.bytes[this.offset]!
    const size =
      initial === 0xf9 ? 2 : initial === 0xfa ? 4 : initial === 0xfb ? 8 : this.fault(`${what} expected`)
    if (this.offset + 1 + size > this.bytes.length) this.fault("the bytes end inside a float", start)
    this.offset += 1 + size
    if (size === 2) return decodeHalf(this.uint16At(start + 1))
    this.view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
    return size === 8 ? this.view.getFloat64(start + 1) : this.view.getFloat32(start + 1)
  }

  readValue(): CborValue {
    switch (this.peekMajor()) {
      case majorUint:
      case majorNint:
        return this.readInt("an integer")
      case majorBytes:
        return this.readBytes("a byte string")
      case majorText:
        return this.readText("a text")
      case majorArray: {
        const items: CborValue[] = []
        for (let left = this.enterArray("an array"); left > 0; left--) items.push(this.readValue())
        this.leave()
        return items
      }
      case majorMap: {
        const map = new Map<CborKey, CborValue>()
        const keys = new CborKeys(this)
        for (let left = this.enterMap("a map"); left > 0; left--) {
          const key = keys.next()
          map.set(key, this.readValue())
        }
        this.leave()
        return map
      }
      case majorTag: {
        const start = this.offset
        const tag = this.enterTag("a tag")
        const value = tag === 4 ? this.readDecimal() : this.readValue()
        this.leave()
        if (tag === 77 && !(value instanceof Uint8Array)) this.fault("tag 77 holds a byte string", start)
        return new CborTagged(tag, value)
      }
      default:
        return this.readSimple()
    }
  }

  /**
   * Passes over the next item, whatever it says: integers of 64 bits, floats, bignums and any other tag, every simple
   * value, texts that are none. Only what its length hangs on is a rule: heads are well-formed (RFC 8949 §3, appendix C)
   * and as short as may be, lengths are definite, and it nests no deeper than anything else here.
   */
  skipValue(): void {
    const start = this.offset
    const major = this.peekMajor()
    const argument = this.skipHead()
    switch (major) {
      case majorBytes:
      case majorText:
        this.take(argument, "a string")
        return
      case majorArray:
        this.skipValues(argument, start)
        return
      case majorMap:
        this.skipValues(2 * argument, start)
        return
      case majorTag:
        this.skipValues(1, start)
    }
  }

  /** Nothing may follow. */
  end(): void {
    if (this.offset !== this.bytes.length) this.fault("bytes follow after the end")
  }

  /** RFC 8949 §3.4.4: exponent and mantissa are integers, which a float of the same value is not. */
  private readDecimal(): CborValue {
    const start = this.offset
    if (this.enterArray("an exponent and a mantissa") !== 2)
      this.fault("tag 4 holds an exponent and a mantissa", start)
    const parts = [this.readInt("an exponent"), this.readInt("a mantissa")]
    this.leave()
    return parts
  }

  /** Items that stand in one that began at `start`. Each takes a byte, so that a length cannot cost more than the bytes. */
  private skipValues(count: number, start: number): void {
    this.enter(start)
    for (let left = count; left > 0; left--) this.skipValue()
    this.leave()
  }

  /** A head of any major type: its argument, which may be rounded above 2^53; of a float nothing. */
  private skipHead(): number {
    const start = this.offset
    const major = this.peekMajor()
    const low = this.bytes[this.offset]! & 31
    if (low > 27) this.fault("lengths must be definite, and 28 to 30 mean nothing", start)
    this.offset += 1
    if (low < 24) return low
    const size = 1 << (low - 24)
    if (this.offset + size > this.bytes.length) this.fault("the bytes end inside an item's head", start)
    let argument = 0
    for (let left = size; left > 0; left--) argument = argument * 256 + this.bytes[this.offset++]!
    if (major === majorSimple) {
      if (size === 1 && argument < 32) this.fault("a simple value below 32 has one byte", start)
    } else if (argument < (size === 1 ? 24 : 256 ** (size / 2)))
      this.fault("integers and lengths must have their shortest form", start)
    return argument
  }

  private readSimple(): CborValue {
    const initial = this.bytes[this.offset]!
    if (initial >= 0xf9 && initial <= 0xfb) return this.readFloat("a float")
    this.offset += 1
    if (initial === 0xf4) return false
    if (initial === 0xf5) return true
    if (initial === 0xf6) return null
    return this.fault("of the simple values only false, true and null are in use here", this.offset - 1)
  }

  private uint16At(offset: number): number {
    return (this.bytes[offset]! << 8) | this.bytes[offset + 1]!
  }

  private uint32At(offset: number): number {
    return this.uint16At(offset) * 2 ** 16 + this.uint16At(offset + 2)
  }

  private take(length: number, what: string): Uint8Array {
    if (length > this.bytes.length - this.offset) this.fault(`${what} is longer than the bytes that follow`)
    const part = this.bytes.subarray(this.offset, this.offset + length)
    this.offset += length
    return part
  }

  /** Depth counts arrays, maps and tags (FORMAT §1). */
  private enter(start: number): void {
    this.depth += 1
    if (this.depth > depthMax) this.fault(`arrays, maps and tags nest at most ${depthMax} deep`, start)
  }
}

/** The keys of one map in the order in which they come: never twice, and sorted where the profile says so. */
export class CborKeys {
  private readonly reader: CborReader
  /** Of the integers from 0 to 31, and from -1 to -32, a bit each: a set for every record of a pack would cost more than the record. */
  private seenUints = 0
  private seenNints = 0
  private seenOthers: Set<CborKey> | null = null
  private last: Uint8Array | null = null

  constructor(reader: CborReader) {
    this.reader = reader
  }

  next(): CborKey {
    const { reader } = this
    const start = reader.offset
    const major = reader.peekMajor()
    const key =
      major === majorText
        ? reader.readText("a key")
        : major === majorUint || major === majorNint
          ? reader.readInt("a key")
          : reader.fault("keys are integers and texts")
    if (this.isSeen(key)) reader.fault("a key stands twice", start)
    if (reader.profile === "deterministic") {
      const encoded = reader.bytes.subarray(start, reader.offset)
      if (this.last !== null && compareBytes(this.last, encoded) > 0) {
        reader.fault("keys must be sorted by their encoded bytes", start)
      }
      this.last = encoded
    }
    return key
  }

  /** Whether the key came before; from now on it did. */
  private isSeen(key: CborKey): boolean {
    if (typeof key === "number" && key >= 0 && key < 32) {
      const before = this.seenUints
      this.seenUints |= 1 << key
      return before === this.seenUints
    }
    if (typeof key === "number" && key < 0 && key >= -32) {
      const before = this.seenNints
      this.seenNints |= 1 << (-1 - key)
      return before === this.seenNints
    }
    this.seenOthers ??= new Set()
    const before = this.seenOthers.size
    return this.seenOthers.add(key).size === before
  }
}

/** RFC 8949 Appendix D. */
export function decodeHalf(half: number): number {
  const exponent = (half >> 10) & 31
  const mantissa = half & 1023
  const magnitude =
    exponent === 0
      ? mantissa * 2 ** -24
      : exponent === 31
        ? mantissa === 0
          ? Infinity
          : Number.NaN
        : (mantissa + 1024) * 2 ** (exponent - 25)
  return half & 0x8000 ? -magnitude : magnitude
}

/** The half float of exactly this value, or null where there is none. */
function encodeHalf(value: number): number | null {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude === 0) return sign
  if (magnitude === Infinity) return sign | 0x7c00
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)))
  const mantissa = magnitude * 2 ** (10 - exponent)
  if (exponent > 15 || !Number.isInteger(mantissa) || mantissa >= 2048) return null
  const half = mantissa < 1024 ? sign | mantissa : sign | ((exponent + 15) << 10) | (mantissa - 1024)
  return decodeHalf(half) === value ? half : null
}

/** What `read` reads of bytes that stand inside others: its fault names a byte of the whole, which begins `base` before. */
export function readInside<Value>(base: number, read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    if (error instanceof FormatFault) throw new FormatFault(error.rule, base + error.offset)
    throw error
  }
}

/** One item and nothing after it. Throws a FormatFault. */
export function decodeCbor(bytes: Uint8Array, profile: CborProfile): CborValue {
  const reader = new CborReader(bytes, profile)
  const value = reader.readValue()
  reader.end()
  return value
}

/** What can be encoded: what decodes, with tags as plain records. */
export type CborInput =
  | number
  | boolean
  | null
  | string
  | Uint8Array
  | readonly CborInput[]
  | ReadonlyMap<CborKey, CborInput>
  | { readonly tag: number; readonly value: CborInput }

/** The deterministic encoding (RFC 8949 §4.2.1). A number that is not an integer becomes its shortest float. */
export function encodeCbor(value: CborInput): Uint8Array {
  const writer = new CborWriter()
  writer.writeValue(value)
  return writer.finish()
}

/** Writes items one after the other into a growing buffer. Throws a RangeError on a value that has no encoding here. */
export class CborWriter {
  private bytes = new Uint8Array(256)
  private view = new DataView(this.bytes.buffer)
  private length = 0

  writeHead(major: number, argument: number): void {
    this.reserve(9)
    const initial = major << 5
    if (argument < 24) {
      this.bytes[this.length++] = initial | argument
    } else if (argument < 0x100) {
      this.bytes[this.length++] = initial | 24
      this.bytes[this.length++] = argument
    } else if (argument < 0x1_0000) {
      this.bytes[this.length] = initial | 25
      this.view.setUint16(this.length + 1, argument)
      this.length += 3
    } else if (argument < 2 ** 32) {
      this.bytes[this.length] = initial | 26
      this.view.setUint32(this.length + 1, argument)
      this.length += 5
    } else {
      this.bytes[this.length] = initial | 27
      this.view.setUint32(this.length + 1, Math.floor(argument / 2 ** 32))
      this.view.setUint32(this.length + 5, argument % 2 ** 32)
      this.length += 9
    }
  }

  writeInt(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError("integers go up to 2^53 - 1")
    if (value < 0) this.writeHead(majorNint, -1 - value)
    else this.writeHead(majorUint, value)
  }

  /** The shortest width that keeps the value (RFC 8949 §4.2.2). */
  writeFloat(value: number): void {
    // Its payload could be any, so it has no one encoding, and as a reading it says nothing.
    if (Number.isNaN(value)) throw new RangeError("NaN has no place here")
    this.reserve(9)
    const half = encodeHalf(value)
    if (half !== null) {
      this.bytes[this.length] = 0xf9
      this.view.setUint16(this.length + 1, half)
      this.length += 3
      return
    }
    if (Object.is(Math.fround(value), value)) {
      this.bytes[this.length] = 0xfa
      this.view.setFloat32(this.length + 1, value)
      this.length += 5
      return
    }
    this.bytes[this.length] = 0xfb
    this.view.setFloat64(this.length + 1, value)
    this.length += 9
  }

  writeBytes(value: Uint8Array): void {
    this.writeHead(majorBytes, value.length)
    this.append(value)
  }

  writeText(value: string): void {
    if (controlCharacter.test(value)) throw new RangeError("no control character may stand in a text")
    if (!value.isWellFormed()) throw new RangeError("a text must be valid Unicode")
    const encoded = encodeUtf8(value)
    this.writeHead(majorText, encoded.length)
    this.append(encoded)
  }

  /** Bytes that are encoded already. */
  append(encoded: Uint8Array): void {
    this.reserve(encoded.length)
    this.bytes.set(encoded, this.length)
    this.length += encoded.length
  }

  writeValue(value: CborInput): void {
    if (typeof value === "number") {
      // -0 has no integer form, and a device may well measure it.
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.writeInt(value)
      else this.writeFloat(value)
    } else if (typeof value === "string") this.writeText(value)
    else if (typeof value === "boolean") this.writeHead(majorSimple, value ? 21 : 20)
    else if (value === null) this.writeHead(majorSimple, 22)
    else if (value instanceof Uint8Array) this.writeBytes(value)
    else if (value instanceof Map) this.writeMap(value)
    else if (isArray(value)) {
      this.writeHead(majorArray, value.length)
      for (const item of value) this.writeValue(item)
    } else {
      const tagged = value as { readonly tag: number; readonly value: CborInput }
      this.writeHead(majorTag, tagged.tag)
      this.writeValue(tagged.value)
    }
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  private writeMap(map: ReadonlyMap<CborKey, CborInput>): void {
    const pairs = [...map].map(([key, value]) => [encodeCbor(key), value] as const)
    pairs.sort(([a], [b]) => compareBytes(a, b))
    this.writeHead(majorMap, pairs.length)
    for (const [key, value] of pairs) {
      this.append(key)
      this.writeValue(value)
    }
  }

  private reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(2 * this.bytes.length, this.length + more))
    grown.set(this.bytes)
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }
}

const controlCharacter = /[\x00-\x1f\x7f]/

function isArray(value: unknown): value is readonly CborInput[] {
  return Array.isArray(value)
}
