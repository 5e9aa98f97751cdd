/** Any CBOR (RFC 8949), read leniently and apart from `chain/`: what the files of vectors are written in. */
import { CborTagged } from "../../chain/cbor.ts"

/** Why an item is outside the `senml` profile, in the order in which a reader comes upon it. */
export type Outside =
  | "not shortest"
  | "not definite"
  | "integer over 2^53 - 1"
  | "tag"
  | "simple value"
  | "key"
  | "control character"
  | "depth"

export interface Item {
  /** Numbers, texts, bytes, arrays, maps and tags as `chain/` has them; bigints and undefined besides. */
  readonly value: unknown
  readonly outside: readonly Outside[]
  /** Whether a float in it is an integer too, which `chain/` does not tell apart. */
  readonly hasIntegralFloat: boolean
}

const stop = Symbol("break")

/** Trusts its input to be well-formed. */
export function readItem(bytes: Uint8Array): Item {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const outside: Outside[] = []
  let hasIntegralFloat = false
  let offset = 0
  let depth = 0

  function readArgument(low: number): bigint {
    if (low < 24) return BigInt(low)
    const size = 1 << (low - 24)
    let argument = 0n
    for (let left = size; left > 0; left--) argument = (argument << 8n) | BigInt(bytes[offset++]!)
    const argumentMin = size === 1 ? 24n : 1n << BigInt(4 * size)
    if (argument < argumentMin) outside.push("not shortest")
    return argument
  }

  function readInteger(value: bigint): number | bigint {
    if (value >= -(2n ** 53n - 1n) && value <= 2n ** 53n - 1n) return Number(value)
    outside.push("integer over 2^53 - 1")
    return value
  }

  function readFloat(low: number): number {
    const size = 1 << (low - 24)
    offset += size
    const at = offset - size
    const value =
      size === 8 ? view.getFloat64(at) : size === 4 ? view.getFloat32(at) : half(view.getUint16(at))
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) hasIntegralFloat = true
    return value
  }

  /** What is inside an array, a map or a tag. */
  function nest<Inside>(readInside: () => Inside): Inside {
    depth += 1
    if (depth > 8) outside.push("depth")
    const inside = readInside()
    depth -= 1
    return inside
  }

  function readItems(low: number, perItem: number): unknown[] {
    const items: unknown[] = []
    if (low === 31) {
      outside.push("not definite")
      for (let item = read(); item !== stop; item = read()) items.push(item)
      return items
    }
    for (let left = Number(readArgument(low)) * perItem; left > 0; left--) {
      const isKey = perItem === 2 && left % 2 === 0
      if (isKey && ![0, 1, 3].includes(bytes[offset]! >> 5)) outside.push("key")
      items.push(read())
    }
    return items
  }

  function readString(major: number, low: number): unknown {
    if (low === 31) {
      const parts = readItems(31, 1)
      return major === 3 ? parts.join("") : parts
    }
    const length = Number(readArgument(low))
    offset += length
    const part = bytes.subarray(offset - length, offset)
    if (major === 2) return part
    if (part.some((byte) => byte < 0x20 || byte === 0x7f)) outside.push("control character")
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(part)
  }

  function read(): unknown {
    const initial = bytes[offset++]!
    const major = initial >> 5
    const low = initial & 31
    switch (major) {
      case 0:
        return readInteger(readArgument(low))
      case 1:
        return readInteger(-1n - readArgument(low))
      case 2:
      case 3:
        return readString(major, low)
      case 4:
        return nest(() => readItems(low, 1))
      case 5: {
        const items = nest(() => readItems(low, 2))
        return new Map(items.flatMap((key, index) => (index % 2 === 0 ? [[key, items[index + 1]]] : [])))
      }
      case 6: {
        const tag = Number(readArgument(low))
        if (![4, 18, 77].includes(tag)) outside.push("tag")
        return new CborTagged(
          tag,
          nest(() => read() as never),
        )
      }
      default:
        if (initial === 0xff) return stop
        if (low >= 25 && low <= 27) return readFloat(low)
        if (low >= 20 && low <= 22) return [false, true, null][low - 20]
        outside.push("simple value")
        if (low === 24) offset += 1
        return undefined
    }
  }

  const value = read()
  if (offset !== bytes.length) throw new Error("bytes follow after the item")
  return { value, outside, hasIntegralFloat }
}

/** RFC 8949 Appendix D, by way of a double: sign, 5 bits of exponent and 10 of mantissa widened. */
function half(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : Number.NaN
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}
