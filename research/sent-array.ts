/**
 * Arrays as Postgres' `array_send` gives them: to the last bit, and several times cheaper to read than their text. What
 * no writer of ours makes (nulls inside, more dimensions than one) is a fault of the store and throws.
 */
const headSize = 20

export function float8sOf(sent: Buffer): Float64Array {
  const count = countOf(sent)
  const values = new Float64Array(count)
  for (let index = 0; index < count; index++) values[index] = sent.readDoubleBE(headSize + 12 * index + 4)
  return values
}

export function int2sOf(sent: Buffer): Int16Array {
  const count = countOf(sent)
  const values = new Int16Array(count)
  for (let index = 0; index < count; index++) values[index] = sent.readInt16BE(headSize + 6 * index + 4)
  return values
}

export function blobsOf(sent: Buffer): Uint8Array[] {
  const count = countOf(sent)
  const values: Uint8Array[] = []
  for (let index = 0, offset = headSize; index < count; index++) {
    const size = sent.readInt32BE(offset)
    values.push(sent.subarray(offset + 4, offset + 4 + size))
    offset += 4 + size
  }
  return values
}

export function textsOf(sent: Buffer): string[] {
  return blobsOf(sent).map((value) => Buffer.from(value).toString("utf8"))
}

/** Dimensions, flags and element type, then size and first index of the one dimension. */
function countOf(sent: Buffer): number {
  const dimensions = sent.readInt32BE(0)
  if (dimensions === 0) return 0
  if (dimensions !== 1 || sent.readInt32BE(4) !== 0)
    throw new Error("an array in the table series is not as it was written: run tidemark verify")
  return sent.readInt32BE(12)
}
