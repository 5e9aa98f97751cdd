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

/** Builds rows column by column: `row(columns)`, then so many of the others. */
export class CopyRows {
  private buffer = Buffer.allocUnsafe(16_384)
  private length = 0
  private rows = 0

  constructor() {
    this.buffer.set(header)
    this.length = header.length
  }

  get count(): number {
    return this.rows
  }

  row(columns: number): void {
    this.reserve(2)
    this.length = this.buffer.writeInt16BE(columns, this.length)
    this.rows += 1
  }

  null(): void {
    this.size(-1)
  }

  int2(value: number): void {
    this.size(2)
    this.length = this.buffer.writeInt16BE(value, this.length)
  }

  int4(value: number): void {
    this.size(4)
    this.length = this.buffer.writeInt32BE(value, this.length)
  }

  int8(value: number): void {
    this.size(8)
    this.writeInt64(value)
  }

  boolean(value: boolean): void {
    this.size(1)
    this.length = this.buffer.writeUInt8(value ? 1 : 0, this.length)
  }

  float8(value: number): void {
    this.size(8)
    this.length = this.buffer.writeDoubleBE(value, this.length)
  }

  /** timestamptz from Unix ms. */
  timeMs(unixMs: number): void {
    this.size(8)
    // In microseconds 2^53 is reached in the year 2255, long after which this service will not run.
    this.writeInt64((unixMs - postgresEpochMs) * 1000)
  }

  bytes(value: Uint8Array): void {
    this.size(value.length)
    this.buffer.set(value, this.length)
    this.length += value.length
  }

  text(value: string): void {
    const lengthAt = this.length
    this.size(3 * value.length)
    const written = this.buffer.write(value, this.length, "utf8")
    this.buffer.writeInt32BE(written, lengthAt)
    this.length += written
  }

  float8Array(values: readonly number[]): void {
    this.array(oid.float8, values.length, 12 * values.length, () => {
      for (const value of values) {
        this.length = this.buffer.writeInt32BE(8, this.length)
        this.length = this.buffer.writeDoubleBE(value, this.length)
      }
    })
  }

  int2Array(values: Int16Array): void {
    this.array(oid.int2, values.length, 6 * values.length, () => {
      for (const value of values) {
        this.length = this.buffer.writeInt32BE(2, this.length)
        this.length = this.buffer.writeInt16BE(value, this.length)
      }
    })
  }

  textArray(values: readonly string[]): void {
    this.array(oid.text, values.length, 0, () => {
      for (const value of values) this.text(value)
    })
  }

  bytesArray(values: readonly Uint8Array[]): void {
    this.array(oid.bytea, values.length, 0, () => {
      for (const value of values) this.bytes(value)
    })
  }

  finish(): Buffer {
    this.reserve(2)
    this.length = this.buffer.writeInt16BE(-1, this.length)
    return this.buffer.subarray(0, this.length)
  }

  /** A one-dimensional array without nulls. The values write their own lengths. */
  private array(element: number, count: number, sizeBytes: number, write: () => void): void {
    const lengthAt = this.length
    this.size(20 + sizeBytes)
    this.length = this.buffer.writeInt32BE(count === 0 ? 0 : 1, this.length)
    this.length = this.buffer.writeInt32BE(0, this.length)
    this.length = this.buffer.writeInt32BE(element, this.length)
    if (count > 0) {
      this.length = this.buffer.writeInt32BE(count, this.length)
      this.length = this.buffer.writeInt32BE(1, this.length)
      write()
    }
    this.buffer.writeInt32BE(this.length - lengthAt - 4, lengthAt)
  }

  /** Safe integers only: a pair of 32 bit halves is several times cheaper than a BigInt. */
  private writeInt64(value: number): void {
    this.length = this.buffer.writeInt32BE(Math.floor(value / 2 ** 32), this.length)
    this.length = this.buffer.writeUInt32BE(((value % 2 ** 32) + 2 ** 32) % 2 ** 32, this.length)
  }

  /** The length word of a field, and room for the field. */
  private size(length: number): void {
    this.reserve(4 + Math.max(length, 0))
    this.length = this.buffer.writeInt32BE(length, this.length)
  }

  private reserve(more: number): void {
    if (this.length + more <= this.buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(2 * this.buffer.length, this.length + more))
    grown.set(this.buffer.subarray(0, this.length))
    this.buffer = grown
  }
}

/** Copies rows into a table; rejects with Postgres's error, having copied none. */
export async function copyRows(client: PoolClient, target: string, rows: CopyRows): Promise<void> {
  if (rows.count === 0) return
  const stream = client.query(copyFrom(`copy ${target} from stdin (format binary)`))
  stream.end(rows.finish())
  await once(stream, "finish")
}
