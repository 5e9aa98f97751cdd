/**
 * The record that packs are full of: `{v: number}` or `{v: number, t: number}`, in either order of keys. It is read here in
 * one go, an eighth of what a record costs that could hold anything. What this does not take, be it a fault or only
 * something rarer, is left to the reader of all records: no rule and no fault of a pack is decided here.
 */
import { decodeHalf } from "./cbor.ts"

const keyValue = 0x02
const keyTime = 0x06
/** A map's head, two keys, and two numbers at their longest. */
const recordSizeMax = 21

export class PointReader {
  /** `v`: finite. */
  value = 0
  /** `t`: finite; 0 where the record has none, which is what its absence means (RFC 8428 §4.1). */
  time = 0
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private offset = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Where the record ends that begins at `start`, with `value` and `time` set; -1 where it is not one of these. */
  read(start: number): number {
    const { bytes } = this
    // The last two or three of a pack stand too near to its end to be read without looking where that is.
    if (bytes.length - start < recordSizeMax) return -1
    const head = bytes[start]
    const key = bytes[start + 1]
    this.offset = start + 2
    this.time = 0
    if (head === 0xa1) {
      if (key !== keyValue) return -1
      this.value = this.readNumber()
    } else if (head === 0xa2 && key === keyValue) {
      this.value = this.readNumber()
      if (bytes[this.offset++] !== keyTime) return -1
      this.time = this.readNumber()
    } else if (head === 0xa2 && key === keyTime) {
      this.time = this.readNumber()
      if (bytes[this.offset++] !== keyValue) return -1
      this.value = this.readNumber()
    } else return -1
    // NaN is what is no number to us, and no reading either.
    return Number.isFinite(this.value) && Number.isFinite(this.time) ? this.offset : -1
  }

  /** An integer of up to 32 bits in its shortest form, or a float; NaN for all else. */
  private readNumber(): number {
    const { view } = this
    const at = this.offset
    const initial = this.bytes[at]!
    const low = initial & 31
    const isInteger = initial < 0x40
    let argument: number
    if (isInteger && low < 24) {
      this.offset = at + 1
      argument = low
    } else if (isInteger && low === 24) {
      this.offset = at + 2
      argument = this.bytes[at + 1]!
      if (argument < 24) return Number.NaN
    } else if (isInteger && low === 25) {
      this.offset = at + 3
      argument = view.getUint16(at + 1)
      if (argument < 0x100) return Number.NaN
    } else if (isInteger && low === 26) {
      this.offset = at + 5
      argument = view.getUint32(at + 1)
      if (argument < 0x1_0000) return Number.NaN
    } else if (initial === 0xf9) {
      this.offset = at + 3
      return decodeHalf(view.getUint16(at + 1))
    } else if (initial === 0xfa) {
      this.offset = at + 5
      return view.getFloat32(at + 1)
    } else if (initial === 0xfb) {
      this.offset = at + 9
      return view.getFloat64(at + 1)
    } else return Number.NaN
    return initial < 0x20 ? argument : -1 - argument
  }
}
