/**
 * Arrays in Postgres' binary form, as `array_send` gives them: to the last bit, and several times cheaper to read than
 * their text. `irregular` is what no writer of ours makes: nulls inside, more dimensions than one, another first index.
 */
export type ArrayOf<Values> = Values | "irregular"

/** Without a copy: a Buffer's `slice` and equality are not those of a Uint8Array. */
export function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

/** A plain array: a Float64Array of more than 8 lies outside the heap, and to make it costs more than to fill it. */
export function float8ArrayOf(sent: Buffer): ArrayOf<readonly number[]> {
  const count = countOf(sent)
  if (count === null || sent.length !== headSize + 12 * count) return count === 0 ? [] : "irregular"
  const values: number[] = []
  for (let index = 0; index < count; index++) values.push(sent.readDoubleBE(headSize + 12 * index + 4))
  return values
}

export function int2ArrayOf(sent: Buffer): ArrayOf<Int16Array> {
  const count = countOf(sent)
  if (count === null || sent.length !== headSize + 6 * count)
    return count === 0 ? new Int16Array(0) : "irregular"
  const values = new Int16Array(count)
  for (let index = 0; index < count; index++) values[index] = sent.readInt16BE(headSize + 6 * index + 4)
  return values
}

export function bytesArrayOf(sent: Buffer): ArrayOf<Uint8Array[]> {
  const count = countOf(sent)
  if (count === null) return "irregular"
  const values: Uint8Array[] = []
  for (let index = 0, offset = headSize; index < count; index++) {
    const length = sent.readInt32BE(offset)
    if (length < 0) return "irregular"
    values.push(plainBytes(sent.subarray(offset + 4, offset + 4 + length)))
    offset += 4 + length
  }
  return values
}

export function textArrayOf(sent: Buffer): ArrayOf<string[]> {
  const values = bytesArrayOf(sent)
  return values === "irregular" ? values : values.map((value) => Buffer.from(value).toString("utf8"))
}

/** Dimensions, flags and element type, then size and first index of the one dimension. */
const headSize = 20

/** How many values; null where the array is irregular. A null inside shows as a flag. */
function countOf(sent: Buffer): number | null {
  const dimensions = sent.readInt32BE(0)
  if (dimensions === 0) return 0
  const hasNulls = sent.readInt32BE(4) !== 0
  if (dimensions !== 1 || hasNulls || sent.readInt32BE(16) !== 1) return null
  return sent.readInt32BE(12)
}

/** A float8[] in the memory in which it came. To make an array of it takes as long as to compare it with what was signed. */
export class Float8Values {
  private readonly view: DataView
  private readonly start: number
  readonly length: number

  /** @param start of what `array_send` gave */
  constructor(view: DataView, start: number, length: number) {
    this.view = view
    this.start = start + headSize + 4
    this.length = length
  }

  at(index: number): number {
    return this.view.getFloat64(this.start + 12 * index)
  }
}

/** As `countOf`, and null too where the size is not that of so many numbers. */
export function countFloat8s(view: DataView, start: number, sizeBytes: number): number | null {
  const dimensions = view.getInt32(start)
  if (dimensions === 0) return 0
  const hasNulls = view.getInt32(start + 4) !== 0
  if (dimensions !== 1 || hasNulls || view.getInt32(start + 16) !== 1) return null
  const count = view.getInt32(start + 12)
  return sizeBytes === headSize + 12 * count ? count : null
}
