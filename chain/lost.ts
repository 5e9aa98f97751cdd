/** `application/vnd.tidemark.lost+cbor`: readings that a device knows it lost (FORMAT §4). */
import { CborReader, encodeCbor } from "./cbor.ts"

export const lostReasons = ["buffer-overflow", "refused", "sensor-off", "not-worn", "other"] as const
export type LostReason = (typeof lostReasons)[number]

export interface Lost {
  readonly reason: LostReason
  /** How many readings, or null where the device cannot tell. */
  readonly count: number | null
  /** Device clock, Unix seconds, as `iat`. */
  readonly from: number
  readonly to: number
}

/** `[reason, count or null, from, to]`, deterministic. */
export function encodeLost({ reason, count, from, to }: Lost): Uint8Array {
  return encodeCbor([lostReasons.indexOf(reason) + 1, count, from, to])
}

/** Takes exactly what `encodeLost` makes. Throws a FormatFault. */
export function decodeLost(bytes: Uint8Array): Lost {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterArray("lost readings") !== 4)
    reader.fault("lost readings are [reason, count or null, from, to]", 0)
  const reasonStart = reader.offset
  const reason = lostReasons[reader.readUint("a reason") - 1]
  if (reason === undefined) return reader.fault("a reason is 1 to 5", reasonStart)
  const isNull = reader.bytes[reader.offset] === 0xf6
  const count = isNull ? null : reader.readUint("a count, or null,")
  if (isNull) reader.readValue()
  const from = reader.readUint("from")
  const toStart = reader.offset
  const to = reader.readUint("to")
  if (to < from) reader.fault("to is not before from", toStart)
  reader.leave()
  reader.end()
  return { reason, count, from, to }
}
