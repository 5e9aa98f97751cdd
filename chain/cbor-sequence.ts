/** A CBOR sequence (RFC 8742) of flat arrays, cut into its items as the bytes come, in memory of one item. */
import { FormatFault, majorArray, majorBytes, majorText, majorUint } from "./cbor.ts"

/** One item, and where it begins in the whole. */
export interface SequenceItem {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** Where the items of a sequence end, and no more: what is inside them is for who decodes them. */
export class CborSequence {
  private readonly itemSizeMax: number
  private readonly itemsMax: number
  private buffer = new Uint8Array(4096)
  private start = 0
  private end = 0
  private consumed = 0

  /**
   * @param itemSizeMax bytes of an item; more is a fault before it is buffered
   * @param itemsMax the longest array
   */
  constructor(itemSizeMax: number, itemsMax: number) {
    this.itemSizeMax = itemSizeMax
    this.itemsMax = itemsMax
  }

  /** Takes bytes of any number. They are copied. Take all items by `next` before the next ones. */
  push(chunk: Uint8Array): void {
    const left = this.end - this.start
    if (this.end + chunk.length > this.buffer.length) {
      const size = left + chunk.length
      const target = size > this.buffer.length ? new Uint8Array(Math.max(size, 2 * left)) : this.buffer
      target.set(this.buffer.subarray(this.start, this.end))
      this.buffer = target
      this.start = 0
      this.end = left
    }
    this.buffer.set(chunk, this.end)
    this.end += chunk.length
  }

  /**
   * The next item, a copy; null while its end has not come. Throws a FormatFault, whose offset is that of the whole, on
   * what is no array of integers and strings, and on an item that is too large.
   */
  next(): SequenceItem | null {
    const size = this.measure()
    if (size === null) return null
    const item = { offset: this.consumed, bytes: this.buffer.slice(this.start, this.start + size) }
    this.start += size
    this.consumed += size
    return item
  }

  /** Bytes behind the last whole item. */
  get leftBytes(): number {
    return this.end - this.start
  }

  /** Bytes of the items that were taken: where the next one begins. */
  get offset(): number {
    return this.consumed
  }

  private measure(): number | null {
    const { buffer, start, end } = this
    if (start === end) return null
    const first = buffer[start]!
    const items = first & 31
    if (first >> 5 !== majorArray || items > this.itemsMax || items > 23)
      this.fault(`an item is an array of at most ${this.itemsMax}`)
    let at = start + 1
    for (let left = items; left > 0; left--) {
      if (at >= end) return null
      const initial = buffer[at]!
      const major = initial >> 5
      const low = initial & 31
      if (major !== majorUint && major !== majorBytes && major !== majorText)
        this.fault("an item holds integers and strings only")
      if (low > 27) this.fault("lengths must be definite, and 28 to 30 mean nothing")
      const headSize = low < 24 ? 1 : 1 + 2 ** (low - 24)
      if (at + headSize > end) return null
      if (major !== majorUint) {
        let length = low < 24 ? low : 0
        for (let place = 1; place < headSize; place++) length = length * 256 + buffer[at + place]!
        at += length
      }
      at += headSize
      if (at - start > this.itemSizeMax) this.fault(`an item has at most ${this.itemSizeMax} bytes`)
      if (at > end) return null
    }
    return at - start
  }

  private fault(rule: string): never {
    throw new FormatFault(rule, this.consumed)
  }
}
