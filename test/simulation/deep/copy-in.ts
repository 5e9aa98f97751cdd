/** What `copy … from stdin (format binary)` brings, read back into values. */

export type ColumnType =
  | "int8"
  | "int4"
  | "int2"
  | "float8"
  | "bytes"
  | "text"
  | "time"
  | "boolean"
  | "float8[]"
  | "int2[]"
  | "text[]"
  | "bytes[]"

export type ColumnValue =
  | number
  | boolean
  | string
  | Uint8Array
  | readonly number[]
  | Int16Array
  | readonly string[]
  | readonly Uint8Array[]
  | null

const headSize = 19
const postgresEpochMs = 946_684_800_000

/** The rows, a value for each column. Throws on anything that Postgres would not take. */
export function readCopiedRows(bytes: Uint8Array, types: readonly ColumnType[]): ColumnValue[][] {
  const view = Buffer.from(bytes)
  const rows: ColumnValue[][] = []
  let at = headSize
  for (;;) {
    const columns = view.readInt16BE(at)
    at += 2
    if (columns === -1) break
    if (columns !== types.length) throw new Error(`a row of ${columns} columns, not ${types.length}`)
    rows.push(
      types.map((type) => {
        const length = view.readInt32BE(at)
        at += 4
        if (length === -1) return null
        const field = view.subarray(at, at + length)
        at += length
        return readField(field, type)
      }),
    )
  }
  if (at !== bytes.length) throw new Error("bytes behind the end of a copy")
  return rows
}

function readField(field: Buffer, type: ColumnType): ColumnValue {
  switch (type) {
    case "int8":
      return Number(field.readBigInt64BE())
    case "int4":
      return field.readInt32BE()
    case "int2":
      return field.readInt16BE()
    case "float8":
      return field.readDoubleBE()
    case "bytes":
      return Uint8Array.from(field)
    case "text":
      return field.toString("utf8")
    case "time":
      return Number(field.readBigInt64BE()) / 1000 + postgresEpochMs
    case "boolean":
      return field[0] === 1
    case "float8[]":
      return elementsOf(field).map((element) => element.readDoubleBE())
    case "int2[]":
      return Int16Array.from(elementsOf(field), (element) => element.readInt16BE())
    case "text[]":
      return elementsOf(field).map((element) => element.toString("utf8"))
    default:
      return elementsOf(field).map((element) => Uint8Array.from(element))
  }
}

function elementsOf(field: Buffer): Buffer[] {
  if (field.readInt32BE(0) === 0) return []
  const elements: Buffer[] = []
  for (let at = 20, left = field.readInt32BE(12); left > 0; left--) {
    const length = field.readInt32BE(at)
    elements.push(field.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return elements
}
