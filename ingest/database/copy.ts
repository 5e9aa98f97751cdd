/** Rows in the binary format of COPY (PostgreSQL manual, "COPY", Binary Format): no escaping, bytes as they are. */
import { once } from "node:events"
import { from as copyFrom } from "pg-copy-streams"
import type { PoolClient } from "pg"

const header = Uint8Array.of(
  0x50,
  0x47,
  0x43,
  0x4f,
  0x50,
  0x59,
  0x0a,
  0xff,
  0x0d,
  0x0a,
  0x00,
  ...new Uint8Array(8),
)
/** Unix ms of 2000-01-01, from which Postgres counts. */
const postgresEpochMs = 946_684_800_000

/** Type oids of array elements. */
const oid = { bytea: 17, int2: 21, text: 25, float8: 701 } as const

/** Memory of COPYs that were sent, for the next ones: a group of 500 fills some 1 MB, and to grow there copies as much. */
const spares: Uint8Array[] = []
/** Enough for the three tables of a group. */
const sparesMax = 4
const spareSizeMax = 8 * 1024 * 1024

const encoder = new TextEncoder()

/** Builds rows column by column: `row(columns)`, then so many of the others. */
export class CopyRows {
  private content: Uint8Array
  private view: DataView
  private length = header.length
  private rows = 0

  constructor() {
    this.content = spares.pop() ?? new Uint8Array(16_384)
    this.view = new DataView(this.content.buffer)
    this.content.set(header)
  }

  get count(): number {
    return this.rows
  }

  row(columns: number): void {
    this.reserve(2)
    this.view.setInt16(this.length, columns)
    this.length += 2
    this.rows += 1
  }

  null(): void {
    this.size(-1)
  }

  int2(value: number): void {
    this.size(2)
    this.view.setInt16(this.length, value)
    this.length += 2
  }

  int4(value: number): void {
    this.size(4)
    this.view.setInt32(this.length, value)
    this.length += 4
  }

  int8(value: number): void {
    this.size(8)
    this.writeInt64(value)
  }

  boolean(value: boolean): void {
    this.size(1)
    this.content[this.length++] = value ? 1 : 0
  }

  float8(value: number): void {
    this.size(8)
    this.view.setFloat64(this.length, value)
    this.length += 8
  }

  /** timestamptz from Unix ms. */
  timeMs(unixMs: number): void {
    this.size(8)
    // In microseconds 2^53 is reached in the year 2255, long after which this service will not run.
    this.writeInt64((unixMs - postgresEpochMs) * 1000)
  }

  bytes(value: Uint8Array): void {
    this.size(value.length)
    this.content.set(value, this.length)
    this.length += value.length
  }

  text(value: string): void {
    const lengthAt = this.length
    this.size(3 * value.length)
    const { content, length } = this
    let written = 0
    for (; written < value.length; written++) {
      const code = value.charCodeAt(written)
      if (code > 0x7f) break
      content[length + written] = code
    }
    // Most texts here are a few ASCII letters, for which the loop is several times faster than an encoder.
    if (written < value.length) ({ written } = encoder.encodeInto(value, content.subarray(length)))
    this.view.setInt32(lengthAt, written)
    this.length = length + written
  }

  float8Array(values: readonly number[]): void {
    const lengthAt = this.beginArray(oid.float8, values.length, 12 * values.length)
    const { view } = this
    let { length } = this
    for (let index = 0; index < values.length; index++, length += 12) {
      view.setInt32(length, 8)
      view.setFloat64(length + 4, values[index]!)
    }
    this.length = length
    this.endArray(lengthAt)
  }

  int2Array(values: Int16Array): void {
    const lengthAt = this.beginArray(oid.int2, values.length, 6 * values.length)
    const { view } = this
    let { length } = this
    for (let index = 0; index < values.length; index++, length += 6) {
      view.setInt32(length, 2)
      view.setInt16(length + 4, values[index]!)
    }
    this.length = length
    this.endArray(lengthAt)
  }

  textArray(values: readonly string[]): void {
    const lengthAt = this.beginArray(oid.text, values.length, 0)
    for (const value of values) this.text(value)
    this.endArray(lengthAt)
  }

  bytesArray(values: readonly Uint8Array[]): void {
    const lengthAt = this.beginArray(oid.bytea, values.length, 0)
    for (const value of values) this.bytes(value)
    this.endArray(lengthAt)
  }

  /** The whole COPY: the last that is done to these rows before `recycle`. */
  finish(): Uint8Array {
    this.reserve(2)
    this.view.setInt16(this.length, -1)
    return this.content.subarray(0, this.length + 2)
  }

  /** Whoever sent the bytes of `finish` is done with them. */
  recycle(): void {
    if (spares.length < sparesMax && this.content.length <= spareSizeMax) spares.push(this.content)
    this.content = new Uint8Array(0)
  }

  /** Head of a one-dimensional array without nulls: the values follow, each with its length, and then `endArray`. */
  private beginArray(element: number, count: number, sizeBytes: number): number {
    const lengthAt = this.length
    this.size(20 + sizeBytes)
    const { view, length } = this
    view.setInt32(length, count === 0 ? 0 : 1)
    view.setInt32(length + 4, 0)
    view.setInt32(length + 8, element)
    this.length = length + 12
    if (count > 0) {
      view.setInt32(length + 12, count)
      view.setInt32(length + 16, 1)
      this.length = length + 20
    }
    return lengthAt
  }

  private endArray(lengthAt: number): void {
    this.view.setInt32(lengthAt, this.length - lengthAt - 4)
  }

  /** Safe integers only: a pair of 32 bit halves is several times cheaper than a BigInt. */
  private writeInt64(value: number): void {
    this.view.setInt32(this.length, Math.floor(value / 2 ** 32))
    this.view.setUint32(this.length + 4, ((value % 2 ** 32) + 2 ** 32) % 2 ** 32)
    this.length += 8
  }

  /** The length word of a field, and room for the field. */
  private size(length: number): void {
    this.reserve(4 + Math.max(length, 0))
    this.view.setInt32(this.length, length)
    this.length += 4
  }

  private reserve(more: number): void {
    if (this.length + more <= this.content.length) return
    const grown = new Uint8Array(Math.max(2 * this.content.length, this.length + more))
    grown.set(this.content.subarray(0, this.length))
    this.content = grown
    this.view = new DataView(grown.buffer)
  }
}

/** Copies rows into a table; rejects with Postgres's error, having copied none. */
export async function copyRows(client: PoolClient, target: string, rows: CopyRows): Promise<void> {
  if (rows.count === 0) return
  const stream = client.query(copyFrom(`copy ${target} from stdin (format binary)`))
  stream.end(rows.finish())
  await once(stream, "finish")
  // Postgres has answered, so the socket has sent them. Where it refused, they are left to the garbage collector.
  rows.recycle()
}
