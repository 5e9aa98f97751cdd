/** The receipt of MQTT (FORMAT §5): `[code, seq, head seq, head entry, now]`. */
import { CborReader, encodeCbor } from "./cbor.ts"
import { type Hash, parseHash } from "./hash.ts"
import { type VerdictCode, parseVerdictCode, verdictCodes } from "./verdict.ts"

/**
 * A device's last accepted statement. Before the first, seq 0 and the `prev` that the first one needs: the chain's genesis,
 * or zeros (FORMAT §4).
 */
export interface Head {
  readonly seq: number
  readonly entry: Hash
}

export interface Receipt {
  readonly code: VerdictCode
  /** Of the statement; null where it could not be read, and in answers to questions. */
  readonly seq: number | null
  /** The head after this verdict. */
  readonly head: Head
  /** The service's clock, Unix seconds: a clock for devices that have none. */
  readonly now: number
}

export function encodeReceipt({ code, seq, head, now }: Receipt): Uint8Array {
  return encodeCbor([code, seq, head.seq, head.entry, now])
}

/** Takes exactly what `encodeReceipt` makes. Throws a FormatFault. */
export function decodeReceipt(bytes: Uint8Array): Receipt {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterArray("a receipt") !== 5)
    reader.fault("a receipt is [code, seq, head seq, head entry, now]", 0)
  const codeStart = reader.offset
  const verdict = parseVerdictCode(reader.readUint("a code"))
  if (verdict === null) return reader.fault("this code is none of FORMAT §4", codeStart)
  const isNull = reader.bytes[reader.offset] === 0xf6
  const seq = isNull ? null : reader.readUint("a seq, or null,")
  if (isNull) reader.readValue()
  const headSeq = reader.readUint("the head's seq")
  const entryStart = reader.offset
  const entry = reader.readBytes("the head's entry")
  if (entry.length !== 32) reader.fault("an entry has 32 bytes", entryStart)
  const now = reader.readUint("the service's clock")
  reader.leave()
  reader.end()
  return { code: verdictCodes[verdict], seq, head: { seq: headSeq, entry: parseHash(entry) }, now }
}
