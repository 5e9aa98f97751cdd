/** CBOR put together by hand, item by item, so that one of them can be wrong. An item is its encoded bytes. */
import { encodeUtf8, joinBytes, parseHex } from "../../chain/bytes.ts"
import { CborWriter } from "../../chain/cbor.ts"

export type Item = Uint8Array

/** Bytes from hex; spaces are for the reader. */
export function hex(digits: string): Uint8Array {
  const parsed = parseHex(digits.replaceAll(" ", ""))
  if (parsed === null) throw new RangeError(`not hex: ${digits}`)
  return parsed
}

function head(major: number, argument: number): Item {
  const writer = new CborWriter()
  writer.writeHead(major, argument)
  return writer.finish()
}

export function int(value: number): Item {
  return value < 0 ? head(1, -1 - value) : head(0, value)
}

export function bytes(value: Uint8Array): Item {
  return joinBytes(head(2, value.length), value)
}

/** Takes any text, also one that no statement may hold. */
export function text(value: string): Item {
  const encoded = encodeUtf8(value)
  return joinBytes(head(3, encoded.length), encoded)
}

export function array(...items: readonly Item[]): Item {
  return joinBytes(head(4, items.length), ...items)
}

/** Pairs of key and value, in the order given. */
export type Pairs = readonly (readonly [Item, Item])[]

export function map(pairs: Pairs): Item {
  return joinBytes(head(5, pairs.length), ...pairs.flat())
}

export function tag(number: number, item: Item): Item {
  return joinBytes(head(6, number), item)
}

export function single(value: number): Item {
  const item = new Uint8Array(5)
  item[0] = 0xfa
  new DataView(item.buffer).setFloat32(1, value)
  return item
}

export function double(value: number): Item {
  const item = new Uint8Array(9)
  item[0] = 0xfb
  new DataView(item.buffer).setFloat64(1, value)
  return item
}

/** RFC 8428 §6. */
const labels: Readonly<Record<string, number>> = {
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
}

/** A SenML record. Members in the order given; integers and texts as such, everything else as an item. */
export function record(members: Readonly<Record<string, number | string | Item>>): Item {
  return map(
    Object.entries(members).map(([name, value]) => {
      const number = labels[name]
      const item = typeof value === "number" ? int(value) : typeof value === "string" ? text(value) : value
      return [number === undefined ? text(name) : int(number), item] as const
    }),
  )
}

export const isTrue = hex("f5")
export const isFalse = hex("f4")
export const nil = hex("f6")
